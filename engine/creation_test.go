package engine_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// Concurrent creations with one request id create one job and answer with the same record, even if
// all have looked for the request before the first one commits.
func TestCreationsAtOnce(t *testing.T) {
	const callers = 16
	faults := storetest.NewFaults(memstore.New())
	var looked sync.WaitGroup // callers that have found no job of the request
	looked.Add(callers)
	var looks atomic.Int32
	faults.Add(storetest.Fault{Method: storetest.Created, Forever: true, After: true, Do: func() {
		if looks.Add(1) <= callers {
			looked.Done()
			looked.Wait()
		}
	}})
	eng := engine.New(faults)
	spec := engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a"}}}}
	asked := engine.Request{By: "ann", ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000002")}
	answers := make([]store.Record, callers)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			var err error
			if answers[i], err = eng.Create(t.Context(), spec, asked); err != nil {
				t.Errorf("creation %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for i, got := range answers {
		if got != answers[0] {
			t.Errorf("creation %d answers %+v, want the record of the others, %+v", i, got, answers[0])
		}
	}
	if jobs, err := eng.Jobs(t.Context(), engine.JobQuery{}); err != nil || len(jobs) != 1 {
		t.Errorf("Jobs = %d jobs, %v; want 1", len(jobs), err)
	}
}

// A question that expires leaves the count of waiting jobs with the sweep that expires it.
func TestCountsAfterAnExpiry(t *testing.T) {
	now := time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)
	eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return now }))
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ask", Timeout: time.Minute}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	count := func(state step.State) int {
		t.Helper()
		counts, err := eng.Counts(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		return counts[state]
	}
	if n := count(step.Waiting); n != 1 {
		t.Errorf("%d jobs wait before the deadline, want 1", n)
	}
	now = now.Add(time.Minute)
	if _, err := eng.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if waiting, ended := count(step.Waiting), count(step.ConfirmationTerminated); waiting != 0 || ended != 1 {
		t.Errorf("after the sweep %d jobs wait and %d have ended, want 0 and 1", waiting, ended)
	}
}

// Rules without an operation that opens a gate, as those of version 0.1, take no step that would wait for
// a person for ever.
func TestAStopThatNobodyCanClearIsRefused(t *testing.T) {
	table := operation.StandardTable()
	table.Rows = slices.DeleteFunc(table.Rows, func(r operation.Row) bool { return r.Do == step.Open && r.Cause.OfStep() })
	rules := table.MustCompile()
	script := step.Spec{Type: step.Script, Name: "run", Targets: []string{"a", "b"}}
	stopped, rolling := script, script
	stopped.StopBefore = true
	rolling.Rolling = step.Rolling{Batches: "1", Between: step.Between{Person: true}}
	for field, spec := range map[string]step.Spec{"steps[0].stop_before": stopped, "steps[0].rolling.between.person": rolling} {
		_, err := engine.New(memstore.New(), engine.WithRules(rules)).Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{spec}}, engine.Request{})
		var refusal *engine.Refusal
		if !errors.As(err, &refusal) || refusal.Field != field {
			t.Errorf("creation of a step with %s: %v", field, err)
		}
	}
}
