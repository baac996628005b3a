package engine_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// gated returns a job of one step with the gates in a set, in the order of the reasons.
func gated(t *testing.T, typ step.Type, set int) (c *course, want []step.GateReason) {
	t.Helper()
	s := step.Spec{Type: typ}
	if typ == step.Script {
		s = runOn(2)
	}
	spec := engine.JobSpec{}
	for _, r := range step.AllGateReasons() {
		if set>>r&1 == 0 {
			continue
		}
		want = append(want, r)
		switch r {
		case step.PersonGate:
			s.StopBefore = true
		case step.TimeGate:
			s.Delay = time.Minute
		case step.WindowGate:
			s.Window = "night"
		case step.TurnGate:
			spec.Turn = store.Turn{Key: "production", Limit: 1}
		}
	}
	spec.Steps = []step.Spec{s}
	c = newCourse(t, spec)
	if set>>step.HoldGate&1 == 1 {
		c.ok(c.operateJob(operation.HoldJob))
	}
	return c, want
}

// open opens the gate of the current step by the means of its reason.
func (c *course) open() error {
	switch c.current().Gate.Reason {
	case step.PersonGate:
		return c.operate(c.job.Current, operation.Continue)
	case step.HoldGate:
		return c.operateJob(operation.ResumeJob)
	case step.TurnGate:
		c.turn = true
		return c.sweep(c.now)
	}
	return c.toDue()
}

// A first attempt waits at each gate that is set, in the order of the reasons, and begins after the last
// one. While it waits no report counts, no effect goes out and a person's Continue waives the reason that
// it waits for, if that is one of a person, a time or a window.
func TestGatesOpenInTheirOrder(t *testing.T) {
	for _, typ := range []step.Type{step.Script, step.Confirmation} {
		for set := range 1 << 6 {
			for _, impatient := range []bool{false, true} { // a person opens what a person may
				c, want := gated(t, typ, set)
				c.ok(c.start())
				for _, reason := range want {
					c.is(step.Gated, reason, 0)
					if c.record().Effect != store.NoEffect || c.record().Gate != c.current().Gate || c.job.Started != 0 {
						t.Fatalf("at the gate %v of %b: record %+v", reason, set, c.record())
					}
					continued, resumed := c.try(operation.Continue.Cause()), c.try(operation.ResumeJob.Cause())
					switch reason {
					case step.HoldGate:
						c.refused(continued, operation.OnHold)
						c.ok(resumed)
					case step.TurnGate:
						c.refused(continued, operation.NoTurn)
						c.refused(c.sweep(c.now), operation.Stale) // no turn is free
					default:
						c.ok(continued)
					}
					c.ok(c.try(operation.TerminateJob.Cause()))
					c.refused(c.decide(1, &engine.Report{Job: 7, Step: 1, Attempt: 1, Outcome: step.Stopped}), operation.Stale)
					if impatient && reason.Waivable() {
						c.ok(c.operate(1, operation.Continue))
					} else {
						c.ok(c.open())
					}
				}
				enters, effect := step.Running, store.RunTargets
				if typ == step.Confirmation {
					enters, effect = step.Waiting, store.AskConfirmers
				}
				c.is(enters, step.NoGate, 1)
				if c.record().Effect != effect || c.job.Started != c.now || c.current().Started != c.now {
					t.Errorf("with the gates %v: began with %+v", want, c.record())
				}
			}
		}
	}
}

// A hold that comes at a gate makes the next gate one of hold, and what comes after it is looked at again.
func TestAHoldAtAGate(t *testing.T) {
	const all = 1<<step.PersonGate | 1<<step.TimeGate | 1<<step.WindowGate | 1<<step.TurnGate
	for _, at := range []step.GateReason{step.PersonGate, step.TimeGate, step.WindowGate, step.TurnGate} {
		c, _ := gated(t, step.Script, all)
		c.ok(c.start())
		for c.current().Gate.Reason != at {
			c.ok(c.open())
		}
		c.ok(c.operateJob(operation.HoldJob))
		c.refused(c.operateJob(operation.HoldJob), operation.OnHold)
		if at == step.TurnGate { // it has lost its place
			c.is(step.Gated, step.HoldGate, 0)
			if c.last.Turn != store.LeaveTurn {
				t.Errorf("a hold at the gate of a turn: turn move %v, want that it leaves", c.last.Turn)
			}
		}
		var seen []step.GateReason
		for c.current().State == step.Gated {
			if c.turn = false; c.current().Gate.Reason != at {
				seen = append(seen, c.current().Gate.Reason)
			}
			c.ok(c.open())
		}
		want := map[step.GateReason]string{
			step.PersonGate: "[time hold window turn]", step.TimeGate: "[hold window turn]",
			step.WindowGate: "[hold turn]", step.TurnGate: "[hold window]",
		}[at] // but for the gate itself, which is seen before, or again
		if fmt.Sprint(seen) != want || c.current().State != step.Running {
			t.Errorf("after a hold at the gate %v come %v, want %s; the step is %v", at, seen, want, c.current().State)
		}
		c.refused(c.operateJob(operation.ResumeJob), operation.NotHeld)
	}
}

