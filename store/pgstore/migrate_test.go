package pgstore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/firstschema"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/storetest"
)

// objects returns the columns and the indexes of all tables in the schema of pool, a line each.
func objects(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT concat_ws(' ', table_name, column_name, ordinal_position, data_type, is_nullable, column_default)
		FROM information_schema.columns WHERE table_schema = current_schema()
		UNION ALL
		SELECT replace(indexdef, current_schema() || '.', '') FROM pg_indexes WHERE schemaname = current_schema()
		UNION ALL
		SELECT concat_ws(' ', relname, array_to_string(reloptions, ',')) FROM pg_class WHERE relnamespace = current_schema()::regnamespace
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// unordered returns what [objects] returns without the places of the columns in their tables: a
// column that comes back is the last one.
func unordered(objects []string) (lines []string) {
	for _, line := range objects {
		if f := strings.Fields(line); len(f) > 4 && f[0] != "CREATE" {
			line = strings.Join(slices.Delete(f, 2, 3), " ")
		}
		lines = append(lines, line)
	}
	return lines
}

// migrateTo is MigrateTo, which must pass.
func migrateTo(t *testing.T, pool *pgxpool.Pool, version int) {
	t.Helper()
	if err := pgstore.MigrateTo(t.Context(), pool, version); err != nil {
		t.Fatalf("MigrateTo(%d): %v", version, err)
	}
}

// refused asserts that an error says all of some texts.
func refused(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	for _, text := range says {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got error %v, want one that says %q", what, err, text)
		}
	}
}

// Forward and back is as if nothing had been, and leaves the tables of others alone.
func TestMigrateForwardAndBack(t *testing.T) {
	pool := connect(t, pgtest.Schema(t))
	execute(t, pool, `CREATE TABLE own (x int)`)
	before := objects(t, pool)
	var first []string
	for range 2 {
		for range 2 { // the second time there is nothing to do
			if err := pgstore.Migrate(t.Context(), pool); err != nil {
				t.Fatal(err)
			}
		}
		st := open(t, pool)
		create(t, engine.New(st), asking(1))
		st.Close()
		if first == nil {
			first = objects(t, pool)
		} else if again := objects(t, pool); !slices.Equal(again, first) {
			t.Errorf("forward, back and forward made\n%v\nand forward alone\n%v", again, first)
		}
		migrateTo(t, pool, 0)
		if left := objects(t, pool); !slices.Equal(left, before) {
			t.Errorf("back at version 0 there are %v, want %v", left, before)
		}
	}
}

// Tables of the first version migrate with their rows: a job's last time is the latest of its
// records, and who claimed its effects is not known.
func TestTablesOfVersion1Migrate(t *testing.T) {
	const latest = 4_000_000_000_000
	pool := connect(t, pgtest.Schema(t))
	migrateTo(t, pool, 1)
	first := objects(t, pool)
	migrateTo(t, pool, 2)
	eng := engine.New(open(t, pool))
	ids := []store.JobID{create(t, eng, asking(1)), start(t, eng, asking(1))}
	migrateTo(t, pool, 1)
	if back := objects(t, pool); !slices.Equal(unordered(back), unordered(first)) {
		t.Errorf("back at version 1 there are\n%s\nwant\n%s", strings.Join(back, "\n"), strings.Join(first, "\n"))
	}
	execute(t, pool, `UPDATE stepgate_records SET at = $1 WHERE job = $2 AND seq = 1`, latest, ids[1]) // by a clock that was ahead
	execute(t, pool, `UPDATE stepgate_effects SET claims = 1, not_before = $1`, latest)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	st := open(t, pool)
	for i, id := range ids {
		v, err := st.View(t.Context(), store.Query{Job: id})
		want := []step.Time{v.Job.Created, latest}[i]
		if err != nil || v.Job.Updated != want || want == 0 {
			t.Errorf("job %d of version 1: got Updated %v and error %v, want %v", id, v.Job.Updated, err, want)
		}
	}
	effects, err := st.Effects(t.Context(), store.Scope{}, ids[1], store.Page[store.Seq]{Limit: 9})
	if err != nil || len(effects) != 1 || effects[0].Count != 1 || effects[0].Token != (store.Token{}) {
		t.Errorf("effects of version 1: got %+v and error %v, want one that was claimed once, without a token", effects, err)
	}
}

// No way is known to a version that there is not.
func TestMigrateToUnknownVersion(t *testing.T) {
	pool := migrated(t)
	for _, version := range []int{-1, 99} {
		refused(t, "MigrateTo", pgstore.MigrateTo(t.Context(), pool, version), "no version", fmt.Sprint("only 0 to ", current))
	}
	open(t, pool) // nothing has changed
}

