package engine_test

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // the places of calendars, on machines without them

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A timer is the clock of an Example.
type timer struct{ time.Time }

func (t *timer) now() time.Time { return t.Time }

// pass lets time pass, and then sweeps once, as an executor and Dispatch do each second.
func (t *timer) pass(eng *engine.Engine, d time.Duration) {
	t.Time = t.Add(d)
	must(eng.Sweep(ctx))
}

// at returns a timer at 2026-11-02, a Monday, at an hour and minute of UTC.
func at(hour, minute int) *timer {
	return &timer{time.Date(2026, 11, 2, hour, minute, 0, 0, time.UTC)}
}

// deploy creates and starts a job.
func deploy(eng *engine.Engine, spec engine.JobSpec) store.JobID {
	job := must(eng.Create(ctx, spec, engine.Request{By: "bob"})).Job
	must(eng.OperateJob(ctx, job, operation.StartJob, engine.Request{By: "bob"}))
	return job
}

// script returns a step that installs on hosts web-1 to web-n.
func script(n int) step.Spec {
	s := step.Spec{Type: step.Script, Name: "install"}
	for i := range n {
		s.Targets = append(s.Targets, fmt.Sprintf("web-%d", i+1))
	}
	return s
}

// state prints the state of step 1, and what it waits for.
func state(eng *engine.Engine, job store.JobID, when string) {
	s := must(eng.Step(ctx, job, 1))
	fmt.Printf("%s: %v", when, s.State)
	if s.State == step.Gated {
		fmt.Printf(", for %v", s.Gate.Reason)
	}
	if s.Gate.Until != 0 {
		fmt.Printf(", until %s", s.Gate.Until.Std().UTC().Format("15:04:05"))
	}
	fmt.Println()
}

// report reports the results of the current attempt of step 1, or breaks it with none.
func report(eng *engine.Engine, job store.JobID, results ...engine.TargetResult) engine.ReportReceipt {
	return must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: must(eng.Step(ctx, job, 1)).Attempt, Results: results}))
}

// calendar returns a function for [engine.WithWindows]. open has the windows by name, and says whether one is
// open at a wall-clock time of a place, at which it opens and shuts on quarters of an hour. An hour that comes
// twice in autumn is open twice. A window that does not open within 8 days gets no answer, like an unknown name.
func calendar(place *time.Location, open map[string]func(wall time.Time) bool) func(string, time.Time) time.Time {
	const quarter = 15 * time.Minute
	return func(name string, t time.Time) time.Time {
		isOpen, ok := open[name]
		if !ok {
			return time.Time{}
		}
		for u := t; u.Before(t.AddDate(0, 0, 8)); u = u.Truncate(quarter).Add(quarter) {
			if isOpen(u.In(place)) {
				return u
			}
		}
		return time.Time{}
	}
}

// lateOnWorkdays is open from 23:00 to 00:00 on Monday to Friday, and not at all on other days.
func lateOnWorkdays(wall time.Time) bool {
	weekend := wall.Weekday() == time.Saturday || wall.Weekday() == time.Sunday
	return !weekend && wall.Hour() == 23
}

// fromTwoToThree is open from 2:00 to 3:00 on every day.
func fromTwoToThree(wall time.Time) bool { return wall.Hour() == 2 }

// A window is a name, and a calendar of the program knows when it is open.
func ExampleWithWindows() {
	berlin := must(time.LoadLocation("Europe/Berlin"))
	windows := calendar(berlin, map[string]func(time.Time) bool{"late": lateOnWorkdays, "night": fromTwoToThree})
	for _, ask := range []struct{ name, t string }{
		{"late", "2026-11-06T22:30:00+01:00"},  // Friday, before
		{"late", "2026-11-06T23:59:59+01:00"},  // within
		{"late", "2026-11-07T00:00:00+01:00"},  // after: Saturday and Sunday have no hours
		{"night", "2026-10-25T02:59:00+02:00"}, // 2:59 of summer time
		{"night", "2026-10-25T02:00:00+01:00"}, // one minute later, it is 2:00 again
		{"night", "2026-10-25T03:00:00+01:00"},
		{"night", "2026-03-29T01:30:00+01:00"}, // the day without 2:00
	} {
		t := must(time.Parse(time.RFC3339, ask.t))
		fmt.Println(ask.name, t.Format("Mon 15:04:05 Z07"), "->", windows(ask.name, t).In(berlin).Format("Mon 15:04:05 Z07"))
	}

	clock := at(14, 0) // 15:00 in Berlin
	eng := engine.New(memstore.New(), engine.WithClock(clock.now), engine.WithWindows(windows))
	install := script(1)
	install.Window = "late"
	job := deploy(eng, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{install}})
	state(eng, job, "started")
	clock.pass(eng, 8*time.Hour)
	state(eng, job, "8 h later")
	// Output:
	// late Fri 22:30:00 +01 -> Fri 23:00:00 +01
	// late Fri 23:59:59 +01 -> Fri 23:59:59 +01
	// late Sat 00:00:00 +01 -> Mon 23:00:00 +01
	// night Sun 02:59:00 +02 -> Sun 02:59:00 +02
	// night Sun 02:00:00 +01 -> Sun 02:00:00 +01
	// night Sun 03:00:00 +01 -> Mon 02:00:00 +01
	// night Sun 01:30:00 +01 -> Mon 02:00:00 +02
	// started: gated, for window, until 22:00:00
	// 8 h later: running
}

