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

// A Delivery is an effect on its way to its executor: the work to do, and the state of the
// job when the effect was taken from the store.
type Delivery struct {
	Effect  store.Effect `json:"effect"`
	Seq     store.Seq    `json:"seq"`               // of the record that asked for it; with Job.ID it identifies the effect
	At      step.Time    `json:"at"`                // of that record
	Cause   step.Cause   `json:"cause"`             // the operation or event that asked for it
	By      string       `json:"by,omitempty"`      // who did or reported that
	Because string       `json:"because,omitempty"` // the reason that they gave
	Job     store.Job    `json:"job"`
	Step    store.Step   `json:"step"`           // that runs, stops or asks; it has a Payload if it runs or asks
	Attempt int32        `json:"attempt"`        // to run, stop or ask for
	Run     store.Run    `json:"run"`            // which targets Attempt covers
	Ended   step.State   `json:"ended,omitzero"` // of a JobEnded: the state that the job ended in
	Count   int32        `json:"count"`          // deliveries, this one included
	Token   store.Token  `json:"token"`          // of this delivery's claim; a secret of its executor
}

// NewDelivery returns an effect for its executor, given its step and its job as they stand
// now, and the step's details if [NeedsDetails] says so. Like [Obsolete] it is for programs
// that carry effects by other means than [Engine.Dispatch] and [Engine.Claim].
func NewDelivery(d store.Delivery, v store.View, details store.Details) Delivery {
	v.Step.Payload = details.Payload
	return Delivery{
		Effect: d.Effect, Seq: d.Seq, At: d.At, Cause: d.Cause, By: d.Actor, Because: d.Reason, Job: v.Job, Step: v.Step,
		Attempt: d.Attempt, Run: d.Run, Ended: d.JobTo, Count: d.Count, Token: d.Token,
	}
}

// NeedsDetails reports whether the executor of an effect needs the details of its step: that of
// a run or a question does, that of a stop or the end of a job does not.
func NeedsDetails(e store.Effect) bool { return e == store.RunTargets || e == store.AskConfirmers }

// Obsolete reports whether an effect is needed no more, given its step as it stands now: a
// dispatcher then settles it unseen. Once obsolete it stays so, as attempts only grow, and an
// older state of the step makes nothing obsolete. The end of a job is always delivered, and a
// stop at least once.
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
	return s.Attempt < d.Attempt || s.Attempt == d.Attempt && !s.State.Finished()
}

// A courier takes effects to their executors, and keeps the outcome of deliveries.
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

// wait returns the bound of a call to the store about effects: after the lease its answer
// is worth nothing.
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

// finish keeps the outcome of a delivery: an error, or nil if the effect was carried out. It
// reports whether that was so and is kept. A delivery that the end of ctx cut short has not
// failed: the effect is due again at once. One that has lost its lease keeps nothing.
func (c *courier) finish(ctx context.Context, claimed store.Delivery, err error) bool {
	kept := c.detached(ctx, func(kept context.Context) error {
		switch {
		case err == nil:
			return c.done(kept, claimed)
		case errors.Is(err, store.ErrLeaseLost):
			return nil
		case ctx.Err() != nil:
			return c.deferUntil(kept, claimed, 0)
		}
		return c.fail(kept, claimed, err)
	})
	return err == nil && kept == nil
}

// detached calls f, which gives a lease back, even if ctx has ended, and tells of its failure. f
// has as long as the lease lasts, and 30 s at most; then the lease has run out, and the effect
// is delivered again. A lease that was lost is told of where it was noticed, not here.
func (c *courier) detached(ctx context.Context, f func(context.Context) error) error {
	err := within(context.WithoutCancel(ctx), c.wait(), f)
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		c.failed(ctx, err)
	}
	return err
}

// failed tells of a failure.
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
		return c.deferUntil(ctx, claimed, c.stopEvery)
	}
	return c.settle(ctx, claimed)
}

func (c *courier) stillStopping(ctx context.Context, claimed store.Delivery) bool {
	view, err := c.view(ctx, claimed)
	return err != nil || stopping(claimed, view.Step)
}

// fail tells of a delivery that has failed, keeps the cause, and backs off.
func (c *courier) fail(ctx context.Context, claimed store.Delivery, cause error) error {
	c.failed(ctx, failure(claimed, cause))
	claimed.Failures, claimed.LastError = min(claimed.Failures+1, claimed.Count), brief(cause)
	return c.deferUntil(ctx, claimed, c.backOffOf(claimed))
}

// failure says which delivery failed.
func failure(d store.Delivery, cause error) error {
	return fmt.Errorf("job %d: %v of step %d, attempt %d: %w", d.Job, d.Effect, d.Step, d.Attempt, lineError{cause})
}

func (c *courier) settle(ctx context.Context, claimed store.Delivery) error {
	return ofEffect(claimed, "settle", c.store.Settle(ctx, claimed))
}

// deferUntil leaves an effect alone from now on, and keeps what claimed says of its deliveries.
func (c *courier) deferUntil(ctx context.Context, claimed store.Delivery, alone time.Duration) error {
	if err := c.clock.sync(ctx); err != nil {
		return ofEffect(claimed, "defer", err)
	}
	claimed.NotBefore = step.At(c.now()).Add(alone)
	return ofEffect(claimed, "defer", c.store.Defer(ctx, claimed))
}

// ofEffect says which effect an error of the store is about; nil stays nil.
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

// within calls f with a ctx that ends after d at the latest, and says so if f failed of that.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := f(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("the store did not answer within %v: %w", d, err)
	}
	return err
}
