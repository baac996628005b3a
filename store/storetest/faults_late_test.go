package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A delayed commit arrives after a later one. Of two commits on the same version only one can
// pass.
func ExampleFault_delay() {
	ctx := context.Background()
	st := memstore.New()
	fmt.Println("created:", st.Commit(ctx, creation(1)))

	faulty := storetest.NewFaults(st, storetest.Fault{
		Method: storetest.Commit, Kind: storetest.Delay, Lag: 1, Err: errors.New("timeout"),
	})
	first, second := asked(2), asked(2)
	first.Records[0].Actor, second.Records[0].Actor = "ann", "bob"
	fmt.Println("ann:", faulty.Commit(ctx, first))
	fmt.Println("bob:", faulty.Commit(ctx, second))
	history, err := faulty.History(ctx, store.Scope{}, 1, store.Page[store.Seq]{After: 1, Limit: 10})
	fmt.Println(len(history), history[0].Actor, err)
	// Output:
	// created: <nil>
	// ann: timeout
	// bob: <nil>
	// 1 bob <nil>
}

// asked returns the change of job 1 to a version. Each such change has an effect.
func asked(version store.Seq) store.Change {
	s := store.NewStep(1, step.Spec{Type: step.Confirmation, Name: "go?"})
	s.State, s.Attempt, s.Full, s.Deadline = step.Waiting, int32(version), int32(version), 1
	return store.Change{
		Job:   store.Job{ID: 1, State: step.Waiting, Version: version, Moved: version, Current: 1, Steps: 1},
		Steps: []store.Step{s},
		Records: []store.Record{{
			Job: 1, Seq: version, Cause: operation.Confirm.Cause(), Request: store.RequestID{2, 15: byte(version)}, Step: 1,
			Attempt: int32(version), To: step.Waiting, JobTo: step.Waiting, Effect: store.AskConfirmers,
		}},
	}
}

// A stage is a store with job 1 at version 2, and the same with faults.
type stage struct {
	*testing.T
	good    store.Store
	arrived *storetest.Faults // good, with a count of what arrives
	faulty  *storetest.Faults // arrived, with faults
	claimed store.Delivery    // the effect of version 2
}

func newStage(t *testing.T) *stage {
	s := &stage{T: t, good: memstore.New()}
	s.arrived = storetest.NewFaults(s.good)
	s.faulty = storetest.NewFaults(s.arrived)
	s.must(s.good.Commit(t.Context(), creation(1)))
	s.must(s.good.Commit(t.Context(), asked(2)))
	claimed, err := s.good.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.AskConfirmers}, Now: 1, Until: 2, Limit: 1})
	s.must(err)
	s.claimed = claimed[0]
	return s
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// A write is a call of a method that changes the store; two equal calls count once.
type write struct {
	method storetest.Method
	call   func(*stage, store.Store) (any, error)
	second error                 // what a second arrival comes to
	made   func(*stage) (n bool) // whether it took effect
}

var writes = []write{
	{storetest.Commit, func(s *stage, st store.Store) (any, error) { return nil, st.Commit(s.Context(), asked(3)) },
		store.ErrConflict,
		func(s *stage) bool {
			v, err := s.good.View(s.Context(), store.Query{Job: 1})
			s.must(err)
			return v.Job.Version == 3
		}},
	{storetest.Claim, func(s *stage, st store.Store) (any, error) {
		return st.Claim(s.Context(), store.Claim{Effects: []store.Effect{store.AskConfirmers}, Now: 5, Until: 10, Limit: 1})
	}, nil, func(s *stage) bool { return s.waiting()[0].Count == 2 }},
	{storetest.Defer, func(s *stage, st store.Store) (any, error) {
		d := s.claimed
		d.NotBefore = 9
		return nil, st.Defer(s.Context(), d)
	}, nil, func(s *stage) bool { return s.waiting()[0].NotBefore == 9 }},
	{storetest.Settle, func(s *stage, st store.Store) (any, error) { return nil, st.Settle(s.Context(), s.claimed) },
		store.ErrLeaseLost, func(s *stage) bool { return len(s.waiting()) == 0 }},
}

func (s *stage) waiting() []store.Delivery {
	waiting, err := s.good.Effects(s.Context(), store.Scope{}, 1, store.Page[store.Seq]{Limit: 10})
	s.must(err)
	return waiting
}

// pass makes n unrelated calls.
func (s *stage) pass(n int) {
	s.Helper()
	for range n {
		_, err := s.faulty.Created(s.Context(), store.Scope{}, store.RequestID{1, 15: 1})
		s.must(err)
	}
}

func TestWritesAreAllThatChangesSomething(t *testing.T) {
	for _, m := range storetest.Methods() {
		isWrite := slices.ContainsFunc(writes, func(w write) bool { return w.method == m })
		isRead := slices.ContainsFunc(reads, func(r read) bool { return r.method == m })
		if isWrite == isRead {
			t.Errorf("%v is tested as a write: %v, as a read: %v, want one of them", m, isWrite, isRead)
		}
	}
}

