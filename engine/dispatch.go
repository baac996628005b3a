package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Handler carries out one effect. It must be safe for concurrent use. If it returns nil, the
// effect is settled; after an error or a panic the effect is delivered again later.
//
// While the handler runs, the dispatcher renews its lease every [RenewEvery], and bounds each
// renewal by the same time. ctx ends when the dispatcher stops, and when the lease is lost: the
// store refuses a renewal because the effect was claimed again, or the store does not answer and
// the last successful renewal is older than the lease. context.Cause(ctx) is then a
// [store.ErrLeaseLost], and the observer is told once. From that moment on another handler can
// carry out the effect, so a handler returns when ctx ends. If it still returns nil, the effect is
// settled unless it was claimed again: the claim's token decides. An error returned after the end
// of ctx is not stored, and the effect is due at once.
//
// Effects are delivered at least once and in no order. A handler of RunTargets returns at once and
// reports later, or returns when the attempt is done: then a run that died with its process
// is delivered again. The duties of an executor:
//
//   - A run of attempt n first ends the work of earlier attempts that still goes on.
//   - A stop of attempt n ends every attempt up to n.
//   - A run is dropped after a stop of its attempt or of a later one, and after a run of a later
//     attempt.
//   - A run delivered twice runs once. After a crash, only the targets without an accepted
//     result run again ([store.UnfinishedTargets]).
//   - The end of a job ends the work of the attempt that it names and of earlier ones: a deadline
//     can pass without the executor, and a person can give the run up.
//
// An executor needs no memory of past jobs for this: a run first enters a list of runs, and then
// asks the engine whether its step still runs in its attempt ([TargetQuery].IfAttempt). A stop
// that comes meanwhile finds the run on the list. Package executor does all of it.
type Handler func(ctx context.Context, d Delivery) error

// A DispatchOption sets up [Engine.Dispatch] and [Engine.Deliver]. Of two that set the same thing
// the later one holds.
type DispatchOption func(*dispatch)

type dispatch struct {
	*courier
	handler Handler
	effects []store.Effect // the kinds that are delivered
	runs    int            // maximum at once, as are the next two
	stops   int
	notices int
	poll    time.Duration
	sweep   time.Duration
}

// Runs sets the maximum of runs at once; the default is 64. Runs, stops and notices have separate
// limits, so that no stop waits for a run or a question. The limit of stops is 16.
func Runs(n int) DispatchOption {
	return func(d *dispatch) {
		if n > 0 {
			d.runs = n
		}
	}
}

// Effects limits a dispatcher to some kinds of effects; the default is all. Other processes must
// deliver the other kinds, which wait until then.
func Effects(kinds ...store.Effect) DispatchOption {
	return func(d *dispatch) { d.effects = kinds }
}

// Types limits a dispatcher to the runs and stops of some step types; the default is all. It does
// not limit questions and ends of jobs, which belong to no step type: see [Effects]. Effects that
// no process delivers wait: [Engine.Effects] shows them with Count 0.
func Types(types ...step.Type) DispatchOption {
	return func(d *dispatch) { d.types = step.TypesOf(types...) }
}

// Notices sets the maximum of notices at once, which are questions and ends of jobs; the default
// is 16.
func Notices(n int) DispatchOption {
	return func(d *dispatch) {
		if n > 0 {
			d.notices = n
		}
	}
}

// Lease sets the lease duration without a renewal; the default is 14 s. While a handler runs,
// the dispatcher renews its lease every [RenewEvery].
func Lease(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.lease = positive(d, c.lease) }
}

// Poll sets the interval between looks for due effects; the default is 200 ms. A store that is a
// [store.Waker] also wakes the dispatcher for new effects.
func Poll(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.poll = positive(d, c.poll) }
}

// Backoff sets the back-off after the first failure of an effect, doubled with each further failure
// in a row, and its maximum. The default is 1 s and 5 min.
func Backoff(first, most time.Duration) DispatchOption {
	return func(c *dispatch) { c.first, c.most = positive(first, c.first), positive(most, c.most) }
}

// StopEvery sets the interval at which a stop is delivered again while its step is terminating;
// the default is 30 s.
func StopEvery(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.stopEvery = positive(d, c.stopEvery) }
}

// SweepEvery sets the interval at which a dispatcher expires overdue attempts; the default is 1 s.
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
	if err := e.checkEngine(ctx); err != nil {
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
	effects, refusal := e.checkSelection(d.effects, d.types)
	if refusal != nil {
		return nil, refusal
	}
	d.effects = effects
	return d, nil
}

var (
	runEffects  = []store.Effect{store.RunTargets}
	stopEffects = []store.Effect{store.StopAttempt}
	notices     = []store.Effect{store.AskConfirmers, store.JobEnded}
)

// Dispatch hands the effects of jobs to h, at least once each, and expires overdue attempts,
// until ctx ends; then it waits for the handlers and returns nil. An error means that it could
// not begin: h is nil, an option names an effect or a step type that the rules do not deliver, or
// ctx has ended. Any number of dispatchers can share a store.
//
// The observer is told of failures of the store and of handlers; [Engine.Effects] shows the last
// failure of each effect. No failure ends the dispatch or delays another effect: each call of the
// store is bounded by the lease and by 30 s, and a handler counts as one against its limit.
func (e *Engine) Dispatch(ctx context.Context, h Handler, opts ...DispatchOption) error {
	d, err := e.dispatcher(ctx, h, opts)
	if err != nil {
		return err
	}
	moved, stop := d.turned.Listen(0) // before the first effect is delivered, which may move a turn
	var lanes sync.WaitGroup
	for _, l := range []struct {
		kinds []store.Effect
		most  int
	}{{runEffects, d.runs}, {stopEffects, d.stops}, {notices, d.notices}} {
		kinds := slices.DeleteFunc(slices.Clone(l.kinds), func(e store.Effect) bool { return !slices.Contains(d.effects, e) })
		if len(kinds) > 0 {
			lanes.Go(func() { d.lane(ctx, kinds, l.most) })
		}
	}
	lanes.Go(func() { d.keepSweeping(ctx, moved, stop) })
	lanes.Wait()
	return nil
}

