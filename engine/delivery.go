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

// A Delivery is a claimed effect for its executor: the work to do, and the state of the job when
// the effect was claimed.
type Delivery struct {
	Effect  store.Effect `json:"effect"`            // the kind of work: run, stop, ask, or tell of the job's end
	Seq     store.Seq    `json:"seq"`               // of the record that asked for it; with Job.ID it identifies the effect
	At      step.Time    `json:"at"`                // of that record
	Cause   step.Cause   `json:"cause"`             // of that record: the operation or event that asked for it
	By      string       `json:"by,omitempty"`      // the person or executor who caused it
	Because string       `json:"because,omitempty"` // the reason that they gave
	Job     store.Job    `json:"job"`               // its header when the effect was claimed
	Step    store.Step   `json:"step"`              // that runs, stops or asks; with its Payload if it runs or asks
	Attempt int32        `json:"attempt"`           // to run, stop or ask for
	Run     store.Run    `json:"run"`               // which targets Attempt covers
	Ended   step.State   `json:"ended,omitzero"`    // of a JobEnded: the state that the job ended in
	Count   int32        `json:"count"`             // deliveries, this one included
	Token   store.Token  `json:"token"`             // of this delivery's claim; a secret of its executor
}

// NewDelivery returns the delivery of effect d for its executor. v shows the job and the step as
// they are now; details are read from the store if [NeedsDetails] says so, and zero otherwise.
// Like [Obsolete] it is for programs that carry effects by other means than [Engine.Dispatch] and
// [Engine.Claim], such as a job queue.
func NewDelivery(d store.Delivery, v store.View, details store.Details) Delivery {
	v.Step.Payload = details.Payload
	return Delivery{
		Effect: d.Effect, Seq: d.Seq, At: d.At, Cause: d.Cause, By: d.Actor, Because: d.Reason, Job: v.Job, Step: v.Step,
		Attempt: d.Attempt, Run: d.Run, Ended: d.JobTo, Count: d.Count, Token: d.Token,
	}
}

// NeedsDetails reports whether an effect is delivered with the details of its step: a run and a
// question are, a stop and the end of a job are not.
func NeedsDetails(e store.Effect) bool { return e == store.RunTargets || e == store.AskConfirmers }

// Obsolete reports whether effect d need not be delivered any more, given the current state of
// its step: a dispatcher then settles it and calls no handler. An obsolete effect stays obsolete,
// as attempts only grow; so an older state of the step is safe to pass. The end of a job is never
// obsolete, and a stop not before its first delivery.
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

// stopping reports whether the attempt that d stops may still run.
func stopping(d store.Delivery, s store.Step) bool {
	return s.Attempt < d.Attempt || s.Attempt == d.Attempt && s.State.Attempting()
}

// A courier claims effects for executors, and stores the outcome of deliveries.
type courier struct {
	*Engine
	types     step.Types    // of the steps whose runs and stops are taken; the empty set takes all
	lease     time.Duration // lease duration without a renewal
	first     time.Duration // back-off after a failure, doubled with each further one in a row,
	most      time.Duration // and its maximum
	stopEvery time.Duration // between deliveries of a stop whose step has not stopped
	told      func(error)   // gets each failure that the observer gets; may be nil; safe for concurrent use
}

const (
	defaultLease = 14 * time.Second // also that of a [ClaimQuery]: another process takes over within 15 s
	storeWait    = 30 * time.Second // bound of a call to the store that has no shorter one
)

func (e *Engine) courier() *courier {
	return &courier{Engine: e, lease: defaultLease, first: time.Second, most: 5 * time.Minute, stopEvery: 30 * time.Second}
}

// wait returns the bound of a call to the store about effects: an answer after the end of the
// lease is useless.
func (c *courier) wait() time.Duration { return min(c.lease, storeWait) }

// allEffects are the kinds that are delivered.
var allEffects = []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}

// claim takes up to limit due effects. Their leases last from since on, by the clock of
// package time.
func (c *courier) claim(ctx context.Context, kinds []store.Effect, limit int) (claimed []store.Delivery, since time.Time, err error) {
	since = time.Now()
	err = within(ctx, c.wait(), func(ctx context.Context) error {
		if err := c.clock.sync(ctx); err != nil {
			return err
		}
		now := step.At(c.now())
		claimed, err = c.store.Claim(ctx, store.Claim{
			Scope: c.scope, Effects: kinds, Types: c.types, Now: now, Until: now.Add(c.lease), Token: token(c.random(), c.random()), Limit: limit,
		})
		return err
	})
	return claimed, since, err
}

// toExecutor returns a claimed effect for its executor. It returns nil after it has settled an
// obsolete one, and after it has ended, as a delivery that failed, one whose job it could
// not read.
func (c *courier) toExecutor(ctx context.Context, claimed store.Delivery) *Delivery {
	var view store.View
	var details store.Details
	err := within(ctx, c.wait(), func(ctx context.Context) (err error) {
		view, err = c.view(ctx, claimed)
		return err
	})
	obsolete := err == nil && Obsolete(claimed, view.Step)
	if err == nil && !obsolete && NeedsDetails(claimed.Effect) {
		err = within(ctx, c.wait(), func(ctx context.Context) (err error) {
			details, err = c.store.Details(ctx, store.DetailQuery{Scope: c.scope, Job: claimed.Job, Step: claimed.Step})
			return err
		})
	}
	switch {
	case errors.Is(err, store.ErrNotFound) || obsolete:
		_ = c.detached(ctx, func(ctx context.Context) error { return c.settle(ctx, claimed) })
	case err != nil:
		c.finish(ctx, claimed, err)
	default:
		d := NewDelivery(claimed, view, details)
		return &d
	}
	return nil
}

