package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// A retrier is a step of which some targets have failed, somewhere.
type retrier struct {
	retry  func(ctx context.Context) error                   // what has failed
	report func(ctx context.Context, targets ...int32) error // these have failed again; with the last of them the step has

	ledger
	close func() error
}

// stepgateOnPostgres returns a step on a pgstore in a schema of its own.
func (r *run) stepgateOnPostgres(ctx context.Context, targets int) (*retrier, error) {
	pool, remove, err := r.pool(ctx, 2)
	if err != nil {
		return nil, err
	}
	st, err := openPostgres(ctx, pool)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	end := func() error { st.Close(); return remove() }
	x, err := retries(ctx, engine.New(st), targets)
	if err == nil {
		err = vacuum(ctx, pool)
	}
	if err != nil {
		return nil, errors.Join(err, end())
	}
	x.ledger, x.close = postgresLedger(pool), end
	return x, nil
}

// stepgateOnSQLite returns a step on a sqlitestore in a file of its own.
func (r *run) stepgateOnSQLite(ctx context.Context, targets int) (*retrier, error) {
	dir, err := os.MkdirTemp(r.disk, "sqlite-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "jobs.db")
	st, err := sqlitestore.Open(path) // which migrates it
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		return nil, err
	}
	c, err := newKnown(path)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	if st, err = sqlitestore.New(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	end := func() error { return errors.Join(st.Close(), db.Close(), c.other.Close(), os.RemoveAll(dir)) }
	x, err := retries(ctx, engine.New(st), targets)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	x.ledger, x.close = c.ledger(), end
	return x, nil
}

// retries returns what retries a step on one of Stepgate's stores.
func retries(ctx context.Context, eng *engine.Engine, targets int) (*retrier, error) {
	id, err := failedJob(ctx, eng, targets)
	if err != nil {
		return nil, err
	}
	attempt := int32(1)
	return &retrier{
		retry: func(ctx context.Context) error {
			record, err := eng.Operate(ctx, id, 1, operation.RetryFailed, engine.Request{By: "ann"})
			attempt = record.Attempt
			return err
		},
		report: func(ctx context.Context, failed ...int32) error {
			now := step.Time(time.Now().UnixMilli())
			r := engine.Report{Job: id, Step: 1, Attempt: attempt}
			for _, target := range failed {
				r.Results = append(r.Results, engine.TargetResult{Target: target, Result: store.Result{Status: step.TargetFailed, ExitCode: 1, Started: now - 1000, Finished: now}})
			}
			_, err := eng.Report(ctx, r)
			return err
		},
	}, nil
}
