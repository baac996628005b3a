package pgstore

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// many fills the tables with jobs of three steps, of which the first ones have many targets.
const many = `
INSERT INTO stepgate_jobs SELECT id, 5, 5, id, id, 0, 1 + id % 3, 3, 0, 0, 1 + id % 9, 'biz', id % 50, 'job' FROM generate_series(1, 3000) id;
INSERT INTO stepgate_creations SELECT scope_type, scope_id, gen_random_uuid(), id FROM stepgate_jobs;
INSERT INTO stepgate_steps SELECT j.id, j.id, 0, CASE WHEN s = 1 THEN j.id ELSE 0 END, 0, s, 10, 1, 1, 0, 10, 1, 2, 0, false, 'step', '', NULL
	FROM stepgate_jobs j, generate_series(1, 3) s;
INSERT INTO stepgate_target_names SELECT job, id, 0, '["a","b","c","d","e","f","g","h","i","j"]' FROM stepgate_steps;
INSERT INTO stepgate_target_sets SELECT job, id, 0, 1, 1, B'0', B'0' FROM stepgate_steps;
INSERT INTO stepgate_batches SELECT job, 0, 0, id, n, 10 * n - 10, 10 * n, 1, n, n, 10, 0, 3 FROM stepgate_steps, generate_series(1, 3) n;
UPDATE stepgate_steps SET batch = 3 WHERE job < 1000;
INSERT INTO stepgate_results SELECT j.id, 0, 0, 1, t, 1, 1, 0, 1, '' FROM stepgate_jobs j, generate_series(0, CASE WHEN j.id < 10 THEN 999 ELSE 1 END) t;
INSERT INTO stepgate_records SELECT j.id, s, 0, gen_random_uuid(), 1, 0, 1, 0, 0, 0, 0, 2, 2, 3, 2, 3, 0, '', '', 1
	FROM stepgate_jobs j, generate_series(1, 5) s;
INSERT INTO stepgate_effects (job, seq, not_before, effect, at, step, type, attempt, run_full, job_to, scope_type, scope_id)
	SELECT id, 5, id, 1 + id % 4, 0, 1, 1, 1, 1, 0, scope_type, scope_id FROM stepgate_jobs;
ANALYZE stepgate_jobs, stepgate_creations, stepgate_steps, stepgate_target_names, stepgate_target_sets, stepgate_batches, stepgate_results, stepgate_records, stepgate_effects;
`

// Statements that the store asks the server often: those of one caller, and those that are
// planned as [newGroup] has it.
var (
	alones = map[string]string{
		"view": viewSQL, "latest": latestSQL, "latest of the current step": latestOfCurrentSQL, "replay": replaySQL,
		"creation": createSQL, "created": createdSQL,
		"change": aloneSQL[0], "change of two steps": aloneSQL[1], "report": aloneReportSQL[0], "report of two steps": aloneReportSQL[1],
		"jobs": jobsSQL, "jobs by state": jobsByStateSQL, "jobs by scope": jobsByScopeSQL,
		"named jobs": namedJobsSQL, "named by state": namedByStateSQL, "named by scope": namedByScopeSQL,
		"newest named": newestNamedJobsSQL, "newest named by state": newestNamedByStateSQL, "newest named by scope": newestNamedByScopeSQL,
		"counts": countsSQL, "counts of a scope": countsOfScopeSQL,
		"header": headerSQL, "all steps": allStepsSQL, "all steps and batches": stepsAndBatchesSQL, "all names": allNamesSQL, "all latest results": allLatestSQL,
		"newest jobs": newestJobsSQL, "newest by state": newestByStateSQL, "newest by scope": newestByScopeSQL,
		"steps": stepsSQL, "details": detailsSQL, "history": historySQL,
		"results of an attempt": ofAttemptSQL, "target sets": setsSQL, "batches": batchesSQL, "names": namesSQL,
		"effects": effectsSQL, "defer": deferSQL, "settle": settleSQL, "take": takeSQL,
	}
	groups = map[string]string{
		"creations": createSQL, "creations with batches": createBatchSQL, "changes": groupSQL[0], "reports": groupSQL[withResults], "views": viewsSQL,
		"changes of batches": groupSQL[withBatches], "reports of batches": groupSQL[withResults|withBatches],
		"change of a turn": groupSQL[withTurn], "report that ends a turn": groupSQL[withResults|withTurn], "turns": turnsDueSQL,
		"latest of views": groupLatestSQL, "replays of views": groupReplaySQL,
		"claim": claimEverySQL, "claim in a scope": claimScopeSQL, "overdue": overdueSQL,
	}
)

