package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Delivery is an effect as a handler gets it: what has to be done, and where the
// job stood when it was taken from the store.
type Delivery struct {
	Effect  store.Effect `json:"effect"`
	Seq     store.Seq    `json:"seq"` // of the record that asked for it; with Job.ID it identifies the effect
	At      step.Time    `json:"at"`  // of that record
	Job     store.Job    `json:"job"`
	Step    store.Step   `json:"step"`           // that runs, stops or asks; its Payload and Confirmers say how and whom
	Attempt int32        `json:"attempt"`        // that is to be run, stopped or asked for
	All     bool         `json:"all"`            // of a RunTargets: all targets, and not only those that have not succeeded
	Ended   step.State   `json:"ended,omitzero"` // of a JobEnded: the state that the job ended in
	Count   int32        `json:"count"`          // how often it was delivered, this time included
}

// A Handler carries out one effect. It must be safe for concurrent use. nil settles the
// effect; an error or a panic has it delivered again later. While it runs, its lease is
// renewed; ctx ends when the lease is lost or the dispatcher stops.
//
// Effects come at least once and in no order. A handler of RunTargets may return at
// once, and report later, or return when the attempt is done: the second has a run
// that died with its process delivered again. What an executor owes is this. A run of
// attempt n first ends whatever still runs of an earlier attempt. A stop of attempt n
// ends every attempt up to n. A run is dropped after a stop of its attempt or a later
// one, and below an attempt already seen. A run delivered twice runs once; after a
// crash, only the targets without an accepted result run again ([store.UnfinishedTargets]). The
// end of a job ends what still runs of the attempt that it names or of an earlier one: a
// deadline passes whether the executor knows of it or not.
//
// All of this follows without remembering past jobs if a run first enters a list of what
// runs, and then asks the engine whether its step still runs in its attempt
// ([TargetQuery].IfAttempt): whoever stops it meanwhile finds it on the list.
type Handler func(ctx context.Context, d Delivery) error

// A DispatchOption sets up [Engine.Dispatch] and [Engine.Deliver].
type DispatchOption func(*dispatch)

type dispatch struct {
	*Engine
	handler   Handler
	runs      int
	stops     int
	notices   int
	lease     time.Duration
	poll      time.Duration
	first     time.Duration
	most      time.Duration
	stopEvery time.Duration
	sweep     time.Duration
}

// Runs bounds how many runs are carried out at once; the default is 64. Runs, stops, and
// the rest have places of their own, so that no stop waits for a run or a question.
func Runs(n int) DispatchOption {
	return func(d *dispatch) {
		if n > 0 {
			d.runs = n
		}
	}
}

// Notices bounds how many questions and ends of jobs are carried out at once; the default
// is 16.
func Notices(n int) DispatchOption {
	return func(d *dispatch) {
		if n > 0 {
			d.notices = n
		}
	}
}

// Lease sets how long an effect belongs to a dispatcher that says nothing; the default
// is 30 s. A third of it is how often it is renewed while its handler runs.
func Lease(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.lease = positive(d, c.lease) }
}

// Poll sets how often the store is asked for effects whose time has come; the default
// is 200 ms. A store that can wake the dispatcher does so for new ones.
func Poll(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.poll = positive(d, c.poll) }
}

// Backoff sets how long an effect is left alone after its first failure, which doubles
// with each further one in a row, and the most that it comes to. The default is 1 s and
// 5 min.
func Backoff(first, most time.Duration) DispatchOption {
	return func(c *dispatch) { c.first, c.most = positive(first, c.first), positive(most, c.most) }
}

// StopEvery sets how often a stop is delivered again while its step is still
// terminating; the default is 30 s.
func StopEvery(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.stopEvery = positive(d, c.stopEvery) }
}

// SweepEvery sets how often a dispatcher expires what is overdue; the default is 1 s.
func SweepEvery(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.sweep = positive(d, c.sweep) }
}

func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func (e *Engine) dispatcher(ctx context.Context, h Handler, opts []DispatchOption) (*dispatch, error) {
	if err := e.ready(ctx); err != nil {
		return nil, err
	}
	if h == nil {
		return nil, invalid("Handler", "nil")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := &dispatch{
		Engine: e, handler: h, runs: 64, stops: 16, notices: 16, lease: 30 * time.Second, poll: pollEvery,
		first: time.Second, most: 5 * time.Minute, stopEvery: 30 * time.Second, sweep: time.Second,
	}
	for _, o := range opts {
		if o != nil {
			o(d)
		}
	}
	return d, nil
}

var (
	runEffects  = []store.Effect{store.RunTargets}
	stopEffects = []store.Effect{store.StopAttempt}
	notices     = []store.Effect{store.AskConfirmers, store.JobEnded}
	allEffects  = []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}
)

