package model

import (
	"slices"

	"github.com/stepgate/stepgate/step"
)

// A Job is a job of the model. Callers can read all fields and must not change them. A refused
// command does not change it.
type Job struct {
	State     step.State // mirrors the current step
	Current   step.ID    // the step that is under way, or was last
	Steps     []Step     // step 1 first
	Skipped   int        // number of steps that ended skipped
	Ignored   int        // number of steps that ended with their error ignored
	Tolerated int        // of these, number of steps of which no person has accepted a failure
	Sealed    bool       // the job has ended for good
	Held      bool       // the job is on hold: nothing starts
	Policy    Policy     // of the definition; a caller sets it before the first command
	Deadline  step.Time  // of the job; 0 for none, before its first attempt, and once it has passed
	Started   step.Time  // 0 before the start
	Finished  step.Time  // 0 while anything is under way
	Last      Change     // of the last command that changed anything

	rules *Rules
}

// A Step is a step of a job.
type Step struct {
	Spec       step.Spec    // its definition
	State      step.State   // Pending before it is entered
	StopBefore bool         // the first attempt waits for a person
	Gate       Gate         // of a gated step
	Runs       []Run        // one for each attempt, attempt 1 first
	Ends       []step.State // of each batch that has begun: the state of the step during it, and how it ended
	Expires    step.Time    // the end of its time over all attempts; 0 for none, before the first, or when it has ended
	Automatic  int          // number of attempts that its Retry began in this batch since a person's
	Votes      int          // of a step that asks: number of missing votes. With 0 and 1 the next vote passes it
}

// A Run is one attempt of a step, or one round of asking.
type Run struct {
	All      bool      // on all targets of its window, and not only on those that had not succeeded
	Batch    int       // its batch, from 1; 0 without batches
	First    int       // index of the first target of its window
	End      int       // index of the first target after its window
	Targets  []Target  // every target of the step; those outside of the window are as they were
	Started  step.Time // of the attempt
	Finished step.Time // 0 while it is under way
	Deadline step.Time // 0 for none, or when it is over
}

// A Target is the result of one target in one attempt.
type Target struct {
	Status   step.Status // waiting or running until it has finished; SucceededEarlier if it does not run in this attempt
	ExitCode int32       // of the report
	Ran      int32       // the attempt of its report; 0 without one
	Accepted bool        // its failure, by a person
}

// A Result is the result of one target in a report.
type Result struct {
	Target   int32       // index, from 0
	Status   step.Status // reported
	ExitCode int32       // reported
}

// A Change is the change of a job by one command.
type Change struct {
	Step           step.ID    // that the change is about
	Cause          step.Cause // an operation, an event, or a cause that moves no state such as step.Results
	From, To       step.State // of the step
	JobFrom, JobTo step.State // of the job
	Attempt        int32      // of the step, after
	Entered        step.ID    // the step that was entered because this one had passed, or 0
	Results        int        // number of results of a report that counted
	All            bool       // an attempt started, on all targets of its window
	Targets        int        // number of targets that run in it
	Effect         Effect     // on the outside world
	Gate           Gate       // of the step that waits in consequence: Entered if it is not 0, else Step
}

// An Effect is the work for the outside world that a change asks for. The names are those of package
// store, which the model does not import.
type Effect string

const (
	NoEffect      Effect = "none"      // no work
	RunTargets    Effect = "run"       // run the attempt that has started
	StopAttempt   Effect = "stop"      // stop the attempt
	AskConfirmers Effect = "ask"       // ask the confirmers
	JobEnded      Effect = "job_ended" // the job has ended
)

// New returns a pending job. It keeps r and the specs, which the caller must not change while the
// job is in use. nil rules mean [Documented].
func New(r *Rules, steps []step.Spec) *Job {
	if r == nil {
		r = Documented()
	}
	j := &Job{State: step.Pending, Current: 1, rules: r}
	for _, spec := range steps {
		j.Steps = append(j.Steps, Step{Spec: spec, State: step.Pending, StopBefore: spec.StopBefore})
	}
	return j
}

// Clone returns a copy of j that commands on j do not change. The two share the earlier attempts,
// which commands never change.
func (j *Job) Clone() *Job {
	own := *j
	own.Steps = slices.Clone(j.Steps)
	current := &own.Steps[j.Current-1]
	current.Runs, current.Ends = slices.Clone(current.Runs), slices.Clone(current.Ends)
	if n := len(current.Runs); n > 0 {
		latest := &current.Runs[n-1]
		latest.Targets = slices.Clone(latest.Targets)
	}
	return &own
}

// Attempt returns the number of the current or last attempt, 0 before the first.
func (s *Step) Attempt() int32 { return int32(len(s.Runs)) }

// Full returns the last attempt that covered all targets of the window, 1 before the first.
func (s *Step) Full() int32 {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if s.Runs[i].All {
			return int32(i + 1)
		}
	}
	return 1
}

// Succeeded returns the number of targets of the window that have succeeded in the current or last
// attempt, or earlier.
func (s *Step) Succeeded() int {
	n := 0
	if first, end := s.Window(); len(s.Runs) > 0 {
		for _, t := range s.Runs[len(s.Runs)-1].Targets[first:end] {
			if success(t.Status) {
				n++
			}
		}
	}
	return n
}

// Unfinished returns the number of targets of the window that have not finished in the current or last
// attempt, or the number of missing votes.
func (s *Step) Unfinished() int {
	n := s.Votes
	if first, end := s.Window(); len(s.Runs) > 0 {
		for _, t := range s.Runs[len(s.Runs)-1].Targets[first:end] {
			if !finished(t.Status) {
				n++
			}
		}
	}
	return n
}

// Latest returns the latest reported result of a target, in any attempt; the zero Target without
// one.
func (s *Step) Latest(target int) Target {
	for i := len(s.Runs) - 1; i >= 0; i-- {
		if t := s.Runs[i].Targets[target]; t.Ran == int32(i+1) {
			return t
		}
	}
	return Target{}
}

// LatestSuccess returns the attempt of a target's latest success; 0 without one, or after a later
// failure.
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

// success reports whether a status is a success: 9 and 3 are.
func success(s step.Status) bool { return s == step.TargetSucceeded || s == step.SucceededEarlier }

// finished reports whether a status is finished: all but 5 and 7 are.
func finished(s step.Status) bool { return s != step.TargetWaiting && s != step.TargetRunning }
