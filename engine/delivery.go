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

// A Delivery is an effect as whoever carries it out gets it: what has to be done, and where
// the job stood when it was taken from the store.
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

// NewDelivery returns an effect as whoever carries it out gets it, given its step and its job
// as they stand now. Like [Obsolete] it is for those who carry effects by other means than
// [Engine.Dispatch] and [Engine.Claim].
func NewDelivery(d store.Delivery, v store.View) Delivery {
	return Delivery{
		Effect: d.Effect, Seq: d.Seq, At: d.At, Job: v.Job, Step: v.Step,
		Attempt: d.Attempt, All: d.All, Ended: d.JobTo, Count: d.Count,
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

// A courier is what takes effects to those who carry them out, and keeps what came of it.
type courier struct {
	*Engine
	lease     time.Duration // how long an effect belongs to whoever says nothing
	first     time.Duration // how long it is left alone after a failure, doubled with each further one,
	most      time.Duration // and what that comes to at most
	stopEvery time.Duration // how often a stop is delivered while its step has not stopped
}

// defaultLease is also that of a [ClaimQuery].
const defaultLease = 30 * time.Second

func (e *Engine) courier() *courier {
	return &courier{Engine: e, lease: defaultLease, first: time.Second, most: 5 * time.Minute, stopEvery: 30 * time.Second}
}

// allEffects are the kinds of which one is delivered.
var allEffects = []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}

// claim takes up to limit effects that are due.
func (c *courier) claim(ctx context.Context, kinds []store.Effect, limit int) ([]store.Delivery, error) {
	now := step.At(c.now())
	return c.store.Claim(ctx, store.Claim{
		Scope: c.scope, Effects: kinds, Now: now, Until: now.Add(c.lease), Limit: limit,
	})
}

// show returns a claimed effect as it is delivered. It is nil if nobody needs the effect any
// more, which is settled unseen, and if it cannot be told where its job stands, which ends it
// as a delivery does that fails.
func (c *courier) show(ctx context.Context, claimed store.Delivery) *Delivery {
	view, err := c.store.View(ctx, store.Query{Scope: c.scope, Job: claimed.Job, Step: claimed.Step})
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && Obsolete(claimed, view.Step):
		c.keep(ctx, func(ctx context.Context) error { return c.settle(ctx, claimed) })
	case err != nil:
		c.end(ctx, claimed, err)
	default:
		d := NewDelivery(claimed, view)
		return &d
	}
	return nil
}

// end keeps what came of a delivery: an error, or nil if the effect was carried out. One that
// was cut short by the end of ctx has not failed, and is due again at once.
func (c *courier) end(ctx context.Context, claimed store.Delivery, err error) {
	c.keep(ctx, func(kept context.Context) error {
		switch {
		case err == nil:
			return c.done(kept, claimed)
		case errors.Is(err, store.ErrLeaseLost): // whoever has it now will settle it
			return nil
		case ctx.Err() != nil:
			return c.leave(kept, claimed, 0)
		}
		return c.fail(kept, claimed, err)
	})
}

// keep runs what gives a lease back, even if ctx has ended, for as long as the lease lasts and 30 s
// at most, and tells of its failure. The lease runs out then, and the effect is delivered again;
// if it was lost already, that has begun, and all is well.
func (c *courier) keep(ctx context.Context, f func(context.Context) error) {
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(c.lease, defaultLease))
	defer cancel()
	if err := f(kept); err != nil && !errors.Is(err, store.ErrLeaseLost) {
		c.failed(ctx, err)
	}
}

// done settles an effect that was carried out. A stop waits until its step has stopped, and is
// delivered again until then.
func (c *courier) done(ctx context.Context, claimed store.Delivery) error {
	if claimed.Effect == store.StopAttempt && c.stillStopping(ctx, claimed) {
		claimed.Failures, claimed.Delivered, claimed.LastError = 0, true, ""
		return c.leave(ctx, claimed, c.stopEvery)
	}
	return c.settle(ctx, claimed)
}

func (c *courier) stillStopping(ctx context.Context, claimed store.Delivery) bool {
	view, err := c.store.View(ctx, store.Query{Scope: c.scope, Job: claimed.Job, Step: claimed.Step})
	return err != nil || stopping(claimed, view.Step)
}

// fail tells of a delivery that has failed, keeps why, and has the effect delivered again.
func (c *courier) fail(ctx context.Context, claimed store.Delivery, cause error) error {
	c.failed(ctx, fmt.Errorf("job %d: %v of step %d, attempt %d: %w", claimed.Job, claimed.Effect, claimed.Step, claimed.Attempt, lineError{cause}))
	claimed.Failures, claimed.LastError = claimed.Failures+1, brief(cause)
	return c.leave(ctx, claimed, c.rest(claimed))
}

func (c *courier) settle(ctx context.Context, claimed store.Delivery) error {
	return about(claimed, "settle", c.store.Settle(ctx, claimed))
}

// leave leaves an effect alone for a while, and has what it says of its deliveries kept.
func (c *courier) leave(ctx context.Context, claimed store.Delivery, alone time.Duration) error {
	claimed.NotBefore = step.At(c.now()).Add(alone)
	return about(claimed, "defer", c.store.Defer(ctx, claimed))
}

// about says which effect an error of the store is about; nil stays nil.
func about(d store.Delivery, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("job %d: %s effect %d: %w", d.Job, what, d.Seq, err)
}

// rest returns how long an effect is left alone whose last delivery has failed. A stop, which
// is delivered again and again, rests no longer than if it had not.
func (c *courier) rest(failed store.Delivery) time.Duration {
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

// each calls f with every number below n, with so many at once at most.
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
