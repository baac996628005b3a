package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// OpenAPI returns the OpenAPI document of the server's API, in JSON. The caller owns it.
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	k := get("openapi", "/v1/openapi.json")
	var text json.RawMessage
	k.answer = &text
	err := c.do(ctx, k)
	return text, err
}

// Rules returns the server's rules as data. The caller owns them.
func (c *Client) Rules(ctx context.Context) (operation.Table, error) {
	k := get("rules", "/v1/rules")
	var t operation.Table
	k.answer = &t
	err := c.do(ctx, k)
	return t, err
}

// Job returns the header of a job, as [engine.Engine.Job] does.
func (c *Client) Job(ctx context.Context, job store.JobID) (store.Job, error) {
	k := get("job", "/v1/jobs/%d", job).of(job, 0)
	var j wireJob
	k.answer = &j
	err := c.do(ctx, k)
	return j.stored(), err
}

// Diagnose says what a job waits for, as [engine.Engine.Diagnose] does.
func (c *Client) Diagnose(ctx context.Context, job store.JobID) (engine.Diagnosis, error) {
	k := get("diagnose", "/v1/jobs/%d/diagnosis", job).of(job, 0)
	var d engine.Diagnosis
	k.answer = &d
	err := c.do(ctx, k)
	return d, err
}

// Jobs returns the headers of jobs, as [engine.Engine.Jobs] does.
func (c *Client) Jobs(ctx context.Context, q engine.JobQuery) ([]store.Job, error) {
	k := get("jobs", "/v1/jobs")
	k.query = url.Values{}
	if !q.States.Empty() {
		k.query.Set("state", list(q.States.All()))
	}
	if q.Name != "" {
		k.query.Set("name", q.Name)
	}
	if q.Newest {
		k.query.Set("newest", "true")
	}
	sent, err := pages[wireJob](ctx, c, k, "after", int64(q.After), q.Limit)
	var jobs []store.Job
	for i := range sent {
		jobs = append(jobs, sent[i].stored())
	}
	return jobs, err
}

// Counts returns the number of jobs in each state, counted up to most, as [engine.Engine.Counts]
// does; over HTTP most is 1 to 10,000.
func (c *Client) Counts(ctx context.Context, most int) (map[step.State]int, error) {
	k := get("counts", "/v1/jobs/counts")
	k.query = url.Values{"most": {strconv.Itoa(most)}}
	var answer struct {
		Counts map[step.State]int `json:"counts"`
		Most   int                `json:"most"`
	}
	k.answer = &answer
	err := c.do(ctx, k)
	return answer.Counts, err
}

// Steps returns up to limit steps of a job whose ids are greater than after, without payloads, as
// [engine.Engine.Steps] does. Limits of reads are 1 to 10,000; 0 means 100.
func (c *Client) Steps(ctx context.Context, job store.JobID, after step.ID, limit int) ([]store.Step, error) {
	k := get("steps", "/v1/jobs/%d/steps", job).of(job, 0)
	sent, err := pages[wireStep](ctx, c, k, "after", int64(after), limit)
	var steps []store.Step
	for i := range sent {
		steps = append(steps, sent[i].stored())
	}
	return steps, err
}

// Step returns one step of a job, with its payload, as [engine.Engine.Step] does.
func (c *Client) Step(ctx context.Context, job store.JobID, id step.ID) (store.Step, error) {
	k := get("step", "/v1/jobs/%d/steps/%d", job, id).of(job, id)
	var s wireStep
	k.answer = &s
	err := c.do(ctx, k)
	return s.stored(), err
}

// Explain returns a verdict on every operation on a step for the caller, as
// [engine.Engine.Explain] does.
func (c *Client) Explain(ctx context.Context, job store.JobID, id step.ID) (engine.Explanation, error) {
	k := get("explain", "/v1/jobs/%d/steps/%d/explain", job, id).of(job, id)
	var x wireExplanation
	k.answer = &x
	err := c.do(ctx, k)
	x.Explanation.Job, x.Explanation.Step = x.Job.stored(), x.Step.stored()
	return x.Explanation, err
}

// History returns up to limit records of a job whose sequence numbers are greater than after, as
// [engine.Engine.History] does.
func (c *Client) History(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Record, error) {
	k := get("history", "/v1/jobs/%d/history", job).of(job, 0)
	k.cursor = after
	return pages[store.Record](ctx, c, k, "after", int64(after), limit)
}

// Batches returns the batches of a step, as [engine.Engine.Batches] does.
func (c *Client) Batches(ctx context.Context, job store.JobID, id step.ID) ([]store.Batch, error) {
	k := get("batches", "/v1/jobs/%d/steps/%d/batches", job, id).of(job, id)
	var answer page[store.Batch]
	k.answer = &answer
	err := c.do(ctx, k)
	return answer.Items, err
}