// A hold keeps everything from starting; what runs goes on, and counts.
func Example_hold() {
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 100 }))
	job := deploy(eng, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{script(2), script(2)}})
	must(eng.OperateJob(ctx, job, operation.HoldJob, engine.Request{By: "ann", Because: "incident 42"}))
	_, err := eng.OperateJob(ctx, job, operation.HoldJob, engine.Request{By: "bob"})
	fmt.Println("held already:", errors.Is(err, operation.OnHold))

	report(eng, job, success(0), failure(1))
	record := must(eng.Operate(ctx, job, 1, operation.IgnoreError, engine.Request{By: "bob"}))
	fmt.Println("ignore_error:", record.To, "- step 2 is", record.JobTo, "for", record.Gate.Reason)
	record = must(eng.OperateJob(ctx, job, operation.ResumeJob, engine.Request{By: "ann"}))
	fmt.Println("resume_job: step", record.Step, "is", record.To)
	// Output:
	// held already: true
	// ignore_error: error_ignored - step 2 is gated for hold
	// resume_job: step 2 is running
}

// A stop before a step is a part of the definition, or set later, while the step is pending.
func Example_stopBefore() {
	eng := engine.New(memstore.New())
	install, restart := script(2), script(2)
	install.StopBefore = true
	job := deploy(eng, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{install, restart, script(2)}})
	state(eng, job, "started")
	must(eng.Operate(ctx, job, 2, operation.StopBefore, engine.Request{By: "ann"})) // before step 2 as well
	must(eng.Operate(ctx, job, 3, operation.StopBefore, engine.Request{By: "ann"}))
	must(eng.Operate(ctx, job, 3, operation.ClearStop, engine.Request{By: "ann"}))
	must(eng.Operate(ctx, job, 1, operation.Continue, engine.Request{By: "ann"}))
	state(eng, job, "continued")
	report(eng, job, success(0), success(1))
	fmt.Println("step 2:", must(eng.Step(ctx, job, 2)).State)
	_, err := eng.Operate(ctx, job, 2, operation.StopBefore, engine.Request{By: "ann"})
	fmt.Println("too late:", errors.Is(err, operation.WrongState))
	// Output:
	// started: gated, for person
	// continued: running
	// step 2: gated
	// too late: true
}

// A job that is started early waits for its time. A person can begin it before.
func ExampleJobSpec_startAt() {
	clock := at(18, 30)
	eng := engine.New(memstore.New(), engine.WithClock(clock.now))
	spec := engine.JobSpec{Name: "release 1.4", StartAt: step.At(at(22, 0).Time), Steps: []step.Spec{script(1)}}
	job := deploy(eng, spec)
	state(eng, job, "18:30")
	clock.pass(eng, 3*time.Hour+30*time.Minute-time.Millisecond)
	state(eng, job, "21:59:59.999")
	clock.pass(eng, time.Millisecond)
	state(eng, job, "22:00")

	spec.StartAt = step.At(clock.Add(time.Hour))
	job = deploy(eng, spec)
	must(eng.Operate(ctx, job, 1, operation.Continue, engine.Request{By: "ann", Because: "no need to wait"}))
	state(eng, job, "continued")
	// Output:
	// 18:30: gated, for time, until 22:00:00
	// 21:59:59.999: gated, for time, until 22:00:00
	// 22:00: running
	// continued: running
}

// Failures are retried without a person: twice, after a minute and after two, each less up to a quarter, at
// random. Then a person decides.
func Example_retry() {
	clock := at(12, 0)
	eng := engine.New(memstore.New(), engine.WithClock(clock.now), engine.WithRandom(func() uint64 { return 0 }))
	install := script(2)
	install.Retry = step.Retry{Attempts: 2, After: time.Minute, Most: time.Hour, Except: []step.Status{step.NoSuchUser}}
	job := deploy(eng, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{install}})
	report(eng, job, success(0), failure(1))
	state(eng, job, "attempt 1 failed")
	clock.pass(eng, time.Minute)
	report(eng, job, failure(1))
	state(eng, job, "attempt 2 failed")
	clock.pass(eng, 2*time.Minute)
	report(eng, job, failure(1))
	state(eng, job, "attempt 3 failed")
	// Output:
	// attempt 1 failed: gated, for time, until 12:00:58
	// attempt 2 failed: gated, for time, until 12:02:43
	// attempt 3 failed: failed
}

