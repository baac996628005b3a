package sqlitestore

import (
	"context"
	"errors"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/store"
)

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, c store.Change) error {
	if err := c.Check(); err != nil { // an invalid change would fail its whole group
		return err
	}
	err := s.write(ctx, commit{c})
	if code(err) == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
		return store.ErrConflict // the job already has a record of the request
	}
	return failed(err, "commit version %d of job %d", c.Job.Version, c.Job.ID)
}

// commit is a change of a job.
type commit struct{ store.Change }

func (c commit) keep() change { return commit{c.Clone()} }

func (c commit) apply(w *conn) error {
	if err := c.checkTurn(w); err != nil {
		return err
	}
	write := c.update
	if c.Base() == 0 {
		write = c.create
	}
	if err := write(w); err != nil {
		return err
	}
	if err := c.putTargets(w); err != nil {
		return err
	}
	for i := range c.Batches {
		if err := w.do(putBatch, values([]any{int64(c.Job.ID)}, schema.Batches, &c.Batches[i])...); err != nil {
			return err
		}
	}
	for i := range c.Records {
		if err := c.addRecord(w, &c.Records[i]); err != nil {
			return err
		}
	}
	return c.moveTurn(w)
}

// create adds the job and its steps. It fails with store.ErrConflict if the id or the request is
// in use.
func (c commit) create(w *conn) error {
	j := &c.Job
	n, err := w.exec(insertJob, append(values(nil, schema.Jobs, j), idOf(c.Records[0].Request))...)
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrConflict
	}
	for i := range c.Steps {
		if err := addStep(w, j.ID, &c.Steps[i], c.Specs[i].Targets); err != nil {
			return err
		}
	}
	return nil
}

// update changes the job and its steps. It fails with store.ErrConflict if the job is not at the
// version that the change was decided on. It writes no columns that never change.
func (c commit) update(w *conn) error {
	j := &c.Job
	args := values([]any{int64(j.ID), int64(c.Base())}, steady, j)
	q := updateJobSteady
	if slices.ContainsFunc(c.Records, func(r store.Record) bool { return r.JobFrom != r.JobTo }) {
		q, args = updateJob, append(args, int64(j.State))
	}
	n, err := w.exec(q, args...)
	if err != nil {
		return err
	}
	if n == 0 {
		return store.ErrConflict
	}
	for i := range c.Steps {
		s := &c.Steps[i]
		n, err := w.exec(updateStep, values([]any{int64(j.ID), int64(s.ID)}, changedOfStep, s)...)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the job has no such step")
		}
	}
	return nil
}

// addStep adds a step and the names of its targets.
func addStep(w *conn, job store.JobID, s *store.Step, targets []string) error {
	err := w.do(insertStep, values([]any{int64(job)}, stepRow, s)...)
	if err == nil && (s.Confirmers.IsSet() || s.Payload != "") {
		err = w.do(insertTexts, values([]any{int64(job), int64(s.ID)}, stepTexts, s)...)
	}
	blocks := schema.BlocksOf(s.ID, targets)
	for i := range blocks {
		if err != nil {
			return err
		}
		err = w.do(insertNames, values([]any{int64(job)}, schema.TargetNames, &blocks[i])...)
	}
	return err
}

// putTargets writes the results, and updates the target sets of their step.
func (c commit) putTargets(w *conn) error {
	if len(c.Targets) == 0 {
		return nil
	}
	job, s := c.Job.ID, &c.Steps[0]
	for i := range c.Targets {
		t := &c.Targets[i]
		if err := w.do(putResult, values([]any{int64(job), int64(s.ID)}, schema.Results, t)...); err != nil {
			return err
		}
	}
	for _, b := range targetset.Changed(s, c.BatchesOf(s.ID), c.Targets) {
		known, err := list(w, scanBlock, selectSet, job, s.ID, b.Number)
		if err != nil {
			return err
		}
		if len(known) == 1 {
			b = known[0].Add(b)
		}
		if err := w.do(putSet, values([]any{int64(job), int64(s.ID)}, schema.TargetSets, &b)...); err != nil {
			return err
		}
	}
	return nil
}

// addRecord adds a record and its effect.
func (c commit) addRecord(w *conn, r *store.Record) error {
	err := w.do(insertRecord, values(nil, schema.Records, r)...)
	if err != nil {
		return err
	}
	if d, ok := c.Delivery(r); ok {
		return w.do(insertEffect, values(nil, schema.Effects, &d)...)
	}
	return nil
}
