package engine

import (
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// LEGALITY, AND REFUSALS.

// judge returns the move of a command's row, or the refusal. It is called once for each command, and
// needs no clock, no request id and no memory for a decision. For commands of executors and
// deadlines, and for the replay of a request, it returns no move: decide judges them.
func judge(r *operation.Rules, v *store.View, cmd Command) (operation.Move, *Refusal) {
	if v.Replay != nil {
		return operation.Move{}, nil
	}
	if c, ok := cmd.(*OperateEffect); ok {
		return operation.Move{}, judgeEffect(r, v, c)
	}
	c, ok := cmd.(*Operate)
	if !ok {
		return operation.Move{}, nil
	}
	if stale := staleness(v, c.IfAttempt, c.IfVersion); stale != "" {
		return operation.Move{}, refuse(r, v, &Refusal{Reason: operation.Stale, Cause: c.Cause, Actor: c.By, Detail: stale})
	}
	move, reason := ruled(r, v, c.Cause, c.By)
	if reason != 0 {
		return move, refuse(r, v, &Refusal{Reason: reason, Cause: c.Cause, Actor: c.By})
	}
	return move, nil
}

// ruled returns the move of a person's operation and 0, or why the rules refuse it. An operation on the job
// is that of its row for the whole job where the guard of the row for its step is not met.
func ruled(r *operation.Rules, v *store.View, cause step.Cause, person string) (operation.Move, operation.Reason) {
	move, reason := r.Judge(standing(v), cause)
	if reason == 0 {
		reason = unmet(r, v, move.Guard, person)
	}
	if whole, ok := r.Whole(v.Job.State, cause); ok && reason != 0 && !v.Job.Sealed && move != whole && unmet(r, v, whole.Guard, person) == 0 {
		return whole, 0
	}
	return move, reason
}

// Legal returns the operations that a person may carry out on a step of a job, and on the job, in the
// state that both show: guards included, and without asking an authorizer. It is the pure part of
// [Engine.Allowed].
func Legal(r *operation.Rules, job store.Job, s store.Step, person string) step.Causes {
	return legal(r, &store.View{Job: job, Step: s}, person)
}

func legal(r *operation.Rules, v *store.View, person string) step.Causes {
	var room [16]operation.Guard
	refusing := room[:0]
	for _, g := range guards {
		if unmet(r, v, g, person) != 0 {
			refusing = append(refusing, g)
		}
	}
	all := r.Legal(standing(v), refusing...)
	if v.Step.Gate.Reason == step.HoldGate && r.Enters(v.Step.Type) == 0 { // a release would start it: see move
		var releases step.Causes
		for c := range all.All() {
			if m, ok := r.Whole(v.Job.State, c); ok && m.Do == step.Release {
				releases = releases.With(c)
			}
		}
		all = all.Minus(releases)
	}
	return all
}

var guards = operation.AllGuards() // never changed

// standing returns the state in which an operation meets the job of v.
func standing(v *store.View) operation.Standing {
	return operation.Standing{
		Type: v.Step.Type, State: v.Step.State, Job: v.Job.State,
		Behind: v.Step.ID != v.Job.Current, Sealed: v.Job.Sealed,
	}
}

// unmet returns the reason for which a guard refuses a person, or 0.
func unmet(r *operation.Rules, v *store.View, g operation.Guard, actor string) operation.Reason {
	s := &v.Step
	switch g {
	case operation.SomeDue:
		return unless(s.Succeeded < s.Run.Size(s.Total), operation.NothingToRetry)
	case operation.Approver:
		return unless(!s.Confirmers.IsSet() || actor != "" && s.Confirmers.Has(actor), operation.NotConfirmer)
	case operation.Waivable:
		if s.Gate.Reason == step.TurnGate {
			return operation.NoTurn
		}
		return unless(s.Gate.Reason.Waivable(), operation.OnHold)
	case operation.GatedByHold:
		return unless(s.Gate.Reason == step.HoldGate, operation.NotHeld)
	case operation.Held:
		return unless(v.Job.Held, operation.NotHeld)
	case operation.Unheld:
		return unless(!v.Job.Held, operation.OnHold)
	case operation.BatchLeft:
		return unless(batchLeft(s), operation.NoBatchLeft)
	case operation.Marked:
		return unless(s.StopBefore, operation.NoStop)
	case operation.Unmarked:
		return unless(!s.StopBefore, operation.StopSet)
	case operation.Unfinal:
		return unless(goesOn(r, s), operation.Final)
	}
	return 0
}

func unless(met bool, reason operation.Reason) operation.Reason {
	if met {
		return 0
	}
	return reason
}

// staleness describes, in words, how the caller's conditions differ from the state of v, or is "".
func staleness(v *store.View, ifAttempt int32, ifVersion store.Seq) string {
	switch {
	case ifVersion != 0 && ifVersion < v.Job.Moved:
		return fmt.Sprintf("decided on version %d, but the job moved in version %d", ifVersion, v.Job.Moved)
	case ifVersion > v.Job.Version:
		return fmt.Sprintf("version %d does not exist yet, the job is at version %d", ifVersion, v.Job.Version)
	case ifAttempt != 0 && ifAttempt != v.Step.Attempt:
		return fmt.Sprintf("meant for attempt %d, but it is attempt %d", ifAttempt, v.Step.Attempt)
	}
	return ""
}

// refuse completes a refusal with the state of the job and the legal operations.
func refuse(r *operation.Rules, v *store.View, refusal *Refusal) *Refusal {
	s := &v.Step
	if r.Enters(s.Type) == 0 && refusal.Reason > operation.Stale && refusal.Reason < operation.Sealed { // whatever the rules say of a cause
		refusal.Reason = operation.WrongType
		refusal.Detail = fmt.Sprintf("type %v is not declared in this engine's rules", s.Type)
	}
	refusal.Job, refusal.Step = v.Job.ID, s.ID
	refusal.Type, refusal.State, refusal.Attempt = s.Type, s.State, s.Attempt
	refusal.JobState, refusal.Current, refusal.Version = v.Job.State, v.Job.Current, v.Job.Version
	refusal.Legal = legal(r, v, refusal.Actor)
	if refusal.Reason == operation.WrongState && s.State == step.Gated {
		refusal.Detail = waits(s.Gate)
	}
	if refusal.Cause != 0 {
		refusal.LegalFrom = r.From(s.Type, refusal.Cause)
	}
	return refusal
}

// waits says in words what a step waits for at a gate.
func waits(g store.Gate) string {
	switch g.Reason {
	case step.PersonGate:
		return "it waits for a person to continue"
	case step.TimeGate:
		return fmt.Sprintf("it waits until %v", g.Until)
	case step.HoldGate:
		return "it waits for the end of the job's hold"
	case step.WindowGate:
		return fmt.Sprintf("it waits for its window until %v", g.Until)
	}
	return "it waits for the job's turn"
}

// replay answers a request that has been carried out with its record, if it
// is the same request.
func (d *Decision) replay(v *store.View, asked *Operate) *Refusal {
	done := v.Replay
	was := ""
	switch {
	case done.Cause.OfStep() && asked.Cause.OfStep() && done.Step != v.Step.ID:
		was = fmt.Sprintf("step %d", done.Step)
	case done.Cause != asked.Cause:
		was = done.Cause.String()
	case done.Actor != asked.By:
		was = fmt.Sprintf("person %q", done.Actor)
	case done.Reason != asked.Because:
		was = fmt.Sprintf("reason %q", done.Reason)
	default:
		d.Replay = done
		return nil
	}
	return &Refusal{
		Reason: operation.RequestReused, Job: v.Job.ID, Step: v.Step.ID, Cause: asked.Cause,
		Actor: asked.By, Detail: fmt.Sprintf("in version %d it was %s", done.Seq, was),
	}
}
