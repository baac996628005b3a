package model

import (
	"maps"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Rules say, cell by cell, what is legal, where it leads and what follows. [Documented] returns
// those of the document, which an embedder changes into what they mean theirs to be. The zero
// Rules are not usable.
type Rules struct {
	cells map[cell]operation.Move
	whole map[wholeCell]step.Do

	has    map[step.Cause]int  // how many cells a cause has
	ofType map[causeOfType]int // and how many of them are of steps of a type
}

// A cell is one thing that can happen to a step of one type in one state.
type cell struct {
	Type  step.Type
	State step.State
	Cause step.Cause
}

// A wholeCell is one thing that a person can do to a job in one state, and that moves no step.
type wholeCell struct {
	Job   step.State
	Cause step.Cause
}

type causeOfType struct {
	Type  step.Type
	Cause step.Cause
}

func newRules() *Rules {
	return &Rules{cells: map[cell]operation.Move{}, whole: map[wholeCell]step.Do{}, has: map[step.Cause]int{}, ofType: map[causeOfType]int{}}
}

// Clone returns a copy that shares nothing with r.
func (r *Rules) Clone() *Rules {
	return &Rules{cells: maps.Clone(r.cells), whole: maps.Clone(r.whole), has: maps.Clone(r.has), ofType: maps.Clone(r.ofType)}
}

// Like makes steps of type typ behave as those of type model do now, and forgets what was
// said of typ. What is said of model later is not said of typ.
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

// Drop forgets a type: there are no such steps.
func (r *Rules) Drop(t step.Type) {
	for c := range r.cells {
		if c.Type == t {
			r.Forbid(t, c.State, c.Cause)
		}
	}
}

// Allow makes a cause legal on a step of type t in state from: it leads to to, do follows, and
// guard is asked for. The cause is an operation on a step, or one on a job whose current step
// that is. What was said of that cell before is forgotten.
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

// AllowWhole makes a cause legal on a job in state job, whatever its steps are: do follows,
// and no step moves. What the current step has for the cause comes first.
func (r *Rules) AllowWhole(job step.State, cause step.Cause, do step.Do) {
	r.ForbidWhole(job, cause)
	r.whole[wholeCell{job, cause}] = do
	r.has[cause]++
}

// ForbidWhole forgets what AllowWhole said.
func (r *Rules) ForbidWhole(job step.State, cause step.Cause) {
	if _, legal := r.OnWhole(job, cause); legal {
		delete(r.whole, wholeCell{job, cause})
		r.has[cause]--
	}
}

// Lead says where an event takes a step of type t in state from, and what follows.
func (r *Rules) Lead(t step.Type, from step.State, event step.Cause, to step.State, do step.Do) {
	r.Allow(t, from, event, to, do, operation.Free)
}

// Move returns what a cause does to a step of type t in state s, and whether it does anything
// there, guards aside: an operation on the step, one on the job whose current step it is, or an
// event.
func (r *Rules) Move(t step.Type, s step.State, cause step.Cause) (operation.Move, bool) {
	move, ok := r.cells[cell{t, s, cause}]
	return move, ok
}

// OnWhole returns what a cause does to a whole job in state job, and whether it does anything.
func (r *Rules) OnWhole(job step.State, cause step.Cause) (step.Do, bool) {
	do, ok := r.whole[wholeCell{job, cause}]
	return do, ok
}

// Enters returns the state that a step of type t takes on entry, or 0 if there are no such
// steps.
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

// Known reports whether a cause does anything anywhere at all: if not, there is no such
// operation.
func (r *Rules) Known(cause step.Cause) bool { return r.has[cause] > 0 }

// Applies reports whether a cause does anything to a step of type t in any state.
func (r *Rules) Applies(t step.Type, cause step.Cause) bool {
	return r.ofType[causeOfType{t, cause}] > 0
}
