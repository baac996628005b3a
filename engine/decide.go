package engine

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Decision is what follows from a command: the change to commit and the answer
// to give once it is committed. Copies share what the change refers to.
type Decision struct {
	Change store.Change  // nothing to commit if it has no records
	Replay *store.Record // of a request that was carried out before: its record, and then there is nothing to commit
	Report ReportReceipt // of a report

	room *room // what Change refers to; the engine uses it again
}

// room is the memory of a change of one step, or of two, and its record.
type room struct {
	steps   [2]store.Step
	records [1]store.Record
}

// Changes reports whether there is anything to commit: not for the replay of a
// request, nor for a report that only repeats what is known.
func (d *Decision) Changes() bool { return len(d.Change.Records) > 0 }

// Record returns the answer to an operation or a creation: the record of what it did, or had
// done before. It is zero if there is neither.
func (d *Decision) Record() store.Record {
	switch n := len(d.Change.Records); {
	case n > 0:
		return d.Change.Records[n-1] // an expiry may come first
	case d.Replay != nil:
		return *d.Replay
	}
	return store.Record{}
}

// Decide answers a command on the state that v shows at the moment now: with a
// decision, or with a *[Refusal]. It is a pure function: it has no clock, context,
// randomness, lock or I/O, leaves its arguments alone, and gives equal results for
// equal arguments. v must show what the command is about: its step (for an
// operation on the job, or a request about an effect, the current one), the targets of its results, and the record of its
// request id. Permission is not asked here, but a step's confirmers are.
//
// A deadline holds from its moment on: if that of v's step has passed, the command is
// decided on what its expiry leaves, and the change holds the records of both. A job's
// times never run backwards: a now before v.Job.Updated is taken for that.
//
// The command's own fields are checked as well, against the default limits.
func Decide(r *operation.Rules, v store.View, c Command, now step.Time) (Decision, error) {
	switch {
	case r == nil:
		return Decision{}, invalid("Rules", "nil")
	case c == nil:
		return Decision{}, noCommand()
	}
	if refusal := c.check(r, &defaultLimits); refusal != nil {
		return Decision{}, refusal
	}
	if asked := requestOf(c); asked != nil {
		if refusal := asked.decides(); refusal != nil {
			return Decision{}, refusal
		}
	}
	var expiry *Decision
	if comesAfterDeadline(&v, c) && overdue(&v, now) {
		var err error
		if v, expiry, err = expireFirst(r, v, c, now); err != nil {
			return Decision{}, err
		}
	}
	move, refusal := judge(r, &v, c)
	if refusal != nil {
		return Decision{}, refusal
	}
	var d Decision
	if refusal := decide(r, &v, c, move, now, &d); refusal != nil {
		return Decision{}, refusal
	}
	d.follow(expiry)
	return d, nil
}

// overdue reports whether v shows the job's current step, and its deadline has passed.
func overdue(v *store.View, now step.Time) bool {
	deadline := v.Step.Deadline
	return deadline != 0 && deadline <= max(now, v.Job.Updated) && v.Step.ID == v.Job.Current
}

// comesAfterDeadline reports whether a deadline that has passed is applied before c: not before
// an expiry, nor before a replay, which is answered as it was then.
func comesAfterDeadline(v *store.View, c Command) bool {
	_, expires := c.(*Expire)
	return !expires && v.Replay == nil
}

