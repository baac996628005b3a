package pgstore

import (
	"strings"
	"testing"

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
