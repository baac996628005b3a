package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The program of the README, which a test keeps the same.
func Example() {
	ctx := context.Background()
	eng := engine.New(memstore.New())

	// A job is a list of steps.
	job, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: []string{"web-1", "web-2", "web-3"}},
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = eng.OperateJob(ctx, job.ID, operation.StartJob, engine.By("bob"))
	fmt.Println("start:", err)

	// An executor reports how the targets fare. One of them fails, and with it the step.
	report, err := eng.Report(ctx, engine.Report{Job: job.ID, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
		{Target: 1, Result: store.Result{Status: step.TargetSucceeded}},
		{Target: 2, Result: store.Result{Status: step.CopyFailed}},
	}})
	fmt.Println("copy:", report.State, err)

	// What is not legal is refused, and the answer says what would be.
	_, err = eng.Operate(ctx, job.ID, 1, operation.NextStep, engine.By("bob"))
	var refusal *engine.Refusal
	if errors.As(err, &refusal) {
		fmt.Println("next step:", refusal.Reason, "- legal now:", refusal.Legal)
	}

	// A retry runs only what has not succeeded.
	receipt, err := eng.Operate(ctx, job.ID, 1, operation.RetryFailed, engine.By("bob"), engine.Because("web-3 is repaired"))
	fmt.Println("retry: attempt", receipt.Attempt, "runs", receipt.Targets, "target", err)
	report, err = eng.Report(ctx, engine.Report{Job: job.ID, Step: 1, Attempt: 2, Results: []engine.TargetResult{
		{Target: 2, Result: store.Result{Status: step.TargetSucceeded}},
	}})
	fmt.Println("copy:", report.State, err)

	// A confirmation is for the people it names.
	_, err = eng.Operate(ctx, job.ID, 2, operation.Confirm, engine.By("bob"))
	fmt.Println("bob confirms:", errors.Is(err, operation.NotConfirmer))
	receipt, err = eng.Operate(ctx, job.ID, 2, operation.Confirm, engine.By("alice"))
	fmt.Println("alice confirms: the job is", receipt.JobTo, err)
	// Output:
	// start: <nil>
	// copy: failed <nil>
	// next step: wrong_state - legal now: retry_failed, ignore_error, retry_all
	// retry: attempt 2 runs 1 target <nil>
	// copy: succeeded <nil>
	// bob confirms: true
	// alice confirms: the job is succeeded <nil>
}
