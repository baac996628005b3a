package histories

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// dump writes all stored rows, the results of past attempts included, and checks every
// invariant.
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
	answers(p.History, s.Batches, nil)
	p.Tally["records"] += len(s.History)
	for i, row := range s.Steps {
		p.row(row)
		answers(p.History, s.Targets[i], nil)
		p.Tally["attempts"] += int(row.Attempt)
		if row.Batch > 0 {
			p.classes(ctx, s.Job.ID, row.ID)
		}
		for n := range row.Attempt {
			results, err := p.store.Targets(ctx, store.TargetFilter{
				Job: s.Job.ID, Step: row.ID, Attempt: n + 1, Page: store.Page[int32]{After: -1, Limit: math.MaxInt},
			})
			answers(p.History, results, err)
		}
	}
}

// classes writes the targets of each class of a step of batches, in pages of three, and a snapshot that
// has no room for targets.
func (p *performer) classes(ctx context.Context, job store.JobID, id step.ID) {
	for class := range store.SucceededTargets + 1 {
		for after, last := int32(-2), int32(-1); last > after; { // a broken store may repeat a page
			after = last
			rows, err := p.store.Targets(ctx, store.TargetFilter{Job: job, Step: id, Class: class, Page: store.Page[int32]{After: after, Limit: 3}})
			answers(p.History, rows, err)
			if len(rows) > 0 {
				last = rows[len(rows)-1].Index
			}
		}
	}
	snapshot, err := p.store.Snapshot(ctx, store.SnapshotQuery{Job: job, Targets: 1})
	answer(p.History, snapshot, err)
}
