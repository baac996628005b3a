package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A StatusError is an error answer without an engine's error: the caller is unknown or no executor,
// the server is busy or has failed, or a proxy answered in its place.
type StatusError struct {
	Status     int           // of HTTP
	Reason     string        // of the problem, such as "busy"; the OpenAPI document lists them. Empty if the answer is not the API's
	Text       string        // the problem in words
	RetryAfter time.Duration // the pause that the server asks for before a repetition; 0 for none
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("the server answers %d", e.Status)
	if e.Reason != "" {
		text += " " + e.Reason
	}
	return text + ": " + e.Text
}

// Permanent reports whether the same request would be refused again, by the server or a proxy, as
// for its size. Answers about the caller, the route or the moment are not permanent: 401, 403, 404,
// 407, 408, 421, 425, 429, and all outside 400 to 499.
func (e *StatusError) Permanent() bool {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, // the caller
		http.StatusNotFound, http.StatusMisdirectedRequest, // the route, as to a server that starts
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests: // the moment
		return false
	}
	return e.Status >= 400 && e.Status <= 499
}

// A problem is an error answer of the API.
type problem struct {
	problemHead
	problemState
}

// problemHead has the fields of every problem, and those that a problem without a job can have.
type problemHead struct {
	Title   string          `json:"title"`
	Detail  string          `json:"detail"`
	Reason  string          `json:"reason"`
	Field   string          `json:"field"`
	Request store.RequestID `json:"request_id"`
}

// problemState is the state of the job in a refusal that depends on it.
type problemState struct {
	Job       store.JobID `json:"job"`
	Step      step.ID     `json:"step"`
	Cause     step.Cause  `json:"cause"`
	Actor     string      `json:"actor"`
	Current   step.ID     `json:"current"`
	Version   store.Seq   `json:"version"`
	Attempt   int32       `json:"attempt"`
	StepType  step.Type   `json:"step_type"`
	State     step.State  `json:"state"`
	JobState  step.State  `json:"job_state"`
	Legal     step.Causes `json:"legal"`
	LegalFrom step.States `json:"legal_from"`
}

// problem reads an answer that is an error.
func (k *call) problem(resp *http.Response) (fate, error) {
	status := &StatusError{Status: resp.StatusCode, Text: http.StatusText(resp.StatusCode), RetryAfter: retryAfter(resp.Header)}
	var p problem
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
		if err != nil || json.Unmarshal(text, &p.problemHead) != nil {
			p.problemHead = problemHead{}
		}
		if json.Unmarshal(text, &p.problemState) != nil { // names that are not registered here
			p.problemState = problemState{}
		}
	}
	if p.Reason == "" { // not the API's
		return fateOf(status), status
	}
	if reason, err := operation.ParseReason(p.Reason); err == nil && reason.String() == p.Reason {
		return final, k.refusal(reason, &p)
	}
	status.Reason, status.Text = p.Reason, p.Title
	if p.Detail != "" {
		status.Text += ": " + p.Detail
	}
	switch p.Reason {
	case "lease_lost":
		return final, fmt.Errorf("job %d: effect %d, delivery %d: %w", k.job, k.effect, k.count, store.ErrLeaseLost)
	case "ahead":
		return final, &engine.AheadError{Job: k.job, After: k.cursor, Last: p.Version}
	case "conflict":
		return undone, &answerError{engine.ErrConflict, status}
	case "unknown_outcome":
		if p.Request == (store.RequestID{}) { // of a report, which needs none
			return unknown, &answerError{engine.ErrUnknownOutcome, status}
		}
		return unknown, &engine.UnknownOutcomeError{Job: k.job, Request: p.Request, Err: status}
	case "busy", "too_many_streams":
		return undone, status
	}
	return fateOf(status), status
}

// fateOf returns the fate of a request by its status alone.
func fateOf(e *StatusError) fate {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return undone
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return unknown
	}
	return final
}

// An answerError is an engine's error with the answer that it came in.
type answerError struct {
	is error
	in *StatusError
}

func (e *answerError) Error() string   { return e.is.Error() }
func (e *answerError) Unwrap() []error { return []error{e.is, e.in} }

// namesItself reports whether the text of err names its job.
func namesItself(err error) bool {
	var (
		refusal *engine.Refusal
		ahead   *engine.AheadError
		unknown *engine.UnknownOutcomeError
	)
	return errors.As(err, &refusal) || errors.As(err, &ahead) || errors.As(err, &unknown) || errors.Is(err, store.ErrLeaseLost)
}

// refusal returns the server's refusal that became a problem.
func (k *call) refusal(reason operation.Reason, p *problem) *engine.Refusal {
	r := &engine.Refusal{
		Reason: reason, Cause: p.Cause, Job: p.Job, Step: p.Step, Actor: p.Actor, Field: p.Field, Detail: p.Detail,
		Current: p.Current, Version: p.Version, Attempt: p.Attempt, Type: p.StepType, State: p.State, JobState: p.JobState,
		Legal: p.Legal, LegalFrom: p.LegalFrom,
	}
	switch {
	case reason == operation.NoSuchJob || reason == operation.NoSuchStep:
		r.Job, r.Step = k.job, k.step
	case reason == operation.InvalidInput:
		switch field, isDuration := strings.CutSuffix(r.Field, "_ms"); {
		case field == "lease", field == "wait":
			r.Field = field
		case isDuration:
			r.Field = field + "_ns" // the engine's name
		}
	case r.State != 0:
		r.Detail = detailIn(*r, p.Detail)
	}
	return r
}

// detailIn returns the Detail of r, given the whole of its Error.
func detailIn(r engine.Refusal, whole string) string {
	const mark = "(detail)"
	r.Detail = mark
	before, after, ok := strings.Cut(r.Error(), mark)
	if !ok {
		return ""
	}
	whole, ok = strings.CutPrefix(whole, before)
	whole, ok2 := strings.CutSuffix(whole, after)
	if !ok || !ok2 {
		return ""
	}
	return whole
}

// retryAfter returns the pause that a server asks for, or 0.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
