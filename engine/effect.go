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

// OperateEffect is the command of a person who gives up or hurries an effect of the job.
type OperateEffect struct {
	Cause   step.Cause     // step.GivenUp or step.Hurried
	Effect  store.Delivery // as the store has it; if it is settled, as its record asked for it
	Settled bool           // the effect does not wait any more
	Leased  bool           // a claim holds the effect
	Request
}

// GiveUp gives up an effect that waits for delivery, claimed or not, in the name of a person: it
// is not delivered any more. A claim on it is lost, and its executor learns that at the next
// renewal. A claimed run stays with its claim until the executor has ended the work or the lease
// has run out: otherwise a retry could begin beside it.
//
// Giving up a run equals a report that its attempt broke, with the person's name and reason: the
// step becomes abnormal, or terminated if it was told to stop, and the record's cause is
// step.Broke. Reported results stay, and executors are told by the end of the job. Giving up any
// other effect, or a run whose attempt is over, moves no state: the cause is step.GivenUp, and the
// reason begins with the effect, as in "stop 7: the host is gone". A step whose question or stop
// was given up still waits for a report, a person or its deadline.
//
// The authorizer is asked, with step.GivenUp in [Access].Cause. IfAttempt is about the job's
// current step. The error is a *[Refusal] with reason operation.Settled if the effect does not
// wait any more, and with operation.InvalidInput and field seq if the job never had it. A delivery
// that ends at the same time may still count: the effect is then both carried out and given up.
//
// The record is committed first, then the effect is settled. If that fails, the error is an
// [*UnknownOutcomeError], and repeating the call with the same request id settles the effect; the
// same holds after a crash of the process. Without a repetition, a run is settled at its next
// claim, as its attempt is over; any other effect still waits, and can be given up again.
func (e *Engine) GiveUp(ctx context.Context, job store.JobID, seq store.Seq, r Request) (store.Record, error) {
	return e.onEffect(ctx, job, seq, step.GivenUp, r)
}

// Hurry ends the back-off of an effect whose last delivery has failed, in the name of a person:
// the effect is due at once. The count of failures stays, so a further failure backs off for
// longer. A stop that was delivered, and whose step has not stopped, is delivered again at once.
// An effect that is due already stays due. The record's cause is step.Hurried, and its
// reason begins with the effect, as in "run 2: the host is back"; it moves no state.
//
// Hurry never takes an effect from a claim that holds it: the error is a *[Refusal] with reason
// operation.Leased, whose Detail says when the lease ends.
//
// Errors and repetitions are otherwise those of [Engine.GiveUp]. If the process dies between the
// commit of the record and the end of the back-off, the back-off takes its full time.
func (e *Engine) Hurry(ctx context.Context, job store.JobID, seq store.Seq, r Request) (store.Record, error) {
	return e.onEffect(ctx, job, seq, step.Hurried, r)
}

// onEffect commits the record of a person's request about an effect, and carries out the request.
func (e *Engine) onEffect(ctx context.Context, job store.JobID, seq store.Seq, cause step.Cause, r Request) (store.Record, error) {
	c := e.newCall(r)
	defer e.calls.Put(c)
	if err := e.operateEffect(ctx, c, job, seq, cause, r); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	record := *e.accepted(ctx, c)
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
	if err := e.checkRequest(ctx, c, job); err != nil {
		return err
	}
	if seq < 1 {
		return invalid("seq", "%d: sequence numbers count from 1", seq)
	}
	if err := r.check(&e.limits); err != nil {
		return err
	}
	cmd := &OperateEffect{Cause: cause, Effect: store.Delivery{Job: job, Seq: seq}, Request: r}
	return e.commitLoop(ctx, c, &store.Query{Scope: e.scope, Job: job}, cmd)
}

// look loads the effect of an OperateEffect before a try; other commands need nothing.
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

// effect returns an effect of a job as the store has it and true, or, once it is settled, as its
// record asked for it and false.
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
		if d, asked = history[0].Delivery(store.Scope{}, nil); !asked {
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

// waiting returns an effect with its token, and whether it waits for delivery.
func (e *Engine) waiting(ctx context.Context, job store.JobID, seq store.Seq) (store.Delivery, bool, error) {
	found, err := e.store.Effects(ctx, e.scope, job, store.Page[store.Seq]{After: seq - 1, Limit: 1})
	if err != nil || len(found) == 0 || found[0].Seq != seq {
		return store.Delivery{}, false, err
	}
	return found[0], true, nil
}

// leased reports whether a claim holds d, by the engine's time. An effect that rests for ever belongs
// to a job queue that carries it.
func leased(d store.Delivery, now step.Time) bool {
	return d.Held && d.NotBefore > now || d.NotBefore > step.MaxTime
}

// end settles an effect, whatever claim holds it. A run whose attempt is over is left to a claim
// that holds it: until that one settles the run, no other process begins a later attempt.
func (e *Engine) end(ctx context.Context, job store.JobID, seq store.Seq) error {
	return e.take(ctx, job, seq, func(ctx context.Context, d store.Delivery) error {
		if d.Effect == store.RunTargets && leased(d, step.At(e.now())) {
			return nil
		}
		return ofEffect(d, "settle", e.store.Settle(ctx, d))
	})
}

// due ends the back-off of an effect, unless a claim holds it.
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

// take calls f with an effect that waits, and again after each claim that comes between.
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
		refusal.Reason, refusal.Detail = operation.Leased, fmt.Sprintf("a claim holds %s until %v", c.subject(), c.Effect.NotBefore)
	case v.Step.ID != v.Job.Current: // only from other callers of Decide: the engine loads the current step
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
	return c.Cause == step.GivenUp && d.Effect == store.RunTargets && d.Step == s.ID && d.Attempt == s.Attempt && s.State.Attempting()
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
	d.finish(v)
	return nil
}

// replayEffect answers a request that has been carried out with its record, if it is the same
// request. The record of a given up run names its attempt; that of any other effect names the
// effect.
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
