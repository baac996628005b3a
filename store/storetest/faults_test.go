package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

var errBroken = errors.New("broken")

// The outcome of a commit that fails after it took effect is unknown to its caller. A read of the store
// shows it.
func ExampleFaults() {
	ctx := context.Background()
	faults := storetest.NewFaults(memstore.New(), storetest.Fault{Method: storetest.Commit, After: true, Err: errors.New("connection lost")})
	st := faults

	fmt.Println(st.Commit(ctx, creation(1)))
	v, err := st.View(ctx, store.Query{Job: 1})
	fmt.Println(v.Job.Version, err)
	// Output:
	// connection lost
	// 1 <nil>
}

// A store that knows that a commit had no effect says so, and so does the engine. After any other failure
// of a commit the outcome is unknown.
func ExampleFault_undone() {
	ctx, spec := context.Background(), engine.JobSpec{Name: "release", Steps: []step.Spec{{Type: step.Confirmation, Name: "go?"}}}
	for _, failure := range []error{fmt.Errorf("the disk is full: %w", store.ErrUndone), errors.New("connection lost")} {
		faults := storetest.NewFaults(memstore.New(), storetest.Fault{Method: storetest.Commit, Forever: true, Err: failure})
		_, err := engine.New(faults).Create(ctx, spec, engine.Request{})
		fmt.Println(failure, "- unknown:", errors.Is(err, engine.ErrUnknownOutcome))
	}
	// Output:
	// the disk is full: store: nothing was done - unknown: false
	// connection lost - unknown: true
}

// creation returns the change that makes a job of one confirmation.
func creation(id store.JobID) store.Change {
	spec := step.Spec{Type: step.Confirmation, Name: "go?"}
	return store.Change{
		Job:     store.Job{ID: id, State: step.Pending, Version: 1, Moved: 1, Current: 1, Steps: 1},
		Specs:   []step.Spec{spec},
		Steps:   []store.Step{store.NewStep(1, spec)},
		Records: []store.Record{{Job: id, Seq: 1, Cause: step.Created, Request: store.RequestID{1, 15: byte(id)}, JobTo: step.Pending}},
	}
}

// calls makes one call of each method, in the order of the interface.
func calls(ctx context.Context, st store.Store) []error {
	var errs [15]error
	_, errs[0] = st.View(ctx, store.Query{Job: 1})
	_, errs[1] = st.Created(ctx, store.Scope{}, store.RequestID{1, 15: 1})
	errs[2] = st.Commit(ctx, creation(2))
	_, errs[3] = st.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 1}})
	_, errs[4] = st.Counts(ctx, store.Scope{}, 1)
	_, errs[5] = st.Snapshot(ctx, store.SnapshotQuery{Job: 1})
	_, errs[6] = st.Steps(ctx, store.Scope{}, 1, store.Page[step.ID]{Limit: 1})
	_, errs[7] = st.Targets(ctx, store.TargetFilter{Job: 1, Step: 1, Page: store.Page[int32]{After: -1, Limit: 1}})
	_, errs[8] = st.History(ctx, store.Scope{}, 1, store.Page[store.Seq]{Limit: 1})
	_, errs[9] = st.Details(ctx, store.DetailQuery{Job: 1, Step: 1})
	_, errs[10] = st.Effects(ctx, store.Scope{}, 1, store.Page[store.Seq]{Limit: 1})
	_, errs[11] = st.Claim(ctx, store.Claim{Effects: []store.Effect{store.RunTargets}, Now: 1, Until: 2, Limit: 1})
	errs[12] = st.Defer(ctx, store.Delivery{Job: 1, Seq: 1})
	errs[13] = st.Settle(ctx, store.Delivery{Job: 1, Seq: 1})
	_, errs[14] = st.Overdue(ctx, store.Scope{}, 1, 1)
	return errs[:]
}

func TestAStoreWithoutFaultsIsAsGoodAsBefore(t *testing.T) {
	wrapped := func(testing.TB) store.Store { return storetest.NewFaults(memstore.New()) }
	for _, f := range storetest.Check(t, wrapped) {
		t.Errorf("Check of a wrapped store: got %s: %s, want no failure", f.Promise, f.Message)
	}
}

