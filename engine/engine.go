package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Engine operates jobs in a store. It is safe for concurrent use, and any number of
// engines, in any number of processes, can share a store. It comes from [New]; the zero Engine is
// of no use.
//
// The state of jobs is in the store. What a report has left of a job an engine remembers for a
// second, so that the next report need not load it; the store compares the version, and what is
// refused or answered without a commit is decided on the stored state. That takes some 4 MB at
// most.
//
// A method that changes one job and returns nil has changed it once, together with its
// history and effects. Any other return means that nothing changed, but for
// [ErrUnknownOutcome]. What is refused is a *[Refusal]; a failure of the store or the
// context is returned wrapped.
type Engine struct {
	*shared
	scope    store.Scope
	narrowed bool // by In
	widened  bool // by another In, to another scope: it sees nothing
}

// shared is what an engine and its narrowings have in common.
type shared struct {
	config
	store store.Store
	waker store.Waker // the store, or nil
	clock *clock      // tells now, if the store has a clock
	lines *lines      // where reports of one job wait for each other
	local bool        // the store is a store.Local: there are no calls to spare
	calls sync.Pool   // of *call
	ids   jobIDs

	decide decider // nil but in tests, which break it on purpose
}

// New returns an engine on s.
func New(s store.Store, opts ...Option) *Engine {
	e := &shared{config: defaults(), store: s, lines: newLines()}
	e.waker, _ = s.(store.Waker)
	if _, e.local = s.(store.Local); s != nil && !e.local {
		e.store = watched{s, e.lines}
	}
	for _, o := range opts {
		if o != nil {
			o(&e.config)
		}
	}
	if e.clock = newClock(e.now, s); e.clock.store != nil {
		e.now = e.clock.now
	}
	e.calls.New = func() any { return new(call) }
	all := &Engine{shared: e}
	e.lines.serve = all.serve
	return all
}

// In returns an engine that sees the jobs of one scope only and creates jobs in it.
// A job of another scope does not exist for it: the error is the one for an id that
// was never used. If s lacks its type or its id, or e is narrowed to another scope
// already, every call is refused.
func (e *Engine) In(s store.Scope) *Engine {
	return &Engine{shared: e.shared, scope: s, narrowed: true, widened: e.widened || e.narrowed && s != e.scope}
}

// Rules returns the rules that e decides by.
func (e *Engine) Rules() *operation.Rules { return e.rules }

// checkEngine refuses what no call can go on with. That ctx has not ended is for the store to
// see: it fails every call then, and does nothing.
func (e *Engine) checkEngine(ctx context.Context) error {
	if e.store == nil {
		return invalid("Store", "nil")
	}
	if e.narrowed {
		if err := checkSight(e.scope); err != nil {
			return err
		}
		if e.widened {
			return invalid("scope", "the engine is narrowed to another scope already")
		}
	}
	if ctx == nil {
		return invalid("Context", "nil")
	}
	return nil
}

// Operate has a person do code to a step of a job. It returns the record of what was
// done, or a *[Refusal] that says why not and what would be legal instead. Two racing
// operations pass one after the other, each decided on what the other left; one that
// keeps losing to others gives up with [ErrConflict].
func (e *Engine) Operate(ctx context.Context, job store.JobID, id step.ID, code operation.Code, r Request) (store.Record, error) {
	c := e.newCall()
	defer e.calls.Put(c)
	if err := e.operate(ctx, c, job, id, code, r); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	return e.accepted(ctx, c), nil
}

func (e *Engine) operate(ctx context.Context, c *call, job store.JobID, id step.ID, code operation.Code, r Request) error {
	if err := e.checkRequest(ctx, c, job, r); err != nil {
		return err
	}
	if err := checkStep(id); err != nil {
		return err
	}
	if code.Cause() == 0 {
		return unknownCode(e.rules, step.Cause.OfStep, uint8(code))
	}
	return e.commitOperation(ctx, c, store.Query{Scope: e.scope, Job: job, Step: id}, code.Cause())
}

// OperateJob has a person operate on a job: start it, terminate it. It answers as
// [Engine.Operate] does.
func (e *Engine) OperateJob(ctx context.Context, job store.JobID, code operation.JobCode, r Request) (store.Record, error) {
	c := e.newCall()
	defer e.calls.Put(c)
	if err := e.operateJob(ctx, c, job, code, r); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	return e.accepted(ctx, c), nil
}

func (e *Engine) operateJob(ctx context.Context, c *call, job store.JobID, code operation.JobCode, r Request) error {
	if err := e.checkRequest(ctx, c, job, r); err != nil {
		return err
	}
	if code.Cause() == 0 {
		return unknownCode(e.rules, step.Cause.OfJob, uint8(code))
	}
	return e.commitOperation(ctx, c, store.Query{Scope: e.scope, Job: job}, code.Cause())
}