// generic returns the server's generic plan of a statement, for any parameters.
func generic(t *testing.T, pool *pgxpool.Pool, sql string) string {
	t.Helper()
	pooled, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pooled.Release()
	conn := pooled.Conn()
	prepared, err := conn.Prepare(t.Context(), "generic", sql)
	if err != nil {
		t.Fatal(err)
	}
	nulls := strings.Repeat(", NULL", len(prepared.ParamOIDs))[2:]
	plan := planned(t, conn, fmt.Sprintf(`EXPLAIN EXECUTE generic(%s)`, nulls), pgx.QueryExecModeSimpleProtocol)
	if err := conn.Deallocate(t.Context(), "generic"); err != nil {
		t.Fatal(err)
	}
	return plan
}

// planned returns the output of an EXPLAIN.
func planned(t *testing.T, on interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, sql string, args ...any) string {
	t.Helper()
	rows, err := on.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// filled returns a pool of one connection to the tables, with rows in them.
func filled(t *testing.T, rows string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(pgtest.Schema(t))
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	execute(t, pool, rows)
	return pool
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// No statement reads a whole table: the cost of a statement does not depend on the number of
// jobs.
func TestStatementsUseIndexes(t *testing.T) {
	pool := filled(t, many)
	execute(t, pool, `SET plan_cache_mode = force_generic_plan`)
	whole := regexp.MustCompile(`Seq Scan on stepgate_\w+`)
	for _, set := range []map[string]string{alones, groups} {
		for name, sql := range set {
			plan := generic(t, pool, sql)
			if scan := whole.FindString(plan); scan != "" {
				t.Errorf("%s: %s\n%s", name, scan, plan)
			}
		}
		execute(t, pool, `SET enable_seqscan = off`) // as for groups
	}
}

// A page of jobs of some states is read from an index in which they come in order, even if all
// jobs are of one scope: by their ids alone it would pass over the jobs of all other states.
func TestJobsOfAStateAreReadInOrder(t *testing.T) {
	pool := filled(t, many+`UPDATE stepgate_jobs SET scope_id = '7'; ANALYZE stepgate_jobs; SET plan_cache_mode = force_generic_plan`)
	for sql, want := range map[string]string{
		jobsByStateSQL:   "Index Scan using stepgate_jobs_state",
		newestByStateSQL: "Index Scan Backward using stepgate_jobs_state",
		jobsByScopeSQL:   "Index Scan using stepgate_jobs_scope",
		newestByScopeSQL: "Index Scan Backward using stepgate_jobs_scope",
		namedByStateSQL:  "Index Scan Backward using stepgate_jobs_state",
		namedByScopeSQL:  "Index Scan Backward using stepgate_jobs_scope",
		countsSQL:        "Index Only Scan using stepgate_jobs_state",
		countsOfScopeSQL: "Index Only Scan using stepgate_jobs_scope",
	} {
		if plan := generic(t, pool, sql); !strings.Contains(plan, want) {
			t.Errorf("%s\nis planned as\n%s\nwant %q in it", sql, plan, want)
		}
	}
}

// The latest results of targets are looked up one by one, even while the server knows nothing
// of how many there are: in the index of attempts it would read all of a step for each target.
// So are the records of requests: by their job alone it would read all of a history.
func TestLatestResultsAreLookedUp(t *testing.T) {
	for stored, rows := range map[string]string{"nothing": "", "many jobs": many} {
		pool := filled(t, rows+`SET plan_cache_mode = force_generic_plan`)
		for name, c := range map[string]struct{ sql, index string }{
			"latest":                     {latestSQL, "stepgate_results_pkey"},
			"latest of the current step": {latestOfCurrentSQL, "stepgate_results_pkey"},
			"all latest":                 {allLatestSQL, "stepgate_results_pkey"},
			"latest of views":            {groupLatestSQL, "stepgate_results_pkey"},
			"replay":                     {replaySQL, "stepgate_records_request"},
			"replays of views":           {groupReplaySQL, "stepgate_records_request"},
		} {
			if plan := generic(t, pool, c.sql); !strings.Contains(plan, "using "+c.index) {
				t.Errorf("%s, with %s stored: not by %s\n%s", name, stored, c.index, plan)
			}
		}
	}
}

// No call reads a table from end to end, in whichever way the server plans it in the long run.
func TestCallsUseIndexes(t *testing.T) {
	ctx, pool := t.Context(), filled(t, many)
	st, err := New(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	whole := func() (scans string) {
		t.Helper()
		execute(t, pool, `SELECT pg_stat_force_next_flush()`)
		err := pool.QueryRow(ctx, `SELECT jsonb_object_agg(relname, seq_scan)::text FROM pg_stat_user_tables WHERE schemaname = current_schema()`).Scan(&scans)
		if err != nil {
			t.Fatal(err)
		}
		return scans
	}
	scope, kinds := store.Scope{Type: "biz", ID: "7"}, []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}
	before := whole()
	for n := range 12 { // a plan of its own each time at first, and perhaps one for all later
		now := step.Time(100 * (n + 1))
		for call, err := range map[string]error{
			"View":             second(st.View(ctx, store.Query{Job: 7})),
			"wide View":        second(st.View(ctx, store.Query{Job: 7, Targets: []int32{1, 2, 3}, Request: store.RequestID{1}})),
			"Jobs":             second(st.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 10}})),
			"Jobs by state":    second(st.Jobs(ctx, store.JobFilter{States: step.StatesOf(step.Running), Page: store.Page[store.JobID]{Limit: 10}})),
			"Jobs by scope":    second(st.Jobs(ctx, store.JobFilter{Scope: scope, Page: store.Page[store.JobID]{Limit: 10}})),
			"newest Jobs":      second(st.Jobs(ctx, store.JobFilter{Newest: true, Page: store.Page[store.JobID]{Limit: 10}})),
			"newest by state":  second(st.Jobs(ctx, store.JobFilter{Newest: true, States: step.StatesOf(step.Running), Page: store.Page[store.JobID]{Limit: 10}})),
			"newest by scope":  second(st.Jobs(ctx, store.JobFilter{Newest: true, Scope: scope, Page: store.Page[store.JobID]{Limit: 10}})),
			"Jobs of a name":   second(st.Jobs(ctx, store.JobFilter{Scope: scope, Name: "b", Window: 100, Page: store.Page[store.JobID]{Limit: 10}})),
			"Counts":           second(st.Counts(ctx, store.Scope{}, 10)),
			"Counts by scope":  second(st.Counts(ctx, scope, 10)),
			"Snapshot":         second(st.Snapshot(ctx, store.SnapshotQuery{Job: 7, Targets: 10_000})),
			"Steps":            second(st.Steps(ctx, scope, 7, store.Page[step.ID]{Limit: 10})),
			"Details":          second(st.Details(ctx, store.DetailQuery{Scope: scope, Job: 7, Step: 1})),
			"History":          second(st.History(ctx, scope, 7, store.Page[store.Seq]{Limit: 10})),
			"Effects":          second(st.Effects(ctx, scope, 7, store.Page[store.Seq]{Limit: 10})),
			"Targets":          second(st.Targets(ctx, store.TargetFilter{Job: 7, Step: 1, Page: store.Page[int32]{After: -1, Limit: 10}})),
			"Claim":            second(st.Claim(ctx, store.Claim{Effects: kinds, Now: now, Until: 1e6, Limit: 16})),
			"scoped Claim":     second(st.Claim(ctx, store.Claim{Scope: scope, Effects: kinds, Now: now, Until: 1e6, Limit: 16})),
			"Overdue":          second(st.Overdue(ctx, store.Scope{}, now, 10)),
			"Overdue by scope": second(st.Overdue(ctx, scope, now, 10)),
		} {
			if err != nil {
				t.Fatalf("%s: %v", call, err)
			}
		}
	}
	if after := whole(); after != before {
		t.Errorf("tables were read from end to end: so often before %s, and after %s", before, after)
	}
}

