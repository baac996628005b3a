package enginetest

import (
	"fmt"
	"iter"
	"time"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A situation is a job of one or two steps whose step 1 is put into some state: as the model
// has it, and as a view of the engine.
type situation struct {
	step.Type
	step.State
	text string // what else there is to say of it
	job  *model.Job
	view store.View
	now  step.Time
	all  bool // look at every operation, known or not: in one situation of each state
}

// The progress of a step in a situation: the status of each target in each attempt. The
// second attempt is the current or last one.
var progresses = []struct {
	text         string
	ignoreErrors bool
	runs         [][]step.Status
}{
	{", 1 of 2 targets has succeeded", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.SucceededEarlier, step.TargetWaiting}}},
	{", 1 of 2 targets has succeeded, errors are ignored", true, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.SucceededEarlier, step.TargetWaiting}}},
	{", run again on all targets", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.TargetRunning, step.TargetWaiting}}},
	{", 1 of 2 targets has failed", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.NonZeroExit, step.TargetRunning}}},
	{", all targets have succeeded", false, [][]step.Status{{step.TargetSucceeded, step.TargetFailed}, {step.SucceededEarlier, step.TargetSucceeded}}},
}

// The definitions of a step that asks.
var questions = []struct {
	text       string
	confirmers []string
	onTimeout  step.Decision
}{
	{", ann confirms", []string{"ann"}, step.TerminateOnTimeout},
	{", every person confirms, and so does the deadline", nil, step.ConfirmOnTimeout},
}

// situations yields all situations of a step of type t in state s.
func (c *rulesCheck) situations(t step.Type, s step.State) iter.Seq[*situation] {
	return func(yield func(*situation) bool) {
		if c.expect.Enters(t) == step.Waiting {
			for i, q := range questions {
				spec := step.Spec{Name: "step", Type: t, Timeout: 10 * time.Second, Confirmers: q.confirmers, OnTimeout: q.onTimeout}
				if !c.followed(t, s, q.text, spec, [][]step.Status{{}, {}}, i == 0, yield) {
					return
				}
			}
			return
		}
		for i, p := range progresses {
			spec := step.Spec{Name: "step", Type: t, Timeout: 10 * time.Second, Targets: []string{"a", "b"}, IgnoreErrors: p.ignoreErrors}
			if !c.followed(t, s, p.text, spec, p.runs, i == 0, yield) {
				return
			}
		}
	}
}

// followed yields a situation with each type of step after the one in question, the first
// one also without, and with the step after it being the current one.
func (c *rulesCheck) followed(t step.Type, s step.State, text string, spec step.Spec, runs [][]step.Status, first bool, yield func(*situation) bool) bool {
	if s == step.Pending {
		text, runs = "", nil
	}
	forge := func(text string, specs ...step.Spec) *situation {
		return &situation{Type: t, State: s, text: text, now: inTime, job: model.Forge(c.expect, specs, 1, s, runs...)}
	}
	last := forge(text+", the last step", spec)
	last.all = first
	if !yield(last.show()) {
		return false
	}
	for missing := 1; first && s == step.Waiting && missing <= 2; missing++ {
		votes := forge(fmt.Sprintf("%s, votes missing: %d", text, missing), spec)
		votes.job.Steps[0].Votes = missing
		if !yield(votes.show()) {
			return false
		}
	}
	if first && last.job.Finished != 0 {
		sealed := forge(text+", sealed", spec)
		sealed.job.Sealed = true
		if !yield(sealed.show()) {
			return false
		}
	}
	for i, next := range c.nexts() {
		if !first && i > 1 {
			break // where a step leads does not depend on both
		}
		after := step.Spec{Name: "next", Type: next, Targets: []string{"a", "b", "c"}, Timeout: time.Second}
		if c.expect.Enters(next) == step.Waiting {
			after.Targets = nil
		}
		if !yield(forge(fmt.Sprintf("%s, before a %v step", text, next), spec, after).show()) {
			return false
		}
		if first && i == 0 {
			other := forge(text+", not the current step", spec, after)
			other.job.Current = 2
			sealed := forge(text+", sealed, not the current step", spec, after)
			sealed.job.Current, sealed.job.Sealed = 2, true
			if !yield(other.show()) || !yield(sealed.show()) {
				return false
			}
		}
	}
	return true
}

// nexts returns the types of steps that may follow: one that runs and one that asks, if there
// are such types, the other types, and one that nobody has declared.
func (c *rulesCheck) nexts() []step.Type {
	var runs, asks, others []step.Type
	for _, t := range c.types {
		switch enters := c.expect.Enters(t); {
		case c.rules.Enters(t) != enters:
		case enters == step.Running && len(runs) == 0:
			runs = append(runs, t)
		case enters == step.Waiting && len(asks) == 0:
			asks = append(asks, t)
		default:
			others = append(others, t)
		}
	}
	return append(append(append(runs, asks...), others...), c.undeclared()...)
}

// undeclared returns a type that nobody has declared, if there is one left.
func (c *rulesCheck) undeclared() []step.Type {
	for t := step.Type(63); t >= 32; t-- {
		if c.rules.Enters(t) == 0 && c.expect.Enters(t) == 0 {
			return []step.Type{t}
		}
	}
	return nil
}

// show completes s with the view of its job.
func (s *situation) show() *situation {
	s.view.Job = store.Job{ID: 7, Name: "job", Version: 9, Moved: 9, Created: 1, Steps: int32(len(s.job.Steps))}
	s.view.Step = store.NewStep(1, s.job.Steps[0].Spec)
	if len(s.job.Steps) > 1 {
		s.view.Next = store.NewStep(2, s.job.Steps[1].Spec)
	}
	s.view = s.viewOf(s.job)
	return s
}

// expires reports whether step 1 is under way and has a deadline.
func (s *situation) expires() bool { return s.view.Step.Deadline != 0 && s.job.Current == 1 }

// expiry returns what the deadline of step 1 is as an event.
func (s *situation) expiry() step.Cause {
	if s.State == step.Waiting && s.view.Step.OnTimeout == step.ConfirmOnTimeout {
		return step.ExpiredConfirmed
	}
	return step.Expired
}

// viewOf returns the view of a job like that of s, as it stands now.
func (s *situation) viewOf(job *model.Job) store.View {
	v := s.view
	v.Job.State, v.Job.Current = job.State, job.Current
	v.Job.Sealed = job.Sealed
	v.Job.Skipped, v.Job.Ignored = int32(job.Skipped), int32(job.Ignored)
	v.Job.Started, v.Job.Finished = job.Started, job.Finished
	row(&v.Step, &job.Steps[0])
	if len(job.Steps) > 1 {
		row(&v.Next, &job.Steps[1])
	}
	v.Targets = nil
	for i := range job.Steps[0].Spec.Targets {
		latest := job.Steps[0].Latest(i)
		v.Targets = append(v.Targets, store.Target{
			Index: int32(i), Attempt: latest.Ran, Success: job.Steps[0].LatestSuccess(i),
			Result: store.Result{Status: latest.Status, ExitCode: latest.ExitCode},
		})
	}
	return v
}

// row brings a step's row to where the model has it.
func row(r *store.Step, s *model.Step) {
	r.State, r.Attempt, r.Run.Full = s.State, s.Attempt(), s.Full()
	r.Succeeded, r.Unfinished = int32(s.Succeeded()), int32(s.Unfinished())
	r.Finished = s.Ended
	if len(s.Runs) > 0 {
		run := s.Runs[len(s.Runs)-1]
		r.Started, r.Finished, r.Deadline = run.Started, run.Finished, run.Deadline
	}
}
