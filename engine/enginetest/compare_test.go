package enginetest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// both plays a job on the engine and on the model: a step that was stopped and skipped, and
// one that runs what is due for the second time.
func both(t *testing.T) (*model.Job, enginetest.Snapshot) {
	s := newStory(t,
		step.Spec{Type: step.Script, Name: "one", Targets: []string{"a"}},
		step.Spec{Type: step.SQL, Name: "two", Targets: []string{"a", "b"}, Timeout: time.Minute},
	)
	m := model.New(model.Documented(), s.spec.Steps)
	at := func() step.Time { return step.At(s.now) }
	accepted := func(reason operation.Reason) {
		t.Helper()
		if reason != 0 {
			t.Fatalf("the model refuses: %v", reason)
		}
	}
	s.operateJob(operation.StartJob)
	accepted(m.OperateJob(operation.StartJob, "bob", at()))
	s.operateJob(operation.TerminateJob)
	accepted(m.OperateJob(operation.TerminateJob, "bob", at()))
	s.operate(1, operation.ForcedSkip, "bob")
	accepted(m.Operate(1, operation.ForcedSkip, "bob", at()))

	s.now = s.now.Add(time.Second)
	_, err := s.Report(t.Context(), engine.Report{Job: s.id, Step: 2, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: succeeded}},
		{Target: 1, Result: store.Result{Status: failed, ExitCode: 3}},
	}})
	s.ok(err)
	_, reason := m.Report(2, 1, []model.Result{{Target: 0, Status: succeeded}, {Target: 1, Status: failed, ExitCode: 3}}, 0, at())
	accepted(reason)
	s.operate(2, operation.RetryFailed, "bob")
	accepted(m.Operate(2, operation.RetryFailed, "bob", at()))
	return m, s.load()
}

// Compare finds every stored value that differs from the model's.
func TestCompare(t *testing.T) {
	m, s := both(t)
	if err := enginetest.Compare(m, s); err != nil {
		t.Fatalf("the same was done to both, and %v", err)
	}
	for _, d := range []struct {
		damage func(*enginetest.Snapshot)
		says   string
	}{
		{func(s *enginetest.Snapshot) { s.Steps = s.Steps[:1] }, "the job has 1 steps"},
		{func(s *enginetest.Snapshot) { s.Job.State = step.Failed }, "the job is failed at step 2, by the model running at step 2"},
		{func(s *enginetest.Snapshot) { s.Job.Current = 1 }, "the job is running at step 1"},
		{func(s *enginetest.Snapshot) { s.Job.Skipped = 0 }, "the job counts 0 steps skipped"},
		{func(s *enginetest.Snapshot) { s.Job.Ignored = 1 }, "1 ignored and 0 of them tolerated, by the model 1, 0 and 0"},
		{func(s *enginetest.Snapshot) { s.Job.Started++ }, "the job started at"},
		{func(s *enginetest.Snapshot) { s.Job.Finished++ }, "the job started at"},
		{func(s *enginetest.Snapshot) { s.Steps[0].State = step.ErrorIgnored }, "step 1 is error_ignored, by the model skipped"},
		{func(s *enginetest.Snapshot) { s.Steps[1].Attempt = 1 }, "step 2 is in attempt 1"},
		{func(s *enginetest.Snapshot) { s.Steps[1].Run.Full = 2 }, "the last on all targets was 2, by the model 2 and 1"},
		{func(s *enginetest.Snapshot) { s.Steps[1].Succeeded = 2 }, "step 2 counts 2 succeeded and 1 unfinished, by the model 1 and 1"},
		{func(s *enginetest.Snapshot) { s.Steps[1].Unfinished = 0 }, "step 2 counts 1 succeeded and 0 unfinished"},
		{func(s *enginetest.Snapshot) { s.Steps[1].Started++ }, "step 2 started at"},
		{func(s *enginetest.Snapshot) { s.Steps[0].Finished++ }, "step 1 started at"},
		{func(s *enginetest.Snapshot) { s.Steps[1].Deadline++ }, "step 2 started at"},
		{func(s *enginetest.Snapshot) { s.Targets[1] = s.Targets[1][:1] }, "step 2 has 1 targets, by the model 2"},
		{func(s *enginetest.Snapshot) { s.Targets[1][1].Status = step.TargetFailed }, "step 2 target 1 is failed (3) since attempt 1"},
		{func(s *enginetest.Snapshot) { s.Targets[1][1].ExitCode = 4 }, "step 2 target 1 is non_zero_exit (4)"},
		{func(s *enginetest.Snapshot) { s.Targets[1][0].Attempt = 2 }, "step 2 target 0 is succeeded (0) since attempt 2"},
		{func(s *enginetest.Snapshot) { s.Targets[1][0].Success = 0 }, "last succeeded in 0, by the model succeeded (0), 1 and 1"},
		{func(s *enginetest.Snapshot) { s.History[5].Targets = 2 }, "record 6 says"},
		{func(s *enginetest.Snapshot) { s.History[5].Effect = store.StopAttempt }, "record 6 says"},
		{func(s *enginetest.Snapshot) { s.History[5].Run.Full = s.History[5].Attempt }, "record 6 says"},
	} {
		damaged := copied(s)
		d.damage(&damaged)
		if err := enginetest.Compare(m, damaged); err == nil || !strings.Contains(err.Error(), d.says) {
			t.Errorf("got %v, want %s", err, d.says)
		}
	}
}
