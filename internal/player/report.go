package player

import (
	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Words are the words of executors, likelier words more than once.
type Words struct {
	Statuses []step.Status
	Outcomes []step.Cause
	Both     int // one in Both reports has an outcome beside results
	Astray   int // one in Astray reports names another attempt, which may not exist; 0 is never
}

// Usual are words by which jobs come to every state.
var Usual = Words{
	Statuses: []step.Status{
		step.NonZeroExit, step.TargetSucceeded, step.TargetRunning, step.NonZeroExit, step.TargetSucceeded,
		step.NonZeroExit, step.TargetSucceeded, step.TargetRunning, step.NonZeroExit, step.TargetSucceeded,
		step.TargetTimedOut, step.SucceededEarlier, step.TargetWaiting,
	},
	Outcomes: []step.Cause{
		step.Stopped, step.Broke, step.Broke, step.Stopped, step.Stopped, step.Broke, step.Stopped, step.Broke,
		step.Stopped, step.Broke, step.Stopped, step.Broke, step.Stopped, step.Broke, step.Stopped, step.Dropped,
	},
	Both: 8,
}

// Report draws a report on the current attempt of s: results, some of which may contradict each
// other, an outcome, or both. On a step that asks, or is not under way, it must be refused.
func (s Sight) Report(d Dice, w Words) engine.Report {
	r := engine.Report{Job: s.Job.ID, Step: s.Step.ID, Attempt: max(s.Step.Attempt, 1)}
	if OneIn(d, w.Astray, "astray") {
		r.Attempt = int32(1 + d.Below(int(r.Attempt)+1, "attempt"))
	}
	if total := int(s.Step.Total); total > 0 {
		targets := make([]int32, d.Below(2*total+1, "results"))
		for i := range targets {
			targets[i] = int32(d.Below(total, "target"))
		}
		r.Results = Results(d, targets, w.Statuses)
	}
	if len(r.Results) == 0 || OneIn(d, w.Both, "outcome too") {
		r.Outcome = Of(d, "outcome", w.Outcomes)
	}
	return r
}

// Results draws a result for each of these targets.
func Results(d Dice, targets []int32, statuses []step.Status) []engine.TargetResult {
	results := make([]engine.TargetResult, len(targets))
	for i, target := range targets {
		results[i] = engine.TargetResult{Target: target, Result: store.Result{Status: Of(d, "status", statuses)}}
		if results[i].Status == step.NonZeroExit {
			results[i].ExitCode = int32(1 + d.Below(2, "exit code"))
		}
	}
	return results
}
