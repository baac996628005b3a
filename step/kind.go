package step

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/internal/enum"
)

// THE STEP TYPES AND THEIR LIFECYCLES. The course of a step when no person
// interferes: one row per event, the states it is met in, and where it leads.
// What people may do beside it is the table of package operation.

var kinds = []Kind{
	{Type: Script, Title: "script execution", Lifecycle: executed},
	{Type: FileTransfer, Title: "file transfer", Lifecycle: executed},
	{Type: Confirmation, Title: "manual confirmation", Lifecycle: confirmed},
	{Type: SQL, Title: "SQL execution", Lifecycle: executed},
}

// executed is the lifecycle of a step that an executor runs: the report table.
var executed = []Row{
	{Entered, StatesOf(Pending), Running},
	{AllSucceeded, StatesOf(Running), Succeeded},
	{SomeFailed, StatesOf(Running), Failed},
	{FailuresIgnored, StatesOf(Running), ErrorIgnored},
	{Stopped, StatesOf(Running), Terminated}, // unasked
	{Broke, StatesOf(Running), Abnormal},
	{Dropped, StatesOf(Running, Terminating), Abandoned},
	{Expired, StatesOf(Running), Abnormal},
	{AllSucceeded, StatesOf(Terminating), Terminated}, // a stop is never lost,
	{SomeFailed, StatesOf(Terminating), Terminated},   // whatever the attempt
	{FailuresIgnored, StatesOf(Terminating), Terminated},
	{Stopped, StatesOf(Terminating), Terminated}, // still brings about
	{Broke, StatesOf(Terminating), Terminated},
	{Expired, StatesOf(Terminating), Terminated},
}

// confirmed is the lifecycle of a step that asks a person. It takes no report.
var confirmed = []Row{
	{Entered, StatesOf(Pending), Waiting},
	{Expired, StatesOf(Waiting), ConfirmationTerminated},
	{ExpiredConfirmed, StatesOf(Waiting), Succeeded},
}

// An Event moves a step along without a person.
type Event uint8

const (
	Entered          Event = 1 // the step before has passed, or the job was started
	AllSucceeded     Event = 2 // the last due target finished, and every target has succeeded
	SomeFailed       Event = 3 // the last due target finished, and some have failed
	FailuresIgnored  Event = 4 // the same, on a step that is defined to ignore errors
	Stopped          Event = 5 // the executor has stopped the attempt
	Broke            Event = 6 // the executor broke: the attempt's outcome is not known
	Dropped          Event = 7 // the executor dropped the step for good
	Expired          Event = 8 // the deadline has passed
	ExpiredConfirmed Event = 9 // the deadline has passed, on a step whose definition then confirms
)

var eventNames = enum.New("event",
	enum.Entry[Event]{Value: Entered, Name: "entered"},
	enum.Entry[Event]{Value: AllSucceeded, Name: "all_succeeded"},
	enum.Entry[Event]{Value: SomeFailed, Name: "some_failed"},
	enum.Entry[Event]{Value: FailuresIgnored, Name: "failures_ignored"},
	enum.Entry[Event]{Value: Stopped, Name: "stopped"},
	enum.Entry[Event]{Value: Broke, Name: "abnormal"},
	enum.Entry[Event]{Value: Dropped, Name: "abandoned"},
	enum.Entry[Event]{Value: Expired, Name: "expired"},
	enum.Entry[Event]{Value: ExpiredConfirmed, Name: "expired_confirmed"},
)

// AllEvents returns every declared event in ascending order.
func AllEvents() []Event { return eventNames.All() }

// ParseEvent reads an event's name or number.
func ParseEvent(s string) (Event, error) { return eventNames.Parse(s) }

// Valid reports whether e is declared.
func (e Event) Valid() bool { return eventNames.Known(e) }

func (e Event) String() string { return eventNames.String(e) }

// MarshalText returns the stable name of e, or empty text for the zero Event. An unknown Event
// marshals as it prints, and does not unmarshal.
func (e Event) MarshalText() ([]byte, error) { return eventNames.MarshalText(e) }