// Of those who migrate at once one does it, and the others wait for it and find it done.
func TestMigrateAtOnce(t *testing.T) {
	const callers = 8
	dsn := pgtest.Schema(t)
	watcher := connect(t, dsn, conns(2))
	first, err := watcher.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As long as this lock is held, all of them wait.
	if _, err := first.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('stepgate.' || current_schema(), 0))`); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range callers {
		pool := connect(t, dsn, conns(1))
		all.Go(func() {
			if err := pgstore.Migrate(t.Context(), pool); err != nil {
				t.Errorf("Migrate among others: %v", err)
			}
		})
	}
	blocked(t, watcher, callers)
	if made := objects(t, watcher); len(made) > 0 {
		t.Errorf("while another holds the lock, there are %v, want nothing", made)
	}
	if err := first.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if versions := ask[int](t, watcher, `SELECT count(*) FROM stepgate_version`); versions != 1 {
		t.Errorf("%d of them have migrated, want 1", versions)
	}
	create(t, engine.New(open(t, watcher)), asking(1))
}

// So it is where a transaction does not see what was committed after it began.
func TestMigrateAtOnceWhereTransactionsAreStrict(t *testing.T) {
	dsn := pgtest.Schema(t)
	direct, pool := connect(t, dsn), connect(t, dsn, strict)
	release := lock(t, direct, `SELECT pg_advisory_xact_lock(hashtextextended('stepgate.' || current_schema(), 0))`)
	migrate := func() error { return pgstore.Migrate(t.Context(), pool) }
	first, second := asked(migrate), asked(migrate)
	blocked(t, direct, 2)
	release()
	if err := errors.Join(<-first, <-second); err != nil {
		t.Errorf("Migrate, twice at once: %v", err)
	}
}

// Tables of another version are a *SchemaError that says what to do, and are left alone.
func TestOtherVersions(t *testing.T) {
	ctx := t.Context()
	pool := connect(t, pgtest.Schema(t))
	want := func(what string, err error, have int, says string) {
		t.Helper()
		var schema *pgstore.SchemaError
		if !errors.As(err, &schema) || *schema != (pgstore.SchemaError{Have: have, Want: current}) {
			t.Errorf("%s on version %d: got error %v, want a SchemaError", what, have, err)
			return
		}
		refused(t, what, err, says)
	}
	_, err := pgstore.New(ctx, pool)
	want("New", err, 0, "no Stepgate tables, want version 2: run Migrate")
	migrateTo(t, pool, 1)
	_, err = pgstore.New(ctx, pool)
	want("New", err, 1, "are of version 1, want 2: run Migrate")
	execute(t, pool, `UPDATE stepgate_version SET version = 7`)
	before := objects(t, pool)
	_, err = pgstore.New(ctx, pool)
	want("New", err, 7, "use a newer one")
	want("Migrate", pgstore.Migrate(ctx, pool), 7, "use a newer one")
	want("MigrateTo(0)", pgstore.MigrateTo(ctx, pool, 0), 7, "take the tables back with it")
	if after := objects(t, pool); !slices.Equal(after, before) || ask[int](t, pool, `SELECT version FROM stepgate_version`) != 7 {
		t.Errorf("newer tables were changed from\n%v\nto\n%v", before, after)
	}
}

// Whoever runs the files with a tool of their own ends in the same state, both ways.
func TestMigrationsAreFiles(t *testing.T) {
	own, ours := connect(t, pgtest.Schema(t)), migrated(t)
	files := func(pattern string) []string {
		names, err := fs.Glob(pgstore.Migrations, pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("the files %s: %v, %v", pattern, names, err)
		}
		return names
	}
	run := func(name string) {
		text, err := pgstore.Migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, own, string(text))
	}
	for _, name := range files("migrations/*.up.sql") {
		run(name)
	}
	if got, want := objects(t, own), objects(t, ours); !slices.Equal(got, want) {
		t.Errorf("the files make\n%s\nMigrate\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	create(t, engine.New(open(t, own)), asking(1))
	if err := pgstore.Migrate(t.Context(), own); err != nil {
		t.Errorf("Migrate after the files: %v", err)
	}
	downs := files("migrations/*.down.sql")
	slices.Reverse(downs)
	for _, name := range downs {
		run(name)
	}
	if left := objects(t, own); len(left) > 0 {
		t.Errorf("the files back leave %v, want nothing", left)
	}
}

// A search_path that leads nowhere is told as that, before anything is laid out elsewhere.
func TestNoCurrentSchema(t *testing.T) {
	pool := connect(t, pgtest.Schema(t), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["search_path"] = "stepgate_test_missing" })
	_, err := pgstore.New(t.Context(), pool)
	for what, err := range map[string]error{
		"New": err, "Migrate": pgstore.Migrate(t.Context(), pool), "MigrateTo(0)": pgstore.MigrateTo(t.Context(), pool, 0),
	} {
		refused(t, what, err, "pgstore: there is no current schema", "search_path")
	}
}

// current is the version of the schema.
const current = 2

// lives are promises that use every table.
var lives = []string{
	"Commit/applies all of a change", "Claim/raises Count and leases until Until", "Settle/removes an effect for good",
	"Snapshot/has the header, all steps without payloads and all targets with names",
}

// A program can use tables of a later version that only adds what has a default, and says so: the
// processes of a rolling deployment that start anew do.
func TestLaterVersionThatSuits(t *testing.T) {
	pool := migrated(t, hasty)
	tables := []string{"jobs", "creations", "steps", "target_names", "results", "target_sets", "records", "effects"}
	for _, table := range tables {
		execute(t, pool, `ALTER TABLE stepgate_`+table+` ADD COLUMN novelty integer NOT NULL DEFAULT 7`)
	}
	later := func(oldest int) {
		execute(t, pool, `UPDATE stepgate_version SET version = $1, oldest = $2`, current+1, oldest)
	}
	later(current)
	before := objects(t, pool)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Errorf("Migrate on a later version that suits: %v", err)
	}
	for _, f := range storetest.Check(t, emptied(pool), lives...) {
		t.Errorf("on a later version that suits: %s: %s", f.Promise, f.Message)
	}
	var schema *pgstore.SchemaError
	if err := pgstore.MigrateTo(t.Context(), pool, current); !errors.As(err, &schema) {
		t.Errorf("MigrateTo from a later version: got error %v, want a SchemaError", err)
	}
	later(current + 1)
	_, err := pgstore.New(t.Context(), pool)
	for what, err := range map[string]error{"New": err, "Migrate": pgstore.Migrate(t.Context(), pool)} {
		if !errors.As(err, &schema) || schema.Have != current+1 {
			t.Errorf("%s on a later version that does not suit: got error %v, want a SchemaError", what, err)
		}
	}
	if after := objects(t, pool); !slices.Equal(after, before) {
		t.Errorf("the later tables were changed from\n%v\nto\n%v", before, after)
	}
}

// Each migration but the first says which programs can use its tables.
func TestMigrationsSayWhomTheySuit(t *testing.T) {
	for version := 2; version <= current; version++ {
		names, err := fs.Glob(pgstore.Migrations, fmt.Sprintf("migrations/%04d_*.sql", version))
		if err != nil || len(names) != 2 {
			t.Fatalf("the files of version %d: %v, %v", version, names, err)
		}
		for _, name := range names {
			if text, err := pgstore.Migrations.ReadFile(name); err != nil || !strings.Contains(string(text), "oldest") {
				t.Errorf("%s does not say oldest, %v", name, err)
			}
		}
		pool := connect(t, pgtest.Schema(t))
		migrateTo(t, pool, version)
		if oldest := ask[int](t, pool, `SELECT oldest FROM stepgate_version`); oldest < 1 || oldest > version {
			t.Errorf("version %d suits programs of version %d and later, want one from 1 to %[1]d", version, oldest)
		}
	}
}

// Tables that a program of the first version has written have all of it after the migration, and
// their jobs go on. Back at version 1 they have what that program wrote, but for the order of columns.
func TestTablesWrittenByVersion1(t *testing.T) {
	written, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	pool := connect(t, pgtest.Schema(t))
	execute(t, pool, string(written))
	const records = `SELECT json_agg(json_build_array(job, seq, at, kind, request, actor, reason, code, job_code, event, step, entered, attempt,
		full_run, from_state, to_state, job_from, job_to, succeeded, unfinished, results, targets, effect) ORDER BY job, seq)::text FROM stepgate_records`
	for i, m := range firstschema.Makers() {
		execute(t, pool, `INSERT INTO stepgate_records SELECT job, 100 + $1, at, '00000000-0000-0000-0000-000000000000', step, entered, attempt,
			succeeded, unfinished, results, targets, $2, $3, $4, $5, from_state, to_state, job_from, job_to, effect, full_run, actor, reason
			FROM stepgate_records WHERE job = 1 AND seq = 1`, i, m.Kind, m.Code, m.JobCode, m.Event)
	}
	before := ask[string](t, pool, records)
	migrateTo(t, pool, 2)
	for i, m := range firstschema.Makers() {
		if got := ask[int](t, pool, `SELECT cause FROM stepgate_records WHERE job = 1 AND seq = 100 + $1`, i); got != int(m.Cause) {
			t.Errorf("the cause of a record of %+v: got %d", m, got)
		}
	}
	// A program of version 1 asks for this at its start, and refuses all but 1.
	if version := ask[int](t, pool, `SELECT version FROM stepgate_version`); version != 2 {
		t.Errorf("a program of version 1 reads version %d, want 2", version)
	}
	migrateTo(t, pool, 1)
	if after := ask[string](t, pool, records); after != before {
		t.Errorf("the records of version 1 after a way forward and back:\n got %s\nwant %s", after, before)
	}
	execute(t, pool, `DELETE FROM stepgate_records WHERE job = 1 AND seq >= 100`)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	firstschema.Check(t, open(t, pool))
}
