package engine

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Decision is the result of [Decide]: the change to commit, and the answer to give once it is
// committed. Copies of a Decision share the memory of the change.
type Decision struct {
	Change store.Change  // to commit, unless it has no records
	Replay *store.Record // the record of a request that was carried out before, with nothing to commit; else nil
	Report ReportReceipt // the answer to a report

	room *room // what Change refers to; the engine uses it again
}

// room is the memory of a change of one step, or of two, and its record.
type room struct {
	steps   [2]store.Step
	records [1]store.Record
}

// Changes reports whether d has a change to commit. It has none for the replay of a request, and for
// a report that only repeats known results.
func (d *Decision) Changes() bool { return len(d.Change.Records) > 0 }

// Record returns the answer to an operation or a creation: its record, or that of its first call. It
// is zero for a report that changes nothing.
func (d *Decision) Record() store.Record { return *d.record() }

func (d *Decision) record() *store.Record {
	switch n := len(d.Change.Records); {
	case n > 0:
		return &d.Change.Records[n-1] // an expiry may come first
	case d.Replay != nil:
		return d.Replay
	}
	return &noRecord
}

var noRecord store.Record // never written

// Decide decides on a command in the state of v, at the moment now. The result is a decision, or a
// *[Refusal] as the error. Decide is a pure function: it has no clock, context, randomness, lock or
// I/O, does not change its arguments, and returns equal results for equal arguments. v must show the
// command's step (for an operation on the job, or a request about an effect, the current one), the
// targets of its results, and the record of its request id. Decide checks a step's confirmers, and
// asks no authorizer.
//
// A deadline holds from its moment on: if that of v's step has passed, the command is decided on the
// state after its expiry, and the change has the records of both. A job's times never run backwards:
// a now before v.Job.Updated counts as v.Job.Updated.
//
// Decide also checks the command's own fields, against the default limits.
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
	if v.Step.Due == 0 || v.Step.ID != v.Job.Current {
		return false
	}
	moment := deadline(&v.Job, &v.Step)
	return moment != 0 && moment <= max(now, v.Job.Updated)
}

// comesAfterDeadline reports whether a deadline that has passed is applied before c. It is not before
// an Expire, and not before a replay, which has its first answer.
func comesAfterDeadline(v *store.View, c Command) bool {
	_, expires := c.(*Expire)
	return !expires && v.Replay == nil
}

