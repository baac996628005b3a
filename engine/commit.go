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

// call is the memory of one request. Calls are reused, so that an operation allocates only in the
// store.
type call struct {
	request  Request         // as the caller made it
	id       store.RequestID // given, or drawn by setTimeAndID
	operate  Operate
	view     store.View
	decision Decision

	began   time.Time // zero until the clock was read
	now     step.Time
	stamped bool
	doubt   doubt
	job     store.JobID
	step    step.ID
	lost    int           // commits that lost a race
	sent    ReportReceipt // of a report: the answer that goes with the last commit that lost a race or is in doubt
	patient bool          // back off after a conflict, and change the job only in turn: for reports
	turn    turn          // in the line of the job

	at       time.Time // of a report, by the host's clock, when its last try began
	failures int64     // of the store by then
}

func (e *Engine) newCall(r Request) *call {
	c := e.calls.Get().(*call)
	c.request, c.id, c.lost, c.patient, c.job, c.step = r, r.ID, 0, false, 0, 0
	c.began, c.stamped, c.doubt, c.sent, c.turn = time.Time{}, false, doubt{}, ReportReceipt{}, turn{}
	return c
}

// reset clears the parts of an earlier decision that the next one does not overwrite.
func (c *call) reset() {
	c.decision.Change.Records, c.decision.Replay = nil, nil
	c.decision.Report = ReportReceipt{}
}

// checkRequest checks the fields that every request on a job has.
func (e *Engine) checkRequest(ctx context.Context, c *call, job store.JobID) error {
	if err := e.beginCall(ctx, c); err != nil {
		return err
	}
	c.job = job
	if err := checkJob(job); err != nil {
		return err
	}
	return nil
}

// beginCall checks the fields that every request has.
func (e *Engine) beginCall(ctx context.Context, c *call) error {
	err := e.checkEngine(ctx)
	if err == nil {
		err = e.clock.sync(ctx)
	}
	if e.observe.timed() {
		c.began = e.now()
	}
	return err
}

// given reports whether the caller gave a request id.
func (c *call) given() bool { return c.request.ID != store.RequestID{} }

// setTimeAndID reads the clock, once per request, and makes a request id where the caller gave
// none. It is called late: a refusal needs neither, and would take 1.5 times as long.
func (e *Engine) setTimeAndID(c *call, cmd Command) {
	if c.stamped {
		return
	}
	c.stamped = true
	if c.began.IsZero() {
		c.began = e.now()
	}
	c.now = step.At(c.began)
	if !c.given() {
		c.id = requestID(c.now, e.random(), e.random())
	}
	switch cmd := cmd.(type) {
	case *Operate:
		cmd.Request.ID = c.id
	case *OperateEffect:
		cmd.Request.ID = c.id
	case *Create:
		cmd.Request.ID = c.id
	case *Report:
		cmd.request = c.id
	case *Expire:
		cmd.request = c.id
	}
}

// doubt describes a commit whose outcome the store could not tell.
type doubt struct {
	err  error     // the store's; nil if there is no doubt, or none any more
	base store.Seq // the version that the commit was decided on
	n    int       // how many such commits there were, and commits undone after one
}

// commitLoop is the one way in which a job changes, once the command has been checked: it
// tries until a try has an answer.
//
// After a failure of the store in mid-commit, or a conflict, the next try looks for the request
// id; every try looks for an id that the caller gave. So a request is carried out once, and no
// store has to refuse a second time: the view shows the first. If no try can tell, the caller
// gets ErrUnknownOutcome, whatever else went wrong.
func (e *Engine) commitLoop(ctx context.Context, c *call, q *store.Query, cmd Command) error {
	c.job, c.step = q.Job, q.Step
	if c.given() || c.doubt.n > 0 {
		q.Request = c.id
	}
	defer e.leaveLine(c) // even if the store panics
	for {
		if err := e.enterLine(ctx, c); err != nil {
			return c.orUnknown(err)
		}
		again, err := e.attemptOnce(ctx, c, q, cmd)
		e.leaveLine(c)
		if again && c.patient {
			err = e.backOff(ctx, c.lost)
		}
		switch {
		case err != nil:
			return c.orUnknown(err)
		case !again:
			return nil
		}
	}
}

