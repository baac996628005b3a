package step

import "github.com/stepgate/stepgate/internal/enum"

// A State is the state of a step or a job. A job's state mirrors that of its current step (see
// [State.OfJob]). The numbers are the wire values and never change; 8 and 12 are not used and
// unknown.
type State uint8

const (
	Pending                State = 1  // not started; the engine enters the step when the one before has passed
	Running                State = 2  // an attempt is out with an executor, whose reports end it
	Succeeded              State = 3  // every target succeeded, or a person confirmed
	Failed                 State = 4  // every target finished, not all of them with success; a person decides
	Skipped                State = 5  // a person continued the job without this step
	ErrorIgnored           State = 6  // failed, and a person or the step's definition ignored that
	Waiting                State = 7  // a person must confirm or refuse
	Abnormal               State = 9  // the attempt broke or its deadline passed, its outcome is unknown; a person decides
	Terminating            State = 10 // asked to stop, not stopped yet
	Terminated             State = 11 // stopped; on a script a person decides, on a confirmation it is final
	ConfirmationTerminated State = 13 // a person or the deadline refused; a person may ask again
	Abandoned              State = 14 // the executor dropped the step for good
	Gated                  State = 15 // a start waits, see GateReason; no attempt is under way
)

var stateNames = enum.New("state", []enum.Entry[State]{
	{Value: Pending, Name: "pending"},
	{Value: Running, Name: "running"},
	{Value: Succeeded, Name: "succeeded"},
	{Value: Failed, Name: "failed"},
	{Value: Skipped, Name: "skipped"},
	{Value: ErrorIgnored, Name: "error_ignored"},
	{Value: Waiting, Name: "waiting"},
	{Value: Abnormal, Name: "abnormal"},
	{Value: Terminating, Name: "terminating"},
	{Value: Terminated, Name: "terminated"},
	{Value: ConfirmationTerminated, Name: "confirmation_terminated"},
	{Value: Abandoned, Name: "abandoned"},
	{Value: Gated, Name: "gated"},
})

// The classes of states.
var (
	attempts = StatesOf(Running, Waiting, Terminating)
	active   = attempts.With(Gated)
	passed   = StatesOf(Succeeded, Skipped, ErrorIgnored)
	finished = StatesOf(Succeeded, Failed, Skipped, ErrorIgnored, Abnormal, Terminated, ConfirmationTerminated, Abandoned)
)

// AllStates returns every declared state in ascending order. The caller owns the result.
func AllStates() []State { return stateNames.All() }

// ParseState returns the state with a name or number. An unknown name or number is an error.
func ParseState(s string) (State, error) { return stateNames.Parse(s) }

// Valid reports whether s is declared.
func (s State) Valid() bool { return stateNames.Known(s) }

// Active reports whether a step in s is under way: an executor, a person or a moment moves it on.
// At most one step of a job is active.
func (s State) Active() bool { return active.Has(s) }

// Attempting reports whether an attempt is under way: an executor or a person must still answer.
// That is so in every active state but Gated.
func (s State) Attempting() bool { return attempts.Has(s) }

// Passed reports whether the job goes on to the next step from s.
func (s State) Passed() bool { return passed.Has(s) }

// Finished reports whether no attempt is under way and none follows without a person's operation. A finished
// job has ended; an operation may still make it run again.
func (s State) Finished() bool { return finished.Has(s) }

// OfJob returns the state of a job whose current step is in s; last says that the step is the
// job's last one. It is s itself, except for a step that has passed: then the job is Running, as
// the next step is entered in the same change, or Succeeded after the last step.
func (s State) OfJob(last bool) State {
	switch {
	case !s.Passed():
		return s
	case last:
		return Succeeded
	default:
		return Running
	}
}

func (s State) String() string { return stateNames.String(s) }

// MarshalText returns the stable name of s, or empty text for the zero State. An unknown State
// marshals as it prints, and does not unmarshal.
func (s State) MarshalText() ([]byte, error) { return stateNames.MarshalText(s) }

// UnmarshalText accepts what [ParseState] accepts, and empty text for the zero State.
func (s *State) UnmarshalText(text []byte) error { return stateNames.UnmarshalText(s, text) }

// States is a set of states.
type States = Set[State]

// StatesOf returns the set of the given states.
func StatesOf(states ...State) States { return SetOf(states...) }
