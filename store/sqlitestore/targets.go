package sqlitestore

import (
	"context"
	"encoding/json"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/store"
)

const setsAtOnce = 16 // rows of stepgate_target_sets per query

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

// ofClass returns the indices of the targets of s on a page of a class. For a target of another
// class it reads one bit and no row.
func (r *conn) ofClass(job store.JobID, s *store.Step, class store.Class, p store.Page[int32]) (found []int32, err error) {
	if class == store.AllTargets || s.Attempt == 0 {
		return targetset.Select(class, s, nil, nil, p.After, p.Limit), nil
	}
	batches, err := r.batches(job, s)
	if err != nil {
		return nil, err
	}
	after := max(p.After, -1)
	if class == store.DueTargets || class == store.UnfinishedTargets {
		after = max(after, s.Run.First-1) // none is in an earlier batch
	}
	for after < s.Total-1 && len(found) < p.Limit {
		first, last, end := targetset.Blocks(s, batches, after+1, setsAtOnce)
		if last < first {
			break
		}
		blocks, err := list(r, scanBlock, selectSets, job, s.ID, first, last)
		if err != nil {
			return nil, err
		}
		part := *s // ends with these blocks
		part.Total = end
		found = append(found, targetset.Select(class, &part, batches, blocks, after, p.Limit-len(found))...)
		after = end - 1
	}
	return found, nil
}

// batches returns the batches of s that have begun.
func (r *conn) batches(job store.JobID, s *store.Step) ([]store.Batch, error) {
	if s.Batch == 0 {
		return nil, nil
	}
	return list(r, scanBatch, selectBatches, job, s.ID)
}

// listed returns the targets of s with the given indices, in that order, and skips indices that s
// does not have. The query determines whether with names.
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
