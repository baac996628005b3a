package operation

import (
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
)

// A Code is an operation on a step. The numbers are the wire values and never
// change; 32 to 63 belong to embedders and print as "custom-32".
type Code uint8

const (
	RetryFailed           Code = 2  // run again what has not succeeded
	IgnoreError           Code = 3  // go on although targets failed
	Confirm               Code = 6  // let the job go on
	RetryAll              Code = 8  // run again on every target
	TerminateConfirmation Code = 9  // refuse: the job ends
	RestartConfirmation   Code = 10 // ask the confirmers again
	NextStep              Code = 11 // go on from a step that was stopped
	ForcedSkip            Code = 12 // go on without waiting for the stop
)

// A JobCode is an operation on a job. Step code 2 and job code 2 are not the
// same thing, so the two have different types and different names.
type JobCode uint8

const (
	TerminateJob JobCode = 1 // stop what runs; the job ends
	StartJob     JobCode = 2 // enter the first step
)

// THE LEGALITY TABLE. A code is legal on a step of these types in these states,
// leads there, and is guarded so. What follows from a state is the same for every
// row: running starts the next attempt, waiting asks the confirmers, a state that
// has passed enters the next step or ends the job succeeded, terminating tells
// the executor to stop, and any other ends the job in that state.
//
// Forced skip is legal in terminating, because a stop that is never acknowledged
// must have a way out, and in terminated, because the acknowledgement may arrive
// while the operator is reaching for the button.

var rows = []Row{ // code, on, from, to, guard
	{RetryFailed, work, in(step.Failed, step.Abnormal, step.Terminated), step.Running, DueOnly},
	{IgnoreError, work, in(step.Failed, step.Abnormal), step.ErrorIgnored, Unguarded},
	{Confirm, asks, in(step.Waiting), step.Succeeded, ConfirmerOnly},
	{RetryAll, work, in(step.Failed, step.Abnormal, step.Terminated), step.Running, Unguarded},
	{TerminateConfirmation, asks, in(step.Waiting), step.ConfirmationTerminated, ConfirmerOnly},
	{RestartConfirmation, asks, in(step.ConfirmationTerminated), step.Waiting, Unguarded},
	{NextStep, work, in(step.Terminated), step.Skipped, Unguarded},
	{ForcedSkip, work, in(step.Terminating, step.Terminated), step.Skipped, Unguarded},
}

var jobRows = []JobRow{ // code, current step's type, its state and so the job's, where it goes
	{TerminateJob, work, in(step.Running), step.Terminating},
	{TerminateJob, asks, in(step.Waiting), step.Terminated},
	{StartJob, work, in(step.Pending), step.Running},
	{StartJob, asks, in(step.Pending), step.Waiting},
}

var (
	work = step.TypesOf(step.Script, step.FileTransfer, step.SQL)
	asks = step.TypesOf(step.Confirmation)
	in   = step.StatesOf
)

// A Row is one line of the legality table of steps.
type Row struct {
	Code  Code        `json:"code"`
	On    step.Types  `json:"on"`   // the types that it applies to
	From  step.States `json:"from"` // the states in which it is legal
	To    step.State  `json:"to"`   // where the step goes
	Guard Guard       `json:"guard"`
}

// A JobRow is one line of the legality table of jobs. The state of a job that has
// not ended is that of its current step, so a row says what becomes of both.
type JobRow struct {
	Code JobCode     `json:"code"`
	On   step.Types  `json:"on"` // the types of the current step
	From step.States `json:"from"`
	To   step.State  `json:"to"`
}

// A Guard is what an operation asks for beyond the right type and state.
type Guard uint8

const (
	Unguarded     Guard = 0 // nothing
	DueOnly       Guard = 1 // a target that has not succeeded; the next attempt runs only such targets
	ConfirmerOnly Guard = 2 // a person on the step's list of confirmers, if it has one
)

