package step

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/looplab/fsm"
)

// MaxStates is greater than the number of every state: the size of an array that states index.
const MaxStates = 32

// A Machine is the finite state machine of one step type: its lifecycle and the
// operations that apply to it, compiled into a table that decides by index. It
// is immutable and safe for concurrent use.
type Machine struct {
	name        string
	transitions []Transition
	next        [ownCauses][MaxStates]cell
}

// cell says where a cause leads from a state; the zero cell leads nowhere.
type cell struct {
	to State
	do Do
}

// NewMachine compiles and checks transitions. Errors are a duplicate row, an unknown state, and an
// unfinished state that Pending leads to and that has no exit. So is any difference from a
// looplab/fsm machine of the same table, compared state by state and cause by cause. The name is
// for the text of errors.
func NewMachine(name string, transitions []Transition) (*Machine, error) {
	m := &Machine{name: name, transitions: slices.Clone(transitions)}
	for _, t := range transitions {
		if t.Cause == 0 || t.Cause >= ownCauses || !t.Cause.Valid() {
			return nil, fmt.Errorf("machine %s: a transition to %v has no cause that moves steps: %v", name, t.To, t.Cause)
		}
		if !t.To.Valid() {
			return nil, fmt.Errorf("machine %s: %v leads to unknown state %d", name, t.Cause, t.To)
		}
		if t.From.Empty() {
			return nil, fmt.Errorf("machine %s: %v to %v starts in no state", name, t.Cause, t.To)
		}
		for from := range t.From.All() {
			if !from.Valid() {
				return nil, fmt.Errorf("machine %s: %v starts in unknown state %d", name, t.Cause, from)
			}
			if was := m.next[t.Cause][from]; was.to != 0 {
				return nil, fmt.Errorf("machine %s: two rows for %v in %v, to %v and to %v", name, t.Cause, from, was.to, t.To)
			}
			m.next[t.Cause][from] = cell{t.To, t.Do}
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

// Next returns the state that cause leads to from s when nothing is in the way, and whether it
// leads anywhere.
func (m *Machine) Next(s State, cause Cause) (State, bool) {
	if s >= MaxStates || cause >= ownCauses {
		return 0, false
	}
	to := m.next[cause][s].to
	return to, to != 0
}

// Lands returns the states in which a step can be after cause in s: that of [Machine.Next], and
// those of [Do.Instead]; none if cause leads nowhere.
func (m *Machine) Lands(s State, cause Cause) States {
	to, ok := m.Next(s, cause)
	if !ok {
		return States{}
	}
	return m.next[cause][s].do.Instead().With(to)
}

// From returns the states in which cause leads anywhere.
func (m *Machine) From(cause Cause) States {
	var from States
	if cause >= ownCauses {
		return from
	}
	for s, c := range m.next[cause] {
		if c.to != 0 {
			from = from.With(State(s))
		}
	}
	return from
}

// Transitions returns the rows of m, in the order given to [NewMachine]. The caller owns the
// result.
func (m *Machine) Transitions() []Transition { return slices.Clone(m.transitions) }

// checkExits walks m from Pending and refuses a state in which a step would be
// stuck.
func (m *Machine) checkExits() error {
	seen := StatesOf(Pending)
	for queue := []State{Pending}; len(queue) > 0; queue = queue[1:] {
		s, exits := queue[0], 0
		for cause := range ownCauses {
			for to := range m.Lands(s, cause).Without(s).All() {
				exits++
				if !seen.Has(to) {
					seen = seen.With(to)
					queue = append(queue, to)
				}
			}
		}
		if exits == 0 && !s.Finished() {
			return fmt.Errorf("machine %s: %v is not finished and nothing leads out of it", m.name, s)
		}
	}
	return nil
}

// FSM returns a new looplab/fsm machine of the same table in state s, for looplab's visualizers
// and for cross-checks. As looplab's machine has one destination per event and state, each other
// landing state has an event of its own, such as "confirm, waiting". Decisions never use it: it
// holds its current state, takes locks, and costs a hundred times as much.
func (m *Machine) FSM(s State) *fsm.FSM {
	var events fsm.Events
	for _, t := range m.transitions {
		var from []string
		for f := range t.From.All() {
			from = append(from, f.String())
		}
		events = append(events, fsm.EventDesc{Name: t.Cause.String(), Src: from, Dst: t.To.String()})
		for instead := range t.Do.Instead().All() {
			events = append(events, fsm.EventDesc{Name: t.Cause.String() + ", " + instead.String(), Src: from, Dst: instead.String()})
		}
	}
	return fsm.NewFSM(s.String(), events, nil)
}

// checkAgainstFSM compares every cell of m with looplab's machine.
func (m *Machine) checkAgainstFSM() error {
	machine := m.FSM(Pending)
	goes := func(s State, event string) string { // where looplab's machine goes, or ""
		machine.SetState(s.String())
		if !machine.Can(event) { // which costs a fifth of an Event that is refused
			return ""
		}
		if err := machine.Event(context.Background(), event); err != nil && !errors.As(err, new(fsm.NoTransitionError)) {
			return ""
		}
		return machine.Current()
	}
	for _, s := range AllStates() {
		for _, t := range m.transitions {
			want := ""
			if to, ok := m.Next(s, t.Cause); ok {
				want = to.String()
			}
			if got := goes(s, t.Cause.String()); got != want {
				return fmt.Errorf("machine %s: %v in %v leads to %q here and to %q in looplab/fsm", m.name, t.Cause, s, want, got)
			}
			for instead := range t.Do.Instead().All() {
				want := ""
				if m.Lands(s, t.Cause).Has(instead) {
					want = instead.String()
				}
				if got := goes(s, t.Cause.String()+", "+instead.String()); got != want {
					return fmt.Errorf("machine %s: %v in %v lands in %q here and in %q in looplab/fsm", m.name, t.Cause, s, want, got)
				}
			}
		}
	}
	return nil
}
