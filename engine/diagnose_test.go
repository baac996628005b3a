package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A patient is a job that is diagnosed, on a clock of its own.
type patient struct {
	*testing.T
	eng *engine.Engine
	st  store.Store
	now time.Time
	job store.JobID
}

// claims claims a run or a stop for a minute.
func (p *patient) claims(e store.Effect) engine.Claimed {
	p.Helper()
	all := must(p.eng.Claim(ctx, engine.ClaimQuery{Effects: []store.Effect{e}, Lease: time.Minute}))
	if len(all) != 1 {
		p.Fatalf("%d effects claimed, want 1", len(all))
	}
	return all[0].Claimed()
}

// [G.3.1, G.3.3, G.3.5] A job waits for one thing, which is told with who or what can end it. What stands
// by design is not owed by the machinery: it is held, asks, or has failed, runs for long, or reports itself.
func TestDiagnose(t *testing.T) {
	run := step.Spec{Type: step.Script, Name: "run", Targets: []string{"a", "b"}}
	with := func(f func(*step.Spec)) step.Spec {
		s := run
		f(&s)
		return s
	}
	ask := step.Spec{Type: step.Confirmation, Name: "go?", Confirmers: []string{"ann"}, Timeout: time.Hour}
	for _, c := range []struct {
		name  string
		steps []step.Spec
		play  func(p *patient)
		want  engine.Awaits
		legal step.Cause // one of those that lead on; 0 for none
		until time.Duration
	}{
		{"it has not started", []step.Spec{run}, nil, engine.AwaitsStart, operation.StartJob.Cause(), 0},
		{"no process claims its run", []step.Spec{run}, func(p *patient) { p.start() }, engine.AwaitsClaim, step.GivenUp, 0},
		{"an executor has it", []step.Spec{run}, func(p *patient) { p.start(); p.claims(store.RunTargets) }, engine.AwaitsExecutor, operation.TerminateJob.Cause(), time.Minute},
		{"the lease ran out", []step.Spec{run}, func(p *patient) { p.start(); p.claims(store.RunTargets); p.now = p.now.Add(time.Hour) }, engine.AwaitsClaim, step.GivenUp, 0},
		{"the delivery failed", []step.Spec{run}, func(p *patient) {
			p.start()
			if err := p.eng.Fail(ctx, p.claims(store.RunTargets), errors.New("no route to host")); err != nil {
				p.Fatal(err)
			}
		}, engine.AwaitsNextTry, step.Hurried, time.Second},
		{"it was handed over, and makes no progress for long", []step.Spec{run}, func(p *patient) {
			p.start()
			if err := p.eng.Settle(ctx, p.claims(store.RunTargets)); err != nil {
				p.Fatal(err)
			}
			p.now = p.now.Add(1000 * time.Hour)
		}, engine.AwaitsReport, operation.TerminateJob.Cause(), 0},
		{"a person decides after a failure", []step.Spec{run}, func(p *patient) { p.start(); p.ends(step.Broke) }, engine.AwaitsDecision, operation.IgnoreError.Cause(), 0},
		{"it was sealed", []step.Spec{run}, func(p *patient) { p.start(); p.ends(step.Broke); p.operates(operation.SealJob) }, engine.AwaitsNothing, 0, 0},
		{"it has succeeded", []step.Spec{ask}, func(p *patient) {
			p.start()
			must(p.eng.Operate(ctx, p.job, 1, operation.Confirm, engine.Request{By: "ann"}))
		}, engine.AwaitsNothing, 0, 0},
		{"a confirmer", []step.Spec{ask}, func(p *patient) { p.start() }, engine.AwaitsConfirmer, operation.Confirm.Cause(), time.Hour},
		{"no process sweeps", []step.Spec{ask}, func(p *patient) { p.start(); p.now = p.now.Add(2 * time.Hour) }, engine.AwaitsSweep, operation.Confirm.Cause(), -time.Hour},
		{"a stop before the step", []step.Spec{with(func(s *step.Spec) { s.StopBefore = true })}, func(p *patient) { p.start() }, engine.AwaitsContinue, operation.Continue.Cause(), 0},
		{"a delay", []step.Spec{with(func(s *step.Spec) { s.Delay = time.Hour })}, func(p *patient) { p.start() }, engine.AwaitsMoment, operation.Continue.Cause(), time.Hour},
		{"a delay that is over", []step.Spec{with(func(s *step.Spec) { s.Delay = time.Hour })}, func(p *patient) { p.start(); p.now = p.now.Add(2 * time.Hour) }, engine.AwaitsSweep, operation.Continue.Cause(), -time.Hour},
		{"a hold", []step.Spec{run}, func(p *patient) { p.operates(operation.HoldJob); p.start() }, engine.AwaitsResume, operation.ResumeJob.Cause(), 0},
		{"a window", []step.Spec{with(func(s *step.Spec) { s.Window = "night" })}, func(p *patient) { p.start() }, engine.AwaitsWindow, operation.Continue.Cause(), time.Hour},
		{"no process claims its stop", []step.Spec{run}, func(p *patient) { p.start(); p.operates(operation.TerminateJob) }, engine.AwaitsClaim, operation.ForcedSkip.Cause(), 0},
		{"an executor stops it", []step.Spec{run}, func(p *patient) { p.start(); p.operates(operation.TerminateJob); p.claims(store.StopAttempt) }, engine.AwaitsExecutor, operation.ForcedSkip.Cause(), time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &patient{T: t, st: memstore.New(), now: time.UnixMilli(1_800_000_000_000)}
			p.eng = engine.New(p.st, engine.WithClock(func() time.Time { return p.now }),
				engine.WithWindows(func(_ string, now time.Time) time.Time { return now.Add(time.Hour) }))
			p.job = must(p.eng.Create(ctx, jobOf(c.steps...), engine.Request{})).Job
			if c.play != nil {
				c.play(p)
			}
			d := must(p.eng.Diagnose(ctx, p.job))
			owed := c.want == engine.AwaitsSweep || c.want == engine.AwaitsClaim || c.want == engine.AwaitsNextTry
			if d.Awaits != c.want || d.Owed != owed || c.legal != 0 && !d.Legal.Has(c.legal) || c.legal == 0 && !d.Legal.Empty() || d.Since > step.At(p.now) {
				t.Errorf("the diagnosis is %+v, want %v, and %v among what leads on", d, c.want, c.legal)
			}
			if until := d.Until.Sub(step.At(p.now)); c.until != 0 && until != c.until || c.until == 0 && d.Until != 0 {
				t.Errorf("it waits until %v, want in %v", d.Until, c.until)
			}
			if c.want == engine.AwaitsConfirmer && !d.Confirmers.Has("ann") || c.want == engine.AwaitsNextTry && (d.LastError != "no route to host" || d.Failures != 1 || d.Claims != 1) {
				t.Errorf("the evidence is %+v", d)
			}
		})
	}
}

