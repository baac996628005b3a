package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// WHAT A PERSON DOES TO AN EFFECT that keeps failing, or that no executor takes.

// OperateEffect is a person's request about an effect of the job.
type OperateEffect struct {
	Cause   step.Cause     // step.GivenUp or step.Hurried
	Effect  store.Delivery // as it waits; as its record asked for it, if it does not
	Settled bool           // it does not wait any more
	Leased  bool           // a claim may hold it
	Request
}

// GiveUp has a person give up an effect that waits for delivery, whether it was ever claimed or
// not: it is delivered no more. A claim that holds it is lost, and its executor learns that when it
// next renews the lease. A run is left to the claim that holds it, until its executor has ended what
// runs, or its lease has run out: otherwise a retry could begin beside it.
//
// To give up a run is to report of its attempt that it broke, by the person and for their reason:
// the step is abnormal, or terminated if it was told to stop, and the record's cause is
// step.Broke. The results that were reported stay, and the end of the job tells executors. To give up another effect, or a run whose
// attempt is over, moves nothing: the cause is step.GivenUp, and the reason begins with the
// effect, as in "stop 7: the host is gone". A step whose question or stop was given up waits on,
// for a report, a person or its deadline.
//
// The authorizer is asked, with step.GivenUp in [Access].Cause. IfAttempt is about the job's
// current step. The error is a *[Refusal] with reason operation.Settled if the effect does not
// wait any more, and about the field seq if the job never had it. A delivery that ends at the same
// time may still count: the effect was then carried out, and given up.
//
// The record is committed first, and the effect settled then. If that fails, the error is an
// [*UnknownOutcomeError], and a repetition with the same request id settles it; so it does after
// a crash of the process. Without a repetition, a run is settled unseen when it is next claimed, as
// its attempt is over; any other effect waits on, and can be given up again.
func (e *Engine) GiveUp(ctx context.Context, job store.JobID, seq store.Seq, r Request) (store.Record, error) {
	return e.onEffect(ctx, job, seq, step.GivenUp, r)
}

// Hurry has a person end the back-off of an effect whose last delivery has failed: it is due at
// once. It changes nothing else of the effect: a further failure backs off for longer. An effect
// that is due anyhow stays so. The record's cause is step.Hurried, and the reason begins with the
// effect, as in "run 2: the host is back"; it moves nothing.
//
// Hurry never takes an effect from a claim that holds it: the error is a *[Refusal] with reason
// operation.Leased, and says until when. A back-off is told from a lease only if every delivery
// so far has failed: an effect of which a lease has run out or was given back, or a stop that was
// delivered, counts as held until it is due, 5 min after a failure at most.
//
// Otherwise it answers as [Engine.GiveUp] does. If the process dies between the record and the
// end of the back-off, the effect is due when it would have been.
func (e *Engine) Hurry(ctx context.Context, job store.JobID, seq store.Seq, r Request) (store.Record, error) {
	return e.onEffect(ctx, job, seq, step.Hurried, r)
}

// onEffect has a person's request about an effect recorded, and carries it out.
func (e *Engine) onEffect(ctx context.Context, job store.JobID, seq store.Seq, cause step.Cause, r Request) (store.Record, error) {
	c := e.newCall()
	defer e.calls.Put(c)
	if err := e.operateEffect(ctx, c, job, seq, cause, r); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	record := e.accepted(ctx, c)
	if r.DryRun {
		return record, nil
	}
	carryOut := e.end
	if cause == step.Hurried {
		carryOut = e.due
	}
	if err := carryOut(ctx, job, seq); err != nil {
		e.failed(ctx, err)
		return store.Record{}, &UnknownOutcomeError{Job: job, Request: c.id, Err: err}
	}
	return record, nil
}

func (e *Engine) operateEffect(ctx context.Context, c *call, job store.JobID, seq store.Seq, cause step.Cause, r Request) error {
	if err := e.checkRequest(ctx, c, job, r); err != nil {
		return err
	}
	if seq < 1 {
		return invalid("seq", "%d: sequence numbers count from 1", seq)
	}
	if err := r.check(&e.limits); err != nil {
		return err
	}
	cmd := &OperateEffect{Cause: cause, Effect: store.Delivery{Job: job, Seq: seq}, Request: r}
	return e.commitLoop(ctx, c, store.Query{Scope: e.scope, Job: job}, cmd)
}

