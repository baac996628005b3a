package sqlitestore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Compare the figures of one run only, and only ratios: disks differ, and from one minute to
// the next. The files lie beside the source, as a temporary folder may be in memory.

// folder returns a folder on the disk that holds the source.
func folder(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	return dir
}

// disk is a file for repeated writes of 8 KiB with a flush, the unit of all other writes to the
// disk.
type disk struct {
	file   *os.File
	page   [8 << 10]byte
	writes int
	took   time.Duration
}

func newDisk(b *testing.B, dir string) *disk {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return &disk{file: f}
}

// write writes a number of times.
func (d *disk) write(b *testing.B, times int) {
	b.Helper()
	began := time.Now()
	for range times {
		if _, err := d.file.Write(d.page[:]); err != nil {
			b.Fatal(err)
		}
		if err := d.file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	d.writes += times
	d.took += time.Since(began)
}

// rate returns the number of writes per second.
func (d *disk) rate() float64 { return float64(d.writes) / d.took.Seconds() }

// What does the disk take to keep 8 KiB?
func BenchmarkRawWrite(b *testing.B) {
	d := newDisk(b, folder(b))
	b.ReportAllocs()
	for b.Loop() {
		d.write(b, 1)
	}
}

// What does a durable operation cost, load, decide, commit, record, effect and receipt, next
// to a bare write on the same disk, and how much of it do concurrent callers share? An
// iteration is one operation of each caller.
func BenchmarkOperate(b *testing.B) {
	for _, callers := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			dir := folder(b)
			raw := newDisk(b, dir)
			eng := engine.New(open(b, filepath.Join(dir, "jobs.db")))
			ids := jobkit.StartMany(b, eng, callers, jobkit.Asking(5))
			const turns = 32 // of the disk, and then of each caller
			var took time.Duration
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n%turns != 1 {
					continue
				}
				b.StopTimer()
				raw.write(b, turns)
				b.StartTimer()
				began := time.Now()
				jobkit.Each(b, callers, callers, func(ctx context.Context, i int) (err error) {
					for turn := 0; turn < turns && err == nil; turn++ {
						_, err = eng.Operate(ctx, ids[i], 1, jobkit.Alternating[turn%2], engine.Request{By: "ann"})
					}
					return err
				})
				took += time.Since(began)
			}
			rounds := (n + turns - 1) / turns
			rate := float64(rounds*turns*callers) / took.Seconds()
			b.ReportMetric(rate, "operations/s")
			b.ReportMetric(rate/raw.rate(), "of-raw")
		})
	}
}

// What does a step cost beside its work?
func BenchmarkBesideABarePool(b *testing.B) {
	jobkit.BesideABarePool(b, engine.New(open(b, filepath.Join(folder(b), "jobs.db"))))
}

