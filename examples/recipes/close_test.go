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

const CloseJob operation.JobCode = 32

func closeRules() (*operation.Rules, error) {
	table := operation.StandardTable()
	table.Rows = append(table.Rows, operation.Row{
		Cause: CloseJob.Cause(),
		From:  step.StatesOf(step.Failed, step.Abnormal, step.Terminated, step.ConfirmationTerminated),
		Do:    step.Seal,
	})
	return table.Compile()
}

func init() { CloseJob.Cause().Register("close_job") }

// A failed job is closed for good.
func Example_close() {
	ctx := context.Background()
	eng := engine.New(memstore.New(), engine.WithRules(must(closeRules())))
	created := must(eng.Create(ctx, engine.JobSpec{Name: "release", Steps: []step.Spec{
		{Type: step.Script, Name: "install", Targets: []string{"web-1"}},
	}}, engine.Request{By: "bob"}))
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"}))
	must(eng.Report(ctx, engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.NonZeroExit, ExitCode: 1}},
	}}))

	_, err := eng.OperateJob(ctx, created.Job, CloseJob, engine.Request{By: "ann", Because: "replaced by release 1.5"})
	fmt.Println("close:", err)
	_, err = eng.Operate(ctx, created.Job, 1, operation.RetryFailed, engine.Request{By: "bob"})
	fmt.Println("retry is refused:", errors.Is(err, operation.Sealed))
	// Output:
	// close: <nil>
	// retry is refused: true
}
