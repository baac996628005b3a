package operation

import "github.com/stepgate/stepgate/internal/enum"

// A Reason says why a request was refused: the first that applies, in the order of [AllReasons]. A
// Reason is an error, so that errors.Is(err, operation.WrongState) finds it. The refusal itself,
// with the state of the job and the legal operations, is a *engine.Refusal.
type Reason uint8

const (
	InvalidInput   Reason = 1  // a field of the request is invalid, whatever the job's state
	NoSuchJob      Reason = 2  // no job has this id, or none in this scope
	NoSuchStep     Reason = 3  // the job has no step with this id
	Denied         Reason = 4  // the authorizer denied the request
	RequestReused  Reason = 5  // an earlier request with this id was a different one
	Stale          Reason = 6  // the job or the attempt has moved on since the caller read it
	WrongType      Reason = 7  // the code never applies to steps of this type
	NotCurrent     Reason = 8  // the step is not the job's current one
	WrongState     Reason = 9  // the code does not apply in this state
	NothingToRetry Reason = 10 // every target has succeeded already
	NotConfirmer   Reason = 11 // the person is not on the step's list of confirmers
	Sealed         Reason = 12 // the job is sealed: nothing but a comment is legal; it comes before WrongType
	Settled        Reason = 13 // the effect does not wait for delivery any more; it comes before Sealed
	Leased         Reason = 14 // a claim holds the effect; it comes before Sealed
	OnHold         Reason = 15 // the job is on hold: already, or what it keeps from starting
	NotHeld        Reason = 16 // the job is not on hold
	NoTurn         Reason = 17 // other jobs have the turns that the job waits for
	NoBatchLeft    Reason = 18 // every batch of the step has begun
	StopSet        Reason = 19 // a stop is set before the step already
	NoStop         Reason = 20 // no stop is set before the step
	Final          Reason = 21 // the job has ended, and no operation makes it go on: there is nothing to seal
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
	{Value: OnHold, Name: "on_hold"},
	{Value: NotHeld, Name: "not_held"},
	{Value: NoTurn, Name: "no_turn"},
	{Value: NoBatchLeft, Name: "no_batch_left"},
	{Value: StopSet, Name: "stop_set"},
	{Value: NoStop, Name: "no_stop"},
	{Value: Final, Name: "final"},
})

// AllReasons returns every reason in the order of precedence. The caller owns the result.
func AllReasons() []Reason { return reasonNames.All() }

// ParseReason returns the reason with a name or number. An unknown name or number is an error.
func ParseReason(s string) (Reason, error) { return reasonNames.Parse(s) }

func (r Reason) String() string { return reasonNames.String(r) }

// Error returns the reason's name; it makes a Reason a sentinel for errors.Is.
func (r Reason) Error() string { return r.String() }

// MarshalText returns the stable name of r, or empty text for the zero Reason. An unknown Reason
// marshals as it prints, and does not unmarshal.
func (r Reason) MarshalText() ([]byte, error) { return reasonNames.MarshalText(r) }

// UnmarshalText accepts what [ParseReason] accepts, and empty text for the zero Reason.
func (r *Reason) UnmarshalText(text []byte) error { return reasonNames.UnmarshalText(r, text) }
