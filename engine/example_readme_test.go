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
	created, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: []string{"web-1", "web-2", "web-3"}},
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
	}}, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"})
	fmt.Println("start:", err)

	// An executor reports how the targets fare. One of them fails, and with it the step.
	report, err := eng.Report(ctx, engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
		{Target: 1, Result: store.Result{Status: step.TargetSucceeded}},
		{Target: 2, Result: store.Result{Status: step.CopyFailed}},
	}})
	fmt.Println("copy:", report.State, err)

	// What is not legal is refused, and the answer says what would be.
	_, err = eng.Operate(ctx, created.Job, 1, operation.NextStep, engine.Request{By: "bob"})
	var refusal *engine.Refusal
	if errors.As(err, &refusal) {
		fmt.Println("next step:", refusal.Reason, "- legal now:", refusal.Legal)
	}

	// A retry runs only what has not succeeded.
	record, err := eng.Operate(ctx, created.Job, 1, operation.RetryFailed, engine.Request{By: "bob", Because: "web-3 is repaired"})
	fmt.Println("retry: attempt", record.Attempt, "runs", record.Targets, "target", err)
	report, err = eng.Report(ctx, engine.Report{Job: created.Job, Step: 1, Attempt: 2, Results: []engine.TargetResult{
		{Target: 2, Result: store.Result{Status: step.TargetSucceeded}},
	}})
	fmt.Println("copy:", report.State, err)

	// A confirmation is for the people it names.
	_, err = eng.Operate(ctx, created.Job, 2, operation.Confirm, engine.Request{By: "bob"})
	fmt.Println("bob confirms:", errors.Is(err, operation.NotConfirmer))
	record, err = eng.Operate(ctx, created.Job, 2, operation.Confirm, engine.Request{By: "alice"})
	fmt.Println("alice confirms: the job is", record.JobTo, err)
	// Output:
	// start: <nil>
	// copy: failed <nil>
	// next step: wrong_state - legal now: retry_failed, ignore_error, retry_all
	// retry: attempt 2 runs 1 target <nil>
	// copy: succeeded <nil>
	// bob confirms: true
	// alice confirms: the job is succeeded <nil>
}
