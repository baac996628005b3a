package httpapi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The codes and messages of answers. The codes are those of the reference platform.
const (
	codeSuccess        = 0
	codeInvalid        = 1241002 // a parameter is missing or invalid
	codeNotSupported   = 1241003 // the operation is not legal now
	codeStarted        = 1241015 // the job was started before
	codeNoSuchJob      = 1244006
	codeNoSuchStep     = 1244007
	codeNotConfirmer   = 1244016
	codeDenied         = 9900403
	codeInternal       = 1240002
	systemID           = "stepgate"
	systemName         = "Stepgate"
	messageSuccess     = "success"
	messageOutcome     = "the outcome is unknown: read the job's status before you repeat the request"
	messageConflict    = "concurrent changes of the job, nothing was done: repeat the request"
	messageBusy        = "the server is busy, nothing was done: repeat the request"
	messageInternal    = "the server failed, nothing was done: repeat the request later"
	messageNoSuchJob   = "there is no such job"
	messageNoSuchStep  = "the job has no such step"
	messageNotKnown    = "permission denied"
	messageCrossOrigin = "permission denied: pages of other origins may not write"
)

// A referenceError is the answer to a failed call.
type referenceError struct {
	code       int
	message    string
	permission *permission
}

func (e *referenceError) Error() string { return e.message }

var (
	errNotKnown    = &referenceError{code: codeDenied, message: messageNotKnown} // without details: the client is not authenticated
	errCrossOrigin = &referenceError{code: codeDenied, message: messageCrossOrigin}
	errNoSuchJob   = &referenceError{code: codeNoSuchJob, message: messageNoSuchJob}
)

// unacceptable returns the error of an invalid field, or of another invalid part of the request.
func unacceptable(field, detail string) *referenceError {
	return &referenceError{code: codeInvalid, message: field + ": " + detail}
}

// An envelope is the form of every answer.
type envelope struct {
	Result     bool        `json:"result"`
	Code       int         `json:"code"`
	Message    string      `json:"message"`
	Data       any         `json:"data"`
	Permission *permission `json:"permission"`
	RequestID  string      `json:"request_id"`
	JobRequest string      `json:"job_request_id"` // the same, for newer clients
}

func (r *referenceRequest) envelope(data any, err error) envelope {
	id := r.id()
	if err == nil {
		return envelope{Result: true, Code: codeSuccess, Message: messageSuccess, Data: data, RequestID: id, JobRequest: id}
	}
	e := r.answerTo(err)
	return envelope{Code: e.code, Message: e.message, Permission: e.permission, RequestID: id, JobRequest: id}
}

// answerTo returns the answer for an error. Errors other than refusals are hidden from clients, as
// they may leak internals, and reported to Config.Failed.
func (r *referenceRequest) answerTo(err error) *referenceError {
	var (
		answer  *referenceError
		refusal *engine.Refusal
	)
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &refusal):
		return refer(refusal, r.scope)
	case errors.Is(err, engine.ErrUnknownOutcome):
		r.api.failed(withoutCredentials(r.Request), err)
		return &referenceError{code: codeInternal, message: messageOutcome}
	case errors.Is(err, engine.ErrConflict):
		return &referenceError{code: codeInternal, message: messageConflict}
	case errors.Is(err, errBusy):
		return &referenceError{code: codeInternal, message: messageBusy}
	}
	r.api.failed(withoutCredentials(r.Request), err)
	return &referenceError{code: codeInternal, message: messageInternal}
}

// refer returns the answer for a refusal. It omits the numbers of unknown jobs and steps, and the
// caller's name.
func refer(r *engine.Refusal, scope store.Scope) *referenceError {
	switch r.Reason {
	case operation.NoSuchJob:
		return errNoSuchJob
	case operation.NoSuchStep:
		return &referenceError{code: codeNoSuchStep, message: messageNoSuchStep}
	case operation.Denied:
		why := ""
		if r.Detail != "" {
			why = ": " + r.Detail
		}
		return &referenceError{
			code: codeDenied, message: "permission denied: the caller may not do " + named(r.Cause) + why, permission: missing(r, scope),
		}
	case operation.InvalidInput:
		return unacceptable(fieldOf(r), r.Detail)
	case operation.NotConfirmer:
		return &referenceError{code: codeNotConfirmer, message: inWords(r)}
	case operation.WrongState:
		if r.Cause == operation.StartJob.Cause() {
			return &referenceError{code: codeStarted, message: inWords(r)}
		}
	}
	return &referenceError{code: codeNotSupported, message: inWords(r)}
}

