package model_test

import (
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A change of one type, or of a clone, changes no other.
func TestRulesAreChangedOneCellAtATime(t *testing.T) {
	const typ step.Type = 40
	r := model.Documented()
	r.Like(typ, step.Script)
	own := r.Clone()
	retryAll, nextStep, terminateJob := operation.RetryAll.Cause(), operation.NextStep.Cause(), operation.TerminateJob.Cause()
	own.Forbid(step.Script, step.Failed, retryAll)
	own.Allow(step.Script, step.Abandoned, nextStep, step.Skipped, step.Pass, operation.Free)
	own.Forbid(step.Script, step.Running, terminateJob)
	own.Allow(step.Script, step.Failed, terminateJob, step.Terminated, step.End, operation.Free)
	own.Lead(step.Script, step.Running, step.Expired, step.Failed, step.End)
	own.AllowWhole(step.Failed, 160, step.Seal, operation.Free)

	for _, who := range []struct {
		name             string
		rules            *model.Rules
		typ              step.Type
		retry, next      bool
		stop, stopFailed bool
		expired          step.State
		seals            bool
	}{
		{"the clone", own, step.Script, false, true, false, true, step.Failed, true},
		{"the type like it, in the clone", own, typ, true, false, true, false, step.Abnormal, true},
		{"the original", r, step.Script, true, false, true, false, step.Abnormal, false},
		{"the type like it", r, typ, true, false, true, false, step.Abnormal, false},
	} {
		_, retry := who.rules.Move(who.typ, step.Failed, retryAll)
		_, next := who.rules.Move(who.typ, step.Abandoned, nextStep)
		_, stop := who.rules.Move(who.typ, step.Running, terminateJob)
		_, stopFailed := who.rules.Move(who.typ, step.Failed, terminateJob)
		expired, _ := who.rules.Move(who.typ, step.Running, step.Expired)
		if retry != who.retry || next != who.next || stop != who.stop || stopFailed != who.stopFailed || expired.To != who.expired {
			t.Errorf("%s: retry all %v, next step %v, terminate %v and in failed %v, expired to %v; want %v, %v, %v, %v, %v", who.name,
				retry, next, stop, stopFailed, expired.To, who.retry, who.next, who.stop, who.stopFailed, who.expired)
		}
		if do, seals := who.rules.OnWhole(step.Failed, 160); seals != who.seals || seals && do.Do != step.Seal || who.rules.Known(160) != who.seals {
			t.Errorf("%s: the job is sealed: %v, %v, known: %v, want %v", who.name, seals, do, who.rules.Known(160), who.seals)
		}
	}
	if own.ForbidWhole(step.Failed, 160); own.Known(160) {
		t.Error("a cause that is legal nowhere any more is known")
	}

	r.Drop(typ)
	if r.Enters(typ) != 0 || r.Applies(typ, retryAll) || r.Applies(typ, terminateJob) || r.Applies(typ, step.Expired) {
		t.Errorf("a type that was dropped is entered in %v, or something still applies to it", r.Enters(typ))
	}
	if r.Like(typ, 50); r.Enters(typ) != 0 {
		t.Error("a type is declared that is like one that is not")
	}
	if r.Like(step.SQL, step.SQL); r.Enters(step.SQL) != step.Running {
		t.Error("a type that is like itself is forgotten")
	}
}

// A command on a clone leaves the original alone, and a command that is refused leaves the
// job alone.
func TestOnlyWhatIsAcceptedChangesAJob(t *testing.T) {
	r := model.Documented()
	specs := []step.Spec{{Type: step.Script, Targets: []string{"a", "b"}}, {Type: 50}}
	j := model.New(r, specs)
	if reason := j.OperateJob(operation.StartJob, "", 1); reason != 0 {
		t.Fatal(reason)
	}
	own := j.Clone()
	if _, reason := own.Report(1, 1, []model.Result{{Target: 0, Status: step.TargetSucceeded}}, 0, 2); reason != 0 {
		t.Fatal(reason)
	}
	if own.Steps[0].Succeeded() != 1 || j.Steps[0].Succeeded() != 0 {
		t.Errorf("the clone has %d successes and the original %d, want 1 and 0", own.Steps[0].Succeeded(), j.Steps[0].Succeeded())
	}
	// The step would pass, and the next is of a type that cannot be entered.
	all := []model.Result{{Target: 0, Status: step.TargetSucceeded}, {Target: 1, Status: step.TargetSucceeded}}
	if changed, reason := j.Report(1, 1, all, 0, 2); changed || reason != operation.WrongType || j.Steps[0].Succeeded() != 0 {
		t.Errorf("Report = %v, %v, and %d targets have succeeded; want wrong_type and none", changed, reason, j.Steps[0].Succeeded())
	}
}

// Forge puts the current step into a given state, with the given attempts.
func TestForge(t *testing.T) {
	specs := []step.Spec{{Type: step.SQL, Targets: []string{"a"}}, {Type: step.Script, Targets: []string{"a", "b"}, Timeout: 10e9}, {Type: step.Confirmation}}
	j := model.Forge(model.Documented(), specs, 2, step.Running,
		[]step.Status{step.TargetSucceeded, step.TargetFailed}, []step.Status{step.SucceededEarlier, step.TargetRunning})
	s := &j.Steps[1]
	switch {
	case j.State != step.Running || j.Current != 2 || j.Steps[0].State != step.Succeeded || j.Steps[2].State != step.Pending:
		t.Errorf("the job is %v at step %d, the others %v and %v", j.State, j.Current, j.Steps[0].State, j.Steps[2].State)
	case s.State != step.Running || s.Attempt() != 2 || s.Full() != 1 || s.Succeeded() != 1 || s.Unfinished() != 1:
		t.Errorf("the step is %v in attempt %d, full %d, %d succeeded, %d unfinished; want running, 2, 1, 1, 1",
			s.State, s.Attempt(), s.Full(), s.Succeeded(), s.Unfinished())
	case s.LatestSuccess(0) != 1 || s.LatestSuccess(1) != 0 || s.Latest(0).Ran != 1 || s.Latest(1).Ran != 2:
		t.Errorf("targets were reported in %d and %d and succeeded in %d and %d; want 1, 2, 1, 0",
			s.Latest(0).Ran, s.Latest(1).Ran, s.LatestSuccess(0), s.LatestSuccess(1))
	case s.Runs[1].Started != 2000 || s.Runs[1].Finished != 0 || s.Runs[1].Deadline != 12_000:
		t.Errorf("the attempt is %+v, want it started at 2000 and due at 12000", s.Runs[1])
	}
	if reason := j.Operate(2, operation.RetryAll, "", 3000); reason != operation.WrongState {
		t.Errorf("retry_all is refused with %v, want wrong_state", reason)
	}
	if reason := j.Operate(1, operation.RetryAll, "", 3000); reason != operation.NotCurrent {
		t.Errorf("retry_all on step 1 is refused with %v, want not_current", reason)
	}
}
