package sqlitestore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/firstschema"
	"github.com/stepgate/stepgate/store/sqlitestore"
	"github.com/stepgate/stepgate/store/storetest"
)

// objects returns the definitions of all tables and indexes of a database.
func objects(t testing.TB, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		all[name] = text
	}
	return all
}

// Forward and back is as if nothing had been, and leaves the tables of others alone.
func TestMigrateForwardAndBack(t *testing.T) {
	db := database(t, file(t), "")
	exec(t, db, "CREATE TABLE own (x)")
	for range 2 {
		for range 2 { // the second time there is nothing to do
			if err := sqlitestore.Migrate(t.Context(), db); err != nil {
				t.Fatal(err)
			}
		}
		s := onto(t, db)
		create(t, engine.New(s))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := sqlitestore.MigrateTo(t.Context(), db, 0); err != nil {
			t.Fatal(err)
		}
		if left := objects(t, db); len(left) != 1 || left["own"] == "" {
			t.Errorf("after going back to version 0: got %v, want the table own alone", left)
		}
	}
	refused(t, "MigrateTo(99)", sqlitestore.MigrateTo(t.Context(), db, 99), "no version 99", "only 0 to 2")
}

// A file of the first version migrates with its rows: a job's last time is the latest of its
// records, and who claimed its effects is not known.
func TestAFileOfVersion1Migrates(t *testing.T) {
	const latest = 4_000_000_000_000
	path := file(t)
	s := open(t, path)
	eng := engine.New(s)
	ids := []store.JobID{create(t, eng), create(t, eng)}
	if _, err := eng.OperateJob(t.Context(), ids[1], operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := database(t, path, "")
	if err := sqlitestore.MigrateTo(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "UPDATE stepgate_records SET at = ? WHERE job = ? AND seq = 1", latest, ids[1]) // by a clock that was ahead
	exec(t, db, "UPDATE stepgate_effects SET count = 1, not_before = ?", latest)
	s = open(t, path)
	for i, id := range ids {
		v, err := s.View(t.Context(), store.Query{Job: id})
		want := []step.Time{v.Job.Created, latest}[i]
		if err != nil || v.Job.Updated != want || want == 0 {
			t.Errorf("job %d of version 1: got Updated %v and error %v, want %v", id, v.Job.Updated, err, want)
		}
	}
	effects, err := s.Effects(t.Context(), store.Scope{}, ids[1], store.Page[store.Seq]{Limit: 9})
	if err != nil || len(effects) != 1 || effects[0].Count != 1 || effects[0].Token != (store.Token{}) {
		t.Errorf("effects of version 1: got %+v and error %v, want one that was claimed once, without a token", effects, err)
	}
}

// Whoever runs the files with a tool of their own ends in the same state.
func TestMigrationsAreFiles(t *testing.T) {
	own, ours := database(t, file(t), ""), database(t, file(t), "")
	if err := sqlitestore.Migrate(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	ups, err := fs.Glob(sqlitestore.Migrations, "migrations/*.up.sql")
	if err != nil || len(ups) == 0 {
		t.Fatalf("the files: %v, %v", ups, err)
	}
	for _, name := range ups {
		text, err := sqlitestore.Migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, own, "BEGIN; "+string(text)+"; COMMIT")
	}
	got, want := objects(t, own), objects(t, ours)
	if len(got) != len(want) {
		t.Errorf("the files make %d tables and indexes, Migrate %d", len(got), len(want))
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: the files make\n%s\nMigrate\n%s", name, got[name], text)
		}
	}
	create(t, engine.New(onto(t, own)))
}

// A schema of another version is a *SchemaError that says what to do.
func TestOtherVersions(t *testing.T) {
	path := file(t)
	db := database(t, path, "")
	want := func(what string, err error, have int, says string) {
		t.Helper()
		var schema *sqlitestore.SchemaError
		if !errors.As(err, &schema) || *schema != (sqlitestore.SchemaError{Have: have, Want: 2}) {
			t.Errorf("%s on version %d: got error %v, want a SchemaError", what, have, err)
			return
		}
		refused(t, what, err, says)
	}
	_, err := sqlitestore.New(t.Context(), db)
	want("New", err, 0, "run sqlitestore.Migrate")
	if err := sqlitestore.MigrateTo(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	_, err = sqlitestore.New(t.Context(), db)
	want("New", err, 1, "run sqlitestore.Migrate")
	if err := sqlitestore.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "UPDATE stepgate_version SET version = 7, oldest = 7")
	_, err = sqlitestore.New(t.Context(), db)
	want("New", err, 7, "use the version of this package that made it")
	_, err = sqlitestore.Open(path)
	want("Open", err, 7, "use the version")
	want("Migrate", sqlitestore.Migrate(t.Context(), db), 7, "use the version")
	want("MigrateTo(0)", sqlitestore.MigrateTo(t.Context(), db, 0), 7, "use the version")
}

