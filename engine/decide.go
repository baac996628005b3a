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
// operation on the job, the current one), the targets of its results, and the record of its
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

// A decider is decide or, in tests, a broken one.
type decider func(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal

// expiry returns the decision to expire the step that v shows, or nil if its deadline has not
// passed. It is nil too where the rules refuse the expiry, which the sweep tells.
func (decide decider) expiry(r *operation.Rules, v *store.View, now step.Time) *Decision {
	if !overdue(v, now) {
		return nil
	}
	expiry := new(Decision)
	if decide(r, v, &Expire{Job: v.Job.ID, Step: v.Step.ID, Attempt: v.Step.Attempt}, operation.Move{}, now, expiry) != nil {
		return nil
	}
	return expiry
}

// expireFirst returns v as the expiry of its overdue step leaves it, and the expiry. An operation
// on the job then meets the step that the expiry entered: v does not show what comes after that
// one, and is refused where there is such a step.
func expireFirst(r *operation.Rules, v store.View, c Command, now step.Time) (store.View, *Decision, error) {
	expiry := decider(decide).expiry(r, &v, now)
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

// ofJob reports whether c is an operation on the job, which meets its current step.
func ofJob(c Command) bool {
	o, ok := c.(*Operate)
	return ok && o.Cause.OfJob()
}

// judge answers the one question of legality, once for a command: what its row does, or the
// refusal. It needs no clock, no request id and no memory for a decision. Commands of executors
// and deadlines are judged by what they find, as they are decided; they and the replay of a
// request have no row here.
func judge(r *operation.Rules, v *store.View, cmd Command) (operation.Move, *Refusal) {
	c, ok := cmd.(*Operate)
	if !ok || v.Replay != nil {
		return operation.Move{}, nil
	}
	if stale := staleness(v, c.IfAttempt, c.IfVersion); stale != "" {
		return operation.Move{}, refuse(r, v, &Refusal{Reason: operation.Stale, Cause: c.Cause, Actor: c.By, Detail: stale})
	}
	move, reason := r.Judge(standing(v), c.Cause)
	if reason == 0 {
		reason = unmet(&v.Step, move.Guard, c.By)
	}
	if reason != 0 {
		return move, refuse(r, v, &Refusal{Reason: reason, Cause: c.Cause, Actor: c.By})
	}
	return move, nil
}

// standing returns where an operation meets the job that v shows.
func standing(v *store.View) operation.Standing {
	return operation.Standing{
		Type: v.Step.Type, State: v.Step.State, Job: v.Job.State,
		Behind: v.Step.ID != v.Job.Current, Sealed: v.Job.Sealed,
	}
}

var defaultLimits = DefaultLimits() // never changed; a variable, as one of a call would be allocated

// decide is Decide, of a command that has been checked and judged, into d, which the engine
// reuses. No deadline of v's step has passed, but for an Expire.
func decide(r *operation.Rules, v *store.View, c Command, move operation.Move, now step.Time, d *Decision) *Refusal {
	now = max(now, v.Job.Updated)
	switch c := c.(type) {
	case *Operate:
		return d.operate(r, v, c, move, now)
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

// unmet returns why a guard does not let a person pass, or 0 if it does.
func unmet(s *store.Step, g operation.Guard, actor string) operation.Reason {
	switch {
	case g == operation.SomeDue && s.Succeeded == s.Total:
		return operation.NothingToRetry
	case g == operation.Approver && s.Confirmers.IsSet() && (actor == "" || !s.Confirmers.Has(actor)):
		return operation.NotConfirmer
	}
	return 0
}

// staleness says in words in what way the caller looked at an older state, or "".
func staleness(v *store.View, ifAttempt int32, ifVersion store.Seq) string {
	switch {
	case ifVersion != 0 && ifVersion < v.Job.Moved:
		return fmt.Sprintf("decided on version %d, but the job moved in version %d", ifVersion, v.Job.Moved)
	case ifVersion > v.Job.Version:
		return fmt.Sprintf("version %d does not exist yet, the job is at version %d", ifVersion, v.Job.Version)
	case ifAttempt != 0 && ifAttempt != v.Step.Attempt:
		return fmt.Sprintf("meant for attempt %d, but it is attempt %d", ifAttempt, v.Step.Attempt)
	}
	return ""
}

// refuse completes a refusal with where the job stands and what would be legal.
func refuse(r *operation.Rules, v *store.View, refusal *Refusal) *Refusal {
	s := &v.Step
	if r.Enters(s.Type) == 0 && refusal.Reason > operation.Stale && refusal.Reason != operation.Sealed { // whatever the rules say of a cause
		refusal.Reason = operation.WrongType
		refusal.Detail = fmt.Sprintf("type %v is not declared in this engine's rules", s.Type)
	}
	refusal.Job, refusal.Step = v.Job.ID, s.ID
	refusal.Type, refusal.State, refusal.Attempt = s.Type, s.State, s.Attempt
	refusal.JobState, refusal.Current, refusal.Version = v.Job.State, v.Job.Current, v.Job.Version
	at := standing(v)
	refusal.Legal = r.Legal(at)
	for _, g := range [...]operation.Guard{operation.SomeDue, operation.Approver} {
		if unmet(s, g, refusal.Actor) != 0 {
			refusal.Legal = refusal.Legal.Minus(r.Guarded(at, g))
		}
	}
	if refusal.Cause != 0 {
		refusal.LegalFrom = r.From(s.Type, refusal.Cause)
	}
	return refusal
}

// replay answers a request that has been carried out with its record, if it
// is the same request.
func (d *Decision) replay(v *store.View, asked *Operate) *Refusal {
	done := v.Replay
	was := ""
	switch {
	case done.Cause.OfStep() && asked.Cause.OfStep() && done.Step != v.Step.ID:
		was = fmt.Sprintf("step %d", done.Step)
	case done.Cause != asked.Cause:
		was = done.Cause.String()
	case done.Actor != asked.By:
		was = fmt.Sprintf("person %q", done.Actor)
	case done.Reason != asked.Because:
		was = fmt.Sprintf("reason %q", done.Reason)
	default:
		d.Replay = done
		return nil
	}
	return &Refusal{
		Reason: operation.RequestReused, Job: v.Job.ID, Step: v.Step.ID, Cause: asked.Cause,
		Actor: asked.By, Detail: fmt.Sprintf("in version %d it was %s", done.Seq, was),
	}
}

func (d *Decision) report(r *operation.Rules, v *store.View, c *Report, now step.Time) *Refusal {
	s := &v.Step
	if done := v.Replay; done != nil { // only ever the engine's own, after an unknown outcome
		d.Report = ReportReceipt{Seq: done.Seq, State: done.To, JobState: done.JobTo, Accepted: int(done.Results)}
		return nil
	}
	rows, refusal := find(v, c)
	if refusal != nil {
		return refusal
	}
	if c.Attempt != s.Attempt {
		return tooLate(r, v, c)
	}
	after := *s
	told, targets := results(&after, v, c, rows)
	told.State, told.JobState = s.State, v.Job.State
	switch {
	case s.State.Finished() && repeats(r, s, c, told):
		d.Report = told
		return nil
	case !s.State.Active() || s.ID != v.Job.Current:
		return tooLate(r, v, c)
	}
	if _, ok := r.Move(s.Type, s.State, step.Stopped); !ok {
		return refuse(r, v, &Refusal{Reason: operation.WrongType}) // it waits for a person
	}
	event := c.Outcome
	if event == 0 && after.Unfinished == 0 {
		event = completion(&after)
	}
	d.Report = told
	if event == 0 {
		if len(targets) == 0 {
			return nil
		}
		event = step.Results
	}
	rec := d.begin(v, event, now)
	rec.Request, rec.Actor, rec.Reason = c.request, c.By, c.Reason
	d.Change.Steps[0], d.Change.Targets = after, targets
	if move, ok := r.Move(s.Type, s.State, event); ok {
		if refusal := d.move(r, v, move); refusal != nil {
			return refusal
		}
	}
	rec.Results = int32(len(targets))
	d.finish()
	d.Report.Seq, d.Report.State, d.Report.JobState = rec.Seq, d.Change.Steps[0].State, d.Change.Job.State
	return nil
}

func tooLate(r *operation.Rules, v *store.View, c *Report) *Refusal {
	return refuse(r, v, &Refusal{Reason: operation.Stale, Detail: fmt.Sprintf(
		"meant for attempt %d, but the step is %v in attempt %d", c.Attempt, v.Step.State, v.Step.Attempt)})
}

// find returns where v shows the target of each result of c, or the refusal of one that the
// step does not have.
func find(v *store.View, c *Report) ([]int, *Refusal) {
	shown := make(map[int32]int, len(v.Targets)) // target index -> position in v.Targets
	for i := range v.Targets {
		shown[v.Targets[i].Index] = i
	}
	rows := make([]int, len(c.Results))
	for i := range c.Results {
		at, ok := shown[c.Results[i].Target]
		if !ok {
			what := "the step has no target %d, only 0 to %d"
			if c.Results[i].Target < v.Step.Total {
				what = "the view lacks target %d of 0 to %d"
			}
			refusal := invalid(fmt.Sprintf("results[%d].target", i), what, c.Results[i].Target, v.Step.Total-1)
			refusal.Job, refusal.Step = v.Job.ID, v.Step.ID
			return nil, refusal
		}
		rows[i] = at
	}
	return rows, nil
}

// repeats reports whether c, of the last attempt of s, which is over, tells nothing new and
// something that was told before: the outcome that led to the state of s, a result that
// stands, or progress before it. A report of other results alone was never taken.
func repeats(r *operation.Rules, s *store.Step, c *Report, told ReportReceipt) bool {
	if told.Accepted > 0 || c.Outcome != 0 {
		return told.Accepted == 0 && leads(r, s, c.Outcome)
	}
	others := 0
	for _, x := range told.Rejected {
		if x.Rejected.Finished() {
			others++
		}
	}
	return others < len(c.Results)
}

// leads reports whether an outcome ends an attempt of s in the state that s is in.
func leads(r *operation.Rules, s *store.Step, outcome step.Cause) bool {
	for _, from := range [...]step.State{step.Running, step.Terminating} {
		if move, ok := r.Move(s.Type, from, outcome); ok && move.To == s.State {
			return true
		}
	}
	return false
}

// completion returns the event that the last finished target of s is.
func completion(s *store.Step) step.Cause {
	switch {
	case s.Succeeded == s.Total:
		return step.AllSucceeded
	case s.IgnoreErrors:
		return step.FailuresIgnored
	}
	return step.SomeFailed
}

// results applies the results of a report, in their order, to s and to the targets that v
// shows at rows, and returns the answer and the targets that changed. For one target and
// attempt the first finished result stands.
func results(s *store.Step, v *store.View, c *Report, rows []int) (told ReportReceipt, after []store.Target) {
	known := slices.Clone(v.Targets)
	changed := make([]bool, len(known))
	for i := range c.Results {
		result, t := &c.Results[i], &known[rows[i]]
		switch compare(s, t, result) {
		case isNew:
			finished := t.Attempt == s.Attempt && t.Status.Finished()
			if result.Status.Finished() && !finished {
				s.Unfinished--
			}
			t.Result, t.Attempt = result.Result, s.Attempt
			switch {
			case result.Status.Success():
				s.Succeeded++
				t.Success = s.Attempt
			case result.Status.Finished():
				t.Success = 0 // what it has done is undone: it counted no more, or it would not have run
			}
			told.Accepted++
			changed[rows[i]] = true
		case isKnown:
			told.Repeated++
		case contradicts:
			told.Rejected = append(told.Rejected, Rejection{Target: t.Index, Stands: t.Status, Rejected: result.Status})
		}
	}
	for i, t := range known {
		if changed[i] {
			after = append(after, t)
		}
	}
	return told, after
}

// news is how a result relates to what is known of its target.
type news uint8

const (
	isNew news = iota
	isKnown
	contradicts
)

// compare relates a result of the current attempt of s to what is known of t. A
// target goes from waiting to running to finished, and never back.
func compare(s *store.Step, t *store.Target, result *TargetResult) news {
	switch {
	case !s.Run.Due(*t) && t.Attempt < s.Attempt: // it succeeded earlier and does not run in this attempt
		if result.Status.Success() {
			return isKnown
		}
		return contradicts
	case t.Attempt < s.Attempt: // nothing is known of this attempt yet
		if result.Status == step.TargetWaiting {
			return isKnown
		}
		return isNew
	case t.Status == result.Status && t.ExitCode == result.ExitCode || t.Status.Success() && result.Status.Success():
		return isKnown
	case t.Status.Finished() || result.Status == step.TargetWaiting:
		return contradicts
	}
	return isNew
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
