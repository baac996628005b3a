package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// openStore opens a store in a schema of its own, which is made if there is none.
func openStore(ctx context.Context, dsn, schema string) (*pgxpool.Pool, *pgstore.Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	config.MaxConns = 8
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	_, err = pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	if err == nil {
		err = pgstore.Migrate(ctx, pool)
	}
	var st *pgstore.Store
	if err == nil {
		st, err = pgstore.New(ctx, pool, pgstore.WithTimeout(5*time.Second))
	}
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return pool, st, nil // close the store before the pool
}

// confirmTicket confirms a step, and writes a row of the program's own in the same transaction.
func confirmTicket(ctx context.Context, eng *engine.Engine, job store.JobID) (store.Record, error) {
	ctx = pgstore.Alongside(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO tickets (job, approved_by) VALUES ($1, 'alice')`, int64(job))
		return err
	})
	return eng.Operate(ctx, job, 1, operation.Confirm, engine.Request{By: "alice"})
}

// The program of docs/stores.md works: stores in two schemas of one database, and a row of the caller's
// in the transaction of an operation.
func TestFragments(t *testing.T) {
	dsn := pgtest.Schema(t)
	base := ask[string](t, connect(t, dsn), `SELECT current_schema::text`) // a name that no other test has
	engines := map[string]*engine.Engine{}
	var pool *pgxpool.Pool // of the last one
	for _, schema := range []string{base + "_a", base + "_b"} {
		p, st, err := openStore(t.Context(), dsn, schema)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			st.Close()
			_, err := p.Exec(context.Background(), "DROP SCHEMA "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
			if err != nil {
				t.Error(err)
			}
			p.Close()
		})
		pool, engines[schema] = p, engine.New(st)
	}
	job := jobkit.Start(t, engines[base+"_b"], jobkit.Asking(1))
	if _, err := engines[base+"_a"].Job(t.Context(), job); !errors.Is(err, operation.NoSuchJob) {
		t.Errorf("a job of the other schema: %v, want %v", err, operation.NoSuchJob)
	}

	execute(t, pool, `CREATE TABLE tickets (job bigint, approved_by text)`)
	if _, err := confirmTicket(t.Context(), engines[base+"_b"], job); err != nil {
		t.Fatal(err)
	}
	if _, err := confirmTicket(t.Context(), engines[base+"_b"], job); !errors.Is(err, operation.WrongState) {
		t.Errorf("the second confirmation: %v, want %v", err, operation.WrongState)
	}
	if n := ask[int](t, pool, `SELECT count(*)::int FROM tickets WHERE job = $1`, int64(job)); n != 1 {
		t.Errorf("%d rows of the program's own, want 1", n)
	}
}
