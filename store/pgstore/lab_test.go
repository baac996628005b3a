package pgstore_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// connect returns a pool on a schema, changed by each of with before it opens. The server
// knows its connections by the name of the schema.
func connect(t testing.TB, dsn string, with ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = params["search_path"]
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

// shared returns a connection string of a schema with the tables in it, and a pool on it.
func shared(t testing.TB, with ...func(*pgxpool.Config)) (dsn string, pool *pgxpool.Pool) {
	t.Helper()
	dsn = pgtest.Schema(t)
	pool = connect(t, dsn, with...)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return dsn, pool
}

// migrated returns a pool on a schema of its own with the tables in it.
func migrated(t testing.TB, with ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	_, pool := shared(t, with...)
	return pool
}

// hasty has commits not wait for the disk, which no test can tell that crashes no server.
func hasty(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["synchronous_commit"] = "off" }

// conns limits a pool.
func conns(n int32) func(*pgxpool.Config) { return func(c *pgxpool.Config) { c.MaxConns = n } }

// execute runs statements.
func execute(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// ask returns the one value that a statement gives.
func ask[T any](t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// stuck returns how many connections to the schema of pool wait for a lock.
func stuck(t testing.TB, pool *pgxpool.Pool) int {
	t.Helper()
	return ask[int](t, pool, `SELECT count(*) FROM pg_stat_activity WHERE application_name = current_schema() AND wait_event_type = 'Lock'`)
}

// blocked waits until n connections to the schema of pool wait for a lock.
func blocked(t testing.TB, pool *pgxpool.Pool, n int) {
	t.Helper()
	jobkit.Eventually(t, fmt.Sprintf("%d connections wait for a lock", n), func() bool { return stuck(t, pool) == n })
}

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
		execute(t, pool, `
			DELETE FROM stepgate_effects; DELETE FROM stepgate_records; DELETE FROM stepgate_target_sets;
			DELETE FROM stepgate_turns; DELETE FROM stepgate_batches; DELETE FROM stepgate_results; DELETE FROM stepgate_target_names; DELETE FROM stepgate_steps;
			DELETE FROM stepgate_creations; DELETE FROM stepgate_jobs`)
		return open(t, pool, opts...)
	}
}
