package storetest_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A read is a call of a method that changes nothing.
type read struct {
	method storetest.Method
	call   func(*stage, store.Store) (any, error)
}

var reads = []read{
	{storetest.View, func(s *stage, st store.Store) (any, error) {
		return st.View(s.Context(), store.Query{Job: 1, Request: store.RequestID{2, 15: 3}})
	}},
	{storetest.Created, func(s *stage, st store.Store) (any, error) {
		return st.Created(s.Context(), store.Scope{}, store.RequestID{1, 15: 2})
	}},
	{storetest.Jobs, func(s *stage, st store.Store) (any, error) {
		return st.Jobs(s.Context(), store.JobFilter{Page: store.Page[store.JobID]{Limit: 9}})
	}},
	{storetest.Counts, func(s *stage, st store.Store) (any, error) { return st.Counts(s.Context(), store.Scope{}, 9) }},
	{storetest.Snapshot, func(s *stage, st store.Store) (any, error) {
		return st.Snapshot(s.Context(), store.SnapshotQuery{Job: 1})
	}},
	{storetest.Steps, func(s *stage, st store.Store) (any, error) {
		return st.Steps(s.Context(), store.Scope{}, 1, store.Page[step.ID]{Limit: 9})
	}},
	{storetest.Targets, func(s *stage, st store.Store) (any, error) {
		return st.Targets(s.Context(), store.TargetFilter{Job: 9, Step: 1, Page: store.Page[int32]{After: -1, Limit: 9}})
	}},
	{storetest.History, func(s *stage, st store.Store) (any, error) {
		return st.History(s.Context(), store.Scope{}, 1, store.Page[store.Seq]{Limit: 9})
	}},
	{storetest.Details, func(s *stage, st store.Store) (any, error) {
		return st.Details(s.Context(), store.DetailQuery{Job: 9, Step: 1})
	}},
	{storetest.Effects, func(s *stage, st store.Store) (any, error) {
		return st.Effects(s.Context(), store.Scope{}, 1, store.Page[store.Seq]{Limit: 9})
	}},
	{storetest.Overdue, func(s *stage, st store.Store) (any, error) {
		return st.Overdue(s.Context(), store.Scope{}, 5, 9)
	}},
}

// grow changes the answers of all reads.
func (s *stage) grow(version store.Seq) {
	s.Helper()
	c := asked(version)
	c.Steps[0].Deadline = step.Time(version)
	s.must(s.good.Commit(s.Context(), c))
	if version == 3 {
		s.must(s.good.Commit(s.Context(), creation(2)))
		more := creation(9)
		more.Specs[0] = step.Spec{Type: step.Script, Name: "a", Targets: []string{"h"}, Payload: "p"}
		more.Steps[0] = store.NewStep(1, more.Specs[0])
		s.must(s.good.Commit(s.Context(), more))
	}
}

// A stale read repeats an earlier answer to the same question, an error that there is nothing
// included. The fault says how many answers to go back.
func TestAStaleReadAnswersAsItDidBefore(t *testing.T) {
	type told struct {
		value any
		err   error
	}
	for _, r := range reads {
		for lag := range 4 {
			s := newStage(t)
			var answers []told
			ask := func() told {
				value, err := r.call(s, s.faulty)
				return told{value, err}
			}
			answers = append(answers, ask())
			s.grow(3)
			answers = append(answers, ask())
			s.grow(4)
			done := 0
			s.faulty.Add(storetest.Fault{Method: r.method, Kind: storetest.Stale, Lag: lag, Do: func() { done++ }})
			want := answers[max(len(answers)-max(lag, 1), 0)]
			value, err := r.call(s, s.good)
			same := reflect.DeepEqual(want, told{value, err}) // as of Created, which happens once
			if got := ask(); !reflect.DeepEqual(got, want) || done == 0 != same {
				t.Errorf("%v, %d answers ago: got\n%+v, want\n%+v; the fault happened %d times", r.method, lag, got, want, done)
			}
			if got, want := ask(), (told{value, err}); !reflect.DeepEqual(got, want) {
				t.Errorf("%v after the fault: got\n%+v, want\n%+v", r.method, got, want)
			}
		}
	}
}

