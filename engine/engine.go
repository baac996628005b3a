package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/stepgate/stepgate/internal/wake"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Engine operates jobs in a store. It is safe for concurrent use, and any number of
// engines, in any number of processes, can share a store. [New] makes an Engine; the zero Engine
// must not be used.
//
// The state of jobs is in the store. For one second, an engine keeps a copy of the state after the
// last report of a job, so that the next report need not load it. Such a report counts only if
// the store confirms the version at its commit; refusals, and answers without a commit, are decided
// on the stored state. The copies take 4 MB at most.
//
// A method that changes one job and returns nil has changed it once, together with its
// history and effects. Any error but [ErrUnknownOutcome] means that nothing changed. A refused
// request returns a *[Refusal]; a failure of the store or the context is returned wrapped.
type Engine struct {
	*shared
	scope    store.Scope
	narrowed bool // by In
	widened  bool // by another In, to another scope: it sees nothing
}

// shared is what an engine and its narrowings have in common.
type shared struct {
	config
	store   store.Store
	waker   store.Waker // the store, or nil
	clock   *clock      // tells now, if the store has a clock
	lines   *lines      // where reports of one job wait for each other
	local   bool        // the store is a store.Local: there are no calls to spare
	calls   sync.Pool   // of *call
	windows windows
	turned  wake.List // where dispatchers of this process wait for jobs to move turns
	ids     jobIDs

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
// A job of another scope does not exist for it: the error is the one for an unused id. If s
// lacks its type or its id, or e is narrowed to another scope already, every call of the new
// engine is refused as invalid input. In does not change e.
func (e *Engine) In(s store.Scope) *Engine {
	return &Engine{shared: e.shared, scope: s, narrowed: true, widened: e.widened || e.narrowed && s != e.scope}
}

// Rules returns the rules that e decides by.
func (e *Engine) Rules() *operation.Rules { return e.rules }

// checkEngine refuses an engine or a ctx with which no call can go on. It does not check whether
// ctx has ended, as the store does.
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

// Operate carries out an operation on a step of a job, in the name of the person in r. It returns
// the record of the change, or a *[Refusal] that says why not and which operations are legal
// instead. Two racing operations are decided one after the other, the second on the state that
// the first left. An operation that loses 100 races returns [ErrConflict].
func (e *Engine) Operate(ctx context.Context, job store.JobID, id step.ID, code operation.Code, r Request) (store.Record, error) {
	c := e.newCall(r)
	defer e.calls.Put(c)
	if err := e.operate(ctx, c, job, id, code); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	return *e.accepted(ctx, c), nil
}

func (e *Engine) operate(ctx context.Context, c *call, job store.JobID, id step.ID, code operation.Code) error {
	if err := e.checkRequest(ctx, c, job); err != nil {
		return err
	}
	if err := checkStep(id); err != nil {
		return err
	}
	if code.Cause() == 0 {
		return unknownCode(e.rules, step.Cause.OfStep, uint8(code))
	}
	return e.commitOperation(ctx, c, &store.Query{Scope: e.scope, Job: job, Step: id}, code.Cause())
}

// OperateJob carries out an operation on a job, such as to start or terminate it, in the name of
// the person in r. Its results are those of [Engine.Operate].
func (e *Engine) OperateJob(ctx context.Context, job store.JobID, code operation.JobCode, r Request) (store.Record, error) {
	c := e.newCall(r)
	defer e.calls.Put(c)
	if err := e.operateJob(ctx, c, job, code); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	return *e.accepted(ctx, c), nil
}

func (e *Engine) operateJob(ctx context.Context, c *call, job store.JobID, code operation.JobCode) error {
	if err := e.checkRequest(ctx, c, job); err != nil {
		return err
	}
	if code.Cause() == 0 {
		return unknownCode(e.rules, step.Cause.OfJob, uint8(code))
	}
	return e.commitOperation(ctx, c, &store.Query{Scope: e.scope, Job: job}, code.Cause())
}

func (e *Engine) commitOperation(ctx context.Context, c *call, q *store.Query, cause step.Cause) error {
	c.operate = Operate{Cause: cause, Request: c.request}
	if err := c.operate.check(e.rules, &e.limits); err != nil {
		return err
	}
	return e.commitLoop(ctx, c, q, &c.operate)
}

// Create stores a new pending job and returns the record of its creation, whose Job is the id that
// the engine draws. The caller keeps the ownership of spec. Conditions on an attempt or a version
// are invalid input. With an ID in r, a repetition returns the record of the first call, or a
// *[Refusal] with reason operation.RequestReused if the two differ.
func (e *Engine) Create(ctx context.Context, spec JobSpec, r Request) (store.Record, error) {
	c := e.newCall(r)
	defer e.calls.Put(c)
	if err := e.create(ctx, c, spec, r); err != nil {
		return store.Record{}, e.turnedDown(ctx, c, err)
	}
	return *e.accepted(ctx, c), nil
}

// Report counts the results, and the outcome if any, that an executor reports of an attempt. If
// the step has moved on, nothing changes and the error is a *[Refusal] with reason
// operation.Stale, which an executor can safely drop. A report that only repeats known results
// changes nothing and is no error, so an executor can send a report again when in doubt.
//
// Reports of one step that wait for each other are committed together, with a record and an
// answer each, under a context that ends when all their callers have left. A report is committed by
// itself if its context is marked by [store.Alone], or if the store is a [store.Local].
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
	c := e.newCall(Request{})
	if err := e.checkRequest(ctx, c, r.Job); err != nil {
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
	return c, e.commitLoop(ctx, c, &q, r)
}

// Sweep applies every moment that has come: it expires attempts, steps and jobs whose deadline has
// passed, and opens gates whose moment has come or whose turn is free. It returns the number of steps
// that it moved and all errors, joined: a job that cannot be moved does not delay the others, and a
// store that does not answer delays each for 30 s at most. Any number of sweeps can run at once: each
// moment is applied once. [Engine.Dispatch] sweeps by itself.
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
		left := 0      // that are still overdue, and come first in the next list
		moved := false // a turn, so that one may be free for the next job
		for _, o := range overdue {
			err := within(ctx, storeWait, func(ctx context.Context) error {
				m, err := e.expire(ctx, o)
				moved = moved || m != store.NoTurn
				return err
			})
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
		if len(overdue) < limit && !moved {
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

// expire applies a moment that has come, and returns what that does about the job's turn.
func (e *Engine) expire(ctx context.Context, o store.Overdue) (store.TurnMove, error) {
	c := e.newCall(Request{})
	defer e.calls.Put(c)
	err := e.checkRequest(ctx, c, o.Job)
	if err == nil {
		q := store.Query{Scope: e.scope, Job: o.Job, Step: o.Step}
		err = e.commitLoop(ctx, c, &q, &Expire{Job: o.Job, Step: o.Step, Attempt: o.Attempt})
	}
	if err != nil {
		return store.NoTurn, e.turnedDown(ctx, c, err)
	}
	e.accepted(ctx, c)
	if !c.decision.Changes() { // found carried out
		return store.NoTurn, nil
	}
	return c.decision.Change.Turn, nil
}
