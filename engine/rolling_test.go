package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// retrying returns a step with automatic retries.
func retrying(targets int, r step.Retry) engine.JobSpec {
	s := runOn(targets)
	s.Retry = r
	return engine.JobSpec{Steps: []step.Spec{s}}
}

// Further attempts begin by themselves, each on what is due, after a wait that doubles up to its maximum.
// With the last one the step has failed, and a person's retry brings as many again. (D.3.11, D.3.14)
func TestAutomaticRetries(t *testing.T) {
	c := started(t, retrying(3, step.Retry{Attempts: 3, After: seconds(10), Most: seconds(15)}))
	for round := range int32(2) {
		begun := 4 * round
		c.ok(c.report(good, wrong, wrong))
		for i, wait := range []time.Duration{seconds(10), seconds(15), seconds(15)} {
			c.is(step.Gated, step.TimeGate, begun+int32(i)+1)
			s := c.current()
			if s.Gate.Until != c.now.Add(wait) || s.Gate.Then != step.RunDue || s.Finished != c.now || s.Failed() != 2 {
				t.Fatalf("after attempt %d: %+v, want a wait of %v", s.Attempt, s, wait)
			}
			if c.record().Cause != step.FailedAgain || c.record().Effect != store.NoEffect {
				t.Fatalf("after attempt %d: record %+v", s.Attempt, c.record())
			}
			run := store.Delivery{Effect: store.RunTargets, Step: 1, Attempt: s.Attempt}
			if !engine.Obsolete(run, *s) {
				t.Errorf("the run of attempt %d is wanted while the step waits for the next one", s.Attempt)
			}
			c.ok(c.report(good, wrong, wrong)) // again: known
			if c.refused(c.operate(1, operation.RetryAll), operation.WrongState); i == 1 {
				c.ok(c.operate(1, operation.Continue)) // "now"
			} else {
				c.ok(c.toDue())
			}
			c.is(step.Running, step.NoGate, begun+int32(i)+2)
			if c.record().Targets != 2 || c.current().Automatic != int32(i)+1 {
				t.Fatalf("attempt %d runs %+v", s.Attempt+1, c.record())
			}
			c.ok(c.report(0, wrong, wrong))
		}
		c.is(step.Failed, step.NoGate, begun+4)
		c.ok(c.operate(1, []operation.Code{operation.RetryFailed, operation.RetryAll}[round]))
		if c.current().Automatic != 0 {
			t.Errorf("after a person's retry, %d automatic attempts are counted, want none", c.current().Automatic)
		}
	}
}

// An attempt is repeated unless every failure in it is of an excluded status; then all that is due runs.
// An attempt that broke, was stopped or met its deadline waits for a person, and what it left unfinished
// is in their retry. (D.3.13, D.3.15)
func TestWhatNoRetryMends(t *testing.T) {
	retry := step.Retry{Attempts: 2, Except: []step.Status{hopeless}}
	for results, want := range map[[3]step.Status]step.State{
		{good, good, wrong}: step.Running, {good, hopeless, wrong}: step.Running, {wrong, wrong, wrong}: step.Running,
		{hopeless, hopeless, hopeless}: step.Failed, {good, hopeless, good}: step.Failed, {good, good, good}: step.Succeeded,
	} {
		c := started(t, retrying(3, retry)) // at once: there is no wait
		c.ok(c.report(results[:]...))
		if c.current().State != want || want == step.Running && c.current().Attempt != 2 {
			t.Errorf("after %v the step is %v in attempt %d, want %v", results, c.current().State, c.current().Attempt, want)
		}
	}
	for outcome, want := range map[step.Cause]step.State{step.Broke: step.Abnormal, step.Stopped: step.Terminated} {
		c := started(t, retrying(3, retry))
		c.ok(c.report(good, wrong))
		c.ok(c.outcome(outcome))
		c.is(want, step.NoGate, 1)
		c.ok(c.operate(1, operation.RetryFailed))
		if c.record().Targets != 2 {
			t.Errorf("after %v a retry runs %d targets, want 2", outcome, c.record().Targets)
		}
	}
}

