package pgstore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/firstschema"
	"github.com/stepgate/stepgate/store/internal/sqltest"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
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

func TestMigrations(t *testing.T) {
	sqltest.Migrations{
		Files: pgstore.Migrations, Claims: "claims",
		None: "no Stepgate tables, want version 5: run Migrate", Older: "are of version 1, want 5: run Migrate",
		Newer: "use the newer version of this package", TakeBack: "migrate back with its MigrateTo",
		Open: func(t *testing.T) sqltest.Database {
			pool := connect(t, pgtest.Schema(t), hasty)
			return sqltest.Database{
				Migrate:   func(ctx context.Context) error { return pgstore.Migrate(ctx, pool) },
				MigrateTo: func(ctx context.Context, version int) error { return pgstore.MigrateTo(ctx, pool, version) },
				New: func(ctx context.Context) (store.Store, error) {
					st, err := pgstore.New(ctx, pool)
					if err == nil {
						t.Cleanup(st.Close)
					}
					return st, err
				},
				Exec:    func(sql string) { execute(t, pool, sql) },
				Ask:     func(sql string) string { return ask[string](t, pool, sql) },
				Objects: func() []string { return objects(t, pool) },
				Versions: func(err error) (have, want int, ok bool) {
					var schema *pgstore.SchemaError
					if !errors.As(err, &schema) {
						return 0, 0, false
					}
					return schema.Have, schema.Want, true
				},
			}
		},
	}.Run(t)
}

// One of several concurrent calls migrates. The others wait for it and find the schema migrated.
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
	jobkit.Create(t, engine.New(open(t, watcher)), jobkit.Asking(1))
}

// The same holds if transactions do not see commits after their beginning.
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

// A search_path without an existing schema is an error, and no table is created elsewhere.
func TestNoCurrentSchema(t *testing.T) {
	pool := connect(t, pgtest.Schema(t), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["search_path"] = "stepgate_test_missing" })
	_, err := pgstore.New(t.Context(), pool)
	for what, err := range map[string]error{
		"New": err, "Migrate": pgstore.Migrate(t.Context(), pool), "MigrateTo(0)": pgstore.MigrateTo(t.Context(), pool, 0),
	} {
		refused(t, what, err, "pgstore: there is no current schema", "search_path")
	}
}

// Tables of a program of the first version keep all rows in the migration, and their jobs go on. Back at
// version 1 they have the same rows, except for the order of columns.
func TestTablesWrittenByVersion1(t *testing.T) {
	written, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	pool := connect(t, pgtest.Schema(t))
	execute(t, pool, string(written))
	first := unordered(objects(t, pool))
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
	if back := unordered(objects(t, pool)); !slices.Equal(back, first) {
		t.Errorf("back at version 1 there are\n%s\nwant\n%s", strings.Join(back, "\n"), strings.Join(first, "\n"))
	}
	if after := ask[string](t, pool, records); after != before {
		t.Errorf("the records of version 1 after a way forward and back:\n got %s\nwant %s", after, before)
	}
	execute(t, pool, `DELETE FROM stepgate_records WHERE job = 1 AND seq >= 100`)
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	firstschema.Check(t, open(t, pool))
}
