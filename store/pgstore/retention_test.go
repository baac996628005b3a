package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// forget deletes the jobs that succeeded before a moment, at most 1,000 of them, with their steps,
// results and history.
func forget(ctx context.Context, pool *pgxpool.Pool, before time.Time) (int64, error) {
	deleted, err := pool.Exec(ctx, `
		WITH old AS MATERIALIZED (
			SELECT id, scope_type, scope_id FROM stepgate_jobs j
			WHERE state = $1 AND finished < $2 AND NOT EXISTS (SELECT FROM stepgate_effects e WHERE e.job = j.id)
			LIMIT 1000 FOR UPDATE SKIP LOCKED),
		ids AS MATERIALIZED (SELECT array_agg(id) AS of FROM old),
		creations AS (DELETE FROM stepgate_creations c USING old, stepgate_records r
			WHERE r.job = old.id AND r.seq = 1 AND (c.scope_type, c.scope_id, c.request) = (old.scope_type, old.scope_id, r.request)),
		names AS (DELETE FROM stepgate_target_names WHERE job = ANY ((SELECT of FROM ids)::bigint[])),
		sets AS (DELETE FROM stepgate_target_sets WHERE job = ANY ((SELECT of FROM ids)::bigint[])),
		batches AS (DELETE FROM stepgate_batches WHERE job = ANY ((SELECT of FROM ids)::bigint[])),
		turns AS (DELETE FROM stepgate_turns t USING old
			WHERE (t.scope_type, t.scope_id, t.job) = (old.scope_type, old.scope_id, old.id)),
		results AS (DELETE FROM stepgate_results WHERE job = ANY ((SELECT of FROM ids)::bigint[])),
		records AS (DELETE FROM stepgate_records WHERE job = ANY ((SELECT of FROM ids)::bigint[])),
		steps AS (DELETE FROM stepgate_steps WHERE job = ANY ((SELECT of FROM ids)::bigint[]))
		DELETE FROM stepgate_jobs WHERE id = ANY ((SELECT of FROM ids)::bigint[])`,
		int16(step.Succeeded), before.UnixMilli())
	return deleted.RowsAffected(), err
}

// The statements of docs/recipes.md delete all of the jobs that they are for, and nothing else.
func TestRetention(t *testing.T) {
	pool := migrated(t)
	eng := engine.New(open(t, pool))
	ended := jobkit.Running(store.Scope{}, 1, 3)
	ended.Turn = store.Turn{Key: "production", Limit: 1}
	ended.Steps[0].Rolling.Batches = "100%"
	ended.Steps = append(ended.Steps, step.Spec{Type: step.Confirmation, Name: "ok"})
	request := engine.Request{ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001")}
	create := func() store.JobID {
		t.Helper()
		created, err := eng.Create(t.Context(), ended, request)
		if err != nil {
			t.Fatal(err)
		}
		return created.Job
	}
	done := create()
	if _, err := eng.OperateJob(t.Context(), done, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	goesOn := jobkit.Start(t, eng, jobkit.Running(store.Scope{}, 1, 3))
	results := []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
		{Target: 1, Result: store.Result{Status: step.TargetSucceeded}},
		{Target: 2, Result: store.Result{Status: step.TargetSucceeded, Detail: "a row of its own"}},
	}
	if _, err := eng.Report(t.Context(), engine.Report{Job: done, Step: 1, Attempt: 1, Results: results}); err != nil {
		t.Fatal(err)
	}
	if _, err := eng.Operate(t.Context(), done, 2, operation.Confirm, engine.Request{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	tables := ask[[]string](t, pool, `SELECT array_agg(table_name::text) FROM information_schema.columns
		WHERE table_schema = current_schema AND column_name = 'job'`)
	if len(tables) < 7 {
		t.Fatalf("tables with rows of jobs: %v", tables)
	}
	left := func() (rows int) {
		for _, table := range tables {
			rows += ask[int](t, pool, `SELECT count(*)::int FROM `+pgx.Identifier{table}.Sanitize()+` WHERE job = $1`, int64(done))
		}
		return rows
	}

	tomorrow := time.Now().Add(24 * time.Hour)
	expect := func(before time.Time, want int64) {
		t.Helper()
		if n, err := forget(t.Context(), pool, before); n != want || err != nil {
			t.Errorf("forget: %d, %v, want %d", n, err, want)
		}
	}
	expect(tomorrow, 0) // effects wait for their delivery
	execute(t, pool, `DELETE FROM stepgate_effects`)
	expect(tomorrow.Add(-48*time.Hour), 0)
	if n := ask[int](t, pool, `SELECT count(*)::int FROM stepgate_turns`); n != 0 {
		t.Errorf("%d rows of turns, though the only job with a key has ended and left its turn", n)
	}
	execute(t, pool, `INSERT INTO stepgate_turns (scope_type, scope_id, key, job, ticket, most) VALUES ('', '', 'production', $1, 0, 1)`, int64(done))
	for _, table := range []string{"stepgate_batches", "stepgate_turns"} {
		if ask[int](t, pool, `SELECT count(*)::int FROM `+table+` WHERE job = $1`, int64(done)) == 0 {
			t.Fatalf("the job has no rows in %s before it is deleted", table)
		}
	}
	expect(tomorrow, 1)
	if n := left(); n > 0 {
		t.Errorf("%d rows of the job are left", n)
	}
	if _, err := eng.Job(t.Context(), done); !errors.Is(err, operation.NoSuchJob) {
		t.Errorf("the deleted job: %v, want %v", err, operation.NoSuchJob)
	}
	if j, err := eng.Job(t.Context(), goesOn); err != nil || j.State != step.Running {
		t.Errorf("the other job: %v, %v", j.State, err)
	}
	if again := create(); again == done {
		t.Error("the request of the deleted job still names it")
	}
}