func second[T any](_ T, err error) error { return err }

// A view of a job of many steps reads two of them, whatever its parameters: a plan that reads
// and sorts all that come after would take longer the more there are.
func TestAViewReadsTwoSteps(t *testing.T) {
	config := pgtest.Pool(t).Config()
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), many+`INSERT INTO stepgate_steps SELECT 1, 0, 0, 0, 0, s, 0, 0, 0, 0, 0, 3, 1, 0, false, 'step', '', NULL
		FROM generate_series(4, 1000) s; ANALYZE stepgate_steps`); err != nil {
		t.Fatal(err)
	}
	read := regexp.MustCompile(`on stepgate_steps.*actual time.* rows=(\d+)`)
	for name, args := range map[string][]any{
		viewSQL:  {"", "", int64(1), int32(0)},
		viewsSQL: {[]int64{0, 1, 0}, []string{""}, []string{""}},
	} {
		plan := planned(t, pool, "EXPLAIN ANALYZE "+name, args...)
		if found := read.FindStringSubmatch(plan); found == nil || found[1] != "2" {
			t.Errorf("a view of a job of 1,000 steps does not read two of them:\n%s", plan)
		}
	}
}

// A call about a job of another scope reads its header and nothing else: it takes as long as a call
// about a job that does not exist.
func TestAnotherScopeReadsTheHeaderAlone(t *testing.T) {
	pool := filled(t, many+`SET plan_cache_mode = force_generic_plan`)
	table := regexp.MustCompile(`.*on stepgate_(\w+).*`)
	for name, q := range map[string]struct {
		sql  string
		args string // after the scope and the job
	}{
		"view": {viewSQL, ", 0"}, "header": {headerSQL, ""}, "all steps": {allStepsSQL, ""}, "all steps and batches": {stepsAndBatchesSQL, ", 10000"},
		"all names": {allNamesSQL, ", 10000"}, "all latest results": {allLatestSQL, ", 10000"},
		"steps": {stepsSQL, ", 0, 10"}, "details": {detailsSQL, ", 1"}, "history": {historySQL, ", 0, 10"}, "effects": {effectsSQL, ", 0, 10"},
	} {
		execute(t, pool, `PREPARE asked AS `+q.sql)
		plan := planned(t, pool, `EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked('biz', 'another', 7`+q.args+`)`, pgx.QueryExecModeSimpleProtocol)
		for line := range strings.Lines(plan) {
			if found := table.FindStringSubmatch(line); found != nil && found[1] != "jobs" && !strings.Contains(line, "never executed") {
				t.Errorf("%s in another scope reads more than the header:\n%s", name, plan)
			}
		}
		execute(t, pool, `DEALLOCATE asked`)
	}
}