// enterLine waits for a turn in the line of the job: for a report, and for an operation that has
// lost a race, which gets the next turn.
func (e *Engine) enterLine(ctx context.Context, c *call) error {
	if c.turn.held() || !c.patient && c.lost == 0 {
		return nil
	}
	p := new(place)
	_, err := e.lines.wait(ctx, lineOf{e.scope, c.job}, p, !c.patient)
	c.turn = p.turn
	return err
}

// leaveLine ends the turn, if there is one.
func (e *Engine) leaveLine(c *call) {
	if c.turn.held() {
		e.lines.leave(c.turn)
		c.turn = turn{}
	}
}

// orUnknown returns err, or an ErrUnknownOutcome while a commit is in doubt.
func (c *call) orUnknown(err error) error {
	if err != nil && c.doubt.err != nil {
		return &UnknownOutcomeError{Job: c.job, Request: c.id, Err: c.doubt.err}
	}
	return err
}

// attemptOnce loads, asks the authorizer, decides, and commits if the version is still the one
// decided on. Another try is due after a conflict, and after a commit in doubt.
func (e *Engine) attemptOnce(ctx context.Context, c *call, q *store.Query, cmd Command) (again bool, err error) {
	if c.patient && !e.local {
		if passed, err := e.commitKept(ctx, c, q, cmd); passed || err != nil {
			return false, err
		}
	}
	if err := e.look(ctx, cmd); err != nil {
		return false, err
	}
	view, err := e.store.View(ctx, *q) // on the stack: a refusal ends here
	if err != nil {
		return false, e.explainMiss(ctx, *q, err)
	}
	read := view.Job.Version
	if read > c.doubt.base {
		c.doubt.err = nil // the commit in doubt is found by its id, or came too late
	}
	var expiry *Decision
	if mayMeetDeadline(&view, cmd) {
		if view, expiry, again, err = e.afterDeadline(ctx, c, view, cmd); err != nil {
			return false, err
		}
		if again {
			return c.lose()
		}
	}
	if err := e.consult(ctx, c, &view, cmd); err != nil {
		return false, err
	}
	own := c.doubt.n > 0 || !c.given() // a request that is found carried out is this one
	if admitted := own && view.Replay != nil; !admitted {
		if err := e.permit(ctx, c, &view, cmd); err != nil {
			return false, err
		}
	}
	move, refusal := judge(e.rules, &view, cmd)
	if refusal != nil {
		return false, refusal
	}
	e.setTimeAndID(c, cmd)
	c.reset()
	if refusal := e.decide.on(e.rules, &view, cmd, move, c.now, &c.decision); refusal != nil {
		return false, refusal
	}
	c.decision.follow(expiry)
	if c.request.DryRun {
		return false, nil
	}
	if !c.decision.Changes() {
		if c.sent.Seq != 0 && c.sent.Seq == c.decision.Report.Seq {
			c.decision.Report = c.sent // found carried out; its record does not list what was rejected
		}
		return false, nil
	}
	if c.patient && !e.local {
		c.view = view // to be kept
	}
	return e.commit(ctx, c, q, read, false)
}

// commit sends what was decided on the version that was read, or recalled. The next try, if one is
// due, looks for the request id: a driver may have sent the change twice.
func (e *Engine) commit(ctx context.Context, c *call, q *store.Query, read store.Seq, recalled bool) (again bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err // nothing is sent that could be in doubt
	}
	err = e.store.Commit(ctx, c.decision.Change)
	if err == nil {
		if c.patient && !e.local {
			c.turn.keep(c.view, recalled, &c.decision.Change, c.at, c.failures)
		}
		return false, nil
	}
	q.Request, c.sent = c.id, c.decision.Report
	switch {
	case recalled && errors.Is(err, store.ErrConflict):
		return true, nil // no race: the view was old
	case errors.Is(err, store.ErrConflict):
		return c.lose()
	case c.doubts(err, read):
		return true, nil
	}
	return false, wrap(c.job, err)
}

