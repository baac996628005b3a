package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/looplab/fsm"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Compare the figures of one run only: BenchmarkOperate and BenchmarkOperateRefused with
// BenchmarkLooplabEvent, and the sizes of a benchmark with each other. docs/performance.md says
// what ratios are held.

// settle settles every effect that waits.
func settle(b *testing.B, st store.Store) {
	b.Helper()
	for {
		claimed, err := st.Claim(context.Background(), store.Claim{
			Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded},
			Now:     1 << 60, Until: 1<<60 + 1, Limit: 10_000,
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range claimed {
			if err := st.Settle(context.Background(), d); err != nil {
				b.Fatal(err)
			}
		}
		if len(claimed) == 0 {
			return
		}
	}
}

// operate alternates the two codes on the first step of the jobs in turn, round by
// round, and calls between, outside the timer, after every few operations.
func operate(b *testing.B, eng *engine.Engine, ids []store.JobID, every int, between func()) {
	b.Helper()
	ctx := b.Context()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		code := jobkit.Alternating[n/len(ids)%2]
		if _, err := eng.Operate(ctx, ids[n%len(ids)], 1, code, engine.Request{By: "ann"}); err != nil {
			b.Fatal(err)
		}
		if n++; n%every == 0 {
			b.StopTimer()
			between()
			b.StartTimer()
		}
	}
}

// What does an operation cost, load, decide, commit, record, effect and receipt, and
// does that depend on what else the store, the job and its history hold?
func BenchmarkOperate(b *testing.B) {
	for _, jobs := range []int{1, 1024} {
		b.Run(fmt.Sprintf("jobs=%d", jobs), func(b *testing.B) {
			st := memstore.New()
			eng := engine.New(st)
			ids := jobkit.StartMany(b, eng, jobs, jobkit.Asking(5))
			settle(b, st)
			operate(b, eng, ids, 4096, func() { settle(b, st) })
		})
	}
	for _, steps := range []int{5, 1000} {
		b.Run(fmt.Sprintf("steps=%d", steps), func(b *testing.B) {
			st := memstore.New()
			eng := engine.New(st)
			ids := jobkit.StartMany(b, eng, 64, jobkit.Asking(steps))
			settle(b, st)
			operate(b, eng, ids, 4096, func() { settle(b, st) })
		})
	}
	for _, records := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			const jobs, rounds = 64, 64 // the history grows by 64 records before new jobs replace these
			st := memstore.New()
			eng := engine.New(st)
			var ids [jobs]store.JobID
			fill := func() {
				copy(ids[:], jobkit.StartMany(b, eng, jobs, jobkit.Asking(5)))
				for range (records - 2) / 2 {
					for _, code := range jobkit.Alternating {
						for _, id := range ids {
							if _, err := eng.Operate(b.Context(), id, 1, code, engine.Request{}); err != nil {
								b.Fatal(err)
							}
						}
					}
				}
				settle(b, st)
			}
			fill()
			operate(b, eng, ids[:], jobs*rounds, func() {
				settle(b, st)
				if records == 10 {
					fill()
				}
			})
		})
	}
}

// What does the decision alone cost, of an operation that is accepted and of one that is
// refused, nothing stored?
func BenchmarkDecide(b *testing.B) {
	rules := operation.Standard()
	v := store.View{
		Job:  store.Job{ID: 1, Name: "bench", State: step.Waiting, Version: 7, Moved: 7, Current: 1, Steps: 5, Created: 1, Started: 1},
		Step: store.Step{ID: 1, Type: step.Confirmation, Name: "ask", State: step.Waiting, Attempt: 3},
		Next: store.Step{ID: 2, Type: step.Confirmation, Name: "ask", State: step.Pending},
	}
	for _, code := range []operation.Code{operation.TerminateConfirmation, operation.RetryAll} {
		b.Run(code.String(), func(b *testing.B) {
			command := engine.Operate{Cause: code.Cause(), Request: engine.Request{By: "ann"}}
			b.ReportAllocs()
			for b.Loop() {
				if d, _ := engine.Decide(rules, v, &command, 1_000); d.Changes() != (code == operation.TerminateConfirmation) {
					b.Fatal("decided otherwise")
				}
			}
		})
	}
}

// What does a refused operation cost?
func BenchmarkOperateRefused(b *testing.B) {
	eng := engine.New(memstore.New())
	id := jobkit.StartMany(b, eng, 1, jobkit.Asking(5))[0]
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := eng.Operate(ctx, id, 1, operation.RetryAll, engine.Request{By: "ann"}); err == nil {
			b.Fatal("retry_all was accepted on a confirmation")
		}
	}
}

