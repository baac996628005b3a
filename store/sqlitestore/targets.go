package sqlitestore

import (
	"context"
	"encoding/json"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/store"
)

const setsAtOnce = 16 // rows of stepgate_target_sets that a search reads at once

// Targets implements store.Store.
func (s *Store) Targets(ctx context.Context, f store.TargetFilter) (targets []store.Target, err error) {
	err = s.readJob(ctx, f.Scope, f.Job, func(r *conn) error {
		steps, err := list(r, scanStanding, selectStanding, f.Job, f.Step)
		if err != nil {
			return err
		}
		if len(steps) == 0 {
			return store.ErrNotFound
		}
		if f.Attempt != 0 {
			targets, err = list(r, scanTarget, selectAttempt, f.Job, f.Step, f.Attempt, f.Page.After, f.Page.Limit)
			return err
		}
		st := &steps[0]
		st.ID = f.Step
		indices, err := r.ofClass(f.Job, st, f.Class, f.Page)
		if err == nil && len(indices) > 0 {
			targets, err = r.listed(selectNamedTargets, f.Job, st, indices)
		}
		return err
	})
	return targets, failed(err, "read the targets of step %d of job %d", f.Step, f.Job)
}

// ofClass returns the indices of the targets of s that a page of a class has. It looks at a
// bit of each target that it passes over, and reads no other row of it.
func (r *conn) ofClass(job store.JobID, s *store.Step, class store.Class, p store.Page[int32]) (found []int32, err error) {
	if s.Attempt == 0 && class != store.AllTargets {
		return nil, nil
	}
	for after := max(p.After, -1); after < s.Total-1 && len(found) < p.Limit; {
		first := (after + 1) / targetset.PerBlock
		part := *s // that ends where these blocks do
		part.Total = min(s.Total, (first+setsAtOnce)*targetset.PerBlock)
		var blocks []targetset.Block
		if class != store.AllTargets {
			if blocks, err = list(r, scanBlock, selectSets, job, s.ID, first, first+setsAtOnce); err != nil {
				return nil, err
			}
		}
		found = append(found, targetset.Select(class, &part, blocks, after, p.Limit-len(found))...)
		after = part.Total - 1
	}
	return found, nil
}

// listed returns the targets of s with these indices, in their order, but for those that
// there are not. The query says whether with their names.
func (r *conn) listed(q query, job store.JobID, s *store.Step, indices []int32) ([]store.Target, error) {
	var there []int32
	for _, i := range indices {
		if i >= 0 && i < s.Total {
			there = append(there, i)
		}
	}
	if len(there) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(there)
	if err != nil {
		return nil, err
	}
	return list(r, scanTarget, q, job, s.ID, string(text))
}
