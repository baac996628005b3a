package httpapi

import (
	"context"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func (c *call) rules() (reply, error) { return reply{body: c.eng.Rules().Table()}, nil }

func (c *call) jobs() (reply, error) {
	var q engine.JobQuery
	var err error
	if c.query.Has("state") {
		states, err := words("state", c.query.Get("state"), step.ParseState)
		if err != nil {
			return reply{}, err
		}
		q.States = step.StatesOf(states...)
	}
	if q.Newest, err = c.flag("newest", false); err != nil {
		return reply{}, err
	}
	if q.After, q.Limit, err = page[store.JobID](c); err != nil {
		return reply{}, err
	}
	jobs, err := c.eng.Jobs(c.Context(), q)
	return reply{body: pageOf(jobs, q.Limit, func(j store.Job) store.JobID { return j.ID })}, err
}

func (c *call) getJob() (reply, error) {
	id, err := c.job()
	if err != nil {
		return reply{}, err
	}
	job, err := c.eng.Job(c.Context(), id)
	return reply{body: job, moved: job.Moved}, err
}

func (c *call) steps() (reply, error) {
	return list(c, c.eng.Steps, stepOf, func(s wireStep) step.ID { return s.ID })
}

func (c *call) history() (reply, error) {
	return list(c, c.eng.History, same, func(r store.Record) store.Seq { return r.Seq })
}

func (c *call) effects() (reply, error) {
	return list(c, c.eng.Effects, same, func(d store.Delivery) store.Seq { return d.Seq })
}

func same[T any](v T) T { return v }

// list answers with a page of what belongs to the job in the path, each as wire has it.
func list[T, W any, K ~int64](c *call, get rows[T, K], wire func(T) W, key func(W) K) (reply, error) {
	job, err := c.job()
	if err != nil {
		return reply{}, err
	}
	after, limit, err := page[K](c)
	if err != nil {
		return reply{}, err
	}
	all, err := get(c.Context(), job, after, limit)
	if err != nil {
		return reply{}, err
	}
	items := make([]W, len(all))
	for i := range all {
		items[i] = wire(all[i])
	}
	return reply{body: pageOf(items, limit, key)}, nil
}

type rows[T any, K ~int64] func(ctx context.Context, job store.JobID, after K, limit int) ([]T, error)

// getStep reads the job first: the ETag is then never ahead of the step.
func (c *call) getStep() (reply, error) {
	id, stepID, err := c.step()
	if err != nil {
		return reply{}, err
	}
	job, err := c.eng.Job(c.Context(), id)
	if err != nil {
		return reply{}, err
	}
	s, err := c.eng.Step(c.Context(), id, stepID)
	return reply{body: wholeStep(s), moved: job.Moved}, err
}

func (c *call) explain() (reply, error) {
	job, stepID, err := c.step()
	if err != nil {
		return reply{}, err
	}
	x, err := c.eng.Explain(c.Context(), job, stepID, engine.By(c.caller.Person))
	return reply{
		body:  wireExplanation{Job: x.Job, Step: stepOf(x.Step), Codes: x.Codes, JobCodes: x.JobCodes},
		moved: x.Job.Moved,
	}, err
}

func (c *call) targets() (reply, error) {
	job, stepID, err := c.step()
	if err != nil {
		return reply{}, err
	}
	q := engine.TargetQuery{}
	if c.query.Has("class") {
		class, ok := classes[c.query.Get("class")]
		if !ok {
			return reply{}, invalid("class", "unknown: it is all, due, unfinished, failed or succeeded")
		}
		q.Class = class
	}
	var only []step.Status
	if c.query.Has("status") {
		if only, err = words("status", c.query.Get("status"), step.ParseStatus); err != nil {
			return reply{}, err
		}
	}
	var limit int32
	for _, p := range []struct {
		name string
		to   *int32
	}{{"attempt", &q.Attempt}, {"if_attempt", &q.IfAttempt}, {"from", &q.From}, {"limit", &limit}} {
		if *p.to, err = param32(c, p.name); err != nil {
			return reply{}, err
		}
	}
	q.Limit = int(limit)
	targets, err := c.eng.Targets(c.Context(), job, stepID, q)
	if err != nil {
		return reply{}, err
	}
	answer := pageOf(targets, q.Limit, func(t store.Target) int32 { return t.Index + 1 })
	if only != nil {
		answer.Items = slices.DeleteFunc(answer.Items, func(t store.Target) bool { return !slices.Contains(only, t.Status) })
	}
	return reply{body: answer}, nil
}
