package step_test

import (
	"context"
	"errors"
	"testing"

	"github.com/looplab/fsm"

	"github.com/stepgate/stepgate/step"
)

const (
	begin step.Cause = 65
	end   step.Cause = 67
	again step.Cause = 8
	opens step.Cause = 74
)

// opened leads out of the gate that may be in the way of every attempt.
var opened = step.Transition{Cause: opens, From: step.StatesOf(step.Gated), To: step.Running, Do: step.Open}

// sound is a machine with nothing wrong.
var sound = []step.Transition{
	{Cause: begin, From: step.StatesOf(step.Pending), To: step.Running, Do: step.Enter},
	{Cause: end, From: step.StatesOf(step.Running), To: step.Failed, Do: step.End},
	{Cause: again, From: step.StatesOf(step.Failed, step.Running), To: step.Running, Do: step.RunAll},
	opened,
}

func TestAMachineLeadsWhereItsRowsSayAndNowhereElse(t *testing.T) {
	m, err := step.NewMachine("sound", sound)
	if err != nil {
		t.Fatal(err)
	}
	for cause := range step.Cause(255) {
		if t.Failed() {
			break // one cause says it all
		}
		for s := range step.State(255) {
			var want step.State
			for _, row := range sound {
				if row.Cause == cause && row.From.Has(s) {
					want = row.To
				}
			}
			if got, ok := m.Next(s, cause); ok != (want != 0) || got != want {
				t.Errorf("Next(%v, %d) = %v, %v; want %v", s, cause, got, ok, want)
			}
		}
	}
	if got, want := m.From(again), step.StatesOf(step.Running, step.Failed); got != want {
		t.Errorf("From(again) = %v, want %v", got, want)
	}
	if got := m.From(99); !got.Empty() {
		t.Errorf("From(a cause without rows) = %v, want none", got)
	}
}

func TestAMachineSharesNoMemory(t *testing.T) {
	rows := append([]step.Transition(nil), sound...)
	m, err := step.NewMachine("sound", rows)
	if err != nil {
		t.Fatal(err)
	}
	rows[0].Cause = 9
	m.Transitions()[1].Cause = 9
	for i, row := range m.Transitions() {
		if row != sound[i] {
			t.Errorf("row %d is %+v after the caller changed copies, want %+v", i, row, sound[i])
		}
	}
}

func TestNewMachineSaysWhatIsWrong(t *testing.T) {
	with := func(rows ...step.Transition) []step.Transition {
		return append(append([]step.Transition(nil), sound...), rows...)
	}
	for _, c := range []struct {
		rows []step.Transition
		want string
	}{
		{with(step.Transition{From: step.StatesOf(step.Failed), To: step.Running}), "machine m: a transition to running has no cause that moves steps: cause(0)"},
		{with(step.Transition{Cause: step.Results, From: step.StatesOf(step.Failed), To: step.Running}), "machine m: a transition to running has no cause that moves steps: results"},
		{with(step.Transition{Cause: 5, From: step.StatesOf(step.Failed), To: step.Running}), "machine m: a transition to running has no cause that moves steps: cause(5)"},
		{with(step.Transition{Cause: 9, From: step.StatesOf(step.Failed), To: 8}), "machine m: terminate_confirmation leads to unknown state 8"},
		{with(step.Transition{Cause: 9, From: step.StatesOf(step.Failed), To: 0}), "machine m: terminate_confirmation leads to unknown state 0"},
		{with(step.Transition{Cause: 9, From: step.StatesOf(step.Failed), To: 77}), "machine m: terminate_confirmation leads to unknown state 77"},
		{with(step.Transition{Cause: 9, To: step.Running}), "machine m: terminate_confirmation to running starts in no state"},
		{with(step.Transition{Cause: 9, From: step.StatesOf(step.Failed, 12), To: step.Running}), "machine m: terminate_confirmation starts in unknown state 12"},
		{with(step.Transition{Cause: 9, From: step.StatesOf(60), To: step.Running}), "machine m: terminate_confirmation starts in unknown state 60"},
		{with(step.Transition{Cause: end, From: step.StatesOf(step.Running), To: step.Failed, Do: step.End}), "machine m: two rows for some_failed in running, to failed and to failed"},
		{with(step.Transition{Cause: end, From: step.StatesOf(step.Running), To: step.Abnormal, Do: step.End}), "machine m: two rows for some_failed in running, to failed and to abnormal"},
		{with(step.Transition{Cause: 9, From: step.StatesOf(step.Failed), To: step.Waiting, Do: step.Ask}, step.Transition{Cause: 10, From: step.StatesOf(step.Waiting), To: step.Waiting, Do: step.Vote}), "machine m: waiting is not finished and nothing leads out of it"},
		{sound[:3], "machine m: gated is not finished and nothing leads out of it"},
		{[]step.Transition{sound[0], opened}, "machine m: running is not finished and nothing leads out of it"},
		{with(step.Transition{Cause: 9, From: step.StatesOf(step.Failed), To: step.Terminating, Do: step.Stop}), "machine m: terminating is not finished and nothing leads out of it"},
		{nil, "machine m: pending is not finished and nothing leads out of it"},
	} {
		m, err := step.NewMachine("m", c.rows)
		if err == nil || err.Error() != c.want {
			t.Errorf("NewMachine = %v, want %s", err, c.want)
		}
		if m != nil {
			t.Errorf("NewMachine returns a machine beside %v", err)
		}
	}
}

func TestAnUnreachableStateNeedsNoExit(t *testing.T) {
	rows := append([]step.Transition{{Cause: 9, From: step.StatesOf(step.Abandoned), To: step.Terminating}}, sound...)
	if _, err := step.NewMachine("m", rows); err != nil {
		t.Errorf("NewMachine with a row from a state that nothing leads to: %v", err)
	}
}

// A row that may land elsewhere lands there in looplab's machine too, by an event of its own.
func TestAMachineHasEveryLandingPlace(t *testing.T) {
	m, err := step.NewMachine("votes", []step.Transition{
		{Cause: 65, From: step.StatesOf(step.Pending), To: step.Waiting, Do: step.Enter},
		{Cause: opens, From: step.StatesOf(step.Gated), To: step.Waiting, Do: step.Open},
		{Cause: 6, From: step.StatesOf(step.Waiting), To: step.Succeeded, Do: step.Vote},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Lands(step.Waiting, 6), step.StatesOf(step.Succeeded, step.Waiting); got != want {
		t.Errorf("Lands(waiting, confirm) = %v, want %v", got, want)
	}
	if got := m.Lands(step.Pending, 6); !got.Empty() {
		t.Errorf("Lands(pending, confirm) = %v, want none", got)
	}
	if got, want := m.Lands(step.Pending, 65), step.StatesOf(step.Waiting, step.Gated); got != want {
		t.Errorf("Lands(pending, entered) = %v, want %v", got, want)
	}
	peer := m.FSM(step.Waiting)
	if err := peer.Event(context.Background(), "confirm, waiting"); !errors.As(err, new(fsm.NoTransitionError)) || peer.Current() != "waiting" {
		t.Errorf("looplab's machine goes from waiting by \"confirm, waiting\" to %s, %v; want it to stay", peer.Current(), err)
	}
}
