package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var ctx = context.Background()

// release returns an engine and a started job of three steps, numbered 100: a script on
// two hosts, a confirmation by ann, and a script.
func release(opts ...engine.Option) (*engine.Engine, store.JobID) {
	opts = append(opts, engine.WithJobIDs(func(step.Time) store.JobID { return 100 }))
	eng := engine.New(memstore.New(), opts...)
	created := must(eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.Script, Name: "install", Targets: []string{"web-1", "web-2"}},
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"ann"}},
		{Type: step.Script, Name: "restart", Targets: []string{"web-1", "web-2"}},
	}}, engine.Request{By: "bob"}))
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"}))
	return eng, created.Job
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// success and failure are results of a target.
func success(target int32) engine.TargetResult {
	return engine.TargetResult{Target: target, Result: store.Result{Status: step.TargetSucceeded}}
}

func failure(target int32) engine.TargetResult {
	return engine.TargetResult{Target: target, Result: store.Result{Status: step.NonZeroExit, ExitCode: 1}}
}

// fail has the second host fail the first step.
func fail(eng *engine.Engine, job store.JobID) {
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0), failure(1)}}))
}

// An operation returns the record of its change.
func ExampleEngine_Operate() {
	eng, job := release()
	fail(eng, job)
	record, err := eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{By: "bob", Because: "web-2 is repaired"})
	fmt.Println(record.From, "->", record.To, "attempt", record.Attempt, "targets", record.Targets, err)
	// Output: failed -> running attempt 2 targets 1 <nil>
}

// A refusal lists the legal operations. Its reason is a sentinel for errors.Is; errors.As finds the
// refusal.
func ExampleRefusal() {
	eng, job := release()
	fail(eng, job)
	_, err := eng.Operate(ctx, job, 1, operation.NextStep, engine.Request{By: "bob"})
	fmt.Println(err)
	fmt.Println(errors.Is(err, operation.WrongState))
	var refusal *engine.Refusal
	if errors.As(err, &refusal) {
		fmt.Println(refusal.State, "|", refusal.LegalFrom, "|", refusal.Legal)
	}
	// Output:
	// job 100, step 1: next_step (11) is not legal in failed, only in terminated; legal now: retry_failed, ignore_error, retry_all, on the job: seal_job
	// true
	// failed | terminated | retry_failed, ignore_error, retry_all, seal_job, comment_job
}

// A running job can be terminated once. The executor is told to stop, and its report ends the job.
func ExampleEngine_OperateJob() {
	eng, job := release()
	record := must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{By: "bob"}))
	fmt.Println(record.JobFrom, "->", record.JobTo, "effect", record.Effect)
	_, err := eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{By: "ann"})
	fmt.Println(err)
	report := must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Stopped}))
	fmt.Println(report.JobState)
	// Output:
	// running -> terminating effect stop
	// job 100, step 1: terminate_job (job 1) is not legal in terminating, only in pending, running, gated; legal now: forced_skip, on the job: hold_job
	// terminated
}

// One call tells a frontend which buttons to disable, and why.
func ExampleEngine_Explain() {
	eng, job := release()
	fail(eng, job)
	x := must(eng.Explain(ctx, job, 1, engine.Request{By: "bob"}))
	for _, v := range x.Causes {
		if v.Legal {
			fmt.Printf("%v: to %v\n", v.Cause, v.Record.To)
		} else {
			fmt.Printf("%v: no, %v\n", v.Cause, v.Refusal.Reason)
		}
	}
	// Output:
	// retry_failed: to running
	// ignore_error: to error_ignored
	// confirm: no, wrong_type
	// retry_all: to running
	// terminate_confirmation: no, wrong_type
	// restart_confirmation: no, wrong_type
	// next_step: no, wrong_state
	// forced_skip: no, wrong_state
	// continue: no, wrong_state
	// stop_before: no, wrong_state
	// clear_stop: no, wrong_state
	// terminate_job: no, wrong_state
	// start_job: no, wrong_state
	// hold_job: no, wrong_state
	// resume_job: no, not_held
	// seal_job: to failed
	// comment_job: to failed
}

func ExampleEngine_Allowed() {
	eng, job := release()
	fail(eng, job)
	fmt.Println(must(eng.Allowed(ctx, job, 1, engine.Request{By: "bob"})))
	// Output: retry_failed, ignore_error, retry_all, seal_job, comment_job
}

