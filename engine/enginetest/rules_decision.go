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

// decisions compares the decisions of the engine and the model.
func (c *rulesCheck) decisions() {
	for _, t := range append(slices.Clone(c.types), c.undeclared()...) {
		if !c.declared(t) {
			continue
		}
		for _, s := range step.AllStates() {
			for at := range c.situations(t, s) {
				c.situated++
				c.commands(at)
				c.expiries(at)
				if at.expires() {
					at.now, at.text = late, at.text+", overdue"
					c.commands(at)
				}
				if len(c.cells) >= c.most {
					return
				}
			}
		}
	}
}

// commands compares the outcome of every command but the expiry.
func (c *rulesCheck) commands(at *situation) {
	c.operations(at)
	if !at.special || at.reports {
		c.reports(at)
	}
	if !at.special {
		c.effects(at)
	}
}

// operations compares the outcome of every operation on the step and on the job, and the legal
// operations of a refusal.
func (c *rulesCheck) operations(at *situation) {
	people := []string{"ann", "bob", ""}
	if c.expect.Enters(at.Type) != step.Waiting {
		people = people[:1]
	}
	left := at.job.Clone()
	if left.Overdue(at.now) {
		left.Expire(1, at.view.Step.Attempt, 0, at.now)
	}
	for _, person := range people {
		var legal step.Causes
		var refused []*engine.Refusal
		for cause := range rowCauses {
			switch {
			case !at.all && !c.causes.Has(cause), cause >= 64 && !cause.OfJob():
				continue
			case cause.OfJob() && at.job.Current != 1: // which the view does not show
				continue
			case c.spoilt[at.Type] && c.asksAll(left, cause):
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
			if want.reason == 0 && (left.Current == 1 || cause.OfStep()) {
				legal = legal.With(cause)
			}
			got, refusal := c.decide(at, &engine.Operate{Cause: cause, Request: engine.Request{ID: store.RequestID{15: 1}, By: person, Because: "because"}})
			c.compare(at, cause.String(), fmt.Sprintf(", by %q", person), got, want)
			if refusal != nil && refusal.Reason != operation.InvalidInput && (!cause.OfJob() || left.Current == 1) {
				refused = append(refused, refusal)
			}
		}
		for _, refusal := range refused {
			c.refusal(at, refusal, left, legal)
		}
	}
}

// asksAll reports whether the guard of an operation on a job asks for the other operations on its step.
func (c *rulesCheck) asksAll(job *model.Job, cause step.Cause) bool {
	move, _ := c.expect.OnWhole(job.State, cause)
	return move.Guard == operation.Unfinal
}

// refusal compares the state of the job in a refusal, which is that after its deadline, and the legal
// operations there, unless a cell differs already. The legal operations depend on the step alone,
// and not on whether the next step could start.
func (c *rulesCheck) refusal(at *situation, r *engine.Refusal, left *model.Job, legal step.Causes) {
	if c.spoilt[at.Type] || c.spoilt[0] {
		return
	}
	v := at.viewOf(left)
	if left.Last != at.job.Last {
		v.Job.Version++
	}
	got := engine.Refusal{Job: r.Job, Step: r.Step, Current: r.Current, Version: r.Version, Attempt: r.Attempt, Type: r.Type, State: r.State, JobState: r.JobState}
	want := engine.Refusal{Job: v.Job.ID, Step: 1, Current: v.Job.Current, Version: v.Job.Version, Attempt: v.Step.Attempt, Type: at.Type, State: v.Step.State, JobState: v.Job.State}
	if got != want {
		c.differ(at.Type, at.State, "where a refusal says that the job stands", at.text, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	}
	if next := at.view.Next; next.ID != 0 && c.expect.Enters(next.Type) == 0 {
		return
	}
	if r.Legal != legal {
		c.differ(at.Type, at.State, "what a refusal says is legal", at.text, r.Legal.String(), legal.String())
	}
	if want := c.expectedStates(at.Type, r.Cause); r.LegalFrom != want {
		c.differ(at.Type, at.State, fmt.Sprintf("the states in which a refusal says %v is legal", r.Cause), at.text, r.LegalFrom.String(), want.String())
	}
}

// A saying is a report of an executor on an attempt.
type saying struct {
	text    string
	results []model.Result
	outcome step.Cause
}

// The reports to try: every result of one target, and some of both targets and of the attempt. A
// step with another step after it and no attempt under way gets only the first report.
var reports = append([]saying{
	{"the last target succeeded", []model.Result{{Target: 1, Status: step.TargetSucceeded}}, 0},
	{"both targets succeeded", []model.Result{{Target: 0, Status: step.TargetSucceeded}, {Target: 1, Status: step.SucceededEarlier}}, 0},
	{"both targets failed", []model.Result{{Target: 0, Status: step.TargetFailed}, {Target: 1, Status: step.TargetFailed}}, 0},
	{"a target failed, then succeeded", []model.Result{{Target: 1, Status: step.TargetFailed}, {Target: 1, Status: step.TargetSucceeded}}, 0},
	{"a target runs, then succeeded", []model.Result{{Target: 0, Status: step.TargetRunning}, {Target: 0, Status: step.TargetSucceeded}}, 0},
	{"a target that is not there", []model.Result{{Target: 1, Status: step.TargetSucceeded}, {Target: 2, Status: step.TargetSucceeded}}, 0},
	{"stopped", nil, step.Stopped},
	{"broke", nil, step.Broke},
	{"dropped", nil, step.Dropped},
	{"both targets succeeded, and stopped", []model.Result{{Target: 0, Status: step.TargetSucceeded}, {Target: 1, Status: step.TargetSucceeded}}, step.Stopped},
	{"a target failed, and broke", []model.Result{{Target: 0, Status: step.NonZeroExit}}, step.Broke},
	{"an outcome that is none", nil, step.Expired},
	{"nothing", nil, 0},
}, ofOneTarget()...)

func ofOneTarget() (all []saying) {
	for target := range int32(2) {
		for _, r := range []model.Result{
			{Status: step.TargetWaiting}, {Status: step.TargetRunning}, {Status: step.TargetSucceeded}, {Status: step.SucceededEarlier},
			{Status: step.TargetFailed}, {Status: step.NonZeroExit}, {Status: step.NonZeroExit, ExitCode: 1},
		} {
			r.Target = target
			all = append(all, saying{fmt.Sprintf("target %d: %v (%d)", target, r.Status, r.ExitCode), []model.Result{r}, 0})
		}
	}
	return all
}

func (c *rulesCheck) reports(at *situation) {
	attempt := at.view.Step.Attempt
	for i, r := range reports {
		c.report(at, r, max(attempt, 1))
		if i == 0 {
			c.report(at, r, attempt+1)
			c.report(at, r, max(attempt-1, 1))
		}
		if !at.State.Active() && len(at.job.Steps) > 1 {
			return
		}
	}
}

func (c *rulesCheck) report(at *situation, said saying, attempt int32) {
	r := &engine.Report{Job: at.view.Job.ID, Step: 1, Attempt: attempt, Outcome: said.outcome, By: "executor", Reason: "log"}
	for _, result := range said.results {
		r.Results = append(r.Results, engine.TargetResult{Target: result.Target, Result: store.Result{Status: result.Status, ExitCode: result.ExitCode}})
	}
	job := at.job.Clone()
	answer, _ := job.Answer(1, attempt, said.results, said.outcome, at.now)
	_, reason := job.Report(1, attempt, said.results, said.outcome, at.now)
	want := at.modelled(job, reason, answer)
	got, _ := c.decide(at, r)
	what := "a report"
	if event := cmp.Or(got.change.Cause, want.change.Cause, said.outcome); event != 0 && event != step.Results {
		what = event.String()
	}
	c.compare(at, what, fmt.Sprintf(", attempt %d of %d: %s", attempt, at.view.Step.Attempt, said.text), got, want)
}

func (c *rulesCheck) expiries(at *situation) {
	due, attempt := at.view.Step.Due, at.view.Step.Attempt
	for _, try := range []struct {
		text    string
		attempt int32
		now     step.Time
		window  step.Time
	}{
		{"the moment has passed", attempt, late, 0},
		{"the moment comes", attempt, due, 0},
		{"the moment is near", attempt, due - 1, 0},
		{"the moment of another attempt has passed", attempt + 1, late, 0},
		{"the moment comes, the window is open", attempt, due, due},
		{"the moment comes, the window opens later", attempt, due, due + 1},
	} {
		if try.window != 0 && at.view.Step.Gate.Reason == step.NoGate {
			continue
		}
		job := at.job.Clone()
		want := at.modelled(job, job.Expire(1, try.attempt, try.window, try.now), model.Answer{})
		got, _ := c.decideAt(at, &engine.Expire{Job: at.view.Job.ID, Step: 1, Attempt: try.attempt, Window: try.window}, try.now)
		what := "a deadline"
		if event := cmp.Or(got.change.Cause, want.change.Cause); event != 0 {
			what = event.String()
		}
		c.compare(at, what, ", "+try.text, got, want)
	}
}

// effects compares the outcome of giving up and hurrying an effect of each kind, of this attempt and
// of another one. It skips a step that is not the current one, as the view does not show the current
// one.
func (c *rulesCheck) effects(at *situation) {
	if at.job.Current != 1 {
		return
	}
	attempt := max(at.view.Step.Attempt, 1)
	for _, effect := range []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded} {
		for _, of := range []int32{attempt, attempt + 1} {
			for _, cause := range []step.Cause{step.GivenUp, step.Hurried} {
				job := at.job.Clone()
				want := at.modelled(job, job.OperateEffect(cause, model.Effect(effect.String()), 1, of, at.now), model.Answer{})
				got, _ := c.decide(at, &engine.OperateEffect{
					Cause: cause, Effect: store.Delivery{Seq: 2, Effect: effect, Step: 1, Attempt: of},
					Request: engine.Request{ID: store.RequestID{15: 1}, By: "ann", Because: "because"},
				})
				what := cause
				if want.change.Cause == step.Broke {
					what = step.Broke
				}
				c.compare(at, what.String(), fmt.Sprintf(", %v of %v %d of %d", cause, effect, of, at.view.Step.Attempt), got, want)
			}
		}
	}
}

// An outcome is the outcome of one command.
type outcome struct {
	reason  operation.Reason // 0: it was accepted
	change  model.Change     // the zero Change if it changed nothing
	answer  model.Answer     // to a report
	wrong   string           // a fault of the change in fields that the model does not have
	job     store.Job
	steps   [2]store.Step
	targets [2]store.Target
}

// modelled returns the outcome of a command in the model, given its job afterwards.
func (at *situation) modelled(job *model.Job, reason operation.Reason, answer model.Answer) outcome {
	if reason != 0 {
		return outcome{reason: reason}
	}
	return outcomeOf(at.viewOf(job), job.Last, answer)
}

// decide decides on a command by the engine.
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
	targets := slices.Clone(view.Targets)
	d, err := c.decider(c.rules, view, command, now)
	wrong := ""
	if !slices.Equal(targets, view.Targets) {
		wrong = "the view was changed"
	}
	var refusal *engine.Refusal
	if errors.As(err, &refusal) {
		return outcome{reason: refusal.Reason, wrong: wrong}, refusal
	}
	var answer model.Answer
	if isReport {
		answer = model.Answer{Changed: d.Changes(), Accepted: d.Report.Accepted, Repeated: d.Report.Repeated, Rejected: len(d.Report.Rejected)}
	}
	after, change := at.view, model.Change{}
	if d.Changes() {
		wrong += malformed(&at.view, &d.Change, command, now)
		change = changeOf(&d.Change.Records[len(d.Change.Records)-1]) // an expiry may have come first
		after = at.after(&d.Change)
	}
	o := outcomeOf(after, change, answer)
	o.wrong = wrong
	return o, nil
}