// Each batch has as many automatic attempts.
func TestEachBatchHasItsRetries(t *testing.T) {
	spec := inBatches(4, "2", step.Tolerance{}, step.Between{})
	spec.Steps[0].Retry = step.Retry{Attempts: 1}
	c := started(t, spec)
	for batch := range int32(2) {
		c.ok(c.report(good, wrong))
		c.is(step.Running, step.NoGate, 2*batch+2)
		c.ok(c.report(0, good))
	}
	c.is(step.Succeeded, step.NoGate, 4)
}

// Terminated while it waits for its next attempt, or told to stop before its last failure, a step
// begins no attempt.
func TestATerminateEndsAutomaticRetries(t *testing.T) {
	c := started(t, retrying(1, step.Retry{Attempts: 3, After: seconds(10)}))
	c.ok(c.report(wrong))
	due := c.current().Due
	c.ok(c.operateJob(operation.TerminateJob))
	c.is(step.Terminated, step.NoGate, 1)
	c.now = due
	c.refused(c.sweep(0), operation.Stale)

	c = started(t, retrying(1, step.Retry{Attempts: 3}))
	c.ok(c.operateJob(operation.TerminateJob))
	c.ok(c.report(wrong))
	c.is(step.Terminated, step.NoGate, 1)
}

// The end of TotalTimeout holds over attempts and between them: the step is abnormal, and no attempt
// follows by itself. A person's retry begins it anew. (D.3.17)
func TestADeadlineOverAllAttempts(t *testing.T) {
	for _, inGate := range []bool{false, true} {
		spec := retrying(1, step.Retry{Attempts: 9, After: seconds(40), Most: seconds(40)})
		spec.Steps[0].TotalTimeout, spec.Steps[0].Timeout = seconds(100), seconds(90)
		c := started(t, spec)
		end := c.now.Add(seconds(100))
		for c.current().State != step.Abnormal {
			if c.current().Expires != end {
				t.Fatalf("the step ends at %v, want %v", c.current().Expires, end)
			}
			if c.current().State == step.Running && (!inGate || c.current().Attempt < 3) {
				c.now += 15_000
				c.ok(c.report(wrong))
			} else if c.current().State == step.Running || c.current().Due == end {
				c.ok(c.toDue())
			} else {
				c.ok(c.open())
			}
		}
		if c.now != end || c.record().Cause != step.Expired || c.record().Reason != "deadline of the step" || c.current().Expires != 0 || c.current().Due != 0 {
			t.Errorf("at %v: %+v", c.now, c.record())
		}
		c.now += 5000
		c.ok(c.operate(1, operation.RetryFailed))
		if got, want := c.current().Expires, c.now.Add(seconds(100)); got != want {
			t.Errorf("after a person's retry the step ends at %v, want %v", got, want)
		}
	}
	for decision, want := range map[step.Decision]step.State{step.ConfirmOnTimeout: step.Succeeded, step.TerminateOnTimeout: step.ConfirmationTerminated} {
		c := started(t, engine.JobSpec{Steps: []step.Spec{{Type: step.Confirmation, Timeout: seconds(100), TotalTimeout: seconds(50), OnTimeout: decision}}})
		c.ok(c.toDue())
		if c.current().State != want || c.now != dawn+50_000 {
			t.Errorf("a confirmation with %v is %v at %v", decision, c.current().State, c.now)
		}
	}
}

