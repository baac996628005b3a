package executortest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/executortest"
	"github.com/stepgate/stepgate/store"
)

// t is the argument of the test whose body ExampleRun is.
var t *testing.T

func TestExampleRun(argument *testing.T) {
	t = argument
	ExampleRun()
}

// The body of func TestExecutor(t *testing.T), for an executor on package executor.
func ExampleRun() {
	executortest.Run(t, func(ctx context.Context, p executortest.Process) error {
		work := func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
			return p.Work(ctx, executortest.Assignment{
				Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, Index: h.Index, Name: h.Name,
			})
		}
		return executor.New(p.Engine, executor.Hosts(p.Type, work), executor.Lease(p.Lease), executor.Failed(p.Failed)).Run(ctx)
	})
}

// The promises that an executor must keep, each of them a subtest of Run.
func ExamplePromises() {
	for _, name := range executortest.Promises() {
		fmt.Println(name)
	}
	// Output:
	// Run/calls the function once for each host
	// Run/reads every page of hosts
	// Run/reports what the function returned
	// Run/takes a panic for a failure
	// Run/takes the end of the goroutine for a failure
	// Run/takes a result without a finished status for a failure
	// Run/a retry is of the hosts that are due
	// Run/delivered twice runs once
	// Run/first ends what runs of earlier attempts
	// Run/waits for earlier attempts in another process
	// Run/waits for an attempt in another process that was given up
	// Run/is dropped after a stop of its attempt
	// Run/is dropped after a stop of a later attempt
	// Run/is dropped if a later attempt was seen
	// Run/of another step type is left to others
	// Run/takes no hosts of a later attempt for its own
	// Run/of a batch is of its hosts
	// Run/is dropped at a gate
	// Stop/ends what runs
	// Stop/is reported once all functions have returned
	// Stop/results after it count
	// Stop/ends earlier attempts too
	// Stop/waits for no other run
	// Stop/waits for no other stop
	// Stop/during the first page of hosts
	// Stop/in another process ends what runs here
	// Stop/in another process is reported once functions here have returned
	// End/ends what runs
	// End/by a deadline ends what runs
	// End/in another process ends what runs here
	// End/leaves a later attempt alone
	// End/is settled, as are questions
	// Lease/is renewed while functions run
	// Lease/that another process has taken ends the functions
	// Lease/that has run out ends the functions
	// Lease/a function that ignores its loss is not called beside itself
	// Lease/is renewed although a failure is told and not heard
	// Lease/that is lost ends the functions although a failure is told and not heard
	// Report/is repeated until it is taken
	// Report/that is refused settles no run that has hosts left
	// Crash/the hosts without a result run again, and no others
	// Crash/after a stop, another process reports it
	// Shutdown/reports what has finished
	// Shutdown/gives back at once what is not done
	// Shutdown/waits for functions, and gives nothing back before
	// Shutdown/gives no run back that came twice while a function is at work
	// Shutdown/a success of a function that it has waited for counts
	// Faults/every job ends, and each success is taken once
}
