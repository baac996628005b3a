package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A situation is one point in the space of requests.
type situation struct {
	typ     step.Type
	state   step.State
	current bool // the step is the job's current one
	left    bool // a target has not succeeded
	list    bool // the step has a list of confirmers: ann
}

const (
	confirmer = "ann"
	stranger  = "bob"
	nobody    = ""
)

var people = []string{confirmer, stranger, nobody}

// eachSituation enumerates them all, until a test has failed in one.
func eachSituation(t *testing.T, f func(s situation)) {
	t.Helper()
	flags := []bool{false, true}
	for _, typ := range operation.Standard().Types() {
		for _, state := range step.AllStates() {
			for _, current := range flags {
				for _, left := range flags {
					for _, list := range flags {
						if f(situation{typ, state, current, left, list}); t.Failed() {
							t.FailNow()
						}
					}
				}
			}
		}
	}
}

const (
	atVersion store.Seq = 40
	movedAt   store.Seq = 37
	atAttempt int32     = 4
	now       step.Time = 20_000
)

// view builds a store's view of a situation: step 2 of a job of two steps.
func (s situation) view() store.View {
	v := store.View{
		Job: store.Job{
			ID: 7, Name: "release", State: step.Running, Version: atVersion, Moved: movedAt, Current: 1, Steps: 2,
			Skipped: 1, Ignored: 1, Created: 1_000, Started: 2_000,
		},
		Step: store.Step{
			ID: 2, Type: s.typ, Name: "copy", Timeout: 5 * time.Second, State: s.state,
			Attempt: atAttempt, Run: store.Run{Full: atAttempt - 1}, Started: 9_000,
		},
	}
	if s.list {
		v.Step.Confirmers = step.NamesOf([]string{confirmer})
	}
	if s.typ != step.Confirmation {
		v.Step.Total, v.Step.Succeeded = 3, 3
		if s.left {
			v.Step.Succeeded = 1
		}
	}
	switch s.state {
	case step.Pending:
		v.Step.Attempt, v.Step.Run, v.Step.Succeeded, v.Step.Started = 0, store.FirstRun, 0, 0
	case step.Running, step.Waiting, step.Terminating:
		v.Step.Unfinished, v.Step.Deadline = v.Step.Total-v.Step.Succeeded, now+1
	default:
		v.Step.Finished = 12_000
	}
	if s.current {
		v.Job.Current, v.Job.State = 2, s.state
		switch s.state {
		case step.Succeeded, step.Skipped, step.ErrorIgnored:
			v.Job.State = step.Succeeded
		}
		switch v.Job.State {
		case step.Pending, step.Running, step.Waiting, step.Terminating:
		default:
			v.Job.Finished = 12_000
		}
	}
	return v
}

var someRequest = uuid.MustParse("0197c4f0-0000-7000-8000-000000000001")

// The caller's conditions come before type, place, state and guards: a stale request is refused as
// stale whatever else is wrong with it, and a fresh one is decided as if it had no condition.
func TestStaleComesBeforeEveryOtherReasonOfTheState(t *testing.T) {
	rules := operation.Standard()
	eachSituation(t, func(s situation) {
		for _, person := range people {
			for _, code := range operation.AllCodes() {
				v := s.view()
				_, unasked := engine.Decide(rules, v, &engine.Operate{Cause: code.Cause(), Request: engine.Request{By: person}}, now)
				for _, c := range []struct {
					attempt int32
					version store.Seq
					stale   bool
				}{
					{0, movedAt - 1, true}, {0, movedAt, false}, {0, atVersion, false}, {0, atVersion + 1, true}, {0, 1, true},
					{v.Step.Attempt, 0, false}, {v.Step.Attempt + 1, 0, true}, {atAttempt - 1, atVersion, true}, {v.Step.Attempt, 1, true},
				} {
					_, err := engine.Decide(rules, v, &engine.Operate{Cause: code.Cause(), Request: engine.Request{By: person, IfAttempt: c.attempt, IfVersion: c.version}}, now)
					if c.stale != errors.Is(err, operation.Stale) || !c.stale && !reflect.DeepEqual(err, unasked) {
						t.Errorf("%v by %q on %+v, if attempt %d, if version %d: %v; want stale %v, or as if unasked: %v", code, person, s, c.attempt, c.version, err, c.stale, unasked)
					}
				}
			}
		}
	})
}

