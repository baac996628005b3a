package histories

import (
	"context"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The choices of people, and the order of their turns.
var (
	habits = player.Habits{People: people, OnJob: 20, Resume: 2, Stops: 24, Closes: 40, WithID: 3, DryRun: 16, IfVersion: 8, IfAttempt: 8}
	odds   = map[step.State]player.Odds{
		step.Running:     {Executor: 15, Person: 1},
		step.Terminating: {Executor: 4, Person: 1},
		step.Waiting:     {Executor: 1, Person: 28, Time: 4},
		step.Gated:       {Person: 2, Time: 3},
	}
)

// act makes a request that is likely in the job's state.
func (p *performer) act(ctx context.Context, j *job, at *store.View) {
	switch sight(at).Turn(p, odds) {
	case player.Executor:
		p.report(ctx, j, at)
	case player.Person:
		p.operate(ctx, j, p.wish(j, at))
	case player.Time:
		p.sweep(ctx, j, at)
	}
}

// sight returns the job as people see it.
func sight(v *store.View) player.Sight { return player.Sight{Rules: rules, Job: v.Job, Step: v.Step} }

// actAnyhow makes any request, on any step if there is one.
func (p *performer) actAnyhow(ctx context.Context, j *job, at *store.View) {
	if j.endless {
		p.act(ctx, j, at)
		return
	}
	a := p.wish(j, at)
	a.Step = step.ID(p.IntN(len(j.spec.Steps)+2) + 1)
	switch p.IntN(12) {
	case 0:
		a.Cause = one(p, jobCodes).Cause()
	case 1:
		a.Cause = step.Cause(p.IntN(40))
	default:
		a.Cause = one(p, operation.AllCodes()).Cause()
	}
	p.operate(ctx, j, a)
}

// wish draws an operation: mostly a legal one that fits the job.
func (p *performer) wish(j *job, at *store.View) player.Ask {
	h := habits
	h.Reasons = []string{p.reason()}
	if j.endless || j.stubborn && !p.oneIn(6) {
		h.Avoided = goingOn
		if j.endless {
			h.Avoided = h.Avoided.With(final.Cause())
		}
		if at.Step.State == step.Waiting {
			h.Avoided = h.Avoided.Union(ofJob) // it would end the job for good
		}
	}
	return sight(at).Ask(p, h)
}

// jobCodes are the operations on the job, and ofJob their causes.
var (
	jobCodes = append(operation.AllJobCodes(), final)
	ofJob    = operation.CausesOf(jobCodes...)
)

// goingOn are the operations that go on to the next step.
var goingOn = operation.CausesOf(operation.Confirm, operation.IgnoreError, operation.NextStep, operation.ForcedSkip)

// operate asks an engine for an operation, and remembers it if it passed.
func (p *performer) operate(ctx context.Context, j *job, a player.Ask) {
	e := p.from(j)
	p.ask("%v, %v", a, e)
	record, err := a.Send(ctx, e.Engine)
	answer(p.History, record, err)
	if err != nil {
		return
	}
	if a.DryRun {
		p.Tally["dry"]++
		return
	}
	p.Tally["accepted: "+a.Cause.String()]++
	a.ID, a.Step = record.Request, record.Step // an id that the engine made serves as well
	j.done = append(j.done, a)
}

// attend gives up or hurries an effect that waits, or any other number.
func (p *performer) attend(ctx context.Context, j *job, at *store.View) {
	if at.Step.Total > 1000 { // its results must still come
		p.act(ctx, j, at)
		return
	}
	waiting, err := p.store.Effects(ctx, store.Scope{}, j.id, store.Page[store.Seq]{Limit: 1000})
	if err != nil {
		p.fail(err)
	}
	if len(waiting) == 0 || p.oneIn(4) {
		waiting = []store.Delivery{{Seq: store.Seq(p.IntN(int(min(at.Job.Version, 1000)) + 2))}}
	}
	p.operate(ctx, j, p.wish(j, at).About(p, waiting))
}

// repeat repeats a request that passed, unchanged or changed.
func (p *performer) repeat(ctx context.Context, j *job, at *store.View) {
	if len(j.done) == 0 {
		p.actAnyhow(ctx, j, at)
		return
	}
	a := one(p, j.done).Again(p, 2)
	p.Tally["repeated"]++
	e := p.from(j)
	p.ask("repeat %v, %v", a, e)
	record, err := a.Send(ctx, e.Engine)
	answer(p.History, record, err)
}

// decide draws an operation and decides on it in the state of a view; nil if it is refused.
func (p *performer) decide(j *job, view *store.View) *engine.Decision {
	a := p.wish(j, view)
	c := &engine.Operate{Cause: a.Cause, Request: engine.Request{ID: player.ID(p), By: a.By, Because: a.Because}}
	p.ask("decide on version %d: %v", view.Job.Version, a)
	d, err := engine.Decide(rules, *view, c, step.At(p.now))
	if err != nil {
		p.fail(err)
		return nil
	}
	return &d
}

// commitLate decides on an old view of a job, and commits the decision twice. The first commit
// conflicts if the job has moved on, and the second always conflicts. A job that does not exist is
// at version 0.
func (p *performer) commitLate(ctx context.Context, j *job, _ *store.View) {
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

// commitTwo commits two decisions in one change, the second decided on the state after the first:
// for instance a retry, and a stop before the retry was delivered.
func (p *performer) commitTwo(ctx context.Context, j *job, at *store.View) {
	view := *at
	first := p.decide(j, &view)
	if first == nil || len(first.Change.Steps) != 1 || first.Change.Turn != store.NoTurn {
		return
	}
	view.Job, view.Step = first.Change.Job, first.Change.Steps[0]
	second := p.decide(j, &view)
	if second == nil {
		return
	}
	c := second.Change
	c.Records = slices.Concat(first.Change.Records, c.Records)
	for _, b := range first.Change.Batches {
		if !slices.ContainsFunc(c.Batches, func(later store.Batch) bool { return later.Step == b.Step && later.Number == b.Number }) {
			c.Batches = append(c.Batches, b)
		}
	}
	err := p.store.Commit(ctx, c)
	answer(p.History, "committed both", err)
	p.Tally["two at once"]++
}

// commitMalformed makes the store commit a change that fits no job.
func (p *performer) commitMalformed(ctx context.Context, j *job, at *store.View) {
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

// callTooLate calls with an ended context, which changes nothing.
func (p *performer) callTooLate(ctx context.Context, j *job, at *store.View) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	p.act(ctx, j, at)
}
