package enginetest

import (
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// waits has what a job can wait for, by the state of its current step.
var waits = map[step.State][]engine.Awaits{
	step.Pending: {engine.AwaitsStart},
	step.Waiting: {engine.AwaitsConfirmer, engine.AwaitsSweep},
	step.Gated: {
		engine.AwaitsContinue, engine.AwaitsMoment, engine.AwaitsResume, engine.AwaitsWindow, engine.AwaitsTurn, engine.AwaitsSweep,
	},
	step.Running:     delivered,
	step.Terminating: delivered,
}

var delivered = []engine.Awaits{engine.AwaitsSweep, engine.AwaitsClaim, engine.AwaitsNextTry, engine.AwaitsExecutor, engine.AwaitsReport}

// awaits: at any time a job waits for one thing that its state knows. One that waits for a decision has an
// operation, and a run or a stop that waits for delivery is the one that its step waits for.
func (e *evidence) awaits() error {
	v := store.View{Job: e.Job, Step: e.Steps[e.Job.Current-1]}
	for _, now := range []step.Time{1, e.Job.Updated, step.MaxTime} {
		d := engine.Diagnose(e.Rules, v, e.Effects, now)
		found := false
		for _, a := range waits[v.Step.State] {
			found = found || a == d.Awaits
		}
		if v.Job.State.Finished() {
			found = d.Awaits == engine.AwaitsDecision || d.Awaits == engine.AwaitsNothing
		}
		switch {
		case !found:
			return fmt.Errorf("the job is %v in a step that is %v, and is said to wait for %v", v.Job.State, v.Step.State, d.Awaits)
		case d.Awaits == engine.AwaitsDecision && d.Legal.Empty():
			return fmt.Errorf("the job is %v, waits for a decision, and no operation is legal", v.Job.State)
		case d.Awaits == engine.AwaitsReport && e.undelivered(&v.Step):
			return fmt.Errorf("the step is %v, its effect waits, and it is said to wait for a report", v.Step.State)
		}
	}
	return nil
}

// undelivered reports whether the run or the stop that a step waits for was not carried out.
func (e *evidence) undelivered(s *store.Step) bool {
	kind := map[step.State]store.Effect{step.Running: store.RunTargets, step.Terminating: store.StopAttempt}[s.State]
	for _, d := range e.Effects {
		if kind != 0 && d.Effect == kind && d.Step == s.ID && d.Attempt == s.Attempt && !d.Delivered {
			return true
		}
	}
	return false
}
