package player

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Ask is one request of a person, with its repetitions: a creation, an operation, or a request
// about an effect.
type Ask struct {
	Spec   *engine.JobSpec `json:"spec,omitempty"` // of a creation, whose cause is step.Created
	Job    store.JobID     `json:"job,omitzero"`
	Step   step.ID         `json:"step,omitzero"`   // of an operation on the job: the one that was current
	Effect store.Seq       `json:"effect,omitzero"` // whose cause is step.GivenUp or step.Hurried
	Cause  step.Cause      `json:"cause,omitzero"`
	engine.Request
}

// Send sends a to an engine and returns its answer.
func (a Ask) Send(ctx context.Context, e *engine.Engine) (store.Record, error) {
	switch {
	case a.Spec != nil:
		return e.Create(ctx, *a.Spec, a.Request)
	case a.Cause == step.GivenUp:
		return e.GiveUp(ctx, a.Job, a.Effect, a.Request)
	case a.Cause == step.Hurried:
		return e.Hurry(ctx, a.Job, a.Effect, a.Request)
	case a.Cause.OfJob():
		return e.OperateJob(ctx, a.Job, operation.JobCode(a.Cause.Code()), a.Request)
	}
	return e.Operate(ctx, a.Job, a.Step, operation.Code(a.Cause), a.Request)
}

// About draws a request, by the person of a, about one of the effects in waiting, which is not empty.
func (a Ask) About(d Dice, waiting []store.Delivery) Ask {
	a.Cause, a.Step = Of(d, "to an effect", []step.Cause{step.Hurried, step.GivenUp}), 0
	a.Effect = Of(d, "effect", waiting).Seq
	return a
}

// Made reports whether r is the record of a in a history.
func (a Ask) Made(r *store.Record) bool {
	if a.Cause.OfEffect() {
		named := r.Cause == a.Cause && strings.Contains(r.Reason, fmt.Sprint(" ", a.Effect)) && strings.HasSuffix(r.Reason, a.Because)
		broke := r.Cause == step.Broke && a.Cause == step.GivenUp && r.Reason == a.Because
		return !a.DryRun && r.Actor == a.By && r.Job == a.Job && (named || broke)
	}
	if a.DryRun || r.Cause != a.Cause || r.Actor != a.By || r.Reason != a.Because {
		return false
	}
	return a.Spec != nil || r.Job == a.Job && (a.Cause.OfJob() || r.Step == a.Step)
}

// Again draws a repetition of a: as it is or, once in n times, as another request of its id.
func (a Ask) Again(d Dice, n int) Ask {
	if !OneIn(d, n, "another") {
		return a
	}
	switch d.Below(4, "what differs") {
	case 0:
		a.By += "'s double"
	case 1:
		a.Because += "!"
	case 2:
		a.Step++
	case 3:
		a.Cause = Of(d, "cause", slices.Collect(operation.Standard().Causes().All()))
		if a.Cause == comment && a.Because == "" {
			a.Because = "a comment"
		}
	}
	return a
}

func (a Ask) String() string {
	var b strings.Builder
	fmt.Fprint(&b, a.Cause)
	switch {
	case a.Spec != nil:
		fmt.Fprintf(&b, " %q of %d steps in %q %q", a.Spec.Name, len(a.Spec.Steps), a.Spec.Scope.Type, a.Spec.Scope.ID)
	case a.Cause.OfEffect():
		fmt.Fprintf(&b, " effect %d of job %d", a.Effect, a.Job)
	case a.Cause.OfJob():
		fmt.Fprintf(&b, " %d", a.Job)
	default:
		fmt.Fprintf(&b, " on step %d of job %d", a.Step, a.Job)
	}
	fmt.Fprintf(&b, " by %q because of %.40q", a.By, a.Because)
	if a.ID != (store.RequestID{}) {
		fmt.Fprintf(&b, ", request %v", a.ID)
	}
	if a.IfAttempt != 0 {
		fmt.Fprintf(&b, ", if attempt %d", a.IfAttempt)
	}
	if a.IfVersion != 0 {
		fmt.Fprintf(&b, ", if version %d", a.IfVersion)
	}
	if a.DryRun {
		b.WriteString(", dry")
	}
	return b.String()
}

// Refused reports whether err is an engine's refusal.
func Refused(err error) bool {
	_, is := errors.AsType[*engine.Refusal](err)
	return is
}
