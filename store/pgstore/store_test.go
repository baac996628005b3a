package pgstore_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/storetest"
)

// migrated returns a pool on a schema of its own with the tables in it.
func migrated(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Pool(t)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return pool
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
		if _, err := pool.Exec(t.Context(), `
			DELETE FROM stepgate_effects; DELETE FROM stepgate_records; DELETE FROM stepgate_target_sets;
			DELETE FROM stepgate_results; DELETE FROM stepgate_target_names; DELETE FROM stepgate_steps;
			DELETE FROM stepgate_creations; DELETE FROM stepgate_jobs`); err != nil {
			t.Fatal(err)
		}
		return open(t, pool, opts...)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, emptied(migrated(t)))
}

func TestStoreWithoutGroupCommit(t *testing.T) {
	storetest.Run(t, emptied(migrated(t), pgstore.WithLanes(0)))
}
