package model_test

import (
	"slices"
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// The model accepts a report of every declared status, and of no other.
func TestTheModelKnowsEveryStatus(t *testing.T) {
	for status := range step.Status(1000) {
		j := model.New(model.Documented(), []step.Spec{{Type: step.Script, Targets: []string{"a", "b"}}})
		if reason := j.OperateJob(operation.StartJob, "", 1); reason != 0 {
			t.Fatal(reason)
		}
		_, reason := j.Report(1, 1, []model.Result{{Status: status}}, 0, 2)
		if known := slices.Contains(step.AllStatuses(), status); known != (reason == 0) || !known && reason != operation.InvalidInput {
			t.Errorf("status %v: refused for %v; is it known: %v", status, reason, known)
		}
	}
}

// The model accepts expectations of every declared type, state, code and event.
func TestWhatIsNamedIsNotMisnamed(t *testing.T) {
	r := model.Documented()
	r.Like(32, step.Script)
	r.Like(63, step.Confirmation)
	for _, s := range step.AllStates() {
		for cause := range step.Cause(192) {
			switch {
			case !cause.Valid():
			case cause.OfStep():
				r.Allow(step.Script, s, cause, s, step.RunDue, operation.SomeDue)
			case cause.OfJob():
				r.Allow(32, s, cause, s, step.End, operation.Free)
				r.AllowWhole(s, cause, step.Seal, operation.Free)
			default:
				r.Lead(63, s, cause, step.Waiting, step.Enter)
			}
		}
	}
	for _, do := range step.AllDos() {
		r.Allow(step.Script, step.Running, 2, step.Failed, do, operation.Free)
		if got := r.Misnamed(); len(got) > 0 {
			t.Errorf("with %v, Misnamed() = %q, want nothing", do, got)
		}
	}
	if got := r.Misnamed(); len(got) > 0 {
		t.Errorf("Misnamed() = %q, want nothing", got)
	}
}

// The error of expectations of undeclared types, states, codes, events and guards has a line for each,
// sorted.
func TestMisnamed(t *testing.T) {
	const retry, none, run = step.Cause(8), operation.Free, step.RunAll
	for _, c := range []struct {
		say  func(*model.Rules)
		want []string
	}{
		{func(r *model.Rules) {
			r.Allow(step.Script, step.Failed, 64, step.Running, run, none)
			r.Allow(step.Script, step.Failed, 4, step.Running, run, none)
		}, []string{
			"script in failed: cause(4), to running: there is no such cause",
			"script in failed: cause(64), to running: there is no such cause",
		}},
		{func(r *model.Rules) { r.Allow(step.Script, step.Failed, 133, step.Running, run, none) },
			[]string{"script in failed: cause(133), to running: there is no such cause"}},
		{func(r *model.Rules) { r.Allow(step.Script, 8, retry, step.Running, run, none) },
			[]string{"script in state(8): retry_all, to running: there is no such state"}},
		{func(r *model.Rules) { r.Allow(step.Script, 70, retry, 80, run, none) },
			[]string{"script in state(70): retry_all, to state(80): there is no such state"}},
		{func(r *model.Rules) { r.Lead(step.Script, step.Running, 79, 12, step.End) }, []string{
			"script in running: cause(79), to state(12): there is no such cause",
			"script in running: cause(79), to state(12): there is no such state",
		}},
		{func(r *model.Rules) { r.Lead(step.Script, step.Running, step.Stopped, 0, step.End) },
			[]string{"script in running: stopped, to state(0): there is no such state"}},
		{func(r *model.Rules) { r.Allow(step.Script, step.Failed, retry, step.Running, 0, none) },
			[]string{"script in failed: retry_all, to running: there is no consequence 0"}},
		{func(r *model.Rules) { r.Allow(step.Script, step.Failed, retry, step.Running, run, 11) },
			[]string{"script in failed: retry_all, to running: there is no guard 11"}},
		{func(r *model.Rules) { r.Allow(40, step.Failed, retry, step.Running, run, none) },
			[]string{"custom-40 in failed: retry_all, to running: the type cannot be entered"}},
		{func(r *model.Rules) { r.Lead(70, step.Pending, step.Entered, step.Running, step.Enter) },
			[]string{"step type(70) in pending: entered, to running: the type cannot be entered"}},
		{func(r *model.Rules) { r.AllowWhole(70, retry, 19, none) }, []string{
			"the whole job in state(70): retry_all: there is no consequence 19",
			"the whole job in state(70): retry_all: there is no such operation on a job",
			"the whole job in state(70): retry_all: there is no such state",
		}},
	} {
		r := model.Documented()
		c.say(r)
		if got := r.Misnamed(); !slices.Equal(got, c.want) {
			t.Errorf("Misnamed() =\n%q, want\n%q", got, c.want)
		}
	}
}
