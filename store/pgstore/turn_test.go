package pgstore_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// What a job that takes turns costs does not grow with the number of jobs that wait: with 10 and with
// 10,000, as many round trips read as many rows of turns, and a few more where an index has entries of rows
// that are gone.
func TestTurnsCostTheSameWhateverWaits(t *testing.T) {
	type cost struct{ trips, rows int }
	var costs [2][]cost
	for i, waiting := range []int{10, 10_000} {
		var w wire
		pool := migrated(t, conns(1), counting(&w), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["enable_seqscan"] = "off" })
		eng := engine.New(open(t, pool))
		spec := engine.JobSpec{Name: "job", Steps: []step.Spec{runs(1)}, Turn: store.Turn{Key: "deploy", Limit: 1}}
		holder, late := jobkit.Start(t, eng, spec), jobkit.Create(t, eng, spec)
		jobkit.Start(t, eng, spec) // the first that waits
		execute(t, pool, `INSERT INTO stepgate_turns (scope_type, scope_id, key, job, ticket, most)
			SELECT '', '', 'deploy', i, i + 1, 1 FROM generate_series(1, $1::int) i`, waiting)
		execute(t, pool, `ANALYZE stepgate_turns`)
		for _, call := range []func(ctx context.Context) error{
			func(ctx context.Context) error { // a job begins to wait
				return errOf(eng.OperateJob(ctx, late, operation.StartJob, engine.Request{ID: store.RequestID{1}}))
			},
			func(ctx context.Context) error { // the holder ends
				return errOf(eng.Report(ctx, engine.Report{Job: holder, Step: 1, Attempt: 1, Outcome: step.Broke}))
			},
			func(ctx context.Context) error { return errOf(eng.Sweep(ctx)) }, // opens the first that waits
		} {
			before := turnRows(t, pool)
			trips := w.trips(t, call)
			costs[i] = append(costs[i], cost{trips, turnRows(t, pool) - before})
		}
	}
	for n, few := range costs[0] {
		if many := costs[1][n]; many.trips != few.trips || many.rows > few.rows+4 {
			t.Errorf("call %d with 10 jobs that wait: %+v; with 10,000: %+v", n+1, few, many)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

// turnRows returns the number of rows of turns that were read so far.
func turnRows(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	execute(t, pool, `SELECT pg_stat_force_next_flush()`)
	return ask[int](t, pool, `SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = current_schema() AND relname = 'stepgate_turns')
		+ (SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname = 'stepgate_turns')`)
}
