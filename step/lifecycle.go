package step

import (
	"fmt"
	"slices"
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
var executed = []Transition{ // cause, from, to, do
	{Entered, StatesOf(Pending), Running, Enter},
	{AllSucceeded, StatesOf(Running), Succeeded, Accept},
	{SomeFailed, StatesOf(Running), Failed, End},
	{FailuresIgnored, StatesOf(Running), ErrorIgnored, Accept},
	{Stopped, StatesOf(Running), Terminated, End}, // unasked
	{Broke, StatesOf(Running), Abnormal, End},
	{Dropped, StatesOf(Running, Terminating), Abandoned, End},
	{Expired, StatesOf(Running), Abnormal, End},
	{AllSucceeded, StatesOf(Terminating), Terminated, End}, // a stop is never lost,
	{SomeFailed, StatesOf(Terminating), Terminated, End},   // whatever the attempt
	{FailuresIgnored, StatesOf(Terminating), Terminated, End},
	{Stopped, StatesOf(Terminating), Terminated, End}, // still brings about
	{Broke, StatesOf(Terminating), Terminated, End},
	{Expired, StatesOf(Terminating), Terminated, End},
}

// confirmed is the lifecycle of a step that asks a person. It takes no report.
var confirmed = []Transition{
	{Entered, StatesOf(Pending), Waiting, Enter},
	{Expired, StatesOf(Waiting), ConfirmationTerminated, End},
	{ExpiredConfirmed, StatesOf(Waiting), Succeeded, Pass}, // the definition decides, without votes
}

// A Transition is one row of a lifecycle or of a machine: on this cause, a step in one of these
// states goes to that one, and this follows.
type Transition struct {
	Cause Cause  `json:"cause"`
	From  States `json:"from"`
	To    State  `json:"to"`
	Do    Do     `json:"do"`
}

// A Kind declares a step type: its lifecycle, and what it is called.
type Kind struct {
	Type      Type         `json:"type"`
	Title     string       `json:"title"` // for people; its stable name is that of Type
	Lifecycle []Transition `json:"lifecycle"`
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
		if row.Cause == Entered && row.From.Has(Pending) {
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
	enters := k.Enters()
	states, events := StatesOf(Waiting), []Cause{Expired, ExpiredConfirmed}
	switch enters {
	case Waiting:
	case Running:
		states, events = StatesOf(Running, Terminating), []Cause{AllSucceeded, SomeFailed, FailuresIgnored, Stopped, Broke, Dropped, Expired}
	default:
		return fmt.Errorf("step type %v: on entry it must go from pending to running or waiting, not to %v", k.Type, enters)
	}
	covered := map[Cause]States{}
	for _, row := range k.Lifecycle {
		covered[row.Cause] = covered[row.Cause].Union(row.From)
		switch {
		case !row.Cause.IsEvent() || !row.Cause.Valid():
			return fmt.Errorf("step type %v: %v is not an event", k.Type, row.Cause)
		case row.Cause == Entered && (row.From != StatesOf(Pending) || row.Do != Enter):
			return fmt.Errorf("step type %v: entered must lead from pending with enter, not from %v with %v", k.Type, row.From, row.Do)
		case row.Cause == Entered:
		case !slices.Contains(events, row.Cause) || !row.From.Minus(states).Empty():
			return fmt.Errorf("step type %v: event %v does not happen in %v", k.Type, row.Cause, row.From)
		case !row.To.Finished():
			return fmt.Errorf("step type %v: event %v ends an attempt, it cannot lead to %v", k.Type, row.Cause, row.To)
		case row.From.Has(Terminating) && row.To.Passed():
			return fmt.Errorf("step type %v: event %v leads from terminating to %v, and the stop is lost", k.Type, row.Cause, row.To)
		case row.Do == Vote:
			return fmt.Errorf("step type %v: event %v is not a person's, and cannot vote", k.Type, row.Cause)
		}
		if err := row.Do.check(enters, row.From, row.To, true); err != nil {
			return fmt.Errorf("step type %v: event %v: %w", k.Type, row.Cause, err)
		}
	}
	for _, e := range events {
		if missing := states.Minus(covered[e]); !missing.Empty() {
			return fmt.Errorf("step type %v: event %v leads nowhere from %v", k.Type, e, missing)
		}
	}
	return nil
}