// Of those who migrate at once one does it, and the others find it done.
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

// current is the version of the schema.
const current = 2

// lives are promises that use every table.
var lives = []string{
	"Commit/applies all of a change", "Claim/raises Count and leases until Until", "Settle/removes an effect for good",
	"Snapshot/has the header, all steps without payloads and all targets with names",
}

// A program can use a file of a later version that only adds what has a default, and says so.
func TestLaterVersionThatSuits(t *testing.T) {
	later := func(t testing.TB, oldest int) *sql.DB {
		db := database(t, file(t), "")
		if err := sqlitestore.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		for table := range objects(t, db) {
			if strings.HasPrefix(table, "stepgate_") && table != "stepgate_version" && isTable(t, db, table) {
				exec(t, db, "ALTER TABLE "+table+" ADD COLUMN novelty INTEGER NOT NULL DEFAULT 7")
			}
		}
		exec(t, db, "UPDATE stepgate_version SET version = ?, oldest = ?", current+1, oldest)
		return db
	}
	for _, f := range storetest.Check(t, func(t testing.TB) store.Store { return onto(t, later(t, current)) }, lives...) {
		t.Errorf("on a later version that suits: %s: %s", f.Promise, f.Message)
	}
	var schema *sqlitestore.SchemaError
	if err := sqlitestore.MigrateTo(t.Context(), later(t, current), current); !errors.As(err, &schema) {
		t.Errorf("MigrateTo from a later version: got error %v, want a SchemaError", err)
	}
	db := later(t, current+1)
	_, err := sqlitestore.New(t.Context(), db)
	for what, err := range map[string]error{"New": err, "Migrate": sqlitestore.Migrate(t.Context(), db)} {
		if !errors.As(err, &schema) || schema.Have != current+1 {
			t.Errorf("%s on a later version that does not suit: got error %v, want a SchemaError", what, err)
		}
	}
}

// isTable tells a table from an index.
func isTable(t testing.TB, db *sql.DB, name string) (is bool) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT type = 'table' FROM sqlite_schema WHERE name = ?", name).Scan(&is); err != nil {
		t.Fatal(err)
	}
	return is
}

// Each migration but the first says which programs can use its tables.
func TestMigrationsSayWhomTheySuit(t *testing.T) {
	for version := 2; version <= current; version++ {
		names, err := fs.Glob(sqlitestore.Migrations, fmt.Sprintf("migrations/%04d_*.sql", version))
		if err != nil || len(names) != 2 {
			t.Fatalf("the files of version %d: %v, %v", version, names, err)
		}
		for _, name := range names {
			if text, err := sqlitestore.Migrations.ReadFile(name); err != nil || !strings.Contains(string(text), "oldest") {
				t.Errorf("%s does not say oldest, %v", name, err)
			}
		}
		db := database(t, file(t), "")
		if err := sqlitestore.MigrateTo(t.Context(), db, version); err != nil {
			t.Fatal(err)
		}
		var oldest int
		if err := db.QueryRowContext(t.Context(), "SELECT oldest FROM stepgate_version").Scan(&oldest); err != nil || oldest < 1 || oldest > version {
			t.Errorf("version %d suits programs of version %d and later, %v, want one from 1 to %[1]d", version, oldest, err)
		}
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
	if err := db.QueryRowContext(t.Context(), "SELECT version FROM stepgate_version").Scan(&version); err != nil || version != 2 {
		t.Errorf("a program of version 1 reads version %d, %v, want 2", version, err)
	}
	if err := sqlitestore.MigrateTo(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	if after := read(); after != before {
		t.Errorf("the records of version 1 after a way forward and back:\n got %s\nwant %s", after, before)
	}
}
