package step_test

import (
	"slices"
	"testing"

	"github.com/stepgate/stepgate/step"
)

// edit returns the documented kind of a type after f has changed it.
func edit(typ step.Type, f func(k *step.Kind)) step.Kind {
	kinds := step.Kinds()
	k := kinds[slices.IndexFunc(kinds, func(k step.Kind) bool { return k.Type == typ })]
	f(&k)
	return k
}

// without returns rows less those of an event in a state.
func without(rows []step.Transition, on step.Cause, from step.State) []step.Transition {
	for i := range rows {
		if rows[i].Cause == on {
			rows[i].From = rows[i].From.Without(from)
		}
	}
	return slices.DeleteFunc(rows, func(r step.Transition) bool { return r.From.Empty() })
}

func TestTheDocumentedKindsAreInOrder(t *testing.T) {
	var types []step.Type
	for _, k := range step.Kinds() {
		types = append(types, k.Type)
		if err := k.Check(); err != nil {
			t.Errorf("Check() of %v: %v", k.Type, err)
		}
		if k.Title == "" {
			t.Errorf("%v has no title", k.Type)
		}
	}
	if want := []step.Type{1, 2, 3, 4}; !slices.Equal(types, want) {
		t.Errorf("Kinds() declares %v, want %v", types, want)
	}
}

func TestKindsBelongToTheCaller(t *testing.T) {
	mine := step.Kinds()
	mine[0].Type, mine[0].Lifecycle[0].To = 99, step.Abandoned
	if again := step.Kinds()[0]; again.Type != step.Script || again.Enters() != step.Running {
		t.Errorf("Kinds()[0] after the caller changed its copy: type %v, entering %v; want script, running", again.Type, again.Enters())
	}
}

func TestCheckSaysWhatIsWrongWithAKind(t *testing.T) {
	add := func(rows ...step.Transition) func(*step.Kind) {
		return func(k *step.Kind) { k.Lifecycle = append(k.Lifecycle, rows...) }
	}
	drop := func(on step.Cause, from step.State) func(*step.Kind) {
		return func(k *step.Kind) { k.Lifecycle = without(k.Lifecycle, on, from) }
	}
	redirect := func(on step.Cause, from, to step.State, do step.Do) func(*step.Kind) {
		return func(k *step.Kind) {
			k.Lifecycle = append(without(k.Lifecycle, on, from), step.Transition{Cause: on, From: step.StatesOf(from), To: to, Do: do})
		}
	}
	for _, c := range []struct {
		of   step.Type
		edit func(*step.Kind)
		want string
	}{
		{step.Script, func(k *step.Kind) { k.Type = 0 }, "step type 0: not declared; 32 to 63 are for embedders"},
		{step.Script, func(k *step.Kind) { k.Type = 200 }, "step type 200: not declared; 32 to 63 are for embedders"},
		{step.Script, func(k *step.Kind) { k.Lifecycle = nil }, "step type script: on entry it must go from pending to running or waiting, not to state(0)"},
		{step.Script, redirect(step.Entered, step.Pending, step.Succeeded, step.Enter), "step type script: on entry it must go from pending to running or waiting, not to succeeded"},
		{step.Script, add(step.Transition{Cause: 77, From: step.StatesOf(step.Running), To: step.Failed, Do: step.End}), "step type script: cause(77) is not an event"},
		{step.Script, add(step.Transition{Cause: 2, From: step.StatesOf(step.Running), To: step.Failed, Do: step.End}), "step type script: retry_failed is not an event"},
		{step.Script, func(k *step.Kind) { k.Lifecycle[0].Do = step.RunAll }, "step type script: event entered must lead on with enter, not with run_all"},
		{step.Script, redirect(step.SomeFailed, step.Running, step.Failed, 0), "step type script: event some_failed: unknown consequence 0"},
		{step.Script, redirect(step.SomeFailed, step.Running, step.Failed, step.Accept), "step type script: event some_failed: accept leads to succeeded, skipped, error_ignored, not to failed"},
		{step.Script, redirect(step.SomeFailed, step.Running, step.Failed, step.RunNext), "step type script: event some_failed: run_next leads to running, not to failed"},
		{step.Confirmation, redirect(step.ExpiredConfirmed, step.Waiting, step.Succeeded, step.Vote), "step type confirmation: event expired_confirmed is not a person's, and cannot vote"},
		{step.Script, func(k *step.Kind) { k.Lifecycle[0].From = step.StatesOf(step.Pending, step.Failed) }, "step type script: event entered does not happen in pending, failed"},
		{step.Script, add(step.Transition{Cause: step.Stopped, From: step.StatesOf(step.Failed), To: step.Terminated, Do: step.End}), "step type script: event stopped does not happen in failed"},
		{step.Script, add(step.Transition{Cause: step.ExpiredConfirmed, From: step.StatesOf(step.Running), To: step.Failed, Do: step.End}), "step type script: event expired_confirmed does not happen in running"},
		{step.Confirmation, add(step.Transition{Cause: step.AllSucceeded, From: step.StatesOf(step.Waiting), To: step.Succeeded, Do: step.End}), "step type confirmation: event all_succeeded does not happen in waiting"},
		{step.Confirmation, add(step.Transition{Cause: step.Expired, From: step.StatesOf(step.Running), To: step.Abnormal, Do: step.End}), "step type confirmation: event expired does not happen in running"},
		{step.SQL, redirect(step.Broke, step.Running, step.Terminating, step.Stop), "step type sql: event broke ends an attempt, it cannot lead to terminating"},
		{step.SQL, redirect(step.AllSucceeded, step.Terminating, step.Succeeded, step.Pass), "step type sql: event all_succeeded leads from terminating to succeeded, and the stop is lost"},
		{step.SQL, redirect(step.Expired, step.Terminating, step.Skipped, step.Pass), "step type sql: event expired leads from terminating to skipped, and the stop is lost"},
		{step.FileTransfer, drop(step.Dropped, step.Terminating), "step type file_transfer: event dropped leads nowhere from terminating"},
		{step.FileTransfer, drop(step.Expired, step.Running), "step type file_transfer: event expired leads nowhere from running"},
		{step.FileTransfer, func(k *step.Kind) { k.Lifecycle = k.Lifecycle[:1] }, "step type file_transfer: event all_succeeded leads nowhere from running, terminating"},
		{step.Confirmation, drop(step.ExpiredConfirmed, step.Waiting), "step type confirmation: event expired_confirmed leads nowhere from waiting"},
	} {
		if err := edit(c.of, c.edit).Check(); err == nil || err.Error() != c.want {
			t.Errorf("Check() = %v, want %s", err, c.want)
		}
	}
}

func TestAKindMayLeadWhereItLikes(t *testing.T) {
	lenient := edit(step.Script, func(k *step.Kind) {
		k.Type = 32
		k.Lifecycle = append(without(k.Lifecycle, step.Broke, step.Running), step.Transition{Cause: step.Broke, From: step.StatesOf(step.Running), To: step.Failed, Do: step.End})
	})
	if err := lenient.Check(); err != nil {
		t.Errorf("Check() of a kind whose abnormal attempts have failed: %v", err)
	}
}
