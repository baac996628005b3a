package httpapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A problem is an error answer of the native API (RFC 9457). Handlers return it as an error.
type problem struct {
	Type   string `json:"type"` // "urn:stepgate:problem:" and the reason
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Reason string `json:"reason"` // machine-readable: the name of an operation.Reason, or a reason below
	Field  string `json:"field,omitempty"`

	// The state of the job, in a refusal that depends on it.
	Job      store.JobID `json:"job,omitzero"`
	Step     step.ID     `json:"step,omitzero"`
	Cause    step.Cause  `json:"cause,omitzero"`
	Actor    string      `json:"actor,omitempty"` // of denied and not_confirmer
	Current  step.ID     `json:"current,omitzero"`
	Version  store.Seq   `json:"version,omitzero"`
	Attempt  int32       `json:"attempt,omitzero"`
	StepType step.Type   `json:"step_type,omitzero"`
	State    step.State  `json:"state,omitzero"`
	JobState step.State  `json:"job_state,omitzero"`

	// The legal alternatives. Absent in a refusal that does not depend on the state.
	Legal     *step.Causes `json:"legal,omitempty"`
	LegalFrom *step.States `json:"legal_from,omitempty"`

	Request *store.RequestID `json:"request_id,omitempty"` // after an unknown outcome: the id to repeat the request with

	header http.Header // additional headers of the answer
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// The reasons in addition to the names of operation.Reason.
const (
	reasonUnauthenticated = "unauthenticated"
	reasonNotExecutor     = "not_executor"
	reasonTypeNotServed   = "type_not_served"
	reasonCrossOrigin     = "cross_origin"
	reasonNoSuchRoute     = "no_such_route"
	reasonMethod          = "method_not_allowed"
	reasonContentType     = "content_type"
	reasonIncomplete      = "incomplete_body"
	reasonBusy            = "busy"
	reasonTooManyStreams  = "too_many_streams"
	reasonAhead           = "ahead"
	reasonLeaseLost       = "lease_lost"
	reasonConflict        = "conflict"
	reasonUnknownOutcome  = "unknown_outcome"
	reasonInternal        = "internal"
)

// problems has the HTTP status and the title of each reason.
var problems = map[string]struct {
	status int
	title  string
}{
	operation.InvalidInput.String():   {http.StatusBadRequest, "the request is invalid"},
	operation.NoSuchJob.String():      {http.StatusNotFound, "there is no such job"},
	operation.NoSuchStep.String():     {http.StatusNotFound, "the job has no such step"},
	operation.Denied.String():         {http.StatusForbidden, "the person lacks the permission"},
	operation.RequestReused.String():  {http.StatusUnprocessableEntity, "the request id belongs to another request"},
	operation.Stale.String():          {http.StatusConflict, "the job has moved on"},
	operation.WrongType.String():      {http.StatusConflict, "the operation does not apply to this type of step"},
	operation.NotCurrent.String():     {http.StatusConflict, "the step is not the job's current one"},
	operation.WrongState.String():     {http.StatusConflict, "the operation is not legal in this state"},
	operation.NothingToRetry.String(): {http.StatusConflict, "every target has succeeded already"},
	operation.NotConfirmer.String():   {http.StatusForbidden, "the person is not a confirmer of the step"},
	operation.Sealed.String():         {http.StatusConflict, "the job is sealed"},
	operation.Settled.String():        {http.StatusConflict, "the effect does not wait any more"},
	operation.Leased.String():         {http.StatusConflict, "a claim holds the effect"},
	operation.OnHold.String():         {http.StatusConflict, "the job is on hold"},
	operation.NotHeld.String():        {http.StatusConflict, "the job is not on hold"},
	operation.NoTurn.String():         {http.StatusConflict, "other jobs have the turns"},
	operation.NoBatchLeft.String():    {http.StatusConflict, "every batch of the step has begun"},
	operation.StopSet.String():        {http.StatusConflict, "a stop is set before the step already"},
	operation.NoStop.String():         {http.StatusConflict, "no stop is set before the step"},
	operation.Final.String():          {http.StatusConflict, "the job has ended for good"},

	reasonUnauthenticated: {http.StatusUnauthorized, "the caller is unknown"},
	reasonNotExecutor:     {http.StatusForbidden, "the caller is not an executor"},
	reasonTypeNotServed:   {http.StatusForbidden, "the executor does not serve steps of this type"},
	reasonCrossOrigin:     {http.StatusForbidden, "pages of other origins may not write"},
	reasonNoSuchRoute:     {http.StatusNotFound, "unknown path"},
	reasonMethod:          {http.StatusMethodNotAllowed, "the path does not allow this method"},
	reasonContentType:     {http.StatusUnsupportedMediaType, "the body must be application/json"},
	reasonIncomplete:      {http.StatusRequestTimeout, "the body did not arrive completely and in time, nothing was done"},
	reasonBusy:            {http.StatusServiceUnavailable, "the server is busy, nothing was done"},
	reasonTooManyStreams:  {http.StatusTooManyRequests, "too many event streams are open"},
	reasonAhead:           {http.StatusConflict, "the cursor is ahead of the history"},
	reasonLeaseLost:       {http.StatusConflict, "the effect is settled, or another claim has taken it"},
	reasonConflict:        {http.StatusServiceUnavailable, "concurrent changes, nothing was done"},
	reasonUnknownOutcome:  {http.StatusInternalServerError, "the outcome is unknown"},
	reasonInternal:        {http.StatusInternalServerError, "the server failed"},
}

func newProblem(reason, detail string) *problem {
	p := problems[reason]
	return &problem{
		Type: "urn:stepgate:problem:" + reason, Title: p.title, Status: p.status, Detail: detail, Reason: reason,
	}
}

// invalid returns the problem of an invalid field.
func invalid(field, detail string) *problem {
	p := newProblem(operation.InvalidInput.String(), detail)
	p.Field = field
	return p
}

// problemOf returns err as a problem. Errors other than refusals are hidden from
// clients: they may leak internals.
func problemOf(err error) *problem {
	var (
		p       *problem
		refusal *engine.Refusal
		unknown *engine.UnknownOutcomeError
		ahead   *engine.AheadError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refusal):
		return refused(refusal)
	case errors.As(err, &unknown):
		p = newProblem(reasonUnknownOutcome, "repeat the request with this request_id: the server carries it out at most once")
		p.Request = &unknown.Request
	case errors.Is(err, errCut): // the link is slow or has broken: the request itself may be fine
		p = newProblem(reasonIncomplete, "repeat the request")
	case errors.Is(err, errBusy):
		p = newProblem(reasonBusy, err.Error())
		p.header = http.Header{"Retry-After": {"1"}}
	case errors.Is(err, store.ErrLeaseLost):
		p = newProblem(reasonLeaseLost, "")
	case errors.As(err, &ahead):
		p = newProblem(reasonAhead, "read the job again, and its history from the beginning")
		p.Job, p.Version = ahead.Job, ahead.Last
	case errors.Is(err, engine.ErrConflict):
		p = newProblem(reasonConflict, "repeat the request")
		p.header = http.Header{"Retry-After": {"1"}}
	default:
		p = newProblem(reasonInternal, "")
	}
	return p
}

