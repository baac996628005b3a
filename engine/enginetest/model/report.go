package model

import (
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// An Answer is the outcome of an accepted report.
type Answer struct {
	Changed  bool // the report changed something
	Accepted int  // number of results that changed something
	Repeated int  // number of results that were known already
	Rejected int  // number of results that contradict known ones
}

// Report counts an executor's report on an attempt: its results, one after another, and then the
// outcome: step.Stopped, step.Broke, step.Dropped, or 0 to leave it to the targets. It returns
// whether the report changed anything, or the reason of a refusal: operation.Stale if the attempt
// is not under way. A refused report counts no result. A report on the last attempt of a step can
// be repeated once that is over, and changes nothing. Deadlines are as for Operate.
func (j *Job) Report(id step.ID, attempt int32, results []Result, outcome step.Cause, now step.Time) (changed bool, refused operation.Reason) {
	left := j.afterDeadline(now)
	if reason := left.admit(id, attempt, results, outcome); reason != 0 {
		return false, reason
	}
	after := left.Clone()
	answer, refused := after.report(id, attempt, results, outcome, now)
	if answer.Changed {
		*j = *after
	}
	return answer.Changed, refused
}

// Answer returns the answer that Report would have, by the number of results, and changes nothing.
func (j *Job) Answer(id step.ID, attempt int32, results []Result, outcome step.Cause, now step.Time) (Answer, operation.Reason) {
	return j.afterDeadline(now).Clone().report(id, attempt, results, outcome, now)
}

// report leaves j half changed if it refuses.
func (j *Job) report(id step.ID, attempt int32, results []Result, outcome step.Cause, now step.Time) (Answer, operation.Reason) {
	if reason := j.admit(id, attempt, results, outcome); reason != 0 {
		return Answer{}, reason
	}
	s := &j.Steps[id-1]
	if !underway(s.State) {
		return j.again(s, results, outcome)
	}
	var answer Answer
	counted := map[int32]bool{} // targets, and not results: the history counts rows
	for _, result := range results {
		t := &s.Runs[len(s.Runs)-1].Targets[result.Target]
		switch s.meet(result) {
		case accepted:
			*t = Target{Status: result.Status, ExitCode: result.ExitCode, Ran: attempt}
			answer.Accepted++
			counted[result.Target] = true
		case repeated:
			answer.Repeated++
		case rejected:
			answer.Rejected++
		}
	}
	event := outcome
	if event == 0 && s.Unfinished() == 0 {
		event = s.completion()
	}
	if event == 0 && answer.Accepted == 0 {
		return answer, 0
	}
	answer.Changed = true
	if move, leads := j.rules.Move(s.Spec.Type, s.State, event); leads {
		if reason := j.move(event, move, now); reason != 0 {
			return Answer{}, reason
		}
	} else {
		if event == 0 {
			event = step.Results
		}
		j.Last = Change{Step: id, Cause: event, From: s.State, To: s.State, JobFrom: j.State, JobTo: j.State, Attempt: attempt, Effect: NoEffect}
	}
	j.Last.Results = len(counted)
	return answer, 0
}

// admit returns the reason for which a report is refused whatever its results are, or 0.
func (j *Job) admit(id step.ID, attempt int32, results []Result, outcome step.Cause) operation.Reason {
	switch outcome {
	case 0, step.Stopped, step.Broke, step.Dropped:
	default:
		return operation.InvalidInput
	}
	if id < 1 || attempt < 1 || len(results) == 0 && outcome == 0 {
		return operation.InvalidInput
	}
	for _, result := range results {
		if result.Target < 0 || !slices.Contains(statuses, result.Status) {
			return operation.InvalidInput
		}
	}
	if int(id) > len(j.Steps) {
		return operation.NoSuchStep
	}
	s := &j.Steps[id-1]
	for _, result := range results {
		if int(result.Target) >= len(s.Spec.Targets) {
			return operation.InvalidInput
		}
	}
	if attempt != s.Attempt() || underway(s.State) && id != j.Current {
		return operation.Stale
	}
	if !underway(s.State) {
		_, reason := j.again(s, results, outcome)
		return reason
	}
	if _, reports := j.rules.Move(s.Spec.Type, s.State, step.Stopped); !reports {
		return operation.WrongType // it waits for a person
	}
	return 0
}

func underway(s step.State) bool {
	return s == step.Running || s == step.Waiting || s == step.Terminating
}

// again answers a report of the last attempt of s, which is over. The report is stale if a result
// is news, if the outcome does not end an attempt as s has ended, and if it has nothing but final
// results that never counted.
func (j *Job) again(s *Step, results []Result, outcome step.Cause) (Answer, operation.Reason) {
	var answer Answer
	said := false
	if outcome != 0 {
		ran, _ := j.rules.Move(s.Spec.Type, step.Running, outcome)
		stopped, _ := j.rules.Move(s.Spec.Type, step.Terminating, outcome)
		if said = s.State == ran.To || s.State == stopped.To; !said {
			return Answer{}, operation.Stale
		}
	}
	for _, result := range results {
		switch s.meet(result) {
		case accepted:
			return Answer{}, operation.Stale
		case repeated:
			answer.Repeated, said = answer.Repeated+1, true
		case rejected:
			answer.Rejected++
			said = said || result.Status == step.TargetWaiting || result.Status == step.TargetRunning
		}
	}
	if !said {
		return Answer{}, operation.Stale
	}
	return answer, 0
}

// completion returns the event of the last finished target of an attempt.
func (s *Step) completion() step.Cause {
	_, end := s.Window()
	failures, counted := s.failures()
	switch again := s.Mendable() && s.Automatic < int(s.Spec.Retry.Attempts); {
	case s.Before()+s.Succeeded() == end:
		return step.AllSucceeded
	case again && failures > 0:
		return step.FailedAgain
	case s.borne(counted):
		return step.FailuresIgnored
	default:
		return step.SomeFailed
	}
}

// A fate is the answer to one result.
type fate int

const (
	accepted fate = iota // it is news
	repeated             // it was known
	rejected             // it contradicts what is known
)

// meet returns the fate of a result of the current or last attempt, given its target's result so far.
// For one target and attempt the first finished result stands, and a target goes from waiting to
// running to finished and never back.
func (s *Step) meet(result Result) fate {
	first, end := s.Window()
	t := s.Runs[len(s.Runs)-1].Targets[result.Target]
	same := t.Status == result.Status && t.ExitCode == result.ExitCode
	aside := int(result.Target) < first || int(result.Target) >= end // it is of another batch
	switch {
	case aside || t.Status == step.SucceededEarlier && t.Ran < s.Attempt(): // it does not run in this attempt
		if s.LatestSuccess(int(result.Target)) > 0 && success(result.Status) {
			return repeated
		}
		return rejected
	case t.Status == step.TargetWaiting: // nothing was reported yet
		if result.Status == step.TargetWaiting {
			return repeated
		}
		return accepted
	case t.Status == step.TargetRunning:
		if same {
			return repeated
		}
		if result.Status == step.TargetWaiting {
			return rejected
		}
		return accepted
	default: // it has finished
		if same || success(t.Status) && success(result.Status) {
			return repeated
		}
		return rejected
	}
}
