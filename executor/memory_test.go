package executor_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// endless is a source with one run of very many targets. Of each it keeps only whether it has a result:
// all below done have one.
type endless struct {
	executor.Source // nil: what is not below is not called
	total           int32

	mu      sync.Mutex // guards all below
	claimed bool
	left    int32
	seen    []uint64 // a bit for each target with a result
	reports int
	peak    uint64 // of the heap, in bytes
	over    func()
}

func (e *endless) Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error) {
	e.mu.Lock()
	first := !e.claimed && q.Effects[0] == store.RunTargets
	e.claimed = e.claimed || first
	e.mu.Unlock()
	if !first {
		return nil, pauseFor(ctx, q.Wait)
	}
	s, _ := e.Step(ctx, 1, 1)
	return []engine.Delivery{{Effect: store.RunTargets, Seq: 2, Job: store.Job{ID: 1}, Step: s, Attempt: 1, Count: 1}}, nil
}

func (e *endless) Step(context.Context, store.JobID, step.ID) (store.Step, error) {
	return store.Step{ID: 1, Type: step.Script, State: step.Running, Attempt: 1, Total: e.total}, nil
}

func (e *endless) Renew(context.Context, engine.Claimed, time.Duration) error { return nil }
func (e *endless) Settle(context.Context, engine.Claimed) error               { e.over(); return nil }

func (e *endless) Targets(_ context.Context, _ store.JobID, _ step.ID, q engine.TargetQuery) (page []store.Target, _ error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := q.From; i < e.total && len(page) < q.Limit; i++ {
		if e.seen[i/64]>>(i%64)&1 == 0 {
			page = append(page, store.Target{Index: i, Name: fmt.Sprintf("a-host-with-a-long-name-%d.example.org", i)})
		}
	}
	return page, nil
}

func (e *endless) Report(_ context.Context, r engine.Report) (engine.ReportReceipt, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range r.Results {
		if bit := uint64(1) << (x.Target % 64); x.Status.Finished() && e.seen[x.Target/64]&bit == 0 {
			e.seen[x.Target/64] |= bit
			e.left--
		}
	}
	if e.reports++; e.reports%50 == 0 {
		e.peak = max(e.peak, liveHeap())
	}
	if e.left == 0 {
		return engine.ReportReceipt{State: step.Succeeded}, nil
	}
	return engine.ReportReceipt{State: step.Running}, nil
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A step of 1,000,000 targets holds at most 64 MiB in the executor, whether its function works on
// hosts or on the step.
func TestAMillionTargets(t *testing.T) {
	const most = 64 << 20
	total := int32(1_000_000)
	if testing.Short() {
		total = 300_000
	}
	for name, f := range map[string]executor.Option{
		"hosts": executor.Hosts(step.Script, func(context.Context, *executor.Task, executor.Host) store.Result { return success }),
		"step":  executor.Steps(step.Script, func(context.Context, *executor.Task) store.Result { return success }),
		"step that reports": executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			for h, err := range task.Hosts(ctx) {
				if err != nil {
					t.Error(err)
				}
				task.Progress(h, "begun")
				task.Report(h, success)
			}
			return success
		}),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			src := &endless{total: total, left: total, seen: make([]uint64, total/64+1), over: cancel}
			before := liveHeap()
			if err := executor.New(src, f, executor.AtOnce(64), executor.RunsOnly()).Run(ctx); err != nil {
				t.Fatal(err)
			}
			held := int64(src.peak) - int64(before)
			t.Logf("%d KiB held, %d reports", held>>10, src.reports)
			if src.left != 0 || src.reports < 50 || held > most {
				t.Errorf("%d targets are left, %d reports, %d bytes held; want none, at least 50, and at most %d", src.left, src.reports, held, most)
			}
		})
	}
}
