package operation

import (
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
)

// THE LEGALITY TABLE. A cause is legal on a step of these types in these states,
// leads there when nothing is in the way, is followed by this, and is guarded so.
//
// Forced skip is legal in terminating, because a stop that is never acknowledged
// must have a way out, and in terminated, because the acknowledgement may arrive
// while the operator is reaching for the button.

var rows = []Row{ // cause, on, from, to, do, guard
	{op(RetryFailed), work, in(step.Failed, step.Abnormal, step.Terminated), step.Running, step.RunDue, SomeDue},
	{op(IgnoreError), work, in(step.Failed, step.Abnormal), step.ErrorIgnored, step.Accept, Free},
	{op(Confirm), asks, in(step.Waiting), step.Succeeded, step.Vote, Approver},
	{op(RetryAll), work, in(step.Failed, step.Abnormal, step.Terminated), step.Running, step.RunAll, Free},
	{op(TerminateConfirmation), asks, in(step.Waiting), step.ConfirmationTerminated, step.End, Approver},
	{op(RestartConfirmation), asks, in(step.ConfirmationTerminated), step.Waiting, step.Ask, Free},
	{op(NextStep), work, in(step.Terminated), step.Skipped, step.Pass, Free},
	{op(ForcedSkip), work, in(step.Terminating, step.Terminated), step.Skipped, step.Pass, Free},

	{op(TerminateJob), work, in(step.Running), step.Terminating, step.Stop, Free},
	{op(TerminateJob), asks, in(step.Waiting), step.Terminated, step.End, Free},
	{op(StartJob), work, in(step.Pending), step.Running, step.Enter, Free},
	{op(StartJob), asks, in(step.Pending), step.Waiting, step.Enter, Free},
}

var (
	work = step.TypesOf(step.Script, step.FileTransfer, step.SQL)
	asks = step.TypesOf(step.Confirmation)
	in   = step.StatesOf
)

func op[C operation](code C) step.Cause { return code.Cause() }

// A Row is one line of the legality table. The cause of a step moves the step that it names,
// the cause of a job the job's current step, or, in a row for the whole job, no step.
type Row struct {
	Cause step.Cause  `json:"cause"`       // an operation on a step or a job
	On    step.Types  `json:"on"`          // the types that it applies to; empty for the whole job
	From  step.States `json:"from"`        // the states in which it is legal: the step's, or the job's in a row for the whole job
	To    step.State  `json:"to,omitzero"` // where the step goes when nothing is in the way; 0: no state moves
	Do    step.Do     `json:"do"`          // what follows
	Guard Guard       `json:"guard"`       // what it asks for before
}

// A Guard is what an operation asks for beyond the right type and state.
type Guard uint8

const (
	Free     Guard = 0 // nothing
	SomeDue  Guard = 1 // a target that has not succeeded
	Approver Guard = 2 // a person on the step's list of confirmers, if it has one
)

var guardNames = enum.New("guard", []enum.Entry[Guard]{
	{Value: Free, Name: "free", Old: "none"},
	{Value: SomeDue, Name: "some_due", Old: "due_only"},
	{Value: Approver, Name: "approver", Old: "confirmer_only"},
})

// Valid reports whether g is declared.
func (g Guard) Valid() bool { return guardNames.Known(g) }

func (g Guard) String() string { return guardNames.String(g) }

// MarshalText returns the stable name of g, or empty text for the zero Guard. An unknown Guard
// marshals as it prints, and does not unmarshal.
func (g Guard) MarshalText() ([]byte, error) { return guardNames.MarshalText(g) }

// UnmarshalText reads what MarshalText writes, or a number.
func (g *Guard) UnmarshalText(text []byte) error { return guardNames.UnmarshalText(g, text) }
