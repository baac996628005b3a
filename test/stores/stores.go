// Package stores opens every store there is, for tests that put the same to each.
package stores

import (
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// A Named is a kind of store.
type Named struct {
	Name string

	// Open returns a store that is fresh and empty, and that is closed with its t. Where there
	// is no such store to be had, t is skipped.
	Open func(t testing.TB) store.Store
}

// Each returns every kind of store, memory first.
func Each() []Named {
	return []Named{
		{"memory", Memory},
		{"SQLite", SQLite},
		{"PostgreSQL", PostgreSQL},
	}
}

// Memory opens a memstore.
func Memory(testing.TB) store.Store { return memstore.New() }

// SQLite opens a store in a file of its own.
func SQLite(t testing.TB) store.Store {
	t.Helper()
	st, err := sqlitestore.Open(filepath.Join(t.TempDir(), "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// PostgreSQL opens a store in a schema of its own. Its connections do not wait for the disk:
// what a crash leaves is not what these tests are about.
func PostgreSQL(t testing.TB) store.Store {
	t.Helper()
	config, err := pgxpool.ParseConfig(pgtest.Schema(t))
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	st, err := pgstore.New(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}
