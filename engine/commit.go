package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	maxTries    = 100 // commits of one request that lose a race before it gives up
	maxUnknowns = 3   // commits of one request whose outcome stays unknown before it gives up
)

// call is the memory of one request. Calls are reused, so that an operation costs
// the store's allocations and none of its own.
type call struct {
	request    request
	operate    Operate
	operateJob OperateJob
	view       store.View
	decision   Decision

	began   time.Time
	now     step.Time
	job     store.JobID
	step    step.ID
	lost    int  // commits that lost a race
	patient bool // back off after a conflict: for reports
}

func (e *Engine) take() *call {
	c := e.calls.Get().(*call)
	c.request, c.lost, c.patient, c.job, c.step = request{}, 0, false, 0, 0
	c.began, c.now = time.Time{}, 0
	return c
}

// reset forgets what an earlier decision has left. The rest of it is written whole by the
// next one that changes anything.
func (c *call) reset() {
	c.decision.Change.Records = nil
	c.decision.Report = ReportReceipt{}
}

// open checks what every request on a job has.
func (e *Engine) open(ctx context.Context, c *call, job store.JobID, opts []OperateOption) error {
	if err := e.ready(ctx); err != nil {
		return err
	}
	c.job = job
	if err := checkJob(job); err != nil {
		return err
	}
	return e.prepare(c, opts)
}

func (e *Engine) prepare(c *call, opts []OperateOption) error {
	if e.observe.timed() {
		c.began = e.now()
	}
	if err := c.request.apply(opts); err != nil {
		return err
	}
	return nil
}

// stamp reads the clock, once per request, and makes a request id where the caller gave
// none. It comes as late as can be: a refusal needs neither, and would cost half as much
// again.
func (e *Engine) stamp(c *call, cmd Command) {
	if c.now != 0 {
		return
	}
	if c.began.IsZero() {
		c.began = e.now()
	}
	c.now = step.At(c.began)
	if !c.request.given {
		c.request.id = requestID(c.now, e.random(), e.random())
	}
	switch cmd := cmd.(type) {
	case *Operate:
		cmd.Request = c.request.id
	case *OperateJob:
		cmd.Request = c.request.id
	case *Create:
		cmd.Request = c.request.id
	case *Report:
		cmd.request = c.request.id
	case *Expire:
		cmd.request = c.request.id
	}
}

// carryOut is the one way in which a job changes, once the command has been checked: load,
// ask the authorizer, decide, commit if the version is still the one decided on, and
// otherwise begin anew.
//
// After a failure of the store in mid-commit it loads again and looks for its own
// request id, so that what was carried out is not carried out twice.
func (e *Engine) carryOut(ctx context.Context, c *call, q store.Query, cmd Command) error {
	c.job, c.step = q.Job, q.Step
	if c.request.given {
		q.Request = c.request.id
	}
	var (
		unknown  error     // the store's, of a commit whose outcome is not known
		unknowns int       // how many there were
		base     store.Seq // the version that the last of them was decided on
	)
	for {
		view, err := e.store.View(ctx, q) // on the stack: a refusal ends here
		if err != nil {
			return c.after(unknown, e.explainMiss(ctx, q, err))
		}
		if view.Job.Version != base {
			unknown = nil // what was in doubt was not applied, or is found by its id
		}
		if err := e.permit(ctx, &view, cmd); err != nil {
			return c.after(unknown, err)
		}
		if cmd, ok := cmd.(*Operate); ok {
			if _, refusal := cmd.judge(e.rules, &view); refusal != nil {
				return c.after(unknown, refusal)
			}
		}
		e.stamp(c, cmd)
		c.view = view
		c.reset()
		if refusal := e.decide(e.rules, &c.view, cmd, c.now, &c.decision); refusal != nil {
			return c.after(unknown, refusal)
		}
		if c.request.dry || !c.decision.Changes() {
			return nil
		}
		switch err := e.store.Commit(ctx, c.decision.Change); {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrConflict):
			if c.lost++; c.lost == maxTries {
				return c.after(unknown, fmt.Errorf("job %d: %w: gave up after %d tries", c.job, ErrConflict, maxTries))
			}
			if c.patient {
				if err := e.backOff(ctx, c.lost); err != nil {
					return c.after(unknown, err)
				}
			}
		default:
			unknown, base, q.Request = err, view.Job.Version, c.request.id
			if unknowns++; unknowns == maxUnknowns {
				return c.after(unknown, nil)
			}
		}
	}
}

// after returns the error of a request that ends with err, if an earlier commit of it
// may have been, or may yet be, applied: then that is what the caller must know.
func (c *call) after(unknown, err error) error {
	if unknown == nil {
		return err
	}
	return &UnknownOutcomeError{Job: c.job, Request: c.request.id, Err: unknown}
}

