package engine

import (
	"fmt"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

// THE QUESTION OF LEGALITY, and what a refusal says.

// judge answers the one question of legality, once for a command: what its row does, or the
// refusal. It needs no clock, no request id and no memory for a decision. Commands of executors
// and deadlines are judged by what they find, as they are decided; they and the replay of a
// request have no row here.
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
	move, reason := r.Judge(standing(v), c.Cause)
	if reason == 0 {
		reason = unmet(&v.Step, move.Guard, c.By)
	}
	if reason != 0 {
		return move, refuse(r, v, &Refusal{Reason: reason, Cause: c.Cause, Actor: c.By})
	}
	return move, nil
}

// standing returns where an operation meets the job that v shows.
func standing(v *store.View) operation.Standing {
	return operation.Standing{
		Type: v.Step.Type, State: v.Step.State, Job: v.Job.State,
		Behind: v.Step.ID != v.Job.Current, Sealed: v.Job.Sealed,
	}
}

// unmet returns why a guard does not let a person pass, or 0 if it does.
func unmet(s *store.Step, g operation.Guard, actor string) operation.Reason {
	switch {
	case g == operation.SomeDue && s.Succeeded == s.Total:
		return operation.NothingToRetry
	case g == operation.Approver && s.Confirmers.IsSet() && (actor == "" || !s.Confirmers.Has(actor)):
		return operation.NotConfirmer
	}
	return 0
}

// staleness says in words in what way the caller looked at an older state, or "".
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

// refuse completes a refusal with where the job stands and what would be legal.
func refuse(r *operation.Rules, v *store.View, refusal *Refusal) *Refusal {
	s := &v.Step
	if r.Enters(s.Type) == 0 && refusal.Reason > operation.Stale && refusal.Reason < operation.Sealed { // whatever the rules say of a cause
		refusal.Reason = operation.WrongType
		refusal.Detail = fmt.Sprintf("type %v is not declared in this engine's rules", s.Type)
	}
	refusal.Job, refusal.Step = v.Job.ID, s.ID
	refusal.Type, refusal.State, refusal.Attempt = s.Type, s.State, s.Attempt
	refusal.JobState, refusal.Current, refusal.Version = v.Job.State, v.Job.Current, v.Job.Version
	at := standing(v)
	refusal.Legal = r.Legal(at)
	for _, g := range [...]operation.Guard{operation.SomeDue, operation.Approver} {
		if unmet(s, g, refusal.Actor) != 0 {
			refusal.Legal = refusal.Legal.Minus(r.Guarded(at, g))
		}
	}
	if refusal.Cause != 0 {
		refusal.LegalFrom = r.From(s.Type, refusal.Cause)
	}
	return refusal
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
