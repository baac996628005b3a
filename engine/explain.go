package engine

import (
	"context"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Explanation says of every code whether a person could use it now.
type Explanation struct {
	Job      store.Job // as of one moment: its Version is one for IfVersion
	Step     store.Step
	Codes    []Verdict    // on the step, every code of the rules in ascending order
	JobCodes []JobVerdict // on the job, likewise
}

// A Verdict says of one code whether it would pass.
type Verdict struct {
	Code    operation.Code
	Legal   bool
	Receipt Receipt  // what would follow, as of a dry run, if Legal
	Refusal *Refusal // why not, if not
}

// A JobVerdict says of one job code whether it would pass.
type JobVerdict struct {
	Code    operation.JobCode
	Legal   bool
	Receipt Receipt
	Refusal *Refusal
}

// Explain answers for a step and a person (see [By]) what every operation would come
// to, so that a frontend draws its buttons from one call. Each code takes the same way
// as in [Engine.Operate], authorizer included; only the commit is left out.
func (e *Engine) Explain(ctx context.Context, job store.JobID, id step.ID, opts ...OperateOption) (Explanation, error) {
	c := e.take()
	defer e.calls.Put(c)
	if err := e.open(ctx, c, job, opts); err != nil {
		return Explanation{}, err
	}
	if err := checkStep(id); err != nil {
		return Explanation{}, err
	}
	if err := checkPerson(c.request.actor, c.request.reason, 0, 0, &e.limits); err != nil {
		return Explanation{}, err
	}
	for {
		x, err := e.explainStep(ctx, c, job, id)
		if err != nil {
			return Explanation{}, err
		}
		if id != x.Job.Current {
			if c.view, err = e.load(ctx, job, 0); err != nil {
				return Explanation{}, err
			}
			if c.view.Job.Version != x.Job.Version {
				continue // the job has moved on between the two views
			}
		}
		err = e.explainJob(ctx, c, &x)
		return x, err
	}
}

func (e *Engine) explainStep(ctx context.Context, c *call, job store.JobID, id step.ID) (Explanation, error) {
	var err error
	if c.view, err = e.load(ctx, job, id); err != nil {
		return Explanation{}, err
	}
	x := Explanation{Job: c.view.Job, Step: c.view.Step}
	for code := range e.rules.AllCodes().All() {
		receipt, refusal, err := e.tryOut(ctx, c, &Operate{
			Code: code, Actor: c.request.actor, IfAttempt: int32(c.request.ifAttempt), IfVersion: c.request.ifVersion,
		})
		if err != nil {
			return Explanation{}, err
		}
		x.Codes = append(x.Codes, Verdict{Code: code, Legal: refusal == nil, Receipt: receipt, Refusal: refusal})
	}
	return x, nil
}

// explainJob adds the job's codes, by the view of its current step.
func (e *Engine) explainJob(ctx context.Context, c *call, x *Explanation) error {
	for _, code := range operation.AllJobCodes() {
		receipt, refusal, err := e.tryOut(ctx, c, &OperateJob{
			Code: code, Actor: c.request.actor, IfAttempt: int32(c.request.ifAttempt), IfVersion: c.request.ifVersion,
		})
		if err != nil {
			return err
		}
		x.JobCodes = append(x.JobCodes, JobVerdict{Code: code, Legal: refusal == nil, Receipt: receipt, Refusal: refusal})
	}
	return nil
}

// tryOut decides on the state in c as a dry run does.
func (e *Engine) tryOut(ctx context.Context, c *call, cmd Command) (Receipt, *Refusal, error) {
	c.reset()
	if err := e.permit(ctx, &c.view, cmd); err != nil {
		refusal, ok := err.(*Refusal)
		if !ok {
			return Receipt{}, nil, err
		}
		return Receipt{}, refusal, nil
	}
	e.stamp(c, cmd)
	if refusal := e.decide(e.rules, &c.view, cmd, c.now, &c.decision); refusal != nil {
		return Receipt{}, refusal, nil
	}
	receipt := c.decision.Receipt
	receipt.Seq, receipt.Request = 0, store.Request{}
	return receipt, nil, nil
}

// Allowed is the short form of [Engine.Explain]: the codes that would pass.
func (e *Engine) Allowed(ctx context.Context, job store.JobID, id step.ID, opts ...OperateOption) (operation.Codes, error) {
	x, err := e.Explain(ctx, job, id, opts...)
	var codes operation.Codes
	for _, v := range x.Codes {
		if v.Legal {
			codes = codes.With(v.Code)
		}
	}
	return codes, err
}