// A repeated request gets its record again, whatever has happened to the step since, and even if its
// condition is stale now. A different request with the same id is refused.
func TestAReplayComesBeforeStaleAndGivesTheRecordOfThen(t *testing.T) {
	rules := operation.Standard()
	eachSituation(t, func(s situation) {
		for _, code := range operation.AllCodes() {
			done := store.Record{
				Job: 7, Seq: 5, At: 3_000, Cause: code.Cause(), Request: someRequest, Actor: confirmer, Reason: "because",
				Step: 2, Attempt: 2, From: step.Failed, To: step.Running, JobFrom: step.Failed, JobTo: step.Running, Targets: 2, Effect: store.RunTargets,
			}
			for _, c := range []struct {
				change func(*store.Record)
				reason operation.Reason
			}{
				{func(*store.Record) {}, 0},
				{func(r *store.Record) { r.Cause = step.JobCause(uint8(code)) }, operation.RequestReused},
				{func(r *store.Record) { r.Step = 1 }, operation.RequestReused},
				{func(r *store.Record) { r.Cause = code.Cause() + 50 }, operation.RequestReused},
				{func(r *store.Record) { r.Actor = nobody }, operation.RequestReused},
				{func(r *store.Record) { r.Reason = "" }, operation.RequestReused},
			} {
				was := done
				c.change(&was)
				v := s.view()
				v.Replay = &was
				call := fmt.Sprintf("a repetition of %v on %+v, carried out as %+v", code, s, was)
				d, err := engine.Decide(rules, v, &engine.Operate{Cause: code.Cause(), Request: engine.Request{ID: someRequest, By: confirmer, Because: "because", IfAttempt: 99, IfVersion: 1}}, now)
				if c.reason == 0 && err != nil || c.reason != 0 && !errors.Is(err, c.reason) {
					t.Errorf("%s: %v; want reason %v", call, err, c.reason)
				}
				if err == nil && (d.Changes() || d.Record() != done) {
					t.Errorf("%s: the answer\n got %+v, changes %v\nwant %+v, no changes", call, d.Record(), d.Changes(), done)
				}
			}
		}
	})
}

// The same through an engine: public calls alone bring a step to each state.

// A drive is a job on its way.
type drive struct {
	t    *testing.T
	eng  *engine.Engine
	job  store.JobID
	step step.ID // the step in question
}

// newDriveEngine returns an engine on a store of its own, with a clock that stands still.
func newDriveEngine() *engine.Engine {
	return engine.New(memstore.New(), engine.WithClock(func() time.Time { return time.UnixMilli(int64(now)) }))
}

func (d *drive) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("on the way: %v", err)
	}
}

func (d *drive) onJob(code operation.JobCode) {
	d.t.Helper()
	_, err := d.eng.OperateJob(d.t.Context(), d.job, code, engine.Request{})
	d.must(err)
}

func (d *drive) on(code operation.Code) {
	d.t.Helper()
	_, err := d.eng.Operate(d.t.Context(), d.job, d.step, code, engine.Request{By: confirmer})
	d.must(err)
}

// report has the step's three targets finish with these statuses; 0 stands for nothing yet.
func (d *drive) report(outcome step.Cause, statuses ...step.Status) {
	d.t.Helper()
	r := engine.Report{Job: d.job, Step: d.step, Attempt: 1, Outcome: outcome}
	for i, status := range statuses {
		r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
	}
	_, err := d.eng.Report(d.t.Context(), r)
	d.must(err)
}

// A journey brings a step to a state.
type journey struct {
	to    step.State
	drive func(d *drive)
}

const (
	good  = step.TargetSucceeded
	wrong = step.TargetFailed
)

