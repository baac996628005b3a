package scenario

import (
	"cmp"
	"context"
	"errors"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// note enters what came of an action into the timeline. What was written is read from the
// store itself, so that it is there even if nobody was told of it.
func (p *player) note(a *Action, o outcome) {
	records := p.news()
	e := Entry{Line: a.Line, At: step.At(p.now), Outcome: Accepted, Err: o.err}
	var asked Options
	switch c := a.Command.(type) {
	case *Job:
		e.Who, e.What, asked = person(c.By), "job "+name(c.Name)+c.options(), c.Options
	case *Operate:
		e.Who, e.What, e.Step, e.Code, asked = person(c.Person), c.what(), c.Step, c.Code, c.Options
	case *OperateJob:
		e.Who, e.What, e.JobCode, asked = person(c.Person), c.what(), c.Code, c.Options
	case *Report:
		said := *c
		said.By = "" // it stands under who
		e.Who, e.What, e.Step, e.Attempt = cmp.Or(c.By, "executor"), said.String(), c.Step, c.Attempt
		if o.err == nil {
			e.Report = &o.report
		}
	case *Sweep:
		p.noteSweep(a, records)
		return
	case *Deliver:
		p.noteDeliveries(a, c, o)
		return
	case *Restart:
		p.tell(a, "stage", c.String())
		return
	case *Deny, *Allow:
		p.tell(a, "stage", c.String())
		return
	default:
		return
	}
	p.about(&e)
	if o.receipt.Job != 0 {
		e.Receipt = &o.receipt
		e.Step, e.Attempt = o.receipt.Step, o.receipt.Attempt
	}
	switch {
	case errors.As(o.err, &e.Refusal):
		e.Outcome = Refused
		e.Step, e.Attempt = cmp.Or(e.Refusal.Step, e.Step), cmp.Or(e.Attempt, e.Refusal.Attempt)
	case errors.Is(o.err, engine.ErrUnknownOutcome):
		e.Outcome = Unknown
	case o.err != nil:
		e.Outcome = Failed
	case asked.DryRun:
		e.Outcome = Tried
		e.From, e.To, e.JobFrom, e.JobTo = o.receipt.From, o.receipt.To, o.receipt.JobFrom, o.receipt.JobTo
	case len(records) == 0:
		e.Outcome = Repeated
	}
	p.typed(&e)
	if len(records) == 0 {
		p.timeline = append(p.timeline, e)
		return
	}
	for i := range records {
		p.record(e, &records[i])
	}
}

// about says which job an entry is about.
func (p *player) about(e *Entry) {
	if p.job != nil {
		e.Job, e.JobName = p.job.id, p.job.Name
	}
}

// typed says of which type an entry's step is.
func (p *player) typed(e *Entry) {
	if job := p.find(e.Job); job != nil && e.Step >= 1 && int64(e.Step) <= int64(len(job.Steps)) {
		e.Type = job.Steps[e.Step-1].Type
	}
}

// tell notes what is no request.
func (p *player) tell(a *Action, who, what string) {
	p.timeline = append(p.timeline, Entry{Line: a.Line, At: step.At(p.now), Who: who, What: what, Outcome: Told})
}

// news returns the records that were written since it was last called, by job.
func (p *player) news() []store.Record {
	var news []store.Record
	for _, job := range p.jobs {
		records, err := p.raw.History(context.WithoutCancel(p.ctx), store.Scope{}, job.id, store.Page[store.Seq]{After: job.seen, Limit: all})
		if err != nil || len(records) == 0 {
			continue // an id that no job came to have, or the same as before
		}
		job.seen = records[len(records)-1].Seq
		news = append(news, records...)
	}
	return news
}

// record enters a record that came of e, and the step that was entered with it.
func (p *player) record(e Entry, r *store.Record) {
	e.Record, e.Job, e.Step, e.Attempt, e.Event = r, r.Job, r.Step, r.Attempt, r.Event
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
		JobFrom: r.JobTo, JobTo: r.JobTo, From: step.Pending, To: r.JobTo, Event: step.Entered, Record: r,
	}
	next.What = "enters step " + show(r.Entered)
	p.typed(&next)
	p.timeline = append(p.timeline, next)
}

func (p *player) noteSweep(a *Action, records []store.Record) {
	for i := range records {
		r := &records[i]
		e := Entry{Line: a.Line, At: step.At(p.now), Who: "deadline", What: "expires " + show(r.Step) + "." + show(r.Attempt), Outcome: Accepted}
		p.record(e, r)
	}
}

func (p *player) noteDeliveries(a *Action, c *Deliver, o outcome) {
	for _, d := range o.deliveries {
		e := Entry{
			Line: a.Line, At: step.At(p.now), Who: "dispatcher", What: "delivers " + delivery(d), Outcome: Told,
			Job: d.Job, Step: d.Step, Attempt: d.Attempt,
		}
		switch {
		case c.Failing != "":
			e.Err = errors.New(c.Failing)
			e.Outcome = Failed
		case c.Dies:
			e.What = "dies with " + delivery(d)
		}
		if job := p.find(d.Job); job != nil {
			e.JobName = job.Name
		}
		p.typed(&e)
		p.timeline = append(p.timeline, e)
	}
	if o.err != nil {
		p.timeline = append(p.timeline, Entry{
			Line: a.Line, At: step.At(p.now), Who: "dispatcher", What: "delivers", Outcome: Failed, Err: o.err,
		})
	}
}