// A hold blocks no decision. What the decision would start waits for the resume, and is then what it
// would have been.
func TestAHoldLetsNothingStart(t *testing.T) {
	failedStep := func(t *testing.T) *course {
		c := started(t, engine.JobSpec{Steps: []step.Spec{runOn(2), runOn(1)}})
		c.ok(c.report(good, wrong))
		return c
	}
	asked := func(t *testing.T) *course {
		return started(t, engine.JobSpec{Steps: []step.Spec{{Type: step.Confirmation}, runOn(1)}})
	}
	for name, c := range map[string]struct {
		at      func(t *testing.T) *course
		do      func(c *course) error
		current step.ID
		attempt int32 // when it waits
		run     store.Run
		targets int32
	}{
		"retry_failed": {failedStep, func(c *course) error { return c.operate(1, operation.RetryFailed) }, 1, 1, store.Run{Full: 1}, 1},
		"retry_all":    {failedStep, func(c *course) error { return c.operate(1, operation.RetryAll) }, 1, 1, store.Run{Full: 2}, 2},
		"ignore_error": {failedStep, func(c *course) error { return c.operate(1, operation.IgnoreError) }, 2, 0, store.FirstRun, 1},
		"confirm":      {asked, func(c *course) error { return c.operate(1, operation.Confirm) }, 2, 0, store.FirstRun, 1},
		"restart_confirmation": {func(t *testing.T) *course {
			c := asked(t)
			c.ok(c.operate(1, operation.TerminateConfirmation))
			return c
		}, func(c *course) error { return c.operate(1, operation.RestartConfirmation) }, 1, 1, store.Run{Full: 2}, 0},
		"a report": {func(t *testing.T) *course {
			return started(t, engine.JobSpec{Steps: []step.Spec{runOn(2), runOn(1)}})
		}, func(c *course) error { return c.report(good, good) }, 2, 0, store.FirstRun, 1},
		"start_job": {func(t *testing.T) *course {
			return newCourse(t, engine.JobSpec{Steps: []step.Spec{runOn(2)}})
		}, func(c *course) error { return c.start() }, 1, 0, store.FirstRun, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.at(t)
			if p.job.State.Finished() { // a hold is for jobs under way, and stands over ends
				p.refused(p.operateJob(operation.HoldJob), operation.WrongState)
				q := engine.JobSpec{Steps: p.spec.Steps}
				held := started(t, q)
				held.ok(held.operateJob(operation.HoldJob))
				if q.Steps[0].Type == step.Script {
					held.ok(held.report(good, wrong))
				} else {
					held.ok(held.operate(1, operation.TerminateConfirmation))
				}
				p = held
			} else {
				p.ok(p.operateJob(operation.HoldJob))
			}
			p.ok(c.do(p))
			if p.is(step.Gated, step.HoldGate, c.attempt); p.job.Current != c.current || p.record().Effect != store.NoEffect {
				t.Errorf("under a hold: record %+v, want step %d to wait, and no effect", p.record(), c.current)
			}
			p.ok(p.operateJob(operation.ResumeJob))
			if s := p.current(); !s.State.Attempting() || s.Attempt != c.attempt+1 || s.Run != c.run || p.record().Targets != c.targets {
				t.Errorf("resumed: %+v, record %+v; want run %+v on %d targets", s, p.record(), c.run, c.targets)
			}
		})
	}
}

// A stop is set and cleared while the step is pending, current or not, and refused as soon as it has
// begun; reached, it makes the step wait for a person.
func TestAStopBefore(t *testing.T) {
	c := newCourse(t, engine.JobSpec{Steps: []step.Spec{runOn(1), {Type: step.Confirmation, StopBefore: true}, runOn(1)}})
	for _, id := range []step.ID{1, 3} {
		moved := c.job.Moved
		c.refused(c.operate(id, operation.ClearStop), operation.NoStop)
		c.ok(c.operate(id, operation.StopBefore))
		c.refused(c.operate(id, operation.StopBefore), operation.StopSet)
		c.ok(c.operate(id, operation.ClearStop))
		if s := c.steps[id-1]; s.StopBefore || s.State != step.Pending || c.job.Moved != moved || c.record().Step != id {
			t.Errorf("a stop that was set and cleared: %+v, moved %d", s, c.job.Moved)
		}
	}
	c.ok(c.start())
	c.ok(c.operate(3, operation.StopBefore))
	c.ok(c.operate(2, operation.ClearStop))
	c.refused(c.operate(1, operation.StopBefore), operation.WrongState) // running
	c.ok(c.report(good))
	c.is(step.Waiting, step.NoGate, 1)
	for _, code := range []operation.Code{operation.StopBefore, operation.ClearStop} {
		c.refused(c.operate(2, code), operation.WrongState) // waiting
		c.refused(c.operate(1, code), operation.WrongState) // succeeded
	}
	c.ok(c.operate(2, operation.Confirm))
	c.is(step.Gated, step.PersonGate, 0)
	c.refused(c.operate(3, operation.ClearStop), operation.WrongState) // gated
	c.ok(c.operate(3, operation.Continue))
	c.ok(c.outcome(step.Broke))
	c.refused(c.operate(3, operation.StopBefore), operation.WrongState) // abnormal
	c.ok(c.operate(3, operation.RetryFailed))                           // a stop is before the first attempt alone
	c.is(step.Running, step.NoGate, 2)
}

