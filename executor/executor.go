// Package executor carries out the steps of jobs: one gives it a function for each step type that
// a process serves, and it keeps the contract of [engine.Handler].
package executor

import (
	"context"
	"iter"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Source is where work comes from and where results go: an *[engine.Engine], or in a process
// that reaches one over HTTP a *client.Client.
type Source interface {
	Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error)
	Renew(ctx context.Context, c engine.Claimed, lease time.Duration) error
	Release(ctx context.Context, c engine.Claimed) error // due again at once, and no failure
	Settle(ctx context.Context, c engine.Claimed) error
	Fail(ctx context.Context, c engine.Claimed, cause error) error
	Step(ctx context.Context, job store.JobID, id step.ID) (store.Step, error)
	Targets(ctx context.Context, job store.JobID, id step.ID, q engine.TargetQuery) ([]store.Target, error)
	Report(ctx context.Context, r engine.Report) (engine.ReportReceipt, error)
}

// A Sweeper is a Source that expires overdue attempts when it is told to, as an engine does. The
// executor tells it once a second.
type Sweeper interface {
	Sweep(ctx context.Context) (int, error)
}

// A HostFunc does the work of a step on one host and returns what it came to. Several run at once.
//
// ctx ends when the attempt is stopped or over, at the step's deadline, when the lease is lost,
// and when the executor's drain time is over; the function must then return soon. What it returns
// after a stop counts; after a lost lease or at the end of the process the host may run again. A panic is the
// result TargetFailed with the panic's text. Started and Finished are filled in where they are zero.
type HostFunc func(ctx context.Context, t *Task, h Host) store.Result

// A StepFunc does the work of a step on all its hosts, and returns the result of each host for
// which it has reported none itself. For ctx and panics see [HostFunc].
type StepFunc func(ctx context.Context, t *Task) store.Result

// A Task is one attempt of one step in this process. Its methods are safe for concurrent use.
type Task struct {
	Job      store.Job  // as it stood when the run was claimed
	Step     store.Step // so, too; with its payload
	Attempt  int32
	Run      store.Run
	Delivery int32 // how often the run was delivered, this time included: above 1 an earlier process may have died

	// Who asked for the attempt, why, and by which operation or event.
	By, Because string
	Cause       step.Cause
}

// A Host is one target of a task.
type Host struct {
	Index int32
	Name  string
}

// Progress reports a host as running, with a word for the operator of at most 256 characters. It
// does not wait: reports are sent together.
func (t *Task) Progress(h Host, detail string) { panic("to come") }

// Report reports a host's result. It does not wait for the engine, but for memory: reports are sent together.
func (t *Task) Report(h Host, r store.Result) { panic("to come") }

// Hosts reads by pages the hosts that the attempt covers and that have no result in it.
func (t *Task) Hosts(ctx context.Context) iter.Seq2[Host, error] { panic("to come") }

// Break ends the attempt whatever its hosts come to: the step is abnormal, with the reason.
func (t *Task) Break(reason string) { panic("to come") }

// An Option sets up an executor.
type Option func(*Executor)

// Hosts has f do the work of steps of type typ, host by host.
func Hosts(typ step.Type, f HostFunc) Option { panic("to come") }

// Steps has f do the work of steps of type typ, as a whole.
func Steps(typ step.Type, f StepFunc) Option { panic("to come") }

// Asked has f told of every question to confirmers, and Ended of every end of a job. An
// error has it told again later. Without them the executor settles questions and ends unseen.
func Asked(f func(ctx context.Context, d engine.Delivery) error) Option { panic("to come") }

// Ended: see [Asked].
func Ended(f func(ctx context.Context, d engine.Delivery) error) Option { panic("to come") }

// RunsOnly leaves questions and ends of jobs to other processes.
func RunsOnly() Option { panic("to come") }

// AtOnce bounds the hosts that are worked on at once in this process; the default is 16.
func AtOnce(n int) Option { panic("to come") }

// AtOncePerStep bounds those of one step, and AtOncePerHost the functions at work on hosts of one
// name; there is no default bound.
func AtOncePerStep(n int) Option { panic("to come") }
func AtOncePerHost(n int) Option { panic("to come") }

// By names the executor in the history; the default is "executor".
func By(name string) Option { panic("to come") }

// Lease sets the lease without a renewal; the default is the engine's, 14 s.
func Lease(d time.Duration) Option { panic("to come") }

// Drain is how long functions at work have to return by themselves once the executor is to end;
// the default is none: their contexts end at once.
func Drain(d time.Duration) Option { panic("to come") }

// Failed has f told of every call of the source that failed and is tried again.
func Failed(f func(ctx context.Context, err error)) Option { panic("to come") }

// An Executor carries out steps.
type Executor struct{}

// New returns an executor of the work of src.
func New(src Source, opts ...Option) *Executor { panic("to come") }

// Run claims work and carries it out until ctx ends; then it drains: claims nothing more, lets
// functions return, reports what they came to, gives back what is not done, and returns nil.
// An error is that of the set-up.
func (x *Executor) Run(ctx context.Context) error { panic("to come") }
