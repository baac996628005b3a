package model

import (
	"maps"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Rules has, for each cell, the legal causes, the states that they lead to, and the consequences.
// [Documented] returns the documented rules, which an embedder changes into the intended ones. The
// zero Rules must not be used.
type Rules struct {
	cells map[cell]operation.Move
	whole map[wholeCell]operation.Move

	has    map[step.Cause]int  // number of cells by cause
	ofType map[causeOfType]int // number of cells by cause and type
}

// A cell is one cause on a step of one type in one state.
type cell struct {
	Type  step.Type
	State step.State
	Cause step.Cause
}

// A wholeCell is one operation on a job in one state that moves no step.
type wholeCell struct {
	Job   step.State
	Cause step.Cause
}

type causeOfType struct {
	Type  step.Type
	Cause step.Cause
}

func newRules() *Rules {
	return &Rules{cells: map[cell]operation.Move{}, whole: map[wholeCell]operation.Move{}, has: map[step.Cause]int{}, ofType: map[causeOfType]int{}}
}

// Clone returns a copy that shares nothing with r.
func (r *Rules) Clone() *Rules {
	return &Rules{cells: maps.Clone(r.cells), whole: maps.Clone(r.whole), has: maps.Clone(r.has), ofType: maps.Clone(r.ofType)}
}

// Like replaces the cells of type typ by copies of those of type model. Later changes of model do
// not change typ.
func (r *Rules) Like(typ, model step.Type) {
	if typ == model {
		return
	}
	r.Drop(typ)
	for c, move := range maps.Clone(r.cells) {
		if c.Type == model {
			r.Allow(typ, c.State, c.Cause, move.To, move.Do, move.Guard)
		}
	}
}

// Drop removes a type and its cells.
func (r *Rules) Drop(t step.Type) {
	for c := range r.cells {
		if c.Type == t {
			r.Forbid(t, c.State, c.Cause)
		}
	}
}

// Allow makes a cause legal on a step of type t in state from, with the next state to, the
// consequence do, and the guard. The cause is an operation on a step, or an operation on the job
// whose current step that is. Allow replaces an earlier cell.
func (r *Rules) Allow(t step.Type, from step.State, cause step.Cause, to step.State, do step.Do, guard operation.Guard) {
	r.Forbid(t, from, cause)
	r.cells[cell{t, from, cause}] = operation.Move{To: to, Do: do, Guard: guard}
	r.count(t, cause, +1)
}

// Forbid makes a cause illegal on a step of type t in state from.
func (r *Rules) Forbid(t step.Type, from step.State, cause step.Cause) {
	if _, legal := r.Move(t, from, cause); legal {
		delete(r.cells, cell{t, from, cause})
		r.count(t, cause, -1)
	}
}

// count notes that there is one cell more or less of a type and a cause.
func (r *Rules) count(t step.Type, cause step.Cause, more int) {
	r.has[cause] += more
	r.ofType[causeOfType{t, cause}] += more
}

// AllowWhole makes a cause legal on a job in state job, whatever its steps are, with the consequence
// do and the guard; no step moves. A cell of the current step for the same cause takes precedence,
// unless its guard refuses.
func (r *Rules) AllowWhole(job step.State, cause step.Cause, do step.Do, guard operation.Guard) {
	r.ForbidWhole(job, cause)
	r.whole[wholeCell{job, cause}] = operation.Move{Do: do, Guard: guard}
	r.has[cause]++
}

// ForbidWhole removes the cell of AllowWhole.
func (r *Rules) ForbidWhole(job step.State, cause step.Cause) {
	if _, legal := r.OnWhole(job, cause); legal {
		delete(r.whole, wholeCell{job, cause})
		r.has[cause]--
	}
}

// Lead sets the next state and the consequence of an event on a step of type t in state from.
func (r *Rules) Lead(t step.Type, from step.State, event step.Cause, to step.State, do step.Do) {
	r.Allow(t, from, event, to, do, operation.Free)
}

// Move returns the move of a cause on a step of type t in state s, whatever its guard, and whether
// there is one. The cause is an operation on the step, an operation on the job whose current step it
// is, or an event.
func (r *Rules) Move(t step.Type, s step.State, cause step.Cause) (operation.Move, bool) {
	move, ok := r.cells[cell{t, s, cause}]
	return move, ok
}

// OnWhole returns the move of a cause on a whole job in state job, whatever its guard, and whether
// there is one. It leads to no state.
func (r *Rules) OnWhole(job step.State, cause step.Cause) (operation.Move, bool) {
	move, ok := r.whole[wholeCell{job, cause}]
	return move, ok
}

// Marks reports whether a cause sets or clears a stop before a step of type t: it moves no state, and
// the step need not be the current one.
func (r *Rules) Marks(t step.Type, cause step.Cause) bool {
	for _, s := range states {
		if move, _ := r.Move(t, s, cause); move.Do == step.Mark || move.Do == step.Unmark {
			return true
		}
	}
	return false
}

// Enters returns the state that a step of type t takes on entry, or 0 for an undeclared type.
func (r *Rules) Enters(t step.Type) step.State {
	return r.cells[cell{t, step.Pending, step.Entered}].To
}

// Types returns the types that can be entered, in ascending order.
func (r *Rules) Types() []step.Type {
	var types []step.Type
	for t := range step.Type(64) {
		if r.Enters(t) != 0 {
			types = append(types, t)
		}
	}
	return types
}

// Known reports whether any cell has the cause: an operation without one is unknown.
func (r *Rules) Known(cause step.Cause) bool { return r.has[cause] > 0 }

// Applies reports whether a cell of type t has the cause.
func (r *Rules) Applies(t step.Type, cause step.Cause) bool {
	return r.ofType[causeOfType{t, cause}] > 0
}
