package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

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
	StartAt   step.Time    `json:"start_at"`
	TimeoutMS int64        `json:"timeout_ms"`
	Turn      *store.Turn  `json:"turn"`
	Reason    string       `json:"reason"`
	RequestID *string      `json:"request_id"`
}

// specBody is a [step.Spec] on the wire.
type specBody struct {
	Type           word            `json:"type"`
	Name           string          `json:"name"`
	Targets        []string        `json:"targets"`
	IgnoreErrors   bool            `json:"ignore_errors"`
	Confirmers     []string        `json:"confirmers"`
	TimeoutMS      int64           `json:"timeout_ms"`
	OnTimeout      *word           `json:"on_timeout"`
	TotalTimeoutMS int64           `json:"total_timeout_ms"`
	StopBefore     bool            `json:"stop_before"`
	DelayMS        int64           `json:"delay_ms"`
	Window         string          `json:"window"`
	Retry          *retryBody      `json:"retry"`
	Rolling        *wireRolling    `json:"rolling"`
	Tolerate       *step.Tolerance `json:"tolerate"`
	Payload        string          `json:"payload"`
}

// retryBody is a [step.Retry] of a request.
type retryBody struct {
	Attempts int32  `json:"attempts"`
	AfterMS  int64  `json:"after_ms"`
	MostMS   int64  `json:"most_ms"`
	Except   []word `json:"except"`
}

func (b *retryBody) retry(at string) (r step.Retry, err error) {
	if r.Attempts = b.Attempts; r.Attempts == 0 {
		return r, invalid(at+".attempts", "missing: want the maximum of further attempts, at least 1")
	}
	if r.After, err = duration(at+".after_ms", b.AfterMS); err != nil {
		return r, err
	}
	if r.Most, err = duration(at+".most_ms", b.MostMS); err != nil {
		return r, err
	}
	for i, w := range b.Except {
		status, err := parse(fmt.Sprintf("%s.except[%d]", at, i), w, step.ParseStatus)
		if err != nil {
			return r, err
		}
		r.Except = append(r.Except, status)
	}
	return r, nil
}

func (b *wireRolling) rolling(at string) (r step.Rolling, err error) {
	r.Batches, r.Between.Person = b.Batches, b.Between.Person
	if r.Batches == "" {
		return r, invalid(at+".batches", "missing: want sizes, as in 1 10% 100%")
	}
	r.Between.Delay, err = duration(at+".between.delay_ms", b.Between.DelayMS)
	return r, err
}

func (b *specBody) spec(at string) (s step.Spec, err error) {
	s = step.Spec{
		Name: b.Name, Targets: b.Targets, IgnoreErrors: b.IgnoreErrors, Confirmers: b.Confirmers, Payload: b.Payload,
		StopBefore: b.StopBefore, Window: b.Window,
	}
	if s.Type, err = parse(at+".type", b.Type, step.ParseType); err != nil {
		return s, err
	}
	if b.OnTimeout != nil {
		if s.OnTimeout, err = parse(at+".on_timeout", *b.OnTimeout, step.ParseDecision); err != nil {
			return s, err
		}
	}
	for _, d := range [...]struct {
		field string
		ms    int64
		to    *time.Duration
	}{{".timeout_ms", b.TimeoutMS, &s.Timeout}, {".total_timeout_ms", b.TotalTimeoutMS, &s.TotalTimeout}, {".delay_ms", b.DelayMS, &s.Delay}} {
		if *d.to, err = duration(at+d.field, d.ms); err != nil {
			return s, err
		}
	}
	if b.Retry != nil {
		if s.Retry, err = b.Retry.retry(at + ".retry"); err != nil {
			return s, err
		}
	}
	if b.Rolling != nil {
		if s.Rolling, err = b.Rolling.rolling(at + ".rolling"); err != nil {
			return s, err
		}
	}
	if b.Tolerate != nil {
		s.Tolerate = *b.Tolerate
	}
	return s, nil
}

func (c *call) create(b *createBody) (reply, error) {
	spec := engine.JobSpec{Name: b.Name, Steps: make([]step.Spec, len(b.Steps)), StartAt: b.StartAt}
	if b.Scope != nil {
		spec.Scope = *b.Scope
		if !c.caller.AllScopes && spec.Scope != c.caller.Scope {
			return reply{}, invalid("scope", "must be the caller's own scope: omit it")
		}
	}
	var err error
	if spec.Timeout, err = duration("timeout_ms", b.TimeoutMS); err != nil {
		return reply{}, err
	}
	if b.Turn != nil {
		if spec.Turn = *b.Turn; spec.Turn.Key == "" {
			return reply{}, invalid("turn.key", "missing: want a name")
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
	job, _, err := engine.Replay(c.eng.Rules(), spec, []store.Record{record}) // the job as created
	return reply{
		status: http.StatusCreated, body: jobOf(&job), moved: job.Moved,
		at: "jobs/" + strconv.FormatInt(int64(job.ID), 10), // relative to /v1/jobs: valid under any mount
	}, err
}

// redoBody says which part of a job a new one repeats.
type redoBody struct {
	From      *step.ID `json:"from"`
	Failed    bool     `json:"failed"`
	Reason    string   `json:"reason"`
	RequestID *string  `json:"request_id"`
}

func (c *call) redo(b *redoBody) (reply, error) {
	job, err := c.job()
	if err != nil {
		return reply{}, err
	}
	part := engine.Redo{Failed: b.Failed}
	if b.From != nil {
		if part.From = *b.From; part.From < 1 {
			return reply{}, invalid("from", "steps count from 1")
		}
	}
	asked := c.caller.request()
	asked.Because = b.Reason
	if b.RequestID != nil {
		if err := requestID(*b.RequestID, &asked.ID); err != nil {
			return reply{}, err
		}
	}
	record, err := c.eng.Redo(c.Context(), job, part, asked)
	if err != nil {
		return reply{}, err
	}
	made, err := c.eng.Job(c.Context(), record.Job)
	return reply{
		status: http.StatusCreated, body: jobOf(&made), moved: made.Moved,
		at: "../" + strconv.FormatInt(int64(made.ID), 10), // relative to /v1/jobs/{job}/redo
	}, err
}

// moreBody holds the options of an operation.
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

// request returns the options of b and of the If-Match header. It refuses an explicit zero:
// versions and attempts count from 1, so a zero is a mistake of the client and not the absence of
// a condition.
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
func (c *call) hold(b *moreBody) (reply, error)      { return c.operateJob(b, operation.HoldJob) }
func (c *call) resume(b *moreBody) (reply, error)    { return c.operateJob(b, operation.ResumeJob) }
func (c *call) seal(b *moreBody) (reply, error)      { return c.operateJob(b, operation.SealJob) }
func (c *call) comment(b *moreBody) (reply, error)   { return c.operateJob(b, operation.CommentJob) }

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

// onEffect calls do on the effect in the path.
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
	return c.done(record, err)
}

// done answers with the record of an operation. If the record moves the job, its sequence number is
// the job's ETag after it; else the ETag stays the one before it, which the record does not tell.
func (c *call) done(record store.Record, err error) (reply, error) {
	if c.ifMatch != 0 && errors.Is(err, operation.Stale) {
		p := problemOf(err)
		p.Status = http.StatusPreconditionFailed
		return reply{}, p
	}
	answer := reply{body: record}
	if record.Moves() {
		answer.moved = record.Seq
	}
	return answer, err
}
