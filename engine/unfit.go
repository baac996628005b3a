package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Misfit is a step of a stored job that does not fit an engine's rules. As an error it matches its
// Reason.
type Misfit struct {
	Job    store.JobID      // of the step
	Step   step.ID          // the current step, or a later one
	Type   step.Type        // of the step
	State  step.State       // of the step
	Reason operation.Reason // WrongType: the job cannot enter the step or go on from it; WrongState: nothing leads out of its state
	Detail string           // in words
}

func (m Misfit) Error() string {
	return fmt.Sprintf("job %d, step %d, %v in %v: %s", m.Job, m.Step, m.Type, m.State, m.Detail)
}

// Unwrap returns the Reason.
func (m Misfit) Unwrap() error { return m.Reason }

// Unfit yields the steps of stored jobs that do not fit e's rules, by job: run it at start-up after a
// change of the rules. It checks the current step and the later steps of each job that has not
// ended, and finds
//
//   - a type that the rules do not declare,
//   - a step without targets whose type runs now, or one with targets whose type asks now,
//   - a current step in a state without an event or an operation that leads out of it,
//   - a step with a window, if e has no function of windows: see [WithWindows].
//
// Unfit checks jobs that have ended only if was is not nil: the rules that the jobs were stored
// under. A job that an operation could make run again under was is a misfit if it is final under e's
// rules, or has one of the steps above. Without was, a job that has ended is final, which is no
// misfit.
//
// Unfit does not compare the rules; [operation.Diff] does. It does not check the confirmers of a
// step, nor whether an executor serves a type.
//
// Unfit changes nothing. It reads 1,000 headers at a time, and then each job with its steps, without
// targets, as of one moment: one read per job. Jobs that are created meanwhile may be missing. The
// caller may stop at any time; after an error the sequence ends.
func (e *Engine) Unfit(ctx context.Context, was *operation.Rules) iter.Seq2[Misfit, error] {
	const page = 1000
	return func(yield func(Misfit, error) bool) {
		states := unended.Union(revivable(was))
		for after := store.JobID(0); ; {
			jobs, err := e.Jobs(ctx, JobQuery{States: states, After: after, Limit: page})
			if err != nil {
				yield(Misfit{}, err)
				return
			}
			for _, job := range jobs {
				after = job.ID
				all, err := e.store.Snapshot(ctx, store.SnapshotQuery{Scope: e.scope, Job: job.ID})
				if errors.Is(err, store.ErrNotFound) {
					continue // it is gone
				}
				if err != nil {
					yield(Misfit{}, fmt.Errorf("job %d: %w", job.ID, err))
					return
				}
				for _, m := range misfits(e.rules, was, &all, e.window != nil) {
					if !yield(m, nil) {
						return
					}
				}
			}
			if len(jobs) < page {
				return
			}
		}
	}
}

// unended are the states of jobs that wait for their start, a report, a person, a moment or a turn.
var unended = step.StatesOf(step.Pending, step.Running, step.Waiting, step.Terminating, step.Gated)

// revivable returns the states of jobs that have ended out of which an operation on a step leads.
func revivable(r *operation.Rules) (states step.States) {
	if r == nil {
		return states
	}
	for _, s := range step.AllStates() {
		for _, t := range r.Types() {
			if s.Finished() && goesOn(r, &store.Step{Type: t, State: s, Total: 1}) {
				states = states.With(s)
			}
		}
	}
	return states
}

// misfits returns the steps of a job that r does not fit, by id. windows says that windows can open.
func misfits(r, was *operation.Rules, all *store.Snapshot, windows bool) (found []Misfit) {
	job := &all.Job
	current := int(job.Current) - 1
	if job.Sealed || current < 0 || current >= len(all.Steps) || job.State.Finished() && (was == nil || !goesOn(was, &all.Steps[current])) {
		return nil
	}
	for i := range all.Steps[current:] {
		s := &all.Steps[current+i]
		reason, detail := unfit(r, s)
		switch {
		case reason != 0:
		case !goesOn(r, s):
			reason, detail = operation.WrongState, "no event and no operation leads out of it under these rules"
		case s.Policy != nil && s.Policy.Window != "" && !windows && !s.State.Passed():
			reason, detail = operation.WrongState, fmt.Sprintf("its window %q never opens: this engine has no function of windows", s.Policy.Window)
		}
		if reason != 0 {
			found = append(found, Misfit{Job: job.ID, Step: s.ID, Type: s.Type, State: s.State, Reason: reason, Detail: detail})
		}
	}
	return found
}

// unfit returns the reason for which a step does not fit r, or 0.
func unfit(r *operation.Rules, s *store.Step) (operation.Reason, string) {
	switch enters := r.Enters(s.Type); {
	case enters == 0:
		return operation.WrongType, "its type is not declared in this engine's rules"
	case enters == step.Running && s.Total == 0:
		return operation.WrongType, "its type runs on targets under these rules, and it has none"
	case enters == step.Waiting && s.Total > 0:
		return operation.WrongType, fmt.Sprintf("its type asks a person under these rules, and it has %d targets", s.Total)
	}
	return 0, ""
}

// goesOn reports whether anything leads out of the state of a current step: an operation on it or on
// the job, a report, or the moment of its gate. A job that has ended in its current step is final if
// nothing does. A deadline alone does not count: Compile refuses rules with nothing else.
func goesOn(r *operation.Rules, s *store.Step) bool {
	if s.State == step.Gated && !s.Gate.Reason.OfPerson() {
		return true
	}
	for cause := range r.Causes().With(step.AllSucceeded).All() { // a lifecycle that has a row for one report has one for each
		m, ok := r.Move(s.Type, s.State, cause)
		if !ok || m.Do.Stays() {
			continue
		}
		if reason := unmet(r, &store.View{Step: *s}, m.Guard, ""); reason == 0 || reason == operation.NotConfirmer {
			return true
		}
	}
	return false
}
