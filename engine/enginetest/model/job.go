package model

import (
	"slices"

	"github.com/stepgate/stepgate/step"
)

// A Job is a job as the model has it. Its holder may look at everything and should change
// nothing. Any command that is refused leaves it as it is.
type Job struct {
	State    step.State
	Current  step.ID
	Steps    []Step // step 1 first
	Skipped  int    // how many steps were passed over
	Ignored  int    // how many steps were passed with errors ignored
	Sealed   bool   // it has ended for good
	Started  step.Time
	Finished step.Time // 0 while anything is under way
	Last     Change    // what the last command that changed anything did

	rules *Rules
}

// A Step is a step of a job.
type Step struct {
	Spec  step.Spec
	State step.State
	Runs  []Run     // one for each attempt, attempt 1 first
	Ended step.Time // when it ended before its first attempt, or 0
	Votes int       // of a step that asks: how many are missing. 0 is as good as 1, the next one passes it
}

// A Run is one attempt of a step, or one round of asking.
type Run struct {
	All      bool     // on all targets, and not only on those that had not succeeded
	Targets  []Target // every target of the step, whether it runs in this attempt or not
	Started  step.Time
	Finished step.Time // 0 while it is under way
	Deadline step.Time // 0 for none, or when it is over
}

// A Target is how one target stands in one attempt: waiting and running as long as it has
// not finished, succeeded_earlier if it does not run in this attempt.
type Target struct {
	Status   step.Status
	ExitCode int32
	Ran      int32 // the attempt that it was reported in; 0 if it has not been
}

// A Result is what a report says of one target.
type Result struct {
	Target   int32 // counted from 0
	Status   step.Status
	ExitCode int32
}

// A Change is what one command did to a job.
type Change struct {
	Step           step.ID
	Cause          step.Cause // an operation, an event, or one that moves nothing, as step.Results
	From, To       step.State // of the step
	JobFrom, JobTo step.State
	Attempt        int32   // of the step, after
	Entered        step.ID // the step that started because this one had passed, or 0
	Results        int     // how many results of a report counted
	All            bool    // an attempt started, on all targets
	Targets        int     // how many targets run in it
	Effect         Effect
}

// An Effect is what the outside world is told to do because of a change. The names are
// those of package store, which the model does not know.
type Effect string

const (
	NoEffect      Effect = "none"
	RunTargets    Effect = "run"       // run the attempt that has started
	StopAttempt   Effect = "stop"      // stop the attempt
	AskConfirmers Effect = "ask"       // ask the confirmers
	JobEnded      Effect = "job_ended" // the job has ended
)

// New returns a job that has not been started. It keeps r and the specs, which must not be
// changed while the job is in use. nil rules mean those of the document.
func New(r *Rules, steps []step.Spec) *Job {
	if r == nil {
		r = Documented()
	}
	j := &Job{State: step.Pending, Current: 1, rules: r}
	for _, spec := range steps {
		j.Steps = append(j.Steps, Step{Spec: spec, State: step.Pending})
	}
	return j
}

// Clone returns a copy that shares nothing that commands change with j: of what has run, that
// is the current step's latest attempt.
func (j *Job) Clone() *Job {
	own := *j
	own.Steps = slices.Clone(j.Steps)
	current := &own.Steps[j.Current-1]
	current.Runs = slices.Clone(current.Runs)
	if n := len(current.Runs); n > 0 {
		latest := &current.Runs[n-1]
		latest.Targets = slices.Clone(latest.Targets)
	}
	return &own
}

// Attempt returns the number of the current or last attempt, 0 before the first.
func (s *Step) Attempt() int32 { return int32(len(s.Runs)) }

// Full returns the attempt that last covered all targets, 1 before the first.
func (s *Step) Full() int32 {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if s.Runs[i].All {
			return int32(i + 1)
		}
	}
	return 1
}

// Succeeded returns how many targets stand succeeded in the current or last attempt,
// succeeded earlier included.
func (s *Step) Succeeded() int {
	n := 0
	if len(s.Runs) > 0 {
		for _, t := range s.Runs[len(s.Runs)-1].Targets {
			if success(t.Status) {
				n++
			}
		}
	}
	return n
}

// Unfinished returns how many targets have not finished in the current or last attempt, or how
// many votes are missing.
func (s *Step) Unfinished() int {
	n := s.Votes
	if len(s.Runs) > 0 {
		for _, t := range s.Runs[len(s.Runs)-1].Targets {
			if !finished(t.Status) {
				n++
			}
		}
	}
	return n
}

// Latest returns the latest result that was reported of a target, in whatever attempt; the
// zero Target if there is none.
func (s *Step) Latest(target int) Target {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if t := s.Runs[i].Targets[target]; t.Ran == int32(i+1) {
			return t
		}
	}
	return Target{}
}

// LatestSuccess returns the attempt of a target's latest success, 0 if there is none or if the
// target has failed since.
func (s *Step) LatestSuccess(target int) int32 {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		switch t := s.Runs[i].Targets[target]; {
		case t.Ran != int32(i+1) || !finished(t.Status):
		case success(t.Status):
			return t.Ran
		default:
			return 0
		}
	}
	return 0
}

// success says which statuses are a success: 9 and 3.
func success(s step.Status) bool { return s == step.TargetSucceeded || s == step.SucceededEarlier }

// finished says which statuses are finished: all but 5 and 7.
func finished(s step.Status) bool { return s != step.TargetWaiting && s != step.TargetRunning }
