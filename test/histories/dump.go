package histories

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/store"
)

// dump writes down all that is stored, the results of past attempts included, and checks
// every invariant.
func (p *performer) dump(ctx context.Context) error {
	p.ask("all jobs")
	headers, err := p.store.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: math.MaxInt}})
	answers(p.History, headers, err)
	checker := enginetest.NewChecker(rules)
	var broken []error
	for _, j := range p.jobs {
		s, err := enginetest.Load(ctx, p.store, rules, j.id, j.spec)
		p.ask("all of job %d", j.id)
		if err != nil {
			p.fail(err)
			broken = append(broken, err)
			continue
		}
		p.rowsOfSnapshot(ctx, &s)
		if err := checker.Check(&s); err != nil {
			broken = append(broken, fmt.Errorf("job %d: %w", j.id, err))
		}
	}
	return errors.Join(broken...)
}

func (p *performer) rowsOfSnapshot(ctx context.Context, s *enginetest.Snapshot) {
	p.row(s.Job)
	answers(p.History, s.History, nil)
	answers(p.History, s.Effects, nil)
	p.Tally["records"] += len(s.History)
	for i, row := range s.Steps {
		p.row(row)
		answers(p.History, s.Targets[i], nil)
		p.Tally["attempts"] += int(row.Attempt)
		for n := range row.Attempt {
			results, err := p.store.Targets(ctx, store.TargetFilter{
				Job: s.Job.ID, Step: row.ID, Attempt: n + 1, Page: store.Page[int32]{After: -1, Limit: math.MaxInt},
			})
			answers(p.History, results, err)
		}
	}
}
