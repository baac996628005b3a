// Package executor carries out the steps of jobs. A program gives an [Executor] a function for each
// step type that the process serves; the Executor claims the work, calls the functions, reports the
// results, and keeps the contract of [engine.Handler]. docs/executors.md says how to write a
// function, and what is promised across processes.
package executor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Source provides work and takes results: an *[engine.Engine] or, over HTTP, a *client.Client.
// Each method promises the same as the engine's method of that name. An executor ends the context
// of each call after 30 s at the latest.
//
// An executor repeats a call that fails, unless the error is an answer: a *[engine.Refusal],
// [store.ErrLeaseLost], or an error with a method Permanent() bool that returns true, like
// *client.StatusError. After an answer the effect in question has failed, and is delivered again
// later.
type Source interface {
	// Claim leases due effects to the executor.
	Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error)
	// Renew gives a claimed effect a new lease.
	Renew(ctx context.Context, c engine.Claimed, lease time.Duration) error
	// Release makes a claimed effect due again at once, without a failure.
	Release(ctx context.Context, c engine.Claimed) error
	// Settle ends a claim whose effect was carried out.
	Settle(ctx context.Context, c engine.Claimed) error
	// Fail ends a claim whose effect could not be carried out.
	Fail(ctx context.Context, c engine.Claimed, cause error) error
	// Step returns a step with its payload.
	Step(ctx context.Context, job store.JobID, id step.ID) (store.Step, error)
	// Targets returns the hosts that an attempt has to work on.
	Targets(ctx context.Context, job store.JobID, id step.ID, q engine.TargetQuery) ([]store.Target, error)
	// Report reports results and outcomes of an attempt.
	Report(ctx context.Context, r engine.Report) (engine.ReportReceipt, error)
	// Effects shows whether another process still holds a run that must end.
	Effects(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Delivery, error)
}

var _ Source = (*engine.Engine)(nil)

// A Sweeper is a Source that can apply the moments that have come, like an engine. The executor calls Sweep
// once a second.
type Sweeper interface {
	// Sweep ends what is overdue, opens the gates whose moment has come, and returns the number of steps moved.
	Sweep(ctx context.Context) (int, error)
}

// A HostFunc does the work of a step on one host and returns the result. Several run at once.
//
// ctx ends when the attempt is stopped or over, at the first deadline of the attempt, its step and its
// job, when the lease is lost, and when the executor's drain time is over; the function must then return soon. [context.Cause]
// is [ErrStopped], [ErrOver], [context.DeadlineExceeded], a [store.ErrLeaseLost] or [ErrShutdown].
//
// A result that the function returns after a stop counts. After the deadline, a result counts until
// the engine has ended the attempt. After a lost lease, and after the drain time, a success counts,
// and any other result is dropped: the host runs again. A result without a finished status counts
// as step.TargetFailed, and so does a panic, with its text. The executor sets Started and Finished
// if they are zero, and cuts Detail to 256 characters on one line.
type HostFunc func(ctx context.Context, t *Task, h Host) store.Result

// A StepFunc does the work of a step on all its hosts. Its result is that of each host for which it
// has not called [Task.Report]. It counts as one function for [AtOnce]. [HostFunc] says when ctx
// ends, which results count, and what a panic does.
type StepFunc func(ctx context.Context, t *Task) store.Result

// The causes of the end of a function's context, see [HostFunc].
var (
	ErrStopped  = errors.New("the attempt was told to stop") // results still count
	ErrOver     = errors.New("the attempt is over")          // results are stale
	ErrShutdown = errors.New("the executor ends")            // the drain time is over: only successes count
)

// A Host is one target of a task.
type Host struct {
	Index int32  // of the target in its step, from 0
	Name  string // of the target, from the step's definition
}

// An Executor carries out steps. [New] makes one. It is safe for concurrent use.
type Executor struct {
	config
	src     Source
	running chan struct{} // holds a token while Run is at work
	untold  chan failure  // for Failed
	dropped atomic.Int64  // failures that had no room in untold
}

// New returns an executor for the work of src. [Executor.Run] returns the error of a wrong option.
func New(src Source, opts ...Option) *Executor {
	x := &Executor{config: defaults(), src: src, running: make(chan struct{}, 1), untold: make(chan failure, maxUntold)}
	if isNil(src) {
		x.refuse("Source", "nil")
	}
	for _, o := range opts {
		if o != nil {
			o(x)
		}
	}
	return x
}

// Run claims work and carries it out until ctx ends. Then it drains: it claims nothing more, starts
// no function, waits for the running ones, reports their results, releases the work that is not
// done, and returns nil. It waits for every function to return, that of [Failed] included.
//
// Run returns an error only if it cannot begin: a *[engine.Refusal] whose Field names the option,
// Source or Context, or Run if the executor runs already. Failures of the source do not end Run;
// [Failed] is told.
func (x *Executor) Run(ctx context.Context) error {
	if err := x.check(ctx); err != nil {
		return err
	}
	select {
	case x.running <- struct{}{}:
	default:
		return invalid("Run", "the executor runs already")
	}
	defer func() { <-x.running }()
	defer x.tellFailures()()
	newProcess(x).run(ctx)
	return nil
}
