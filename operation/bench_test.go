package operation_test

import (
	"testing"

	"github.com/looplab/fsm"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// question is one cell of the legality table.
type question struct {
	typ   step.Type
	state step.State
	code  operation.Code
}

func questions() []question {
	var all []question
	for _, typ := range operation.Standard().Types() {
		for _, s := range step.AllStates() {
			for _, code := range operation.AllCodes() {
				all = append(all, question{typ, s, code})
			}
		}
	}
	return all
}

// legalCells is the number of questions that are answered with yes: 11 for each of the
// three types that run, 3 for a confirmation.
const legalCells = 3*11 + 3

// What does one legality decision cost? All 384 cells in turn.
func BenchmarkMove(b *testing.B) {
	r, all := operation.Standard(), questions()
	legal, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		q := all[i]
		if _, ok := r.Move(q.typ, q.state, q.code.Cause()); ok {
			legal++
		}
		if i++; i == len(all) {
			i = 0
		}
	}
	checkCount(b, legal, len(all))
}

// What would it cost with a looplab/fsm machine of the same table for each type, kept
// and set to the state in question? Names and machines are looked up beforehand.
func BenchmarkLooplabCan(b *testing.B) {
	type query struct {
		machine     *fsm.FSM
		state, code string
	}
	r, machines := operation.Standard(), map[step.Type]*fsm.FSM{}
	for _, typ := range r.Types() {
		machines[typ] = r.Machine(typ).FSM(step.Pending)
	}
	var all []query
	for _, q := range questions() {
		all = append(all, query{machines[q.typ], q.state.String(), q.code.String()})
	}
	legal, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		q := all[i]
		q.machine.SetState(q.state)
		if q.machine.Can(q.code) {
			legal++
		}
		if i++; i == len(all) {
			i = 0
		}
	}
	checkCount(b, legal, len(all))
}

// checkCount fails a benchmark whose contender answered wrongly, and so keeps the
// compiler from leaving the answers out.
func checkCount(b *testing.B, legal, cells int) {
	b.Helper()
	rounds := b.N / cells
	if least, most := rounds*legalCells, (rounds+1)*legalCells; legal < least || legal > most {
		b.Errorf("%d of %d answers were yes, want %d to %d", legal, b.N, least, most)
	}
}