// keepSweeping sweeps at intervals, and whenever this process has moved a turn, of which it is told by moved
// until it calls stop.
func (d *dispatch) keepSweeping(ctx context.Context, moved <-chan struct{}, stop func()) {
	for pause(ctx, moved, d.sweep) == nil {
		stop()
		moved, stop = d.turned.Listen(0) // before the sweep, during which others may move
		if _, err := d.Sweep(ctx); err != nil && ctx.Err() == nil {
			d.failed(ctx, fmt.Errorf("sweep: %w", err))
		}
	}
	stop()
}

// Deliver hands every due effect to h, and the effects that follow from them, until none is due.
// It returns the number of effects that were carried out and settled, without the obsolete ones,
// and the joined failures of handlers and of the store. A failed effect is delivered again by a
// later call, once its back-off is over. Deliver is for handlers that return soon: in tests, and
// in programs with a timer of their own. It does not expire deadlines; [Engine.Sweep] does.
func (e *Engine) Deliver(ctx context.Context, h Handler, opts ...DispatchOption) (int, error) {
	d, err := e.dispatcher(ctx, h, opts)
	if err != nil {
		return 0, err
	}
	var (
		mu       sync.Mutex // guards all below
		done     int
		failures []error
	)
	d.told = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, err)
	}
	for {
		claimed, since, err := d.claim(ctx, d.effects, d.runs)
		if err != nil || len(claimed) == 0 {
			return done, errors.Join(append(failures, err)...)
		}
		each(len(claimed), d.runs, func(i int) {
			if d.deliver(ctx, claimed[i], since) {
				mu.Lock()
				defer mu.Unlock()
				done++
			}
		})
	}
}

// lane delivers effects of some kinds, most at once.
func (d *dispatch) lane(ctx context.Context, kinds []store.Effect, most int) {
	slots := make(chan struct{}, most)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	for ctx.Err() == nil {
		changed, stop := d.wake(0)
		claimed, since, err := d.claim(ctx, kinds, cap(slots)-len(slots))
		if err != nil && ctx.Err() == nil {
			d.failed(ctx, fmt.Errorf("claim effects: %w", err))
		}
		for _, c := range claimed {
			slots <- struct{}{}
			handlers.Go(func() {
				defer func() { <-slots }()
				d.deliver(ctx, c, since)
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

// deliver carries out one claimed effect, stores the outcome, and reports whether the effect was
// carried out and settled. The lease began at since.
func (d *dispatch) deliver(ctx context.Context, claimed store.Delivery, since time.Time) bool {
	shown := d.toExecutor(ctx, claimed)
	return shown != nil && d.finish(ctx, claimed, d.handle(ctx, claimed, since, *shown))
}

// handle calls the handler and renews the lease until it returns, even if ctx has ended. If
// the handler fails after the lease was lost, the error is the loss of the lease.
func (d *dispatch) handle(ctx context.Context, claimed store.Delivery, since time.Time, shown Delivery) error {
	handling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := func(err error) {
		cancel(err)
		d.failed(ctx, err)
	}
	if time.Since(since) >= d.lease { // the store took that long to answer
		lost(d.ranOut(claimed, nil))
		return context.Cause(handling)
	}
	running, done := context.WithCancel(context.WithoutCancel(ctx))
	var renewal sync.WaitGroup
	renewal.Go(func() { d.renew(running, claimed, since, lost) })
	err := contain(func() error { return d.handler(handling, shown) })
	done()
	renewal.Wait()
	if cause := context.Cause(handling); err != nil && errors.Is(cause, store.ErrLeaseLost) {
		return cause
	}
	return err
}

// renew renews a lease every [RenewEvery] until running ends. It calls lost once, when another
// claim has the effect or when the last successful renewal is older than the lease. In the second
// case it goes on: a renewal that passes keeps other handlers from beginning until this one ends.
func (d *dispatch) renew(running context.Context, claimed store.Delivery, since time.Time, lost func(error)) {
	every := max(RenewEvery(d.lease), time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	ends := since.Add(d.lease)
	over := time.NewTimer(time.Until(ends))
	defer over.Stop()
	var failed error // the last renewal, if it did not pass
	for told := false; ; {
		due := false
		select {
		case <-running.Done():
			return
		case <-over.C:
		case <-tick.C:
			due = true
		}
		now := time.Now()
		if !told && !now.Before(ends) {
			told = true
			lost(d.ranOut(claimed, failed))
		}
		if !due {
			continue
		}
		bound := every
		if !told {
			bound = min(bound, ends.Sub(now))
		}
		failed = within(running, bound, func(ctx context.Context) error { return d.renewFor(ctx, claimed, d.lease) })
		switch {
		case failed == nil:
			ends = now.Add(d.lease)
			over.Reset(time.Until(ends))
		case errors.Is(failed, store.ErrLeaseLost):
			if !told {
				lost(failure(claimed, failed))
			}
			return
		}
	}
}

// ranOut says that a lease has run out, and why the last renewal failed, if one did.
func (d *dispatch) ranOut(claimed store.Delivery, cause error) error {
	err := fmt.Errorf("%w: no renewal has passed for %v", store.ErrLeaseLost, d.lease)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return failure(claimed, err)
}
