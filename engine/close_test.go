package engine_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A job that has not started is cancelled: it ends terminated, its end is told, and it waits for nothing.
// A person may still run it; a question has ended for good.
func TestCancelAPendingJob(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step.Spec
		legal step.Causes // afterwards
	}{
		{"a script", []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a"}, StopBefore: true}}, operation.CausesOf(
			operation.RetryFailed, operation.RetryAll, operation.NextStep, operation.ForcedSkip).Union(operation.CausesOf(operation.SealJob, operation.CommentJob))},
		{"a confirmation", []step.Spec{{Type: step.Confirmation, Name: "go?"}}, operation.CausesOf(operation.CommentJob)},
	} {
		t.Run(c.name, func(t *testing.T) {
			eng := engine.New(memstore.New())
			spec := jobOf(c.steps...)
			job := must(eng.Create(ctx, spec, engine.Request{})).Job
			must(eng.OperateJob(ctx, job, operation.HoldJob, engine.Request{}))
			must(eng.OperateJob(ctx, job, operation.ResumeJob, engine.Request{}))
			rec := must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{By: "ann"}))
			if rec.From != step.Pending || rec.To != step.Terminated || rec.JobTo != step.Terminated || rec.Effect != store.JobEnded || rec.Attempt != 0 {
				t.Errorf("the cancellation is %+v", rec)
			}
			header := must(eng.Job(ctx, job))
			if header.Started != 0 || header.Finished != rec.At || header.Moved != rec.Seq {
				t.Errorf("the job is %+v", header)
			}
			if legal := must(eng.Allowed(ctx, job, 1, engine.Request{})); legal != c.legal {
				t.Errorf("then %v is legal, want %v", legal, c.legal)
			}
			replayed, _, err := engine.Replay(eng.Rules(), spec, must(eng.History(ctx, job, 0, 0)))
			if err != nil || replayed != header {
				t.Errorf("the history replays to %+v, %v; want %+v", replayed, err, header)
			}
		})
	}
}

// Of jobs that have ended, those that could go on are sealed, once; the others are final as they are.
// Nothing but a comment follows a seal.
func TestSealAnEndedJob(t *testing.T) {
	eng := engine.New(memstore.New())
	job := deploy(eng, jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}}))
	seal := func() error { return second(eng.OperateJob(ctx, job, operation.SealJob, engine.Request{By: "ann"})) }
	if err := seal(); !errors.Is(err, operation.WrongState) {
		t.Errorf("a seal of a running job: %v", err)
	}
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Broke}))
	if err := seal(); err != nil || !must(eng.Job(ctx, job)).Sealed {
		t.Errorf("a seal of an abnormal job: %v", err)
	}
	sealed(t, seal())
	sealed(t, second(eng.Operate(ctx, job, 1, operation.IgnoreError, engine.Request{By: "ann"})))

	job = deploy(eng, jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}}))
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}))
	if err := seal(); !errors.Is(err, operation.WrongState) {
		t.Errorf("a seal of a job that has succeeded: %v, want wrong_state", err)
	}
	job = deploy(eng, jobOf(step.Spec{Type: step.Confirmation, Name: "go?"}))
	must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{}))
	if err := seal(); !errors.Is(err, operation.Final) {
		t.Errorf("a seal of a job that ended in a terminated confirmation: %v, want it refused as final", err)
	}
}

// A comment is written in every state, sealed jobs included, needs a text, and makes no condition on a
// version stale.
func TestCommentChangesNothingElse(t *testing.T) {
	eng := engine.New(memstore.New())
	job := must(eng.Create(ctx, jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}}), engine.Request{})).Job
	var refusal *engine.Refusal
	if err := second(eng.OperateJob(ctx, job, operation.CommentJob, engine.Request{By: "ann"})); !errors.As(err, &refusal) || refusal.Field != "reason" {
		t.Errorf("a comment without a text: %v, want invalid reason", err)
	}
	comments := 0
	comment := func() {
		t.Helper()
		was := must(eng.Job(ctx, job))
		rec := must(eng.OperateJob(ctx, job, operation.CommentJob, engine.Request{By: "ann", Because: "looked at it", IfVersion: was.Version}))
		was.Version, was.Updated = rec.Seq, rec.At
		if now := must(eng.Job(ctx, job)); now != was || rec.Reason != "looked at it" || rec.Effect != store.NoEffect {
			t.Errorf("after the comment %+v the job is %+v, want %+v", rec, now, was)
		}
		comments++
	}
	comment()
	version := must(eng.Job(ctx, job)).Moved
	must(eng.OperateJob(ctx, job, operation.StartJob, engine.Request{IfVersion: version}))
	comment()
	must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{}))
	comment()
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Stopped}))
	comment()
	must(eng.OperateJob(ctx, job, operation.SealJob, engine.Request{}))
	comment()
	for _, rec := range must(eng.History(ctx, job, 0, 0)) {
		if rec.Cause == operation.CommentJob.Cause() {
			comments--
		}
	}
	if comments != 0 {
		t.Errorf("the history lacks %d comments", comments)
	}
}

