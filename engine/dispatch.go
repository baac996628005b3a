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

// A Handler carries out one effect. It must be safe for concurrent use. nil settles the
// effect; after an error or a panic the effect is delivered again later.
//
// While the handler runs, the dispatcher renews its lease each time that [RenewEvery] says, and
// bounds each renewal by as long. ctx ends when the dispatcher stops, and when the lease is lost: the store
// refuses a renewal, as the effect was claimed again, or the last renewal that passed is older
// than the lease, as the store does not answer. context.Cause(ctx) is then a
// [store.ErrLeaseLost], and the observer is told once. From that moment on another handler can
// carry the effect out, so a handler returns when ctx ends. If it returns nil all the same, the
// effect is settled unless it was claimed again: the claim's token decides. An error is not
// kept then, and the effect is due at once.
//
// Effects come at least once and in no order. A handler of RunTargets returns at once and
// reports later, or returns when the attempt is done: then a run that died with its process
// is delivered again. An executor owes this:
//
//   - A run of attempt n first ends what still runs of earlier attempts.
//   - A stop of attempt n ends every attempt up to n.
//   - A run is dropped after a stop of its attempt or a later one, and if a later attempt was
//     seen.
//   - A run delivered twice runs once. After a crash, only the targets without an accepted
//     result run again ([store.UnfinishedTargets]).
//   - The end of a job ends what still runs of the attempt that it names or of an earlier one:
//     a deadline can pass without the executor, and a person can give the run up.
//
// All of this follows without a memory of past jobs if a run first enters a list of runs, and
// then asks the engine whether its step still runs in its attempt ([TargetQuery].IfAttempt): a
// stop that comes meanwhile finds the run on the list.
type Handler func(ctx context.Context, d Delivery) error

// A DispatchOption sets up [Engine.Dispatch] and [Engine.Deliver].
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

// Runs sets the maximum of runs at once; the default is 64. Runs, stops, and the rest have
// places of their own, so that no stop waits for a run or a question.
func Runs(n int) DispatchOption {
	return func(d *dispatch) {
		if n > 0 {
			d.runs = n
		}
	}
}

// Effects has only some kinds of effects delivered; the default is all. A process without Notices, as
// it delivers neither questions nor ends of jobs, leaves them to others.
func Effects(kinds ...store.Effect) DispatchOption {
	return func(d *dispatch) { d.effects = kinds }
}

// Types has only the runs and stops of steps of some types delivered; the default is all. Questions and
// ends of jobs belong to no step type, see [Effects]. Effects that no process delivers wait:
// [Engine.Effects] shows them with Count 0.
func Types(types ...step.Type) DispatchOption {
	return func(d *dispatch) { d.types = step.TypesOf(types...) }
}

// Notices sets the maximum of questions and ends of jobs at once; the default is 16.
func Notices(n int) DispatchOption {
	return func(d *dispatch) {
		if n > 0 {
			d.notices = n
		}
	}
}

// Lease sets the lease duration without a renewal; the default is 14 s. While a handler runs,
// its lease is renewed as [RenewEvery] says.
func Lease(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.lease = positive(d, c.lease) }
}

// Poll sets how often the store is asked for effects that time has made due; the default is
// 200 ms. A [store.Waker] wakes the dispatcher for new ones.
func Poll(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.poll = positive(d, c.poll) }
}

// Backoff sets how long an effect rests after its first failure, doubled with each further
// one in a row, and the maximum. The default is 1 s and 5 min.
func Backoff(first, most time.Duration) DispatchOption {
	return func(c *dispatch) { c.first, c.most = positive(first, c.first), positive(most, c.most) }
}

// StopEvery sets how often a stop is delivered again while its step is terminating; the
// default is 30 s.
func StopEvery(d time.Duration) DispatchOption {
	return func(c *dispatch) { c.stopEvery = positive(d, c.stopEvery) }
}

// SweepEvery sets how often a dispatcher expires overdue attempts; the default is 1 s.
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
// not begin: h is nil, an option names an effect or a step type that the rules do not deliver, or ctx has
// ended. Any number of dispatchers can share a store.
//
// The observer is told of failures of the store and of handlers; [Engine.Effects] has the last
// one of each effect. None of them ends the dispatch or holds up another effect: each call of
// the store is bounded by the lease and by 30 s, and a handler holds one place.
func (e *Engine) Dispatch(ctx context.Context, h Handler, opts ...DispatchOption) error {
	d, err := e.dispatcher(ctx, h, opts)
	if err != nil {
		return err
	}
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

// Deliver hands every due effect to h, and what follows from them, until none is due. It
// returns how many were carried out and settled, without the obsolete ones, and the failures
// of handlers and of the store, joined: an effect that failed is delivered again by a later
// call, once its back-off is over. Deliver is for handlers that return soon: tests, and
// programs with a timer of their own. It does not sweep.
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

// deliver has one claimed effect carried out, keeps the outcome, and reports whether it was
// carried out and settled. The lease began at since.
func (d *dispatch) deliver(ctx context.Context, claimed store.Delivery, since time.Time) bool {
	shown := d.toExecutor(ctx, claimed)
	return shown != nil && d.finish(ctx, claimed, d.handle(ctx, claimed, since, *shown))
}

// handle calls the handler and renews the lease until it returns, even if ctx has ended. If
// the handler fails after the lease was lost, the error is that one.
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

// renew renews a lease as [RenewEvery] says until running ends. It calls lost once, when another
// claim has the effect or when the last renewal that passed is older than the lease. In the
// second case it goes on: while the handler comes to its end, no other needs to begin.
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
		failed = within(running, bound, func(ctx context.Context) error { return d.deferUntil(ctx, claimed, d.lease) })
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