var journeysOfWork = []journey{
	{step.Pending, func(d *drive) {}},
	{step.Running, func(d *drive) { d.onJob(2) }},
	{step.Succeeded, func(d *drive) { d.onJob(2); d.report(0, good, good, good) }},
	{step.Failed, func(d *drive) { d.onJob(2); d.report(0, good, wrong, wrong) }},
	{step.Skipped, func(d *drive) { d.onJob(2); d.onJob(1); d.on(12) }},
	{step.Skipped, func(d *drive) { d.onJob(2); d.report(step.Stopped); d.on(11) }},
	{step.ErrorIgnored, func(d *drive) { d.onJob(2); d.report(0, wrong, wrong, wrong); d.on(3) }},
	{step.Abnormal, func(d *drive) { d.onJob(2); d.report(step.Broke) }},
	{step.Abnormal, func(d *drive) { d.onJob(2); d.report(step.Broke, good, good, good) }},
	{step.Terminating, func(d *drive) { d.onJob(2); d.onJob(1) }},
	{step.Terminated, func(d *drive) { d.onJob(2); d.onJob(1); d.report(step.Stopped, good) }},
	{step.Terminated, func(d *drive) { d.onJob(2); d.onJob(1); d.report(0, good, good, good) }},
	{step.Abandoned, func(d *drive) { d.onJob(2); d.report(step.Dropped) }},
}

var journeysOfConfirmations = []journey{
	{step.Pending, func(d *drive) {}},
	{step.Waiting, func(d *drive) { d.onJob(2) }},
	{step.Succeeded, func(d *drive) { d.onJob(2); d.on(6) }},
	{step.Terminated, func(d *drive) { d.onJob(2); d.onJob(1) }},
	{step.ConfirmationTerminated, func(d *drive) { d.onJob(2); d.on(9) }},
}

// A layout is a job around the step in question: alone, before each kind of step, or behind one.
type layout struct {
	typ    step.Type
	list   bool // the step has a list of confirmers: ann
	behind bool
	next   step.Type // of the step that follows, or 0
}

func plain(typ step.Type, name string) step.Spec {
	spec := step.Spec{Type: typ, Name: name}
	if typ != step.Confirmation {
		spec.Targets = []string{"a", "b", "c"}
	}
	return spec
}

// arrive creates a job and brings its step in question to the state of a journey.
func arrive(t *testing.T, eng *engine.Engine, l layout, j journey) *drive {
	t.Helper()
	d := &drive{t: t, eng: eng, step: 1}
	subject := plain(l.typ, "subject")
	if l.list {
		subject.Confirmers = []string{confirmer}
	}
	steps := []step.Spec{subject}
	if l.behind {
		steps, d.step = []step.Spec{plain(step.Script, "before"), subject}, 2
	}
	if l.next != 0 {
		steps = append(steps, plain(l.next, "after"))
	}
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "release", Steps: steps}, engine.Request{})
	d.must(err)
	d.job = created.Job
	j.drive(d)
	got, err := eng.Step(t.Context(), d.job, d.step)
	d.must(err)
	if got.State != j.to {
		t.Fatalf("the journey to %v ends in %v", j.to, got.State)
	}
	return d
}

// Explain, Allowed, DryRun and Operate give the same answer to the same person on the same state, for
// every reachable state of a step.
func TestExplainDryRunAndOperateAgreeInEveryReachableCell(t *testing.T) {
	for _, typ := range operation.Standard().Types() {
		journeys := journeysOfWork
		if typ == step.Confirmation {
			journeys = journeysOfConfirmations
		}
		for _, j := range journeys {
			for _, l := range []layout{{}, {list: true}, {next: step.SQL}, {next: step.Confirmation}, {behind: true}} {
				l.typ = typ
				if l.behind && j.to != step.Pending || l.list && typ != step.Confirmation {
					continue
				}
				for _, person := range people {
					agree(t, l, j, person)
				}
			}
		}
	}
}

func agree(t *testing.T, l layout, j journey, person string) {
	t.Helper()
	eng := newDriveEngine()
	d := arrive(t, eng, l, j)
	x, err := eng.Explain(t.Context(), d.job, d.step, engine.Request{By: person})
	if err != nil || len(x.Causes) != eng.Rules().Causes().Len() {
		t.Fatalf("Explain of %v in %+v to %q: %d operations, %v", j.to, l, person, len(x.Causes), err)
	}
	var legal step.Causes
	for _, verdict := range x.Causes {
		if verdict.Legal {
			legal = legal.With(verdict.Cause)
		}
		compare(t, fmt.Sprintf("%v by %q on %v in %+v", verdict.Cause, person, j.to, l), verdict, d, arrive(t, eng, l, j), person)
	}
	if codes, err := eng.Allowed(t.Context(), d.job, d.step, engine.Request{By: person}); codes != legal || err != nil {
		t.Errorf("Allowed to %q on %v in %+v = %v, %v; want %v", person, j.to, l, codes, err, legal)
	}
}