// At the end of a job's time what runs is told to stop, and what waits is terminated at once. Then
// people operate it without a deadline.
func TestADeadlineOfTheJob(t *testing.T) {
	limit := seconds(100)
	c := started(t, engine.JobSpec{Timeout: limit, Steps: []step.Spec{runOn(1), runOn(1)}})
	c.now += 99_000
	c.ok(c.report(good))
	c.ok(c.toDue())
	c.is(step.Terminating, step.NoGate, 1)
	if r := c.record(); r.Cause != step.JobExpired || r.Effect != store.StopAttempt || c.now != dawn+100_000 || c.current().Due != 0 {
		t.Errorf("the job expires with %+v", r)
	}
	c.ok(c.outcome(step.Stopped))
	c.is(step.Terminated, step.NoGate, 1)
	c.now += 1_000_000
	c.ok(c.operate(2, operation.RetryAll))
	c.is(step.Running, step.NoGate, 2)

	for _, waits := range []step.Spec{{Type: step.Confirmation}, {Type: step.Confirmation, StopBefore: true}, {Type: step.Script, Targets: []string{"a"}, Delay: time.Hour}} {
		c = started(t, engine.JobSpec{Timeout: limit, Steps: []step.Spec{runOn(1), waits}})
		c.ok(c.report(good))
		c.ok(c.toDue())
		if c.current().State != step.Terminated || c.record().Effect != store.JobEnded || c.now != dawn+100_000 {
			t.Errorf("%+v ends %v at %v with %+v", waits, c.current().State, c.now, c.record())
		}
	}
	// a job that was told to stop is not told again, and one that ended in time keeps its deadline
	c = started(t, engine.JobSpec{Timeout: limit, Steps: []step.Spec{runOn(1)}})
	c.ok(c.operateJob(operation.TerminateJob))
	if c.current().Due != 0 {
		t.Errorf("a terminating job is due at %v", c.current().Due)
	}
	c.ok(c.outcome(step.Stopped))
	c.ok(c.operate(1, operation.RetryAll))
	if c.current().Due != dawn+100_000 {
		t.Errorf("a job that was retried in time is due at %v", c.current().Due)
	}
	c.ok(c.outcome(step.Broke))
	c.now += 200_000
	c.ok(c.operate(1, operation.RetryAll))
	if c.current().Due != 0 {
		t.Errorf("a job that ended in time, and was retried after it, is due at %v", c.current().Due)
	}
}

// inBatches returns a job of one step in batches.
func inBatches(targets int, batches string, tolerate step.Tolerance, between step.Between) engine.JobSpec {
	s := runOn(targets)
	s.Rolling, s.Tolerate = step.Rolling{Batches: batches, Between: between}, tolerate
	return engine.JobSpec{Steps: []step.Spec{s}}
}

// told returns the batches of step 1, a line for each.
func (c *course) told() string {
	var b strings.Builder
	for _, row := range c.batches[0] {
		fmt.Fprintf(&b, "%d: %d to %d, full %d, attempts %d to %d, %v, %d ok, %d unfinished\n",
			row.Number, row.First, row.End-1, row.Full, row.Since, row.Attempt, row.State, row.Succeeded, row.Unfinished)
	}
	return b.String()
}

