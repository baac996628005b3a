package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A refusal at a gate, or about a hold, a stop or a batch, says what the step waits for, when that ends, and what is
// legal instead.
func TestWordsOfRefusalsAboutGates(t *testing.T) {
	type change func(*engine.Engine, store.JobID)
	later := step.At(at(12, 0).Add(time.Minute))
	with := func(set func(*step.Spec)) []step.Spec {
		first, second := script(2), script(2)
		set(&first)
		return []step.Spec{first, second}
	}
	plain := with(func(*step.Spec) {})
	held := func(eng *engine.Engine, job store.JobID) {
		must(eng.OperateJob(ctx, job, operation.HoldJob, engine.Request{}))
	}
	failed := func(eng *engine.Engine, job store.JobID) {
		report(eng, job, success(0), failure(1))
	}
	marked := func(eng *engine.Engine, job store.JobID) {
		must(eng.Operate(ctx, job, 2, operation.StopBefore, engine.Request{}))
	}
	again := func(eng *engine.Engine, job store.JobID) {
		must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{}))
	}
	stopped := func(eng *engine.Engine, job store.JobID) {
		must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Stopped}))
	}
	const gated = "; legal now: forced_skip, continue, on the job: terminate_job, hold_job"
	for name, c := range map[string]struct {
		steps  []step.Spec
		before []change
		cause  step.Cause
		step   step.ID // 1 if 0
		want   string  // after "job 100, step N: "
	}{
		"a stop before the step": {
			steps: with(func(s *step.Spec) { s.StopBefore = true }), cause: operation.RetryFailed.Cause(),
			want: "retry_failed (2) is not legal in gated, only in failed, abnormal, terminated: it waits for a person to continue" + gated,
		},
		"a delay": {
			steps: with(func(s *step.Spec) { s.Delay = time.Minute }), cause: operation.RetryFailed.Cause(),
			want: "retry_failed (2) is not legal in gated, only in failed, abnormal, terminated: it waits until 2026-11-02T12:01:00.000Z" + gated,
		},
		"a window": {
			steps: with(func(s *step.Spec) { s.Window = "soon" }), cause: operation.RetryAll.Cause(),
			want: "retry_all (8) is not legal in gated, only in failed, abnormal, terminated: it waits for its window until 2026-11-02T12:01:00.000Z" + gated,
		},
		"a hold": {
			steps: plain, before: []change{held, failed, again},
			cause: operation.RetryFailed.Cause(),
			want: "retry_failed (2) is not legal in gated, only in failed, abnormal, terminated: it waits for the end of the job's hold" +
				"; legal now: forced_skip, on the job: terminate_job, resume_job",
		},
		"continue under a hold": {
			steps: plain, before: []change{held, failed, again},
			cause: operation.Continue.Cause(),
			want: "continue (13) is not possible: the job is on hold, and nothing starts until it is resumed" +
				"; legal now: forced_skip, on the job: terminate_job, resume_job",
		},
		"held already": {
			steps: plain, before: []change{held}, cause: operation.HoldJob.Cause(),
			want: "hold_job (job 20) is not possible: the job is on hold already; legal now: none, on the job: terminate_job, resume_job",
		},
		"not held": {
			steps: plain, cause: operation.ResumeJob.Cause(),
			want: "resume_job (job 21) is not possible: the job is not on hold; legal now: none, on the job: terminate_job, hold_job",
		},
		"a stop before a step that has begun": {
			steps: plain, cause: operation.StopBefore.Cause(),
			want: "stop_before (21) is not legal in running, only in pending; legal now: none, on the job: terminate_job, hold_job",
		},
		"a stop that is set": {
			steps: plain, before: []change{marked}, step: 2, cause: operation.StopBefore.Cause(),
			want: "stop_before (21) is not possible: a stop is set before the step already; legal now: clear_stop",
		},
		"no stop": {
			steps: plain, step: 2, cause: operation.ClearStop.Cause(),
			want: "clear_stop (22) is not possible: no stop is set before the step; legal now: stop_before",
		},
		"no batch left": {
			steps: plain, before: []change{stopped},
			cause: operation.Continue.Cause(),
			want:  "continue (13) is not possible: no batch of the step is left; legal now: retry_failed, retry_all, next_step, forced_skip, on the job: seal_job",
		},
	} {
		t.Run(name, func(t *testing.T) {
			eng := engine.New(memstore.New(), engine.WithClock(at(12, 0).now), engine.WithJobIDs(func(step.Time) store.JobID { return 100 }),
				engine.WithWindows(func(string, time.Time) time.Time { return later.Std() }))
			job := deploy(eng, engine.JobSpec{Name: "release", Steps: c.steps})
			for _, f := range c.before {
				f(eng, job)
			}
			var err error
			if c.cause.OfJob() {
				_, err = eng.OperateJob(ctx, job, operation.JobCode(c.cause.Code()), engine.Request{})
			} else {
				_, err = eng.Operate(ctx, job, max(c.step, 1), operation.Code(c.cause.Code()), engine.Request{})
			}
			if err == nil {
				t.Fatalf("%v passed, want a refusal", c.cause)
			}
			if _, got, _ := strings.Cut(err.Error(), ": "); got != c.want {
				t.Errorf("%v: got\n%s\nwant\n%s", c.cause, got, c.want)
			}
		})
	}
}