// PlanBatches returns the plan of the batches of an expression for a number of targets, as
// [step.Batches] does: the index of the first target after each batch.
func (c *Client) PlanBatches(ctx context.Context, expression string, total int32) ([]int32, error) {
	k := get("plan", "/v1/batches")
	k.query = url.Values{"batches": {expression}, "total": {strconv.Itoa(int(total))}}
	var answer page[struct {
		End int32 `json:"end"`
	}]
	k.answer = &answer
	err := c.do(ctx, k)
	var ends []int32
	for _, b := range answer.Items {
		ends = append(ends, b.End)
	}
	return ends, err
}

// Effects returns up to limit unsettled effects of a job whose sequence numbers are greater than
// after, as [engine.Engine.Effects] does.
func (c *Client) Effects(ctx context.Context, job store.JobID, after store.Seq, limit int) ([]store.Delivery, error) {
	k := get("effects", "/v1/jobs/%d/effects", job).of(job, 0)
	return pages[store.Delivery](ctx, c, k, "after", int64(after), limit)
}

// Targets returns targets of a step by index, as [engine.Engine.Targets] does.
func (c *Client) Targets(ctx context.Context, job store.JobID, id step.ID, q engine.TargetQuery) ([]store.Target, error) {
	k, err := targets(job, id, q)
	if err != nil {
		return nil, err
	}
	return pages[store.Target](ctx, c, k, "from", int64(q.From), q.Limit)
}

// TargetsByStatus returns the targets that q selects and that have one of the statuses. The server
// reads q.Limit targets at most, so found can be empty before the end. next is the From of the next
// call, or 0 at the end.
func (c *Client) TargetsByStatus(ctx context.Context, job store.JobID, id step.ID, q engine.TargetQuery, statuses ...step.Status) (found []store.Target, next int32, err error) {
	k, err := targets(job, id, q)
	if err != nil {
		return nil, 0, err
	}
	if len(statuses) > 0 {
		var names []string
		for _, s := range statuses {
			names = append(names, s.String())
		}
		k.query.Set("status", strings.Join(names, ","))
	}
	answer, err := one[store.Target](ctx, c, k, "from", int64(q.From), q.Limit)
	return answer.Items, int32(answer.Next), err
}

var classes = [...]string{
	store.AllTargets: "", store.DueTargets: "due", store.UnfinishedTargets: "unfinished",
	store.FailedTargets: "failed", store.SucceededTargets: "succeeded",
}

func targets(job store.JobID, id step.ID, q engine.TargetQuery) (*call, error) {
	k := get("targets", "/v1/jobs/%d/steps/%d/targets", job, id).of(job, id)
	if int(q.Class) >= len(classes) {
		return nil, invalid("class", "unknown class %d", q.Class)
	}
	k.query = url.Values{}
	if q.Class != store.AllTargets {
		k.query.Set("class", classes[q.Class])
	}
	if q.Attempt != 0 {
		k.query.Set("attempt", strconv.Itoa(int(q.Attempt)))
	}
	if q.IfAttempt != 0 {
		k.query.Set("if_attempt", strconv.Itoa(int(q.IfAttempt)))
	}
	return k, nil
}

// A page is one part of a list, and the begin of the next one; 0 at the end.
type page[T any] struct {
	Items []T   `json:"items"`
	Next  int64 `json:"next"`
}

// one reads one page.
func one[T any](ctx context.Context, c *Client, k *call, key string, from int64, limit int) (page[T], error) {
	if k.query == nil {
		k.query = url.Values{}
	}
	if from != 0 {
		k.query.Set(key, strconv.FormatInt(from, 10))
	}
	if limit != 0 {
		k.query.Set("limit", strconv.Itoa(limit))
	}
	var answer page[T]
	k.answer = &answer
	err := c.do(ctx, k)
	return answer, err
}

// pages reads up to limit rows. A page of the server may end before its limit.
func pages[T any](ctx context.Context, c *Client, k *call, key string, from int64, limit int) (all []T, err error) {
	left := limit
	if limit == 0 {
		left = 100
	}
	for {
		answer, err := one[T](ctx, c, k, key, from, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, answer.Items...)
		left -= len(answer.Items)
		switch {
		case answer.Next == 0 || left <= 0:
			return all, nil
		case answer.Next == from:
			return nil, fmt.Errorf("%s: the server's page after %d says that the next one begins there too", k.what, from)
		}
		from, limit = answer.Next, left
	}
}

// list writes words as a parameter.
func list[T fmt.Stringer](all func(yield func(T) bool)) string {
	var names []string
	for v := range all {
		names = append(names, v.String())
	}
	return strings.Join(names, ",")
}

// A wireExplanation is an explanation as it is sent.
type wireExplanation struct {
	engine.Explanation
	Job  wireJob  `json:"job"`
	Step wireStep `json:"step"`
}

func invalid(field, format string, args ...any) *engine.Refusal {
	return &engine.Refusal{Reason: operation.InvalidInput, Field: field, Detail: fmt.Sprintf(format, args...)}
}
