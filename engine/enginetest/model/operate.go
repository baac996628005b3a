package model

import (
	"slices"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Operate carries out a person's operation on a step and returns 0, or refuses it and returns the
// first reason that applies, in the order of the operation.Reason constants. It first applies a
// deadline that has passed at now, unless it refuses the operation.
func (j *Job) Operate(id step.ID, code operation.Code, person string, now step.Time) operation.Reason {
	after := j.afterDeadline(now)
	reason := after.operate(id, code, person, now)
	if reason == 0 {
		*j = *after
	}
	return reason
}

// afterDeadline returns j, or a copy on which the first deadline that has passed at now is applied: of
// the job, of the step, or of the attempt.
func (j *Job) afterDeadline(now step.Time) *Job {
	event := j.passed(now)
	if event == 0 {
		return j
	}
	after := j.Clone()
	if after.expire(event, now) != 0 {
		return j
	}
	return after
}

// Overdue reports whether a deadline has passed at now that ends what the job's current step is about.
func (j *Job) Overdue(now step.Time) bool { return j.passed(now) != 0 }

// passed returns the event of a deadline that has passed, or 0. Of several, that of the job comes first,
// unless the step was told to stop.
func (j *Job) passed(now step.Time) step.Cause {
	s := &j.Steps[j.Current-1]
	over := func(moment step.Time) bool { return moment != 0 && moment <= now }
	switch {
	case !underway(s.State) && s.State != step.Gated:
		return 0
	case over(j.Deadline) && s.State != step.Terminating:
		return step.JobExpired
	case !over(s.Expires) && !over(s.Deadline()):
		return 0
	case j.rules.Enters(s.Spec.Type) == step.Waiting && s.State != step.Terminating && s.Spec.OnTimeout == step.ConfirmOnTimeout:
		return step.ExpiredConfirmed
	}
	return step.Expired
}

// expire applies the event of a deadline.
func (j *Job) expire(event step.Cause, now step.Time) operation.Reason {
	s := &j.Steps[j.Current-1]
	move, leads := j.rules.Move(s.Spec.Type, s.State, event)
	if !leads {
		return j.illegal(s)
	}
	if event == step.JobExpired {
		j.Deadline = 0
	}
	return j.move(event, move, now)
}

func (j *Job) operate(id step.ID, code operation.Code, person string, now step.Time) operation.Reason {
	cause := code.Cause()
	switch {
	case cause == 0 || !j.rules.Known(cause), id < 1:
		return operation.InvalidInput
	case int(id) > len(j.Steps):
		return operation.NoSuchStep
	}
	s := &j.Steps[id-1]
	move, legal := j.rules.Move(s.Spec.Type, s.State, cause)
	switch {
	case j.Sealed:
		return operation.Sealed
	case !j.rules.Applies(s.Spec.Type, cause):
		return operation.WrongType
	case id != j.Current && !j.rules.Marks(s.Spec.Type, cause):
		return operation.NotCurrent
	case !legal:
		return operation.WrongState
	}
	if reason := j.unmet(s, move.Guard, person); reason != 0 {
		return reason
	}
	if move.Do == step.Mark || move.Do == step.Unmark { // of any step
		s.StopBefore = move.Do == step.Mark
		j.Last = Change{Step: id, Cause: cause, From: s.State, To: s.State, JobFrom: j.State, JobTo: j.State, Attempt: s.Attempt(), Effect: NoEffect}
		return 0
	}
	return j.move(cause, move, now)
}

// unmet returns the reason for which a guard refuses a person, or 0.
func (j *Job) unmet(s *Step, guard operation.Guard, person string) operation.Reason {
	first, end := s.Window()
	switch {
	case guard == operation.SomeDue && s.Succeeded() == end-first:
		return operation.NothingToRetry
	case guard == operation.Approver && s.Spec.Confirmers != nil && !slices.Contains(s.Spec.Confirmers, person):
		return operation.NotConfirmer
	case guard == operation.Waivable && s.Gate.Reason == step.TurnGate:
		return operation.NoTurn
	case guard == operation.Waivable && !slices.Contains([]step.GateReason{step.PersonGate, step.TimeGate, step.WindowGate}, s.Gate.Reason),
		guard == operation.Unheld && j.Held:
		return operation.OnHold
	case guard == operation.GatedByHold && s.Gate.Reason != step.HoldGate, guard == operation.Held && !j.Held:
		return operation.NotHeld
	case guard == operation.BatchLeft && !s.batchLeft():
		return operation.NoBatchLeft
	case guard == operation.Marked && !s.StopBefore:
		return operation.NoStop
	case guard == operation.Unmarked && s.StopBefore:
		return operation.StopSet
	case guard == operation.Unfinal && !j.goesOn(s):
		return operation.Final
	}
	return 0
}

// goesOn reports whether an operation moves a step of an ended job, whoever asks.
func (j *Job) goesOn(s *Step) bool {
	for cause := range j.rules.has {
		move, legal := j.rules.Move(s.Spec.Type, s.State, cause)
		if !legal || slices.Contains(events, cause) || move.Do == step.Mark || move.Do == step.Unmark {
			continue
		}
		if reason := j.unmet(s, move.Guard, ""); reason == 0 || reason == operation.NotConfirmer {
			return true
		}
	}
	return false
}

// OperateJob carries out a person's operation on the job and returns 0, or returns the reason of a
// refusal. Deadlines are as for Operate.
func (j *Job) OperateJob(code operation.JobCode, person string, now step.Time) operation.Reason {
	after := j.afterDeadline(now)
	reason := after.operateJob(code, person, now)
	if reason == 0 {
		*j = *after
	}
	return reason
}

func (j *Job) operateJob(code operation.JobCode, person string, now step.Time) operation.Reason {
	cause := code.Cause()
	if cause == 0 || !slices.Contains(jobCodes, cause) && !j.rules.Known(cause) {
		return operation.InvalidInput
	}
	s := &j.Steps[j.Current-1]
	move, onStep := j.rules.Move(s.Spec.Type, s.State, cause)
	whole, onWhole := j.rules.OnWhole(j.State, cause)
	reason := operation.Reason(0)
	switch {
	case j.Sealed && (onStep || !onWhole || whole.Do != step.Note):
		return operation.Sealed
	case onStep:
		if reason = j.unmet(s, move.Guard, person); reason != 0 && onWhole && j.unmet(s, whole.Guard, person) == 0 {
			move, reason = whole, 0
		}
	case onWhole:
		move, reason = whole, j.unmet(s, whole.Guard, person)
	default:
		reason = j.illegal(s)
	}
	if reason != 0 {
		return reason
	}
	return j.move(cause, move, now)
}

// OperateEffect carries out a person's request about an unsettled effect of an attempt and returns
// 0, or returns the reason of a refusal. Giving up the run of the attempt that is under way equals a
// report that it broke; any other request moves no state. Deadlines are as for Operate.
func (j *Job) OperateEffect(cause step.Cause, effect Effect, id step.ID, attempt int32, now step.Time) operation.Reason {
	if !slices.Contains(effectCauses, cause) {
		return operation.InvalidInput
	}
	after := j.afterDeadline(now)
	s := &after.Steps[after.Current-1]
	reason := operation.Reason(0)
	if cause == step.GivenUp && effect == RunTargets && id == after.Current && attempt == s.Attempt() && underway(s.State) {
		move, leads := after.rules.Move(s.Spec.Type, s.State, step.Broke)
		if !leads {
			return operation.WrongType // whose rules are not known
		}
		reason = after.move(step.Broke, move, now)
	} else {
		after.Last = Change{Step: after.Current, Cause: cause, From: s.State, To: s.State, JobFrom: after.State, JobTo: after.State, Attempt: s.Attempt(), Effect: NoEffect}
	}
	if reason == 0 {
		*j = *after
	}
	return reason
}

// Expire applies the first moment that has come at now, of a deadline or of a gate, and returns 0. It
// returns operation.Stale if none has come, or the attempt is not the current or last one of the
// current step. window is the answer about the step's window, if its gate asks: the moment from which
// it may begin; without an answer, 0, the opening is refused as operation.InvalidInput.
func (j *Job) Expire(id step.ID, attempt int32, window, now step.Time) operation.Reason {
	if id < 1 || int(id) > len(j.Steps) {
		return operation.NoSuchStep
	}
	s := &j.Steps[id-1]
	if id != j.Current || attempt != s.Attempt() {
		return operation.Stale
	}
	if event := j.passed(now); event != 0 {
		return j.expire(event, now)
	}
	if s.State != step.Gated || s.Gate.Until == 0 || s.Gate.Until > now {
		return operation.Stale
	}
	return j.open(window, now)
}

// illegal returns the reason of a refusal for an operation without a move from the state of a step.
func (j *Job) illegal(s *Step) operation.Reason {
	if j.rules.Enters(s.Spec.Type) == 0 {
		return operation.WrongType // which the rules do not know
	}
	return operation.WrongState
}

// move carries out the move of a cause on the current step, and on the job with it.
func (j *Job) move(cause step.Cause, m operation.Move, now step.Time) operation.Reason {
	s := &j.Steps[j.Current-1]
	was := s.Gate
	change := Change{Step: j.Current, Cause: cause, From: s.State, JobFrom: j.State}
	noted, reason := j.do(&change, m, was, now)
	if reason != 0 {
		return reason
	}
	if !noted {
		s.note(change.From, was)
	}
	change.To, change.JobTo, change.Attempt = s.State, j.State, s.Attempt()
	if change.Effect == "" {
		change.Effect = NoEffect
	}
	j.Last = change
	return 0
}

// do is the consequence of a move of the current step, whose gate was was. It reports whether it has
// noted how the batch ended.
func (j *Job) do(change *Change, m operation.Move, was Gate, now step.Time) (noted bool, reason operation.Reason) {
	s := &j.Steps[j.Current-1]
	switch m.Do {
	case step.Enter, step.RunAll, step.Ask, step.RunDue:
		s.Automatic++
		if !slices.Contains(events, change.Cause) { // a person's
			s.Automatic = 0
		}
		j.ready(change, m.Do, 0, now)
	case step.RunNext: // a person's word, which is what the batch waits for
		s.accept()
		j.ready(change, m.Do, step.TimeGate, now)
	case step.Open:
		if onJob(change.Cause) { // a resume
			j.Held = false
		}
		j.ready(change, was.Then, was.Reason, now)

	case step.Vote:
		if s.Votes > 1 { // it was not the last one
			s.Votes--
			return false, 0
		}
		s.Votes = 0
		return false, j.pass(change, m.To, now)
	case step.Accept:
		if slices.Contains(codes, change.Cause) || change.Cause >= firstCustom && change.Cause <= lastCustom {
			s.accept()
		}
		if len(s.Ends) > 0 {
			s.Ends[len(s.Ends)-1] = m.To
		}
		if s.batchLeft() {
			s.rest(now)
			j.ready(change, step.RunNext, 0, now)
			return true, 0
		}
		return true, j.pass(change, m.To, now)
	case step.Pass:
		return false, j.pass(change, m.To, now)
	}
	return false, j.doNoMore(change, m, was, now)
}

// doNoMore is do for what neither begins nor passes a step.
func (j *Job) doNoMore(change *Change, m operation.Move, was Gate, now step.Time) operation.Reason {
	s := &j.Steps[j.Current-1]
	switch m.Do {
	case step.Stop:
		s.State = step.Terminating
		j.State = step.Terminating
		change.Effect = StopAttempt

	case step.End:
		s.end(m.To, now)
		j.State = m.To
		j.Finished = now
		change.Effect = JobEnded

	case step.Hold:
		j.Held = true
		if was.Reason == step.TurnGate { // it loses its place
			j.shut(change, Gate{Reason: step.HoldGate, Then: was.Then}, now)
		}
	case step.Release:
		if was.Reason == step.HoldGate { // a row of its type would have opened the gate
			return operation.WrongType
		}
		j.Held = false
	case step.Seal:
		j.Sealed = true
	}
	return 0
}

// ready begins an attempt of the current step, unless a gate is in the way.
func (j *Job) ready(change *Change, then step.Do, opened step.GateReason, now step.Time) {
	if (!underway(j.State) && j.State != step.Gated && j.State != step.Pending || j.State == step.Terminating) && j.Deadline <= now {
		j.Deadline = 0 // it passed while the job had ended, or was told to stop
	}
	if g := j.gate(then, opened, change.Cause, now); g.Reason != 0 {
		j.shut(change, g, now)
		return
	}
	s := &j.Steps[j.Current-1]
	change.start(s, j.rules.Enters(s.Spec.Type), then, now)
	j.State = s.State
	j.Finished = 0
	if j.Started == 0 {
		j.Started = now
		if j.Policy.Timeout > 0 {
			j.Deadline = after(now, j.Policy.Timeout)
		}
	}
}

// pass leaves the current step for the next one, or for the end of the job. If the next step cannot
// start, it returns the reason.
func (j *Job) pass(change *Change, to step.State, now step.Time) operation.Reason {
	last := int(j.Current) == len(j.Steps)
	if !last && j.rules.Enters(j.Steps[j.Current].Spec.Type) == 0 {
		return operation.WrongType
	}
	j.Steps[j.Current-1].end(to, now)
	if to == step.Skipped {
		j.Skipped++
	}
	if to == step.ErrorIgnored {
		j.Ignored++
		if s := &j.Steps[j.Current-1]; slices.Contains(events, change.Cause) && s.Accepted() == 0 {
			j.Tolerated++
		}
	}
	if last {
		j.State = step.Succeeded
		j.Finished = now
		change.Effect = JobEnded
		return 0
	}
	j.Current++
	change.Entered = j.Current
	j.ready(change, step.Enter, 0, now)
	return 0
}

// start begins the next attempt of a step, as then says: on the next batch, on the targets that have not
// succeeded, or on all of the batch.
func (c *Change) start(s *Step, to step.State, then step.Do, now step.Time) {
	var last Run
	if len(s.Runs) > 0 {
		last = s.Runs[len(s.Runs)-1]
	}
	dueOnly := then == step.RunDue && len(s.Runs) > 0
	run := Run{All: !dueOnly, Batch: last.Batch, Started: now}
	run.First, run.End = s.Window()
	if plan := s.plan(); len(plan) > 0 && (then == step.RunNext || len(s.Runs) == 0) {
		run.First, run.End = last.End, plan[last.Batch]
		run.Batch++
		s.Ends = append(s.Ends, to)
		s.Automatic = 0
	}
	if s.Spec.Timeout > 0 {
		run.Deadline = after(now, s.Spec.Timeout)
	}
	if s.Spec.TotalTimeout > 0 && s.Expires == 0 {
		s.Expires = after(now, s.Spec.TotalTimeout)
	}
	for i := range s.Spec.Targets {
		t, before := Target{Status: step.TargetWaiting}, Target{Status: step.TargetWaiting}
		if len(s.Runs) > 0 {
			before = last.Targets[i]
		}
		switch {
		case i < run.First || i >= run.End:
			t = before
		case dueOnly && success(before.Status):
			t = before
			t.Status = step.SucceededEarlier
		default:
			c.Targets++
		}
		run.Targets = append(run.Targets, t)
	}
	s.rest(now)
	s.Runs = append(s.Runs, run)
	s.State, s.Gate, s.Votes = to, Gate{}, 0
	if len(s.Ends) > 0 {
		s.Ends[len(s.Ends)-1] = to
	}
	c.All = run.All
	c.Effect = RunTargets
	if to == step.Waiting {
		c.Effect = AskConfirmers
	}
}

// end takes a step to a state in which it is no longer under way.
func (s *Step) end(to step.State, now step.Time) {
	s.rest(now)
	s.State, s.Gate, s.Expires = to, Gate{}, 0
}

// rest ends the attempt that is under way, if there is one.
func (s *Step) rest(now step.Time) {
	if len(s.Runs) > 0 {
		run := &s.Runs[len(s.Runs)-1]
		run.Deadline = 0
		if run.Finished == 0 {
			run.Finished = now
		}
	}
}

// after returns the moment that lies d after t. A part of a millisecond counts as a whole
// one; the end of time is not passed.
func after(t step.Time, d time.Duration) step.Time {
	ms := step.Time(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	const end step.Time = 1<<63 - 1
	if t > end-ms {
		return end
	}
	return t + ms
}
