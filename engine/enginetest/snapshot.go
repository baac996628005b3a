package enginetest

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Snapshot is all that is known of one job at one moment: what an [Invariant] looks at.
type Snapshot struct {
	Rules   *operation.Rules // nil means the documented ones
	Spec    engine.JobSpec   // as the job was created
	Job     store.Job        //
	Steps   []store.Step     // all of them, with their payloads
	Targets [][]store.Target // by step, step 1 first: all of them, none of a step that asks
	History []store.Record   // all of it
	Effects []store.Delivery // that wait for delivery
}

// Load reads a job whole. Nothing may change it meanwhile. nil rules mean the documented
// ones.
func Load(ctx context.Context, st store.Store, rules *operation.Rules, id store.JobID, spec engine.JobSpec) (Snapshot, error) {
	const all = 1 << 30
	s := Snapshot{Rules: rules, Spec: spec}
	view, err := st.View(ctx, store.Query{Job: id})
	if err != nil {
		return s, fmt.Errorf("job %d: %w", id, err)
	}
	s.Job = view.Job
	if s.Steps, err = st.Steps(ctx, store.Scope{}, id, store.Page[step.ID]{Limit: all}); err != nil {
		return s, fmt.Errorf("job %d: steps: %w", id, err)
	}
	for i := range s.Steps {
		row := &s.Steps[i]
		details, err := st.Details(ctx, store.DetailQuery{Job: id, Step: row.ID})
		if err != nil {
			return s, fmt.Errorf("job %d: details of step %d: %w", id, row.ID, err)
		}
		row.Payload = details.Payload
		targets, err := st.Targets(ctx, store.TargetFilter{Job: id, Step: row.ID, Page: store.Page[int32]{After: -1, Limit: all}})
		if err != nil {
			return s, fmt.Errorf("job %d: targets of step %d: %w", id, row.ID, err)
		}
		s.Targets = append(s.Targets, targets)
	}
	if s.History, err = st.History(ctx, store.Scope{}, id, store.Page[store.Seq]{Limit: all}); err != nil {
		return s, fmt.Errorf("job %d: history: %w", id, err)
	}
	if s.Effects, err = st.Effects(ctx, store.Scope{}, id, store.Page[store.Seq]{Limit: all}); err != nil {
		return s, fmt.Errorf("job %d: effects: %w", id, err)
	}
	return s, nil
}