// A rollout: one host, then a tenth, then the rest, and a person between.
func ExampleJobSpec_rolling() {
	fmt.Println(must(step.Batches("1 10% 100%", 20))) // the preview: the end of each batch

	eng := engine.New(memstore.New())
	install := script(20)
	install.Rolling = step.Rolling{Batches: "1 10% 100%", Between: step.Between{Person: true}}
	job := deploy(eng, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{install}})
	report(eng, job, success(0))
	state(eng, job, "batch 1 succeeded")
	record := must(eng.Operate(ctx, job, 1, operation.Continue, engine.Request{By: "ann"}))
	fmt.Println("continue: batch 2 runs", record.Targets, "targets, from", record.Run.First)
	report(eng, job, success(1), failure(2))
	state(eng, job, "batch 2 failed")
	record = must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{By: "ann"}))
	fmt.Println("retry_failed: batch 2 runs", record.Targets, "target")
	for _, b := range must(eng.Batches(ctx, job, 1)) {
		fmt.Printf("batch %d, targets %d to %d: %v\n", b.Number, b.First, b.End-1, b.State)
	}
	// Output:
	// [1 3 20]
	// batch 1 succeeded: gated, for person
	// continue: batch 2 runs 2 targets, from 1
	// batch 2 failed: failed
	// retry_failed: batch 2 runs 1 target
	// batch 1, targets 0 to 0: succeeded
	// batch 2, targets 1 to 2: running
	// batch 3, targets 3 to 19: pending
}

// A step bears one failure of ten. With a second one it fails.
func Example_tolerance() {
	eng := engine.New(memstore.New())
	install := script(10)
	install.Rolling = step.Rolling{Batches: "5"}
	install.Tolerate = step.Tolerance{Percent: 10}
	job := deploy(eng, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{install}})
	report(eng, job, success(0), success(1), failure(2), success(3), success(4))
	s := must(eng.Step(ctx, job, 1))
	fmt.Println("1 failed: batch", s.Batch, "is", s.State)
	report(eng, job, success(5), failure(6), success(7), success(8), success(9))
	state(eng, job, "2 failed")
	must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{By: "ann"}))
	report(eng, job, success(6))
	state(eng, job, "1 failed")
	// Output:
	// 1 failed: batch 2 is running
	// 2 failed: failed
	// 1 failed: error_ignored
}

// Three deadlines: of an attempt, of a step with all its attempts, and of the job.
func Example_deadlines() {
	clock := at(12, 0)
	eng := engine.New(memstore.New(), engine.WithClock(clock.now))
	install := script(1)
	install.Timeout, install.TotalTimeout = 5*time.Minute, 20*time.Minute
	install.Retry = step.Retry{Attempts: 100, After: 8 * time.Minute}
	spec := engine.JobSpec{Name: "release 1.4", Timeout: time.Hour, Steps: []step.Spec{install}}

	job := deploy(eng, spec)
	clock.pass(eng, 5*time.Minute)
	state(eng, job, "the attempt took 5 min")

	job = deploy(eng, spec)
	for range 3 {
		report(eng, job, failure(0))
		clock.pass(eng, 8*time.Minute)
	}
	state(eng, job, "the step took 20 min")

	job = deploy(eng, spec)
	must(eng.OperateJob(ctx, job, operation.HoldJob, engine.Request{By: "ann"}))
	report(eng, job, failure(0))
	clock.pass(eng, 20*time.Minute)
	must(eng.Operate(ctx, job, 1, operation.RetryAll, engine.Request{By: "ann"}))
	state(eng, job, "a person retries, under a hold")
	clock.pass(eng, 40*time.Minute)
	state(eng, job, "the job took 1 h")
	// Output:
	// the attempt took 5 min: abnormal
	// the step took 20 min: abnormal
	// a person retries, under a hold: gated, for hold
	// the job took 1 h: terminated
}

// One deployment to production at a time, in the order in which they came.
func ExampleJobSpec_turn() {
	eng := engine.New(memstore.New())
	spec := engine.JobSpec{Name: "release 1.4", Turn: store.Turn{Key: "production", Limit: 1}, Steps: []step.Spec{script(1)}}
	first, second := deploy(eng, spec), deploy(eng, spec)
	state(eng, first, "first")
	state(eng, second, "second")
	report(eng, first, success(0)) // the job ends, and gives its turn back
	must(eng.Sweep(ctx))
	state(eng, second, "second")
	// Output:
	// first: running
	// second: gated, for turn
	// second: running
}
