package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// createBody defines a job.
type createBody struct {
	Name      string       `json:"name"`
	Scope     *store.Scope `json:"scope"`
	Steps     []specBody   `json:"steps"`
	Reason    string       `json:"reason"`
	RequestID *string      `json:"request_id"`
}

// specBody is a [step.Spec] on the wire.
type specBody struct {
	Type         word     `json:"type"`
	Name         string   `json:"name"`
	Targets      []string `json:"targets"`
	IgnoreErrors bool     `json:"ignore_errors"`
	Confirmers   []string `json:"confirmers"`
	TimeoutMS    int64    `json:"timeout_ms"`
	OnTimeout    *word    `json:"on_timeout"`
	Payload      string   `json:"payload"`
}

func (b *specBody) spec(at string) (s step.Spec, err error) {
	s = step.Spec{
		Name: b.Name, Targets: b.Targets, IgnoreErrors: b.IgnoreErrors, Confirmers: b.Confirmers, Payload: b.Payload,
	}
	if s.Type, err = parse(at+".type", b.Type, step.ParseType); err != nil {
		return s, err
	}
	if b.OnTimeout != nil {
		if s.OnTimeout, err = parse(at+".on_timeout", *b.OnTimeout, step.ParseDecision); err != nil {
			return s, err
		}
	}
	s.Timeout, err = duration(at+".timeout_ms", b.TimeoutMS)
	return s, err
}

func (c *call) create(b *createBody) (reply, error) {
	spec := engine.JobSpec{Name: b.Name, Steps: make([]step.Spec, len(b.Steps))}
	if b.Scope != nil {
		spec.Scope = *b.Scope
		if !c.caller.AllScopes && spec.Scope != c.caller.Scope {
			return reply{}, invalid("scope", "must be the caller's own scope: omit it")
		}
	}
	for i := range b.Steps {
		s, err := b.Steps[i].spec(fmt.Sprintf("steps[%d]", i))
		if err != nil {
			return reply{}, err
		}
		spec.Steps[i] = s
	}
	opts := append(c.caller.options(), engine.Because(b.Reason))
	if b.RequestID != nil {
		id, err := requestID(*b.RequestID)
		if err != nil {
			return reply{}, err
		}
		opts = append(opts, engine.RequestID(id))
	}
	job, err := c.eng.Create(c.Context(), spec, opts...)
	return reply{
		status: http.StatusCreated, body: job, moved: job.Moved,
		at: "jobs/" + strconv.FormatInt(int64(job.ID), 10), // relative to /v1/jobs, wherever that is mounted
	}, err
}

// moreBody says more about an operation.
type moreBody struct {
	Reason    string     `json:"reason"`
	IfVersion *store.Seq `json:"if_version"`
	IfAttempt *int32     `json:"if_attempt"`
	RequestID *string    `json:"request_id"`
	DryRun    bool       `json:"dry_run"`
}

// operateBody is an operation on a step.
type operateBody struct {
	Code word `json:"code"`
	moreBody
}

// options returns what b and the If-Match header say.
func (b *moreBody) options(c *call) ([]engine.OperateOption, error) {
	opts := append(c.caller.options(), engine.Because(b.Reason))
	switch {
	case b.IfVersion != nil && c.ifMatch != 0 && *b.IfVersion != c.ifMatch:
		return nil, invalid("if_version", "must equal the version in the If-Match header")
	case b.IfVersion != nil:
		opts = append(opts, engine.IfVersion(*b.IfVersion))
	case c.ifMatch != 0:
		opts = append(opts, engine.IfVersion(c.ifMatch))
	}
	if b.IfAttempt != nil {
		opts = append(opts, engine.IfAttempt(*b.IfAttempt))
	}
	if b.RequestID != nil {
		id, err := requestID(*b.RequestID)
		if err != nil {
			return nil, err
		}
		opts = append(opts, engine.RequestID(id))
	}
	if b.DryRun {
		opts = append(opts, engine.DryRun())
	}
	return opts, nil
}

func (c *call) operate(b *operateBody) (reply, error) {
	job, id, err := c.step()
	if err != nil {
		return reply{}, err
	}
	code, err := parse("code", b.Code, operation.ParseCode)
	if err != nil {
		return reply{}, err
	}
	opts, err := b.options(c)
	if err != nil {
		return reply{}, err
	}
	receipt, err := c.eng.Operate(c.Context(), job, id, code, opts...)
	return c.done(receipt, err)
}

func (c *call) start(b *moreBody) (reply, error)     { return c.operateJob(b, operation.StartJob) }
func (c *call) terminate(b *moreBody) (reply, error) { return c.operateJob(b, operation.TerminateJob) }

func (c *call) operateJob(b *moreBody, code operation.JobCode) (reply, error) {
	job, err := c.job()
	if err != nil {
		return reply{}, err
	}
	opts, err := b.options(c)
	if err != nil {
		return reply{}, err
	}
	receipt, err := c.eng.OperateJob(c.Context(), job, code, opts...)
	return c.done(receipt, err)
}

// done answers with a receipt. An operation always moves, so its sequence number is what the
// job's ETag was after it.
func (c *call) done(receipt engine.Receipt, err error) (reply, error) {
	if c.ifMatch != 0 && errors.Is(err, operation.Stale) {
		p := problemOf(err)
		p.Status = http.StatusPreconditionFailed
		return reply{}, p
	}
	return reply{body: receipt, moved: receipt.Seq}, err
}