// A dry run returns the answer of the operation, and changes nothing.
func ExampleRequest_dryRun() {
	eng, job := release()
	fail(eng, job)
	record := must(eng.Operate(ctx, job, 1, operation.RetryAll, engine.Request{DryRun: true}))
	fmt.Println("would run", record.Targets, "targets")
	fmt.Println("the step is", must(eng.Step(ctx, job, 1)).State)
	// Output:
	// would run 2 targets
	// the step is failed
}

// A request that is sent twice with the same id is carried out once.
func ExampleRequest_iD() {
	eng, job := release()
	fail(eng, job)
	id := uuid.MustParse("0198c0de-0000-7000-8000-000000000001")
	for range 2 {
		record := must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{By: "bob", ID: id}))
		fmt.Println("attempt", record.Attempt, "in version", record.Seq)
	}
	// Output:
	// attempt 2 in version 4
	// attempt 2 in version 4
}

// An operation that was decided on an old page is refused. Results that have come in
// since do not count.
func ExampleRequest_ifVersion() {
	eng, job := release()
	seen := must(eng.Job(ctx, job)).Version
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}))
	_, err := eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{IfVersion: seen})
	fmt.Println(err)
	_, err = eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{IfVersion: seen})
	fmt.Println(err)
	// Output:
	// <nil>
	// job 100, step 1: terminate_job (job 1) is stale: decided on version 2, but the job moved in version 4; legal now: forced_skip, on the job: hold_job
}

// IfAttempt refuses an operation unless the step is still in the attempt that the person saw.
func ExampleRequest_ifAttempt() {
	eng, job := release()
	fail(eng, job)
	must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{IfAttempt: 1}))
	_, err := eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{IfAttempt: 1})
	fmt.Println(errors.Is(err, operation.Stale))
	// Output: true
}

// The authorizer sees the same state as the decision.
func ExampleWithAuthorizer() {
	eng, job := release(engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
		if a.Cause == operation.IgnoreError.Cause() && a.Actor != "ann" {
			return errors.New("only ann may ignore errors")
		}
		return nil
	}))
	fail(eng, job)
	_, err := eng.Operate(ctx, job, 1, operation.IgnoreError, engine.Request{By: "bob"})
	fmt.Println(err)
	// Output: job 100, step 1: ignore_error (3) denied to bob: only ann may ignore errors
}

// A confirmation accepts only the people on its list.
func ExampleRequest_by() {
	eng, job := release()
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0), success(1)}}))
	_, err := eng.Operate(ctx, job, 2, operation.Confirm, engine.Request{By: "bob"})
	fmt.Println(errors.Is(err, operation.NotConfirmer))
	record, err := eng.Operate(ctx, job, 2, operation.Confirm, engine.Request{By: "ann", Because: "looks good"})
	fmt.Println(record.To, "and step", record.Entered, "starts", err)
	// Output:
	// true
	// succeeded and step 3 starts <nil>
}

// A job of another scope does not exist.
func ExampleEngine_In() {
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 100 }))
	ours, theirs := eng.In(store.Scope{Type: "biz", ID: "2"}), eng.In(store.Scope{Type: "biz", ID: "3"})
	created := must(ours.Create(ctx, engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok"}}}, engine.Request{}))
	_, err := theirs.Job(ctx, created.Job)
	fmt.Println(err)
	// Output: job 100: no such job
}

// A late report is refused as stale, which an executor can drop. A repeated result changes nothing. A
// result that contradicts an earlier one is listed as rejected.
func ExampleEngine_Report() {
	eng, job := release()
	first := engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}
	for range 2 {
		r := must(eng.Report(ctx, first))
		fmt.Println("accepted", r.Accepted, "repeated", r.Repeated)
	}
	r := must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{failure(0), failure(1)}}))
	fmt.Println("rejected", len(r.Rejected), "and the step is", r.State)
	must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{}))
	_, err := eng.Report(ctx, first)
	fmt.Println(errors.Is(err, operation.Stale))
	// Output:
	// accepted 1 repeated 0
	// accepted 0 repeated 1
	// rejected 1 and the step is failed
	// true
}

