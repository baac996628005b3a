package executor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/executortest"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The executor keeps its contract with a function for each host.
func TestHostsKeepTheContract(t *testing.T) {
	executortest.Run(t, func(ctx context.Context, p executortest.Process) error {
		work := func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
			return p.Work(ctx, assignment(t, h))
		}
		return executor.New(p.Engine, executor.Hosts(p.Type, work), executor.Lease(p.Lease), executor.Failed(p.Failed)).Run(ctx)
	})
}

// It keeps it with a function for the step, which works on 16 hosts at once by itself.
func TestStepsKeepTheContract(t *testing.T) {
	executortest.Run(t, func(ctx context.Context, p executortest.Process) error {
		work := func(ctx context.Context, t *executor.Task) store.Result {
			var working sync.WaitGroup
			defer working.Wait()
			places := make(chan struct{}, 16)
			for h, err := range t.Hosts(ctx) {
				if err != nil {
					return interrupted
				}
				select {
				case places <- struct{}{}:
				case <-ctx.Done():
					return interrupted
				}
				working.Go(func() {
					defer func() { <-places }()
					workOn(ctx, p, t, h)
				})
			}
			working.Wait()
			return store.Result{Status: step.TargetFailed, Detail: "no function was called"}
		}
		return executor.New(p.Engine, executor.Steps(p.Type, work), executor.Lease(p.Lease), executor.Failed(p.Failed)).Run(ctx)
	})
}

var interrupted = store.Result{Status: step.TargetTerminated, Detail: "not begun"}

// workOn works on one host, and reports what counts: see [executor.HostFunc].
func workOn(ctx context.Context, p executortest.Process, t *executor.Task, h executor.Host) {
	var r store.Result
	func() {
		defer func() {
			if v := recover(); v != nil {
				r = store.Result{Status: step.TargetFailed, Detail: fmt.Sprint(v)}
			}
		}()
		r = p.Work(ctx, assignment(t, h))
	}()
	if ctx.Err() == nil || errors.Is(context.Cause(ctx), executor.ErrStopped) || r.Status.Success() {
		t.Report(h, r)
	}
}

func assignment(t *executor.Task, h executor.Host) executortest.Assignment {
	return executortest.Assignment{Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, Index: h.Index, Name: h.Name}
}
