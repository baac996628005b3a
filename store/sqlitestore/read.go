package sqlitestore

import (
	"context"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// read runs f on one of the readers.
func (s *Store) read(ctx context.Context, f func(r *conn) error) error {
	r, err := s.readers.take(ctx)
	if err != nil {
		return err
	}
	defer s.readers.put(r)
	return r.read(ctx, f)
}

// read runs f in a transaction that sees the database as of one moment. It does nothing if
// ctx has ended; what f has begun to read is not interrupted.
func (c *conn) read(ctx context.Context, f func(r *conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.do(beginRead); err != nil {
		return err
	}
	err := f(c)
	if end := c.do(rollback); err == nil {
		err = end
	}
	return err
}

// readJob is read for a job that must be in a scope.
func (s *Store) readJob(ctx context.Context, scope store.Scope, job store.JobID, f func(r *conn) error) error {
	return s.read(ctx, func(r *conn) error {
		found, err := list(r, scanFound, findJob, inScopeOf(job, scope)...)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return store.ErrNotFound
		}
		return f(r)
	})
}

// inScopeOf returns the parameters of a query for a job that must be in a scope. The query asks
// for both at once, so that a job of another scope costs what one that does not exist costs.
func inScopeOf(job store.JobID, scope store.Scope) []any {
	return []any{job, scope == store.Scope{}, scope.Type, scope.ID}
}

// View implements store.Store. It borrows the writer where that is idle, as what was written
// last is still in its memory; the readers read it again after each commit.
func (s *Store) View(ctx context.Context, q store.Query) (v store.View, err error) {
	view := func(r *conn) error { return r.view(q, &v) }
	if w, idle := s.writers.idle(); idle {
		err = w.wait(ctx, func() error { return w.read(ctx, view) })
		s.writers.put(w)
	} else {
		err = s.read(ctx, view)
	}
	if err != nil {
		return store.View{}, failed(err, "view job %d", q.Job)
	}
	return v, nil
}

func (r *conn) view(q store.Query, v *store.View) error {
	err := r.header(q.Scope, q.Job, &v.Job)
	if err != nil {
		return err
	}
	id := q.Step
	if id == 0 {
		id = v.Job.Current
	}
	if id < 1 {
		return store.ErrNotFound
	}
	steps, err := list(r, scanStep, selectSteps, q.Job, id-1, 2)
	if err != nil {
		return err
	}
	if len(steps) == 0 { // they have no gaps
		return store.ErrNotFound
	}
	v.Step = steps[0]
	if len(steps) == 2 {
		v.Next = steps[1]
	}
	if len(q.Targets) > 0 {
		if v.Targets, err = r.listed(selectTargets, q.Job, &v.Step, q.Targets); err != nil {
			return err
		}
	}
	if q.Request == (store.RequestID{}) {
		return nil
	}
	records, err := list(r, scanRecord, selectReplay, q.Job, q.Request[:])
	if err == nil && len(records) == 1 {
		v.Replay = &records[0]
	}
	return err
}

// header reads the header of a job that must be in a scope.
func (r *conn) header(scope store.Scope, job store.JobID, j *store.Job) error {
	jobs, err := list(r, scanJob, selectJob, inScopeOf(job, scope)...)
	if err != nil {
		return err
	}
	if len(jobs) == 0 {
		return store.ErrNotFound
	}
	*j = jobs[0]
	return nil
}

// Created implements store.Store.
func (s *Store) Created(ctx context.Context, scope store.Scope, request store.RequestID) (store.Record, error) {
	var found []store.Record
	err := s.read(ctx, func(r *conn) (err error) {
		found, err = list(r, scanRecord, selectCreated, scope.Type, scope.ID, request[:])
		return err
	})
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, failed(err, "look for the job that request %v created", request)
	}
	return found[0], nil
}

// Steps implements store.Store.
func (s *Store) Steps(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[step.ID]) (steps []store.Step, err error) {
	err = s.readJob(ctx, scope, job, func(r *conn) error {
		steps, err = list(r, scanStep, selectSteps, job, p.After, p.Limit)
		return err
	})
	return steps, failed(err, "read the steps of job %d", job)
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) (records []store.Record, err error) {
	err = s.readJob(ctx, scope, job, func(r *conn) error {
		records, err = list(r, scanRecord, selectHistory, job, p.After, p.Limit)
		return err
	})
	return records, failed(err, "read the history of job %d", job)
}

// Details implements store.Store.
func (s *Store) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	var found []store.Details
	err := s.readJob(ctx, q.Scope, q.Job, func(r *conn) (err error) {
		found, err = list(r, scanDetails, selectPayload, q.Job, q.Step)
		return err
	})
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Details{}, failed(err, "read the details of step %d of job %d", q.Step, q.Job)
	}
	return found[0], nil
}

// Overdue implements store.Store. Deadlines of the same time come in the order of their jobs.
// Its cost grows with those of other scopes that it passes over.
func (s *Store) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) (found []store.Overdue, err error) {
	err = s.read(ctx, func(r *conn) error {
		found, err = list(r, scanOverdue, selectOverdue, now, scope == store.Scope{}, scope.Type, scope.ID, limit)
		return err
	})
	return found, failed(err, "look for what is overdue")
}
