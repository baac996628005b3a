package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An overdue is a job whose first step has passed its deadline unswept. The scenario
// 39-a-deadline-holds-unswept.txt has the outcome of each operation.
type overdue struct {
	t        *testing.T
	eng      *engine.Engine
	now      time.Time
	job      store.JobID
	accepted []store.Record
	asked    []engine.Access
}

func newOverdue(t *testing.T, st store.Store, first step.Spec) *overdue {
	t.Helper()
	d := &overdue{t: t, now: time.UnixMilli(1_800_000_000_000)}
	d.eng = engine.New(st, engine.WithClock(func() time.Time { return d.now }),
		engine.WithObserver(engine.Observer{Accepted: func(_ context.Context, r store.Record, _ time.Duration) { d.accepted = append(d.accepted, r) }}),
		engine.WithAuthorizer(func(_ context.Context, a engine.Access) error { d.asked = append(d.asked, a); return nil }))
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "late", Steps: []step.Spec{
		first, {Type: step.Confirmation, Name: "go?"}, {Type: step.Script, Name: "run", Targets: []string{"a"}},
	}}, engine.Request{})
	if err == nil {
		_, err = d.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
	}
	if err != nil {
		t.Fatal(err)
	}
	d.job, d.accepted, d.asked = created.Job, nil, nil
	d.now = d.now.Add(time.Hour)
	return d
}

func (d *overdue) history() []store.Record {
	d.t.Helper()
	history, err := d.eng.History(d.t.Context(), d.job, 0, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	return history
}

var (
	refusedLate   = step.Spec{Type: step.Confirmation, Name: "ask", Timeout: time.Minute}
	confirmedLate = step.Spec{Type: step.Confirmation, Name: "ask", Timeout: time.Minute, OnTimeout: step.ConfirmOnTimeout}
)

// The expiry and the command are one commit of two records. The observer gets both, the authorizer
// decides on the state between them, and the request is found under its own id.
func TestADeadlineComesFirst(t *testing.T) {
	d := newOverdue(t, memstore.New(), refusedLate)
	asked := engine.Request{By: "ann", ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001")}
	record, err := d.eng.Operate(t.Context(), d.job, 1, operation.RestartConfirmation, asked)
	if err != nil || record.Seq != 4 || record.From != step.ConfirmationTerminated || record.To != step.Waiting || record.Attempt != 2 {
		t.Fatalf("restart_confirmation of an overdue confirmation = %+v, %v", record, err)
	}
	history := d.history()
	if !slices.Equal(d.accepted, history[2:]) || history[2].Cause != step.Expired || history[2].Request != (store.RequestID{}) {
		t.Errorf("the observer was told %+v, the history has %+v", d.accepted, history[2:])
	}
	if len(d.asked) != 1 || d.asked[0].Step.State != step.ConfirmationTerminated || d.asked[0].Job.State != step.ConfirmationTerminated {
		t.Errorf("the authorizer was asked about %+v, want the state after the expiry", d.asked)
	}
	if again, err := d.eng.Operate(t.Context(), d.job, 1, operation.RestartConfirmation, asked); again != record || err != nil {
		t.Errorf("the same request again = %+v, %v; want %+v", again, err, record)
	}
	if n, err := d.eng.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("a sweep after it = %d, %v; want nothing left", n, err)
	}
}

// A refused request and a dry run after the deadline change nothing, and the sweep still expires.
func TestARefusalLeavesTheExpiryToTheSweep(t *testing.T) {
	d := newOverdue(t, memstore.New(), refusedLate)
	for name, call := range map[string]func() error{
		"confirm": func() error {
			_, err := d.eng.Operate(t.Context(), d.job, 1, operation.Confirm, engine.Request{})
			return err
		},
		"terminate_job": func() error {
			_, err := d.eng.OperateJob(t.Context(), d.job, operation.TerminateJob, engine.Request{})
			return err
		},
		"confirm of the next step": func() error {
			_, err := d.eng.Operate(t.Context(), d.job, 2, operation.Confirm, engine.Request{})
			return err
		},
		"a report of the last step": func() error {
			_, err := d.eng.Report(t.Context(), engine.Report{Job: d.job, Step: 3, Attempt: 1, Outcome: step.Stopped})
			return err
		},
	} {
		var refusal *engine.Refusal
		if err := call(); !errors.As(err, &refusal) || refusal.JobState != step.ConfirmationTerminated {
			t.Errorf("%s: %v, want it refused with the job confirmation_terminated", name, err)
		}
	}
	if _, err := d.eng.Operate(t.Context(), d.job, 1, operation.RestartConfirmation, engine.Request{DryRun: true}); err != nil {
		t.Errorf("a dry run of restart_confirmation: %v", err)
	}
	if n := len(d.history()); n != 2 {
		t.Errorf("%d records after refusals and a dry run, want 2", n)
	}
	if n, err := d.eng.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("the sweep = %d, %v; want 1", n, err)
	}
}

