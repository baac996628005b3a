// Package crowd lets many executors report on one job at once, for the tests and benchmarks of
// several stores, and lets reports meet, for the proofs. Only tests and kits for tests import it.
package crowd

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Start starts a job of one script on this number of targets.
func Start(tb testing.TB, eng *engine.Engine, targets int) store.JobID {
	tb.Helper()
	run := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, targets)}
	for i := range run.Targets {
		run.Targets[i] = fmt.Sprint("host-", i)
	}
	created, err := eng.Create(tb.Context(), engine.JobSpec{Name: "crowd", Steps: []step.Spec{run}}, engine.Request{})
	if err == nil {
		_, err = eng.OperateJob(tb.Context(), created.Job, operation.StartJob, engine.Request{})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return created.Job
}

// Report reports the first n targets of jobs, one result per report, from a number of callers, in
// turn on each job. It calls half, if that is not nil, once half are done. It fails tb unless every
// report is accepted.
func Report(tb testing.TB, eng *engine.Engine, ids []store.JobID, callers, n int, half func()) {
	tb.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n*len(ids); i = int(next.Add(1)) - 1 {
				if half != nil && i == n*len(ids)/2 {
					all.Go(half)
				}
				receipt, err := eng.Report(tb.Context(), engine.Report{Job: ids[i%len(ids)], Step: 1, Attempt: 1, Results: []engine.TargetResult{
					{Target: int32(i / len(ids)), Result: store.Result{Status: step.TargetSucceeded}},
				}})
				if err != nil || receipt.Accepted != 1 {
					tb.Errorf("Report %d: %+v, %v, want one result accepted", i, receipt, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// Check fails tb unless the history of a job has n results, each in a record of its own with a
// request of its own, without gaps.
func Check(tb testing.TB, eng *engine.Engine, id store.JobID, n int) {
	tb.Helper()
	requests, after := map[store.RequestID]bool{}, store.Seq(0)
	for page := 1000; page == 1000; {
		records, err := eng.History(tb.Context(), id, after, 1000)
		if err != nil {
			tb.Fatal(err)
		}
		for _, r := range records {
			if after++; r.Seq != after || requests[r.Request] {
				tb.Fatalf("record %d is %+v, want that number and a request of its own", after, r)
			}
			requests[r.Request] = true
		}
		page = len(records)
	}
	if int(after) != n+2 {
		tb.Errorf("the history has %d records, want %d", after, n+2)
	}
}

// Benchmark measures the time of n reports of one result each, in each iteration on a number of new
// jobs from a number of callers. If a person terminates the first job meanwhile, it also reports the
// median and the maximum time of that.
func Benchmark(b *testing.B, eng *engine.Engine, callers, jobs, n int, terminate bool) {
	b.Helper()
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		ids := make([]store.JobID, jobs)
		for i := range ids {
			ids[i] = Start(b, eng, n/jobs+1) // the last target is left: no report ends the step
		}
		var half func()
		if terminate {
			half = func() {
				began := time.Now()
				if _, err := eng.OperateJob(b.Context(), ids[0], operation.TerminateJob, engine.Request{By: "ann"}); err != nil && !errors.Is(err, operation.WrongState) {
					b.Error(err)
				}
				took = append(took, time.Since(began))
			}
		}
		b.StartTimer()
		Report(b, eng, ids, callers, n/jobs, half)
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "reports/s")
	if terminate {
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")
		b.ReportMetric(took[len(took)-1].Seconds()*1000, "worst-ms")
	}
}