// look finds out how the effect of a request about one stands, for a try to carry it out; other
// commands need no look.
func (e *Engine) look(ctx context.Context, cmd Command) error {
	c, ok := cmd.(*OperateEffect)
	if !ok {
		return nil
	}
	d, waits, err := e.effect(ctx, c.Effect.Job, c.Effect.Seq)
	if err != nil {
		return err
	}
	c.Effect, c.Settled, c.Leased = d, !waits, waits && leased(d, step.At(e.now()))
	return nil
}

// effect returns an effect of a job as it waits, or as its record asked for it, and whether it
// waits.
func (e *Engine) effect(ctx context.Context, job store.JobID, seq store.Seq) (d store.Delivery, waits bool, err error) {
	err = within(ctx, storeWait, func(ctx context.Context) error {
		if d, waits, err = e.waiting(ctx, job, seq); waits || err != nil {
			return err
		}
		history, err := e.store.History(ctx, e.scope, job, store.Page[store.Seq]{After: seq - 1, Limit: 1})
		if err != nil {
			return err
		}
		if len(history) == 0 {
			return invalid("seq", "the job has no record %d", seq)
		}
		var asked bool
		if d, asked = history[0].Delivery(store.Scope{}, 0); !asked {
			return invalid("seq", "record %d asked for no effect", seq)
		}
		return nil
	})
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		return d, false, refusal
	}
	if err != nil {
		return d, false, e.explainMiss(ctx, store.Query{Scope: e.scope, Job: job}, err)
	}
	return d, waits, nil
}

// waiting returns an effect with its token, and whether it waits.
func (e *Engine) waiting(ctx context.Context, job store.JobID, seq store.Seq) (store.Delivery, bool, error) {
	found, err := e.store.Effects(ctx, e.scope, job, store.Page[store.Seq]{After: seq - 1, Limit: 1})
	if err != nil || len(found) == 0 || found[0].Seq != seq {
		return store.Delivery{}, false, err
	}
	return found[0], true, nil
}

// leased reports whether a claim may hold d. It does not if each claim so far has failed, as
// Failures never exceeds Count, which each claim raises. What rests for ever is with a carrier.
func leased(d store.Delivery, now step.Time) bool {
	return d.NotBefore > now && d.Failures < d.Count || d.NotBefore > step.MaxTime
}

// end settles an effect, whatever claim holds it. A run whose attempt is over is for the claim that
// may hold it to settle: as long as it waits, no other process begins a later attempt.
func (e *Engine) end(ctx context.Context, job store.JobID, seq store.Seq) error {
	return e.take(ctx, job, seq, func(ctx context.Context, d store.Delivery) error {
		if d.Effect == store.RunTargets && leased(d, step.At(e.now())) {
			return nil
		}
		return ofEffect(d, "settle", e.store.Settle(ctx, d))
	})
}

// due ends the back-off of an effect, unless a claim may hold it.
func (e *Engine) due(ctx context.Context, job store.JobID, seq store.Seq) error {
	return e.take(ctx, job, seq, func(ctx context.Context, d store.Delivery) error {
		now := step.At(e.now())
		if leased(d, now) || d.NotBefore <= now {
			return nil
		}
		d.NotBefore = now
		return ofEffect(d, "defer", e.store.Defer(ctx, d))
	})
}

// take calls f with an effect that waits, again for as long as claims come between.
func (e *Engine) take(ctx context.Context, job store.JobID, seq store.Seq, f func(context.Context, store.Delivery) error) error {
	for range maxTries {
		err := within(ctx, storeWait, func(ctx context.Context) error {
			d, waits, err := e.waiting(ctx, job, seq)
			if err != nil || !waits {
				return wrap(job, err)
			}
			return f(ctx, d)
		})
		if !errors.Is(err, store.ErrLeaseLost) {
			return err
		}
	}
	return fmt.Errorf("job %d: effect %d: %w: gave up after %d tries", job, seq, ErrConflict, maxTries)
}

func (c *OperateEffect) check(_ *operation.Rules, limits *Limits) *Refusal {
	switch {
	case c == nil:
		return noCommand()
	case !c.Cause.OfEffect():
		return invalid("cause", "%v: want %v or %v", c.Cause, step.GivenUp, step.Hurried)
	case c.Effect.Seq < 1:
		return invalid("seq", "%d: sequence numbers count from 1", c.Effect.Seq)
	}
	return c.Request.check(limits)
}

