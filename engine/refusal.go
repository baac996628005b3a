package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Refusal is the error of a request that was refused: it has the reason, and the operations that
// are legal instead. Nothing has changed. errors.Is finds its Reason (errors.Is(err,
// operation.WrongState)) and, for a denial, the authorizer's error; errors.As finds the *Refusal.
//
// Field names a field of the request as it marshals: steps[2].on_timeout, actor, lease. Mistakes
// of the program, not of the request, begin with a capital letter: Store, Handler, Context,
// Options, Command, Rules, Cause, WithJobIDs.
type Refusal struct {
	Reason operation.Reason `json:"reason"`           // the first that applies, in the order of operation.AllReasons
	Cause  step.Cause       `json:"cause,omitzero"`   // of the requested operation; 0 if the request is no operation
	Job    store.JobID      `json:"job"`              // of the request; for a creation 0, or the job that has its reused request id
	Step   step.ID          `json:"step"`             // of the request; for an operation on the job, the current step; 0 if it is about no step
	Actor  string           `json:"actor,omitempty"`  // the name of the person who asked
	Field  string           `json:"field,omitempty"`  // that is invalid, of an InvalidInput
	Detail string           `json:"detail,omitempty"` // more, in words

	// The state of the job. Zero for reasons that come before the state:
	// InvalidInput, NoSuchJob, NoSuchStep, Denied, RequestReused.
	Current  step.ID    `json:"current,omitzero"`
	Version  store.Seq  `json:"version,omitzero"`
	Attempt  int32      `json:"attempt,omitzero"`
	Type     step.Type  `json:"type,omitzero"`
	State    step.State `json:"state,omitzero"`
	JobState step.State `json:"job_state,omitzero"`

	// The operations that the rules and the step's confirmers permit this person now. The
	// authorizer is not asked about these; [Engine.Allowed] asks it.
	Legal     step.Causes `json:"legal"`      // on the step and on the job; none on a step that is not current
	LegalFrom step.States `json:"legal_from"` // the states in which the operation would be legal on a step of this type

	cause error
}

// Error returns one line with the subject, the reason, and the legal operations. Names and words
// that are not plain are quoted.
func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString(r.subject() + ": ")
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
		if r.Detail != "" {
			fmt.Fprintf(&b, ": %s", r.Detail)
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
	case operation.OnHold, operation.NotHeld, operation.NoTurn, operation.NoBatchLeft, operation.StopSet, operation.NoStop, operation.Final:
		fmt.Fprintf(&b, "%s is not possible: %s", r.operation(), r.impediment())
	}
	if r.State != 0 {
		b.WriteString("; legal now: " + r.legalNow())
	}
	return b.String()
}

func (r *Refusal) subject() string {
	switch {
	case r.Job == 0:
		return "job"
	case r.Step == 0:
		return fmt.Sprintf("job %d", r.Job)
	}
	return fmt.Sprintf("job %d, step %d", r.Job, r.Step)
}

// impediment says in words what a guard found in the way of the operation.
func (r *Refusal) impediment() string {
	switch r.Reason {
	case operation.OnHold:
		if r.Cause.OfJob() {
			return "the job is on hold already"
		}
		return "the job is on hold, and nothing starts until it is resumed"
	case operation.NotHeld:
		return "the job is not on hold"
	case operation.NoTurn:
		return "other jobs have the turns that the job waits for"
	case operation.NoBatchLeft:
		return "no batch of the step is left"
	case operation.StopSet:
		return "a stop is set before the step already"
	case operation.Final:
		return "the job has ended for good"
	}
	return "no stop is set before the step"
}

// legalNow lists in words the operations that are legal on the step, and on the job. A comment, which
// always is, is no way out and left away.
func (r *Refusal) legalNow() string {
	var ofStep, ofJob step.Causes
	for c := range r.Legal.Without(operation.CommentJob.Cause()).All() {
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
	case r.Reason == operation.Denied:
		return "creation" // the other requests without a cause need no permission
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

// Public returns an error whose text clients may see. If an authorizer returns it, alone or
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

// ErrConflict: the request lost 100 races against other changes of the job. Nothing changed,
// and the request can be repeated.
var ErrConflict = errors.New("other changes were faster, nothing was done")

// ErrUnknownOutcome: the store failed in mid-commit, and did not answer the question for the
// outcome. The request may have been carried out, or be carried out later. Repeating it with the
// same request id is safe: it is carried out once. If the repetition is denied, because the
// person's permission was withdrawn meanwhile, only the history shows whether the first one was
// carried out. The error is an [*UnknownOutcomeError].
var ErrUnknownOutcome = errors.New("the outcome is unknown")

// An UnknownOutcomeError is an [ErrUnknownOutcome] with the request id for a repetition.
type UnknownOutcomeError struct {
	Job     store.JobID     // of the request; for a creation, the id that was drawn
	Request store.RequestID // the caller's, or drawn by the engine
	Err     error           // the store's
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("job %d: %v: repeat request %v to find out: %v", e.Job, ErrUnknownOutcome, e.Request, e.Err)
}

// Unwrap returns ErrUnknownOutcome and the store's error.
func (e *UnknownOutcomeError) Unwrap() []error { return []error{ErrUnknownOutcome, e.Err} }
