package sqlitestore_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// The row of a job takes its batch and its turn along, as the statement of docs/recipes.md relies on.
func TestDeletingAJobDeletesItsBatchesAndItsTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	st, err := sqlitestore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	spec := jobkit.Running(store.Scope{}, 1, 3)
	spec.Steps[0].Rolling.Batches = "1"
	spec.Turn = store.Turn{Key: "production", Limit: 1}
	job := jobkit.Start(t, engine.New(st), spec)

	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	expect := func(when string, want int) {
		t.Helper()
		for _, table := range []string{"stepgate_batches", "stepgate_turns"} {
			var n int
			if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table+` WHERE job = ?`, job).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d rows in %s, %v, want %d", when, n, table, err, want)
			}
		}
	}
	expect("before", 1)
	if _, err := db.ExecContext(t.Context(), `DELETE FROM stepgate_jobs WHERE id = ?`, job); err != nil {
		t.Fatal(err)
	}
	expect("after", 0)
}
