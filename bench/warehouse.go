package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// A warehouse is a store that is filled faster than by an engine's calls.
type warehouse struct {
	engine *engine.Engine

	// stock stores jobs of one step, none of them started, and returns the id of the first. The other
	// ids follow it.
	stock func(ctx context.Context, jobs int) (store.JobID, error)

	// age gives started jobs a longer history, of an even number of records, as if their
	// confirmations had been refused and asked for again.
	age func(ctx context.Context, jobs []store.JobID, records int) error

	// reopen prepares the filled store for the measurement.
	reopen func(ctx context.Context) error

	// close closes the store and removes its data.
	close func() error
}

// scopes is the number of scopes of the jobs of a stock.
const scopes = 100

var stocked = engine.JobSpec{
	Name: "filler", Scope: store.Scope{Type: "biz", ID: "0"},
	Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}},
}

// memoryWarehouse returns an empty memstore.
func memoryWarehouse(context.Context) (*warehouse, error) {
	var last atomic.Int64
	w := &warehouse{engine: engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return store.JobID(last.Add(1)) }))}
	w.stock = func(ctx context.Context, jobs int) (store.JobID, error) {
		spec := stocked
		for n := range jobs {
			spec.Scope.ID = scopeID(n)
			if _, err := w.engine.Create(ctx, spec, engine.Request{}); err != nil {
				return 0, err
			}
		}
		return store.JobID(last.Load()) - store.JobID(jobs-1), nil
	}
	w.age = func(ctx context.Context, jobs []store.JobID, records int) error {
		for _, id := range jobs {
			for n := range records - 2 { // besides the creation and the start
				if _, err := w.engine.Operate(ctx, id, 1, moves[n%2].code, engine.Request{By: "ann"}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	w.reopen = func(context.Context) error { return nil }
	w.close = func() error { w.engine = nil; return nil }
	return w, nil
}

// sqliteWarehouse returns an empty sqlitestore in a file of its own.
func (r *run) sqliteWarehouse(context.Context) (*warehouse, error) {
	dir, err := os.MkdirTemp(r.disk, "sqlite-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "jobs.db")
	st, err := sqlitestore.Open(path)
	if err != nil {
		return nil, err
	}
	w := &warehouse{engine: engine.New(st)}
	fill := func(ctx context.Context, do func(filler) error) error { return fillSQLite(ctx, path, do) }
	w.stock = func(ctx context.Context, jobs int) (store.JobID, error) {
		return stock(ctx, w.engine, fill, jobs, "stepgate_jobs", "stepgate_steps", "stepgate_records")
	}
	w.age = func(ctx context.Context, jobs []store.JobID, records int) error {
		return age(ctx, w.engine, fill, jobs, records)
	}
	w.reopen = func(context.Context) error {
		err := st.Close()
		if err == nil {
			st, err = sqlitestore.Open(path)
			w.engine = engine.New(st)
		}
		return err
	}
	w.close = func() error { return errors.Join(st.Close(), os.RemoveAll(dir)) }
	return w, nil
}

// noPostgres says that there is no PostgreSQL; "" if there is one.
func (r *run) noPostgres() string {
	if r.dsn != "" {
		return ""
	}
	return "no PostgreSQL"
}

// postgresWarehouse returns an empty pgstore in a schema of its own.
func (r *run) postgresWarehouse(ctx context.Context) (*warehouse, error) {
	pool, remove, err := r.pool(ctx, 4)
	if err != nil {
		return nil, err
	}
	st, err := openPostgres(ctx, pool)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	w := &warehouse{engine: engine.New(st)}
	fill := func(ctx context.Context, do func(filler) error) error { return do(fillPostgres(ctx, pool)) }
	w.stock = func(ctx context.Context, jobs int) (store.JobID, error) {
		return stock(ctx, w.engine, fill, jobs, "stepgate_jobs", "stepgate_creations", "stepgate_steps", "stepgate_records")
	}
	w.age = func(ctx context.Context, jobs []store.JobID, records int) error {
		return age(ctx, w.engine, fill, jobs, records)
	}
	w.reopen = func(ctx context.Context) error { return vacuum(ctx, pool) }
	w.close = func() error { st.Close(); return remove() }
	return w, nil
}

func openPostgres(ctx context.Context, pool *pgxpool.Pool) (*pgstore.Store, error) {
	if err := pgstore.Migrate(ctx, pool); err != nil {
		return nil, err
	}
	return pgstore.New(ctx, pool)
}
