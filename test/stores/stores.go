// Package stores opens every store, for tests that treat all of them alike.
package stores

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// A Named is a kind of store. It skips a t on a machine that has none.
type Named struct {
	Name string

	// Open returns a store that is fresh and empty, and that is closed with its t.
	Open func(t testing.TB) store.Store

	// Emptied returns a function that empties a store and returns it: for tests that need
	// hundreds, one after the other. The store is closed with the t that it was opened for.
	Emptied func(t testing.TB) func(t testing.TB) store.Store
}

// Each returns every kind of store, memory first.
func Each() []Named { return []Named{Memory, SQLite, PostgreSQL} }

// The kinds of stores.
var (
	Memory     = Named{"memory", inMemory, func(testing.TB) func(testing.TB) store.Store { return inMemory }}
	SQLite     = kept("SQLite", openSQLite)
	PostgreSQL = kept("PostgreSQL", openPostgreSQL)
)

func inMemory(testing.TB) store.Store { return memstore.New() }

// kept returns a durable kind of store. open returns a new store, and a function that removes all its
// jobs.
func kept(name string, open func(t testing.TB) (st store.Store, empty func(context.Context) error)) Named {
	return Named{
		Name: name,
		Open: func(t testing.TB) store.Store {
			t.Helper()
			st, _ := open(t)
			return st
		},
		Emptied: func(t testing.TB) func(t testing.TB) store.Store {
			t.Helper()
			st, empty := open(t)
			return func(t testing.TB) store.Store {
				t.Helper()
				if err := empty(t.Context()); err != nil {
					t.Fatal(err)
				}
				return st
			}
		},
	}
}

// openSQLite opens a store in a file of its own.
func openSQLite(t testing.TB) (store.Store, func(context.Context) error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jobs.db")
	st, err := sqlitestore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st, func(ctx context.Context) error {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.ExecContext(ctx, "PRAGMA foreign_keys = ON; DELETE FROM stepgate_jobs")
		return err
	}
}

// openPostgreSQL opens a store in a schema of its own. Its connections do not wait for the disk: these
// tests crash nothing.
func openPostgreSQL(t testing.TB) (store.Store, func(context.Context) error) {
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
	return st, func(ctx context.Context) error {
		_, err := pool.Exec(ctx, `
			DELETE FROM stepgate_effects; DELETE FROM stepgate_records; DELETE FROM stepgate_target_sets;
			DELETE FROM stepgate_turns; DELETE FROM stepgate_batches; DELETE FROM stepgate_results; DELETE FROM stepgate_target_names; DELETE FROM stepgate_steps;
			DELETE FROM stepgate_creations; DELETE FROM stepgate_jobs`)
		return err
	}
}
