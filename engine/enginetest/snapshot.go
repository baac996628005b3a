package enginetest

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Snapshot is the whole stored state of one job at one moment, the argument of an [Invariant].
type Snapshot struct {
	Rules   *operation.Rules // nil means the documented ones
	Spec    engine.JobSpec   // of the creation
	Job     store.Job        // the header
	Steps   []store.Step     // all steps, with their payloads
	Targets [][]store.Target // all targets, by step, step 1 first; none of a step that asks
	Batches []store.Batch    // that have begun, by step and number
	History []store.Record   // all records
	Effects []store.Delivery // that are not settled
}

// Load reads a whole job, which must not change meanwhile. nil rules mean the documented ones.
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
		s.Batches = append(s.Batches, details.Batches...)
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
