package httpapi

import (
	"cmp"
	"context"
	"fmt"
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
	q.Name = c.query.Get("name")
	if q.After, q.Limit, err = after[store.JobID](c); err != nil {
		return reply{}, err
	}
	jobs := page[store.Job, store.JobID]{
		call: c, after: q.After, key: func(j *store.Job) store.JobID { return j.ID },
		write: func(w *jsonWriter, j *store.Job) { w.value(jobOf(j)) },
		get: func(after store.JobID, limit int) ([]store.Job, error) {
			q.After, q.Limit = after, limit
			return c.eng.Jobs(c.Context(), q)
		},
	}
	if q.Name != "" {
		beyond, err := c.beyondWindow(q.States)
		if err != nil {
			return reply{}, err
		}
		jobs.tail = fmt.Sprintf(`,"window":%d,"beyond":%v`, store.NameWindow, beyond)
	}
	return answer(jobs.open(q.Limit))
}

// beyondWindow reports whether more than [store.NameWindow] jobs are in the given states; the
// empty set means all states.
func (c *call) beyondWindow(states step.States) (bool, error) {
	counts, err := c.eng.Counts(c.Context(), store.NameWindow+1)
	n := 0
	for state, count := range counts {
		if states.Empty() || states.Has(state) {
			n += count
		}
	}
	return n > store.NameWindow, err
}

// wireCounts are the jobs in each state, counted up to Most.
type wireCounts struct {
	Counts map[step.State]int `json:"counts"`
	Most   int                `json:"most"`
}

// The maximum to which the jobs of a state are counted.
const (
	countsMost    = 1000 // default
	maxCountsMost = 10_000
)

func (c *call) counts() (reply, error) {
	most, err := param32(c, "most")
	if err != nil {
		return reply{}, err
	}
	if most > maxCountsMost || most == 0 && c.query.Has("most") {
		return reply{}, invalid("most", fmt.Sprintf("must be 1 to %d; the default is %d", maxCountsMost, countsMost))
	}
	answer := wireCounts{Most: cmp.Or(int(most), countsMost)}
	answer.Counts, err = c.eng.Counts(c.Context(), answer.Most)
	return reply{body: answer}, err
}

func (c *call) getJob() (reply, error) {
	id, err := c.job()
	if err != nil {
		return reply{}, err
	}
	job, err := c.eng.Job(c.Context(), id)
	return reply{body: jobOf(&job), moved: job.Moved}, err
}

func (c *call) diagnose() (reply, error) {
	id, err := c.job()
	if err != nil {
		return reply{}, err
	}
	d, err := c.eng.Diagnose(c.Context(), id)
	return reply{body: d}, err
}

func (c *call) steps() (reply, error) {
	p := page[store.Step, step.ID]{size: bytesOf, key: func(s *store.Step) step.ID { return s.ID }}
	p.write = func(w *jsonWriter, s *store.Step) { stepOf(s).write(w) }
	return pageOf(c, p, c.eng.Steps)
}

func (c *call) history() (reply, error) {
	p := page[store.Record, store.Seq]{key: func(r *store.Record) store.Seq { return r.Seq }, write: marshalled[store.Record]}
	return pageOf(c, p, c.eng.History)
}

func (c *call) effects() (reply, error) {
	p := page[store.Delivery, store.Seq]{key: func(d *store.Delivery) store.Seq { return d.Seq }, write: marshalled[store.Delivery]}
	return pageOf(c, p, c.eng.Effects)
}

// marshalled writes v as encoding/json does.
func marshalled[T any](w *jsonWriter, v *T) { w.value(v) }

// pageOf answers with a page of rows that belong to the job in the path.
func pageOf[T any, K ~int64](c *call, p page[T, K], get func(context.Context, store.JobID, K, int) ([]T, error)) (reply, error) {
	job, err := c.job()
	if err != nil {
		return reply{}, err
	}
	var limit int
	if p.after, limit, err = after[K](c); err != nil {
		return reply{}, err
	}
	p.call, p.get = c, func(after K, limit int) ([]T, error) { return get(c.Context(), job, after, limit) }
	return answer(p.open(limit))
}