// UnmarshalText accepts what [ParseEvent] accepts, and empty text for the zero Event.
func (e *Event) UnmarshalText(text []byte) (err error) {
	*e, err = eventNames.UnmarshalText(text)
	return err
}

// Label returns how a [Machine] knows e.
func (e Event) Label() Label { return eventLabels + Label(e) }

// A Row is one line of a lifecycle: on this event, a step in one of these
// states goes to that one.
type Row struct {
	On   Event  `json:"on"`
	From States `json:"from"`
	To   State  `json:"to"`
}

// A Kind declares a step type: its lifecycle, and what it is called.
type Kind struct {
	Type      Type   `json:"type"`
	Title     string `json:"title"` // for people; its stable name is that of Type
	Lifecycle []Row  `json:"lifecycle"`
}

// Kinds returns the documented step types. The caller owns the result.
func Kinds() []Kind {
	own := slices.Clone(kinds)
	for i := range own {
		own[i].Lifecycle = slices.Clone(own[i].Lifecycle)
	}
	return own
}

// Enters returns the state that a step of this kind takes on entry: Running for
// a step that runs on targets, Waiting for one that asks a person.
func (k Kind) Enters() State {
	for _, row := range k.Lifecycle {
		if row.On == Entered && row.From.Has(Pending) {
			return row.To
		}
	}
	return 0
}

// Check returns an error that says what is wrong with k, or nil. It covers what
// concerns k alone; [NewMachine] covers its transitions.
//
// A step that runs must say what every report and the deadline lead to, from
// Running and from Terminating; a step that asks, what its deadline leads to. All
// of them end the attempt, and none passes a step that was told to stop.
func (k Kind) Check() error {
	if !k.Type.Valid() {
		return fmt.Errorf("step type %d: not declared; 32 to 63 are for embedders", k.Type)
	}
	states, events := StatesOf(Waiting), []Event{Expired, ExpiredConfirmed}
	switch enters := k.Enters(); enters {
	case Waiting:
	case Running:
		states, events = StatesOf(Running, Terminating), []Event{AllSucceeded, SomeFailed, FailuresIgnored, Stopped, Broke, Dropped, Expired}
	default:
		return fmt.Errorf("step type %v: on entry it must go from pending to running or waiting, not to %v", k.Type, enters)
	}
	covered := map[Event]States{}
	for _, row := range k.Lifecycle {
		covered[row.On] = covered[row.On].Union(row.From)
		switch {
		case !row.On.Valid():
			return fmt.Errorf("step type %v: unknown event %d", k.Type, row.On)
		case row.On == Entered && row.From != StatesOf(Pending):
			return fmt.Errorf("step type %v: it is entered from pending only, not from %v", k.Type, row.From)
		case row.On == Entered:
		case !slices.Contains(events, row.On) || !row.From.Minus(states).Empty():
			return fmt.Errorf("step type %v: event %v does not happen in %v", k.Type, row.On, row.From)
		case !row.To.Finished():
			return fmt.Errorf("step type %v: event %v ends an attempt, it cannot lead to %v", k.Type, row.On, row.To)
		case row.From.Has(Terminating) && row.To.Passed():
			return fmt.Errorf("step type %v: event %v leads from terminating to %v, and the stop is lost", k.Type, row.On, row.To)
		}
	}
	for _, e := range events {
		if missing := states.Minus(covered[e]); !missing.Empty() {
			return fmt.Errorf("step type %v: event %v leads nowhere from %v", k.Type, e, missing)
		}
	}
	return nil
}

// Transitions returns k's lifecycle as the rows of a [Machine].
func (k Kind) Transitions() []Transition {
	ts := make([]Transition, len(k.Lifecycle))
	for i, row := range k.Lifecycle {
		ts[i] = Transition{Label: row.On.Label(), Name: row.On.String(), From: row.From, To: row.To}
	}
	return ts
}
