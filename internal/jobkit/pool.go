package jobkit

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// BesideABarePool measures the overhead of a step: 1,000 hosts of 1 ms each on 16 places, from the
// start of the job until a watcher knows its end, against the same work on 16 bare goroutines. The
// six rounds of each turn are interleaved, and the ratio is that of the medians.
func BesideABarePool(b *testing.B, eng *engine.Engine) {
	const hosts, places = 1000, 16
	ctx, end := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		x := executor.New(eng, executor.AtOnce(places), executor.Hosts(step.Script, func(context.Context, *executor.Task, executor.Host) store.Result {
			time.Sleep(time.Millisecond)
			return store.Result{Status: step.TargetSucceeded}
		}))
		if err := x.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	defer running.Wait()
	defer end()
	var bare, ours []time.Duration
	for b.Loop() {
		for range 6 {
			bare = append(bare, barePool(hosts, places))
			ours = append(ours, untilEnded(b, eng, hosts))
		}
	}
	slices.Sort(bare)
	slices.Sort(ours)
	median := func(d []time.Duration) float64 { return d[len(d)/2].Seconds() * 1e3 }
	b.ReportMetric(median(bare), "bare-ms")
	b.ReportMetric(median(ours), "executor-ms")
	b.ReportMetric(median(ours)/median(bare), "ratio")
}

// barePool returns the duration of the work without an executor.
func barePool(hosts, places int) time.Duration {
	began := time.Now()
	work := make(chan int)
	var pool sync.WaitGroup
	for range places {
		pool.Go(func() {
			for range work {
				time.Sleep(time.Millisecond)
			}
		})
	}
	for i := range hosts {
		work <- i
	}
	close(work)
	pool.Wait()
	return time.Since(began)
}

// untilEnded returns the duration of a job from its start to its end.
func untilEnded(b *testing.B, eng *engine.Engine, hosts int) time.Duration {
	job := Create(b, eng, Running(store.Scope{}, 1, hosts))
	began := time.Now()
	if _, err := eng.OperateJob(b.Context(), job, operation.StartJob, engine.Request{}); err != nil {
		b.Fatal(err)
	}
	for r, err := range eng.Watch(b.Context(), job, 0) {
		if err != nil {
			b.Fatal(err)
		}
		if r.JobTo.Finished() {
			break
		}
	}
	return time.Since(began)
}
