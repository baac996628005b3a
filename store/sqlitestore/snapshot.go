package sqlitestore

import (
	"context"
	"slices"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
)

// Snapshot implements store.Store. It runs two statements, two more if it returns
// targets, and one more if a batch of them has begun.
func (s *Store) Snapshot(ctx context.Context, q store.SnapshotQuery) (snapshot store.Snapshot, err error) {
	err = s.read(ctx, func(r *conn) error {
		if err := r.header(q.Scope, q.Job, &snapshot.Job); err != nil {
			return err
		}
		if snapshot.Steps, err = list(r, scanStep, selectAllSteps, q.Job); err != nil {
			return err
		}
		if snapshot.Targets, err = r.allTargets(q, snapshot.Steps); len(snapshot.Targets) > 0 && slices.ContainsFunc(snapshot.Steps, hasBatches) {
			snapshot.Batches, err = list(r, scanBatch, selectAllBatches, q.Job)
		}
		return err
	})
	if err != nil {
		return store.Snapshot{}, failed(err, "take a snapshot of job %d", q.Job)
	}
	return snapshot, nil
}

func hasBatches(s store.Step) bool { return s.Batch > 0 }

// allTargets returns the targets of all steps, or none if there are more than q.Targets.
func (r *conn) allTargets(q store.SnapshotQuery, steps []store.Step) ([]store.Target, error) {
	total := 0
	for i := range steps {
		total += int(steps[i].Total)
	}
	if total == 0 || total > q.Targets {
		return nil, nil
	}
	blocks, err := list(r, scanNames, selectAllNames, q.Job)
	if err != nil {
		return nil, err
	}
	results, err := list(r, scanResult, selectAllResults, q.Job)
	if err != nil {
		return nil, err
	}
	return schema.Arrange(steps, blocks, results), nil
}