// A decider is nil for decide or, in tests, a broken one.
type decider func(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal

// on calls decide, or the broken one. The direct call of decide leaves the view on its caller's
// stack.
func (broken decider) on(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal {
	if broken == nil {
		return decide(r, v, c, move, now, d)
	}
	seen := *v
	return broken(r, &seen, c, move, now, d)
}

// expiry returns the decision to expire the step that v shows, or nil if its deadline has not
// passed. It is nil as well if the rules refuse the expiry, an error that Sweep returns.
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

// expireFirst returns v as it is after the expiry of its overdue step, and the expiry. An operation on
// the job then meets the step that the expiry entered. v does not show the step after that one, so if
// the job has one, the operation is refused.
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

// follow puts expiry and d, which was decided on the state after expiry, into one change. If d
// changes nothing, the expiry is left to Sweep. If expiry is nil, follow does nothing.
func (d *Decision) follow(expiry *Decision) {
	if expiry == nil || !d.Changes() {
		return
	}
	changed := func(s store.Step) bool {
		return slices.ContainsFunc(d.Change.Steps, func(after store.Step) bool { return after.ID == s.ID })
	}
	d.Change.Steps = slices.Concat(d.Change.Steps, slices.DeleteFunc(slices.Clone(expiry.Change.Steps), changed))
	d.Change.Records = slices.Concat(expiry.Change.Records, d.Change.Records)
	noted := func(b store.Batch) bool {
		return slices.ContainsFunc(d.Change.Batches, func(after store.Batch) bool { return after.Step == b.Step && after.Number == b.Number })
	}
	d.Change.Batches = slices.Concat(slices.DeleteFunc(slices.Clone(expiry.Change.Batches), noted), d.Change.Batches)
	if d.Change.Turn == store.NoTurn {
		d.Change.Turn = expiry.Change.Turn
	}
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

// decide decides on a command that has been checked and judged, into d, which the engine reuses. The
// deadline of v's step has not passed, unless the command is an Expire.
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
			Origin: c.Spec.Origin, Policy: c.Spec.policy(),
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
	d.finish(v)
	return nil
}

func (d *Decision) expire(r *operation.Rules, v *store.View, c *Expire, now step.Time) *Refusal {
	s := &v.Step
	if v.Replay != nil { // only of the engine's own request id, after an unknown outcome
		return nil
	}
	event, why := comes(r, v, now)
	if event == 0 || c.Attempt != s.Attempt {
		return refuse(r, v, &Refusal{Reason: operation.Stale, Detail: fmt.Sprintf(
			"attempt %d is not overdue: the step is %v in attempt %d", c.Attempt, s.State, s.Attempt)})
	}
	move, ok := r.Move(s.Type, s.State, event)
	if !ok {
		return refuse(r, v, &Refusal{Reason: operation.WrongState})
	}
	shut := store.Gate{} // the window, if it is still closed
	if event == step.Opened {
		if shut = c.closed(s, now); shut.Reason == step.WindowGate && shut.Until == 0 {
			return invalid("window", "the answer of the function of windows about %q is missing", s.Policy.Window)
		}
	}
	rec := d.begin(v, event, now)
	rec.Request, rec.Reason = c.request, why
	switch {
	case event == step.JobExpired:
		d.Change.Job.Deadline = 0
		fallthrough
	case shut.Reason == step.NoGate:
		if refusal := d.move(r, v, move); refusal != nil {
			return refusal
		}
	default:
		d.shut(&d.Change.Steps[0], shut)
	}
	d.finish(v)
	return nil
}

// comes returns the event of the first moment of the job's current step that has come, which v
// shows, and in words what it is of; or 0. Of moments that have all come, the widest counts.
func comes(r *operation.Rules, v *store.View, now step.Time) (event step.Cause, why string) {
	job, s := &v.Job, &v.Step
	passed := func(moment step.Time) bool { return moment != 0 && moment <= now }
	if s.ID != job.Current || !s.State.Active() {
		return 0, ""
	}
	switch {
	case passed(job.Deadline) && s.State != step.Terminating:
		return step.JobExpired, "deadline of the job"
	case passed(s.Expires):
		why = "deadline of the step"
	case passed(s.Deadline):
		why = "deadline"
	case passed(s.Gate.Until), s.Gate.Reason == step.TurnGate && v.Turn:
		return step.Opened, s.Gate.Reason.String()
	default:
		return 0, ""
	}
	if s.OnTimeout == step.ConfirmOnTimeout && s.State != step.Terminating && r.Enters(s.Type) == step.Waiting {
		return step.ExpiredConfirmed, why
	}
	return step.Expired, why
}

// closed returns the gate of the window of s, if the answer that c carries does not let s start now, or
// is missing; else the zero Gate.
func (c *Expire) closed(s *store.Step, now step.Time) store.Gate {
	asks := s.Gate.Reason == step.WindowGate || s.Gate.Reason == step.TurnGate // which may have come outside of the window
	if !asks || s.Policy == nil || s.Policy.Window == "" || c.Window != 0 && c.Window <= now {
		return store.Gate{}
	}
	return store.Gate{Reason: step.WindowGate, Then: s.Gate.Then, Until: c.Window}
}

// begin starts a change of the job and the step that v shows, and its record.
func (d *Decision) begin(v *store.View, cause step.Cause, now step.Time) *store.Record {
	if d.room == nil {
		d.room = new(room)
	}
	s, rec, c := &d.room.steps[0], &d.room.records[0], &d.Change
	*s = v.Step
	*rec = store.Record{} // field by field below, and c too: a literal would be made elsewhere and copied
	rec.Job, rec.Seq, rec.At, rec.Cause = v.Job.ID, v.Job.Version+1, now, cause
	rec.Step, rec.From, rec.To, rec.JobFrom = s.ID, s.State, s.State, v.Job.State
	c.Job, c.Specs, c.Targets = v.Job, nil, nil
	c.Steps, c.Records, c.Batches, c.Turn = d.room.steps[:1], d.room.records[:], nil, store.NoTurn
	return rec
}

// finish completes the record, the steps and the header, given those that v shows, once everything
// else has been decided.
func (d *Decision) finish(v *store.View) {
	rec, job, s := &d.Change.Records[0], &d.Change.Job, &d.Change.Steps[0]
	rec.Attempt, rec.To, rec.JobTo = s.Attempt, s.State, job.State
	rec.Run, rec.Succeeded, rec.Unfinished, rec.Mendable = s.Run, s.Succeeded, s.Unfinished, s.Mendable
	rec.Before = s.Before
	job.Version, job.Updated = rec.Seq, rec.At
	if rec.Moves() {
		job.Moved = rec.Seq
	}
	for i := range d.Change.Steps {
		d.Change.Steps[i].Due = 0
	}
	if current := &d.Change.Steps[len(d.Change.Steps)-1]; current.ID == job.Current {
		current.Due = due(job, current)
	}
	d.noteBatches(&v.Step)
	if job.Policy != nil && job.Policy.Turn.Key != "" {
		d.Change.Turn = turnOf(&v.Job, job)
	}
}

// noteBatches notes the row of the step's batch, if an attempt began or ended and accept has not noted it,
// and that of the first batch of a step that was entered. While a step waits for its next batch, the
// row is that of the end of the last one.
func (d *Decision) noteBatches(before *store.Step) {
	s := &d.Change.Steps[0]
	noted := slices.ContainsFunc(d.Change.Batches, func(b store.Batch) bool { return b.Number == s.Batch })
	moved := s.State != before.State || s.Attempt != before.Attempt
	ongoing := before.State.Attempting() || s.State.Attempting() ||
		before.State == step.Gated && before.Gate.Then != step.RunNext || s.State == step.Gated && s.Gate.Then != step.RunNext
	if s.Batch > 0 && !noted && moved && ongoing {
		d.Change.Batches = append(d.Change.Batches, batchOf(s, s.State))
	}
	if len(d.Change.Steps) > 1 && d.Change.Steps[1].Batch > 0 { // it was entered
		d.Change.Batches = append(d.Change.Batches, batchOf(&d.Change.Steps[1], d.Change.Steps[1].State))
	}
}