// What does looplab/fsm take for one transition, nothing stored? Its table is of the same
// size as the one that the engine decides by: the lifecycle and the operations of every
// step type.
func BenchmarkLooplabEvent(b *testing.B) {
	var events fsm.Events
	for _, t := range operation.Standard().Types() {
		for _, tr := range operation.Standard().Machine(t).Transitions() {
			desc := fsm.EventDesc{Name: tr.Cause.String(), Dst: fmt.Sprintf("%v %v", t, tr.To)}
			for from := range tr.From.All() {
				desc.Src = append(desc.Src, fmt.Sprintf("%v %v", t, from))
			}
			events = append(events, desc)
		}
	}
	ctx := context.Background()
	moves := [2]struct{ from, event string }{
		{"confirmation waiting", operation.TerminateConfirmation.String()},
		{"confirmation confirmation_terminated", operation.RestartConfirmation.String()},
	}
	b.Run("reused", func(b *testing.B) {
		m := fsm.NewFSM(moves[0].from, events, nil)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			m.SetState(moves[n%2].from)
			if err := m.Event(ctx, moves[n%2].event); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if err := fsm.NewFSM(moves[n%2].from, events, nil).Event(ctx, moves[n%2].event); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Does a retry of 100 failed targets cost more if a million have succeeded?
func BenchmarkRetryFailed(b *testing.B) {
	for _, targets := range []int{10, 1_000_000} {
		b.Run(fmt.Sprintf("targets=%d", targets), func(b *testing.B) {
			st := memstore.New()
			eng := engine.New(st)
			id := failed(b, eng, targets, min(100, targets))
			settle(b, st)
			b.ReportAllocs()
			attempt := int32(1)
			for b.Loop() {
				if _, err := eng.Operate(b.Context(), id, 1, operation.RetryFailed, engine.Request{By: "ann"}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				attempt++
				if _, err := eng.Report(b.Context(), engine.Report{Job: id, Step: 1, Attempt: attempt, Outcome: step.Broke}); err != nil {
					b.Fatal(err)
				}
				settle(b, st)
				b.StartTimer()
			}
		})
	}
}

// Does the next batch cost more among a million targets than among 10, or after 490 batches than after
// one? Both sizes take turns, and the benchmark reports the ratio of the medians of their times.
func BenchmarkNextBatch(b *testing.B) {
	sizes := strings.TrimSuffix(strings.Repeat("2 ", 500), " ")
	for _, c := range []struct {
		name  string
		sides [2]rollout
	}{
		{"targets=10,1000000", [2]rollout{rolloutOf(10, "1", 1, 10), rolloutOf(1_000_000, "2000", 1, 500)}},
		{"batch=1,500", [2]rollout{rolloutOf(500, "1", 1, 11), rolloutOf(500, "1", 490, 500)}},
		{"batch=1,500/each with a size", [2]rollout{rolloutOf(1000, sizes, 1, 11), rolloutOf(1000, sizes, 490, 500)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took [2][]time.Duration
			for n := 0; b.Loop(); n++ {
				for i := range c.sides {
					c.sides[i].end(b)
				}
				for i := range c.sides {
					side := (i + n) % 2 // the first to go has the colder cache
					began := time.Now()
					c.sides[side].next(b)
					took[side] = append(took[side], time.Since(began))
				}
			}
			var median [2]float64
			for i := range took {
				slices.Sort(took[i])
				median[i] = float64(took[i][len(took[i])/2].Nanoseconds())
			}
			b.ReportMetric(median[1], "ns/batch")
			b.ReportMetric(median[1]/median[0], "large/small")
		})
	}
}

// rollout is a job whose batches begin one after the other. After the last one, or the last that counts, a
// new job takes its place, and goes on to the first that counts.
type rollout struct {
	spec        engine.JobSpec
	first, last int32
	st          *memstore.Store
	eng         *engine.Engine
	jobs, keep  int // so far, and how many share a store
	id          store.JobID
	batch       int32
}

func rolloutOf(targets int, batches string, first, last int32) rollout {
	spec := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, targets), Rolling: step.Rolling{Batches: batches}}
	for i := range spec.Targets {
		spec.Targets[i] = fmt.Sprintf("host-%d", i)
	}
	return rollout{spec: engine.JobSpec{Name: "bench", Steps: []step.Spec{spec}}, first: first, last: last, batch: last, keep: max(1, 100_000/targets)}
}

// end ends the batch that is under way, without a result.
func (r *rollout) end(b *testing.B) {
	b.Helper()
	if r.batch == r.last && r.jobs%r.keep == 0 {
		r.st = memstore.New() // the old jobs go
		r.eng = engine.New(r.st)
	}
	if r.batch == r.last {
		r.jobs++
		r.id, r.batch = jobkit.StartMany(b, r.eng, 1, r.spec)[0], 1
		for r.batch < r.first {
			r.fail(b)
			r.next(b)
		}
	}
	r.fail(b)
	settle(b, r.st)
}

func (r *rollout) fail(b *testing.B) {
	if _, err := r.eng.Report(b.Context(), engine.Report{Job: r.id, Step: 1, Attempt: r.batch, Outcome: step.Broke}); err != nil {
		b.Fatal(err)
	}
}

// next begins the next batch.
func (r *rollout) next(b *testing.B) {
	if _, err := r.eng.Operate(b.Context(), r.id, 1, operation.IgnoreError, engine.Request{By: "ann"}); err != nil {
		b.Fatal(err)
	}
	r.batch++
}

// failed returns a job of one step with a number of failed targets.
func failed(b *testing.B, eng *engine.Engine, targets, failures int) store.JobID {
	b.Helper()
	names := make([]string, targets)
	for i := range names {
		names[i] = fmt.Sprintf("host-%d", i)
	}
	id := jobkit.StartMany(b, eng, 1, engine.JobSpec{Name: "bench", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: names}}})[0]
	for first := 0; first < targets; first += engine.MaxResults {
		report := engine.Report{Job: id, Step: 1, Attempt: 1}
		for i := first; i < min(first+engine.MaxResults, targets); i++ {
			result := engine.TargetResult{Target: int32(i), Result: store.Result{Status: step.TargetSucceeded}}
			if i%(targets/failures) == 0 && i/(targets/failures) < failures {
				result.Status = step.NonZeroExit
			}
			report.Results = append(report.Results, result)
		}
		if _, err := eng.Report(b.Context(), report); err != nil {
			b.Fatal(err)
		}
	}
	return id
}