// answer answers with a page.
func answer[T any, K ~int32 | ~int64](p *page[T, K], err error) (reply, error) {
	return reply{body: p}, err
}

// getStep reads the job first: the ETag is then never ahead of the step.
func (c *call) getStep() (reply, error) {
	id, stepID, err := c.step()
	if err != nil {
		return reply{}, err
	}
	return c.admitted(func() (any, int64, store.Seq, error) {
		job, err := c.header(id)
		if err != nil {
			return nil, 0, 0, err
		}
		s, err := c.eng.Step(c.Context(), id, stepID)
		return wholeStep(&s), bytesOf(&s), job.Moved, err
	})
}

func (c *call) explain() (reply, error) {
	job, stepID, err := c.step()
	if err != nil {
		return reply{}, err
	}
	return c.admitted(func() (any, int64, store.Seq, error) {
		x, err := c.eng.Explain(c.Context(), job, stepID, c.caller.request())
		answer := &wireExplanation{Job: jobOf(&x.Job), Step: stepOf(&x.Step), Causes: x.Causes}
		return answer, bytesOf(&x.Step), x.Job.Moved, err
	})
}

// wireBatches are the batches of a step.
type wireBatches struct {
	Items []store.Batch `json:"items"`
}

func (c *call) batches() (reply, error) {
	job, stepID, err := c.step()
	if err != nil {
		return reply{}, err
	}
	answer := wireBatches{Items: []store.Batch{}}
	batches, err := c.eng.Batches(c.Context(), job, stepID)
	answer.Items = append(answer.Items, batches...)
	return reply{body: answer}, err
}

// wirePlan is the plan of the batches of a step.
type wirePlan struct {
	Items []plannedBatch `json:"items"`
}

type plannedBatch struct {
	Number int32 `json:"number"`
	First  int32 `json:"first"`
	End    int32 `json:"end"`
}

// plan answers with the plan that a step with batches and so many targets would have.
func (c *call) plan() (reply, error) {
	total, err := param32(c, "total")
	if err != nil {
		return reply{}, err
	}
	if total == 0 {
		return reply{}, invalid("total", "want the number of targets: 1 to 2147483647")
	}
	ends, err := step.Batches(c.query.Get("batches"), total)
	if err != nil {
		return reply{}, invalid("batches", err.Error())
	}
	var plan wirePlan
	for i, end := range ends {
		b := plannedBatch{Number: int32(i) + 1, End: end}
		if i > 0 {
			b.First = ends[i-1]
		}
		plan.Items = append(plan.Items, b)
	}
	return reply{body: plan}, nil
}

// header returns the header of a job. It reads a list of one job, as [engine.Engine.Job] also
// reads the current step.
func (c *call) header(id store.JobID) (store.Job, error) {
	if id > 0 {
		jobs, err := c.eng.Jobs(c.Context(), engine.JobQuery{After: id - 1, Limit: 1})
		if err == nil && len(jobs) == 1 && jobs[0].ID == id {
			return jobs[0], nil
		}
	}
	return c.eng.Job(c.Context(), id) // for its error
}

// admitted answers with the result of read, which may be large, and with an ETag.
func (c *call) admitted(read func() (body any, bytes int64, moved store.Seq, err error)) (reply, error) {
	answer, held, err := admit(c.Context(), c.room(), c.caller.client(), c.api.c.WriteTimeout, c.URL.Path, func() (reply, int64, error) {
		body, bytes, moved, err := read()
		return reply{body: body, moved: moved}, bytes, err
	})
	answer.held = held
	return answer, err
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
			return reply{}, invalid("class", "unknown: want one of all, due, unfinished, failed, succeeded")
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
	targets := page[store.Target, int32]{
		call: c, after: q.From, key: func(t *store.Target) int32 { return t.Index + 1 }, write: marshalled[store.Target],
		get: func(from int32, limit int) ([]store.Target, error) {
			q.From, q.Limit = from, limit
			return c.eng.Targets(c.Context(), job, stepID, q)
		},
	}
	if only != nil {
		targets.keep = func(t *store.Target) bool { return slices.Contains(only, t.Status) }
	}
	return answer(targets.open(int(limit)))
}