// The caller of a call that arrives twice gets the second outcome.
func TestADuplicateIsToldTheSecondOutcome(t *testing.T) {
	for _, w := range writes {
		s := newStage(t)
		done := 0
		s.faulty.Add(storetest.Fault{Method: w.method, Kind: storetest.Duplicate, Do: func() { done++ }})
		got, err := w.call(s, s.faulty)
		if !errors.Is(err, w.second) || !w.made(s) || s.arrived.Calls(w.method) != 2 || done != 1 {
			t.Errorf("%v, doubled: got error %v, took effect: %v, arrived %d times; want %v, true, 2", w.method, err, w.made(s), s.arrived.Calls(w.method), w.second)
		}
		if ds, ok := got.([]store.Delivery); ok && len(ds) != 0 {
			t.Errorf("%v, doubled: got %+v, want nothing, as the first has claimed it", w.method, ds)
		}
		if _, err = w.call(s, s.faulty); s.arrived.Calls(w.method) != 3 {
			t.Errorf("the %v after it (%v): %d arrived, want one more", w.method, err, s.arrived.Calls(w.method))
		}
	}
}

// With After the caller gets the first outcome, and the second call arrives later.
func TestADuplicateArrivesLater(t *testing.T) {
	for _, w := range writes {
		for lag := range 4 {
			s := newStage(t)
			s.faulty.Add(storetest.Fault{Method: w.method, Kind: storetest.Duplicate, After: true, Lag: lag})
			got, err := w.call(s, s.faulty)
			if err != nil || !w.made(s) {
				t.Errorf("%v, to be doubled: got error %v, took effect: %v; want none, true", w.method, err, w.made(s))
			}
			if ds, ok := got.([]store.Delivery); ok && (len(ds) != 1 || ds[0].Count != 2) {
				t.Errorf("%v, to be doubled: got %+v, want the effect", w.method, ds)
			}
			for passed := range lag {
				if n := s.arrived.Calls(w.method); n != 1 {
					t.Errorf("%v, to be doubled after %d calls: after %d it has arrived %d times, want 1", w.method, lag, passed, n)
				}
				s.pass(1)
			}
			if n := s.arrived.Calls(w.method); n != 2 {
				t.Errorf("%v, to be doubled after %d calls: has arrived %d times, want 2", w.method, lag, n)
			}
			s.pass(3)
			if n, made := s.arrived.Calls(w.method), s.faulty.Calls(w.method); n != 2 || made != 1 {
				t.Errorf("%v, doubled: has arrived %d times, of %d calls; want 2, of 1", w.method, n, made)
			}
		}
	}
}

// A delayed call fails at once and takes effect later.
func TestADelayedCallTakesEffectLater(t *testing.T) {
	for _, w := range writes {
		for lag := range 4 {
			s := newStage(t)
			s.faulty.Add(storetest.Fault{Method: w.method, Kind: storetest.Delay, Lag: lag, Err: errBroken})
			if got, err := w.call(s, s.faulty); !errors.Is(err, errBroken) || got != nil && got.([]store.Delivery) != nil {
				t.Errorf("%v, put off: got %v, %v; want nothing, and to be told so", w.method, got, err)
			}
			for passed := range lag {
				if w.made(s) {
					t.Errorf("%v, put off by %d calls: took effect after %d", w.method, lag, passed)
				}
				s.pass(1)
			}
			if n := s.arrived.Calls(w.method); n != 1 || !w.made(s) {
				t.Errorf("%v, put off by %d calls: has arrived %d times, took effect: %v; want 1, true", w.method, lag, n, w.made(s))
			}
		}
	}
}

// A late call arrives with its original arguments, even if the caller has changed the memory since, and
// even if the context has ended.
func TestALateCallOwnsItsArguments(t *testing.T) {
	for _, fault := range []storetest.Fault{
		{Method: storetest.Commit, Kind: storetest.Delay, Lag: 1, Err: errBroken},
		{Method: storetest.Commit, Kind: storetest.Duplicate, After: true, Lag: 1},
	} {
		var sent []store.Change
		inner := committing{memstore.New(), func(c store.Change) { sent = append(sent, c) }}
		st := storetest.NewFaults(inner, fault)
		ctx, cancel := context.WithCancel(t.Context())
		ran := func() store.Change { // a creation with all that one can hold
			spec := step.Spec{Type: step.Script, Name: "a", Targets: []string{"h"}, Confirmers: []string{"ann"}}
			c := creation(7)
			c.Specs, c.Steps = []step.Spec{spec}, []store.Step{store.NewStep(1, spec)}
			return c
		}
		c := ran()
		_ = st.Commit(ctx, c)
		sent = nil
		c.Specs[0].Targets[0], c.Specs[0].Confirmers[0], c.Specs[0].Name = "x", "x", "x"
		c.Steps[0].Name, c.Records[0].Actor = "x", "x"
		cancel()
		_, _ = st.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 1}})

		if want := ran(); !reflect.DeepEqual(sent, []store.Change{want}) {
			t.Errorf("%+v: what arrived late is\n%+v, want\n%+v", fault, sent, want)
		}
		if _, err := inner.View(t.Context(), store.Query{Job: 7}); err != nil {
			t.Errorf("%+v: View of what was created late: %v", fault, err)
		}
	}
}

