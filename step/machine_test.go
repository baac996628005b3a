package step_test

import (
	"context"
	"errors"
	"testing"

	"github.com/looplab/fsm"

	"github.com/stepgate/stepgate/step"
)

const (
	begin step.Label = 1
	end   step.Label = 2
	again step.Label = 3
)

// sound is a machine with nothing wrong.
var sound = []step.Transition{
	{Label: begin, Name: "begin", From: step.StatesOf(step.Pending), To: step.Running},
	{Label: end, Name: "end", From: step.StatesOf(step.Running), To: step.Failed},
	{Label: again, Name: "again", From: step.StatesOf(step.Failed, step.Running), To: step.Running},
}

func TestAMachineLeadsWhereItsRowsSayAndNowhereElse(t *testing.T) {
	m, err := step.NewMachine("sound", sound)
	if err != nil {
		t.Fatal(err)
	}
	for label := range step.Label(255) {
		if t.Failed() {
			break // one label says it all
		}
		for s := range step.State(255) {
			var want step.State
			for _, row := range sound {
				if row.Label == label && row.From.Has(s) {
					want = row.To
				}
			}
			if got, ok := m.Next(s, label); ok != (want != 0) || got != want {
				t.Errorf("Next(%v, %d) = %v, %v; want %v", s, label, got, ok, want)
			}
		}
	}
	if got, want := m.From(again), step.StatesOf(step.Running, step.Failed); got != want {
		t.Errorf("From(again) = %v, want %v", got, want)
	}
	if got := m.From(99); !got.Empty() {
		t.Errorf("From(a label without rows) = %v, want none", got)
	}
}

func TestAMachineSharesNoMemory(t *testing.T) {
	rows := append([]step.Transition(nil), sound...)
	m, err := step.NewMachine("sound", rows)
	if err != nil {
		t.Fatal(err)
	}
	rows[0].Name = "mine"
	m.Transitions()[1].Name = "mine too"
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
		{with(step.Transition{Name: "odd", From: step.StatesOf(step.Failed), To: step.Running}), "machine m: a transition to running has no label"},
		{with(step.Transition{Label: 9, From: step.StatesOf(step.Failed), To: step.Running}), "machine m: a transition to running has no label"},
		{with(step.Transition{Label: begin, Name: "odd", From: step.StatesOf(step.Failed), To: step.Running}), "machine m: label 1 has two names, begin and odd"},
		{with(step.Transition{Label: 9, Name: "begin", From: step.StatesOf(step.Failed), To: step.Running}), "machine m: name begin stands for two labels, 1 and 9"},
		{with(step.Transition{Label: 9, Name: "odd", From: step.StatesOf(step.Failed), To: 8}), "machine m: odd leads to unknown state 8"},
		{with(step.Transition{Label: 9, Name: "odd", From: step.StatesOf(step.Failed), To: 0}), "machine m: odd leads to unknown state 0"},
		{with(step.Transition{Label: 9, Name: "odd", From: step.StatesOf(step.Failed), To: 77}), "machine m: odd leads to unknown state 77"},
		{with(step.Transition{Label: 9, Name: "odd", To: step.Running}), "machine m: odd to running starts in no state"},
		{with(step.Transition{Label: 9, Name: "odd", From: step.StatesOf(step.Failed, 12), To: step.Running}), "machine m: odd starts in unknown state 12"},
		{with(step.Transition{Label: 9, Name: "odd", From: step.StatesOf(60), To: step.Running}), "machine m: odd starts in unknown state 60"},
		{with(step.Transition{Label: end, Name: "end", From: step.StatesOf(step.Running), To: step.Failed}), "machine m: two rows for end in running, to failed and to failed"},
		{with(step.Transition{Label: end, Name: "end", From: step.StatesOf(step.Running), To: step.Abnormal}), "machine m: two rows for end in running, to failed and to abnormal"},
		{sound[:1], "machine m: running is not finished and nothing leads out of it"},
		{with(step.Transition{Label: 9, Name: "odd", From: step.StatesOf(step.Failed), To: step.Terminating}), "machine m: terminating is not finished and nothing leads out of it"},
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
	rows := append([]step.Transition{{Label: 9, Name: "odd", From: step.StatesOf(step.Abandoned), To: step.Terminating}}, sound...)
	if _, err := step.NewMachine("m", rows); err != nil {
		t.Errorf("NewMachine with a row from a state that nothing leads to: %v", err)
	}
}

// walk asserts that a machine and looplab's machine of the same table agree in every
// state on every label.
func walk(t *testing.T, m *step.Machine) {
	t.Helper()
	for _, s := range step.AllStates() {
		for _, row := range m.Transitions() {
			peer := m.FSM(s)
			want, legal := m.Next(s, row.Label)
			if got := peer.Can(row.Name); got != legal {
				t.Errorf("%s in %v: looplab says %v, Next says %v", row.Name, s, got, legal)
			}
			err := peer.Event(context.Background(), row.Name)
			if moved := err == nil || errors.As(err, new(fsm.NoTransitionError)); moved != legal || legal && peer.Current() != want.String() {
				t.Errorf("%s in %v: looplab goes to %s (%v), Next to %v, %v", row.Name, s, peer.Current(), err, want, legal)
			}
		}
	}
}

func TestMachinesOfLifecyclesAgreeWithLooplab(t *testing.T) {
	for _, k := range step.Kinds() {
		exits := []step.Transition{ // the operations that every lifecycle relies on
			{Label: 12, Name: "skip", From: step.StatesOf(step.Terminating, step.Waiting), To: step.Skipped},
		}
		m, err := step.NewMachine(k.Type.String(), append(k.Transitions(), exits...))
		if err != nil {
			t.Errorf("NewMachine(%v): %v", k.Type, err)
			continue
		}
		walk(t, m)
	}
}

func TestLabelsOfTheThreeAlphabetsDoNotMeet(t *testing.T) {
	seen := map[step.Label]bool{}
	for code := 1; code <= 63; code++ {
		seen[step.Label(code)] = true
	}
	for _, e := range step.AllEvents() {
		if l := e.Label(); seen[l] || l < 65 || l > 127 {
			t.Errorf("event %v has label %d, want one of its own in 65 to 127", e, l)
		} else {
			seen[l] = true
		}
	}
	for code := uint8(1); code < 64; code++ {
		if l := step.JobLabel(code); seen[l] || l < 129 || l > 191 {
			t.Errorf("job code %d has label %d, want one of its own in 129 to 191", code, l)
		} else {
			seen[l] = true
		}
	}
}