// A start time holds for the first step. A moment that has passed is no gate, and the later of two counts.
func TestAStartTime(t *testing.T) {
	for _, c := range []struct {
		start step.Time
		delay time.Duration
		want  step.Time
	}{
		{dawn - 1, 0, 0}, {dawn, 0, 0}, {dawn + 1, 0, dawn + 1}, {0, time.Nanosecond, dawn + 1},
		{dawn + 5000, seconds(3), dawn + 5000}, {dawn + 3000, seconds(5), dawn + 5000},
	} {
		s := runOn(1)
		s.Delay = c.delay
		p := started(t, engine.JobSpec{StartAt: c.start, Steps: []step.Spec{s, runOn(1)}})
		if got := p.current().Gate.Until; got != c.want || p.current().Due != c.want {
			t.Errorf("start at %v, delay %v: waits until %v, want %v", c.start, c.delay, got, c.want)
		}
		if c.want != 0 {
			p.ok(p.toDue())
		}
		p.is(step.Running, step.NoGate, 1)
		p.ok(p.report(good))
		p.is(step.Running, step.NoGate, 1) // the second step, at once
	}
}

// From a gate a job can be terminated, and its step skipped, whatever it waits for; the retry after a
// terminate before the first attempt covers all targets, and waits at the gates of a first attempt.
func TestTheWaysOutOfAGate(t *testing.T) {
	for _, reason := range step.AllGateReasons() {
		for _, skip := range []bool{false, true} {
			c, _ := gated(t, step.Script, 1<<reason)
			c.ok(c.start())
			if skip {
				c.ok(c.operate(1, operation.ForcedSkip))
				if c.job.State != step.Succeeded || c.job.Skipped != 1 {
					t.Errorf("skipped at the gate %v: %+v", reason, c.job)
				}
				continue
			}
			c.ok(c.operateJob(operation.TerminateJob))
			c.is(step.Terminated, step.NoGate, 0)
			if c.record().Effect != store.JobEnded || c.current().Due != 0 {
				t.Errorf("terminated at the gate %v: %+v", reason, c.record())
			}
			c.ok(c.operate(1, operation.RetryFailed))
			c.is(step.Gated, reason, 0)
			for c.current().State == step.Gated {
				c.ok(c.open())
			}
			if c.record().Targets != 2 || c.current().Run != store.FirstRun {
				t.Errorf("after a terminate at the gate %v, a retry runs %+v", reason, c.record())
			}
		}
	}
}

// An answer of the function of windows that is no moment to begin shuts the gate until then; an
// Expire without an answer is invalid. Only the moment of the answer opens.
func TestAnAnswerAboutAWindow(t *testing.T) {
	c, _ := gated(t, step.Script, 1<<step.WindowGate)
	c.ok(c.start())
	if g := c.current().Gate; g.Until != c.now {
		t.Errorf("a window is asked at %v, want at once, %v", g.Until, c.now)
	}
	c.refused(c.sweep(0), operation.InvalidInput)
	c.ok(c.sweep(c.now + 7000))
	if g := c.current().Gate; g.Until != c.now+7000 || c.record().Cause != step.Opened {
		t.Errorf("a window that opens in 7 s: %+v", g)
	}
	c.ok(c.toDue())
	c.is(step.Running, step.NoGate, 1)
	// every attempt begins within the window
	c.ok(c.outcome(step.Broke))
	c.ok(c.operate(1, operation.RetryFailed))
	c.is(step.Gated, step.WindowGate, 1)
	c.ok(c.operate(1, operation.Continue))
	c.is(step.Running, step.NoGate, 2)
}

// Two who continue at once: the second is stale by the attempt that it saw, or refused; a person and a
// moment at once begin one attempt. (A.3.13, A.3.14, D.3.10)
func TestAGateOpensOnce(t *testing.T) {
	for _, second := range []error{operation.Stale, operation.WrongState} {
		c, _ := gated(t, step.Script, 1<<step.TimeGate)
		c.ok(c.start())
		seen := c.view(1)
		c.now = seen.Step.Due
		c.ok(c.operate(1, operation.Continue))
		again := &engine.Operate{Cause: operation.Continue.Cause()}
		if second == operation.Stale {
			again.IfVersion = seen.Job.Version
		}
		if err := c.decide(1, again); !errors.Is(err, second) {
			t.Errorf("a second continue: %v, want %v", err, second)
		}
		c.refused(c.decide(1, &engine.Expire{Job: 7, Step: 1, Attempt: seen.Step.Attempt}), operation.Stale)
		c.is(step.Running, step.NoGate, 1)
	}
}
