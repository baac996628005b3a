package model

import (
	"slices"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Operate does what a person asks for on a step, or returns why not: the first reason that
// applies, in the order of the operation.Reason constants. 0 means that it was accepted. A
// deadline that has passed at now is applied first; if the operation is refused, it is not.
func (j *Job) Operate(id step.ID, code operation.Code, person string, now step.Time) operation.Reason {
	after := j.afterDeadline(now)
	reason := after.operate(id, code, person, now)
	if reason == 0 {
		*j = *after
	}
	return reason
}

// afterDeadline returns j, or a copy on which the deadline that has passed at now is applied.
func (j *Job) afterDeadline(now step.Time) *Job {
	s := &j.Steps[j.Current-1]
	if len(s.Runs) == 0 {
		return j
	}
	if deadline := s.Runs[len(s.Runs)-1].Deadline; deadline == 0 || deadline > now {
		return j
	}
	after := j.Clone()
	if after.Expire(j.Current, s.Attempt(), now) != 0 {
		return j
	}
	return after
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
	case id != j.Current:
		return operation.NotCurrent
	case !legal:
		return operation.WrongState
	}
	if reason := unmet(s, move.Guard, person); reason != 0 {
		return reason
	}
	return j.move(cause, move, now)
}

// unmet returns why a guard does not let a person pass, or 0.
func unmet(s *Step, guard operation.Guard, person string) operation.Reason {
	switch {
	case guard == operation.SomeDue && s.Succeeded() == len(s.Spec.Targets):
		return operation.NothingToRetry
	case guard == operation.Approver && s.Spec.Confirmers != nil && !slices.Contains(s.Spec.Confirmers, person):
		return operation.NotConfirmer
	}
	return 0
}

// OperateJob does what a person asks for on the job, or returns why not. Deadlines are as for
// Operate.
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
	if j.Sealed {
		return operation.Sealed
	}
	s := &j.Steps[j.Current-1]
	move, legal := j.rules.Move(s.Spec.Type, s.State, cause)
	if !legal {
		move.Do, legal = j.rules.OnWhole(j.State, cause)
	}
	if !legal {
		return j.illegal(s)
	}
	if reason := unmet(s, move.Guard, person); reason != 0 {
		return reason
	}
	return j.move(cause, move, now)
}

// OperateEffect does what a person asks for on an effect that waits, of a step and an attempt, or
// returns why not. To give up the run of the attempt that is under way is to report that it broke;
// anything else moves nothing. Deadlines are as for Operate.
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

// Expire applies the deadline of an attempt, or returns why not: operation.Stale if the
// attempt is not the current one, or its deadline has not passed at now.
func (j *Job) Expire(id step.ID, attempt int32, now step.Time) operation.Reason {
	if id < 1 || int(id) > len(j.Steps) {
		return operation.NoSuchStep
	}
	s := &j.Steps[id-1]
	if id != j.Current || len(s.Runs) == 0 || attempt != s.Attempt() {
		return operation.Stale
	}
	if deadline := s.Runs[len(s.Runs)-1].Deadline; deadline == 0 || deadline > now {
		return operation.Stale
	}
	event := step.Expired
	if s.State == step.Waiting && s.Spec.OnTimeout == step.ConfirmOnTimeout {
		event = step.ExpiredConfirmed
	}
	move, leads := j.rules.Move(s.Spec.Type, s.State, event)
	if !leads {
		return j.illegal(s)
	}
	return j.move(event, move, now)
}

// illegal returns why nothing leads out of the state of a step.
func (j *Job) illegal(s *Step) operation.Reason {
	if j.rules.Enters(s.Spec.Type) == 0 {
		return operation.WrongType // which the rules do not know
	}
	return operation.WrongState
}

// move does what a cause does: to the current step, and to the job with it.
func (j *Job) move(cause step.Cause, m operation.Move, now step.Time) operation.Reason {
	s := &j.Steps[j.Current-1]
	change := Change{Step: j.Current, Cause: cause, From: s.State, JobFrom: j.State}

	switch m.Do {
	case step.Enter, step.RunAll, step.Ask:
		j.begin(&change, m.To, false, now)
	case step.RunDue:
		j.begin(&change, m.To, true, now)

	case step.Vote:
		if s.Votes > 1 { // it was not the last one
			s.Votes--
			break
		}
		s.Votes = 0
		if reason := j.pass(&change, m.To, now); reason != 0 {
			return reason
		}
	case step.Accept, step.Pass:
		if reason := j.pass(&change, m.To, now); reason != 0 {
			return reason
		}

	case step.Stop:
		s.State = step.Terminating
		j.State = step.Terminating
		change.Effect = StopAttempt

	case step.End:
		s.end(m.To, now)
		j.State = m.To
		j.Finished = now
		change.Effect = JobEnded

	case step.Seal:
		j.Sealed = true
	}

	change.To, change.JobTo, change.Attempt = s.State, j.State, s.Attempt()
	if change.Effect == "" {
		change.Effect = NoEffect
	}
	j.Last = change
	return 0
}

// begin begins the next attempt of the current step.
func (j *Job) begin(change *Change, to step.State, dueOnly bool, now step.Time) {
	change.start(&j.Steps[j.Current-1], to, dueOnly, now)
	j.State = to
	j.Finished = 0
	if j.Started == 0 {
		j.Started = now
	}
}

// pass leaves the current step for the next one, or for the end of the job, or returns why the
// next step cannot start.
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
	}
	if last {
		j.State = step.Succeeded
		j.Finished = now
		change.Effect = JobEnded
		return 0
	}
	j.Current++
	if j.Started == 0 {
		j.Started = now
	}
	next := &j.Steps[j.Current-1]
	change.Entered = j.Current
	change.start(next, j.rules.Enters(next.Spec.Type), false, now)
	j.State = next.State
	j.Finished = 0
	return 0
}

// start begins the next attempt of a step. With dueOnly, the targets that have succeeded
// do not run again.
func (c *Change) start(s *Step, to step.State, dueOnly bool, now step.Time) {
	run := Run{All: !dueOnly || len(s.Runs) == 0, Started: now}
	if s.Spec.Timeout > 0 {
		run.Deadline = after(now, s.Spec.Timeout)
	}
	for i := range s.Spec.Targets {
		t := Target{Status: step.TargetWaiting}
		if dueOnly && len(s.Runs) > 0 {
			if before := s.Runs[len(s.Runs)-1].Targets[i]; success(before.Status) {
				t = before
				t.Status = step.SucceededEarlier
			}
		}
		if t.Status == step.TargetWaiting {
			c.Targets++
		}
		run.Targets = append(run.Targets, t)
	}
	if len(s.Runs) > 0 {
		s.end(s.State, now) // of an attempt that was under way
	}
	s.Runs = append(s.Runs, run)
	s.State, s.Votes = to, 0
	c.All = run.All
	c.Effect = RunTargets
	if to == step.Waiting {
		c.Effect = AskConfirmers
	}
}

// end takes a step to a state in which no attempt is under way.
func (s *Step) end(to step.State, now step.Time) {
	s.State = to
	if len(s.Runs) == 0 && s.Ended == 0 {
		s.Ended = now
	}
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
