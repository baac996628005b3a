package pgstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stepgate/stepgate/internal/migrate"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// A migration that fails in the middle leaves nothing of itself, nor of those before it.
func TestMigrateHalfway(t *testing.T) {
	ctx, pool := t.Context(), pgtest.Pool(t)
	const (
		first  = `CREATE TABLE stepgate_version (version integer NOT NULL); INSERT INTO stepgate_version VALUES (1);`
		second = `CREATE TABLE stepgate_more (x integer); UPDATE stepgate_version SET version = 2;`
		broken = second + ` SELECT * FROM stepgate_missing;`
	)
	run := func(second string) error {
		return migrateTo(ctx, pool, []migrate.Migration{{Version: 1, Up: first}, {Version: 2, Up: second}}, 2, false)
	}
	tables := func() (n int) {
		if err := pool.QueryRow(ctx, `SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	err := run(broken)
	if err == nil || !strings.Contains(err.Error(), "pgstore: migrate: from version 1 to 2") || !strings.Contains(err.Error(), "stepgate_missing") {
		t.Errorf("a migration that fails: got error %v, want which one, and why", err)
	}
	if n := tables(); n != 0 {
		t.Errorf("it leaves %d tables, want none", n)
	}
	if err := run(second); err != nil || tables() != 2 {
		t.Errorf("the same, mended: %v, and %d tables, want 2", err, tables())
	}
}

// A migration that does not get its lock gives up, so that no call waits behind it for longer.
func TestMigrateGivesUpOnALock(t *testing.T) {
	ctx, pool := t.Context(), pgtest.Pool(t)
	all, err := migrate.Load(Migrations)
	if err != nil {
		t.Fatal(err)
	}
	const from = 3 // the first that has the bound leads to the next version
	if err := MigrateTo(ctx, pool, from); err != nil {
		t.Fatal(err)
	}
	for i := range all[from:] {
		m := &all[from+i]
		for _, sql := range []*string{&m.Up, &m.Down} {
			if *sql = strings.Replace(*sql, "'10s'", "'20ms'", 1); !strings.Contains(*sql, "SET LOCAL lock_timeout = '20ms'") {
				t.Fatalf("a migration of version %d has no lock_timeout of 10 s:\n%s", m.Version, *sql)
			}
		}
	}
	for version := from; version < len(all); version++ {
		for _, to := range []int{version + 1, version} {
			reader, err := pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reader.Exec(ctx, `SELECT FROM stepgate_effects`); err != nil {
				t.Fatal(err)
			}
			var refused *pgconn.PgError
			if err := migrateTo(ctx, pool, all, to, true); !errors.As(err, &refused) || refused.Code != "55P03" {
				t.Errorf("to version %d while a transaction reads: got error %v, want that the lock is not available", to, err)
			}
			if err := reader.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			if err := migrateTo(ctx, pool, all, to, true); err != nil {
				t.Errorf("to version %d after it: %v", to, err)
			}
		}
		if err := migrateTo(ctx, pool, all, version+1, true); err != nil {
			t.Fatal(err)
		}
	}
}
