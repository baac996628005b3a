package executor_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// runScript runs the step's script on a host.
func runScript(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
	code, err := ssh(ctx, h.Name, t.Step.Payload) // yours
	switch {
	case err != nil:
		return store.Result{Status: step.ScriptFailed, Detail: err.Error()}
	case code != 0:
		return store.Result{Status: step.NonZeroExit, ExitCode: code}
	}
	return store.Result{Status: step.TargetSucceeded}
}

// ssh stands for the way to your hosts. The script fails on web-2.
func ssh(_ context.Context, host, _ string) (exitCode int32, err error) {
	if host == "web-2" {
		return 3, nil
	}
	return 0, nil
}

// A whole program: an executor, a job, and its start.
func ExampleHosts() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	eng := engine.New(memstore.New())

	x := executor.New(eng, executor.Hosts(step.Script, runScript))
	go x.Run(ctx) // until ctx ends

	job, _ := eng.Create(ctx, engine.JobSpec{Name: "restart", Steps: []step.Spec{
		{Type: step.Script, Name: "restart", Targets: []string{"web-1", "web-2"}},
	}}, engine.Request{})
	eng.OperateJob(ctx, job.Job, operation.StartJob, engine.Request{By: "bob"})

	for r, err := range eng.Watch(ctx, job.Job, 0) {
		if err != nil || r.JobTo.Finished() {
			fmt.Println("the job is", r.JobTo, err)
			break
		}
	}
	targets, err := eng.Targets(ctx, job.Job, 1, engine.TargetQuery{})
	for _, t := range targets {
		fmt.Printf("%s: %v, exit code %d\n", t.Name, t.Status, t.ExitCode)
	}
	fmt.Println(err)
	// Output:
	// the job is failed <nil>
	// web-1: succeeded, exit code 0
	// web-2: non_zero_exit, exit code 3
	// <nil>
}

// A function for a whole step reports the results of single hosts, and returns the result of the
// others.
func ExampleSteps() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	eng := engine.New(memstore.New())

	x := executor.New(eng, executor.Steps(step.FileTransfer, func(ctx context.Context, t *executor.Task) store.Result {
		for h, err := range t.Hosts(ctx) {
			if err != nil {
				return store.Result{Status: step.TaskError, Detail: err.Error()}
			}
			if h.Name == "web-2" {
				t.Report(h, store.Result{Status: step.CopyFailed, Detail: "read-only file system"})
			}
		}
		return store.Result{Status: step.TargetSucceeded}
	}))
	go x.Run(ctx)

	job, _ := eng.Create(ctx, engine.JobSpec{Name: "copy", Steps: []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: []string{"web-1", "web-2", "web-3"}},
	}}, engine.Request{})
	eng.OperateJob(ctx, job.Job, operation.StartJob, engine.Request{})

	for r, err := range eng.Watch(ctx, job.Job, 0) {
		if err != nil || r.JobTo.Finished() {
			fmt.Println(r.JobTo, r.Succeeded, "of 3", err)
			break
		}
	}
	// Output:
	// failed 2 of 3 <nil>
}

// A result that a function returns after a stop counts.
func ExampleHostFunc() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	eng := engine.New(memstore.New())

	began := make(chan bool)
	x := executor.New(eng, executor.Hosts(step.Script, func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		close(began)
		<-ctx.Done()
		if errors.Is(context.Cause(ctx), executor.ErrStopped) {
			return store.Result{Status: step.ScriptTerminated, Detail: "stopped cleanly"}
		}
		return store.Result{Status: step.TargetFailed}
	}))
	go x.Run(ctx)

	job, _ := eng.Create(ctx, engine.JobSpec{Name: "load", Steps: []step.Spec{
		{Type: step.Script, Name: "load", Targets: []string{"web-1"}},
	}}, engine.Request{})
	eng.OperateJob(ctx, job.Job, operation.StartJob, engine.Request{})
	<-began
	eng.OperateJob(ctx, job.Job, operation.TerminateJob, engine.Request{By: "bob"})

	for r, err := range eng.Watch(ctx, job.Job, 0) {
		if err != nil || r.JobTo.Finished() {
			fmt.Println("the job is", r.JobTo, err)
			break
		}
	}
	targets, _ := eng.Targets(ctx, job.Job, 1, engine.TargetQuery{})
	fmt.Println(targets[0].Status, targets[0].Detail)
	// Output:
	// the job is terminated <nil>
	// script_terminated stopped cleanly
}

// A graceful stop: running functions have a minute to return by themselves, and their results count.
// The other hosts are left to the next executor.
func ExampleDrain() {
	ctx, stop := context.WithCancel(context.Background()) // by signal.NotifyContext in a program
	defer stop()
	eng := engine.New(memstore.New())

	began, finish := make(chan bool), make(chan bool)
	x := executor.New(eng, executor.Drain(time.Minute), executor.Hosts(step.Script, func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		close(began)
		<-finish
		fmt.Println(h.Name, "is done; its context has ended:", ctx.Err() != nil)
		return store.Result{Status: step.TargetSucceeded}
	}))
	ended := make(chan error)
	go func() { ended <- x.Run(ctx) }()

	job, _ := eng.Create(ctx, engine.JobSpec{Name: "load", Steps: []step.Spec{
		{Type: step.Script, Name: "load", Targets: []string{"web-1"}},
		{Type: step.Script, Name: "check", Targets: []string{"web-1"}},
	}}, engine.Request{})
	eng.OperateJob(ctx, job.Job, operation.StartJob, engine.Request{})
	<-began
	stop() // SIGTERM
	close(finish)
	fmt.Println("run:", <-ended)

	for _, s := range must(eng.Steps(context.Background(), job.Job, 0, 0)) {
		fmt.Println(s.Name, s.State)
	}
	// Output:
	// web-1 is done; its context has ended: false
	// run: <nil>
	// load succeeded
	// check running
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
