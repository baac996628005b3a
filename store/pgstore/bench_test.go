package pgstore_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/internal/pgkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/sqltest"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// Compare the figures of one run only. The ideal is pgbench, at the same number of clients,
// running the one statement that an operation cannot do without: compare and swap a job,
// write a record, write an effect.

const idealFor = 3 * time.Second

// ideal returns how many transactions a second pgbench makes of the ideal statement.
func ideal(b *testing.B, to *pgx.ConnConfig, clients int) float64 {
	b.Helper()
	path, err := exec.LookPath("pgbench")
	if err != nil {
		b.Skip("there is no pgbench to compare with")
	}
	script := filepath.Join(b.TempDir(), "ideal.sql")
	if err := os.WriteFile(script, []byte(pgkit.IdealScript), 0o600); err != nil {
		b.Fatal(err)
	}
	pgbench := exec.CommandContext(b.Context(), path, "--no-vacuum", "--protocol=prepared", "--file="+script,
		"--client="+strconv.Itoa(clients), "--jobs="+strconv.Itoa(min(clients, runtime.NumCPU())),
		"--time="+strconv.Itoa(int(idealFor.Seconds())))
	pgbench.Env = append(os.Environ(), "PGHOST="+to.Host, "PGPORT="+strconv.Itoa(int(to.Port)), "PGUSER="+to.User,
		"PGPASSWORD="+to.Password, "PGSSLMODE=disable", "PGDATABASE="+to.Database, "PGOPTIONS=-c search_path="+to.RuntimeParams["search_path"])
	out, err := pgbench.CombinedOutput()
	if err != nil {
		b.Fatalf("pgbench: %v\n%s", err, out)
	}
	tps := regexp.MustCompile(`tps = ([0-9.]+)`).FindSubmatch(out)
	if tps == nil {
		b.Fatalf("pgbench gives no figure:\n%s", out)
	}
	figure, err := strconv.ParseFloat(string(tps[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return figure
}

// bench returns a pool of conns connections to a database to measure in.
func bench(b *testing.B, conns int) *pgxpool.Pool {
	b.Helper()
	config, err := pgxpool.ParseConfig(pgtest.Schema(b))
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = int32(conns)
	config.ConnConfig.TLSConfig, config.ConnConfig.Fallbacks = nil, nil // as pgbench: encryption is not what is measured
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if err := pgstore.Migrate(b.Context(), pool); err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(b.Context(), pgkit.IdealTables); err != nil {
		b.Fatal(err)
	}
	return pool
}

// atOnce has the callers make calls one after the other, each told which caller it is and how
// many it has made, and returns how many a second they all made.
func atOnce(b *testing.B, callers int, call func(caller, n int) error) float64 {
	b.Helper()
	var caller atomic.Int64
	b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		me := int(caller.Add(1)) - 1
		if me >= callers { // as callers were rounded up
			return
		}
		for n := 0; pb.Next(); n++ {
			if err := call(me, n); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	return float64(b.N) / b.Elapsed().Seconds()
}

// operate makes callers operate, each on jobs of its own, and returns their operations per
// second.
func operate(b *testing.B, eng *engine.Engine, callers int, ids []store.JobID) float64 {
	b.Helper()
	return atOnce(b, callers, func(caller, n int) error {
		_, err := eng.Operate(context.Background(), ids[(caller+n/2*callers)%len(ids)], 1, jobkit.Alternating[n%2], engine.Request{By: "ann"})
		return err
	})
}

// What does a step cost beside its work?
func BenchmarkBesideABarePool(b *testing.B) {
	s, err := pgstore.New(b.Context(), bench(b, 8))
	if err != nil {
		b.Fatal(err)
	}
	jobkit.BesideABarePool(b, engine.New(s))
}

// How much of what the server can do is left to an operation, load, decide and commit, and
// what does group commit do for it?
func BenchmarkOperate(b *testing.B) {
	for _, callers := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			pool := bench(b, 48)
			var limit float64
			if callers <= 32 {
				limit = ideal(b, pool.Config().ConnConfig, callers)
			}
			for _, mode := range []struct {
				name string
				opts []pgstore.Option
			}{{"alone", []pgstore.Option{pgstore.WithLanes(0)}}, {"lanes", nil}} {
				b.Run(mode.name, func(b *testing.B) {
					eng := engine.New(open(b, pool, mode.opts...))
					ids := jobkit.StartMany(b, eng, 1024, jobkit.Asking(5))
					got := operate(b, eng, callers, ids)
					b.ReportMetric(got, "ops/s")
					if limit > 0 {
						b.ReportMetric(got/limit, "of-pgbench")
					}
				})
			}
		})
	}
}

// What does a bulk reach of the throughput of 32 independent callers, on jobs of their own? Both hold jobs,
// in turn, a thousand each.
func BenchmarkBulk(b *testing.B) {
	const jobs = 1000
	eng := engine.New(open(b, bench(b, 48)))
	var bulk, callers time.Duration
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		mine, theirs := jobkit.StartMany(b, eng, jobs, jobkit.Asking(1)), jobkit.StartMany(b, eng, jobs, jobkit.Asking(1))
		b.StartTimer()
		began := time.Now()
		answers, err := eng.Bulk(b.Context(), engine.Bulk{ID: uuid.New(), Cause: operation.HoldJob.Cause()}, mine)
		if err != nil {
			b.Fatal(err)
		}
		for a := range answers {
			if a.Err != nil {
				b.Fatal(a.Err)
			}
		}
		bulk += time.Since(began)
		began = time.Now()
		var next atomic.Int64
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				for i := int(next.Add(1)) - 1; i < jobs; i = int(next.Add(1)) - 1 {
					if _, err := eng.OperateJob(b.Context(), theirs[i], operation.HoldJob, engine.Request{ID: uuid.New()}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		callers += time.Since(began)
	}
	b.ReportMetric(float64(jobs*b.N)/bulk.Seconds(), "bulk-ops/s")
	b.ReportMetric(callers.Seconds()/bulk.Seconds(), "of-32-callers")
}

// What does a view cost that looks for more than a step: for the target of a report or for the
// request of an operation, each caller on jobs of its own?
func BenchmarkWideViews(b *testing.B) {
	const targets, jobs = 1000, 2 // of a job, of a caller
	for _, callers := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			eng := engine.New(open(b, bench(b, 20)))
			script := runs(targets)
			script.Timeout = 0
			running := jobkit.StartMany(b, eng, callers, engine.JobSpec{Name: "bench", Steps: []step.Spec{script}})
			waiting := jobkit.StartMany(b, eng, jobs*callers, jobkit.Asking(5))
			reports, operations := make([]int, callers), make([]int, callers) // so far, of each caller
			b.Run("reports", func(b *testing.B) {
				b.ReportMetric(atOnce(b, callers, func(caller, _ int) error {
					n := reports[caller]
					reports[caller]++
					result := store.Result{Status: step.TargetRunning, ExitCode: int32(n / targets)} // is news, and ends nothing
					_, err := eng.Report(context.Background(), engine.Report{Job: running[caller], Step: 1, Attempt: 1,
						Results: []engine.TargetResult{{Target: int32(n % targets), Result: result}}})
					return err
				}), "calls/s")
			})
			b.Run("requests", func(b *testing.B) {
				b.ReportMetric(atOnce(b, callers, func(caller, _ int) error {
					n := operations[caller]
					operations[caller]++
					_, err := eng.Operate(context.Background(), waiting[(caller+n/2*callers)%len(waiting)], 1, jobkit.Alternating[n%2],
						engine.Request{By: "ann", ID: store.RequestID(uuid.New())})
					return err
				}), "calls/s")
			})
		})
	}
}

// What more does a report cost whose job has large payloads?
func BenchmarkReportsByPayload(b *testing.B) {
	sqltest.ReportsByPayload(b, engine.New(open(b, bench(b, 2))), engine.New(open(b, bench(b, 2))))
}

// What does a claim cost beside effects that it does not select?
func BenchmarkClaim(b *testing.B) {
	jobkit.BenchmarkClaims(b, func(b *testing.B) (store.Store, func(step.Type, store.Scope)) {
		pool := bench(b, 4)
		return open(b, pool), func(typ step.Type, scope store.Scope) {
			execute(b, pool, `INSERT INTO stepgate_effects (job, seq, at, effect, not_before, step, type, attempt, run_full, job_to, scope_type, scope_id)
				SELECT n, 2, 0, 1, 0, 1, $2, 1, 1, 0, $3, $4 FROM generate_series(1, $1::bigint) n`, jobkit.Foreign, typ, scope.Type, scope.ID)
		}
	})
}
