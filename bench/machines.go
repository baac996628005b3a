package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/looplab/fsm"
	"github.com/qmuntal/stateless"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Every machine has the whole table of Stepgate's standard rules, the lifecycle and the
// operations of every step type, and stands on a confirmation, which goes to and fro between
// two states. Each caller has a machine of its own.

// moves are the two states of a confirmation in turn, and the operations between them.
var moves = [2]struct {
	from, to step.State
	code     operation.Code
}{
	{step.Waiting, step.ConfirmationTerminated, operation.TerminateConfirmation},
	{step.ConfirmationTerminated, step.Waiting, operation.RestartConfirmation},
}

// refused is an operation that no confirmation allows, in either of the states.
const refused = operation.RetryAll

// inCall is the number of transitions per call: the cost of the call itself is then small.
const inCall = 1024

// errWrong is the error of a machine that made a transition where it should refuse.
var errWrong = errors.New("the machine gave a wrong answer")

// A mover makes the i-th transition, from moves[i%2].from, or is refused there.
type mover func(ctx context.Context, i int) error

// calls returns an op whose call moves the caller's mover inCall times.
func calls(movers []mover) func(ctx context.Context, caller, n int) error {
	return func(ctx context.Context, caller, _ int) error {
		move := movers[caller]
		for i := range inCall {
			if err := move(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
}

// perCaller returns a mover for each caller.
func perCaller(callers int, one func() mover) []mover {
	all := make([]mover, callers)
	for i := range all {
		all[i] = one()
	}
	return all
}

// A cell is a state of a step of some type, and an operation on it.
type cell struct {
	typ   step.Type
	state step.State
	cause step.Cause
}

// cells returns the table as a map from each legal cell to the next state.
func cells() map[cell]step.State {
	all := map[cell]step.State{}
	for _, t := range operation.Standard().Types() {
		for _, tr := range operation.Standard().Machine(t).Transitions() {
			for from := range tr.From.All() {
				all[cell{t, from, tr.Cause}] = tr.To
			}
		}
	}
	return all
}

// dense is the table as an array. A look-up is a handful of instructions: the limit.
type dense [8][16][256]step.State

func denseTable() *dense {
	var d dense
	for c, to := range cells() {
		d[c.typ][c.state][c.cause] = to
	}
	return &d
}

// lookUps returns an op that looks the cells up in the table.
func (d *dense) lookUps(accept bool) func(ctx context.Context, caller, n int) error {
	codes := causes(accept)
	return func(context.Context, int, int) error {
		at := moves[0].from
		for i := range inCall {
			to := d[step.Confirmation][at][codes[i&1]]
			if (to != 0) != accept {
				return errWrong
			}
			if accept {
				at = to
			}
		}
		return nil
	}
}

// typedMap returns an op that looks the cells up in a map keyed by them.
func typedMap(accept bool) func(ctx context.Context, caller, n int) error {
	table, codes := cells(), causes(accept)
	return func(context.Context, int, int) error {
		at := moves[0].from
		for i := range inCall {
			to, ok := table[cell{step.Confirmation, at, codes[i&1]}]
			if ok != accept {
				return errWrong
			}
			if accept {
				at = to
			}
		}
		return nil
	}
}

// legal returns an op that asks Stepgate's compiled rules.
func legal(accept bool) func(ctx context.Context, caller, n int) error {
	rules, causes := operation.Standard(), causes(accept)
	return func(context.Context, int, int) error {
		at := moves[0].from
		for i := range inCall {
			move, ok := rules.Move(step.Confirmation, at, causes[i&1])
			if ok != accept {
				return errWrong
			}
			if accept {
				at = move.To
			}
		}
		return nil
	}
}

// codes returns the operations in the two states in turn.
func codes(accept bool) [2]operation.Code {
	if !accept {
		return [2]operation.Code{refused, refused}
	}
	return [2]operation.Code{moves[0].code, moves[1].code}
}

func causes(accept bool) [2]step.Cause {
	c := codes(accept)
	return [2]step.Cause{c[0].Cause(), c[1].Cause()}
}

// place names a state of a step of some type for machines that have one set of states.
func place(t step.Type, s step.State) string { return fmt.Sprintf("%v %v", t, s) }

// looplabEvents returns the table as looplab/fsm takes it.
func looplabEvents() fsm.Events {
	var events fsm.Events
	for _, t := range operation.Standard().Types() {
		for _, tr := range operation.Standard().Machine(t).Transitions() {
			event := fsm.EventDesc{Name: tr.Cause.String(), Dst: place(t, tr.To)}
			for from := range tr.From.All() {
				event.Src = append(event.Src, place(t, from))
			}
			events = append(events, event)
		}
	}
	return events
}

// looplab returns movers of looplab/fsm machines, which are created for each transition, or set to the
// state.
func looplab(callers int, reused, accept bool) []mover {
	events, codes := looplabEvents(), codes(accept)
	var from, names [2]string
	for i := range from {
		from[i], names[i] = place(step.Confirmation, moves[i].from), codes[i].String()
	}
	return perCaller(callers, func() mover {
		kept := fsm.NewFSM(from[0], events, nil)
		return func(ctx context.Context, i int) error {
			m := kept
			if reused {
				m.SetState(from[i&1])
			} else {
				m = fsm.NewFSM(from[i&1], events, nil)
			}
			err := m.Event(ctx, names[i&1])
			if accept || err == nil {
				return wrong(err, accept)
			}
			if _, ok := err.(fsm.InvalidEventError); !ok {
				return err
			}
			return nil
		}
	})
}

// wrong returns err, or errWrong if err is nil and should not be.
func wrong(err error, accept bool) error {
	if err == nil && !accept {
		return errWrong
	}
	return err
}

// statelessMachines returns movers of qmuntal/stateless machines, whose state lies in a variable
// outside of them, as a row of a database would.
func statelessMachines(callers int, accept bool) []mover {
	codes := codes(accept)
	var from, names [2]any
	for i := range from {
		from[i], names[i] = place(step.Confirmation, moves[i].from), codes[i].String()
	}
	return perCaller(callers, func() mover {
		var at any
		m := stateless.NewStateMachineWithExternalStorage(
			func(context.Context) (stateless.State, error) { return at, nil },
			func(_ context.Context, s stateless.State) error { at = s; return nil },
			stateless.FiringImmediate)
		for _, event := range looplabEvents() {
			for _, src := range event.Src {
				if src == event.Dst {
					m.Configure(src).PermitReentry(event.Name)
				} else {
					m.Configure(src).Permit(event.Name, event.Dst)
				}
			}
		}
		for i := range from {
			m.Configure(from[i]) // so that asking does not add it
		}
		return func(ctx context.Context, i int) error {
			at = from[i&1]
			err := m.FireCtx(ctx, names[i&1])
			if (err == nil) != accept || accept && at != from[1-i&1] {
				return errors.Join(errWrong, err)
			}
			return nil
		}
	})
}