// A decider is nil for decide or, in tests, a broken one.
type decider func(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal

// on calls decide by its name, which leaves the view on its caller's stack, or the broken one.
func (broken decider) on(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal {
	if broken == nil {
		return decide(r, v, c, move, now, d)
	}
	seen := *v
	return broken(r, &seen, c, move, now, d)
}

// expiry returns the decision to expire the step that v shows, or nil if its deadline has not
// passed. It is nil too where the rules refuse the expiry, which the sweep tells.
func (by decider) expiry(r *operation.Rules, v *store.View, now step.Time) *Decision {
	if !overdue(v, now) {
		return nil
	}
	expiry := new(Decision)
	if by.on(r, v, &Expire{Job: v.Job.ID, Step: v.Step.ID, Attempt: v.Step.Attempt}, operation.Move{}, now, expiry) != nil {
		return nil
	}
	return expiry
}

// expireFirst returns v as the expiry of its overdue step leaves it, and the expiry. An operation
// on the job then meets the step that the expiry entered: v does not show what comes after that
// one, and is refused where there is such a step.
func expireFirst(r *operation.Rules, v store.View, c Command, now step.Time) (store.View, *Decision, error) {
	expiry := decider(nil).expiry(r, &v, now)
	if expiry == nil {
		return v, nil, nil
	}
	left := v.After(expiry.Change)
	if !ofJob(c) || left.Job.Current == left.Step.ID {
		return left, expiry, nil
	}
	if left.Next.ID != step.ID(left.Job.Steps) {
		return v, nil, invalid("view", "it shows step %d, which has expired, and step %d is current: it must show what comes after that", v.Step.ID, left.Next.ID)
	}
	left.Step, left.Next = left.Next, store.Step{}
	return left, expiry, nil
}

// follow makes d, which was decided on what expiry leaves, one change with it. Where d
// changes nothing, the expiry is left to the sweep. A nil expiry is none.
func (d *Decision) follow(expiry *Decision) {
	if expiry == nil || !d.Changes() {
		return
	}
	changed := func(s store.Step) bool {
		return slices.ContainsFunc(d.Change.Steps, func(after store.Step) bool { return after.ID == s.ID })
	}
	d.Change.Steps = slices.Concat(d.Change.Steps, slices.DeleteFunc(slices.Clone(expiry.Change.Steps), changed))
	d.Change.Records = slices.Concat(expiry.Change.Records, d.Change.Records)
}

// ofJob reports whether c is about the job, and so meets its current step.
func ofJob(c Command) bool {
	switch c := c.(type) {
	case *Operate:
		return c.Cause.OfJob()
	case *OperateEffect:
		return true
	}
	return false
}

var defaultLimits = DefaultLimits() // never changed; a variable, as one of a call would be allocated

// decide is Decide, of a command that has been checked and judged, into d, which the engine
// reuses. No deadline of v's step has passed, but for an Expire.
func decide(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal {
	now = max(now, v.Job.Updated)
	switch c := c.(type) {
	case *Operate:
		return d.operate(r, v, c, move, now)
	case *OperateEffect:
		return d.operateEffect(r, v, c, now)
	case *Report:
		return d.report(r, v, c, now)
	case *Expire:
		return d.expire(r, v, c, now)
	case *Create:
		return d.create(c, now)
	}
	return noCommand()
}

func (d *Decision) create(c *Create, now step.Time) *Refusal {
	if err := checkJob(c.Job); err != nil {
		return err
	}
	steps := make([]store.Step, len(c.Spec.Steps))
	for i, spec := range c.Spec.Steps {
		steps[i] = store.NewStep(step.ID(i+1), spec)
	}
	record := store.Record{
		Job: c.Job, Seq: 1, At: now, Cause: step.Created, Request: c.Request.ID, Actor: c.By, Reason: c.Because,
		Run: store.FirstRun, JobTo: step.Pending,
	}
	d.Change = store.Change{
		Job: store.Job{
			ID: c.Job, Scope: c.Spec.Scope, Name: c.Spec.Name, State: step.Pending,
			Version: 1, Moved: 1, Current: 1, Steps: int32(len(steps)), Created: now, Updated: now,
		},
		Specs: c.Spec.Steps, Steps: steps, Records: []store.Record{record},
	}
	return nil
}

func (d *Decision) operate(r *operation.Rules, v *store.View, c *Operate, move operation.Move, now step.Time) *Refusal {
	if v.Replay != nil {
		return d.replay(v, c)
	}
	rec := d.begin(v, c.Cause, now)
	rec.Request, rec.Actor, rec.Reason = c.Request.ID, c.By, c.Because
	if refusal := d.move(r, v, move); refusal != nil {
		return refusal
	}
	d.finish()
	return nil
}

func (d *Decision) expire(r *operation.Rules, v *store.View, c *Expire, now step.Time) *Refusal {
	s := &v.Step
	if v.Replay != nil { // only ever the engine's own, after an unknown outcome
		return nil
	}
	if c.Attempt != s.Attempt || s.ID != v.Job.Current || s.Deadline == 0 || s.Deadline > now {
		return refuse(r, v, &Refusal{Reason: operation.Stale, Detail: fmt.Sprintf(
			"attempt %d is not overdue: the step is %v in attempt %d", c.Attempt, s.State, s.Attempt)})
	}
	event := step.Expired
	if s.State == step.Waiting && s.OnTimeout == step.ConfirmOnTimeout {
		event = step.ExpiredConfirmed
	}
	move, ok := r.Move(s.Type, s.State, event)
	if !ok {
		return refuse(r, v, &Refusal{Reason: operation.WrongState})
	}
	rec := d.begin(v, event, now)
	rec.Request, rec.Reason = c.request, "deadline"
	if refusal := d.move(r, v, move); refusal != nil {
		return refusal
	}
	d.finish()
	return nil
}

// begin starts a change of the job and the step that v shows, and its record.
func (d *Decision) begin(v *store.View, cause step.Cause, now step.Time) *store.Record {
	if d.room == nil {
		d.room = new(room)
	}
	d.room.steps[0] = v.Step
	d.room.records[0] = store.Record{
		Job: v.Job.ID, Seq: v.Job.Version + 1, At: now, Cause: cause,
		Step: v.Step.ID, From: v.Step.State, To: v.Step.State, JobFrom: v.Job.State,
	}
	d.Change = store.Change{Job: v.Job, Steps: d.room.steps[:1], Records: d.room.records[:]}
	return &d.room.records[0]
}

// finish completes the record and the header once everything else has been decided.
func (d *Decision) finish() {
	rec, job, s := &d.Change.Records[0], &d.Change.Job, &d.Change.Steps[0]
	rec.Attempt, rec.To, rec.JobTo = s.Attempt, s.State, job.State
	rec.Run, rec.Succeeded, rec.Unfinished = s.Run, s.Succeeded, s.Unfinished
	job.Version, job.Updated = rec.Seq, rec.At
	if rec.Moves() {
		job.Moved = rec.Seq
	}
}
