// First runs a script on two hosts, one of which is down, and operates on the step that failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// run runs the script of a step for one host, named $1. Here every host is this machine.
func run(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
	out, err := exec.CommandContext(ctx, "sh", "-c", t.Step.Payload, "sh", h.Name).CombinedOutput()
	if err != nil {
		return store.Result{Status: step.ScriptFailed, Detail: string(out)}
	}
	return store.Result{Status: step.TargetSucceeded}
}

func main() {
	ctx, bob, alice := context.Background(), engine.Request{By: "bob"}, engine.Request{By: "alice"}
	eng := engine.New(memstore.New())
	go executor.New(eng, executor.Hosts(step.Script, run)).Run(ctx)
	job, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.Script, Name: "restart", Targets: []string{"web-1", "web-2"}, Payload: `test "$1" != "$DOWN"`},
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
	}}, bob)
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("DOWN", "web-2") // the script fails there
	for r, err := range eng.Watch(ctx, job.Job, 0, engine.WithoutProgress()) {
		fmt.Printf("%v: the job is %v\n", r.Cause, r.JobTo)
		switch r.JobTo {
		case step.Pending:
			_, err = eng.OperateJob(ctx, r.Job, operation.StartJob, bob)
		case step.Failed:
			_, err = eng.Operate(ctx, r.Job, 1, operation.NextStep, bob)
			if no, ok := errors.AsType[*engine.Refusal](err); ok {
				fmt.Println("  next_step is refused:", no.Reason, "- legal now:", no.Legal)
			}
			os.Unsetenv("DOWN") // web-2 is repaired
			r, err = eng.Operate(ctx, r.Job, 1, operation.RetryFailed, bob)
			fmt.Println("  retry_failed runs", r.Targets, "of 2 hosts")
		case step.Waiting:
			_, err = eng.Operate(ctx, r.Job, 2, operation.Confirm, bob)
			fmt.Println("  bob is no confirmer:", errors.Is(err, operation.NotConfirmer))
			_, err = eng.Operate(ctx, r.Job, 2, operation.Confirm, alice)
		case step.Succeeded:
			return
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}
