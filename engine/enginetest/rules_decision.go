package enginetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The times of decisions: before any deadline, and after all of them.
const (
	inTime step.Time = 10_000
	late   step.Time = 1_000_000
)

// decisions compares what the engine and the model decide.
func (c *rulesCheck) decisions() {
	for _, t := range append(slices.Clone(c.types), c.undeclared()...) {
		if !c.declared(t) {
			continue
		}
		for _, s := range step.AllStates() {
			for at := range c.situations(t, s) {
				c.situated++
				c.operations(at)
				c.reports(at)
				c.expiries(at)
				if at.expires() {
					at.now, at.text = late, at.text+", overdue"
					c.operations(at)
					c.reports(at)
				}
				if len(c.cells) >= c.most {
					return
				}
			}
		}
	}
}

// operations compares what becomes of every operation on the step and on the job, and which
// ones a refusal says are legal.
func (c *rulesCheck) operations(at *situation) {
	people := []string{"ann", "bob", ""}
	if c.expect.Enters(at.Type) != step.Waiting {
		people = people[:1]
	}
	left := at.job.Clone()
	left.Expire(1, at.view.Step.Attempt, at.now) // refused unless the deadline has passed
	for _, person := range people {
		var legal step.Causes
		var refused []*engine.Refusal
		for cause := range rowCauses {
			switch {
			case !at.all && !c.causes.Has(cause), cause >= 64 && !cause.OfJob():
				continue
			case cause.OfJob() && at.job.Current != 1: // which the view does not show
				continue
			}
			job := at.job.Clone()
			var reason operation.Reason
			if cause.OfJob() {
				reason = job.OperateJob(operation.JobCode(cause.Code()), person, at.now)
			} else {
				reason = job.Operate(1, operation.Code(cause), person, at.now)
			}
			want := at.modelled(job, reason, model.Answer{})
			if want.reason == 0 && left.Current == 1 {
				legal = legal.With(cause)
			}
			got, refusal := c.decide(at, &engine.Operate{Cause: cause, Request: engine.Request{By: person}})
			c.compare(at, cause.String(), fmt.Sprintf(", by %q", person), got, want)
			if refusal != nil && refusal.Reason != operation.InvalidInput && (!cause.OfJob() || left.Current == 1) {
				refused = append(refused, refusal)
			}
		}
		for _, refusal := range refused {
			c.refusal(at, refusal, legal)
		}
	}
}

// refusal compares what a refusal says would be legal, unless a cell differs anyhow. That
// goes by the step alone, and not by whether there is a next step that could not start.
func (c *rulesCheck) refusal(at *situation, r *engine.Refusal, legal step.Causes) {
	if next := at.view.Next; c.spoilt[at.Type] || c.spoilt[0] || next.ID != 0 && c.expect.Enters(next.Type) == 0 {
		return
	}
	if r.Legal != legal {
		c.differ(at.Type, at.State, "what a refusal says is legal", at.text, r.Legal.String(), legal.String())
	}
	if want := c.expectedStates(at.Type, r.Cause); r.LegalFrom != want {
		c.differ(at.Type, at.State, fmt.Sprintf("the states in which a refusal says %v is legal", r.Cause), at.text, r.LegalFrom.String(), want.String())
	}
}