func (e *Engine) commitOperation(ctx context.Context, c *call, q store.Query, cause step.Cause) error {
	c.operate = Operate{Cause: cause, Request: c.request}
	if err := c.operate.check(e.rules, &e.limits); err != nil {
		return err
	}
	return e.commitLoop(ctx, c, q, &c.operate)
}

// Create stores a new job, pending, and returns the record of its creation, which names the job.
// The engine draws the id. The caller keeps the ownership of spec. Conditions on an attempt or a
// version do not apply. With an ID in r, a repetition returns the record of the first call, and
// it is an error if the two differ.
func (e *Engine) Create(ctx context.Context, spec JobSpec, r Request) (store.Record, error) {
	c := e.newCall()
	defer e.calls.Put(c)
	if err := e.create(ctx, c, spec, r); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	return e.accepted(ctx, c), nil
}

// Report takes what an executor says of an attempt. The error is a *[Refusal] with reason
// operation.Stale, which an executor can safely drop, if the step has moved on; then
// nothing changed. A report that only repeats what is known changes nothing and is no
// error, so that an executor may send again whatever it is not sure of.
//
// Reports of one step that wait for each other are committed together, with a record and an
// answer each, under a context that ends when all their callers have left. [store.Alone] has a
// report committed by itself, and so has a [store.Local].
func (e *Engine) Report(ctx context.Context, r Report) (ReportReceipt, error) {
	c, err := e.report(ctx, &r)
	defer e.calls.Put(c)
	if err != nil {
		return ReportReceipt{}, e.turnedDown(ctx, c, err)
	}
	e.accepted(ctx, c)
	return c.decision.Report, nil
}

// report returns the call with the answer.
func (e *Engine) report(ctx context.Context, r *Report) (*call, error) {
	c := e.newCall()
	if err := e.checkRequest(ctx, c, r.Job, Request{}); err != nil {
		return c, err
	}
	if err := r.check(e.rules, &e.limits); err != nil {
		return c, err
	}
	c.patient = true
	if c.turn = e.lines.take(lineOf{e.scope, r.Job}); !c.turn.held() && !e.local && !store.IsAlone(ctx) {
		if answer, served, err := e.joinLine(ctx, c, r); served {
			return answer, err
		}
	}
	q := store.Query{Scope: e.scope, Job: r.Job, Step: r.Step, Targets: make([]int32, len(r.Results))}
	for i := range r.Results {
		q.Targets[i] = r.Results[i].Target
	}
	return c, e.commitLoop(ctx, c, q, r)
}

// Sweep expires every attempt whose deadline has passed, and returns how many, with
// every error that there was: one job that cannot be expired does not hold up the others,
// and a store that does not answer holds up each for 30 s at most. Any number of sweeps
// can run at once: each attempt expires once. [Engine.Dispatch] sweeps by itself.
func (e *Engine) Sweep(ctx context.Context) (int, error) {
	if err := e.checkEngine(ctx); err != nil {
		return 0, err
	}
	const batch = 1000
	expired := 0
	for limit := batch; ; {
		overdue, err := e.overdue(ctx, limit)
		if err != nil {
			return expired, err
		}
		var failures []error
		left := 0 // that are still overdue, and come first in the next list
		for _, o := range overdue {
			err := within(ctx, storeWait, func(ctx context.Context) error { return e.expire(ctx, o) })
			switch {
			case err == nil:
				expired++
				continue
			case ctx.Err() != nil:
				return expired, err
			case !isStale(err):
				failures = append(failures, err)
			}
			left++
		}
		if len(overdue) < limit {
			return expired, errors.Join(failures...)
		}
		limit = left + batch
	}
}

// overdue returns the first steps that are overdue.
func (e *Engine) overdue(ctx context.Context, limit int) (overdue []store.Overdue, err error) {
	err = within(ctx, storeWait, func(ctx context.Context) error {
		if err := e.clock.sync(ctx); err != nil {
			return err
		}
		overdue, err = e.store.Overdue(ctx, e.scope, step.At(e.now()), limit)
		return err
	})
	return overdue, err
}

func (e *Engine) expire(ctx context.Context, o store.Overdue) error {
	c := e.newCall()
	defer e.calls.Put(c)
	err := e.checkRequest(ctx, c, o.Job, Request{})
	if err == nil {
		q := store.Query{Scope: e.scope, Job: o.Job, Step: o.Step}
		err = e.commitLoop(ctx, c, q, &Expire{Job: o.Job, Step: o.Step, Attempt: o.Attempt})
	}
	if err != nil {
		return e.turnedDown(ctx, c, err)
	}
	e.accepted(ctx, c)
	return nil
}
