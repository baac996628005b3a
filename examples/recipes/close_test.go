package recipes

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// closeStale seals the failed jobs that last changed before a moment, the oldest first, at most 1,000.
func closeStale(ctx context.Context, eng *engine.Engine, before step.Time, because string) (closed int, err error) {
	failed := engine.JobQuery{States: step.StatesOf(step.Failed, step.Abnormal), Limit: 1000}
	jobs, err := eng.Jobs(ctx, failed)
	for _, j := range jobs {
		if j.Sealed || j.Updated >= before {
			continue
		}
		_, err := eng.OperateJob(ctx, j.ID, operation.SealJob, engine.Request{By: "janitor", Because: because, IfVersion: j.Version})
		if err != nil && !errors.Is(err, operation.Stale) { // a person was faster
			return closed, err
		}
		closed++
	}
	return closed, err
}

// A failed job is closed for good.
func Example_close() {
	ctx := context.Background()
	eng := engine.New(memstore.New())
	created := must(eng.Create(ctx, engine.JobSpec{Name: "release", Steps: []step.Spec{
		{Type: step.Script, Name: "install", Targets: []string{"web-1"}},
	}}, engine.Request{By: "bob"}))
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"}))
	must(eng.Report(ctx, engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.NonZeroExit, ExitCode: 1}},
	}}))

	fmt.Println("closed:", must(closeStale(ctx, eng, step.MaxTime, "older than a month")))
	_, err := eng.Operate(ctx, created.Job, 1, operation.RetryFailed, engine.Request{By: "bob"})
	fmt.Println("retry is refused:", errors.Is(err, operation.Sealed))
	// Output:
	// closed: 1
	// retry is refused: true
}