// Dispatch hands the effects of jobs to h, at least once each, and expires what is
// overdue, until ctx ends; then it waits for the handlers and returns nil. Only a call that
// cannot begin is an error: without a handler, or with a ctx that has ended. Any number of
// dispatchers can share a store. Failures of the store and of handlers are told to the
// observer, and an effect's last one can be read with [Engine.Effects]; none of them ends
// the dispatch or holds up another effect.
func (e *Engine) Dispatch(ctx context.Context, h Handler, opts ...DispatchOption) error {
	d, err := e.dispatcher(ctx, h, opts)
	if err != nil {
		return err
	}
	var lanes sync.WaitGroup
	lanes.Go(func() { d.lane(ctx, runEffects, d.runs) })
	lanes.Go(func() { d.lane(ctx, stopEffects, d.stops) })
	lanes.Go(func() { d.lane(ctx, notices, d.notices) })
	lanes.Go(func() {
		for sleep(ctx, d.sweep) == nil {
			if _, err := d.Sweep(ctx); err != nil && ctx.Err() == nil {
				d.failed(ctx, fmt.Errorf("sweep: %w", err))
			}
		}
	})
	lanes.Wait()
	return nil
}

// Deliver hands every effect that is due to h, and what follows from them, until none is
// due any more, and returns how many it delivered. It is for handlers that return soon:
// tests, and programs that call it from a timer of their own. It does not sweep.
func (e *Engine) Deliver(ctx context.Context, h Handler, opts ...DispatchOption) (int, error) {
	d, err := e.dispatcher(ctx, h, opts)
	if err != nil {
		return 0, err
	}
	for n := 0; ; {
		claimed, err := d.claim(ctx, allEffects, d.runs)
		if err != nil || len(claimed) == 0 {
			return n, err
		}
		n += len(claimed)
		var handlers sync.WaitGroup
		for _, c := range claimed {
			handlers.Go(func() { d.deliver(ctx, c) })
		}
		handlers.Wait()
	}
}

// lane delivers effects of some kinds, at most so many at once.
func (d *dispatch) lane(ctx context.Context, kinds []store.Effect, most int) {
	slots := make(chan struct{}, most)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	for ctx.Err() == nil {
		changed, stop := d.wake(0)
		claimed, err := d.claim(ctx, kinds, cap(slots)-len(slots))
		if err != nil && ctx.Err() == nil {
			d.failed(ctx, fmt.Errorf("claim effects: %w", err))
		}
		for _, c := range claimed {
			slots <- struct{}{}
			handlers.Go(func() {
				defer func() { <-slots }()
				d.deliver(ctx, c)
			})
		}
		if len(claimed) == 0 {
			_ = pause(ctx, changed, d.poll) // at the latest, as time alone makes an effect due again
		}
		stop()
		waitForSlot(ctx, slots)
	}
}

// waitForSlot returns when a handler can be started or ctx has ended.
func waitForSlot(ctx context.Context, slots chan struct{}) {
	select {
	case slots <- struct{}{}:
		<-slots
	case <-ctx.Done():
	}
}

func (d *dispatch) claim(ctx context.Context, kinds []store.Effect, limit int) ([]store.Delivery, error) {
	now := step.At(d.now())
	return d.store.Claim(ctx, store.Claim{
		Scope: d.scope, Effects: kinds, Now: now, Until: now.Add(d.lease), Limit: limit,
	})
}

// deliver carries out one claimed effect and settles it, or has it delivered again.
func (d *dispatch) deliver(ctx context.Context, claimed store.Delivery) {
	view, err := d.store.View(ctx, store.Query{Scope: d.scope, Job: claimed.Job, Step: claimed.Step})
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && Obsolete(claimed, view.Step):
		d.settle(ctx, claimed)
		return
	case err == nil:
		err = d.handle(ctx, claimed, view)
	}
	// The lease is given back even if ctx has ended meanwhile.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.lease)
	defer cancel()
	switch {
	case errors.Is(err, store.ErrLeaseLost): // whoever has it now will settle it
	case err != nil && ctx.Err() != nil:
		d.again(end, claimed, 0) // it was cut short, and has not failed
	case err != nil:
		d.failed(ctx, fmt.Errorf("job %d: %v of step %d, attempt %d: %w", claimed.Job, claimed.Effect, claimed.Step, claimed.Attempt, err))
		claimed.Failures, claimed.LastError = claimed.Failures+1, brief(err)
		d.again(end, claimed, d.rest(claimed))
	case claimed.Effect == store.StopAttempt && d.stillStopping(end, claimed):
		claimed.Failures, claimed.Delivered, claimed.LastError = 0, true, ""
		d.again(end, claimed, d.stopEvery)
	default:
		d.settle(end, claimed)
	}
}