// The walk of batches, retries, tolerance, a break and an ignored error through one step: six targets in
// three batches, of which one may fail.
func TestAWalkThroughBatches(t *testing.T) {
	spec := inBatches(6, "2", step.Tolerance{Count: 1}, step.Between{})
	spec.Steps[0].Retry = step.Retry{Attempts: 1, Except: []step.Status{hopeless}}
	c := started(t, spec)
	c.ok(c.report(good, hopeless)) // within the tolerance
	c.is(step.Running, step.NoGate, 2)
	c.ok(c.report(good, wrong)) // an automatic attempt
	c.is(step.Running, step.NoGate, 3)
	c.ok(c.report(0, good))
	c.is(step.Running, step.NoGate, 4)
	if s := c.current(); s.Run != (store.Run{Full: 4, First: 4, End: 6}) || s.Before != 3 || s.Batch != 3 || s.Unfinished != 2 || s.Failed() != 1 {
		t.Errorf("in batch 3: %+v", s)
	}
	// results of other batches and attempts change nothing
	for _, target := range []int32{0, 1, 3} {
		c.ok(c.decide(1, &engine.Report{Job: 7, Step: 1, Attempt: 4, Results: []engine.TargetResult{result(target, wrong)}}))
	}
	c.refused(c.decide(1, &engine.Report{Job: 7, Step: 1, Attempt: 3, Results: []engine.TargetResult{result(4, good)}}), operation.Stale)
	c.ok(c.report(hopeless, hopeless)) // three failures of one that is borne
	c.is(step.Failed, step.NoGate, 4)
	c.ok(c.operate(1, operation.RetryAll))
	if s := c.current(); s.Run != (store.Run{Full: 5, First: 4, End: 6}) || s.Before != 3 || s.Succeeded != 0 {
		t.Errorf("all of batch 3 again: %+v", s)
	}
	c.ok(c.report(good))
	c.ok(c.outcome(step.Broke))
	c.refused(c.try(operation.Continue.Cause()), operation.WrongState)
	c.ok(c.operate(1, operation.IgnoreError))
	c.is(step.ErrorIgnored, step.NoGate, 5)
	if got, want := c.told(), `1: 0 to 1, full 1, attempts 1 to 1, error_ignored, 1 ok, 0 unfinished
2: 2 to 3, full 2, attempts 2 to 3, succeeded, 2 ok, 0 unfinished
3: 4 to 5, full 5, attempts 4 to 5, error_ignored, 1 ok, 1 unfinished
`; got != want {
		t.Errorf("the batches are\n%swant\n%s", got, want)
	}
	if c.job.State != step.Succeeded || c.job.Ignored != 1 || c.current().Failed() != 1 {
		t.Errorf("the job ended %+v", c.job)
	}
}

// Between batches the step waits for a person, then for the time, then for nothing; before the first
// and after the last batch it does not. (A.3.12)
func TestBetweenBatches(t *testing.T) {
	for person := range 2 {
		for _, delay := range []time.Duration{0, seconds(30)} {
			c := started(t, inBatches(5, "2", step.Tolerance{}, step.Between{Person: person == 1, Delay: delay}))
			for batch := int32(1); batch <= 3; batch++ {
				c.is(step.Running, step.NoGate, batch)
				c.ok(c.report([]step.Status{good, good}[:c.current().Unfinished]...))
				if batch == 3 {
					break
				}
				if person == 1 {
					c.is(step.Gated, step.PersonGate, batch)
					c.ok(c.open())
				}
				if delay > 0 {
					c.is(step.Gated, step.TimeGate, batch)
					c.ok(c.open())
				}
			}
			c.is(step.Succeeded, step.NoGate, 3)
		}
	}
}

// A person's Continue leads from a terminated step to its next batch, without the wait between: to the
// first one if none has begun. What is left behind is accepted; after the last batch nothing is left.
func TestContinueAfterATerminate(t *testing.T) {
	c := newCourse(t, inBatches(4, "2", step.Tolerance{}, step.Between{Person: true, Delay: time.Hour}))
	c.ok(c.operateJob(operation.HoldJob))
	c.ok(c.start())
	c.ok(c.operateJob(operation.TerminateJob)) // at the gate of the first batch
	c.ok(c.operate(1, operation.Continue))
	c.ok(c.operateJob(operation.ResumeJob))
	if s := c.current(); s.Batch != 1 || s.Accepted != 0 || s.Run != (store.Run{Full: 1, End: 2}) || s.Attempt != 1 {
		t.Errorf("the first batch: %+v", s)
	}
	c.ok(c.report(good))
	c.ok(c.operateJob(operation.TerminateJob))
	c.ok(c.outcome(step.Stopped))
	c.ok(c.operate(1, operation.Continue))
	if s := c.current(); s.Batch != 2 || s.Accepted != 1 || s.Before != 1 || s.State != step.Running {
		t.Errorf("the second batch: %+v", s)
	}
	c.ok(c.operateJob(operation.TerminateJob))
	c.ok(c.outcome(step.Stopped))
	c.refused(c.operate(1, operation.Continue), operation.NoBatchLeft)
	c.ok(c.operate(1, operation.RetryFailed))
	c.ok(c.report(good, good))
	c.is(step.ErrorIgnored, step.NoGate, 3) // one failure, which a person has accepted
}

