package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/store"
)

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
	*courier
	handler Handler
	runs    int
	stops   int
	notices int
	poll    time.Duration
	sweep   time.Duration
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
	d := &dispatch{courier: e.courier(), handler: h, runs: 64, stops: 16, notices: 16, poll: pollEvery, sweep: time.Second}
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
		each(len(claimed), d.runs, func(i int) { d.deliver(ctx, claimed[i]) })
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

// deliver carries out one claimed effect and settles it, or has it delivered again.
func (d *dispatch) deliver(ctx context.Context, claimed store.Delivery) {
	if shown := d.show(ctx, claimed); shown != nil {
		d.end(ctx, claimed, d.handle(ctx, claimed, *shown))
	}
}

// handle runs the handler and renews the lease meanwhile, for as long as the handler takes,
// even if ctx has ended. If the lease is lost, that is the error.
func (d *dispatch) handle(ctx context.Context, claimed store.Delivery, shown Delivery) error {
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
	err := contain(func() error { return d.handler(ctx, shown) })
	if errors.Is(context.Cause(ctx), store.ErrLeaseLost) {
		return store.ErrLeaseLost
	}
	return err
}
