package sqlitestore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, c store.Change) error {
	if err := c.Check(); err != nil { // before it joins a group, which it would spoil
		return err
	}
	err := s.write(ctx, commit{c})
	if code(err) == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
		return store.ErrConflict // the job has a record of the request
	}
	return failed(err, "commit version %d of job %d", c.Job.Version, c.Job.ID)
}

// commit is a change of a job.
type commit struct{ store.Change }

func (c commit) keep() change { return commit{c.Clone()} }

func (c commit) apply(w *conn) error {
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
	for i := range c.Records {
		if err := addRecord(w, &c.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

// create adds the job, unless its id or its request is known, and its steps.
func (c commit) create(w *conn) error {
	j := &c.Job
	n, err := w.exec(insertJob, j.ID, j.Scope.Type, j.Scope.ID, j.Name, j.State, j.Version, j.Moved, j.Current,
		j.Steps, j.Skipped, j.Ignored, j.Created, j.Started, j.Finished, j.Updated, j.Sealed, idOf(c.Records[0].Request))
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

// update changes the job if it is at the version that the change was decided on, and its
// steps. It leaves alone what never changes.
func (c commit) update(w *conn) error {
	j := &c.Job
	args := []any{j.ID, c.Base(), j.Version, j.Moved, j.Current, j.Skipped, j.Ignored, j.Started, j.Finished, j.Updated, j.Sealed, j.State}
	q := updateJob
	if !slices.ContainsFunc(c.Records, func(r store.Record) bool { return r.JobFrom != r.JobTo }) {
		q, args = updateJobSteady, args[:len(args)-1]
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
		n, err := w.exec(updateStep, j.ID, s.ID, s.State, s.Attempt, s.Full, s.Succeeded, s.Unfinished, s.Started, s.Finished, s.Deadline)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("a change of a step that the job does not have")
		}
	}
	return nil
}

// addStep adds a step and the names of its targets.
func addStep(w *conn, job store.JobID, s *store.Step, targets []string) error {
	err := w.do(insertStep, job, s.ID, s.Type, s.Name, s.IgnoreErrors, s.OnTimeout, s.Timeout, s.Total,
		s.State, s.Attempt, s.Full, s.Succeeded, s.Unfinished, s.Started, s.Finished, s.Deadline)
	if err == nil && (s.Confirmers.IsSet() || s.Payload != "") {
		var confirmers any
		if confirmers, err = textOf(s.Confirmers); err == nil {
			err = w.do(insertTexts, job, s.ID, confirmers, s.Payload)
		}
	}
	block := 0
	for chunk := range slices.Chunk(targets, namesInABlock) {
		if err != nil {
			return err
		}
		var names []byte
		if names, err = json.Marshal(chunk); err == nil {
			err = w.do(insertNames, job, s.ID, block, string(names))
		}
		block++
	}
	return err
}

// textOf returns a list as the database keeps it, nil for no list.
func textOf(names step.Names) (any, error) {
	if !names.IsSet() {
		return nil, nil
	}
	text, err := json.Marshal(names)
	return string(text), err
}

// putTargets keeps the results and what they mean for the classes of their step.
func (c commit) putTargets(w *conn) error {
	if len(c.Targets) == 0 {
		return nil
	}
	job, s := c.Job.ID, &c.Steps[0]
	for i := range c.Targets {
		t := &c.Targets[i]
		if err := w.do(putResult, job, s.ID, t.Index, t.Attempt, t.Success, t.Status, t.ExitCode, t.Started, t.Finished, t.Detail); err != nil {
			return err
		}
	}
	for _, b := range targetset.Changed(s, c.Targets) {
		known, err := list(w, scanBlock, selectSet, job, s.ID, b.Number)
		if err != nil {
			return err
		}
		if len(known) == 1 {
			b = known[0].Add(b)
		}
		if err := w.do(putSet, job, s.ID, b.Number, b.Era, []byte(b.Succeeded), b.Attempt, []byte(b.Finished)); err != nil {
			return err
		}
	}
	return nil
}

// addRecord adds a record and its effect.
func addRecord(w *conn, r *store.Record) error {
	err := w.do(insertRecord, r.Job, r.Seq, r.At, r.Cause, idOf(r.Request), r.Actor, r.Reason,
		r.Step, r.Entered, r.Attempt, r.All, r.From, r.To, r.JobFrom, r.JobTo, r.Succeeded, r.Unfinished, r.Results, r.Targets, r.Effect)
	if err != nil {
		return err
	}
	if d, ok := r.Delivery(store.Scope{}); ok {
		return w.do(insertEffect, d.Job, d.Seq, d.At, d.Effect, d.NotBefore, d.Count, d.Failures, d.Delivered, d.LastError)
	}
	return nil
}

// idOf returns a request or a token as the database keeps it, nil for none.
func idOf(id [16]byte) any {
	if id == ([16]byte{}) {
		return nil
	}
	return id[:]
}
