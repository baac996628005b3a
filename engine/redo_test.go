package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
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

// whole is a definition that uses every field.
var whole = engine.JobSpec{
	Name: "release", Scope: store.Scope{Type: "biz", ID: "2"}, Origin: 7, StartAt: 1, Timeout: time.Hour, Turn: store.Turn{Key: "production", Limit: 2},
	Steps: []step.Spec{
		{
			Type: step.Script, Name: "install", Targets: []string{"a", "b", "c"}, Payload: "sh", Timeout: time.Minute, TotalTimeout: time.Hour,
			StopBefore: true, Delay: time.Second, Window: "night", Tolerate: step.Tolerance{Count: 1}, Rolling: step.Rolling{
				Batches: "1 100%", Between: step.Between{Delay: time.Second, Person: true},
			}, Retry: step.Retry{Attempts: 1, After: time.Second, Most: time.Minute, Except: []step.Status{step.BadPassword}},
		},
		{Type: step.Confirmation, Name: "go?", Confirmers: []string{"ann", "bob"}, Timeout: time.Minute, OnTimeout: step.ConfirmOnTimeout},
		{Type: step.SQL, Name: "migrate", Targets: []string{"db"}, IgnoreErrors: true},
		{Type: step.Confirmation, Name: "done?"},
	},
}

// Spec returns what a job was created by, field by field.
func TestSpecIsTheDefinition(t *testing.T) {
	used := map[string]bool{}
	for _, s := range whole.Steps {
		v := reflect.ValueOf(s)
		for i := range v.NumField() {
			used[v.Type().Field(i).Name] = used[v.Type().Field(i).Name] || !v.Field(i).IsZero()
		}
	}
	for field, set := range used {
		if !set {
			t.Errorf("no step of the definition has %s", field)
		}
	}
	eng := engine.New(memstore.New())
	job := must(eng.Create(ctx, whole, engine.Request{})).Job
	if got := must(eng.Spec(ctx, job)); !reflect.DeepEqual(got, whole) {
		t.Errorf("Spec is\n%+v, want\n%+v", got, whole)
	}
	many := engine.JobSpec{Name: "many", Steps: []step.Spec{{Type: step.Script, Name: "run"}}}
	for i := range 10_001 {
		many.Steps[0].Targets = append(many.Steps[0].Targets, fmt.Sprint("host-", i))
	}
	if got := must(eng.Spec(ctx, must(eng.Create(ctx, many, engine.Request{})).Job)); !reflect.DeepEqual(got, many) {
		t.Errorf("Spec of %d targets has %d", len(many.Steps[0].Targets), len(got.Steps[0].Targets))
	}
}

// failedRelease returns a job whose second step has failed on b and c of four targets.
func failedRelease(eng *engine.Engine) store.JobID {
	job := deploy(eng, jobOf(
		step.Spec{Type: step.Script, Name: "stop", Targets: []string{"a"}},
		step.Spec{Type: step.Script, Name: "install", Targets: []string{"a", "b", "c", "d"}},
		step.Spec{Type: step.Script, Name: "start", Targets: []string{"a", "b", "c", "d"}},
	))
	must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}))
	must(eng.Report(ctx, engine.Report{Job: job, Step: 2, Attempt: 1, Results: []engine.TargetResult{success(0), failure(1), failure(2), success(3)}}))
	return job
}