// load returns what there is to see of a step, 0 being the job's current one.
func (e *Engine) load(ctx context.Context, job store.JobID, id step.ID) (store.View, error) {
	q := store.Query{Scope: e.scope, Job: job, Step: id}
	view, err := e.store.View(ctx, q)
	if err != nil {
		return store.View{}, e.explainMiss(ctx, q, err)
	}
	return view, nil
}

// explainMiss makes of a store's error of a view what a caller gets: a refusal if there
// is no such job or step.
func (e *Engine) explainMiss(ctx context.Context, q store.Query, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return e.missing(ctx, q)
	}
	return wrap(q.Job, err)
}

// missing finds out whether it is the job or the step that does not exist.
func (e *Engine) missing(ctx context.Context, q store.Query) error {
	reason := operation.NoSuchJob
	if q.Step != 0 {
		_, err := e.store.View(ctx, store.Query{Scope: q.Scope, Job: q.Job})
		switch {
		case err == nil:
			reason = operation.NoSuchStep
		case !errors.Is(err, store.ErrNotFound):
			return wrap(q.Job, err)
		}
	}
	return &Refusal{Reason: reason, Job: q.Job, Step: q.Step}
}

// wrap says which job an error of the store is about; nil stays nil.
func wrap(job store.JobID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("job %d: %w", job, err)
}

// permit asks the authorizer about a person's command.
func (e *Engine) permit(ctx context.Context, v *store.View, cmd Command) error {
	if e.authorize == nil {
		return nil
	}
	a := Access{Job: v.Job, Step: v.Step}
	switch cmd := cmd.(type) {
	case *Operate:
		a.Actor, a.Code = cmd.Actor, cmd.Code
	case *OperateJob:
		a.Actor, a.JobCode = cmd.Actor, cmd.Code
	case *Create:
		a.Actor, a.Create = cmd.Actor, true
	default:
		return nil
	}
	err := contain(func() error { return e.authorize(ctx, a) })
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	return &Refusal{
		Reason: operation.Denied, Job: a.Job.ID, Step: a.Step.ID, Code: a.Code, JobCode: a.JobCode,
		Actor: a.Actor, cause: err,
	}
}

// contain returns what f does, with a panic as an error.
func contain(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// backOff waits before the try after the n-th conflict: 1 ms, doubled each time up to
// 64 ms, of which a random half is left out.
func (e *Engine) backOff(ctx context.Context, n int) error {
	most := time.Millisecond << min(n-1, 6)
	return sleep(ctx, most-time.Duration(e.random()%uint64(most/2)))
}

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// accepted tells the observer of a request that passed, under no lock, and returns its
// receipt.
func (e *Engine) accepted(ctx context.Context, c *call) Receipt {
	o := &e.observe
	e.conflicted(ctx, c)
	receipt := c.decision.Receipt
	switch changed := c.decision.Changes(); {
	case c.request.dry:
		if changed {
			receipt.Seq, receipt.Request = 0, store.Request{}
		}
		if o.Dry != nil {
			observed(func() { o.Dry(ctx, receipt, e.now().Sub(c.began)) })
		}
	case changed && o.Accepted != nil:
		record := c.decision.records[0]
		observed(func() { o.Accepted(ctx, record, e.now().Sub(c.began)) })
	}
	return receipt
}

// turnedDown tells the observer of a request that did not pass, and returns err.
func (e *Engine) turnedDown(ctx context.Context, c *call, err error) error {
	e.conflicted(ctx, c)
	refusal, ok := err.(*Refusal)
	if !ok {
		e.failed(ctx, err)
		return err
	}
	if refusal.Job == 0 {
		refusal.Job, refusal.Step = c.job, c.step
	}
	if o := &e.observe; o.Refused != nil {
		observed(func() { o.Refused(ctx, refusal, e.now().Sub(c.began)) })
	}
	return err
}

func (e *Engine) conflicted(ctx context.Context, c *call) {
	if o := &e.observe; o.Conflicted != nil && c.lost > 0 {
		observed(func() { o.Conflicted(ctx, c.job, c.lost) })
	}
}

// failed tells the observer of a failure that no caller may see.
func (e *Engine) failed(ctx context.Context, err error) {
	if e.observe.Failed != nil {
		observed(func() { e.observe.Failed(ctx, err) })
	}
}

// observed calls an observer's function and swallows its panic: what was done is
// done, whatever a logger makes of it.
func observed(f func()) { _ = contain(func() error { f(); return nil }) }

func isStale(err error) bool {
	return errors.Is(err, operation.Stale) || errors.Is(err, operation.NoSuchJob)
}