// How much memory does a stored job take, and a target?
func BenchmarkJobMemory(b *testing.B) {
	b.Run("job", func(b *testing.B) {
		const jobs = 20_000
		for b.Loop() {
			before := heap()
			st := memstore.New()
			eng := engine.New(st)
			ids := jobkit.StartMany(b, eng, jobs, jobkit.Asking(5)) // two records
			for n := range 3 {
				for _, id := range ids {
					if _, err := eng.Operate(b.Context(), id, 1, jobkit.Alternating[n%2], engine.Request{By: "ann"}); err != nil {
						b.Fatal(err)
					}
				}
			}
			settle(b, st)
			b.ReportMetric(float64(heap()-before)/jobs, "B/job")
			runtime.KeepAlive(st)
		}
	})
	for _, reported := range []bool{false, true} {
		b.Run(fmt.Sprintf("target/reported=%v", reported), func(b *testing.B) {
			const targets = 200_000
			names := make([]string, targets)
			letters := 0
			for i := range names {
				names[i] = fmt.Sprintf("host-%d", i)
				letters += len(names[i])
			}
			for b.Loop() {
				before := heap()
				st := memstore.New()
				eng := engine.New(st)
				id := jobkit.StartMany(b, eng, 1, engine.JobSpec{Name: "bench", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: names}}})[0]
				for first := 0; reported && first < targets; first += engine.MaxResults {
					report := engine.Report{Job: id, Step: 1, Attempt: 1}
					for i := first; i < first+engine.MaxResults; i++ {
						report.Results = append(report.Results, engine.TargetResult{
							Target: int32(i), Result: store.Result{Status: step.TargetSucceeded, Started: 1, Finished: 2},
						})
					}
					if _, err := eng.Report(b.Context(), report); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heap()-before-uint64(letters))/targets, "B/target")
				runtime.KeepAlive(st)
			}
			runtime.KeepAlive(names)
		})
	}
}

// heap returns the bytes in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // the first one leaves what finalizers and pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Do two cores on a million different jobs get more done than one?
func BenchmarkOperateParallel(b *testing.B) {
	const jobs = 1_000_000
	var (
		once sync.Once
		st   *memstore.Store
		eng  *engine.Engine
		ids  []store.JobID
		done int // operations so far, over all runs
	)
	for _, cores := range []int{1, 2} {
		b.Run(fmt.Sprintf("cores=%d", cores), func(b *testing.B) {
			once.Do(func() {
				st = memstore.New()
				eng = engine.New(st)
				ids = jobkit.StartMany(b, eng, jobs, jobkit.Asking(5))
				settle(b, st)
			})
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				n := min(left, 1<<17)
				var workers sync.WaitGroup
				for w := range cores {
					workers.Go(func() {
						for i := done + n*w/cores; i < done+n*(w+1)/cores; i++ {
							// A step far from the last one: no two neighbours share a cache line.
							id := ids[i*7919%jobs]
							if _, err := eng.Operate(context.Background(), id, 1, jobkit.Alternating[i/jobs%2], engine.Request{By: "ann"}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				workers.Wait()
				done, left = done+n, left-n
				b.StopTimer()
				settle(b, st)
				b.StartTimer()
			}
		})
	}
}
