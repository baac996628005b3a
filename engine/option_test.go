package engine_test

import (
	"context"
	"errors"
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

// A request without an id gets one of its own: a UUID of version 7.
func TestDefaultRequestIDs(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	receipt, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{})
	if got := uuid.UUID(receipt.Request); err != nil || got.Version() != 7 || got.Variant() != uuid.RFC4122 {
		t.Errorf("the id is %v of version %d, %v, want version 7", got, got.Version(), err)
	}
}

// A job id is the milliseconds since 2024 and 12 bits of randomness, and fits JavaScript's
// numbers whatever the clock says.
func TestDefaultJobIDs(t *testing.T) {
	for now, want := range map[time.Time]store.JobID{
		time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC):      0xabc,
		time.Date(2024, 1, 1, 0, 0, 1, 0, time.UTC):      1000<<12 | 0xabc,
		time.UnixMilli(1_704_067_200_000 + 1<<41 - 1):    (1<<41-1)<<12 | 0xabc,
		time.UnixMilli(1_704_067_200_000 + 1<<41 + 5):    5<<12 | 0xabc,
		time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC): 0xabc,
	} {
		eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return now }), engine.WithRandom(func() uint64 { return 0xfabc }))
		created, err := eng.Create(t.Context(), asking1(), engine.Request{})
		if err != nil || created.Job != want || created.Job > store.MaxJobID {
			t.Errorf("at %v: job %d, %v, want %d", now, created.Job, err, want)
		}
	}
}

// A limit of 0 keeps its default, and any other replaces it.
func TestWithLimits(t *testing.T) {
	spec := engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "a", Targets: []string{"a", "b"}}, {Type: step.Confirmation, Name: "b"},
	}}
	for _, c := range []struct {
		limits engine.Limits
		field  string // that is over its limit
	}{
		{engine.Limits{}, ""},
		{engine.Limits{Steps: -1, Targets: -1, Reason: -1}, ""},
		{engine.Limits{Steps: 2, Targets: 2, Reason: 2}, ""},
		{engine.Limits{Steps: 1}, "steps"},
		{engine.Limits{Targets: 1}, "steps[0].targets"},
		{engine.Limits{Reason: 1}, "reason"},
	} {
		eng := engine.New(memstore.New(), engine.WithLimits(c.limits))
		_, err := eng.Create(t.Context(), spec, engine.Request{Because: "so"})
		var refusal *engine.Refusal
		if errors.As(err, &refusal) != (c.field != "") || c.field != "" && refusal.Field != c.field {
			t.Errorf("with %+v: %v, want %q to be over its limit", c.limits, err, c.field)
		}
	}
}

// Each function of an observer gets the duration of a request, with or without the other functions.
func TestObserverOfOneThing(t *testing.T) {
	var took []time.Duration
	note := func(d time.Duration) { took = append(took, d) }
	for name, o := range map[string]engine.Observer{
		"accepted": {Accepted: func(_ context.Context, _ store.Record, d time.Duration) { note(d) }},
		"refused":  {Refused: func(_ context.Context, _ *engine.Refusal, d time.Duration) { note(d) }},
		"dry":      {Dry: func(_ context.Context, _ store.Record, d time.Duration) { note(d) }},
	} {
		now := time.UnixMilli(1_800_000_000_000)
		eng := engine.New(memstore.New(), engine.WithObserver(o), engine.WithClock(func() time.Time {
			now = now.Add(time.Second)
			return now
		}))
		created, err := eng.Create(t.Context(), asking1(), engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		took = nil
		for _, r := range []engine.Request{{DryRun: true}, {}, {}} { // dry, accepted, refused
			_, _ = eng.OperateJob(t.Context(), created.Job, operation.StartJob, r)
		}
		if !slices.Equal(took, []time.Duration{time.Second}) {
			t.Errorf("an observer of what is %s was told %v, want one second, once", name, took)
		}
	}
}

// The last class of targets is one, and the next number is none.
func TestClassesOfTargets(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	for class := range store.SucceededTargets + 2 {
		_, err := d.eng.Targets(t.Context(), id, 1, engine.TargetQuery{Class: class})
		if known := class <= store.SucceededTargets; (err == nil) != known || !known && !errors.Is(err, operation.InvalidInput) {
			t.Errorf("Targets of class %d: %v, want it to be known: %v", class, err, known)
		}
	}
}
