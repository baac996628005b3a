package pgstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// grown takes turns at the same operation on little and on much, each of which says how long
// it took, and reports how much longer the second takes: the ratio of the medians.
func grown(b *testing.B, little, much func(n int) time.Duration) {
	b.Helper()
	var took [2][]time.Duration
	for n := 0; b.Loop(); n++ {
		took[0] = append(took[0], little(n))
		took[1] = append(took[1], much(n))
	}
	var median [2]time.Duration
	for i := range took {
		slices.Sort(took[i])
		median[i] = took[i][len(took[i])/2]
	}
	b.ReportMetric(float64(median[1])/float64(median[0]), "growth")
}

// turns returns what operates on the first step of some jobs in turn.
func turns(b *testing.B, eng *engine.Engine, ids []store.JobID) func(n int) time.Duration {
	return func(n int) time.Duration {
		began := time.Now()
		if _, err := eng.Operate(b.Context(), ids[n/2%len(ids)], 1, jobkit.Alternating[n%2], engine.Request{}); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
}

// Does the cost of an operation depend on the number of steps, of records, of stored jobs or
// of targets?
func BenchmarkGrowth(b *testing.B) {
	b.Run("steps=5-1000", func(b *testing.B) {
		eng := engine.New(open(b, bench(b, 4)))
		grown(b, turns(b, eng, jobkit.StartMany(b, eng, 64, jobkit.Asking(5))), turns(b, eng, jobkit.StartMany(b, eng, 64, jobkit.Asking(1000))))
	})
	b.Run("records=10-10000", func(b *testing.B) {
		eng := engine.New(open(b, bench(b, 4)))
		young, old := jobkit.StartMany(b, eng, 64, jobkit.Asking(5)), jobkit.StartMany(b, eng, 1, jobkit.Asking(5))
		for n := range 10_000 {
			turns(b, eng, old)(n)
		}
		grown(b, turns(b, eng, young), turns(b, eng, old))
	})
	b.Run("jobs=1000-1000000", func(b *testing.B) {
		if testing.Short() {
			b.Skip("a million jobs take a while to make")
		}
		few, many := bench(b, 4), bench(b, 4)
		fill(b, few, 1000)
		fill(b, many, 1_000_000)
		engines := [2]*engine.Engine{engine.New(open(b, few)), engine.New(open(b, many))}
		grown(b, turns(b, engines[0], jobkit.StartMany(b, engines[0], 64, jobkit.Asking(5))), turns(b, engines[1], jobkit.StartMany(b, engines[1], 64, jobkit.Asking(5))))
	})
	b.Run("targets=10-100000", func(b *testing.B) {
		eng := engine.New(open(b, bench(b, 4)))
		grown(b, retries(b, eng, 10, 10), retries(b, eng, 100_000, 100))
	})
}

// fill stores jobs of one step that are of no interest.
func fill(b *testing.B, pool *pgxpool.Pool, jobs int) {
	b.Helper()
	for _, sql := range []string{
		`INSERT INTO stepgate_jobs SELECT n, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1 + n % 3, 'biz', (n % 100)::text, 'filler' FROM generate_series(1, $1::bigint) n`,
		`INSERT INTO stepgate_steps SELECT n, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 1, 0, false, 'ask', '', NULL FROM generate_series(1, $1::bigint) n`,
		`INSERT INTO stepgate_records SELECT n, 1, 1, gen_random_uuid(), 0, 0, 0, 0, 0, 0, 0, 192, 0, 0, 0, 1, 0, 'ann', '', 1 FROM generate_series(1, $1::bigint) n`,
	} {
		if _, err := pool.Exec(b.Context(), sql, jobs); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := pool.Exec(b.Context(), `ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

// retries returns a function that retries the failed targets of a step. They fail again after each
// retry.
func retries(b *testing.B, eng *engine.Engine, targets, failed int) func(n int) time.Duration {
	b.Helper()
	spec := step.Spec{Type: step.Script, Name: "run"}
	for i := range targets {
		spec.Targets = append(spec.Targets, fmt.Sprint("host-", i))
	}
	job := jobkit.StartMany(b, eng, 1, engine.JobSpec{Name: "bench", Steps: []step.Spec{spec}})[0]
	report := func(attempt int32, from, to int, status step.Status) {
		for ; from < to; from += engine.MaxResults {
			r := engine.Report{Job: job, Step: 1, Attempt: attempt}
			for i := from; i < min(to, from+engine.MaxResults); i++ {
				r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
			}
			if _, err := eng.Report(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	}
	report(1, failed, targets, step.TargetSucceeded)
	report(1, 0, failed, step.TargetFailed)
	return func(n int) time.Duration {
		began := time.Now()
		record, err := eng.Operate(b.Context(), job, 1, operation.RetryFailed, engine.Request{})
		took := time.Since(began)
		if err != nil || int(record.Targets) != failed {
			b.Fatal(record, err)
		}
		report(int32(n+2), 0, failed, step.TargetFailed)
		return took
	}
}

// What does a job take on the disk, of five steps and with five records, indices included?
func BenchmarkDisk(b *testing.B) {
	const jobs = 2000
	pool := bench(b, 4)
	eng := engine.New(open(b, pool))
	var bytes int64
	for b.Loop() {
		for _, id := range jobkit.StartMany(b, eng, jobs, jobkit.Asking(5)) {
			for n := range 3 { // besides the creation and the start
				turns(b, eng, []store.JobID{id})(n)
			}
		}
		err := pool.QueryRow(b.Context(), `SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
			WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname LIKE 'stepgate_%'`).Scan(&bytes)
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes)/jobs/float64(b.N), "B/job")
}