// Explain answers as if the sweep had come first, for the step, the steps beside it and the job,
// and the version that it shows is a condition on which the operation passes.
func TestExplainMeetsTheDeadline(t *testing.T) {
	d := newOverdue(t, memstore.New(), confirmedLate)
	ofJob := operation.CausesOf(operation.TerminateJob, operation.HoldJob, operation.CommentJob)
	for id, want := range map[step.ID]step.Causes{
		1: ofJob, 2: operation.CausesOf(operation.Confirm, operation.TerminateConfirmation).Union(ofJob),
		3: operation.CausesOf(operation.StopBefore).Union(ofJob), // which has not begun
	} {
		x, err := d.eng.Explain(t.Context(), d.job, id, engine.Request{})
		allowed, err2 := d.eng.Allowed(t.Context(), d.job, id, engine.Request{})
		if err != nil || err2 != nil || allowed != want || x.Job.Current != 2 || x.Job.State != step.Waiting || x.Job.Version != 3 || x.Step.ID != id {
			t.Errorf("step %d: %v is allowed, of %+v, %v; want %v", id, allowed, x.Job, err, want)
		}
		for _, v := range x.Causes {
			if v.Cause.OfJob() && v.Legal != ofJob.Has(v.Cause) {
				t.Errorf("step %d: %v is legal: %v", id, v.Cause, v.Legal)
			}
		}
	}
	if n := len(d.history()); n != 2 {
		t.Errorf("%d records after Explain, want 2", n)
	}
	if _, err := d.eng.Operate(t.Context(), d.job, 2, operation.Confirm, engine.Request{IfVersion: 2}); !errors.Is(err, operation.Stale) {
		t.Errorf("confirm if nothing has moved since before the deadline: %v, want it stale", err)
	}
	record, err := d.eng.Operate(t.Context(), d.job, 2, operation.Confirm, engine.Request{IfVersion: 3, IfAttempt: 1})
	if err != nil || record.Entered != 3 || record.Seq != 4 {
		t.Errorf("confirm if nothing has moved since the deadline = %+v, %v", record, err)
	}
	job, err := d.eng.Job(t.Context(), d.job)
	if err != nil || job.Current != 3 || job.State != step.Running {
		t.Errorf("the job is %+v, %v", job, err)
	}
}

// A job is terminated in the step that the deadline has entered.
func TestTerminateMeetsTheStepAfterTheDeadline(t *testing.T) {
	d := newOverdue(t, memstore.New(), confirmedLate)
	record, err := d.eng.OperateJob(t.Context(), d.job, operation.TerminateJob, engine.Request{})
	if err != nil || record.Step != 2 || record.From != step.Waiting || record.To != step.Terminated || record.Seq != 4 {
		t.Errorf("terminate_job = %+v, %v", record, err)
	}
}

// Two that meet one deadline: the expiry is applied once.
func TestADeadlineIsAppliedOnce(t *testing.T) {
	st := memstore.New()
	d := newOverdue(t, st, confirmedLate)
	var between func()
	racing := engine.New(beforeCommit{st, func() {
		if f := between; f != nil {
			between = nil
			f()
		}
	}}, engine.WithClock(func() time.Time { return d.now }))
	between = func() {
		if n, err := d.eng.Sweep(t.Context()); n != 1 || err != nil {
			t.Errorf("the sweep between = %d, %v; want 1", n, err)
		}
	}
	if record, err := racing.Operate(t.Context(), d.job, 2, operation.Confirm, engine.Request{}); err != nil || record.Seq != 4 {
		t.Errorf("confirm that the sweep overtook = %+v, %v", record, err)
	}
	if n := len(d.history()); n != 4 {
		t.Errorf("%d records, want 4", n)
	}
}

// beforeCommit is a store with a competitor.
type beforeCommit struct {
	store.Store
	compete func()
}

func (s beforeCommit) Commit(ctx context.Context, c store.Change) error {
	s.compete()
	return s.Store.Commit(ctx, c)
}

// A clock that is set back makes no history out of order and no negative duration.
func TestAClockThatIsSetBack(t *testing.T) {
	d := newOverdue(t, memstore.New(), step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}})
	began := d.now.Add(-time.Hour)
	d.now = began.Add(-24 * time.Hour)
	if _, err := d.eng.Report(t.Context(), engine.Report{Job: d.job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetFailed}},
	}}); err != nil {
		t.Fatal(err)
	}
	job, err := d.eng.Job(t.Context(), d.job)
	if err != nil || job.Finished != step.At(began) || job.Updated != step.At(began) {
		t.Errorf("finished at %v, updated at %v, %v; want %v, when it started", job.Finished, job.Updated, err, step.At(began))
	}
	d.now = began.Add(time.Minute)
	if _, err := d.eng.Operate(t.Context(), d.job, 1, operation.RetryAll, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	history := d.history()
	if !slices.IsSortedFunc(history, func(a, b store.Record) int { return int(a.At - b.At) }) || history[3].At != step.At(d.now) {
		t.Errorf("records at %v, %v, %v, %v", history[0].At, history[1].At, history[2].At, history[3].At)
	}
}
