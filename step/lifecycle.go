package step

import (
	"fmt"
	"slices"
)

// THE STEP TYPES AND THEIR LIFECYCLES. The course of a step when no person
// interferes: one row per event, the states it is met in, and where it leads.
// The operations of people are in the table of package operation.

var kinds = []Kind{
	{Type: Script, Title: "script execution", Lifecycle: executed},
	{Type: FileTransfer, Title: "file transfer", Lifecycle: executed},
	{Type: Confirmation, Title: "manual confirmation", Lifecycle: confirmed},
	{Type: SQL, Title: "SQL execution", Lifecycle: executed},
}

// executed is the lifecycle of a step that an executor runs: the report table.
var executed = []Transition{ // cause, from, to, do
	{Entered, StatesOf(Pending), Running, Enter},
	{Opened, StatesOf(Gated), Running, Open},
	{AllSucceeded, StatesOf(Running), Succeeded, Accept},
	{SomeFailed, StatesOf(Running), Failed, End},
	{FailedAgain, StatesOf(Running), Running, RunDue},
	{FailuresIgnored, StatesOf(Running), ErrorIgnored, Accept},
	{Stopped, StatesOf(Running), Terminated, End}, // unasked
	{Broke, StatesOf(Running), Abnormal, End},
	{Dropped, StatesOf(Running, Terminating), Abandoned, End},
	{Expired, StatesOf(Running, Gated), Abnormal, End},
	{JobExpired, StatesOf(Running), Terminating, Stop},
	{JobExpired, StatesOf(Gated), Terminated, End},
	{AllSucceeded, StatesOf(Terminating), Terminated, End}, // a stop is never lost,
	{SomeFailed, StatesOf(Terminating), Terminated, End},   // whatever the attempt
	{FailedAgain, StatesOf(Terminating), Terminated, End},
	{FailuresIgnored, StatesOf(Terminating), Terminated, End},
	{Stopped, StatesOf(Terminating), Terminated, End}, // still brings about
	{Broke, StatesOf(Terminating), Terminated, End},
	{Expired, StatesOf(Terminating), Terminated, End},
}

// confirmed is the lifecycle of a step that asks a person. It takes no report.
var confirmed = []Transition{
	{Entered, StatesOf(Pending), Waiting, Enter},
	{Opened, StatesOf(Gated), Waiting, Open},
	{Expired, StatesOf(Waiting, Gated), ConfirmationTerminated, End},
	{ExpiredConfirmed, StatesOf(Waiting, Gated), Succeeded, Pass}, // the definition decides, without votes
	{JobExpired, StatesOf(Waiting, Gated), Terminated, End},
}

// A Transition is one row of a lifecycle or of a machine.
type Transition struct {
	Cause Cause  `json:"cause"` // moves the step
	From  States `json:"from"`  // in which the row applies
	To    State  `json:"to"`    // the step's next state, unless Do.Instead applies
	Do    Do     `json:"do"`    // the consequence
}