func (p *patient) start() { p.operates(operation.StartJob) }

func (p *patient) operates(code operation.JobCode) {
	p.Helper()
	must(p.eng.OperateJob(ctx, p.job, code, engine.Request{}))
}

func (p *patient) ends(outcome step.Cause) {
	p.Helper()
	must(p.eng.Report(ctx, engine.Report{Job: p.job, Step: 1, Attempt: 1, Outcome: outcome}))
}

// Jobs with a key wait for their turn, and then for a sweep.
func TestDiagnoseTurns(t *testing.T) {
	eng := engine.New(memstore.New())
	create := func() store.JobID {
		spec := jobOf(plain(step.Script, "run"))
		spec.Turn = store.Turn{Key: "production", Limit: 1}
		return deploy(eng, spec)
	}
	first, second := create(), create()
	if d := must(eng.Diagnose(ctx, second)); d.Awaits != engine.AwaitsTurn || d.Owed {
		t.Errorf("behind another job: %+v", d)
	}
	must(eng.Report(ctx, engine.Report{Job: first, Step: 1, Attempt: 1, Outcome: step.Broke}))
	if d := must(eng.Diagnose(ctx, second)); d.Awaits != engine.AwaitsSweep || !d.Owed {
		t.Errorf("with a free turn: %+v", d)
	}
}

// [G.3.4] A diagnosis is of one version: a job that ends between its reads is not said to have lost its run.
func TestDiagnoseIsOfOneVersion(t *testing.T) {
	st := &settling{Store: memstore.New()}
	eng := engine.New(st)
	job := deploy(eng, jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}}))
	claimed := must(eng.Claim(ctx, engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}}))
	st.before = func() {
		must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}))
		if err := eng.Settle(ctx, claimed[0].Claimed()); err != nil {
			t.Fatal(err)
		}
	}
	if d := must(eng.Diagnose(ctx, job)); d.Awaits != engine.AwaitsNothing || d.State != step.Succeeded {
		t.Errorf("the diagnosis is %+v, want that of the job that has ended", d)
	}
}

// settling is a store in which something happens before the effects of a job are read.
type settling struct {
	store.Store
	before func()
}

func (s *settling) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	return s.Store.Effects(ctx, scope, job, p)
}

// Why does the release not move? No executor of this kind of step is running.
func ExampleEngine_Diagnose() {
	eng := engine.New(memstore.New())
	job := deploy(eng, jobOf(step.Spec{Type: step.Script, Name: "install", Targets: []string{"web-1"}}))
	d := must(eng.Diagnose(ctx, job))
	fmt.Println("awaits:", d.Awaits, "owed:", d.Owed)
	fmt.Println("leads on:", d.Legal)
	// Output:
	// awaits: claim owed: true
	// leads on: terminate_job, hold_job, given_up
}