// The reports that are tried in a situation in which an attempt is under way. Elsewhere the
// first of them will do.
var reports = []struct {
	text    string
	results []model.Result
	outcome step.Cause
}{
	{"the last target succeeded", []model.Result{{Target: 1, Status: step.TargetSucceeded}}, 0},
	{"the last target failed", []model.Result{{Target: 1, Status: step.NonZeroExit, ExitCode: 1}}, 0},
	{"a target runs", []model.Result{{Target: 1, Status: step.TargetRunning}}, 0},
	{"a target waits", []model.Result{{Target: 1, Status: step.TargetWaiting}}, 0},
	{"both targets succeeded", []model.Result{{Target: 0, Status: step.TargetSucceeded}, {Target: 1, Status: step.SucceededEarlier}}, 0},
	{"both targets failed", []model.Result{{Target: 0, Status: step.TargetFailed}, {Target: 1, Status: step.TargetFailed}}, 0},
	{"a target failed, then succeeded", []model.Result{{Target: 1, Status: step.TargetFailed}, {Target: 1, Status: step.TargetSucceeded}}, 0},
	{"a target that is not there", []model.Result{{Target: 1, Status: step.TargetSucceeded}, {Target: 2, Status: step.TargetSucceeded}}, 0},
	{"stopped", nil, step.Stopped},
	{"broke", nil, step.Broke},
	{"dropped", nil, step.Dropped},
	{"both targets succeeded, and stopped", []model.Result{{Target: 0, Status: step.TargetSucceeded}, {Target: 1, Status: step.TargetSucceeded}}, step.Stopped},
	{"an outcome that is none", nil, step.Expired},
	{"nothing", nil, 0},
}

func (c *rulesCheck) reports(at *situation) {
	attempt := at.view.Step.Attempt
	for i, r := range reports {
		c.report(at, r.text, r.results, r.outcome, max(attempt, 1))
		if i == 0 {
			c.report(at, r.text, r.results, r.outcome, attempt+1)
			c.report(at, r.text, r.results, r.outcome, max(attempt-1, 1))
		}
		if underway := at.State == step.Running || at.State == step.Waiting || at.State == step.Terminating; !underway {
			return
		}
	}
}

func (c *rulesCheck) report(at *situation, text string, results []model.Result, outcome step.Cause, attempt int32) {
	r := &engine.Report{Job: at.view.Job.ID, Step: 1, Attempt: attempt, Outcome: outcome}
	for _, result := range results {
		r.Results = append(r.Results, engine.TargetResult{Target: result.Target, Result: store.Result{Status: result.Status, ExitCode: result.ExitCode}})
	}
	job := at.job.Clone()
	answer, _ := job.Answer(1, attempt, results, outcome, at.now)
	_, reason := job.Report(1, attempt, results, outcome, at.now)
	want := at.modelled(job, reason, answer)
	got, _ := c.decide(at, r)
	what := "a report"
	if event := cmp.Or(got.change.Cause, want.change.Cause, outcome); event != 0 && event != step.Results {
		what = event.String()
	}
	c.compare(at, what, fmt.Sprintf(", attempt %d of %d: %s", attempt, at.view.Step.Attempt, text), got, want)
}

func (c *rulesCheck) expiries(at *situation) {
	deadline, attempt := at.view.Step.Deadline, at.view.Step.Attempt
	for _, try := range []struct {
		text    string
		attempt int32
		now     step.Time
	}{
		{"the deadline has passed", attempt, late},
		{"the deadline passes", attempt, deadline},
		{"the deadline is near", attempt, deadline - 1},
		{"the deadline of another attempt has passed", attempt + 1, late},
	} {
		job := at.job.Clone()
		want := at.modelled(job, job.Expire(1, try.attempt, try.now), model.Answer{})
		got, _ := c.decideAt(at, &engine.Expire{Job: at.view.Job.ID, Step: 1, Attempt: try.attempt}, try.now)
		what := "a deadline"
		if event := cmp.Or(got.change.Cause, want.change.Cause); event != 0 {
			what = event.String()
		}
		c.compare(at, what, ", "+try.text, got, want)
	}
}

// An outcome is what came of one command.
type outcome struct {
	reason  operation.Reason // 0: it was accepted
	change  model.Change     // the zero Change if it changed nothing
	answer  model.Answer     // to a report
	job     store.Job
	steps   [2]store.Step
	targets [2]store.Target
}

// modelled returns what came of a command, given the job of the model afterwards.
func (at *situation) modelled(job *model.Job, reason operation.Reason, answer model.Answer) outcome {
	if reason != 0 {
		return outcome{reason: reason}
	}
	return outcomeOf(at.viewOf(job), job.Last, answer)
}

