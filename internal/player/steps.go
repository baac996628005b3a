package player

import (
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Shapes are the values of drawn steps.
type Shapes struct {
	Rules      *operation.Rules
	Targets    []string        // a step that runs has the first one or more
	Timeouts   []time.Duration // 0 for none
	Confirmers []string        // a step that asks has the first few, or no list
	Policies   Policies
}

// Policies are the values of drawn gates, retries, batches and deadlines.
type Policies struct {
	Often   int             // a step or a job has each of its policies once in n times; 0 is never
	Waits   []time.Duration // delays and back-offs
	Limits  []time.Duration // deadlines over all attempts, of a step or a job
	Windows []string        // names of windows
	Batches []string        // plans, each for any number of targets
}

// Steps draws definitions of n steps of any type.
func (s Shapes) Steps(d Dice, n int) []step.Spec {
	specs := make([]step.Spec, n)
	for i := range specs {
		spec := step.Spec{Name: "step", Type: Of(d, "type", s.Rules.Types()), Timeout: Of(d, "timeout", s.Timeouts)}
		runs := s.Rules.Enters(spec.Type) == step.Running
		if runs {
			spec.Targets = s.Targets[:1+d.Below(len(s.Targets), "targets")]
			spec.IgnoreErrors = OneIn(d, 4, "ignore errors")
		} else {
			if spec.Timeout > 0 {
				spec.OnTimeout = Of(d, "on timeout", []step.Decision{step.TerminateOnTimeout, step.ConfirmOnTimeout})
			}
			if n := d.Below(len(s.Confirmers)+1, "confirmers"); n > 0 {
				spec.Confirmers = s.Confirmers[:n]
			}
		}
		if s.Policies.Often > 0 {
			s.Policies.step(d, &spec, runs)
			if !opens(s.Rules, spec.Type) { // a stop would last for ever, and is refused
				spec.StopBefore, spec.Rolling.Between.Person = false, false
			}
		}
		specs[i] = spec
	}
	return specs
}

// opens reports whether an operation on a step of type t opens a gate.
func opens(r *operation.Rules, t step.Type) bool {
	for cause := range r.Causes().All() {
		if m, _ := r.Move(t, step.Gated, cause); m.Do == step.Open && cause.OfStep() {
			return true
		}
	}
	return false
}

// step draws the policies of a step, which runs or asks.
func (p Policies) step(d Dice, s *step.Spec, runs bool) {
	s.StopBefore = OneIn(d, p.Often, "stop before")
	if OneIn(d, p.Often, "delay") {
		s.Delay = Of(d, "delay", p.Waits)
	}
	if OneIn(d, p.Often, "window") {
		s.Window = Of(d, "window", p.Windows)
	}
	if OneIn(d, p.Often, "total timeout") {
		s.TotalTimeout = Of(d, "total timeout", p.Limits)
		if !runs && s.OnTimeout == 0 {
			s.OnTimeout = Of(d, "on timeout", []step.Decision{step.TerminateOnTimeout, step.ConfirmOnTimeout})
		}
	}
	if !runs {
		return
	}
	if OneIn(d, p.Often, "retry") {
		s.Retry.Attempts = int32(1 + d.Below(2, "further attempts"))
		if OneIn(d, 2, "back-off") {
			s.Retry.After = Of(d, "after", p.Waits)
			s.Retry.Most = s.Retry.After * time.Duration(d.Below(4, "most"))
		}
		if OneIn(d, 3, "except") {
			s.Retry.Except = []step.Status{step.NonZeroExit}
		}
	}
	if OneIn(d, p.Often, "rolling") {
		s.Rolling.Batches = Of(d, "batches", p.Batches)
		s.Rolling.Between.Person = OneIn(d, 3, "a person between")
		if OneIn(d, 2, "a time between") {
			s.Rolling.Between.Delay = Of(d, "between", p.Waits)
		}
	}
	if !s.IgnoreErrors && OneIn(d, p.Often, "tolerance") {
		s.Tolerate = Of(d, "tolerate", []step.Tolerance{{Count: 1}, {Percent: 50}, {Count: 2}, {Percent: 25}})
	}
}

// Job draws when a job that is created at a moment starts, and how long it may take; each is 0 for no
// limit.
func (p Policies) Job(d Dice, now step.Time) (startAt step.Time, timeout time.Duration) {
	if OneIn(d, p.Often, "start at") {
		startAt = now + step.Time(Of(d, "start", p.Waits)/time.Millisecond)
	}
	if OneIn(d, p.Often, "job timeout") {
		timeout = Of(d, "job timeout", p.Limits)
	}
	return startAt, timeout
}
