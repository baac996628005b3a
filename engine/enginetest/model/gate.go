package model

import (
	"slices"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A Gate is what a gated step waits for, and what it does then. The zero Gate is none.
type Gate struct {
	Reason step.GateReason // a person, a time, the end of a hold, a window or a turn
	Then   step.Do         // what opening does
	Until  step.Time       // the moment that opens it; 0 for none

	// Earliest is the earliest moment that Until may be. It differs from Until for the back-off of
	// a retry, which is shortened at random: see [Job.Drawn].
	Earliest step.Time
}

// Drawn tells the model the random moment at which the gate of the current step opens. It reports
// whether that may be; if not, nothing changes.
func (j *Job) Drawn(until step.Time) bool {
	for _, g := range []*Gate{&j.Steps[j.Current-1].Gate, &j.Last.Gate} {
		if g.Reason != step.TimeGate || until < g.Earliest || until > g.Until {
			return false
		}
	}
	for _, g := range []*Gate{&j.Steps[j.Current-1].Gate, &j.Last.Gate} {
		g.Until, g.Earliest = until, until
	}
	return true
}

// A Policy says when a job starts and how long it may take.
type Policy struct {
	StartAt step.Time     // before which the first step does not begin; 0 for no wait
	Timeout time.Duration // from the first attempt of the job; 0 means none
}

// gate returns the gate that is in the way of an attempt of the current step, or the zero Gate. It
// looks at the reasons in their order. Those up to opened are behind; but a hold is looked at again.
func (j *Job) gate(then step.Do, opened step.GateReason, cause step.Cause, now step.Time) Gate {
	s := &j.Steps[j.Current-1]
	first := len(s.Runs) == 0
	next := then == step.RunNext && !first
	for _, reason := range []step.GateReason{step.PersonGate, step.TimeGate, step.HoldGate, step.WindowGate} {
		if reason <= opened && reason != step.HoldGate {
			continue
		}
		g := Gate{Reason: reason, Then: then}
		switch reason {
		case step.PersonGate:
			if first && s.StopBefore || next && s.Spec.Rolling.Between.Person {
				return g
			}
		case step.TimeGate:
			for _, moment := range j.moments(then, cause, now) {
				if moment.Until > g.Until {
					g.Until, g.Earliest = moment.Until, moment.Earliest
				}
			}
			if g.Until > now {
				return g
			}
		case step.HoldGate:
			if j.Held {
				return g
			}
		case step.WindowGate:
			if s.Spec.Window != "" {
				g.Until, g.Earliest = now, now // it is asked at once
				return g
			}
		}
	}
	return Gate{} // a turn would be looked at here
}

// moments returns every moment that an attempt of the current step waits for.
func (j *Job) moments(then step.Do, cause step.Cause, now step.Time) (all []Gate) {
	s := &j.Steps[j.Current-1]
	if len(s.Runs) == 0 {
		if j.Current == 1 {
			all = append(all, Gate{Until: j.Policy.StartAt, Earliest: j.Policy.StartAt})
		}
		all = append(all, Gate{Until: after(now, s.Spec.Delay), Earliest: after(now, s.Spec.Delay)})
	} else if then == step.RunNext {
		until := after(now, s.Spec.Rolling.Between.Delay)
		all = append(all, Gate{Until: until, Earliest: until})
	}
	if cause == step.FailedAgain && then == step.RunDue {
		longest := s.backOff()
		shortest := longest - longest/4
		if shortest < longest {
			shortest += time.Nanosecond // less than a quarter is taken off
		}
		all = append(all, Gate{Until: after(now, longest), Earliest: after(now, shortest)})
	}
	return all
}

// backOff returns the longest time before the automatic attempt that is due.
func (s *Step) backOff() time.Duration {
	wait, most := s.Spec.Retry.After, s.Spec.Retry.Most
	if most == 0 {
		most = wait
	}
	for range s.Automatic - 1 {
		if wait > most/2 {
			return most
		}
		wait += wait
	}
	return min(wait, most)
}

// shut makes the current step wait at a gate.
func (j *Job) shut(change *Change, g Gate, now step.Time) {
	s := &j.Steps[j.Current-1]
	s.rest(now)
	s.State, s.Gate = step.Gated, g
	j.State, j.Finished = step.Gated, 0
	change.Gate = g
}

// open applies the moment of the current step's gate. window is the answer about a window: the moment
// from which the step may begin, 0 without an answer.
func (j *Job) open(window, now step.Time) operation.Reason {
	s := &j.Steps[j.Current-1]
	closed := s.Spec.Window != "" && (s.Gate.Reason == step.WindowGate || s.Gate.Reason == step.TurnGate) && (window == 0 || window > now)
	move, leads := j.rules.Move(s.Spec.Type, s.State, step.Opened)
	switch {
	case !leads:
		return j.illegal(s)
	case closed && window == 0:
		return operation.InvalidInput
	case !closed:
		return j.move(step.Opened, move, now)
	}
	change := Change{Step: j.Current, Cause: step.Opened, From: s.State, JobFrom: j.State, Effect: NoEffect}
	j.shut(&change, Gate{Reason: step.WindowGate, Then: s.Gate.Then, Until: window, Earliest: window}, now)
	change.To, change.JobTo, change.Attempt = s.State, j.State, s.Attempt()
	j.Last = change
	return 0
}

// Due returns the first moment that moves the current step: of its attempt, the step, the job or its
// gate; 0 for none.
func (j *Job) Due() step.Time {
	s := &j.Steps[j.Current-1]
	if !underway(s.State) && s.State != step.Gated {
		return 0
	}
	moments := []step.Time{s.Deadline(), s.Expires, s.Gate.Until}
	if s.State != step.Terminating {
		moments = append(moments, j.Deadline)
	}
	moments = slices.DeleteFunc(moments, func(t step.Time) bool { return t == 0 })
	if len(moments) == 0 {
		return 0
	}
	return slices.Min(moments)
}

// Deadline returns the deadline of the attempt that is under way; 0 for none.
func (s *Step) Deadline() step.Time {
	if len(s.Runs) == 0 {
		return 0
	}
	return s.Runs[len(s.Runs)-1].Deadline
}