// A search by name and a count read as many rows of each state as they are bounded to, of however
// many there are.
func TestASearchReadsItsWindow(t *testing.T) {
	const bound = 20
	pool := filled(t, many+`UPDATE stepgate_jobs SET scope_id = '7', state = 2; ANALYZE stepgate_jobs; SET plan_cache_mode = force_generic_plan`)
	read := regexp.MustCompile(`(?:on|using) stepgate_jobs.*actual rows=(\d+)`)
	for sql, args := range map[string][]any{
		namedJobsSQL:     {int64(0), int64(5), "none", int64(bound)},
		namedByStateSQL:  {int64(0), int64(5), []int16{2}, "none", int64(bound)},
		namedByScopeSQL:  {int64(0), int64(5), []int16{2}, "biz", "7", "none", int64(bound)},
		countsSQL:        {[]int16{2}, int64(bound)},
		countsOfScopeSQL: {[]int16{2}, int64(bound), "biz", "7"},
	} {
		plan := planned(t, pool, "EXPLAIN (ANALYZE, TIMING OFF) "+sql, args...)
		if found := read.FindStringSubmatch(plan); found == nil || found[1] != fmt.Sprint(bound) {
			t.Errorf("of 3,000 jobs not %d are read:\n%s", bound, plan)
		}
	}
}

