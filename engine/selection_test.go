package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// busy starts a job of one step of each type that runs, which leaves a run to deliver, and another one
// that is terminated, which leaves a run that is obsolete and a stop. A question and an end are left besides.
func (d *desk) busy() {
	d.Helper()
	for _, typ := range []step.Type{step.Script, step.FileTransfer, step.SQL} {
		for _, terminates := range []bool{false, true} {
			created, err := d.eng.Create(d.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: typ, Name: "run", Targets: []string{"a"}}}}, engine.Request{})
			if err != nil {
				d.Fatal(err)
			}
			d.operateJob(created.Job, operation.StartJob)
			if terminates {
				d.operateJob(created.Job, operation.TerminateJob)
			}
		}
	}
	for _, terminates := range []bool{false, true} {
		created, err := d.eng.Create(d.Context(), asking1(), engine.Request{})
		if err != nil {
			d.Fatal(err)
		}
		d.operateJob(created.Job, operation.StartJob)
		if terminates {
			d.operate(created.Job, 1, operation.TerminateConfirmation)
		}
	}
}

// selected returns the effects of busy for a process that serves some kinds and types, as "run script".
func selected(kinds []store.Effect, types []step.Type) (want []string) {
	for _, kind := range kinds {
		switch kind {
		case store.RunTargets, store.StopAttempt:
			for _, typ := range types {
				want = append(want, fmt.Sprint(kind, " ", typ))
			}
		default:
			want = append(want, fmt.Sprint(kind, " ", step.Confirmation))
		}
	}
	return slices.Sorted(slices.Values(want))
}

// Claim, Deliver and Dispatch take the runs and stops of the step types that they are told, and the
// questions and ends if they are told those kinds: all sets of types and kinds.
func TestSelection(t *testing.T) {
	allKinds := []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}
	allTypes := []step.Type{step.Script, step.FileTransfer, step.SQL}
	for _, call := range []struct {
		name string
		take func(d *desk, kinds []store.Effect, types []step.Type, taken func(engine.Delivery))
	}{
		{"Claim", func(d *desk, kinds []store.Effect, types []step.Type, taken func(engine.Delivery)) {
			for _, x := range d.claim(engine.ClaimQuery{Effects: kinds, Types: step.TypesOf(types...)}) {
				taken(x)
			}
		}},
		{"Claim bounded by bytes", func(d *desk, kinds []store.Effect, types []step.Type, taken func(engine.Delivery)) {
			for _, x := range d.claim(engine.ClaimQuery{Effects: kinds, Types: step.TypesOf(types...), Bytes: 1 << 20}) {
				taken(x)
			}
		}},
		{"Deliver", func(d *desk, kinds []store.Effect, types []step.Type, taken func(engine.Delivery)) {
			handle := func(_ context.Context, x engine.Delivery) error { taken(x); return nil }
			_, err := d.eng.Deliver(d.Context(), handle, engine.Runs(1), engine.Effects(kinds...), engine.Types(types...))
			d.ok(err)
		}},
		{"Dispatch", func(d *desk, kinds []store.Effect, types []step.Type, taken func(engine.Delivery)) {
			taking := make(chan engine.Delivery, 100)
			handle := func(_ context.Context, x engine.Delivery) error { taking <- x; return nil }
			stop := d.dispatch(handle, engine.Effects(kinds...), engine.Types(types...))
			time.Sleep(time.Second)
			synctest.Wait()
			stop()
			close(taking)
			for x := range taking {
				taken(x)
			}
		}},
	} {
		t.Run(call.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for set := range 1 << len(allKinds) {
					for chosen := range 1 << len(allTypes) {
						kinds, types := members(allKinds, set), members(allTypes, chosen)
						d := newDesk(t, memstore.New())
						d.busy()
						var got []string
						call.take(d, kinds, types, func(x engine.Delivery) { got = append(got, fmt.Sprint(x.Effect, " ", x.Step.Type)) })
						slices.Sort(got)
						want := selected(orAll(kinds, allKinds), orAll(types, allTypes))
						if !slices.Equal(got, want) {
							t.Errorf("%s of %v, types %v: %q, want %q", call.name, kinds, types, got, want)
						}
					}
				}
			})
		})
	}
}

