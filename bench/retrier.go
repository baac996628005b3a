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

// A retrier is a step with some failed targets, of Stepgate or of the model.
type retrier struct {
	retry  func(ctx context.Context) error                   // the failed targets
	report func(ctx context.Context, targets ...int32) error // these have failed again; the last report ends the step

	ledger
	close func() error
}

// stepgateOnPostgres returns a step on a pgstore in a schema of its own.
func (r *run) stepgateOnPostgres(ctx context.Context, targets int) (*retrier, error) {
	return retriesOn(ctx, r.postgresBook, targets)
}

// stepgateOnSQLite returns a step on a sqlitestore in a file of its own.
func (r *run) stepgateOnSQLite(ctx context.Context, targets int) (*retrier, error) {
	return retriesOn(ctx, r.sqliteBook, targets)
}

// postgresBook returns a pgstore in a schema of its own.
func (r *run) postgresBook(ctx context.Context) (book, error) {
	pool, remove, err := r.pool(ctx, 2)
	if err != nil {
		return book{}, err
	}
	st, err := openPostgres(ctx, pool)
	if err != nil {
		return book{}, errors.Join(err, remove())
	}
	return book{
		Engine: engine.New(st), ledger: postgresLedger(pool),
		clean: func(ctx context.Context) error { return vacuum(ctx, pool) },
		close: func() error { st.Close(); return remove() },
	}, nil
}

// sqliteBook returns a sqlitestore in a file of its own.
func (r *run) sqliteBook(ctx context.Context) (book, error) {
	dir, err := os.MkdirTemp(r.disk, "sqlite-")
	if err != nil {
		return book{}, err
	}
	path := filepath.Join(dir, "jobs.db")
	st, err := sqlitestore.Open(path) // which migrates it
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		return book{}, err
	}
	c, err := newKnown(path)
	if err != nil {
		return book{}, err
	}
	db := sql.OpenDB(c)
	if st, err = sqlitestore.New(ctx, db); err != nil {
		return book{}, errors.Join(err, db.Close())
	}
	return book{
		Engine: engine.New(st), ledger: c.ledger(),
		close: func() error { return errors.Join(st.Close(), db.Close(), c.other.Close(), os.RemoveAll(dir)) },
	}, nil
}

// retriesOn returns what retries a step on the store of a book.
func retriesOn(ctx context.Context, open func(context.Context) (book, error), targets int) (*retrier, error) {
	b, err := open(ctx)
	if err != nil {
		return nil, err
	}
	x, err := retries(ctx, b.Engine, targets)
	if err == nil && b.clean != nil {
		err = b.clean(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	x.ledger, x.close = b.ledger, b.close
	return x, nil
}

// retries returns a retrier on one of Stepgate's stores.
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
