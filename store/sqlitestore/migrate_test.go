package sqlitestore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/firstschema"
	"github.com/stepgate/stepgate/store/internal/sqltest"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

func TestMigrations(t *testing.T) {
	sqltest.Migrations{
		Files: sqlitestore.Migrations, Claims: "count",
		None: "run sqlitestore.Migrate", Older: "run sqlitestore.Migrate",
		Newer: "use the newer version of this package", TakeBack: "use the newer version of this package",
		Open: func(t *testing.T) sqltest.Database {
			db := database(t, file(t), "")
			ask := func(sql string) (answer string) {
				if err := db.QueryRowContext(t.Context(), sql).Scan(&answer); err != nil {
					t.Fatal(err)
				}
				return answer
			}
			return sqltest.Database{
				Migrate:   func(ctx context.Context) error { return sqlitestore.Migrate(ctx, db) },
				MigrateTo: func(ctx context.Context, version int) error { return sqlitestore.MigrateTo(ctx, db, version) },
				New: func(ctx context.Context) (store.Store, error) {
					s, err := sqlitestore.New(ctx, db)
					if err == nil {
						closeWith(t, s)
					}
					return s, err
				},
				Exec: func(sql string) { exec(t, db, sql) },
				Ask:  ask,
				Objects: func() []string {
					const all = "SELECT ifnull(group_concat(name || ' ' || ifnull(sql, ''), char(1)), '') FROM sqlite_schema"
					return slices.Sorted(strings.FieldsFuncSeq(ask(all), func(r rune) bool { return r == 1 }))
				},
				Versions: func(err error) (have, want int, ok bool) {
					var schema *sqlitestore.SchemaError
					if !errors.As(err, &schema) {
						return 0, 0, false
					}
					return schema.Have, schema.Want, true
				},
			}
		},
	}.Run(t)
}

// Open does not use a schema that New does not.
func TestOpenOfANewerSchema(t *testing.T) {
	path := file(t)
	create(t, engine.New(open(t, path)))
	exec(t, database(t, path, ""), "UPDATE stepgate_version SET version = 7, oldest = 7")
	_, err := sqlitestore.Open(path)
	refused(t, "Open", err, "the schema is at version 7, want 5")
}

// One of several concurrent calls migrates, and the others find the schema migrated.
func TestMigrateAtOnce(t *testing.T) {
	for range 5 {
		path := file(t)
		ready := make(chan struct{})
		var all sync.WaitGroup
		for range 6 {
			db := database(t, path, "")
			all.Go(func() {
				<-ready
				if err := sqlitestore.Migrate(t.Context(), db); err != nil {
					t.Errorf("Migrate among others: %v", err)
				}
			})
		}
		close(ready)
		all.Wait()
		create(t, engine.New(open(t, path)))
	}
}

// A file that a program of the first version has written has all of it after the migration, and
// its jobs go on. Back at version 1 it has what that program wrote, but for the order of columns.
func TestAFileWrittenByVersion1(t *testing.T) {
	written := func() string {
		data, err := os.ReadFile("testdata/version1.db")
		if err != nil {
			t.Fatal(err)
		}
		path := file(t)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	firstschema.Check(t, open(t, written()))

	db := database(t, written(), "")
	const records = `SELECT json_group_array(json_array(job, seq, at, kind, hex(request), actor, reason, code, job_code, event, step, entered, attempt,
		all_targets, from_state, to_state, job_from, job_to, succeeded, unfinished, results, targets, effect)) FROM (SELECT * FROM stepgate_records ORDER BY job, seq)`
	read := func() (all string) {
		if err := db.QueryRowContext(t.Context(), records).Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	for i, m := range firstschema.Makers() {
		exec(t, db, `INSERT INTO stepgate_records SELECT job, 100 + ?, at, ?, NULL, actor, reason, ?, ?, ?, step, entered, attempt,
			all_targets, from_state, to_state, job_from, job_to, succeeded, unfinished, results, targets, effect
			FROM stepgate_records WHERE job = 1 AND seq = 1`, i, m.Kind, m.Code, m.JobCode, m.Event)
	}
	before := read()
	if err := sqlitestore.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	for i, m := range firstschema.Makers() {
		var got step.Cause
		if err := db.QueryRowContext(t.Context(), "SELECT cause FROM stepgate_records WHERE job = 1 AND seq = 100 + ?", i).Scan(&got); err != nil || got != m.Cause {
			t.Errorf("the cause of a record of %+v: got %d, %v", m, got, err)
		}
	}
	// A program of version 1 asks for this at its start, and refuses all but 1.
	var version int
	if err := db.QueryRowContext(t.Context(), "SELECT version FROM stepgate_version").Scan(&version); err != nil || version != sqltest.Current {
		t.Errorf("a program of version 1 reads version %d, %v, want the current one", version, err)
	}
	if err := sqlitestore.MigrateTo(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	if after := read(); after != before {
		t.Errorf("the records of version 1 after a way forward and back:\n got %s\nwant %s", after, before)
	}
}