// after returns the view of s after a change, but for the numbers of records, which the model
// does not count.
func (s *situation) after(c *store.Change) store.View {
	v := s.view
	v.Targets = slices.Clone(v.Targets)
	v.Job = c.Job
	v.Job.Version, v.Job.Moved, v.Job.Updated = s.view.Job.Version, s.view.Job.Moved, s.view.Job.Updated
	for _, row := range c.Steps {
		if row.ID == 1 {
			v.Step = row
		} else {
			v.Next = row
		}
	}
	for _, t := range c.Targets {
		v.Targets[t.Index] = t
	}
	return v
}

// malformed returns the first fault of a change, given its command and the view, in fields that the
// model does not have: numbers, times and persons. It returns "" for a well-formed change.
func malformed(v *store.View, c *store.Change, command engine.Command, now step.Time) string {
	if err := c.Check(); err != nil {
		return err.Error()
	}
	n := len(c.Records)
	want := c.Records[n-1]
	want.Seq, want.At = v.Job.Version+store.Seq(n), now
	if s := &c.Steps[0]; s.ID == want.Step {
		want.Run, want.Succeeded, want.Unfinished = s.Run, s.Succeeded, s.Unfinished
		want.Before, want.Mendable = s.Before, s.Mendable
	}
	switch command := command.(type) {
	case *engine.Operate:
		want.Request, want.Actor, want.Reason = command.ID, command.By, command.Because
	case *engine.OperateEffect:
		want.Request, want.Actor, want.Reason = command.ID, command.By, command.Because
		if want.Cause.OfEffect() {
			want.Reason = fmt.Sprintf("%v %d: %s", command.Effect.Effect, command.Effect.Seq, command.Because)
		}
	case *engine.Report:
		want.Request, want.Actor, want.Reason = store.RequestID{}, command.By, command.Reason
	case *engine.Expire:
		want.Request, want.Actor, want.Reason = store.RequestID{}, "", "deadline"
		switch {
		case want.Cause == step.JobExpired:
			want.Reason = "deadline of the job"
		case want.Cause == step.Opened:
			want.Reason = v.Step.Gate.Reason.String()
		case v.Step.Expires != 0 && v.Step.Expires <= now:
			want.Reason = "deadline of the step"
		}
	}
	moved := v.Job.Moved
	for _, r := range c.Records {
		if r.Moves() {
			moved = r.Seq
		}
	}
	if got := c.Records[n-1]; got != want || c.Job.Moved != moved {
		return fmt.Sprintf("moved in %d, want %d, record %+v, want %+v", c.Job.Moved, moved, got, want)
	}
	return ""
}

func outcomeOf(v store.View, change model.Change, answer model.Answer) outcome {
	o := outcome{change: drawn(change), answer: answer, job: v.Job, steps: [2]store.Step{v.Step, v.Next}}
	copy(o.targets[:], v.Targets)
	return o
}

// compare compares the outcome of a command in the engine with that in the model.
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
	if g := o.change.Gate; g.Reason != step.NoGate {
		fmt.Fprintf(&b, ", to wait for %v until %d, then %v", g.Reason, g.Until, g.Then)
	}
	return b.String()
}

// details returns all fields in words.
func (o outcome) details() string {
	return fmt.Sprintf("%s %+v, answer %+v, job %+v, steps %+v, targets %+v", o.wrong, o.change, o.answer, o.job, o.steps, o.targets)
}
