package scenario

import (
	"cmp"
	"context"
	"errors"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// note enters the outcome of an action into the timeline. It reads the new records from the store,
// so that they are there even if the answer was lost.
func (p *player) note(a *action, o outcome) {
	records := p.news()
	switch c := a.Command.(type) {
	case *sweep:
		p.noteSweep(a, o, records)
	case *deliver:
		p.noteDeliveries(a, c, o)
	case *restart, *deny, *allow, *window:
		p.tell(a)
	case *creation, *operate, *effectRequest, *report:
		p.noteRequest(a, o, records)
	}
}

// entry returns an entry of an action without an outcome.
func (p *player) entry(a *action, who, what string) Entry {
	return Entry{Line: a.Line, At: step.At(p.now), Who: who, What: what, Outcome: Told}
}

// tell notes an action that is no request.
func (p *player) tell(a *action) {
	p.timeline = append(p.timeline, p.entry(a, "stage", a.Command.String()))
}

// fail enters the error that was the answer.
func (e *Entry) fail(err error) {
	e.Err, e.Outcome = err, Failed
	switch {
	case errors.As(err, &e.Refusal):
		e.Outcome = Refused
	case errors.Is(err, engine.ErrUnknownOutcome):
		e.Outcome = Unknown
	}
}

// request returns the entry of a request, and whether it was a dry run.
func (p *player) request(a *action) (e Entry, dry bool) {
	e = p.entry(a, "", "")
	switch c := a.Command.(type) {
	case *creation:
		e.Who, e.What, dry = person(c.By), "job "+name(c.Name)+c.when()+c.options(), c.DryRun
	case *operate:
		e.Who, e.What, e.Step, e.Cause, dry = person(c.Person), c.what(), c.Step, c.Cause, c.DryRun
	case *effectRequest:
		e.Who, e.What, e.Cause, dry = person(c.Person), c.what(), c.Cause, c.DryRun
	case *report:
		said := *c
		said.By = "" // it stands under who
		e.Who, e.What, e.Step, e.Attempt = "executor", said.String(), c.Step, c.Attempt
		if c.By != "" {
			e.Who = name(c.By)
		}
	}
	if p.job != nil {
		e.Job, e.JobName = p.job.id, p.job.Name
	}
	return e, dry
}

func (p *player) noteRequest(a *action, o outcome, records []store.Record) {
	e, dry := p.request(a)
	if _, reports := a.Command.(*report); reports && o.err == nil {
		e.Report = &o.report
	}
	if o.record.Job != 0 {
		e.Answer = &o.record
		e.Step, e.Attempt = o.record.Step, o.record.Attempt
	}
	switch {
	case o.err != nil:
		e.fail(o.err)
		if r := e.Refusal; r != nil {
			e.Step, e.Attempt = cmp.Or(r.Step, e.Step), cmp.Or(e.Attempt, r.Attempt)
		}
	case dry:
		e.Outcome = Tried
		e.From, e.To, e.JobFrom, e.JobTo = o.record.From, o.record.To, o.record.JobFrom, o.record.JobTo
	case len(records) == 0:
		e.Outcome = Repeated
	default:
		e.Outcome = Accepted
	}
	if len(records) == 0 {
		p.typed(&e)
		p.timeline = append(p.timeline, e)
	}
	for i := range records {
		p.record(e, &records[i])
	}
}

// typed sets the type of an entry's step.
func (p *player) typed(e *Entry) {
	if job := p.find(e.Job); job != nil && e.Step >= 1 && int64(e.Step) <= int64(len(job.Steps)) {
		e.Type = job.Steps[e.Step-1].Type
	}
}

// news returns the records that were written since it was last called, by job.
func (p *player) news() []store.Record {
	var news []store.Record
	for _, job := range p.jobs {
		records, err := p.raw.History(context.WithoutCancel(p.ctx), store.Scope{}, job.id, store.Page[store.Seq]{After: job.seen, Limit: mostRows})
		if err != nil || len(records) == 0 {
			continue // an id without a job, or the same as before
		}
		job.seen = records[len(records)-1].Seq
		news = append(news, records...)
	}
	return news
}

// record enters a record that e has caused, and the step that was entered with it.
func (p *player) record(e Entry, r *store.Record) {
	e.Record, e.Job, e.Step, e.Attempt = r, r.Job, r.Step, r.Attempt
	e.Cause = r.Cause
	if r.Cause == step.Opened { // by a sweep, or at once after the request that shut it
		e.Who, e.What, e.Answer, e.Report = "gate", "opens step "+show(r.Step), nil, nil
	}
	e.From, e.To, e.JobFrom, e.JobTo = r.From, r.To, r.JobFrom, r.JobTo
	if job := p.find(r.Job); job != nil {
		e.JobName = job.Name
	}
	p.typed(&e)
	p.timeline = append(p.timeline, e)
	if r.Entered == 0 {
		return
	}
	next := Entry{
		Line: e.Line, At: e.At, Who: "engine", Outcome: Accepted, JobName: e.JobName, Job: e.Job, Step: r.Entered, Attempt: 1,
		JobFrom: r.JobTo, JobTo: r.JobTo, From: step.Pending, To: r.JobTo, Cause: step.Entered, Record: r,
	}
	next.What = "enters step " + show(r.Entered)
	if r.Gate.Reason != step.NoGate {
		next.Attempt = 0
	}
	p.typed(&next)
	p.timeline = append(p.timeline, next)
}

func (p *player) noteSweep(a *action, o outcome, records []store.Record) {
	for i := range records {
		r := &records[i]
		e := p.entry(a, "deadline", "expires "+show(r.Step)+"."+show(r.Attempt))
		e.Outcome = Accepted
		p.record(e, r)
	}
	if o.err != nil {
		e := p.entry(a, "deadline", a.Command.String())
		e.fail(o.err)
		p.timeline = append(p.timeline, e)
	}
}

func (p *player) noteDeliveries(a *action, c *deliver, o outcome) {
	for _, d := range o.deliveries {
		e := p.entry(a, "dispatcher", "delivers "+p.delivery(d))
		e.Job, e.Step, e.Attempt = d.Job, d.Step, d.Attempt
		switch {
		case c.Failing != "":
			e.fail(errors.New(c.Failing))
		case c.Dies:
			e.What = "dies with " + p.delivery(d)
		}
		if job := p.find(d.Job); job != nil {
			e.JobName = job.Name
		}
		p.typed(&e)
		p.timeline = append(p.timeline, e)
	}
	if o.err != nil {
		e := p.entry(a, "dispatcher", a.Command.String())
		e.fail(o.err)
		p.timeline = append(p.timeline, e)
	}
}