// fieldOf returns the client's name for the invalid field of a refusal.
func fieldOf(r *engine.Refusal) string {
	switch r.Field {
	case "job":
		return fieldJob
	case "step":
		return fieldStep
	case "code":
		return fieldCode
	case "actor":
		return "the caller"
	}
	return "the request"
}

// inWords returns a refusal in words: the reason, the state of the job, and the operations that
// are legal now, each with its number.
func inWords(r *engine.Refusal) string {
	var why string
	switch r.Reason {
	case operation.WrongType:
		why = "it does not apply to a step of type " + named(r.Type)
		if r.Detail != "" { // the type of the next step is wrong
			why = r.Detail
		}
	case operation.NotCurrent:
		why = fmt.Sprintf("it is for the job's current step, which is %d", r.Current)
	case operation.WrongState:
		why = "it is not legal in this state, only in " + listed(r.LegalFrom)
		if r.Detail != "" { // what the step waits for
			why += ", and " + r.Detail
		}
	case operation.NothingToRetry:
		why = "every target has succeeded already"
	case operation.NotConfirmer:
		why = "it is for the step's confirmers, and the caller is not one of them"
	case operation.Sealed:
		why = "the job is sealed"
	case operation.OnHold:
		why = "the job is on hold"
	case operation.NotHeld:
		why = "the job is not on hold"
	case operation.NoTurn:
		why = "other jobs have the turns that the job waits for"
	case operation.NoBatchLeft:
		why = "every batch of the step has begun"
	case operation.StopSet:
		why = "a stop is set before the step already"
	case operation.NoStop:
		why = "no stop is set before the step"
	case operation.Final:
		why = "the job has ended for good"
	default:
		why = r.Detail
	}
	now := "legal now: " + listed(only(r.Legal, step.Cause.OfStep))
	if r.Step == r.Current { // for another step, Legal is empty
		now += "; legal now on the job: " + listed(only(r.Legal, step.Cause.OfJob).Without(operation.CommentJob.Cause()))
	}
	return fmt.Sprintf("%s was refused: %s; step %d is %s, and the job is %s; %s",
		named(r.Cause), why, r.Step, named(r.State), named(r.JobState), now)
}

// named returns an operation, a state or a type in words and as its number.
func named[T step.Element](v T) string {
	number := uint8(v)
	if cause, ok := any(v).(step.Cause); ok {
		number = cause.Code()
	}
	return fmt.Sprintf("%s (%d)", strings.ReplaceAll(v.String(), "_", " "), number)
}

// only returns the causes for which sort is true.
func only(causes step.Causes, sort func(step.Cause) bool) step.Causes {
	for cause := range causes.All() {
		if !sort(cause) {
			causes = causes.Without(cause)
		}
	}
	return causes
}

// listed returns the elements of a set in words, separated by commas.
func listed[T step.Element](set step.Set[T]) string {
	if set.Empty() {
		return "none"
	}
	var names []string
	for v := range set.All() {
		names = append(names, named(v))
	}
	return strings.Join(names, ", ")
}

// A permission is the permission that a denied person lacks, in the form of the reference
// platform, whose clients show it.
type permission struct {
	SystemID   string   `json:"system_id"`
	SystemName string   `json:"system_name"`
	Actions    []action `json:"actions"`
}

type action struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Resources []resourceType `json:"related_resource_types"`
}

type resourceType struct {
	SystemID   string       `json:"system_id"`
	SystemName string       `json:"system_name"`
	Type       string       `json:"type"`
	TypeName   string       `json:"type_name"`
	Instances  [][]resource `json:"instances"` // each as a path
}

type resource struct {
	Type     string `json:"type"`
	TypeName string `json:"type_name"`
	ID       string `json:"id"`
	Name     string `json:"name"`
}

// missing returns the permission for a denied operation in a scope.
func missing(r *engine.Refusal, scope store.Scope) *permission {
	id := r.Cause.String()
	typeName := "business"
	if scope.Type == "biz_set" {
		typeName = "business set"
	}
	return &permission{SystemID: systemID, SystemName: systemName, Actions: []action{{
		ID: id, Name: strings.ReplaceAll(id, "_", " "),
		Resources: []resourceType{{
			SystemID: systemID, SystemName: systemName, Type: scope.Type, TypeName: typeName,
			Instances: [][]resource{{{Type: scope.Type, TypeName: typeName, ID: scope.ID, Name: scope.ID}}},
		}},
	}}}
}
