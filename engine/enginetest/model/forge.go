package model

import (
	"github.com/stepgate/stepgate/step"
)

// Forge returns a job whose current step is in state s, reachable or not, for questions about the
// next command. The steps before it have succeeded, those after it are pending.
//
// Each of runs is one attempt of the current step, with the status of every target. A target with
// SucceededEarlier does not run in the attempt, which then covers only the targets that had not
// succeeded. Attempt n starts at n seconds and takes half a second. The last attempt is under way
// if s is running, waiting or terminating, and then has a deadline if the step has a timeout.
func Forge(r *Rules, steps []step.Spec, current step.ID, s step.State, runs ...[]step.Status) *Job {
	j := New(r, steps)
	for i := range int(current) - 1 {
		before := &j.Steps[i]
		before.State = step.Succeeded
		before.Runs = []Run{{All: true, End: len(before.Spec.Targets), Started: 1000, Finished: 1000}}
		for range before.Spec.Targets {
			before.Runs[0].Targets = append(before.Runs[0].Targets, Target{Status: step.TargetSucceeded, Ran: 1})
		}
	}
	at := &j.Steps[current-1]
	at.State = s
	for _, statuses := range runs {
		at.forgeRun(statuses)
	}
	if underway(s) && len(runs) > 0 {
		run := &at.Runs[len(runs)-1]
		run.Finished = 0
		if at.Spec.Timeout > 0 {
			run.Deadline = after(run.Started, at.Spec.Timeout)
		}
	}
	if s == step.Gated {
		at.Gate = Gate{Reason: step.PersonGate, Then: step.RunDue}
		switch {
		case len(runs) == 0:
			at.Gate.Then = step.Enter
		case r.Enters(at.Spec.Type) == step.Waiting:
			at.Gate.Then = step.Ask
		}
	}
	j.forgeHead(current, len(runs))
	return j
}

// forgeRun adds an attempt that has ended with these statuses of its targets.
func (s *Step) forgeRun(statuses []step.Status) {
	n := int32(len(s.Runs) + 1)
	first, end := s.Window()
	run := Run{All: true, First: first, End: end, Started: step.Time(n) * 1000, Finished: step.Time(n)*1000 + 500}
	for target, status := range statuses {
		t := Target{Status: status}
		switch {
		case status == step.SucceededEarlier && n > 1:
			t.Ran = s.Runs[n-2].Targets[target].Ran
			run.All = false
		case status != step.TargetWaiting:
			t.Ran = n
		}
		run.Targets = append(run.Targets, t)
	}
	if len(s.plan()) > 0 {
		run.Batch, s.Ends = 1, []step.State{s.State}
	}
	s.Runs = append(s.Runs, run)
}

// forgeHead makes the job agree with its current step, given the number of its attempts.
func (j *Job) forgeHead(current step.ID, runs int) {
	j.Current = current
	j.State = j.Steps[current-1].State
	switch j.State {
	case step.Skipped:
		j.Skipped = 1
	case step.ErrorIgnored:
		j.Ignored = 1
	}
	switch j.State {
	case step.Succeeded, step.Skipped, step.ErrorIgnored:
		j.State = step.Running // the next step is
		if int(current) == len(j.Steps) {
			j.State = step.Succeeded
		}
	}
	if runs > 0 || current > 1 {
		j.Started = 1000
	}
	if j.State != step.Pending && j.State != step.Gated && !underway(j.State) {
		j.Finished = step.Time(runs)*1000 + 500
	}
}
