package enginetest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// story is a job that is played by hand, for tests that damage it.
type story struct {
	testing.TB
	*engine.Engine
	store store.Store
	id    store.JobID
	spec  engine.JobSpec
	now   time.Time
}

func newStory(t testing.TB, steps ...step.Spec) *story {
	s := &story{TB: t, store: memstore.New(), now: time.UnixMilli(1_800_000_000_000), spec: engine.JobSpec{Name: "job", Steps: steps}}
	s.Engine = engine.New(s.store, engine.WithClock(func() time.Time { return s.now }))
	created, err := s.Create(t.Context(), s.spec, engine.Request{By: "bob"})
	s.ok(err)
	s.id = created.Job
	return s
}

func (s *story) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *story) operate(id step.ID, code operation.Code, actor string) {
	s.Helper()
	s.now = s.now.Add(time.Second)
	_, err := s.Operate(s.Context(), s.id, id, code, engine.Request{By: actor})
	s.ok(err)
}

func (s *story) operateJob(code operation.JobCode) {
	s.Helper()
	s.now = s.now.Add(time.Second)
	_, err := s.OperateJob(s.Context(), s.id, code, engine.Request{By: "bob"})
	s.ok(err)
}

// report sends an outcome, if there is one, and one status per target, 0 for none.
func (s *story) report(id step.ID, attempt int32, outcome step.Cause, statuses ...step.Status) {
	s.Helper()
	s.now = s.now.Add(time.Second)
	r := engine.Report{Job: s.id, Step: id, Attempt: attempt, Outcome: outcome}
	for i, status := range statuses {
		if status != 0 {
			r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
		}
	}
	_, err := s.Report(s.Context(), r)
	s.ok(err)
}

func (s *story) sweep() {
	s.Helper()
	s.now = s.now.Add(time.Minute)
	n, err := s.Sweep(s.Context())
	s.ok(err)
	if n != 1 {
		s.Fatalf("Sweep: %d attempts have expired, want 1", n)
	}
}

func (s *story) load() enginetest.Snapshot {
	s.Helper()
	snapshot, err := enginetest.Load(context.Background(), s.store, operation.Standard(), s.id, s.spec)
	s.ok(err)
	return snapshot
}

const (
	succeeded = step.TargetSucceeded
	failed    = step.NonZeroExit
	running   = step.TargetRunning
)

// busy is a job in the middle of its third step, with a long history.
func busy(t testing.TB) *story {
	s := newStory(t,
		step.Spec{Type: step.Script, Name: "one", Targets: []string{"a", "b"}, Timeout: 10 * time.Second, Payload: "true"},
		step.Spec{Type: step.Confirmation, Name: "two", Confirmers: []string{"ann"}, Timeout: 10 * time.Second},
		step.Spec{Type: step.FileTransfer, Name: "three", Targets: []string{"a", "b"}, Timeout: 10 * time.Second, IgnoreErrors: true},
	)
	s.operateJob(operation.StartJob)                   // record 2
	s.report(1, 1, 0, succeeded, failed)               // 3: failed
	s.operate(1, operation.RetryFailed, "bob")         // 4: attempt 2
	s.report(1, 2, 0, 0, running)                      // 5
	s.operateJob(operation.TerminateJob)               // 6: terminating
	s.report(1, 2, step.Stopped)                       // 7: terminated
	s.operate(1, operation.RetryAll, "bob")            // 8: attempt 3
	s.report(1, 3, 0, succeeded, succeeded)            // 9: succeeded, step 2 asks
	s.sweep()                                          // 10: confirmation terminated
	s.operate(2, operation.RestartConfirmation, "eve") // 11: attempt 2
	s.operate(2, operation.Confirm, "ann")             // 12: succeeded, step 3 runs
	s.report(3, 1, 0, succeeded)                       // 13
	return s
}

// done is the same job at its end.
func done(t testing.TB) *story {
	s := busy(t)
	s.report(3, 1, 0, 0, failed) // 14: error ignored, the job has succeeded
	return s
}

// retried is a job of one step that runs what is due for the second time.
func retried(t testing.TB) *story {
	s := newStory(t, step.Spec{Type: step.SQL, Name: "one", Targets: []string{"a", "b", "c"}})
	s.operateJob(operation.StartJob)             // 2
	s.report(1, 1, 0, succeeded, failed, failed) // 3: failed
	s.operate(1, operation.RetryFailed, "bob")   // 4: attempt 2
	s.report(1, 2, 0, 0, succeeded, failed)      // 5: failed
	s.operate(1, operation.RetryFailed, "bob")   // 6: attempt 3
	return s
}

// rolled is a job of one step in its second batch, held before the retry of that by itself.
func rolled(t testing.TB) *story {
	s := newStory(t, step.Spec{
		Type: step.Script, Name: "one", Targets: []string{"a", "b", "c"}, TotalTimeout: time.Hour,
		Rolling: step.Rolling{Batches: "1 2", Between: step.Between{Person: true}},
		Retry:   step.Retry{Attempts: 2, After: 10 * time.Second}, Tolerate: step.Tolerance{Count: 1},
	})
	s.operate(1, operation.StopBefore, "bob") // record 2
	s.operateJob(operation.StartJob)          // 3: gated, a person
	s.operate(1, operation.Continue, "ann")   // 4: attempt 1, batch 1
	s.report(1, 1, 0, succeeded)              // 5: gated, a person
	s.operate(1, operation.Continue, "ann")   // 6: attempt 2, batch 2
	s.operateJob(operation.HoldJob)           // 7
	s.report(1, 2, 0, 0, succeeded, failed)   // 8: gated, a time
	s.sweep()                                 // 9: gated, the hold
	return s
}

// copied returns a snapshot that shares no memory that a test damages.
func copied(s enginetest.Snapshot) enginetest.Snapshot {
	s.Spec.Steps, s.Steps, s.History, s.Effects = slices.Clone(s.Spec.Steps), slices.Clone(s.Steps), slices.Clone(s.History), slices.Clone(s.Effects)
	s.Batches = slices.Clone(s.Batches)
	s.Targets = slices.Clone(s.Targets)
	for i := range s.Targets {
		s.Targets[i] = slices.Clone(s.Targets[i])
	}
	return s
}
