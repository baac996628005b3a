package histories

import (
	"context"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A request is who asks, why, and on what condition.
type request struct {
	Actor, Reason string
	ID            store.RequestID
	IfAttempt     int32
	IfVersion     store.Seq
	Dry           bool
}

func (r request) asked() engine.Request {
	return engine.Request{By: r.Actor, Because: r.Reason, ID: r.ID, IfAttempt: r.IfAttempt, IfVersion: r.IfVersion, DryRun: r.Dry}
}

func (r request) String() string {
	text := fmt.Sprintf("by %q because of %.40q", r.Actor, r.Reason)
	if r.ID != (store.RequestID{}) {
		text += fmt.Sprintf(", request %v", r.ID)
	}
	if r.IfAttempt != 0 {
		text += fmt.Sprintf(", if attempt %d", r.IfAttempt)
	}
	if r.IfVersion != 0 {
		text += fmt.Sprintf(", if version %d", r.IfVersion)
	}
	if r.Dry {
		text += ", dry"
	}
	return text
}

// asked is an operation on a step or on the job.
type asked struct {
	step  step.ID
	cause step.Cause
	request
}

func (a asked) String() string {
	if a.cause.OfJob() {
		return fmt.Sprintf("%v %v", a.cause, a.request)
	}
	return fmt.Sprintf("%v on step %d %v", a.cause, a.step, a.request)
}

// of asks an engine for the operation on a job.
func (a asked) of(ctx context.Context, e viewpoint, j *job) (store.Record, error) {
	if a.cause.OfJob() {
		return e.OperateJob(ctx, j.id, operation.JobCode(a.cause.Code()), a.request.asked())
	}
	return e.Operate(ctx, j.id, a.step, operation.Code(a.cause), a.request.asked())
}

// act does what is likely where a job stands.
func (p *player) act(ctx context.Context, j *job, at *store.View) {
	s := &at.Step
	switch n := p.IntN(100); {
	case s.State == step.Running && n < 88, s.State == step.Terminating && n < 75, s.State == step.Waiting && n < 3:
		p.report(ctx, j, at)
	case s.State == step.Waiting && n < 15 && s.Deadline != 0:
		p.sweep(ctx, j, at)
	default:
		p.operate(ctx, j, p.asked(j, at))
	}
}

// actAnyhow does anything, on any step, if there is one.
func (p *player) actAnyhow(ctx context.Context, j *job, at *store.View) {
	if j.endless {
		p.act(ctx, j, at)
		return
	}
	a := asked{step: step.ID(p.IntN(len(j.spec.Steps)+2) + 1), request: p.request(at)}
	switch p.IntN(12) {
	case 0:
		a.cause = one(p, jobCodes).Cause()
	case 1:
		a.cause = step.Cause(p.IntN(40))
	default:
		a.cause = one(p, operation.AllCodes()).Cause()
	}
	p.operate(ctx, j, a)
}

// asked draws an operation that is legal, if there is one, by somebody who may do it, mostly.
func (p *player) asked(j *job, at *store.View) asked {
	a := asked{step: at.Job.Current, request: p.request(at)}
	s := &at.Step
	legal := rules.Legal(standing(at))
	if j.endless || j.stubborn && !p.oneIn(6) {
		legal = legal.Minus(goingOn)
		if j.endless {
			legal = legal.Minus(step.CausesOf(final.Cause()))
		}
		if s.State == step.Waiting {
			legal = legal.Minus(ofJob) // it would end the job for good
		}
	}
	onStep, onJob := slices.Collect(legal.Minus(ofJob).All()), slices.Collect(legal.Minus(legal.Minus(ofJob)).All())
	switch {
	case len(onStep)+len(onJob) == 0:
		a.cause = operation.RetryFailed.Cause()
	case len(onStep) == 0, len(onJob) > 0 && p.oneIn(20):
		a.cause = one(p, onJob)
	default:
		a.cause = one(p, onStep)
	}
	return a
}

// jobCodes are the operations on the job, and ofJob their causes.
var (
	jobCodes = append(operation.AllJobCodes(), final)
	ofJob    = operation.CausesOf(jobCodes...)
)

// goingOn are the operations that go on to the next step.
var goingOn = operation.CausesOf(operation.Confirm, operation.IgnoreError, operation.NextStep, operation.ForcedSkip)

// request draws who asks and how.
func (p *player) request(at *store.View) request {
	r := request{Actor: one(p, people), Reason: p.reason(), Dry: p.oneIn(16)}
	for name := range at.Step.Confirmers.All() {
		if !p.oneIn(4) {
			r.Actor = name
		}
		break
	}
	if p.oneIn(3) {
		r.ID = p.newRequest()
	}
	if p.oneIn(8) {
		r.IfAttempt = max(at.Step.Attempt-int32(p.IntN(8)/7), 1)
	}
	if p.oneIn(8) {
		r.IfVersion = max(at.Job.Version-store.Seq(p.IntN(4)), 1)
	}
	return r
}

// operate asks an engine for an operation, and remembers what was carried out.
func (p *player) operate(ctx context.Context, j *job, a asked) {
	e := p.from(j)
	p.ask("job %d: %v, %v", j.id, a, e)
	record, err := a.of(ctx, e, j)
	answer(p.History, record, err)
	if err != nil {
		return
	}
	if a.Dry {
		p.Tally["dry"]++
		return
	}
	p.Tally["accepted: "+a.cause.String()]++
	a.ID, a.step = record.Request, record.Step // an id that the engine made is as good
	j.done = append(j.done, a)
}

// repeat asks for something again that was carried out, as it was or with something changed.
func (p *player) repeat(ctx context.Context, j *job, at *store.View) {
	if len(j.done) == 0 {
		p.actAnyhow(ctx, j, at)
		return
	}
	a := one(p, j.done)
	switch p.IntN(8) {
	case 0:
		a.Actor += "'s double"
	case 1:
		a.Reason += "!"
	case 2:
		a.step++
	case 3:
		a.cause = one(p, operation.AllCodes()).Cause()
	case 4:
		a.cause = one(p, operation.AllJobCodes()).Cause()
	}
	p.Tally["repeated"]++
	e := p.from(j)
	p.ask("job %d: repeat %v, %v", j.id, a, e)
	record, err := a.of(ctx, e, j)
	answer(p.History, record, err)
}

// decide draws an operation and decides on it where a view shows a job, nil if it is refused.
func (p *player) decide(j *job, view *store.View) *engine.Decision {
	a := p.asked(j, view)
	c := &engine.Operate{Cause: a.cause, Request: engine.Request{ID: p.newRequest(), By: a.Actor, Because: a.Reason}}
	p.ask("job %d: decide on version %d: %v", view.Job.ID, view.Job.Version, a)
	d, err := engine.Decide(rules, *view, c, step.At(p.now))
	if err != nil {
		p.fail(err)
		return nil
	}
	return &d
}

// commitLate decides on where a job stood when it was looked at some time ago, and commits
// that, twice: a conflict if the job has moved on, and always the second time. A job that
// there is not is at version 0.
func (p *player) commitLate(ctx context.Context, j *job, _ *store.View) {
	view := one(p, j.views)
	if p.oneIn(8) {
		view.Job.ID = store.MaxJobID
	}
	d := p.decide(j, &view)
	if d == nil {
		return
	}
	for range 2 {
		err := p.store.Commit(ctx, d.Change)
		answer(p.History, "committed", err)
	}
}

// commitTwo commits two decisions at once, of which the second was decided on what the first
// leaves: a retry that is stopped before it was told to run, for instance.
func (p *player) commitTwo(ctx context.Context, j *job, at *store.View) {
	view := *at
	first := p.decide(j, &view)
	if first == nil || len(first.Change.Steps) != 1 {
		return
	}
	view.Job, view.Step = first.Change.Job, first.Change.Steps[0]
	second := p.decide(j, &view)
	if second == nil {
		return
	}
	c := second.Change
	c.Records = slices.Concat(first.Change.Records, c.Records)
	err := p.store.Commit(ctx, c)
	answer(p.History, "committed both", err)
	p.Tally["two at once"]++
}

// commitMalformed has the store commit a change that no job could take.
func (p *player) commitMalformed(ctx context.Context, j *job, at *store.View) {
	d := p.decide(j, at)
	if d == nil {
		return
	}
	one(p, defects)(&d.Change)
	p.row("and spoil it")
	answer(p.History, "committed", p.store.Commit(ctx, d.Change))
}

// defects make the change of an operation malformed.
var defects = []func(c *store.Change){
	func(c *store.Change) { c.Job.Updated-- },
	func(c *store.Change) { c.Job.Current = 0 },
	func(c *store.Change) { c.Records[0].Effect = 99 },
	func(c *store.Change) { c.Steps[0].Unfinished = -1 },
	func(c *store.Change) {
		c.Targets = append(c.Targets, store.Target{Index: c.Steps[0].Total, Attempt: 1})
	},
}

// callTooLate calls when the context has ended, which does nothing.
func (p *player) callTooLate(ctx context.Context, j *job, at *store.View) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	p.act(ctx, j, at)
}
