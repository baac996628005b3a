package client

import (
	"context"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// createBody defines a job.
type createBody struct {
	Name      string          `json:"name"`
	Scope     store.Scope     `json:"scope,omitzero"`
	Steps     []specBody      `json:"steps"`
	StartAt   step.Time       `json:"start_at,omitzero"`
	TimeoutMS int64           `json:"timeout_ms,omitzero"`
	Turn      store.Turn      `json:"turn,omitzero"`
	Reason    string          `json:"reason,omitempty"`
	RequestID store.RequestID `json:"request_id,omitzero"`
}

// specBody defines a step.
type specBody struct {
	Type         step.Type     `json:"type"`
	Name         string        `json:"name"`
	Targets      []string      `json:"targets,omitzero"`
	IgnoreErrors bool          `json:"ignore_errors,omitempty"`
	Confirmers   []string      `json:"confirmers,omitzero"`
	TimeoutMS    int64         `json:"timeout_ms,omitzero"`
	OnTimeout    step.Decision `json:"on_timeout,omitzero"`
	StopBefore   bool          `json:"stop_before,omitempty"`
	wirePolicy
	Payload string `json:"payload,omitempty"`
}

// redoBody says which part of a job a new one repeats.
type redoBody struct {
	engine.Redo
	Reason    string          `json:"reason,omitempty"`
	RequestID store.RequestID `json:"request_id,omitzero"`
}

// moreBody has the optional fields of an operation.
type moreBody struct {
	Reason    string          `json:"reason,omitempty"`
	IfVersion store.Seq       `json:"if_version,omitzero"`
	IfAttempt int32           `json:"if_attempt,omitzero"`
	RequestID store.RequestID `json:"request_id,omitzero"`
	DryRun    bool            `json:"dry_run,omitempty"`
}

// operateBody is an operation on a step.
type operateBody struct {
	Code operation.Code `json:"code"`
	moreBody
}

// Create creates a job, as [engine.Engine.Create] does, and returns its header as of the creation.
// A dry run is invalid input over HTTP. So are r.By and r.Executor, as the server identifies the
// caller.
func (c *Client) Create(ctx context.Context, spec engine.JobSpec, r engine.Request) (store.Job, error) {
	if err := creates(&r); err != nil {
		return store.Job{}, err
	}
	if spec.Origin != 0 {
		return store.Job{}, invalid("origin", "does not apply over HTTP: see Redo")
	}
	body := &createBody{
		Name: spec.Name, Scope: spec.Scope, Steps: make([]specBody, len(spec.Steps)), Reason: r.Because, RequestID: r.ID,
		StartAt: spec.StartAt, TimeoutMS: milliseconds(spec.Timeout), Turn: spec.Turn,
	}
	for i, s := range spec.Steps {
		body.Steps[i] = specBody{
			Type: s.Type, Name: s.Name, Targets: s.Targets, IgnoreErrors: s.IgnoreErrors, Confirmers: s.Confirmers,
			TimeoutMS: milliseconds(s.Timeout), OnTimeout: s.OnTimeout, Payload: s.Payload, StopBefore: s.StopBefore,
		}
		if p := s.Policy(); p != nil {
			body.Steps[i].wirePolicy = policyOf(p)
		}
	}
	return c.create(ctx, post("create", body, "/v1/jobs"), &r)
}

// Redo creates a job that repeats a part of another one, as [engine.Engine.Redo] does, and returns its
// header. A dry run is invalid input over HTTP. So are r.By and r.Executor, as the server identifies the
// caller.
func (c *Client) Redo(ctx context.Context, job store.JobID, part engine.Redo, r engine.Request) (store.Job, error) {
	if err := creates(&r); err != nil {
		return store.Job{}, err
	}
	return c.create(ctx, post("redo", &redoBody{part, r.Because, r.ID}, "/v1/jobs/%d/redo", job).of(job, part.From), &r)
}

// create sends a call that creates a job.
func (c *Client) create(ctx context.Context, k *call, r *engine.Request) (store.Job, error) {
	k.repeats, k.request = true, r.ID
	var job wireJob
	k.answer = &job
	err := c.do(ctx, k)
	return job.stored(), err
}

// creates refuses what does not apply to a creation over HTTP.
func creates(r *engine.Request) error {
	switch {
	case r.DryRun:
		return invalid("dry_run", "does not apply to a creation over HTTP")
	case r.IfAttempt != 0:
		return invalid("if_attempt", "does not apply to a creation")
	case r.IfVersion != 0:
		return invalid("if_version", "does not apply to a creation")
	}
	return identified(r)
}

// Operate carries out an operation on a step, as [engine.Engine.Operate] does. r.By and r.Executor
// are invalid input, as the server identifies the caller.
func (c *Client) Operate(ctx context.Context, job store.JobID, id step.ID, code operation.Code, r engine.Request) (store.Record, error) {
	if err := identified(&r); err != nil {
		return store.Record{}, err
	}
	k := post(code.String(), &operateBody{code, more(&r)}, "/v1/jobs/%d/steps/%d/operate", job, id).of(job, id)
	return c.operate(ctx, k, &r)
}

// OperateJob starts, terminates, holds, resumes, seals or comments a job, as [engine.Engine.OperateJob]
// does. Other operations on jobs are not available over HTTP. r.By and r.Executor are invalid input, as
// the server identifies the caller.
func (c *Client) OperateJob(ctx context.Context, job store.JobID, code operation.JobCode, r engine.Request) (store.Record, error) {
	name, ok := map[operation.JobCode]string{
		operation.StartJob: "start", operation.TerminateJob: "terminate", operation.HoldJob: "hold", operation.ResumeJob: "resume",
		operation.SealJob: "seal", operation.CommentJob: "comment",
	}[code]
	if !ok {
		return store.Record{}, invalid("code", "%v has no call over HTTP: want %v", code, operation.CausesOf(operation.AllJobCodes()...))
	}
	if err := identified(&r); err != nil {
		return store.Record{}, err
	}
	return c.operate(ctx, post(name, more(&r), "/v1/jobs/%d/"+name, job).of(job, 0), &r)
}

// GiveUp gives up an effect that waits for delivery, as [engine.Engine.GiveUp] does. r.By and
// r.Executor are invalid input, as the server identifies the caller.
func (c *Client) GiveUp(ctx context.Context, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error) {
	return c.onEffect(ctx, "give_up", job, seq, r)
}

// Hurry ends the back-off of an effect after a failure, as [engine.Engine.Hurry] does. r.By and
// r.Executor are invalid input, as the server identifies the caller.
func (c *Client) Hurry(ctx context.Context, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error) {
	return c.onEffect(ctx, "hurry", job, seq, r)
}

func (c *Client) onEffect(ctx context.Context, what string, job store.JobID, seq store.Seq, r engine.Request) (store.Record, error) {
	if err := identified(&r); err != nil {
		return store.Record{}, err
	}
	return c.operate(ctx, post(what, more(&r), "/v1/jobs/%d/effects/%d/"+what, job, seq).of(job, 0), &r)
}

func (c *Client) operate(ctx context.Context, k *call, r *engine.Request) (store.Record, error) {
	k.repeats, k.request = true, r.ID
	var record store.Record
	k.answer = &record
	err := c.do(ctx, k)
	return record, err
}

func more(r *engine.Request) moreBody {
	return moreBody{Reason: r.Because, IfVersion: r.IfVersion, IfAttempt: r.IfAttempt, RequestID: r.ID, DryRun: r.DryRun}
}

// identified refuses a request that names its caller, and draws an id for a request without one, so
// that it can be repeated.
func identified(r *engine.Request) error {
	switch {
	case r.By != "":
		return invalid("actor", "the server identifies the caller: omit it")
	case r.Executor:
		return invalid("executor", "the server identifies the caller: omit it")
	}
	if r.ID == (store.RequestID{}) && !r.DryRun {
		r.ID = uuid.New()
	}
	return nil
}