// A Kind declares a step type: its title and its lifecycle.
type Kind struct {
	Type      Type         `json:"type"`      // its number and stable name
	Title     string       `json:"title"`     // for people
	Lifecycle []Transition `json:"lifecycle"` // one row per event; Check says which are required
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

// Check returns what is wrong with k, or nil. It checks k alone; [NewMachine] checks its
// transitions.
//
// The lifecycle of a step that runs has a row for every report and for the deadline, from
// Running and from Terminating; that of a step that asks has rows for its deadline. Each of these
// rows ends the attempt, and none passes a step that was told to stop. Failures that the step's Retry
// answers begin the next attempt from Running. Both kinds have rows for what ends a gate, and
// for the deadline of the job.
func (k Kind) Check() error {
	if !k.Type.Valid() {
		return fmt.Errorf("step type %d: not declared; 32 to 63 are for embedders", k.Type)
	}
	enters := k.Enters()
	required, ok := events[enters]
	if !ok {
		return fmt.Errorf("step type %v: on entry it must go from pending to running or waiting, not to %v", k.Type, enters)
	}
	covered := map[Cause]States{}
	for _, row := range k.Lifecycle {
		covered[row.Cause] = covered[row.Cause].Union(row.From)
		if err := k.checkRow(row, required[row.Cause]); err != nil {
			return fmt.Errorf("step type %v: %w", k.Type, err)
		}
		if err := row.Do.check(enters, row.From, row.To, true); err != nil {
			return fmt.Errorf("step type %v: event %v: %w", k.Type, row.Cause, err)
		}
	}
	for _, e := range AllCauses() {
		if missing := required[e].Minus(covered[e]); !missing.Empty() {
			return fmt.Errorf("step type %v: event %v leads nowhere from %v", k.Type, e, missing)
		}
	}
	return nil
}

// Completed returns k with the documented rows for gates, automatic retries and the deadline of the job if
// it has none of them, as kinds of version 0.1 have not. The rows that it has stay as they are, and k
// shares no memory with the result.
func (k Kind) Completed() Kind {
	k.Lifecycle = slices.Clone(k.Lifecycle)
	model := executed
	if k.Enters() == Waiting {
		model = confirmed
	}
	added := func(row Transition) bool {
		return row.Cause == Opened || row.Cause == FailedAgain || row.Cause == JobExpired || row.From.Has(Gated)
	}
	if k.Enters() == 0 || slices.ContainsFunc(k.Lifecycle, added) {
		return k
	}
	for _, row := range model {
		if !added(row) {
			continue
		}
		if row.Cause == Expired || row.Cause == ExpiredConfirmed {
			row.From = StatesOf(Gated)
		}
		k.Lifecycle = append(k.Lifecycle, row)
	}
	return k
}

// events are, by the state that a kind enters, the events that it must have a row for, and where.
var events = map[State]map[Cause]States{
	Running: {
		Entered:         StatesOf(Pending),
		Opened:          StatesOf(Gated),
		AllSucceeded:    StatesOf(Running, Terminating),
		SomeFailed:      StatesOf(Running, Terminating),
		FailuresIgnored: StatesOf(Running, Terminating),
		FailedAgain:     StatesOf(Running, Terminating),
		Stopped:         StatesOf(Running, Terminating),
		Broke:           StatesOf(Running, Terminating),
		Dropped:         StatesOf(Running, Terminating),
		Expired:         StatesOf(Running, Terminating, Gated),
		JobExpired:      StatesOf(Running, Gated),
	},
	Waiting: {
		Entered:          StatesOf(Pending),
		Opened:           StatesOf(Gated),
		Expired:          StatesOf(Waiting, Gated),
		ExpiredConfirmed: StatesOf(Waiting, Gated),
		JobExpired:       StatesOf(Waiting, Gated),
	},
}

// begins are the events that begin an attempt, and the consequence that each must have then.
var begins = map[Cause]Do{Entered: Enter, Opened: Open, FailedAgain: RunDue}

// checkRow returns what is wrong with a row whose event may happen in some states, or nil.
func (k Kind) checkRow(row Transition, happens States) error {
	do, begin := begins[row.Cause]
	begin = begin && !row.From.Has(Terminating)
	switch {
	case !row.Cause.IsEvent() || !row.Cause.Valid():
		return fmt.Errorf("%v is not an event", row.Cause)
	case !row.From.Minus(happens).Empty():
		return fmt.Errorf("event %v does not happen in %v", row.Cause, row.From)
	case begin && row.Do != do:
		return fmt.Errorf("event %v must lead on with %v, not with %v", row.Cause, do, row.Do)
	case begin:
		return nil
	case row.Cause == JobExpired && row.To.Passed():
		return fmt.Errorf("event %v leads to %v, and a job whose time is over would go on", row.Cause, row.To)
	case !row.To.Finished() && !(row.Cause == JobExpired && row.Do == Stop):
		return fmt.Errorf("event %v ends an attempt, it cannot lead to %v", row.Cause, row.To)
	case row.From.Has(Terminating) && row.To.Passed():
		return fmt.Errorf("event %v leads from terminating to %v, and the stop is lost", row.Cause, row.To)
	case row.Do == Vote:
		return fmt.Errorf("event %v is not a person's, and cannot vote", row.Cause)
	}
	return nil
}
