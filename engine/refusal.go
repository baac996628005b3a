package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Refusal says why a request was refused and what would be legal instead.
// Nothing has changed. errors.Is finds its Reason (errors.Is(err,
// operation.WrongState)) and, for a denial, the authorizer's error.
//
// Field names a field of the request as it marshals: steps[2].on_timeout, actor, lease. What
// the program and not the request gets wrong begins with a capital letter: Store, Handler,
// Context, Options, Command, Rules, Cause, WithJobIDs.
type Refusal struct {
	Reason operation.Reason `json:"reason"`
	Cause  step.Cause       `json:"cause,omitzero"` // the operation that was asked for; 0 if it was none
	Job    store.JobID      `json:"job"`
	Step   step.ID          `json:"step"` // of an operation on the job, the current one; 0 for a request that is about no step
	Actor  string           `json:"actor,omitempty"`
	Field  string           `json:"field,omitempty"`  // of an InvalidInput: see below
	Detail string           `json:"detail,omitempty"` // in words, where there is more to say

	// Where the job stands. Zero where the reason comes before the state:
	// InvalidInput, NoSuchJob, NoSuchStep, Denied, RequestReused.
	Current  step.ID    `json:"current,omitzero"`
	Version  store.Seq  `json:"version,omitzero"`
	Attempt  int32      `json:"attempt,omitzero"`
	Type     step.Type  `json:"type,omitzero"`
	State    step.State `json:"state,omitzero"`
	JobState step.State `json:"job_state,omitzero"`

	// What the rules would let this person do now, confirmers included; whether the
	// authorizer would is not asked ([Engine.Allowed] does).
	Legal     step.Causes `json:"legal"`      // on the step and on the job; none for a step that is not current
	LegalFrom step.States `json:"legal_from"` // the states in which the operation would be legal on a step of this type

	cause error
}

// Error names the subject, what is wrong and what would be right, on one line: names and
// words that are not plain are quoted.
func (r *Refusal) Error() string {
	var b strings.Builder
	switch {
	case r.Job == 0:
		b.WriteString("job")
	case r.Step == 0:
		fmt.Fprintf(&b, "job %d", r.Job)
	default:
		fmt.Fprintf(&b, "job %d, step %d", r.Job, r.Step)
	}
	b.WriteString(": ")
	switch r.Reason {
	case operation.InvalidInput:
		fmt.Fprintf(&b, "invalid %s: %s", r.Field, r.Detail)
	case operation.NoSuchJob:
		b.WriteString("no such job")
	case operation.NoSuchStep:
		b.WriteString("no such step")
	case operation.Denied:
		fmt.Fprintf(&b, "%s denied to %s", r.operation(), r.person())
		if r.cause != nil {
			fmt.Fprintf(&b, ": %s", quoted(r.cause.Error()))
		} else if r.Detail != "" {
			fmt.Fprintf(&b, ": %s", quoted(r.Detail))
		}
	case operation.RequestReused:
		fmt.Fprintf(&b, "the request id stands for another request: %s", r.Detail)
	case operation.Stale:
		fmt.Fprintf(&b, "%s is stale: %s", r.operation(), r.Detail)
	case operation.WrongType:
		fmt.Fprintf(&b, "%s does not apply to a %v step", r.operation(), r.Type)
		if r.Detail != "" {
			fmt.Fprintf(&b, ": %s", r.Detail)
		}
	case operation.NotCurrent:
		fmt.Fprintf(&b, "%s is for the current step, which is %d", r.operation(), r.Current)
	case operation.WrongState:
		fmt.Fprintf(&b, "%s is not legal in %v", r.operation(), r.State)
		if !r.LegalFrom.Empty() {
			fmt.Fprintf(&b, ", only in %v", r.LegalFrom)
		}
	case operation.NothingToRetry:
		fmt.Fprintf(&b, "%s has nothing to run: every target has succeeded", r.operation())
	case operation.NotConfirmer:
		fmt.Fprintf(&b, "%s is for a confirmer of the step, and %s is not one", r.operation(), r.person())
	case operation.Settled:
		fmt.Fprintf(&b, "%s is too late: %s", r.operation(), r.Detail)
	case operation.Leased:
		fmt.Fprintf(&b, "%s is not possible now: %s", r.operation(), r.Detail)
	case operation.Sealed:
		fmt.Fprintf(&b, "the job is sealed, and %s is not legal any more", r.operation())
	}
	if r.State != 0 {
		b.WriteString("; legal now: " + r.legalNow())
	}
	return b.String()
}

// legalNow says in words what is legal on the step, and on the job.
func (r *Refusal) legalNow() string {
	var ofStep, ofJob step.Causes
	for c := range r.Legal.All() {
		if c.OfJob() {
			ofJob = ofJob.With(c)
		} else {
			ofStep = ofStep.With(c)
		}
	}
	if ofJob.Empty() {
		return ofStep.String()
	}
	return fmt.Sprintf("%v, on the job: %v", ofStep, ofJob)
}

func (r *Refusal) operation() string {
	switch {
	case r.Cause.OfStep():
		return fmt.Sprintf("%v (%d)", r.Cause, r.Cause.Code())
	case r.Cause.OfJob():
		return fmt.Sprintf("%v (job %d)", r.Cause, r.Cause.Code())
	case r.Cause.OfEffect():
		return r.Cause.String()
	}
	return "the request"
}

func (r *Refusal) person() string {
	if r.Actor == "" {
		return "the anonymous actor"
	}
	return quoted(r.Actor)
}

// Is reports whether target is r's Reason.
func (r *Refusal) Is(target error) bool {
	reason, ok := target.(operation.Reason)
	return ok && reason == r.Reason
}

// Unwrap returns the authorizer's error, if the reason is Denied.
func (r *Refusal) Unwrap() error { return r.cause }

// Public returns an error with words for clients. If an authorizer returns it, alone or
// wrapped, the text is the refusal's Detail. Other errors of an authorizer are hidden from
// clients, as they may leak internals.
func Public(text string) error { return &publicError{text} }

type publicError struct{ text string }

func (e *publicError) Error() string { return e.text }

// lineError is an error whose text is quoted if it is not plain.
type lineError struct{ error }

func (e lineError) Error() string { return quoted(e.error.Error()) }

func (e lineError) Unwrap() error { return e.error }

func invalid(field, format string, args ...any) *Refusal {
	return &Refusal{Reason: operation.InvalidInput, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// ErrConflict: the request lost 100 races against other changes of the job. Nothing changed;
// it can be repeated.
var ErrConflict = errors.New("other changes were faster, nothing was done")

// ErrUnknownOutcome: the store failed in mid-commit and could not be asked what
// came of it. The request may have been carried out, or be carried out yet.
// Repeating it with the same request id is safe: it is carried out once. A repetition
// that is denied, as the person may no longer do it, says nothing of the first: the
// history does. The error is an [*UnknownOutcomeError].
var ErrUnknownOutcome = errors.New("the outcome is unknown")

// An UnknownOutcomeError is an [ErrUnknownOutcome] with what is needed to repeat the
// request.
type UnknownOutcomeError struct {
	Job     store.JobID
	Request store.RequestID
	Err     error // the store's
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("job %d: %v: repeat request %v to find out: %v", e.Job, ErrUnknownOutcome, e.Request, e.Err)
}

// Unwrap returns ErrUnknownOutcome and the store's error.
func (e *UnknownOutcomeError) Unwrap() []error { return []error{ErrUnknownOutcome, e.Err} }
