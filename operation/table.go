package operation

import (
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
)

// THE LEGALITY TABLE. Each row has a cause, the step types and the states in which it is legal,
// the state that it leads to when nothing is in the way, the consequence and the guard.
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
	{op(ForcedSkip), work, in(step.Gated, step.Terminating, step.Terminated), step.Skipped, step.Pass, Free},
	{op(Continue), work, in(step.Gated), step.Running, step.Open, Waivable},
	{op(Continue), asks, in(step.Gated), step.Waiting, step.Open, Waivable},
	{op(Continue), work, in(step.Terminated), step.Running, step.RunNext, BatchLeft},
	{op(StopBefore), steps, in(step.Pending), 0, step.Mark, Unmarked},
	{op(ClearStop), steps, in(step.Pending), 0, step.Unmark, Marked},

	{op(StartJob), work, in(step.Pending), step.Running, step.Enter, Free},
	{op(StartJob), asks, in(step.Pending), step.Waiting, step.Enter, Free},
	{op(TerminateJob), work, in(step.Running), step.Terminating, step.Stop, Free},
	{op(TerminateJob), asks, in(step.Waiting), step.Terminated, step.End, Free},
	{op(TerminateJob), steps, in(step.Pending, step.Gated), step.Terminated, step.End, Free},
	{op(ResumeJob), work, in(step.Gated), step.Running, step.Open, GatedByHold},
	{op(ResumeJob), asks, in(step.Gated), step.Waiting, step.Open, GatedByHold},
	{op(ResumeJob), whole, in(step.AllStates()...), 0, step.Release, Held},
	{op(HoldJob), whole, in(step.Pending, step.Running, step.Waiting, step.Gated, step.Terminating), 0, step.Hold, Unheld},
	{op(SealJob), whole, in(step.Failed, step.Abnormal, step.Terminated, step.ConfirmationTerminated), 0, step.Seal, Unfinal},
	{op(CommentJob), whole, in(step.AllStates()...), 0, step.Note, Free},
}

var (
	work  = step.TypesOf(step.Script, step.FileTransfer, step.SQL)
	asks  = step.TypesOf(step.Confirmation)
	steps = work.Union(asks)
	whole step.Types // the job
	in    = step.StatesOf
)

func op[C operation](code C) step.Cause { return code.Cause() }

// A Row is one line of the legality table. An operation on a step moves the step that it names. An
// operation on the job moves the job's current step, or no step in a row for the whole job: where a
// cause has both, the row for the whole job counts if the other does not apply.
type Row struct {
	Cause step.Cause  `json:"cause"`       // an operation on a step or a job
	On    step.Types  `json:"on"`          // the types that it applies to; empty for the whole job
	From  step.States `json:"from"`        // the states in which it is legal: the step's, or the job's in a row for the whole job
	To    step.State  `json:"to,omitzero"` // the step's next state when nothing is in the way; 0: no state moves
	Do    step.Do     `json:"do"`          // the consequence
	Guard Guard       `json:"guard"`       // the condition beyond type and state
}

// A Guard is the condition of an operation beyond the right type and state.
type Guard uint8

const (
	Free        Guard = 0  // no condition
	SomeDue     Guard = 1  // some target has not succeeded, else NothingToRetry
	Approver    Guard = 2  // the person is on the step's list of confirmers, if it has one, else NotConfirmer
	Waivable    Guard = 3  // the gate is one that a person may open, see step.GateReason, else OnHold or NoTurn
	GatedByHold Guard = 4  // the gate is one of the job's hold, else NotHeld
	Held        Guard = 5  // the job is on hold, else NotHeld
	Unheld      Guard = 6  // the job is not on hold, else OnHold
	BatchLeft   Guard = 7  // a batch of the step has not begun, else NoBatchLeft
	Marked      Guard = 8  // a stop is set before the step, else NoStop
	Unmarked    Guard = 9  // no stop is set before the step, else StopSet
	Unfinal     Guard = 10 // an operation can make the job go on, else Final
)

var guardNames = enum.New("guard", []enum.Entry[Guard]{
	{Value: Free, Name: "free", Old: "none"},
	{Value: SomeDue, Name: "some_due", Old: "due_only"},
	{Value: Approver, Name: "approver", Old: "confirmer_only"},
	{Value: Waivable, Name: "waivable"},
	{Value: GatedByHold, Name: "gated_by_hold"},
	{Value: Held, Name: "held"},
	{Value: Unheld, Name: "unheld"},
	{Value: BatchLeft, Name: "batch_left"},
	{Value: Marked, Name: "marked"},
	{Value: Unmarked, Name: "unmarked"},
	{Value: Unfinal, Name: "unfinal"},
})

// AllGuards returns every guard but Free in ascending order. The caller owns the result.
func AllGuards() []Guard { return guardNames.All()[1:] }

// Valid reports whether g is declared.
func (g Guard) Valid() bool { return guardNames.Known(g) }

func (g Guard) String() string { return guardNames.String(g) }

// MarshalText returns the stable name of g, or empty text for the zero Guard. An unknown Guard
// marshals as it prints, and does not unmarshal.
func (g Guard) MarshalText() ([]byte, error) { return guardNames.MarshalText(g) }

// UnmarshalText accepts names, numbers, and empty text for the zero Guard.
func (g *Guard) UnmarshalText(text []byte) error { return guardNames.UnmarshalText(g, text) }