// A new question has no earlier answer, and gets a fresh one.
func TestAStaleReadNeedsAnAnswer(t *testing.T) {
	s := newStage(t)
	s.faulty.Add(storetest.Fault{Method: storetest.Any, Kind: storetest.Stale, Forever: true, Lag: 8, Err: errBroken})
	if v, err := s.faulty.View(t.Context(), store.Query{Job: 1}); err != nil || v.Job.Version != 2 {
		t.Errorf("View for the first time: got version %d, %v; want 2", v.Job.Version, err)
	}
	if v, err := s.faulty.View(t.Context(), store.Query{Job: 1}); err != nil || v.Job.Version != 2 {
		t.Errorf("View, nothing having changed: got version %d, %v; want 2", v.Job.Version, err)
	}
	s.grow(3)
	if v, err := s.faulty.View(t.Context(), store.Query{Job: 1, Step: 1}); err != nil || v.Job.Version != 3 {
		t.Errorf("View of another question: got version %d, %v; want 3", v.Job.Version, err)
	}
	if _, err := s.faulty.View(t.Context(), store.Query{Job: 1}); !errors.Is(err, errBroken) {
		t.Errorf("View again, stale: got %v, want the fault's error", err)
	}
	claimed, err := s.faulty.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.AskConfirmers}, Now: 5, Until: 6, Limit: 1})
	if len(claimed) != 1 {
		t.Errorf("Claim: got %+v, %v; want an effect, as there is no stale form of it", claimed, err)
	}
}

// A stale view has the record of a request only if the store had it at that time.
func TestAStaleViewLooksForItsOwnRequest(t *testing.T) {
	s := newStage(t)
	view := func(request byte) store.View {
		t.Helper()
		v, err := s.faulty.View(t.Context(), store.Query{Job: 1, Request: store.RequestID{2, 15: request}})
		s.must(err)
		return v
	}
	view(9)
	s.grow(3)
	s.faulty.Add(storetest.Fault{Method: storetest.View, Kind: storetest.Stale, Forever: true, Lag: 8})
	if v := view(2); v.Job.Version != 2 || v.Replay == nil || v.Replay.Seq != 2 {
		t.Errorf("a view of version 2 that looks for the request of record 2: got version %d and %+v", v.Job.Version, v.Replay)
	}
	if v := view(3); v.Job.Version != 2 || v.Replay != nil {
		t.Errorf("a view of version 2 that looks for the request of record 3: got version %d and %+v", v.Job.Version, v.Replay)
	}
}

// Remembered answers share no memory with those that callers got.
func TestAStaleAnswerIsItsCallersOwn(t *testing.T) {
	s := newStage(t)
	page := store.Page[store.Seq]{Limit: 9}
	s.faulty.Add(storetest.Fault{Method: storetest.History, Kind: storetest.Stale, Forever: true, Lag: 8})
	for i := range 3 {
		history, err := s.faulty.History(t.Context(), store.Scope{}, 1, page)
		s.must(err)
		if len(history) != 2 || history[0].Actor != "" {
			t.Fatalf("answer %d: got %+v, want two records as they are in the store", i, history)
		}
		history[0].Actor = "mine"
		if i == 0 {
			s.grow(3)
		}
	}

	script := creation(5)
	script.Specs[0] = step.Spec{Type: step.Script, Name: "a", Targets: []string{"h"}}
	script.Steps[0] = store.NewStep(1, script.Specs[0])
	s.must(s.good.Commit(t.Context(), script))
	s.faulty.Add(storetest.Fault{Method: storetest.View, Kind: storetest.Stale, Forever: true, Lag: 8})
	for i := range 3 {
		v, err := s.faulty.View(t.Context(), store.Query{Job: 5, Targets: []int32{0}, Request: store.RequestID{1, 15: 5}})
		s.must(err)
		if v.Job.Version != 1 || len(v.Targets) != 1 || v.Targets[0].Detail != "" || v.Replay == nil || v.Replay.Actor != "" {
			t.Fatalf("answer %d: got %+v, want it as it is in the store", i, v)
		}
		v.Targets[0].Detail, v.Replay.Actor = "mine", "mine"
		if i == 0 {
			more := asked(2)
			more.Job.ID, more.Records[0].Job = 5, 5
			s.must(s.good.Commit(t.Context(), more))
		}
	}
}

// An ended context also fails a stale read.
func TestAStaleReadNeedsAContext(t *testing.T) {
	s := newStage(t)
	if _, err := s.faulty.View(t.Context(), store.Query{Job: 1}); err != nil {
		t.Fatal(err)
	}
	s.grow(3)
	s.faulty.Add(storetest.Fault{Method: storetest.View, Kind: storetest.Stale})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.faulty.View(ctx, store.Query{Job: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("View with a context that has ended: got %v, want its error", err)
	}
}
