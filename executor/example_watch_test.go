package executor_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A job fails on one host; people who watch it step in.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	eng := engine.New(memstore.New())

	// An executor does the work of steps: here a copy to one host, which fails on web-3 at first.
	x := executor.New(eng, executor.Hosts(step.FileTransfer, func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		if h.Name == "web-3" && t.Attempt == 1 {
			return store.Result{Status: step.CopyFailed, Detail: "disk full"}
		}
		return store.Result{Status: step.TargetSucceeded}
	}))
	go func() {
		if err := x.Run(ctx); err != nil {
			log.Fatal(err) // an option that cannot be
		}
	}()

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

	// People watch what becomes of it, and step in.
	for r, err := range eng.Watch(ctx, created.Job, created.Seq) {
		switch {
		case err != nil:
			log.Fatal(err)

		case r.To == step.Failed:
			// What is not legal is refused, and the answer says what would be.
			_, err := eng.Operate(ctx, r.Job, 1, operation.NextStep, engine.Request{By: "bob"})
			var refusal *engine.Refusal
			if errors.As(err, &refusal) {
				fmt.Println("next step:", refusal.Reason, "- legal now:", refusal.Legal)
			}
			// A retry runs only what has not succeeded.
			retry, err := eng.Operate(ctx, r.Job, 1, operation.RetryFailed, engine.Request{By: "bob", Because: "web-3 is repaired"})
			fmt.Println("retry: attempt", retry.Attempt, "runs", retry.Targets, "target", err)

		case r.JobTo == step.Waiting:
			// A confirmation is for the people it names.
			_, err := eng.Operate(ctx, r.Job, 2, operation.Confirm, engine.Request{By: "bob"})
			fmt.Println("bob confirms:", errors.Is(err, operation.NotConfirmer))
			_, err = eng.Operate(ctx, r.Job, 2, operation.Confirm, engine.Request{By: "alice"})
			fmt.Println("alice confirms:", err)

		case r.JobTo == step.Succeeded:
			fmt.Println("the job has succeeded")
			return
		}
	}
	// Output:
	// start: <nil>
	// next step: wrong_state - legal now: retry_failed, ignore_error, retry_all, seal_job, comment_job
	// retry: attempt 2 runs 1 target <nil>
	// bob confirms: true
	// alice confirms: <nil>
	// the job has succeeded
}
