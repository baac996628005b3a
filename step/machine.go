package step

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/looplab/fsm"
)

// A Label is what a [Machine] moves on. 1 to 63 are operation codes of a step, 65 to 127
// events of the lifecycle, 129 to 191 operation codes of a job.
type Label uint8

const (
	eventLabels Label = 64
	jobLabels   Label = 128
)

// JobLabel returns how a [Machine] knows the job operation of this code, 1 to 63.
func JobLabel(code uint8) Label { return jobLabels + Label(code) }

// A Transition is one row of a machine.
type Transition struct {
	Label Label
	Name  string // the label in words, for diagrams and errors; one name per label
	From  States
	To    State
}

// A Machine is the finite state machine of one step type: its lifecycle and the
// operations that apply to it, compiled into a table that decides by index. It
// is immutable and safe for concurrent use.
type Machine struct {
	name        string
	transitions []Transition
	next        [192][16]State
}

// NewMachine compiles transitions and checks them: a duplicate row, an unknown
// state, and a state that can be reached from Pending and is neither finished nor
// has an exit are errors. So is any difference from the same table walked, state
// by state and label by label, through a looplab/fsm machine.
func NewMachine(name string, transitions []Transition) (*Machine, error) {
	m := &Machine{name: name, transitions: slices.Clone(transitions)}
	names := map[Label]string{}
	labels := map[string]Label{}
	for _, t := range transitions {
		if t.Label == 0 || int(t.Label) >= len(m.next) || t.Name == "" {
			return nil, fmt.Errorf("machine %s: a transition to %v has no label", name, t.To)
		}
		if known, ok := names[t.Label]; ok && known != t.Name {
			return nil, fmt.Errorf("machine %s: label %d has two names, %s and %s", name, t.Label, known, t.Name)
		}
		if known, ok := labels[t.Name]; ok && known != t.Label {
			return nil, fmt.Errorf("machine %s: name %s stands for two labels, %d and %d", name, t.Name, known, t.Label)
		}
		names[t.Label], labels[t.Name] = t.Name, t.Label
		if !t.To.Valid() {
			return nil, fmt.Errorf("machine %s: %s leads to unknown state %d", name, t.Name, t.To)
		}
		if t.From.Empty() {
			return nil, fmt.Errorf("machine %s: %s to %v starts in no state", name, t.Name, t.To)
		}
		for from := range t.From.All() {
			if !from.Valid() {
				return nil, fmt.Errorf("machine %s: %s starts in unknown state %d", name, t.Name, from)
			}
			if to := m.next[t.Label][from]; to != 0 {
				return nil, fmt.Errorf("machine %s: two rows for %s in %v, to %v and to %v", name, t.Name, from, to, t.To)
			}
			m.next[t.Label][from] = t.To
		}
	}
	if err := m.checkExits(); err != nil {
		return nil, err
	}
	if err := m.checkAgainstFSM(); err != nil {
		return nil, err
	}
	return m, nil
}

// Next returns where label leads from s, and whether it leads anywhere.
func (m *Machine) Next(s State, label Label) (State, bool) {
	if s >= 16 || int(label) >= len(m.next) {
		return 0, false
	}
	to := m.next[label][s]
	return to, to != 0
}

// From returns the states in which label leads anywhere.
func (m *Machine) From(label Label) States {
	var from States
	if int(label) >= len(m.next) {
		return from
	}
	for s, to := range m.next[label] {
		if to != 0 {
			from = from.With(State(s))
		}
	}
	return from
}

// Transitions returns the rows that m was made of. The caller owns the result.
func (m *Machine) Transitions() []Transition { return slices.Clone(m.transitions) }

// checkExits walks m from Pending and refuses a state in which a step would be
// stuck.
func (m *Machine) checkExits() error {
	seen := StatesOf(Pending)
	for queue := []State{Pending}; len(queue) > 0; queue = queue[1:] {
		s, exits := queue[0], 0
		for label := range m.next {
			to := m.next[label][s]
			if to == 0 {
				continue
			}
			exits++
			if !seen.Has(to) {
				seen = seen.With(to)
				queue = append(queue, to)
			}
		}
		if exits == 0 && !s.Finished() {
			return fmt.Errorf("machine %s: %v is not finished and nothing leads out of it", m.name, s)
		}
	}
	return nil
}

// FSM returns a looplab/fsm machine of the same table, standing in s, for
// looplab's visualizers and for cross-checks. Deciding never uses one: it holds
// its current state, takes locks, and costs a hundred times as much.
func (m *Machine) FSM(s State) *fsm.FSM {
	var events fsm.Events
	for _, t := range m.transitions {
		var from []string
		for f := range t.From.All() {
			from = append(from, f.String())
		}
		events = append(events, fsm.EventDesc{Name: t.Name, Src: from, Dst: t.To.String()})
	}
	return fsm.NewFSM(s.String(), events, nil)
}

// checkAgainstFSM compares every cell of m with looplab's machine.
func (m *Machine) checkAgainstFSM() error {
	machine := m.FSM(Pending)
	for _, s := range AllStates() {
		for _, t := range m.transitions {
			machine.SetState(s.String())
			got, want := "", ""
			if machine.Can(t.Name) { // which costs a fifth of an Event that is refused
				if err := machine.Event(context.Background(), t.Name); err == nil || errors.As(err, new(fsm.NoTransitionError)) {
					got = machine.Current()
				}
			}
			if to, ok := m.Next(s, t.Label); ok {
				want = to.String()
			}
			if got != want {
				return fmt.Errorf("machine %s: %s in %v leads to %q here and to %q in looplab/fsm", m.name, t.Name, s, want, got)
			}
		}
	}
	return nil
}
