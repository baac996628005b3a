package sqlitestore

import (
	"context"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
)

// Snapshot implements store.Store. It is two statements, and two more if it returns targets.
func (s *Store) Snapshot(ctx context.Context, q store.SnapshotQuery) (snapshot store.Snapshot, err error) {
	err = s.read(ctx, func(r *conn) error {
		if err := r.header(q.Scope, q.Job, &snapshot.Job); err != nil {
			return err
		}
		if snapshot.Steps, err = list(r, scanStep, selectAllSteps, q.Job); err != nil {
			return err
		}
		snapshot.Targets, err = r.allTargets(q, snapshot.Steps)
		return err
	})
	if err != nil {
		return store.Snapshot{}, failed(err, "take a snapshot of job %d", q.Job)
	}
	return snapshot, nil
}

// allTargets returns the targets of all steps, unless there are more than q asks for.
func (r *conn) allTargets(q store.SnapshotQuery, steps []store.Step) ([]store.Target, error) {
	first := make([]int, len(steps)+1) // of each step among all targets
	for i := range steps {
		first[i+1] = first[i] + int(steps[i].Total)
	}
	total := first[len(steps)]
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
	targets := make([]store.Target, total)
	for i := range results {
		targets[first[results[i].step-1]+int(results[i].Index)] = results[i].Target
	}
	for _, b := range blocks {
		index := b.Block * schema.NamesPerBlock
		for name := range b.Names.All() {
			t := &targets[first[b.Step-1]+int(index)]
			t.Index, t.Name = index, name
			index++
		}
	}
	return targets, nil
}
