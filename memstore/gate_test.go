package memstore

import (
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// With 100,000 gated jobs, a sweep reads the moments that are due and at most the next two of each, and a
// claim reads nothing.
func TestGatedJobsCostNothingUntilTheyAreDue(t *testing.T) {
	const jobs = 100_000
	s := New()
	for id := store.JobID(1); id <= jobs; id++ {
		gate := store.Gate{Reason: step.PersonGate, Then: step.Enter}
		if id%2 == 0 {
			gate = store.Gate{Reason: step.TimeGate, Then: step.Enter, Until: step.Time((id*7919%jobs + 2) * 1000)}
		}
		gated(t, s, id, gate)
	}
	if got := len(s.moments.heap); got != jobs/2 {
		t.Fatalf("%d jobs wait for a moment, and %d for a person: %d moments, want %d", jobs/2, jobs/2, got, jobs/2)
	}
	for _, due := range []int{0, 1, 2, 10, 100, 1000} {
		now := step.Time(due*2000 + 1999) // the gates open every 2 s, from 2 s on
		found, read := s.moments.overdue(store.Scope{}, now, jobs)
		if len(found) != due || read > 2*due+1 {
			t.Errorf("Overdue at %d: got %d steps, of %d moments read, want %d, of at most %d", now, len(found), read, due, 2*due+1)
		}
	}
	if found, read := s.moments.overdue(store.Scope{}, step.MaxTime, 10); len(found) != 10 || read > 21 {
		t.Errorf("Overdue of 10 when all are due: got %d steps, of %d moments read, want 10, of at most 21", len(found), read)
	}
	all := store.Claim{Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}}
	for _, by := range s.outbox.wanted(nil, &all) {
		if len(by.waiting) > 0 {
			t.Errorf("Claim reads %d queues of effects, want none", len(by.waiting))
		}
	}
}

// gated creates a job whose first step waits at a gate.
func gated(t *testing.T, s *Store, id store.JobID, gate store.Gate) {
	t.Helper()
	spec := step.Spec{Type: step.Script, Name: "run", Targets: []string{"host"}}
	c := store.Change{
		Job:     store.Job{ID: id, State: step.Gated, Version: 2, Moved: 2, Current: 1, Steps: 1, Gate: gate.Reason},
		Specs:   []step.Spec{spec},
		Steps:   []store.Step{store.NewStep(1, spec)},
		Records: []store.Record{{Job: id, Seq: 1, Cause: step.Created, Run: store.FirstRun, JobTo: step.Pending}},
	}
	c.Steps[0].State, c.Steps[0].Gate, c.Steps[0].Due = step.Gated, gate, gate.Until
	c.Records = append(c.Records, store.Record{
		Job: id, Seq: 2, Cause: operation.StartJob.Cause(), Step: 1, Run: store.FirstRun,
		From: step.Pending, To: step.Gated, JobFrom: step.Pending, JobTo: step.Gated, Gate: gate,
	})
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}
