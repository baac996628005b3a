// Package executor carries out the steps of jobs: one gives it a function for each step type that
// a process serves, and it keeps the contract of [engine.Handler]. docs/executors.md says how to
// write such a function, and what is promised across processes.
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

// A Source is where work comes from and where results go: an *[engine.Engine], or in a process
// that reaches one over HTTP a *client.Client. The methods promise what those of the engine do. An
// executor ends the context of each call after 30 s at the latest.
//
// An executor repeats a call that fails, unless the error is an answer: a *[engine.Refusal],
// [store.ErrLeaseLost], or an error with a method Permanent() bool that returns true, as
// *client.StatusError has it. After an answer the effect in question fails, and comes again later.
type Source interface {
	Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error)
	Renew(ctx context.Context, c engine.Claimed, lease time.Duration) error
	Release(ctx context.Context, c engine.Claimed) error // due again at once, and no failure
	Settle(ctx context.Context, c engine.Claimed) error
	Fail(ctx context.Context, c engine.Claimed, cause error) error
	Step(ctx context.Context, job store.JobID, id step.ID) (store.Step, error)
	Targets(ctx context.Context, job store.JobID, id step.ID, q engine.TargetQuery) ([]store.Target, error)
	Report(ctx context.Context, r engine.Report) (engine.ReportReceipt, error)

	// Effects tells whether another process still holds a run that is to end.
	Effects(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Delivery, error)
}

var _ Source = (*engine.Engine)(nil)

// A Sweeper is a Source that expires overdue attempts when it is told to, as an engine does. The
// executor tells it once a second.
type Sweeper interface {
	Sweep(ctx context.Context) (int, error)
}

// A HostFunc does the work of a step on one host and returns the result. Several run at once.
//
// ctx ends when the attempt is stopped or over, at the step's deadline, when the lease is lost,
// and when the executor's drain time is over; the function must then return soon. [context.Cause]
// is [ErrStopped], [ErrOver], [context.DeadlineExceeded], a [store.ErrLeaseLost] or [ErrShutdown].
//
// What the function returns after a stop counts, and after the deadline until the engine has ended
// the attempt. After a lost lease, and after the drain time, a success counts, and any other result
// is dropped: the host runs again. A result without a
// finished status is TargetFailed, and so is a panic, with its text. Started and Finished are
// filled in where they are zero, and Detail is cut to 256 characters on one line.
type HostFunc func(ctx context.Context, t *Task, h Host) store.Result

// A StepFunc does the work of a step on all its hosts, and returns the result of each host for
// which it has reported none itself. It takes one of the places that [AtOnce] bounds. For ctx,
// panics and what counts see [HostFunc].
type StepFunc func(ctx context.Context, t *Task) store.Result

// Why the context of a function has ended: see [HostFunc].
var (
	ErrStopped  = errors.New("the attempt was told to stop")
	ErrOver     = errors.New("the attempt is over") // its results are stale
	ErrShutdown = errors.New("the executor ends")
)

// A Host is one target of a task.
type Host struct {
	Index int32  // of the target in its step, from 0 on
	Name  string // of the target: the host that the step is to run on
}

// An Executor carries out steps. It comes from [New], and is safe for concurrent use.
type Executor struct {
	config
	src     Source
	running chan struct{} // holds a token while Run is at work
	untold  chan failure  // for Failed
	dropped atomic.Int64  // failures that had no room in untold
}

// New returns an executor of the work of src. [Executor.Run] tells what is wrong with an option.
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

// Run claims work and carries it out until ctx ends; then it drains: it claims nothing more, starts
// no function, lets those at work return, reports their results, gives back what is not done,
// and returns nil. It waits for every function to return, that of [Failed] included.
//
// An error is that of the set-up, a *[engine.Refusal] that names the option, Source or Context, or
// Run if the executor runs already. Failures of the source end nothing: [Failed] is told.
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