// How much more does an operation cost beside more data that it does not need? Both sizes take turns,
// and the benchmark reports the ratio of their times.
func BenchmarkGrowth(b *testing.B) {
	const warm = 500 // operations, so that none is the first on its pages
	for _, c := range []struct {
		name string
		size [2]int
		jobs func(b *testing.B, db *sql.DB, eng *engine.Engine, size int) func(n int) error
	}{
		{"steps=5,1000", [2]int{5, 1000}, ofSteps},
		{"records=10,10000", [2]int{10, 10_000}, ofRecords},
		{"jobs=1000,1000000", [2]int{1000, 1_000_000}, ofJobs},
		{"failed=10,100of100000", [2]int{10, 100_000}, ofTargets},
	} {
		b.Run(c.name, func(b *testing.B) {
			var operate [2]func(int) error
			var took [2]time.Duration
			for i, size := range c.size {
				db := database(b, filepath.Join(folder(b), "jobs.db"), "?_pragma=synchronous(0)&_txlock=immediate")
				operate[i] = c.jobs(b, db, engine.New(onto(b, db)), size)
				exec(b, db, "PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)")
				for n := range warm {
					if err := operate[i](n); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			for n := warm; b.Loop(); n++ {
				for i := range operate {
					began := time.Now()
					if err := operate[i](n); err != nil {
						b.Fatal(err)
					}
					took[i] += time.Since(began)
				}
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "large/small")
		})
	}
}

// toAndFro returns a function that operates on the jobs in turn, round by round.
func toAndFro(b *testing.B, eng *engine.Engine, ids []store.JobID) func(int) error {
	return func(n int) error {
		_, err := eng.Operate(b.Context(), ids[n%len(ids)], 1, jobkit.Alternating[n/len(ids)%2], engine.Request{By: "ann"})
		return err
	}
}

func ofSteps(b *testing.B, _ *sql.DB, eng *engine.Engine, steps int) func(int) error {
	return toAndFro(b, eng, jobkit.StartMany(b, eng, 16, jobkit.Asking(steps)))
}

// ofRecords gives jobs a long history behind the engine's back: copies of its last record.
func ofRecords(b *testing.B, db *sql.DB, eng *engine.Engine, records int) func(int) error {
	ids := jobkit.StartMany(b, eng, 16, jobkit.Asking(5))
	exec(b, db, `WITH RECURSIVE n (seq) AS (SELECT 3 UNION ALL SELECT seq + 1 FROM n WHERE seq < ?)
		INSERT INTO stepgate_records SELECT job, n.seq, at, cause, randomblob(16), actor, reason, step, entered,
			attempt, to_state, to_state, job_to, job_to, succeeded, unfinished, results, targets, 0, run_full,
			gate_until, run_first, run_end, succeeded_before, gate, gate_then, mendable
		FROM stepgate_records r JOIN n WHERE r.seq = 2`, records)
	exec(b, db, `UPDATE stepgate_jobs SET version = ?1, moved = ?1`, records)
	return toAndFro(b, eng, ids)
}

// ofJobs copies a started job, all of it, and operates on jobs spread over the copies.
func ofJobs(b *testing.B, db *sql.DB, eng *engine.Engine, jobs int) func(int) error {
	first := int64(jobkit.StartMany(b, eng, 1, jobkit.Asking(1))[0])
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, copy := range []string{
		`INSERT INTO stepgate_jobs SELECT id + n, scope_type, scope_id, name, randomblob(16), state, version, moved, current, steps,
			skipped, ignored, created, started, finished, updated, sealed, deadline, origin, tolerated, gate, held, has_turn, policy FROM stepgate_jobs JOIN n WHERE id = ?2`,
		`INSERT INTO stepgate_steps SELECT job + n, id, type, name, ignore_errors, on_timeout, timeout_ns, total, state, attempt,
			run_full, succeeded, unfinished, started, finished, deadline, due, expires, gate_until, run_first, run_end, batch,
			succeeded_before, accepted, automatic, gate, gate_then, stop_before, mendable, policy FROM n JOIN stepgate_steps WHERE job = ?2`,
		`INSERT INTO stepgate_records SELECT job + n, seq, at, cause, randomblob(16), actor, reason, step, entered,
			attempt, from_state, to_state, job_from, job_to, succeeded, unfinished, results, targets, effect, run_full,
			gate_until, run_first, run_end, succeeded_before, gate, gate_then, mendable
			FROM n JOIN stepgate_records WHERE job = ?2`,
	} {
		const numbers = `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < ?1) `
		if _, err := tx.ExecContext(b.Context(), numbers+copy, jobs, first); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	ids := make([]store.JobID, 500)
	for i := range ids {
		ids[i] = store.JobID(first + int64(i)*int64(jobs/len(ids)))
	}
	return toAndFro(b, eng, ids)
}

// ofTargets retries the failed targets of a step, at most 100.
func ofTargets(b *testing.B, _ *sql.DB, eng *engine.Engine, targets int) func(int) error {
	spec := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, targets)}
	for i := range spec.Targets {
		spec.Targets[i] = fmt.Sprint("host-", i)
	}
	id := jobkit.StartMany(b, eng, 1, engine.JobSpec{Name: "bench", Steps: []step.Spec{spec}})[0]
	failing := targets / min(targets, 100) // every how many
	for first := 0; first < targets; first += 10_000 {
		report := engine.Report{Job: id, Step: 1, Attempt: 1}
		for i := first; i < min(first+10_000, targets); i++ {
			status := step.TargetSucceeded
			if i%failing == 0 {
				status = step.TargetFailed
			}
			report.Results = append(report.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
		}
		if _, err := eng.Report(b.Context(), report); err != nil {
			b.Fatal(err)
		}
	}
	return func(n int) error {
		_, err := eng.Operate(b.Context(), id, 1, operation.RetryFailed, engine.Request{By: "ann"})
		if err == nil {
			_, err = eng.Report(b.Context(), engine.Report{Job: id, Step: 1, Attempt: int32(n + 2), Outcome: step.Broke})
		}
		return err
	}
}

// What does a claim cost beside effects that it does not select?
func BenchmarkClaim(b *testing.B) {
	jobkit.BenchmarkClaims(b, func(b *testing.B) (store.Store, func(step.Type, store.Scope)) {
		db := database(b, filepath.Join(folder(b), "jobs.db"), "?_pragma=synchronous(0)&_txlock=immediate")
		return onto(b, db), func(typ step.Type, scope store.Scope) {
			exec(b, db, `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
				INSERT INTO stepgate_effects (job, seq, at, effect, not_before, count, failures, delivered, last_error, step, type, attempt, scope_type, scope_id)
				SELECT n, 2, 0, 1, 0, 0, 0, 0, '', 1, ?2, 1, ?3, ?4 FROM n`, jobkit.Foreign, typ, scope.Type, scope.ID)
		}
	})
}

// What does a job of five steps and five records take on the disk, its effects settled?
func BenchmarkBytesPerJob(b *testing.B) {
	const jobs = 2000
	path := filepath.Join(folder(b), "jobs.db")
	s := open(b, path)
	eng := engine.New(s)
	ids := jobkit.StartMany(b, eng, jobs, jobkit.Asking(5))
	jobkit.Each(b, jobs, 64, func(ctx context.Context, i int) (err error) {
		for _, code := range []operation.Code{operation.TerminateConfirmation, operation.RestartConfirmation, operation.TerminateConfirmation} {
			if err == nil {
				_, err = eng.Operate(ctx, ids[i], 1, code, engine.Request{By: "ann"})
			}
		}
		return err
	})
	if _, err := eng.Deliver(b.Context(), func(context.Context, engine.Delivery) error { return nil }); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() { // there is nothing to time
	}
	b.ReportMetric(float64(info.Size())/jobs, "B/job")
}