// doubts notes a commit on base that failed with err, and reports whether another try is due,
// which finds the outcome of this commit or an earlier one in doubt.
func (c *call) doubts(err error, base store.Seq) bool {
	undone := errors.Is(err, store.ErrUndone)
	if undone && c.doubt.err == nil {
		return false
	}
	if !undone {
		c.doubt.err, c.doubt.base = err, base
	}
	c.doubt.n++
	return c.doubt.n < maxUnknowns
}

// lose counts a lost race. It reports that another try is due, or returns ErrConflict after the
// last one.
func (c *call) lose() (again bool, err error) {
	if c.lost++; c.lost == maxTries {
		return false, fmt.Errorf("job %d: %w: gave up after %d tries", c.job, ErrConflict, maxTries)
	}
	return true, nil
}

// mayMeetDeadline reports whether a deadline may have passed before cmd, which only the clock or
// the current step can tell. For most commands the answer is no, without reading either.
func mayMeetDeadline(v *store.View, cmd Command) bool {
	elsewhere := v.Step.ID != v.Job.Current && !v.Job.State.Finished() && v.Job.State != step.Pending
	return (v.Step.Due != 0 || elsewhere) && comesAfterDeadline(v, cmd)
}

// afterDeadline returns the expiry of the job's current step, and v as it is after the expiry; or v
// and nil if no deadline has passed. Another try is due if the job moved meanwhile.
func (e *Engine) afterDeadline(ctx context.Context, c *call, v store.View, cmd Command) (_ store.View, expiry *Decision, again bool, err error) {
	current := v
	if v.Step.ID != v.Job.Current {
		if current, err = e.load(ctx, v.Job.ID, 0); err != nil || current.Job.Version != v.Job.Version {
			return v, nil, err == nil, err
		}
	}
	e.setTimeAndID(c, cmd)
	if expiry = e.decide.expiry(e.rules, &current, c.now); expiry == nil {
		return v, nil, false, nil
	}
	if ofJob(cmd) && expiry.Change.Job.Current != v.Step.ID {
		next, err := e.load(ctx, v.Job.ID, expiry.Change.Job.Current)
		if err != nil || next.Job.Version != v.Job.Version {
			return v, nil, err == nil, err
		}
		v = next
	}
	return v.After(expiry.Change), expiry, false, nil
}

// load returns the view of a step; 0 means the job's current one.
func (e *Engine) load(ctx context.Context, job store.JobID, id step.ID) (store.View, error) {
	q := store.Query{Scope: e.scope, Job: job, Step: id}
	view, err := e.store.View(ctx, q)
	if err != nil {
		return store.View{}, e.explainMiss(ctx, q, err)
	}
	return view, nil
}

// explainMiss turns a store's error of a view into the caller's: a refusal if the job or the step
// does not exist.
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

// wrap adds the job's id to an error of the store; nil stays nil.
func wrap(job store.JobID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("job %d: %w", job, err)
}

// permit refuses a person's command from a caller that is only an executor, and asks the
// authorizer about any other. Reports and deadlines need no permission.
func (e *Engine) permit(ctx context.Context, c *call, v *store.View, cmd Command) error {
	if e.authorize == nil && !c.request.Executor {
		return nil
	}
	a := Access{Job: v.Job, Step: v.Step, Executor: c.request.Executor}
	switch cmd := cmd.(type) {
	case *Operate:
		a.Actor, a.Cause = cmd.By, cmd.Cause
	case *OperateEffect:
		a.Actor, a.Cause, a.Effect, a.Seq = cmd.By, cmd.Cause, cmd.Effect.Effect, cmd.Effect.Seq
	case *Create:
		a.Actor, a.Cause = cmd.By, step.Created
	default:
		return nil
	}
	if held := c.turn; held.held() { // the authorizer may call back for this job
		timer := time.AfterFunc(turnWait, func() { e.lines.leave(held) })
		defer timer.Stop()
	}
	err := e.admit(ctx, a)
	if err == nil {
		return nil
	}
	refusal := &Refusal{
		Reason: operation.Denied, Job: a.Job.ID, Step: a.Step.ID, Actor: a.Actor, cause: err,
	}
	if a.Cause != step.Created {
		refusal.Cause = a.Cause
	}
	if words := (*publicError)(nil); errors.As(err, &words) {
		refusal.Detail = words.text
	}
	return refusal
}