// Targets that succeeded do not run again, and keep the attempt of their success.
func ExampleEngine_Targets() {
	eng, job := release()
	fail(eng, job)
	must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{}))
	for _, t := range must(eng.Targets(ctx, job, 1, engine.TargetQuery{})) {
		fmt.Println(t.Name, t.Status, "in attempt", t.Attempt)
	}
	for _, t := range must(eng.Targets(ctx, job, 1, engine.TargetQuery{Attempt: 1, Class: store.FailedTargets})) {
		fmt.Println("attempt 1:", t.Name, t.Status)
	}
	// Output:
	// web-1 succeeded_earlier in attempt 1
	// web-2 waiting in attempt 1
	// attempt 1: web-1 succeeded
	// attempt 1: web-2 non_zero_exit
}

// Work for the outside world comes as effects. This handler carries out each at once; a program that
// runs for long calls Dispatch instead.
func ExampleEngine_Deliver() {
	eng, job := release()
	n, err := eng.Deliver(ctx, func(ctx context.Context, d engine.Delivery) error {
		fmt.Println(d.Effect, d.Step.Name, "attempt", d.Attempt)
		switch d.Effect {
		case store.RunTargets:
			results := []engine.TargetResult{success(0), success(1)}
			_, err := eng.Report(ctx, engine.Report{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt, Results: results})
			return err
		case store.AskConfirmers:
			_, err := eng.Operate(ctx, d.Job.ID, d.Step.ID, operation.Confirm, engine.Request{By: "ann"})
			return err
		}
		return nil
	})
	fmt.Println(n, "effects", err)
	fmt.Println("the job is", must(eng.Job(ctx, job)).State)
	// Output:
	// run install attempt 1
	// ask approve attempt 1
	// run restart attempt 1
	// job_ended restart attempt 1
	// 4 effects <nil>
	// the job is succeeded
}

// A dispatcher hands out effects until its context ends.
func ExampleEngine_Dispatch() {
	eng, _ := release()
	ctx, cancel := context.WithCancel(ctx)
	err := eng.Dispatch(ctx, func(_ context.Context, d engine.Delivery) error {
		fmt.Println(d.Effect, d.Step.Name)
		cancel()
		return nil
	})
	fmt.Println(err)
	// Output:
	// run install
	// <nil>
}

// An executor in another process claims effects, and settles each with the delivery that it got. No
// other process gets the effect until the lease expires.
func ExampleEngine_Claim() {
	eng, job := release()
	query := engine.ClaimQuery{Effects: []store.Effect{store.RunTargets, store.StopAttempt}, Lease: 2 * time.Minute}
	for _, d := range must(eng.Claim(ctx, query)) {
		fmt.Println(d.Effect, d.Step.Name, "attempt", d.Attempt)
		must(eng.Report(ctx, engine.Report{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt, Results: []engine.TargetResult{success(0), success(1)}}))
		fmt.Println(eng.Settle(ctx, d.Claimed()))
		fmt.Println(eng.Settle(ctx, d.Claimed()))
	}
	fmt.Println("waiting for", must(eng.Job(ctx, job)).Current, "with", len(must(eng.Claim(ctx, query))), "effects to carry out")
	// Output:
	// run install attempt 1
	// <nil>
	// job 100: effect 2, delivery 1: store: lease lost
	// waiting for 2 with 0 effects to carry out
}

// Two processes share a store: each takes the runs and stops of the step types that it serves. The one for
// scripts takes no questions and no ends of jobs either.
func ExampleTypes() {
	eng, job := release()
	database := func(context.Context, engine.Delivery) error { panic("no script is its work") }
	fmt.Println(eng.Deliver(ctx, database, engine.Types(step.SQL)))
	for _, d := range must(eng.Effects(ctx, job, 0, 0)) {
		fmt.Println(d.Effect, d.Type, "claimed", d.Count, "times")
	}
	scripts := func(_ context.Context, d engine.Delivery) error {
		fmt.Println(d.Step.Name, "for", d.By, "by", d.Cause)
		_, err := eng.Report(ctx, engine.Report{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt, Results: []engine.TargetResult{success(0), success(1)}})
		return err
	}
	fmt.Println(eng.Deliver(ctx, scripts, engine.Types(step.Script), engine.Effects(store.RunTargets, store.StopAttempt)))
	for _, d := range must(eng.Effects(ctx, job, 0, 0)) {
		fmt.Println(d.Effect, d.Type, "claimed", d.Count, "times")
	}
	// Output:
	// 0 <nil>
	// run script claimed 0 times
	// install for bob by start_job
	// 1 <nil>
	// ask confirmation claimed 0 times
}