// decide has the engine decide on a command.
func (c *rulesCheck) decide(at *situation, command engine.Command) (outcome, *engine.Refusal) {
	return c.decideAt(at, command, at.now)
}

func (c *rulesCheck) decideAt(at *situation, command engine.Command, now step.Time) (outcome, *engine.Refusal) {
	view := at.view
	r, isReport := command.(*engine.Report)
	if isReport { // of targets, the view shows those of the report
		view.Targets = nil
		for _, t := range at.view.Targets {
			if slices.ContainsFunc(r.Results, func(result engine.TargetResult) bool { return result.Target == t.Index }) {
				view.Targets = append(view.Targets, t)
			}
		}
	}
	d, err := c.decider(c.rules, view, command, now)
	var refusal *engine.Refusal
	if errors.As(err, &refusal) {
		return outcome{reason: refusal.Reason}, refusal
	}
	var answer model.Answer
	if isReport {
		answer = model.Answer{Changed: d.Changes(), Accepted: d.Report.Accepted, Repeated: d.Report.Repeated, Rejected: len(d.Report.Rejected)}
	}
	if !d.Changes() {
		return outcomeOf(at.view, model.Change{}, answer), nil
	}
	after := at.view
	after.Targets = slices.Clone(after.Targets)
	after.Job = d.Change.Job
	after.Job.Version, after.Job.Moved, after.Job.Updated = at.view.Job.Version, at.view.Job.Moved, at.view.Job.Updated // the model counts no records
	for _, s := range d.Change.Steps {
		if s.ID == 1 {
			after.Step = s
		} else {
			after.Next = s
		}
	}
	for _, t := range d.Change.Targets {
		after.Targets[t.Index] = t
	}
	rec := d.Change.Records[len(d.Change.Records)-1] // an expiry may have come first
	return outcomeOf(after, model.Change{
		Step: rec.Step, Cause: rec.Cause, From: rec.From, To: rec.To, JobFrom: rec.JobFrom, JobTo: rec.JobTo,
		Attempt: rec.Attempt, Entered: rec.Entered, Results: int(rec.Results), All: startsAll(&rec), Targets: int(rec.Targets),
		Effect: model.Effect(rec.Effect.String()),
	}, answer), nil
}

func outcomeOf(v store.View, change model.Change, answer model.Answer) outcome {
	o := outcome{change: change, answer: answer, job: v.Job, steps: [2]store.Step{v.Step, v.Next}}
	copy(o.targets[:], v.Targets)
	return o
}

// compare compares what came of a command in the engine and in the model.
func (c *rulesCheck) compare(at *situation, what, how string, got, want outcome) {
	c.compared++
	if got == want || c.looked[cell{Type: at.Type, What: what}] || at.now == late && c.looked[cell{Type: at.Type, What: at.expiry().String()}] {
		return
	}
	is, should := got.String(), want.String()
	if is == should {
		is, should = got.details(), want.details()
	}
	c.differ(at.Type, at.State, what, at.text+how, is, should)
}

func (o outcome) String() string {
	switch {
	case o.reason != 0:
		return "refused, " + o.reason.String()
	case o.change == model.Change{}:
		return "no change"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "to %v, the job to %v", o.change.To, o.change.JobTo)
	if o.change.Entered != 0 {
		fmt.Fprintf(&b, ", step %d entered", o.change.Entered)
	}
	if o.change.All || o.change.Targets > 0 {
		fmt.Fprintf(&b, ", targets to run: %d", o.change.Targets)
	}
	if o.change.Effect != model.NoEffect {
		fmt.Fprintf(&b, ", effect %v", o.change.Effect)
	}
	return b.String()
}

// details says everything.
func (o outcome) details() string {
	return fmt.Sprintf("%+v, answer %+v, job %+v, steps %+v, targets %+v", o.change, o.answer, o.job, o.steps, o.targets)
}
