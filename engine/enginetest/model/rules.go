package model

import (
	"maps"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Rules say, cell by cell, what is legal and where it leads. [Documented] returns those of
// the document, which an embedder changes into what they mean theirs to be. The zero Rules
// are not usable.
type Rules struct {
	operations map[operationCell]operation.Move
	jobs       map[jobCell]step.State
	events     map[eventCell]step.State

	ofCode map[operation.Code]int // how many operations have a code
	ofType map[codeOfType]int     // and how many of them steps of a type
}

// A cell is one thing that can happen to a step of one type in one state.
type (
	operationCell struct {
		Type  step.Type
		State step.State
		Code  operation.Code
	}
	jobCell struct {
		Type  step.Type
		State step.State
		Code  operation.JobCode
	}
	eventCell struct {
		Type  step.Type
		State step.State
		Event step.Event
	}
)

type codeOfType struct {
	Type step.Type
	Code operation.Code
}

// Clone returns a copy that shares nothing with r.
func (r *Rules) Clone() *Rules {
	return &Rules{
		operations: maps.Clone(r.operations), jobs: maps.Clone(r.jobs), events: maps.Clone(r.events),
		ofCode: maps.Clone(r.ofCode), ofType: maps.Clone(r.ofType),
	}
}

// Like makes steps of type typ behave as those of type model do now, and forgets what was
// said of typ. What is said of model later is not said of typ.
func (r *Rules) Like(typ, model step.Type) {
	if typ == model {
		return
	}
	r.Drop(typ)
	for cell, move := range maps.Clone(r.operations) {
		if cell.Type == model {
			r.Allow(typ, cell.State, cell.Code, move.To, move.Guard)
		}
	}
	for cell, to := range maps.Clone(r.jobs) {
		if cell.Type == model {
			r.jobs[jobCell{typ, cell.State, cell.Code}] = to
		}
	}
	for cell, to := range maps.Clone(r.events) {
		if cell.Type == model {
			r.events[eventCell{typ, cell.State, cell.Event}] = to
		}
	}
}

// Drop forgets a type: there are no such steps.
func (r *Rules) Drop(t step.Type) {
	for cell := range r.operations {
		if cell.Type == t {
			r.Forbid(t, cell.State, cell.Code)
		}
	}
	maps.DeleteFunc(r.jobs, func(cell jobCell, _ step.State) bool { return cell.Type == t })
	maps.DeleteFunc(r.events, func(cell eventCell, _ step.State) bool { return cell.Type == t })
}

// Allow makes code legal on a step of type t in state from: it leads to to, and guard is
// asked for. What was said of that cell before is forgotten.
func (r *Rules) Allow(t step.Type, from step.State, code operation.Code, to step.State, guard operation.Guard) {
	r.Forbid(t, from, code)
	r.operations[operationCell{t, from, code}] = operation.Move{To: to, Guard: guard}
	r.count(t, code, +1)
}

// Forbid makes code illegal on a step of type t in state from.
func (r *Rules) Forbid(t step.Type, from step.State, code operation.Code) {
	if _, legal := r.Legal(t, from, code); legal {
		delete(r.operations, operationCell{t, from, code})
		r.count(t, code, -1)
	}
}

// count notes that there is one cell more or less of a type and a code.
func (r *Rules) count(t step.Type, code operation.Code, more int) {
	r.ofCode[code] += more
	r.ofType[codeOfType{t, code}] += more
}

// AllowJob makes code legal on a job whose current step is of type t and in state from: it
// takes the step to to.
func (r *Rules) AllowJob(t step.Type, from step.State, code operation.JobCode, to step.State) {
	r.jobs[jobCell{t, from, code}] = to
}

// ForbidJob makes code illegal on a job whose current step is of type t and in state from.
func (r *Rules) ForbidJob(t step.Type, from step.State, code operation.JobCode) {
	delete(r.jobs, jobCell{t, from, code})
}

// Lead says where an event takes a step of type t in state from.
func (r *Rules) Lead(t step.Type, from step.State, event step.Event, to step.State) {
	r.events[eventCell{t, from, event}] = to
}

// Legal returns what code does to a step of type t in state s, and whether it is legal
// there, guards aside.
func (r *Rules) Legal(t step.Type, s step.State, code operation.Code) (operation.Move, bool) {
	move, ok := r.operations[operationCell{t, s, code}]
	return move, ok
}

// LegalJob returns where code takes the current step, of type t and in state s, and whether
// it is legal there.
func (r *Rules) LegalJob(t step.Type, s step.State, code operation.JobCode) (step.State, bool) {
	to, ok := r.jobs[jobCell{t, s, code}]
	return to, ok
}

// On returns where an event takes a step of type t in state s, and whether it takes it
// anywhere.
func (r *Rules) On(t step.Type, s step.State, e step.Event) (step.State, bool) {
	to, ok := r.events[eventCell{t, s, e}]
	return to, ok
}

// Enters returns the state that a step of type t takes on entry, or 0 if there are no such
// steps.
func (r *Rules) Enters(t step.Type) step.State {
	return r.events[eventCell{t, step.Pending, step.Entered}]
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

// Known reports whether code is legal anywhere at all: if not, there is no such code.
func (r *Rules) Known(code operation.Code) bool { return r.ofCode[code] > 0 }

// Applies reports whether code is legal on a step of type t in any state.
func (r *Rules) Applies(t step.Type, code operation.Code) bool {
	return r.ofType[codeOfType{t, code}] > 0
}