// A failed effect is delivered again, after a back-off that grows with each failure.
func ExampleEngine_Fail() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	eng, _ := release(engine.WithClock(func() time.Time { return now }))
	for range 60 {
		for _, d := range must(eng.Claim(ctx, engine.ClaimQuery{})) {
			fmt.Println(now.Format(time.TimeOnly), d.Effect, d.Step.Name, "delivery", d.Count, eng.Fail(ctx, d.Claimed(), errors.New("no agent on web-1")))
		}
		now = now.Add(time.Second)
	}
	// Output:
	// 12:00:00 run install delivery 1 <nil>
	// 12:00:01 run install delivery 2 <nil>
	// 12:00:03 run install delivery 3 <nil>
	// 12:00:07 run install delivery 4 <nil>
	// 12:00:15 run install delivery 5 <nil>
	// 12:00:31 run install delivery 6 <nil>
}

// A person sees a run that keeps failing, hurries it when its host is back, and gives it up when the
// host is lost: the step becomes abnormal, with the person's name and reason, and can be retried.
func ExampleEngine_GiveUp() {
	eng, job := release()
	unreachable := func() {
		d := must(eng.Claim(ctx, engine.ClaimQuery{}))[0]
		fmt.Println("delivery", d.Count, eng.Fail(ctx, d.Claimed(), errors.New("no agent on web-1")))
	}
	unreachable()
	waiting := must(eng.Effects(ctx, job, 0, 0))[0]
	fmt.Println(waiting.Effect, waiting.Seq, "was claimed", waiting.Count, "time:", waiting.LastError)
	must(eng.Hurry(ctx, job, waiting.Seq, engine.Request{By: "bob", Because: "the agent was restarted"}))
	unreachable()
	record := must(eng.GiveUp(ctx, job, waiting.Seq, engine.Request{By: "bob", Because: "web-1 is gone"}))
	fmt.Println(record.Cause, "by", record.Actor, "because", record.Reason)
	fmt.Println("step", must(eng.Step(ctx, job, 1)).State, "and legal", must(eng.Allowed(ctx, job, 1, engine.Request{By: "bob"})))
	_, err := eng.GiveUp(ctx, job, waiting.Seq, engine.Request{By: "eve"})
	fmt.Println(errors.Is(err, operation.Settled))
	// Output:
	// delivery 1 <nil>
	// run 2 was claimed 1 time: no agent on web-1
	// delivery 2 <nil>
	// broke by bob because web-1 is gone
	// step abnormal and legal retry_failed, ignore_error, retry_all, seal_job, comment_job
	// true
}

// An executor that shuts down releases the effects that it has not begun: another one gets them at
// once.
func ExampleEngine_Release() {
	eng, _ := release()
	for range 2 {
		d := must(eng.Claim(ctx, engine.ClaimQuery{}))[0]
		fmt.Println(d.Effect, d.Step.Name, "delivery", d.Count, eng.Release(ctx, d.Claimed()))
	}
	// Output:
	// run install delivery 1 <nil>
	// run install delivery 2 <nil>
}

// An executor renews the lease while it works, and learns from the error that the lease is lost.
func ExampleEngine_Renew() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	eng, _ := release(engine.WithClock(func() time.Time { return now }))
	ours := must(eng.Claim(ctx, engine.ClaimQuery{}))[0]
	now = now.Add(20 * time.Second)
	fmt.Println(eng.Renew(ctx, ours.Claimed(), time.Minute))
	now = now.Add(2 * time.Minute) // of silence
	must(eng.Claim(ctx, engine.ClaimQuery{}))
	fmt.Println(errors.Is(eng.Renew(ctx, ours.Claimed(), time.Minute), store.ErrLeaseLost))
	// Output:
	// <nil>
	// true
}

