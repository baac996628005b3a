package operation

import "github.com/stepgate/stepgate/internal/enum"

// A Reason says why a request was refused. [AllReasons] has the order of
// precedence: the first that applies is given. A Reason is an error, so that
// errors.Is(err, operation.WrongState) asks for it; the refusal itself, with the
// state and what would be legal, is package engine's.
type Reason uint8

const (
	InvalidInput   Reason = 1  // a field of the request is not acceptable, whatever the job's state
	NoSuchJob      Reason = 2  // no job of this id, or none in this scope
	NoSuchStep     Reason = 3  // the job has no step of this id
	Denied         Reason = 4  // the authorizer did not admit the person
	RequestReused  Reason = 5  // the request id stands for a different request
	Stale          Reason = 6  // the job or the attempt has moved on since the caller looked
	WrongType      Reason = 7  // the code never applies to steps of this type
	NotCurrent     Reason = 8  // the step is not the job's current one
	WrongState     Reason = 9  // the code does not apply in this state
	NothingToRetry Reason = 10 // every target has succeeded already
	NotConfirmer   Reason = 11 // the person is not on the step's list of confirmers
	Sealed         Reason = 12 // the job is final: no operation is legal; it comes before WrongType
	Settled        Reason = 13 // the effect does not wait any more; it comes before Sealed
	Leased         Reason = 14 // a claim may hold the effect; it comes before Sealed
)

var reasonNames = enum.New("reason", []enum.Entry[Reason]{
	{Value: InvalidInput, Name: "invalid_input"},
	{Value: NoSuchJob, Name: "no_such_job"},
	{Value: NoSuchStep, Name: "no_such_step"},
	{Value: Denied, Name: "denied"},
	{Value: RequestReused, Name: "request_reused"},
	{Value: Stale, Name: "stale"},
	{Value: Settled, Name: "settled"},
	{Value: Leased, Name: "leased"},
	{Value: Sealed, Name: "sealed"},
	{Value: WrongType, Name: "wrong_type"},
	{Value: NotCurrent, Name: "not_current"},
	{Value: WrongState, Name: "wrong_state"},
	{Value: NothingToRetry, Name: "nothing_to_retry"},
	{Value: NotConfirmer, Name: "not_confirmer"},
})

// AllReasons returns every reason in the order of precedence.
func AllReasons() []Reason { return reasonNames.All() }

// ParseReason reads a reason's name or number.
func ParseReason(s string) (Reason, error) { return reasonNames.Parse(s) }

func (r Reason) String() string { return reasonNames.String(r) }

// Error returns the reason's name; it makes a Reason a sentinel for errors.Is.
func (r Reason) Error() string { return r.String() }

// MarshalText returns the stable name of r, or empty text for the zero Reason. An unknown Reason
// marshals as it prints, and does not unmarshal.
func (r Reason) MarshalText() ([]byte, error) { return reasonNames.MarshalText(r) }

// UnmarshalText accepts what [ParseReason] accepts, and empty text for the zero Reason.
func (r *Reason) UnmarshalText(text []byte) error { return reasonNames.UnmarshalText(r, text) }
