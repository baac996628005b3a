package engine

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Explanation says of every code whether a person could use it now.
type Explanation struct {
	Job    store.Job  `json:"job"` // as of one moment: its Version is one for IfVersion
	Step   store.Step `json:"step"`
	Causes []Verdict  `json:"causes"` // every operation of the rules in ascending order: on the step, then on the job
}

// A Verdict says of one operation whether it would pass.
type Verdict struct {
	Cause   step.Cause   `json:"cause"`
	Legal   bool         `json:"legal"`
	Record  store.Record `json:"receipt,omitzero"`  // what would follow, as of a dry run, if Legal
	Refusal *Refusal     `json:"refusal,omitempty"` // why not, if not
}

// Explain answers for a step and a person what every operation would do, so that
// a frontend draws its buttons from one call. It calls a code legal if and only if a dry run
// of [Engine.Operate] would pass on the same state. The authorizer is asked about the codes
// that the rules allow, and about no other: a code that both would refuse has the rules'
// reason here, and is denied there.
func (e *Engine) Explain(ctx context.Context, job store.JobID, id step.ID, r Request) (Explanation, error) {
	c := e.newCall()
	defer e.calls.Put(c)
	if err := e.checkRequest(ctx, c, job, r); err != nil {
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

// views returns what there is to see of a step and of its job's current one, between
// which no state and no attempt has changed, as the expiry of a deadline that has passed
// leaves them.
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
		if current.Job.Moved != view.Job.Moved {
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
			if current.Job.Moved != view.Job.Moved {
				continue
			}
		}
		return view.After(expiry.Change), current.After(expiry.Change), nil
	}
	return view, current, fmt.Errorf("job %d: %w: gave up after %d tries", job, ErrConflict, maxTries)
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

// Allowed is the short form of [Engine.Explain]: the operations that would pass. It is a
// *[Refusal] with reason operation.WrongType if the rules do not declare the step's type.
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