// Engine.Effects lists the effects that wait, with the reason of the last failure.
func ExampleEngine_Effects() {
	eng, job := release()
	fmt.Println(eng.Deliver(ctx, func(context.Context, engine.Delivery) error { return errors.New("no connection to web-1") }))
	for _, d := range must(eng.Effects(ctx, job, 0, 0)) {
		fmt.Println(d.Effect, "step", d.Step, "tried", d.Count, "times:", d.LastError)
	}
	// Output:
	// 0 job 100: run of step 1, attempt 1: no connection to web-1
	// run step 1 tried 1 times: no connection to web-1
}

// The history has a record per change: person, operation, time, reason, and consequences.
func ExampleEngine_History() {
	eng, job := release()
	fail(eng, job)
	must(eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{By: "bob", Because: "web-2 is repaired"}))
	for _, r := range must(eng.History(ctx, job, 2, 100)) { // after record 2, at most 100 records
		fmt.Printf("%d %v: %v -> %v by %q, %q\n", r.Seq, r.Cause, r.From, r.To, r.Actor, r.Reason)
	}
	// Output:
	// 3 some_failed: running -> failed by "", ""
	// 4 retry_failed: failed -> running by "bob", "web-2 is repaired"
}

// A person who has repaired a host ends the back-off of an effect.
func ExampleEngine_Hurry() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	eng, job := release(engine.WithClock(func() time.Time { return now }))
	d := must(eng.Claim(ctx, engine.ClaimQuery{}))[0]
	fmt.Println(d.Effect, eng.Fail(ctx, d.Claimed(), errors.New("no agent on web-1")))
	fmt.Println("due at once:", len(must(eng.Claim(ctx, engine.ClaimQuery{}))))
	must(eng.Hurry(ctx, job, d.Seq, engine.Request{By: "bob", Because: "the agent was restarted"}))
	fmt.Println("due when hurried:", len(must(eng.Claim(ctx, engine.ClaimQuery{}))))
	// Output:
	// run <nil>
	// due at once: 0
	// due when hurried: 1
}

// A claim is settled once, by the worker that has the lease.
func ExampleEngine_Settle() {
	eng, job := release()
	d := must(eng.Claim(ctx, engine.ClaimQuery{}))[0]
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: d.Attempt, Results: []engine.TargetResult{success(0), success(1)}}))
	fmt.Println(eng.Settle(ctx, d.Claimed()))
	fmt.Println(errors.Is(eng.Settle(ctx, d.Claimed()), store.ErrLeaseLost))
	// Output:
	// <nil>
	// true
}

// A watch yields the history and then each new record.
func ExampleEngine_Watch() {
	eng, job := release()
	fail(eng, job)
	for record, err := range eng.Watch(ctx, job, 0) {
		if err != nil {
			break
		}
		fmt.Println(record.Seq, record.Cause, "job", record.JobTo)
		if record.JobTo.Finished() {
			break
		}
	}
	// Output:
	// 1 created job pending
	// 2 start_job job running
	// 3 some_failed job failed
}

// A deadline takes effect when it is swept, as a dispatcher does by itself.
func ExampleEngine_Sweep() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return now }))
	created := must(eng.Create(ctx, engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Confirmation, Name: "approve", Timeout: time.Hour, OnTimeout: step.ConfirmOnTimeout},
	}}, engine.Request{}))
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{}))
	now = now.Add(time.Hour)
	fmt.Println(must(eng.Sweep(ctx)), "expired")
	fmt.Println("the job is", must(eng.Job(ctx, created.Job)).State)
	// Output:
	// 1 expired
	// the job is succeeded
}

// Jobs are listed by state, page by page, here the newest first.
func ExampleEngine_Jobs() {
	eng, job := release()
	fail(eng, job)
	for _, j := range must(eng.Jobs(ctx, engine.JobQuery{States: step.StatesOf(step.Failed, step.Abnormal), Newest: true})) {
		fmt.Println(j.ID, j.Name, j.State)
	}
	// Output: 100 release 1.4 failed
}

