package step

import "github.com/stepgate/stepgate/internal/enum"

// A GateReason says what a gated step waits for. The reasons have an order: what opens a gate of
// one reason looks at the later ones again, and the step may wait on for one of them. A hold is
// looked at whenever a gate opens.
type GateReason uint8

const (
	NoGate     GateReason = 0 // the step is not gated
	PersonGate GateReason = 1 // a person: a stop before the step, or between two batches
	TimeGate   GateReason = 2 // a moment: a start time, a delay, the time between batches, the back-off of a retry
	HoldGate   GateReason = 3 // the end of the job's hold
	WindowGate GateReason = 4 // the step's window, which the engine's function of windows tells
	TurnGate   GateReason = 5 // a turn, which the jobs with the same key take one after the other
)

var gateNames = enum.New("gate reason", []enum.Entry[GateReason]{
	{Value: NoGate, Name: "none"},
	{Value: PersonGate, Name: "person"},
	{Value: TimeGate, Name: "time"},
	{Value: HoldGate, Name: "hold"},
	{Value: WindowGate, Name: "window"},
	{Value: TurnGate, Name: "turn"},
})

// AllGateReasons returns every reason in its order, without NoGate. The caller owns the result.
func AllGateReasons() []GateReason { return gateNames.All()[1:] }

// Valid reports whether r is declared.
func (r GateReason) Valid() bool { return gateNames.Known(r) }

func (r GateReason) String() string { return gateNames.String(r) }

// MarshalText returns the stable name of r, or empty text for NoGate. An unknown reason marshals as
// it prints, and does not unmarshal.
func (r GateReason) MarshalText() ([]byte, error) { return gateNames.MarshalText(r) }

// UnmarshalText accepts names, numbers, and empty text for NoGate.
func (r *GateReason) UnmarshalText(text []byte) error { return gateNames.UnmarshalText(r, text) }

// OfPerson reports whether a gate with r waits for a person, and not for a moment or a turn.
func (r GateReason) OfPerson() bool { return r == PersonGate || r == HoldGate }

// Waivable reports whether a person may open a gate with r before its time: not one of a hold, which
// a resume ends, and not one of a turn, which another job has.
func (r GateReason) Waivable() bool { return r == PersonGate || r == TimeGate || r == WindowGate }