// judgeEffect returns why c is refused, or nil.
func judgeEffect(r *operation.Rules, v *store.View, c *OperateEffect) *Refusal {
	refusal := &Refusal{Cause: c.Cause, Actor: c.By}
	stale := staleness(v, c.IfAttempt, c.IfVersion)
	_, breaks := r.Move(v.Step.Type, v.Step.State, step.Broke)
	switch {
	case stale != "":
		refusal.Reason, refusal.Detail = operation.Stale, stale
	case c.Settled:
		refusal.Reason, refusal.Detail = operation.Settled, fmt.Sprintf("%s is settled: it was carried out, given up or needed no more", c.subject())
	case c.Cause == step.Hurried && c.Effect.NotBefore > step.MaxTime:
		refusal.Reason, refusal.Detail = operation.Leased, fmt.Sprintf("%s is carried by other means, and is never due", c.subject())
	case c.Cause == step.Hurried && c.Leased:
		refusal.Reason, refusal.Detail = operation.Leased, fmt.Sprintf("a claim may hold %s until %v", c.subject(), c.Effect.NotBefore)
	case v.Step.ID != v.Job.Current: // never of the engine's, which looks at the current step
		refusal.Reason = operation.NotCurrent
	case c.endsAttempt(v) && !breaks:
		refusal.Reason = operation.WrongType
	default:
		return nil
	}
	return refuse(r, v, refusal)
}

// endsAttempt reports whether c ends the attempt that is under way.
func (c *OperateEffect) endsAttempt(v *store.View) bool {
	d, s := &c.Effect, &v.Step
	return c.Cause == step.GivenUp && d.Effect == store.RunTargets && d.Step == s.ID && d.Attempt == s.Attempt && s.State.Active()
}

// subject names the effect.
func (c *OperateEffect) subject() string { return fmt.Sprintf("%v %d", c.Effect.Effect, c.Effect.Seq) }

// reason returns the reason of a record that moves nothing: which effect, and why.
func (c *OperateEffect) reason() string {
	if c.Because == "" {
		return c.subject()
	}
	return c.subject() + ": " + c.Because
}

func (d *Decision) operateEffect(r *operation.Rules, v *store.View, c *OperateEffect, now step.Time) *Refusal {
	if v.Replay != nil {
		return d.replayEffect(v, c)
	}
	cause, reason := c.Cause, c.reason()
	ends := c.endsAttempt(v)
	if ends {
		cause, reason = step.Broke, c.Because
	}
	rec := d.begin(v, cause, now)
	rec.Request, rec.Actor, rec.Reason = c.Request.ID, c.By, reason
	if ends {
		move, _ := r.Move(v.Step.Type, v.Step.State, cause)
		if refusal := d.move(r, v, move); refusal != nil {
			return refusal
		}
	}
	d.finish()
	return nil
}

// replayEffect answers a request that has been carried out with its record, if it is the same
// request. The record of a run that was given up names its attempt, any other one the effect.
func (d *Decision) replayEffect(v *store.View, asked *OperateEffect) *Refusal {
	done, run := v.Replay, &asked.Effect
	broke := done.Cause == step.Broke && asked.Cause == step.GivenUp
	was := ""
	switch {
	case !broke && done.Cause != asked.Cause:
		was = done.Cause.String()
	case broke && (run.Effect != store.RunTargets || done.Step != run.Step || done.Attempt != run.Attempt):
		was = fmt.Sprintf("the run of step %d, attempt %d", done.Step, done.Attempt)
	case done.Actor != asked.By:
		was = fmt.Sprintf("person %q", done.Actor)
	case broke && done.Reason != asked.Because, !broke && done.Reason != asked.reason():
		was = fmt.Sprintf("reason %q", done.Reason)
	default:
		d.Replay = done
		return nil
	}
	return &Refusal{
		Reason: operation.RequestReused, Job: v.Job.ID, Step: v.Step.ID, Cause: asked.Cause,
		Actor: asked.By, Detail: fmt.Sprintf("in version %d it was %s", done.Seq, was),
	}
}