// The same holds for the arguments of a claim.
func TestALateClaimOwnsItsArguments(t *testing.T) {
	s := newStage(t)
	s.faulty.Add(storetest.Fault{Method: storetest.Claim, Kind: storetest.Delay, Lag: 1, Err: errBroken})
	wanted := []store.Effect{store.AskConfirmers}
	if _, err := s.faulty.Claim(t.Context(), store.Claim{Effects: wanted, Now: 5, Until: 10, Limit: 1}); !errors.Is(err, errBroken) {
		t.Errorf("Claim, put off: got %v, want to be told so", err)
	}
	wanted[0] = store.RunTargets
	s.pass(1)
	if got := s.waiting()[0].Count; got != 2 {
		t.Errorf("a claim of a question that arrived late: the question was claimed %d times, want 2", got)
	}
}

// committing notes the changes that it commits.
type committing struct {
	store.Store
	tell func(store.Change)
}

func (s committing) Commit(ctx context.Context, c store.Change) error {
	s.tell(c)
	return s.Store.Commit(ctx, c)
}

func TestLateCallsLandOnDemandAndOutliveClear(t *testing.T) {
	s := newStage(t)
	s.faulty.Add(
		storetest.Fault{Method: storetest.Any, Call: 1, Kind: storetest.Delay, Lag: 9, Err: errBroken},
		storetest.Fault{Method: storetest.Any, Call: 2, Kind: storetest.Delay, Lag: 2, Err: errBroken},
		storetest.Fault{Method: storetest.Any, Call: 3, Kind: storetest.Delay, Lag: 2, Err: errBroken},
	)
	for range 2 {
		if err := s.faulty.Settle(t.Context(), s.claimed); !errors.Is(err, errBroken) {
			t.Errorf("Settle: got %v, want it put off", err)
		}
	}
	if _, err := s.faulty.View(t.Context(), store.Query{Job: 1}); !errors.Is(err, errBroken) {
		t.Errorf("View: got %v, want it put off", err)
	}
	s.faulty.Clear()
	if n := s.arrived.Calls(storetest.Any); n != 0 {
		t.Errorf("before time: got %d calls that arrived, want none", n)
	}
	s.pass(1)
	if n := s.arrived.Calls(storetest.Settle); n != 1 {
		t.Errorf("after Clear and 2 more calls: %d calls of Settle have arrived, want the second", n)
	}
	if n := s.faulty.Land(); n != 1 || s.arrived.Calls(storetest.Settle) != 2 || s.arrived.Calls(storetest.View) != 0 {
		t.Errorf("Land: got %d, and %d calls of Settle and %d of View have arrived, want 1, 2, 0", n, s.arrived.Calls(storetest.Settle), s.arrived.Calls(storetest.View))
	}
	if n := s.faulty.Land(); n != 0 {
		t.Errorf("Land again: got %d, want 0", n)
	}
	if n := s.faulty.Calls(storetest.Any); n != 4 {
		t.Errorf("Calls(Any): got %d, want 4", n)
	}
}

// A delayed call without an error is acknowledged before it is done.
func TestADelayWithoutAnErrorLies(t *testing.T) {
	s := newStage(t)
	s.faulty.Add(storetest.Fault{Method: storetest.Commit, Kind: storetest.Delay, Lag: 1, After: true})
	if err := s.faulty.Commit(t.Context(), asked(3)); err != nil || s.arrived.Calls(storetest.Commit) != 0 {
		t.Errorf("Commit, put off: got %v, arrived %d times; want success and none", err, s.arrived.Calls(storetest.Commit))
	}
}

// Any counts the calls of all methods: a process that dies at its n-th call of a store makes no
// other.
func TestAnyIsWhicheverMethodIsCalled(t *testing.T) {
	for n := range storetest.Methods() {
		inner := memstore.New()
		if err := inner.Commit(t.Context(), creation(1)); err != nil {
			t.Fatal(err)
		}
		faults := storetest.NewFaults(inner, storetest.Fault{Method: storetest.Any, Call: n + 1, Forever: true, Err: errBroken})
		for i, err := range calls(t.Context(), faults) {
			if got, want := errors.Is(err, errBroken), i >= n; got != want {
				t.Errorf("dead from call %d on: call %d of %v: got %v", n+1, i+1, storetest.Methods()[i], err)
			}
		}
	}
}