// compare makes a dry run of one operation on an explained job, and operates on its twin.
func compare(t *testing.T, call string, verdict engine.Verdict, d, twin *drive, person string) {
	t.Helper()
	run := func(d *drive, r engine.Request) (store.Record, error) {
		r.By = person
		if verdict.Cause == operation.CommentJob.Cause() {
			r.Because = "a comment"
		}
		if verdict.Cause.OfJob() {
			return d.eng.OperateJob(t.Context(), d.job, operation.JobCode(verdict.Cause.Code()), r)
		}
		return d.eng.Operate(t.Context(), d.job, d.step, operation.Code(verdict.Cause), r)
	}
	explained, refused := verdict.Record, verdict.Refusal
	before, err := d.eng.Job(t.Context(), d.job)
	d.must(err)
	dry, dryErr := run(d, engine.Request{DryRun: true})
	got, err := run(twin, engine.Request{})
	if dry.Seq != 0 || dry.Request != (store.RequestID{}) {
		t.Errorf("%s: a dry run has request %v and record %d, want neither", call, dry.Request, dry.Seq)
	}
	if err == nil && got.Seq != before.Version+1 {
		t.Errorf("%s: record %d after version %d", call, got.Seq, before.Version)
	}
	for _, r := range []*store.Record{&explained, &dry, &got} {
		r.Request, r.Seq, r.Job, r.Reason = store.RequestID{}, 0, 0, ""
	}
	if explained != dry || dry != got {
		t.Errorf("%s:\nexplained %+v\nthe dry run %+v\nin earnest %+v", call, explained, dry, got)
	}
	dryRefusal, _ := dryErr.(*engine.Refusal)
	refusal, _ := err.(*engine.Refusal)
	if (refused == nil) != verdict.Legal || (refused == nil) != (dryErr == nil) || (refused == nil) != (err == nil) {
		t.Errorf("%s: explained as %v, run dry as %v, in earnest as %v", call, refused, dryErr, err)
	} else if refused != nil {
		twinned := *refusal
		twinned.Job = refused.Job
		if *refused != *dryRefusal || *refused != twinned || refused.Error() != dryRefusal.Error() {
			t.Errorf("%s:\nexplained as %+v\nrun dry as %+v\nin earnest as %+v", call, *refused, *dryRefusal, twinned)
		}
	}
	if after, err := d.eng.Job(t.Context(), d.job); after != before || err != nil {
		t.Errorf("%s: the dry run left %+v, %v; want %+v", call, after, err, before)
	}
}

// nudged is a store in which something happens right after a view was taken.
type nudged struct {
	store.Store
	nudge func()
}

func (n *nudged) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := n.Store.View(ctx, q)
	if nudge := n.nudge; nudge != nil {
		n.nudge = nil
		nudge()
	}
	return v, err
}

// An explanation shows one moment: it agrees with the header that it contains, even if the job moves on
// meanwhile.
func TestExplainIsOfOneMoment(t *testing.T) {
	for _, id := range []step.ID{1, 2} {
		st := &nudged{Store: memstore.New()}
		eng := engine.New(st)
		d := arrive(t, eng, layout{typ: step.Script, next: step.SQL}, journeysOfWork[1]) // running
		st.nudge = func() { d.report(0, good, good, good) }                              // the next step is entered
		x, err := eng.Explain(t.Context(), d.job, id, engine.Request{By: confirmer})
		if err != nil {
			t.Fatal(err)
		}
		for _, verdict := range x.Causes {
			if !verdict.Cause.OfJob() {
				continue
			}
			if want := operation.CausesOf(operation.TerminateJob, operation.HoldJob, operation.CommentJob).Has(verdict.Cause); verdict.Legal != want {
				t.Errorf("Explain of step %d while step 1 ends: the job is %v at version %d, and %v is legal: %v (%v); want %v",
					id, x.Job.State, x.Job.Version, verdict.Cause, verdict.Legal, verdict.Refusal, want)
			}
			if r := verdict.Refusal; r != nil && (r.Version != x.Job.Version || r.Current != x.Job.Current) {
				t.Errorf("Explain of step %d while step 1 ends: the header is of version %d, step %d, the verdict on %v of version %d, step %d",
					id, x.Job.Version, x.Job.Current, verdict.Cause, r.Version, r.Current)
			}
		}
	}
}
