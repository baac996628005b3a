package pgstore_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// connect returns a pool on a schema, changed by each of with before it opens.
func connect(t testing.TB, dsn string, with ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range with {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// migrated returns a pool on a schema of its own with the tables in it.
func migrated(t testing.TB, with ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	pool := connect(t, pgtest.Schema(t), with...)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return pool
}

// hasty has commits not wait for the disk, which no test can tell that crashes no server.
func hasty(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["synchronous_commit"] = "off" }

// open returns a store on a pool that is closed with t.
func open(t testing.TB, pool *pgxpool.Pool, opts ...pgstore.Option) *pgstore.Store {
	t.Helper()
	st, err := pgstore.New(t.Context(), pool, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}

// emptied returns what opens stores on one schema, one after the other, each empty.
func emptied(pool *pgxpool.Pool, opts ...pgstore.Option) func(t testing.TB) store.Store {
	return func(t testing.TB) store.Store {
		t.Helper()
		if _, err := pool.Exec(t.Context(), `
			DELETE FROM stepgate_effects; DELETE FROM stepgate_records; DELETE FROM stepgate_target_sets;
			DELETE FROM stepgate_results; DELETE FROM stepgate_target_names; DELETE FROM stepgate_steps;
			DELETE FROM stepgate_creations; DELETE FROM stepgate_jobs`); err != nil {
			t.Fatal(err)
		}
		return open(t, pool, opts...)
	}
}
