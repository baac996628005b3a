package engine_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An embedder extends the table by a row, and nothing else.

// tableWith returns an engine on the documented rules and these rows.
func tableWith(t *testing.T, st store.Store, rows ...operation.Row) *engine.Engine {
	t.Helper()
	table := operation.StandardTable()
	table.Rows = append(table.Rows, rows...)
	rules, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return engine.New(st, engine.WithRules(rules))
}

// A job that is sealed has ended for good: no operation is legal any more but a comment, and its
// history says why.
func TestASealIsARow(t *testing.T) {
	const seal operation.JobCode = 32
	ended := step.StatesOf(step.Failed, step.Terminated, step.Succeeded)
	st := memstore.New()
	eng := tableWith(t, st, operation.Row{Cause: seal.Cause(), From: ended, Do: step.Seal})
	created := must(eng.Create(ctx, jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}}), engine.Request{}))
	if _, err := eng.OperateJob(ctx, created.Job, seal, engine.Request{}); !errors.Is(err, operation.WrongState) {
		t.Errorf("a seal of a pending job = %v, want wrong_state", err)
	}
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{}))
	must(eng.Report(ctx, engine.Report{Job: created.Job, Step: 1, Attempt: 1, Outcome: step.Stopped}))

	before := must(eng.Step(ctx, created.Job, 1))
	record := must(eng.OperateJob(ctx, created.Job, seal, engine.Request{By: "ann", Because: "done with it"}))
	if record.From != record.To || record.JobFrom != record.JobTo || record.Effect != store.NoEffect || record.Seq != 4 {
		t.Errorf("the seal is answered with %+v, want version 4, and nothing that moves", record)
	}
	if after := must(eng.Step(ctx, created.Job, 1)); after != before {
		t.Errorf("the seal left the step %+v, want %+v", after, before)
	}
	for _, code := range operation.AllCodes() {
		sealed(t, second(eng.Operate(ctx, created.Job, 1, code, engine.Request{})))
	}
	for _, code := range []operation.JobCode{operation.TerminateJob, operation.StartJob, seal} {
		sealed(t, second(eng.OperateJob(ctx, created.Job, code, engine.Request{})))
	}
	if legal := must(eng.Allowed(ctx, created.Job, 1, engine.Request{})); legal != operation.CausesOf(operation.CommentJob) {
		t.Errorf("after the seal, %v is allowed, want comments", legal)
	}
	history := must(eng.History(ctx, created.Job, 0, 0))
	header, _, err := engine.Replay(eng.Rules(), jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}}), history)
	if now := must(eng.Job(ctx, created.Job)); err != nil || header != now || !now.Sealed {
		t.Errorf("the history replays to %+v, %v; the header is %+v, want it sealed", header, err, now)
	}
}

// An operation on the job has a row for some steps and one for the whole job: where the guard of the first
// is not met, the second counts, also in a replay.
func TestTheRowForTheWholeJobStandsIn(t *testing.T) {
	const nextOrSeal operation.JobCode = 32
	next := operation.Row{Cause: nextOrSeal.Cause(), On: step.TypesOf(step.Script), From: step.StatesOf(step.Terminated), To: step.Running, Do: step.RunNext, Guard: operation.BatchLeft}
	eng := tableWith(t, memstore.New(), next, operation.Row{Cause: nextOrSeal.Cause(), From: step.StatesOf(step.Terminated), Do: step.Seal})
	spec := jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a", "b"}, Rolling: step.Rolling{Batches: "1"}})
	created := must(eng.Create(ctx, spec, engine.Request{}))
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{}))
	for attempt := range int32(2) { // of a batch each
		must(eng.Report(ctx, engine.Report{Job: created.Job, Step: 1, Attempt: attempt + 1, Outcome: step.Stopped}))
		must(eng.OperateJob(ctx, created.Job, nextOrSeal, engine.Request{By: "ann"}))
	}
	job := must(eng.Job(ctx, created.Job))
	header, steps, err := engine.Replay(eng.Rules(), spec, must(eng.History(ctx, created.Job, 0, 0)))
	if err != nil || header != job || !job.Sealed || !reflect.DeepEqual(steps[0], must(eng.Step(ctx, created.Job, 1))) {
		t.Errorf("the history replays to %+v and %+v, %v; the header is %+v, want it sealed", header, steps, err, job)
	}
}

func second[T any](_ T, err error) error { return err }

func sealed(t *testing.T, err error) {
	t.Helper()
	var refusal *engine.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != operation.Sealed || refusal.Legal != operation.CausesOf(operation.CommentJob) || !strings.Contains(refusal.Error(), "the job is sealed") {
		t.Errorf("after the seal: %v, want it refused as sealed, and nothing legal but a comment", err)
	}
}

func jobOf(steps ...step.Spec) engine.JobSpec { return engine.JobSpec{Name: "release", Steps: steps} }