var codeNames = enum.Open("operation code",
	enum.Entry[Code]{Value: RetryFailed, Name: "retry_failed"},
	enum.Entry[Code]{Value: IgnoreError, Name: "ignore_error"},
	enum.Entry[Code]{Value: Confirm, Name: "confirm"},
	enum.Entry[Code]{Value: RetryAll, Name: "retry_all"},
	enum.Entry[Code]{Value: TerminateConfirmation, Name: "terminate_confirmation"},
	enum.Entry[Code]{Value: RestartConfirmation, Name: "restart_confirmation"},
	enum.Entry[Code]{Value: NextStep, Name: "next_step"},
	enum.Entry[Code]{Value: ForcedSkip, Name: "forced_skip"},
)

var jobCodeNames = enum.New("job operation code",
	enum.Entry[JobCode]{Value: TerminateJob, Name: "terminate_job"},
	enum.Entry[JobCode]{Value: StartJob, Name: "start_job"},
)

var guardNames = enum.New("guard",
	enum.Entry[Guard]{Value: Unguarded, Name: "none"},
	enum.Entry[Guard]{Value: DueOnly, Name: "due_only"},
	enum.Entry[Guard]{Value: ConfirmerOnly, Name: "confirmer_only"},
)

// Codes is a set of operation codes.
type Codes = step.Set[Code]

// CodesOf returns the set of the given codes.
func CodesOf(codes ...Code) Codes { return step.SetOf(codes...) }

// JobCodes is a set of operation codes of a job.
type JobCodes = step.Set[JobCode]

// JobCodesOf returns the set of the given codes.
func JobCodesOf(codes ...JobCode) JobCodes { return step.SetOf(codes...) }

// AllCodes returns every documented code in ascending order.
func AllCodes() []Code { return codeNames.All() }

// ParseCode reads a code's name or number.
func ParseCode(s string) (Code, error) { return codeNames.Parse(s) }

// Valid reports whether c is documented or belongs to embedders. Whether a rule
// set has rows for it is [Rules.Codes]' business.
func (c Code) Valid() bool { return codeNames.Known(c) }

func (c Code) String() string { return codeNames.String(c) }

// MarshalText returns the stable name of c, or empty text for the zero Code. An unknown Code
// marshals as it prints, and does not unmarshal.
func (c Code) MarshalText() ([]byte, error) { return codeNames.MarshalText(c) }

// UnmarshalText accepts what [ParseCode] accepts, and empty text for the zero Code.
func (c *Code) UnmarshalText(text []byte) (err error) {
	*c, err = codeNames.UnmarshalText(text)
	return err
}

// Label returns how a [step.Machine] knows c.
func (c Code) Label() step.Label { return step.Label(c) }

// AllJobCodes returns every job code in ascending order.
func AllJobCodes() []JobCode { return jobCodeNames.All() }

// ParseJobCode reads a job code's name or number.
func ParseJobCode(s string) (JobCode, error) { return jobCodeNames.Parse(s) }

// Valid reports whether c is declared.
func (c JobCode) Valid() bool { return jobCodeNames.Known(c) }

func (c JobCode) String() string { return jobCodeNames.String(c) }

// MarshalText returns the stable name of c, or empty text for the zero JobCode. An unknown JobCode
// marshals as it prints, and does not unmarshal.
func (c JobCode) MarshalText() ([]byte, error) { return jobCodeNames.MarshalText(c) }

// UnmarshalText accepts what [ParseJobCode] accepts, and empty text for the zero JobCode.
func (c *JobCode) UnmarshalText(text []byte) (err error) {
	*c, err = jobCodeNames.UnmarshalText(text)
	return err
}

// Label returns how a [step.Machine] knows c.
func (c JobCode) Label() step.Label { return step.JobLabel(uint8(c)) }

// Valid reports whether g is declared.
func (g Guard) Valid() bool { return guardNames.Known(g) }

func (g Guard) String() string { return guardNames.String(g) }

// MarshalText returns the stable name of g. An unknown Guard marshals as it prints, and does
// not unmarshal.
func (g Guard) MarshalText() ([]byte, error) { return guardNames.MarshalText(g) }

// UnmarshalText reads what MarshalText writes, or a number.
func (g *Guard) UnmarshalText(text []byte) (err error) {
	*g, err = guardNames.UnmarshalText(text)
	return err
}