// members returns those of all whose bit is set.
func members[T any](all []T, set int) (some []T) {
	for i, v := range all {
		if set>>i&1 != 0 {
			some = append(some, v)
		}
	}
	return some
}

func orAll[T any](some, all []T) []T {
	if len(some) == 0 {
		return all
	}
	return some
}

// A kind or a type that the rules do not deliver is refused by name, wherever it stands.
func TestSelectionRefuses(t *testing.T) { synctest.Test(t, testSelectionRefuses) }

func testSelectionRefuses(t *testing.T) {
	d := newDesk(t, memstore.New())
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // of a dispatch that begins
	defer cancel()
	for _, c := range []struct {
		effects []store.Effect
		types   []step.Type
		field   string
	}{
		{[]store.Effect{store.RunTargets, store.NoEffect}, nil, "effects[1]"},
		{[]store.Effect{99}, nil, "effects[0]"},
		{nil, []step.Type{step.Script, 40}, "types"},
		{nil, []step.Type{0}, "types"},
		{nil, []step.Type{255}, "types"},
	} {
		opts := []engine.DispatchOption{engine.Effects(c.effects...), engine.Types(c.types...)}
		_, claim := d.eng.Claim(t.Context(), engine.ClaimQuery{Effects: c.effects, Types: step.TypesOf(c.types...)})
		_, deliver := d.eng.Deliver(t.Context(), d.handle, opts...)
		for call, err := range map[string]error{"Claim": claim, "Deliver": deliver, "Dispatch": d.eng.Dispatch(ctx, d.handle, opts...)} {
			var refusal *engine.Refusal
			if !errors.As(err, &refusal) || refusal.Reason != operation.InvalidInput || refusal.Field != c.field {
				t.Errorf("%s of %v, types %v: %v, want a refusal of %s", call, c.effects, c.types, err, c.field)
			}
		}
	}
}

// An effect that no process serves waits with Count 0, due since its record's time.
func TestAnEffectThatNoProcessServesWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		asked := step.At(time.Now())
		stop := d.dispatch(d.handle, engine.Types(step.SQL))
		time.Sleep(time.Hour)
		synctest.Wait()
		stop()
		d.wantLog()
		if w := d.waiting(id); len(w) != 1 || w[0].Count != 0 || w[0].At != asked || w[0].NotBefore != 0 {
			t.Errorf("after an hour %+v waits, want the run, never claimed and due since %v", w, asked)
		}
	})
}

// A delivery has the person, the reason and the cause of its record.
func TestDeliverySaysWhoAsked(t *testing.T) {
	d := newDesk(t, memstore.New())
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a"}}, {Type: step.Confirmation, Name: "ok"},
	}}, engine.Request{By: "creator"})
	d.ok(err)
	_, err = d.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{By: "ann", Because: "release 1.4"})
	d.ok(err)
	_, err = d.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: 1, Outcome: step.Broke, By: "agent", Reason: "no disk"})
	d.ok(err)
	_, err = d.eng.Operate(t.Context(), created.Job, 1, operation.RetryAll, engine.Request{By: "bob"})
	d.ok(err)
	var got []string
	_, err = d.eng.Deliver(t.Context(), func(_ context.Context, x engine.Delivery) error {
		got = append(got, fmt.Sprintf("%v: %v by %q because of %q", x.Effect, x.Cause, x.By, x.Because))
		return nil
	}, engine.Runs(1))
	d.ok(err)
	want := []string{`job_ended: broke by "agent" because of "no disk"`, `run: retry_all by "bob" because of ""`} // the first run is obsolete
	slices.SortFunc(got, cmp.Compare[string])
	if !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
}

func TestRenewEvery(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 14 * time.Second: 5 * time.Second, 28 * time.Minute: 10 * time.Minute, time.Second: 357142855} {
		got := engine.RenewEvery(lease)
		if got != want {
			t.Errorf("RenewEvery(%v) = %v, want %v", lease, got, want)
		}
		if whole := cmp.Or(lease, 14*time.Second); 2*got >= whole || 3*got < whole {
			t.Errorf("RenewEvery(%v) = %v: want two renewals and no third within the lease", lease, got)
		}
	}
}