func (c *courier) view(ctx context.Context, claimed store.Delivery) (store.View, error) {
	return c.store.View(ctx, store.Query{Scope: c.scope, Job: claimed.Job, Step: claimed.Step})
}

// finish stores the outcome of a delivery: err, or nil if the effect was carried out. It reports
// whether the effect was carried out and the store has it. A delivery that the end of ctx cut
// short has not failed: the effect is due again at once. Without the lease nothing is stored.
func (c *courier) finish(ctx context.Context, claimed store.Delivery, err error) bool {
	kept := c.detached(ctx, func(kept context.Context) error {
		switch {
		case err == nil:
			return c.done(kept, claimed)
		case errors.Is(err, store.ErrLeaseLost):
			return nil
		case ctx.Err() != nil:
			return c.letGo(kept, claimed, 0)
		}
		return c.fail(kept, claimed, err)
	})
	return err == nil && kept == nil
}

// detached calls f, which ends a lease, even if ctx has ended, and tells the observer if f fails. f
// is bounded by the lease and by 30 s; after that the lease has run out, and the effect is
// delivered again. A lost lease is not told here, but where it is noticed.
func (c *courier) detached(ctx context.Context, f func(context.Context) error) error {
	err := within(context.WithoutCancel(ctx), c.wait(), f)
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		c.failed(ctx, err)
	}
	return err
}

// failed tells the observer, and told, of a failure.
func (c *courier) failed(ctx context.Context, err error) {
	if c.told != nil {
		c.told(err)
	}
	c.Engine.failed(ctx, err)
}

// done settles an effect that was carried out. A stop stays, and is delivered again, until its
// step has stopped.
func (c *courier) done(ctx context.Context, claimed store.Delivery) error {
	if claimed.Effect == store.StopAttempt && c.stillStopping(ctx, claimed) {
		claimed.Failures, claimed.Delivered, claimed.LastError = 0, true, ""
		return c.letGo(ctx, claimed, c.stopEvery)
	}
	return c.settle(ctx, claimed)
}

func (c *courier) stillStopping(ctx context.Context, claimed store.Delivery) bool {
	view, err := c.view(ctx, claimed)
	return err != nil || stopping(claimed, view.Step)
}

// fail tells the observer of a failed delivery, stores its cause, and backs off.
func (c *courier) fail(ctx context.Context, claimed store.Delivery, cause error) error {
	c.failed(ctx, failure(claimed, cause))
	claimed.Failures, claimed.LastError = min(claimed.Failures+1, claimed.Count), brief(cause)
	return c.letGo(ctx, claimed, c.backOffOf(claimed))
}

// failure returns cause with the name of the delivery that failed.
func failure(d store.Delivery, cause error) error {
	return fmt.Errorf("job %d: %v of step %d, attempt %d: %w", d.Job, d.Effect, d.Step, d.Attempt, lineError{cause})
}

func (c *courier) settle(ctx context.Context, claimed store.Delivery) error {
	return ofEffect(claimed, "settle", c.store.Settle(ctx, claimed))
}

// renewFor gives a claim a new lease that begins now. It also holds an effect that the claim has let
// go, if no other one has taken it.
func (c *courier) renewFor(ctx context.Context, claimed store.Delivery, lease time.Duration) error {
	claimed.Held = true
	return c.deferFor(ctx, claimed, lease)
}

// letGo ends a claim: the effect is due after a back-off that begins now.
func (c *courier) letGo(ctx context.Context, claimed store.Delivery, backOff time.Duration) error {
	claimed.Held = false
	return c.deferFor(ctx, claimed, backOff)
}

// deferFor leaves an effect alone for a time from now on, and stores what claimed says of its
// deliveries.
func (c *courier) deferFor(ctx context.Context, claimed store.Delivery, alone time.Duration) error {
	if err := c.clock.sync(ctx); err != nil {
		return ofEffect(claimed, "defer", err)
	}
	claimed.NotBefore = step.At(c.now()).Add(alone)
	return ofEffect(claimed, "defer", c.store.Defer(ctx, claimed))
}

// ofEffect adds the effect to an error of the store; nil stays nil.
func ofEffect(d store.Delivery, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("job %d: %s effect %d: %w", d.Job, what, d.Seq, err)
}

// backOffOf returns the back-off of an effect whose last delivery has failed. That of a stop,
// which is delivered again and again, does not exceed stopEvery.
func (c *courier) backOffOf(failed store.Delivery) time.Duration {
	most := c.most
	if failed.Effect == store.StopAttempt {
		most = min(most, c.stopEvery)
	}
	delay := c.first
	for range failed.Failures - 1 {
		if delay >= most {
			break
		}
		delay *= 2
	}
	return min(delay, most)
}

// brief cuts an error to the 500 characters that are kept with an effect: UTF-8 without NUL,
// which databases refuse.
func brief(err error) string {
	const most = 500
	text := []rune(strings.ReplaceAll(err.Error(), "\x00", "\uFFFD"))
	if len(text) > most {
		return string(text[:most-3]) + "..."
	}
	return string(text)
}

// each calls f with every number below n, most calls at once.
func each(n, most int, f func(i int)) {
	slots := make(chan struct{}, most)
	var calls sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	calls.Wait()
}

// within calls f with a ctx that ends after d at the latest. If f fails because of that, the error
// says so.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := f(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("the store did not answer within %v: %w", d, err)
	}
	return err
}