// Between batches a terminate, a skip and an ignored error act on the step; 2 and 8 on its batch.
// (A.3.7, A.3.15, A.3.18)
func TestOperationsWithinABatch(t *testing.T) {
	c := started(t, inBatches(6, "2", step.Tolerance{}, step.Between{Person: true}))
	c.ok(c.report(good, good))
	c.ok(c.open())
	c.ok(c.report(good, wrong))
	c.is(step.Failed, step.NoGate, 2)
	c.ok(c.operate(1, operation.RetryFailed))
	if c.record().Targets != 1 || c.current().Run.First != 2 {
		t.Errorf("a retry in batch 2 runs %+v", c.record())
	}
	c.ok(c.report(0, good))
	c.is(step.Gated, step.PersonGate, 3)
	c.ok(c.operateJob(operation.TerminateJob)) // no stop is needed
	c.is(step.Terminated, step.NoGate, 3)
	c.refused(c.operate(1, operation.RetryFailed), operation.NothingToRetry)
	c.ok(c.operate(1, operation.RetryAll)) // of batch 2
	if s := c.current(); c.record().Targets != 2 || s.Before != 2 || s.Run != (store.Run{Full: 4, First: 2, End: 4}) {
		t.Errorf("all of batch 2 again: %+v, %+v", s, c.record())
	}
	c.ok(c.report(wrong, good))
	c.ok(c.operate(1, operation.IgnoreError))
	c.is(step.Gated, step.PersonGate, 4)
	c.ok(c.operate(1, operation.ForcedSkip))
	if c.current().State != step.Skipped || len(c.batches[0]) != 2 || c.batches[0][1].State != step.ErrorIgnored {
		t.Errorf("skipped: %+v", c.told())
	}
}

// For any failures, batches and tolerance: a step goes on while the failures that no person has accepted are
// within its tolerance, and ends ignored if there are any. All of a batch that failed within the
// tolerance is no reason to stop. (A.3.8 to A.3.11)
func TestATolerance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.IntRange(1, 6).Draw(rt, "targets")
		tolerate := rapid.SampledFrom([]step.Tolerance{{}, {Count: 1}, {Count: 3}, {Percent: 10}, {Percent: 34}, {Percent: 100}}).Draw(rt, "tolerance")
		fails := rapid.SliceOfN(rapid.Bool(), total, total).Draw(rt, "fails")
		spec := inBatches(total, rapid.SampledFrom([]string{"1", "2", "50%", "1 *2", ""}).Draw(rt, "batches"), tolerate, step.Between{})
		c := started(t, spec)
		ends := c.steps[0].Batches()
		if ends == nil {
			ends = []int32{int32(total)}
		}
		failures, accepted, first := int32(0), int32(0), int32(0)
		for i, end := range ends {
			var statuses []step.Status
			for _, f := range fails[first:end] {
				if f {
					failures++
				}
				statuses = append(statuses, map[bool]step.Status{true: wrong, false: good}[f])
			}
			c.ok(c.report(statuses...))
			want := step.Running
			switch last := i == len(ends)-1; {
			case failures > 0 && !tolerate.Bears(failures-accepted, int32(total)):
				want = step.Failed
			case last && failures > 0:
				want = step.ErrorIgnored
			case last:
				want = step.Succeeded
			}
			if got := c.current().State; got != want {
				rt.Fatalf("after batch %d, with %d failures and %d accepted, the step is %v, want %v", i+1, failures, accepted, got, want)
			}
			if want == step.Failed {
				accepted = failures
				c.ok(c.operate(1, operation.IgnoreError))
			}
			first = end
		}
		if failed := int32(len(slices.DeleteFunc(fails, func(f bool) bool { return !f }))); c.current().Failed() != failed {
			rt.Fatalf("%d targets have failed, want %d", c.current().Failed(), failed)
		}
	})
}
