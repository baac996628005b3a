package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// jobsOfCaller is how many jobs a caller has, so that callers do not meet.
const jobsOfCaller = 8

// An operator takes the confirmations of one caller's jobs to and fro. It is used by one goroutine at
// a time.
type operator struct {
	jobs []store.JobID
	n    int
}

func (o *operator) operate(ctx context.Context, eng *engine.Engine) error {
	id, code := o.jobs[o.n%len(o.jobs)], moves[o.n/len(o.jobs)%2].code
	o.n++
	_, err := eng.Operate(ctx, id, 1, code, engine.Request{By: "ann"})
	return err
}

// operators starts jobs for so many callers.
func operators(ctx context.Context, eng *engine.Engine, callers int) ([]operator, error) {
	jobs, err := started(ctx, eng, callers*jobsOfCaller, min(callers, 32), asking(5))
	all := make([]operator, callers)
	for i := range all {
		all[i].jobs = jobs[i*jobsOfCaller:][:jobsOfCaller]
	}
	return all, err
}

// onMemory operates on memstore. Its effects are settled outside the timed part.
func onMemory(ctx context.Context, name string, callers int) (subject, error) {
	st := memstore.New()
	eng := engine.New(st)
	all, err := operators(ctx, eng, callers)
	return subject{
		name: name, every: max(4096/callers, 1),
		unit:  "an operation that is accepted, on jobs of the caller's own, from Operate until its receipt: load, decide, commit, with a record and an effect, which stays unclaimed",
		op:    func(ctx context.Context, caller, _ int) error { return all[caller].operate(ctx, eng) },
		pause: func(ctx context.Context) error { return settle(ctx, st) },
	}, err
}

// onSQLite operates on a file of its own.
func (r *run) onSQLite(ctx context.Context, name string, callers int) (subject, error) {
	st, err := sqlitestore.Open(filepath.Join(r.disk, fmt.Sprintf("stepgate-%d.db", serial.Add(1))))
	if err != nil {
		return subject{}, err
	}
	eng := engine.New(st)
	all, err := operators(ctx, eng, callers)
	if err != nil {
		return subject{}, errors.Join(err, st.Close())
	}
	return subject{
		name:  name,
		unit:  "the same: a read and a commit, which is flushed; concurrent calls share a commit",
		op:    func(ctx context.Context, caller, _ int) error { return all[caller].operate(ctx, eng) },
		close: st.Close,
	}, nil
}

// serial makes the names of files differ.
var serial atomic.Int64

// conns is how many connections each subject has to PostgreSQL at most: as many as DBOS opens
// by itself.
const conns = 20

// onPostgres operates in a schema of its own.
func (r *run) onPostgres(ctx context.Context, name string, callers int) (subject, error) {
	pool, remove, err := r.pool(ctx, conns)
	if err != nil {
		return subject{}, err
	}
	if err := pgstore.Migrate(ctx, pool); err != nil {
		return subject{}, errors.Join(err, remove())
	}
	st, err := pgstore.New(ctx, pool)
	if err != nil {
		return subject{}, errors.Join(err, remove())
	}
	eng := engine.New(st)
	all, err := operators(ctx, eng, callers)
	if err != nil {
		st.Close()
		return subject{}, errors.Join(err, remove())
	}
	return subject{
		name:  name,
		unit:  "the same: two round trips, of which the second commits; concurrent calls share both",
		op:    func(ctx context.Context, caller, _ int) error { return all[caller].operate(ctx, eng) },
		end:   func(context.Context) error { pool.Reset(); return nil }, // the connections are others' now
		close: func() error { st.Close(); return remove() },
	}, nil
}