// A view that queues has the targets of its query in memory of its own: its caller may leave, and use
// that again, while they are read.
func TestAViewThatQueuesIsKept(t *testing.T) {
	targets := []int32{1, 2}
	call := &viewCall{query: store.Query{Targets: targets}}
	kept := call.kept()
	if targets[0] = 7; kept != call || kept.query.Targets[0] != 1 || len(kept.query.Targets) != 2 {
		t.Errorf("kept, after a write of its caller: got targets %d, want 1 and 2", kept.query.Targets)
	}
}

// gated fills the tables with 100,000 jobs at a gate: half of them have a moment, which is far off, and the
// others wait for a person.
const gated = `
INSERT INTO stepgate_jobs (id, version, moved, created, started, finished, updated, current, steps, skipped, ignored, state, scope_type, scope_id, name, gate)
	SELECT id, 2, 2, 1, 1, 0, 1, 1, 1, 0, 0, 15, 'biz', id % 50, 'job', 2 - id % 2 FROM generate_series(1, 100000) id;
INSERT INTO stepgate_steps (job, id, started, finished, deadline, timeout_ns, total, attempt, run_full, succeeded, unfinished, type, state, on_timeout,
	ignore_errors, name, payload, gate, gate_then, gate_until, due)
	SELECT id, 1, 0, 0, 0, 0, 10, 0, 1, 0, 0, 1, 15, 0, false, 'step', '', gate, 1, (1000000 + id) * (gate - 1), (1000000 + id) * (gate - 1) FROM stepgate_jobs;
`

// A sweep reads the first steps that are due and no other of 100,000 that wait, whatever the server knows of
// them, but for the next few in order.
// A claim reads no table but that of effects, of which they have none. The index has an entry for each
// moment, and none for a step that waits for a person.
func TestStepsThatWaitAreNotRead(t *testing.T) {
	const due = `UPDATE stepgate_steps SET due = 5 WHERE job IN (2, 4, 6)`
	pool := filled(t, gated)
	read := regexp.MustCompile(`using stepgate_steps_due on stepgate_steps s.*actual rows=(\d+)`)
	for _, set := range strings.Split(byIndex+byOrder, "set_config(")[1:] { // as Overdue has it
		value := strings.Split(set, "'")
		execute(t, pool, `SET `+value[1]+` = `+value[3])
	}
	for _, know := range []string{"", `ANALYZE stepgate_steps`, `ANALYZE stepgate_jobs`} {
		execute(t, pool, know)
		for _, c := range []struct {
			scope, until string
			least, most  int
		}{{`'', ''`, "4", 0, 0}, {`'', ''`, "5", 3, 3}, {`'', ''`, "2000000", 16, 40}, {`'biz', '2'`, "4", 0, 0}, {`'biz', '2'`, "5", 3, 3}} {
			execute(t, pool, `PREPARE asked AS `+overdueSQL)
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), due); err != nil {
				t.Fatal(err)
			}
			plan := planned(t, tx, `EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked(`+c.scope+`, `+c.until+`, 16)`, pgx.QueryExecModeSimpleProtocol)
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			execute(t, pool, `DEALLOCATE asked`)
			found := read.FindStringSubmatch(plan)
			if found == nil {
				t.Errorf("a sweep at %s in scope %s is not planned by the index of moments:\n%s", c.until, c.scope, plan)
			} else if n, err := strconv.Atoi(found[1]); err != nil || n < c.least || n > c.most {
				t.Errorf("a sweep at %s in scope %s, for 16 steps, reads %d, %v, want %d to %d:\n%s", c.until, c.scope, n, err, c.least, c.most, plan)
			}
		}
	}
	for _, sql := range []string{claimEverySQL, claimScopeSQL} {
		if plan := generic(t, pool, sql); regexp.MustCompile(`stepgate_(jobs|steps)`).MatchString(plan) {
			t.Errorf("a claim reads more than effects:\n%s", plan)
		}
	}
	execute(t, pool, `REINDEX INDEX stepgate_steps_due`)
	var entries int
	if err := pool.QueryRow(t.Context(), `SELECT reltuples::int FROM pg_class WHERE oid = 'stepgate_steps_due'::regclass`).Scan(&entries); err != nil || entries != 50_000 {
		t.Errorf("the index of moments has %d entries, %v, want one for each of 50,000 moments", entries, err)
	}
}