// An observer writes logs and metrics.
func ExampleWithObserver() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr { // no times, which differ each time
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
	eng, job := release(engine.WithObserver(engine.Observer{
		Accepted: func(_ context.Context, r store.Record, _ time.Duration) {
			log.Info("accepted", "job", r.Job, "cause", r.Cause, "by", r.Actor, "state", r.JobTo)
		},
		Refused: func(_ context.Context, r *engine.Refusal, _ time.Duration) {
			log.Warn("refused", "job", r.Job, "step", r.Step, "cause", r.Cause, "reason", r.Reason, "legal", r.Legal)
		},
	}))
	_, _ = eng.Operate(ctx, job, 1, operation.Confirm, engine.Request{})
	// Output:
	// level=INFO msg=accepted job=100 cause=created by=bob state=pending
	// level=INFO msg=accepted job=100 cause=start_job by=bob state=running
	// level=WARN msg=refused job=100 step=1 cause=confirm reason=wrong_type legal="terminate_job, hold_job, comment_job"
}

// Rules are a value: this engine refuses a forced skip while a step terminates.
func ExampleWithRules() {
	table := operation.StandardTable()
	for i, row := range table.Rows {
		if row.Cause == operation.ForcedSkip.Cause() {
			table.Rows[i].From = row.From.Without(step.Terminating)
		}
	}
	rules := must(table.Compile())
	for _, d := range operation.Diff(operation.Standard(), rules) {
		fmt.Println(d)
	}
	eng, job := release(engine.WithRules(rules))
	must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{}))
	_, err := eng.Operate(ctx, job, 1, operation.ForcedSkip, engine.Request{})
	fmt.Println(err)
	// Output:
	// forced_skip on script in terminating became illegal
	// forced_skip on file_transfer in terminating became illegal
	// forced_skip on sql in terminating became illegal
	// job 100, step 1: forced_skip (12) is not legal in terminating, only in terminated, gated; legal now: none, on the job: hold_job
}

// Rules that lost a type leave jobs behind. A service looks for them before it starts.
func ExampleEngine_Unfit() {
	table := operation.StandardTable()
	kind := table.Kinds[0]
	kind.Type = 32
	table.Kinds = append(table.Kinds, kind)
	table.Like(32, step.Script)
	st := memstore.New()
	eng := engine.New(st, engine.WithRules(must(table.Compile())), engine.WithJobIDs(func(step.Time) store.JobID { return 100 }))
	must(eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.Script, Name: "install", Targets: []string{"web-1"}},
		{Type: 32, Name: "health", Targets: []string{"web-1"}},
	}}, engine.Request{}))

	fmt.Println(fits(ctx, engine.New(st), nil)) // an engine with the documented rules
	// Output:
	// job 100, step 2, custom-32 in pending: its type is not declared in this engine's rules
}

// fits returns the first 100 misfits between the rules of an engine and its stored jobs, or nil. former
// are the rules that the jobs were stored under, or nil.
func fits(ctx context.Context, eng *engine.Engine, former *operation.Rules) error {
	var found []error
	for misfit, err := range eng.Unfit(ctx, former) {
		if err != nil {
			return err
		}
		if found = append(found, misfit); len(found) == 100 {
			break
		}
	}
	return errors.Join(found...)
}

// Decide needs no engine, store or clock: a program can simulate rules on plain values.
func ExampleDecide() {
	view := store.View{
		Job:  store.Job{ID: 100, State: step.Failed, Version: 3, Current: 1, Steps: 1},
		Step: store.Step{ID: 1, Type: step.Script, State: step.Failed, Attempt: 1, Run: store.FirstRun, Total: 10, Succeeded: 7},
	}
	d, err := engine.Decide(operation.Standard(), view, &engine.Operate{Cause: operation.RetryFailed.Cause()}, 1_000)
	record := d.Record()
	fmt.Println(record.To, "on", record.Targets, "targets", err)
	_, err = engine.Decide(operation.Standard(), view, &engine.Operate{Cause: operation.ForcedSkip.Cause()}, 1_000)
	fmt.Println(errors.Is(err, operation.WrongState))
	// Output:
	// running on 3 targets <nil>
	// true
}

// Replay rebuilds a job from its history, for an audit.
func ExampleReplay() {
	spec := engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok"}}}
	eng := engine.New(memstore.New())
	created := must(eng.Create(ctx, spec, engine.Request{}))
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{}))
	must(eng.Operate(ctx, created.Job, 1, operation.Confirm, engine.Request{}))
	replayed, _, err := engine.Replay(eng.Rules(), spec, must(eng.History(ctx, created.Job, 0, 0)))
	fmt.Println(replayed == must(eng.Job(ctx, created.Job)), err)
	// Output: true <nil>
}