// errNoPerson denies a person's command to a caller that is an executor and no person.
var errNoPerson = Public("an executor claims and reports; this is for a person")

func (e *Engine) admit(ctx context.Context, a Access) error {
	if a.Executor && a.Actor == "" {
		return errNoPerson
	}
	if e.authorize == nil {
		return nil
	}
	if err := contain(func() error { return e.authorize(ctx, a) }); err != nil {
		return err
	}
	return ctx.Err()
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

// backOff waits before another try: 2 ms after the first conflict, doubled with each
// further one up to 64 ms, less a random part of up to half.
func (e *Engine) backOff(ctx context.Context, conflicts int) error {
	most := time.Millisecond << min(conflicts, 6)
	return sleep(ctx, most-time.Duration(e.random()%uint64(most/2)))
}

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error { return pause(ctx, nil, d) }

// pause waits for changed, if it is not nil, and for d at the latest, or for the end of
// ctx, whose error it returns.
func pause(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// accepted tells the observer of a request that passed, under no lock, and returns its
// record, to be copied before c is used again.
func (e *Engine) accepted(ctx context.Context, c *call) *store.Record {
	o := &e.observe
	e.conflicted(ctx, c)
	record := c.decision.record()
	switch changed := c.decision.Changes(); {
	case c.request.DryRun:
		if changed {
			unstored := dry(*record)
			record = &unstored
		}
		if o.Dry != nil {
			observed(func() { o.Dry(ctx, *record, e.took(c)) })
		}
	case changed && o.Accepted != nil:
		for _, record := range c.decision.Change.Records { // an expiry that came first, and its own
			observed(func() { o.Accepted(ctx, record, e.took(c)) })
		}
	}
	if !c.request.DryRun && c.decision.Changes() {
		if m := c.decision.Change.Turn; m == store.TakeTurn || m == store.LeaveTurn { // one may be free for the next job
			e.turned.Wake(c.job)
		}
		e.openAtOnce(ctx, c)
	}
	return record
}

// dry returns r as a dry run answers it: without the numbers that only a commit gives.
func dry(r store.Record) store.Record {
	r.Seq, r.Request = 0, store.RequestID{}
	if r.JobFrom == 0 {
		r.Job = 0
	}
	return r
}

// turnedDown tells the observer of a request that did not pass, and returns err to the caller.
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
		observed(func() { o.Refused(ctx, refusal, e.took(c)) })
	}
	return err
}

func (e *Engine) conflicted(ctx context.Context, c *call) {
	if o := &e.observe; o.Conflicted != nil && c.lost > 0 {
		observed(func() { o.Conflicted(ctx, c.job, c.lost, e.took(c)) })
	}
}

// took returns how long a request has taken so far.
func (e *Engine) took(c *call) time.Duration { return e.now().Sub(c.began) }

// failed tells the observer of a failure that no caller may see.
func (e *Engine) failed(ctx context.Context, err error) {
	if e.observe.Failed != nil {
		observed(func() { e.observe.Failed(ctx, err) })
	}
}

// observed calls an observer's function and drops its panic: a broken logger must not turn a
// commit that passed into an error.
func observed(f func()) { _ = contain(func() error { f(); return nil }) }

func isStale(err error) bool {
	return errors.Is(err, operation.Stale) || errors.Is(err, operation.NoSuchJob)
}