// misused returns a refusal of a field as a problem. A field with a Go name is the program's and
// not the client's: the answer is an internal error.
func misused(r *engine.Refusal) *problem {
	switch field := r.Field; {
	case field == "" || 'A' <= field[0] && field[0] <= 'Z':
		return newProblem(reasonInternal, "")
	case field == "lease", field == "wait":
		return invalid(field+"_ms", r.Detail) // the name on the wire has the unit
	case strings.HasSuffix(field, "_ns"):
		return invalid(strings.TrimSuffix(field, "_ns")+"_ms", r.Detail) // likewise
	default:
		return invalid(field, r.Detail)
	}
}

// refused returns a refusal as a problem. It omits the number of an unknown job or
// step: the answer is the same for one outside the caller's scope.
func refused(r *engine.Refusal) *problem {
	p := newProblem(r.Reason.String(), r.Detail)
	switch r.Reason {
	case operation.NoSuchJob, operation.NoSuchStep:
		return p
	case operation.InvalidInput:
		return misused(r)
	case operation.RequestReused:
		p.Detail = "the earlier request had another step, effect, code, person or reason, or created another job"
	}
	p.Job, p.Step, p.Cause = r.Job, r.Step, r.Cause
	if r.Reason == operation.Denied || r.Reason == operation.NotConfirmer {
		p.Actor = r.Actor
	}
	if r.State != 0 {
		p.Detail = r.Error()
		p.Current, p.Version, p.Attempt, p.StepType, p.State, p.JobState = r.Current, r.Version, r.Attempt, r.Type, r.State, r.JobState
		p.Legal, p.LegalFrom = &r.Legal, &r.LegalFrom
	}
	return p
}