// Obsolete reports whether nobody needs an effect any more, given its step as it stands
// now: a dispatcher then settles it unseen. Once obsolete it stays so, as attempts only
// grow, and a step that was looked at too early makes nothing obsolete. The end of a job
// always is delivered, and a stop at least once.
func Obsolete(d store.Delivery, s store.Step) bool {
	switch d.Effect {
	case store.RunTargets:
		return s.Attempt > d.Attempt || s.Attempt == d.Attempt && s.State != step.Running
	case store.AskConfirmers:
		return s.Attempt > d.Attempt || s.Attempt == d.Attempt && s.State != step.Waiting
	case store.StopAttempt:
		return d.Delivered && !stopping(d, s)
	}
	return false
}

// stopping reports whether the attempt that is to stop may still run.
func stopping(d store.Delivery, s store.Step) bool {
	return s.Attempt < d.Attempt || s.Attempt == d.Attempt && !s.State.Finished()
}

func (d *dispatch) stillStopping(ctx context.Context, claimed store.Delivery) bool {
	view, err := d.store.View(ctx, store.Query{Scope: d.scope, Job: claimed.Job, Step: claimed.Step})
	return err != nil || stopping(claimed, view.Step)
}

// handle runs the handler and renews the lease meanwhile, for as long as the handler takes,
// even if ctx has ended. If the lease is lost, that is the error.
func (d *dispatch) handle(ctx context.Context, claimed store.Delivery, view store.View) error {
	ctx, cancel := context.WithCancelCause(ctx)
	running, done := context.WithCancel(context.WithoutCancel(ctx))
	var renewal sync.WaitGroup
	defer renewal.Wait()
	defer done()
	defer cancel(nil)
	renewal.Go(func() {
		for sleep(running, max(d.lease/3, time.Millisecond)) == nil {
			if err := d.leave(running, claimed, d.lease); errors.Is(err, store.ErrLeaseLost) {
				cancel(store.ErrLeaseLost) // somebody else carries it out by now
			}
		}
	})
	err := contain(func() error {
		return d.handler(ctx, Delivery{
			Effect: claimed.Effect, Seq: claimed.Seq, At: claimed.At, Job: view.Job, Step: view.Step,
			Attempt: claimed.Attempt, All: claimed.All, Ended: claimed.JobTo, Count: claimed.Count,
		})
	})
	if errors.Is(context.Cause(ctx), store.ErrLeaseLost) {
		return store.ErrLeaseLost
	}
	return err
}

func (d *dispatch) settle(ctx context.Context, claimed store.Delivery) {
	d.let(ctx, claimed, "settle", d.store.Settle(ctx, claimed))
}

// again has an effect delivered again after a while.
func (d *dispatch) again(ctx context.Context, claimed store.Delivery, after time.Duration) {
	d.let(ctx, claimed, "defer", d.leave(ctx, claimed, after))
}

// leave leaves an effect alone for a while, and has what it says of its deliveries kept.
func (d *dispatch) leave(ctx context.Context, claimed store.Delivery, alone time.Duration) error {
	claimed.NotBefore = step.At(d.now()).Add(alone)
	return d.store.Defer(ctx, claimed)
}

// let tells of a failure to settle or defer. The lease runs out then, and the effect is
// delivered again; if it was lost already, that has begun, and all is well.
func (d *dispatch) let(ctx context.Context, claimed store.Delivery, what string, err error) {
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		d.failed(ctx, fmt.Errorf("job %d: %s effect %d: %w", claimed.Job, what, claimed.Seq, err))
	}
}

// rest returns how long an effect is left alone whose last delivery has failed. A stop, which
// is delivered again and again, rests no longer than if it had not.
func (d *dispatch) rest(failed store.Delivery) time.Duration {
	most := d.most
	if failed.Effect == store.StopAttempt {
		most = min(most, d.stopEvery)
	}
	delay := d.first
	for range failed.Failures - 1 {
		if delay >= most {
			break
		}
		delay *= 2
	}
	return min(delay, most)
}

// brief cuts an error to what is kept with an effect, of UTF-8 and without NUL, which databases
// do not take.
func brief(err error) string {
	const most = 500
	text := []rune(strings.ReplaceAll(err.Error(), "\x00", "\uFFFD"))
	if len(text) > most {
		return string(text[:most-3]) + "..."
	}
	return string(text)
}
