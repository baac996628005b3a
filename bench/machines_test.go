package main

import (
	"context"
	"testing"

	"github.com/looplab/fsm"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// The compared machines have the same table: they agree on every cell.
func TestMachinesAreTheSame(t *testing.T) {
	table, dense, events := cells(), denseTable(), looplabEvents()
	checked := 0
	for _, typ := range operation.Standard().Types() {
		machine := operation.Standard().Machine(typ)
		for _, s := range step.AllStates() {
			for _, tr := range machine.Transitions() {
				want, ok := machine.Next(s, tr.Cause)
				if got := table[cell{typ, s, tr.Cause}]; got != want {
					t.Errorf("the map: %v in %v, %s leads to %v, want %v", typ, s, tr.Cause.String(), got, want)
				}
				if got := dense[typ][s][tr.Cause]; got != want {
					t.Errorf("the array: %v in %v, %s leads to %v, want %v", typ, s, tr.Cause.String(), got, want)
				}
				if ok && want != s {
					m := fsm.NewFSM(place(typ, s), events, nil)
					if err := m.Event(context.Background(), tr.Cause.String()); err != nil || m.Current() != place(typ, want) {
						t.Errorf("looplab: %v in %v, %s leads to %s, want %v: %v", typ, s, tr.Cause.String(), m.Current(), want, err)
					}
				}
				checked++
			}
		}
	}
	if checked < 500 {
		t.Errorf("%d cells were checked", checked)
	}
}

// Each machine moves a confirmation to and fro, and refuses the operation that no confirmation
// allows. Its mover notices the opposite.
func TestMachinesAccept(t *testing.T) {
	for _, accept := range []bool{true, false} {
		for _, s := range transitionSubjects(2, accept) {
			if s.begin != nil {
				if err := s.begin(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 3 {
				if err := s.op(t.Context(), n%2, n); err != nil {
					t.Errorf("%s, accept %v: %v", s.name, accept, err)
				}
			}
			if s.pause != nil {
				if err := s.pause(t.Context()); err != nil {
					t.Errorf("%s: pause: %v", s.name, err)
				}
			}
		}
	}
}
