package httpapi

import (
	"context"
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
	asked := c.caller.request()
	asked.Because = b.Reason
	if b.RequestID != nil {
		if err := requestID(*b.RequestID, &asked.ID); err != nil {
			return reply{}, err
		}
	}
	record, err := c.eng.Create(c.Context(), spec, asked)
	if err != nil {
		return reply{}, err
	}
	if spec.Scope == (store.Scope{}) && !c.caller.AllScopes {
		spec.Scope = c.caller.Scope
	}
	job, _, err := engine.Replay(c.eng.Rules(), spec, []store.Record{record}) // as it was created
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

// request returns what b and the If-Match header say. An explicit zero is no condition that a
// client can mean: it is refused, and not taken for none.
func (b *moreBody) request(c *call) (engine.Request, error) {
	r := c.caller.request()
	r.Because, r.IfVersion, r.DryRun = b.Reason, c.ifMatch, b.DryRun
	if b.IfVersion != nil {
		switch r.IfVersion = *b.IfVersion; {
		case r.IfVersion < 1:
			return r, invalid("if_version", "versions count from 1")
		case c.ifMatch != 0 && r.IfVersion != c.ifMatch:
			return r, invalid("if_version", "must equal the version in the If-Match header")
		}
	}
	if b.IfAttempt != nil {
		if r.IfAttempt = *b.IfAttempt; r.IfAttempt < 1 {
			return r, invalid("if_attempt", "attempts count from 1")
		}
	}
	if b.RequestID != nil {
		return r, requestID(*b.RequestID, &r.ID)
	}
	return r, nil
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
	asked, err := b.request(c)
	if err != nil {
		return reply{}, err
	}
	record, err := c.eng.Operate(c.Context(), job, id, code, asked)
	return c.done(record, err)
}

func (c *call) start(b *moreBody) (reply, error)     { return c.operateJob(b, operation.StartJob) }
func (c *call) terminate(b *moreBody) (reply, error) { return c.operateJob(b, operation.TerminateJob) }

func (c *call) operateJob(b *moreBody, code operation.JobCode) (reply, error) {
	job, err := c.job()
	if err != nil {
		return reply{}, err
	}
	asked, err := b.request(c)
	if err != nil {
		return reply{}, err
	}
	record, err := c.eng.OperateJob(c.Context(), job, code, asked)
	return c.done(record, err)
}

func (c *call) giveUp(b *moreBody) (reply, error) { return c.onEffect(b, c.eng.GiveUp) }
func (c *call) hurry(b *moreBody) (reply, error)  { return c.onEffect(b, c.eng.Hurry) }

// onEffect does something to the effect in the path. Its record mostly moves nothing, and so tells
// no ETag.
func (c *call) onEffect(b *moreBody, do func(context.Context, store.JobID, store.Seq, engine.Request) (store.Record, error)) (reply, error) {
	job, seq, err := c.effect()
	if err != nil {
		return reply{}, err
	}
	asked, err := b.request(c)
	if err != nil {
		return reply{}, err
	}
	record, err := do(c.Context(), job, seq, asked)
	answer, err := c.done(record, err)
	answer.moved = 0
	return answer, err
}

// done answers with a record. An operation always moves, so its sequence number is what the
// job's ETag was after it.
func (c *call) done(record store.Record, err error) (reply, error) {
	if c.ifMatch != 0 && errors.Is(err, operation.Stale) {
		p := problemOf(err)
		p.Status = http.StatusPreconditionFailed
		return reply{}, p
	}
	return reply{body: record, moved: record.Seq}, err
}
