package model

import (
	"github.com/stepgate/stepgate/step"
)

// Forge returns a job whose current step is in state s, whether it could ever get there or
// not: for asking what would happen next. The steps before it have succeeded, those after
// it are pending.
//
// Each of runs is one attempt of the current step and names the status of every target of
// it. Succeeded_earlier is a target that does not run in the attempt, which then covers
// only what had not succeeded. Attempt n starts at n seconds and takes half of one. The
// last attempt is under way if s is running, waiting or terminating, and has a deadline
// then if the step has a timeout.
func Forge(r *Rules, steps []step.Spec, current step.ID, s step.State, runs ...[]step.Status) *Job {
	j := New(r, steps)
	for i := range int(current) - 1 {
		before := &j.Steps[i]
		before.State = step.Succeeded
		before.Runs = []Run{{All: true, Started: 1000, Finished: 1000}}
		for range before.Spec.Targets {
			before.Runs[0].Targets = append(before.Runs[0].Targets, Target{Status: step.TargetSucceeded, Ran: 1})
		}
	}
	at := &j.Steps[current-1]
	at.State = s
	for i, statuses := range runs {
		n := int32(i + 1)
		run := Run{All: true, Started: step.Time(n) * 1000, Finished: step.Time(n)*1000 + 500}
		for target, status := range statuses {
			t := Target{Status: status}
			switch {
			case status == step.SucceededEarlier && i > 0:
				t.Ran = at.Runs[i-1].Targets[target].Ran
				run.All = false
			case status != step.TargetWaiting:
				t.Ran = n
			}
			run.Targets = append(run.Targets, t)
		}
		at.Runs = append(at.Runs, run)
	}

	last := int(current) == len(steps)
	j.Current = current
	switch s {
	case step.Running, step.Waiting, step.Terminating:
		j.State = s
		if len(at.Runs) > 0 {
			run := &at.Runs[len(at.Runs)-1]
			run.Finished = 0
			if at.Spec.Timeout > 0 {
				run.Deadline = after(run.Started, at.Spec.Timeout)
			}
		}
	case step.Succeeded, step.Skipped, step.ErrorIgnored:
		j.State = step.Running // the next step is
		if last {
			j.State = step.Succeeded
		}
	default:
		j.State = s
	}
	if len(runs) > 0 || current > 1 {
		j.Started = 1000
	}
	switch j.State {
	case step.Pending, step.Running, step.Waiting, step.Terminating:
	default:
		j.Finished = step.Time(len(runs))*1000 + 500
	}
	switch s {
	case step.Skipped:
		j.Skipped = 1
	case step.ErrorIgnored:
		j.Ignored = 1
	}
	return j
}