// A fault happens to the method that it names and to no other, before the call
// takes effect or after.
func TestAFaultHappensToItsMethod(t *testing.T) {
	for i, m := range storetest.Methods() {
		for _, after := range []bool{false, true} {
			inner := memstore.New()
			if err := inner.Commit(t.Context(), creation(1)); err != nil {
				t.Fatal(err)
			}
			faults := storetest.NewFaults(inner, storetest.Fault{Method: m, After: after, Err: errBroken})
			for j, err := range calls(t.Context(), faults) {
				if got, want := errors.Is(err, errBroken), i == j; got != want {
					t.Errorf("a fault of %v, call of %v: got error %v, want it broken: %v", m, storetest.Methods()[j], err, want)
				}
			}
			_, err := inner.View(t.Context(), store.Query{Job: 2})
			if got, want := err == nil, m != storetest.Commit || after; got != want {
				t.Errorf("a fault of %v, after: %v: the commit took effect: %v, want %v", m, after, got, want)
			}
			for _, m := range storetest.Methods() {
				if got := faults.Calls(m); got != 1 {
					t.Errorf("Calls(%v): got %d, want 1", m, got)
				}
			}
		}
	}
}

// happened makes n calls of Jobs and returns the numbers of those that failed, from 1.
func happened(t *testing.T, st store.Store, n int) (failed []int) {
	for i := range n {
		if _, err := st.Jobs(t.Context(), store.JobFilter{Page: store.Page[store.JobID]{Limit: 1}}); err != nil {
			failed = append(failed, i+1)
		}
	}
	return failed
}

func TestAFaultHappensToTheCallThatItNames(t *testing.T) {
	for _, c := range []struct {
		faults []storetest.Fault
		want   []int
	}{
		{nil, nil},
		{[]storetest.Fault{{}}, nil},
		{[]storetest.Fault{{Method: storetest.Jobs}}, nil},
		{[]storetest.Fault{{Method: storetest.Jobs, Err: errBroken}}, []int{1}},
		{[]storetest.Fault{{Method: storetest.Jobs, Call: 3, Err: errBroken}}, []int{3}},
		{[]storetest.Fault{{Method: storetest.Jobs, Call: 3, Forever: true, After: true, Err: errBroken}}, []int{3, 4, 5}},
		{[]storetest.Fault{{Method: storetest.Jobs, Call: 4, Err: errBroken}, {Method: storetest.Jobs, Call: 2, Err: errBroken}}, []int{2, 4}},
		{[]storetest.Fault{{Method: storetest.Steps, Forever: true, Err: errBroken}}, nil},
	} {
		faults := storetest.NewFaults(memstore.New(), c.faults...)
		if got := happened(t, faults, 5); !slices.Equal(got, c.want) {
			t.Errorf("5 calls with faults %+v: got failures of %v, want %v", c.faults, got, c.want)
		}
	}
}

func TestFaultsCanBeAddedAndCleared(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	happened(t, faults, 3)
	faults.Add(storetest.Fault{Method: storetest.Jobs, Call: 2, Err: errBroken})
	if got := happened(t, faults, 1); got != nil {
		t.Errorf("the first call after Add of a fault of the second: got a failure, want none")
	}
	if got := happened(t, faults, 3); !slices.Equal(got, []int{1}) {
		t.Errorf("the second call after Add and two more: got failures of %v, want 1", got)
	}
	faults.Add(storetest.Fault{Method: storetest.Jobs, Forever: true, Err: errBroken})
	faults.Clear()
	if got := happened(t, faults, 3); got != nil {
		t.Errorf("calls after Clear: got failures of %v, want none", got)
	}
	if got := faults.Calls(storetest.Jobs); got != 10 {
		t.Errorf("Calls(Jobs): got %d, want 10", got)
	}
}

// A fault without an error is there for its Do, which may use the store: here
// another commits first.
func TestAFaultMayDoSomethingElse(t *testing.T) {
	inner := memstore.New()
	var order []string
	faults := storetest.NewFaults(inner,
		storetest.Fault{Method: storetest.Commit, Do: func() {
			order = append(order, "before")
			if err := inner.Commit(t.Context(), creation(1)); err != nil {
				t.Errorf("Commit within a fault: got error %v, want none", err)
			}
		}},
		storetest.Fault{Method: storetest.Commit, After: true, Do: func() { order = append(order, "after") }},
	)
	if err := faults.Commit(t.Context(), creation(1)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Commit when another has committed first: got error %v, want a conflict", err)
	}
	if want := []string{"before", "after"}; !slices.Equal(order, want) {
		t.Errorf("what happened: got %q, want %q", order, want)
	}
}

// Over a store that wakes no listener the channel is never closed, and watchers poll.
func TestAWrappedStoreWakesIfTheInnerDoes(t *testing.T) {
	inner := memstore.New()
	changed, stop := storetest.NewFaults(inner).Wake(1)
	defer stop()
	if err := inner.Commit(t.Context(), creation(1)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Errorf("Wake over a store.Waker: the channel is open after a commit, want it closed")
	}
	changed, stop = storetest.NewFaults(struct{ store.Store }{inner}).Wake(1)
	stop()
	if changed != nil {
		t.Errorf("Wake over a store that is no store.Waker: got a channel, want nil")
	}
}
