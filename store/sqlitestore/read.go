package sqlitestore

import (
	"cmp"
	"context"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// read runs f on a reading connection.
func (s *Store) read(ctx context.Context, f func(r *conn) error) error {
	r, err := s.readers.take(ctx)
	if err != nil {
		return err
	}
	defer s.readers.put(r)
	return r.read(ctx, f)
}

// read runs f in a transaction that sees the database at one moment. It does nothing if ctx has
// ended, and does not interrupt f.
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

// readJob is read with store.ErrNotFound for a job that does not exist or is outside the scope.
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

// inScopeOf returns the parameters of a query for a job in a scope. One query checks both: a job
// of another scope takes as long as a job that does not exist.
func inScopeOf(job store.JobID, scope store.Scope) []any {
	return []any{job, scope == store.Scope{}, scope.Type, scope.ID}
}

// View implements store.Store. It reads on the writer if that is idle: the writer has the last
// commit in its cache, which the readers read again after each commit.
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
	if len(steps) == 0 { // step ids have no gaps
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
	if turn := turnOf(&v.Job); turn != nil {
		if v.Turn, err = r.turnFree(turn); err != nil {
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

// header reads the header of a job in a scope, or returns store.ErrNotFound.
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
	var found []batched
	err := s.readJob(ctx, q.Scope, q.Job, func(r *conn) (err error) {
		found, err = list(r, scanDetails, selectPayload, q.Job, q.Step)
		if err == nil && len(found) == 1 && found[0].batch > 0 {
			found[0].Batches, err = list(r, scanBatch, selectBatches, q.Job, q.Step)
		}
		return err
	})
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Details{}, failed(err, "read the details of step %d of job %d", q.Step, q.Job)
	}
	return found[0].Details, nil
}

// Overdue implements store.Store. In a scope it also reads the moments of other scopes that have come.
func (s *Store) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) (found []store.Overdue, err error) {
	err = s.read(ctx, func(r *conn) error {
		args := []any{now, scope == store.Scope{}, scope.Type, scope.ID, limit}
		if found, err = list(r, scanOverdue, selectOverdue, args...); err != nil {
			return err
		}
		turns, err := list(r, scanOverdue, selectTurnsDue, args...)
		if found = append(found, turns...); len(turns) > 0 {
			slices.SortStableFunc(found, func(a, b store.Overdue) int { return cmp.Compare(a.Due, b.Due) })
			found = found[:min(len(found), limit)]
		}
		return err
	})
	return found, failed(err, "look for steps that are due")
}