// A person closes a failed job for good. The history keeps the reason, and takes comments.
func ExampleEngine_OperateJob_seal() {
	eng := engine.New(memstore.New())
	job := deploy(eng, jobOf(step.Spec{Type: step.Script, Name: "install", Targets: []string{"web-1"}}))
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Broke}))
	must(eng.OperateJob(ctx, job, operation.SealJob, engine.Request{By: "ann", Because: "web-1 is scrapped"}))
	must(eng.OperateJob(ctx, job, operation.CommentJob, engine.Request{By: "bob", Because: "see ticket 4711"}))

	_, err := eng.Operate(ctx, job, 1, operation.RetryFailed, engine.Request{By: "bob"})
	fmt.Println(errors.Is(err, operation.Sealed))
	for _, rec := range must(eng.History(ctx, job, 3, 0)) {
		fmt.Printf("%v by %s: %s\n", rec.Cause, rec.Actor, rec.Reason)
	}
	// Output:
	// true
	// seal_job by ann: web-1 is scrapped
	// comment_job by bob: see ticket 4711
}

// An explanation of another step than the current one shows one moment, even if the job is sealed meanwhile.
func TestExplainMeetsASeal(t *testing.T) {
	st := &nudged{Store: memstore.New()}
	eng := engine.New(st)
	job := deploy(eng, jobOf(plain(step.Script, "one"), plain(step.Script, "two")))
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Broke}))
	st.nudge = func() { must(eng.OperateJob(ctx, job, operation.SealJob, engine.Request{})) }
	x := must(eng.Explain(ctx, job, 2, engine.Request{}))
	for _, v := range x.Causes {
		if refused := v.Refusal != nil && v.Refusal.Reason == operation.Sealed; refused != (x.Job.Sealed && v.Cause != operation.CommentJob.Cause()) {
			t.Errorf("the job is sealed: %v, and %v is explained with %v", x.Job.Sealed, v.Cause, v.Refusal)
		}
	}
}

// The outcome says which steps did not do all of their work, and whose word that was.
func TestOutcome(t *testing.T) {
	failing := func(s step.Spec) step.Spec {
		s.Type, s.Name, s.Targets = step.Script, "run", []string{"a", "b"}
		return s
	}
	fail := func(eng *engine.Engine, job store.JobID) {
		must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0), failure(1)}}))
	}
	for _, c := range []struct {
		spec step.Spec
		then func(eng *engine.Engine, job store.JobID)
		want string
	}{
		{failing(step.Spec{}), func(eng *engine.Engine, job store.JobID) {
			must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0), success(1)}}))
		}, "clean"},
		{failing(step.Spec{}), func(eng *engine.Engine, job store.JobID) {
			fail(eng, job)
			must(eng.Operate(ctx, job, 1, operation.IgnoreError, engine.Request{}))
		}, "ignored"},
		{failing(step.Spec{IgnoreErrors: true}), fail, "tolerated"},
		{failing(step.Spec{Tolerate: step.Tolerance{Count: 1}}), fail, "tolerated"},
		{failing(step.Spec{}), func(eng *engine.Engine, job store.JobID) {
			must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{}))
			must(eng.Operate(ctx, job, 1, operation.ForcedSkip, engine.Request{}))
		}, "skipped"},
		{failing(step.Spec{Tolerate: step.Tolerance{Count: 1}, Rolling: step.Rolling{Batches: "1 1"}}), func(eng *engine.Engine, job store.JobID) {
			must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Broke}))
			must(eng.Operate(ctx, job, 1, operation.IgnoreError, engine.Request{})) // and the second batch fails within the tolerance
			must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 2, Results: []engine.TargetResult{failure(1)}}))
		}, "ignored"},
	} {
		eng := engine.New(memstore.New())
		job := deploy(eng, jobOf(c.spec))
		c.then(eng, job)
		header := must(eng.Job(ctx, job))
		if got := header.Outcome().String(); header.State != step.Succeeded || got != c.want {
			t.Errorf("%+v: the job is %v, %s, want succeeded, %s", c.spec, header.State, got, c.want)
		}
	}
	both := store.Job{Skipped: 1, Ignored: 2, Tolerated: 1}
	if got := both.Outcome().String(); got != "skipped, ignored, tolerated" {
		t.Errorf("the outcome of three steps is %s", got)
	}
}