// A new job repeats all of an old one, or a step and those after it, on all targets or on those that have
// not succeeded, and names the old one.
func TestRedo(t *testing.T) {
	eng := engine.New(memstore.New())
	job := failedRelease(eng)
	old := must(eng.Spec(ctx, job))
	for _, c := range []struct {
		part engine.Redo
		want []step.Spec
	}{
		{engine.Redo{}, old.Steps},
		{engine.Redo{From: 2}, old.Steps[1:]},
		{engine.Redo{From: 3, Failed: true}, old.Steps[2:]}, // it has not begun
		{engine.Redo{From: 2, Failed: true}, []step.Spec{
			{Type: step.Script, Name: "install", Targets: []string{"b", "c"}}, old.Steps[2],
		}},
	} {
		made := must(eng.Redo(ctx, job, c.part, engine.Request{By: "ann"}))
		header := must(eng.Job(ctx, made.Job))
		if got := must(eng.Spec(ctx, made.Job)); !reflect.DeepEqual(got.Steps, c.want) || header.Origin != job || header.State != step.Pending || header.Name != old.Name {
			t.Errorf("%+v makes %+v of %+v, want %+v", c.part, header, got.Steps, c.want)
		}
	}
	for field, part := range map[string]engine.Redo{"from": {From: -1}} {
		var r *engine.Refusal
		if err := second(eng.Redo(ctx, job, part, engine.Request{})); !errors.As(err, &r) || r.Field != field {
			t.Errorf("Redo %+v: %v, want invalid %s", part, err, field)
		}
	}
	asking := deploy(eng, jobOf(step.Spec{Type: step.Confirmation, Name: "go?"}))
	for reason, err := range map[operation.Reason]error{
		operation.NoSuchStep:     second(eng.Redo(ctx, job, engine.Redo{From: 4}, engine.Request{})),
		operation.NoSuchJob:      second(eng.Redo(ctx, 1, engine.Redo{}, engine.Request{})),
		operation.NothingToRetry: second(eng.Redo(ctx, job, engine.Redo{Failed: true}, engine.Request{})),
		operation.InvalidInput:   second(eng.Redo(ctx, asking, engine.Redo{Failed: true}, engine.Request{})),
	} {
		if !errors.Is(err, reason) {
			t.Errorf("Redo: %v, want %v", err, reason)
		}
	}
}

// A repetition has the first answer, whatever has succeeded since; the same id for another part is refused.
func TestRedoIsRepeatable(t *testing.T) {
	eng := engine.New(memstore.New())
	job := failedRelease(eng)
	r := engine.Request{By: "ann", ID: uuid.New()}
	first := must(eng.Redo(ctx, job, engine.Redo{From: 2, Failed: true}, r))
	must(eng.Operate(ctx, job, 2, operation.RetryFailed, engine.Request{}))
	must(eng.Report(ctx, engine.Report{Job: job, Step: 2, Attempt: 2, Results: []engine.TargetResult{success(1)}}))
	if again := must(eng.Redo(ctx, job, engine.Redo{From: 2, Failed: true}, r)); again != first {
		t.Errorf("the repetition is answered with %+v, want %+v", again, first)
	}
	if err := second(eng.Redo(ctx, job, engine.Redo{}, r)); !errors.Is(err, operation.RequestReused) {
		t.Errorf("the same id for the whole job: %v, want request_reused", err)
	}
	r.By = "bob"
	if err := second(eng.Redo(ctx, job, engine.Redo{From: 2, Failed: true}, r)); !errors.Is(err, operation.RequestReused) {
		t.Errorf("the same id by another person: %v, want request_reused", err)
	}
	if n := len(must(eng.Jobs(ctx, engine.JobQuery{}))); n != 2 {
		t.Errorf("%d jobs, want the old one and a new one", n)
	}
}

// The targets that are left are those of one moment: a result that comes while they are read is counted.
func TestRedoIsOfOneMoment(t *testing.T) {
	st := memstore.New()
	eng := engine.New(st)
	job := failedRelease(eng)
	must(eng.Operate(ctx, job, 2, operation.RetryFailed, engine.Request{}))
	reads := 0
	late := &between{Store: st, targets: func() {
		if reads++; reads == 2 { // of the pages of targets, the one of those that have succeeded
			must(eng.Report(ctx, engine.Report{Job: job, Step: 2, Attempt: 2, Results: []engine.TargetResult{success(1)}}))
		}
	}}
	made := must(engine.New(late).Redo(ctx, job, engine.Redo{From: 2, Failed: true}, engine.Request{}))
	if got := must(eng.Spec(ctx, made.Job)).Steps[0].Targets; !slices.Equal(got, []string{"c"}) {
		t.Errorf("the new job runs on %v, want c", got)
	}
}

// between is a store in which something happens after a page of targets was read.
type between struct {
	store.Store
	targets func()
}

func (b *between) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	targets, err := b.Store.Targets(ctx, f)
	if f.Step == 2 {
		b.targets()
	}
	return targets, err
}

// Ann repeats a release from the step that failed on, on the hosts where it failed.
func ExampleEngine_Redo() {
	eng := engine.New(memstore.New())
	job := failedRelease(eng)
	record := must(eng.Redo(ctx, job, engine.Redo{From: 2, Failed: true}, engine.Request{By: "ann", Because: "the mirror is back"}))
	for _, s := range must(eng.Spec(ctx, record.Job)).Steps {
		fmt.Println(s.Name, s.Targets)
	}
	fmt.Println(must(eng.Job(ctx, record.Job)).Origin == job)
	// Output:
	// install [b c]
	// start [a b c d]
	// true
}
