package engine

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Explanation lists the operations of the rules, and whether a person could carry each out now.
type Explanation struct {
	Job    store.Job  `json:"job"`    // as of the same moment as Step; its Version fits Request.IfVersion
	Step   store.Step `json:"step"`   // that was asked about
	Causes []Verdict  `json:"causes"` // every operation of the rules in ascending order: on the step, then on the job
}

// A Verdict says whether one operation would pass on the state that [Engine.Explain] read. It
// reserves nothing: the operation itself is decided on the state at its commit.
type Verdict struct {
	Cause   step.Cause   `json:"cause"`             // the operation
	Legal   bool         `json:"legal"`             // it would pass
	Record  store.Record `json:"receipt,omitzero"`  // of a dry run, if Legal
	Refusal *Refusal     `json:"refusal,omitempty"` // the reason against it, if not Legal
}

// Explain returns a verdict on every operation on a step for the person in r, so that a frontend
// draws its buttons from one call. An operation is Legal if and only if a dry run of
// [Engine.Operate] would pass on the same state. The authorizer is asked only about operations
// that the rules allow: an operation that both refuse has the rules' reason here, while
// [Engine.Operate] returns operation.Denied.
func (e *Engine) Explain(ctx context.Context, job store.JobID, id step.ID, r Request) (Explanation, error) {
	c := e.newCall(r)
	defer e.calls.Put(c)
	if err := e.checkRequest(ctx, c, job); err != nil {
		return Explanation{}, err
	}
	if err := checkStep(id); err != nil {
		return Explanation{}, err
	}
	if err := r.explains(); err != nil {
		return Explanation{}, err
	}
	if err := r.check(&e.limits); err != nil {
		return Explanation{}, err
	}
	view, current, err := e.views(ctx, job, id)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Job: view.Job, Step: view.Step}
	causes := e.rules.Causes().Union(operation.CausesOf(operation.AllJobCodes()...))
	for cause := range causes.All() {
		c.view = view
		if cause.OfJob() {
			c.view = current
		}
		record, refusal, err := e.tryOut(ctx, c, &Operate{Cause: cause, Request: r})
		if err != nil {
			return Explanation{}, err
		}
		x.Causes = append(x.Causes, Verdict{Cause: cause, Legal: refusal == nil, Record: record, Refusal: refusal})
	}
	return x, nil
}

// views returns the views of a step and of its job's current step, between which the job has not moved,
// been held, resumed or sealed. If a deadline has passed, they show the job after the expiry.
func (e *Engine) views(ctx context.Context, job store.JobID, id step.ID) (view, current store.View, err error) {
	for range maxTries {
		if view, err = e.load(ctx, job, id); err != nil {
			return view, view, err
		}
		if current = view; view.Job.Current != id {
			if current, err = e.load(ctx, job, 0); err != nil {
				return view, current, err
			}
		}
		if !sameFor(&view.Job, &current.Job) {
			continue
		}
		expiry := e.decide.expiry(e.rules, &current, step.At(e.now()))
		if expiry == nil {
			return view, current, nil
		}
		if entered := expiry.Change.Job.Current; entered != current.Step.ID {
			if current, err = e.load(ctx, job, entered); err != nil {
				return view, current, err
			}
			if !sameFor(&view.Job, &current.Job) {
				continue
			}
		}
		return view.After(expiry.Change), current.After(expiry.Change), nil
	}
	return view, current, fmt.Errorf("job %d: %w: gave up after %d tries", job, ErrConflict, maxTries)
}

// sameFor reports whether operations meet the same job in two headers, whatever results and comments came in
// between.
func sameFor(a, b *store.Job) bool {
	return a.Moved == b.Moved && a.Held == b.Held && a.Sealed == b.Sealed
}

// tryOut decides on the state in c as a dry run does, but asks the authorizer last, and so
// only about what the rules allow.
func (e *Engine) tryOut(ctx context.Context, c *call, cmd Command) (store.Record, *Refusal, error) {
	c.reset()
	e.setTimeAndID(c, cmd)
	move, refusal := judge(e.rules, &c.view, cmd)
	if refusal != nil {
		return store.Record{}, refusal, nil
	}
	if refusal := e.decide.on(e.rules, &c.view, cmd, move, c.now, &c.decision); refusal != nil {
		return store.Record{}, refusal, nil
	}
	if err := e.permit(ctx, c, &c.view, cmd); err != nil {
		refusal, ok := err.(*Refusal)
		if !ok {
			return store.Record{}, nil, err
		}
		return store.Record{}, refusal, nil
	}
	return dry(c.decision.Record()), nil, nil
}

// Allowed is the short form of [Engine.Explain]: it returns the operations that would pass. The
// error is a *[Refusal] with reason operation.WrongType if the rules do not declare the step's
// type.
func (e *Engine) Allowed(ctx context.Context, job store.JobID, id step.ID, r Request) (step.Causes, error) {
	x, err := e.Explain(ctx, job, id, r)
	var causes step.Causes
	for _, v := range x.Causes {
		if v.Refusal != nil && e.rules.Enters(x.Step.Type) == 0 {
			return causes, v.Refusal
		}
		if v.Legal {
			causes = causes.With(v.Cause)
		}
	}
	return causes, err
}
