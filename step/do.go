package step

import (
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/internal/enum"
)

// A Do is the consequence of a row: what happens when the row takes effect. The row itself says
// when it applies. Package engine carries it out.
type Do uint8

const (
	Enter   Do = 1  // begin the first attempt, on all targets of the first batch, or ask
	RunDue  Do = 2  // begin an attempt on the targets that have not succeeded
	RunAll  Do = 3  // begin an attempt on all targets of the batch
	RunNext Do = 4  // begin an attempt on the next batch
	Ask     Do = 5  // ask the confirmers again, in a new attempt
	Open    Do = 6  // open the gate: do what the step was about to do
	Accept  Do = 7  // take the targets as they are: the next batch begins, or the step passes
	Vote    Do = 8  // count a vote: with the last missing vote the step passes
	Unvote  Do = 9  // take a vote back
	Pass    Do = 10 // leave the step: the next one is entered, or the job ends succeeded
	Stop    Do = 11 // tell the executor to stop the attempt
	End     Do = 12 // end the step, and the job with it
	Hold    Do = 13 // let nothing start
	Release Do = 14 // end the hold
	Seal    Do = 15 // make the job final: nothing but a comment is legal any more
	Note    Do = 16 // write the record, and nothing else
	Mark    Do = 17 // set a stop before the step
	Unmark  Do = 18 // clear it
)

var doNames = enum.New("consequence", []enum.Entry[Do]{
	{Value: Enter, Name: "enter"},
	{Value: RunDue, Name: "run_due"},
	{Value: RunAll, Name: "run_all"},
	{Value: RunNext, Name: "run_next"},
	{Value: Ask, Name: "ask"},
	{Value: Open, Name: "open"},
	{Value: Accept, Name: "accept"},
	{Value: Vote, Name: "vote"},
	{Value: Unvote, Name: "unvote"},
	{Value: Pass, Name: "pass"},
	{Value: Stop, Name: "stop"},
	{Value: End, Name: "end"},
	{Value: Hold, Name: "hold"},
	{Value: Release, Name: "release"},
	{Value: Seal, Name: "seal"},
	{Value: Note, Name: "note"},
	{Value: Mark, Name: "mark"},
	{Value: Unmark, Name: "unmark"},
})

// AllDos returns every declared Do in ascending order. The caller owns the result.
func AllDos() []Do { return doNames.All() }

// Valid reports whether d is declared.
func (d Do) Valid() bool { return doNames.Known(d) }

func (d Do) String() string { return doNames.String(d) }

// MarshalText returns the stable name of d, or empty text for the zero Do. An unknown Do
// marshals as it prints, and does not unmarshal.
func (d Do) MarshalText() ([]byte, error) { return doNames.MarshalText(d) }

// UnmarshalText accepts names, numbers, and empty text for the zero Do.
func (d *Do) UnmarshalText(text []byte) error { return doNames.UnmarshalText(d, text) }

// THE TABLE OF CONSEQUENCES. The conditions on a row with each Do: the steps that it is for, where
// it leads, where it may start, and where it may land instead: in gated if its start has to wait, in
// running if a batch is left, in waiting if votes are missing.

var dos = [...]struct {
	on      subject
	to      States // or as the subject says
	from    States
	instead States
	built   bool // if not, no row may have it yet
}{ //         on     to          from      instead   built
	Enter:   {entry, States{}, StatesOf(Pending), StatesOf(Gated), true},
	RunDue:  {work, StatesOf(Running), halted, StatesOf(Gated), true}, // and from Running, for an event
	RunAll:  {work, StatesOf(Running), halted, StatesOf(Gated), true},
	RunNext: {work, StatesOf(Running), halted, StatesOf(Gated), true},
	Ask:     {asks, StatesOf(Waiting), halted, StatesOf(Gated), true},
	Open:    {entry, States{}, StatesOf(Gated), StatesOf(Gated), true},
	Accept:  {work, passed, halted, StatesOf(Running, Gated), true}, // and from Running, for an event
	Vote:    {asks, passed, StatesOf(Waiting), StatesOf(Waiting), true},
	Unvote:  {asks, StatesOf(Waiting), StatesOf(Waiting), States{}, false},
	Pass:    {any, passed, unpassed, States{}, true},
	Stop:    {work, StatesOf(Terminating), StatesOf(Running), States{}, true},
	End:     {any, halted, unpassed, States{}, true}, // and not to where it starts
	Hold:    {whole, States{}, unpassed, States{}, true},
	Release: {whole, States{}, everywhere, States{}, true},
	Seal:    {whole, States{}, finished, States{}, true},
	Note:    {whole, States{}, everywhere, States{}, true},
	Mark:    {stays, States{}, StatesOf(Pending), States{}, true},
	Unmark:  {stays, States{}, StatesOf(Pending), States{}, true},
}

var (
	halted     = finished.Minus(passed) // ended, and not passed
	unpassed   = active.Union(halted).With(Pending)
	everywhere = unpassed.Union(passed)
)

// A subject says which steps a Do is for.
type subject uint8

const (
	work  subject = iota // steps that an executor runs
	asks                 // steps that ask a person
	any                  // steps of both kinds
	entry                // likewise, and it leads to what the kind enters
	stays                // steps of both kinds, and no state moves
	whole                // the job, and no state moves
)

// Whole reports whether a row with d is for the whole job and moves no step.
func (d Do) Whole() bool { return int(d) < len(dos) && dos[d].on == whole }

// Stays reports whether a row with d is for a step, wherever it stands in its job, and moves no
// state.
func (d Do) Stays() bool { return int(d) < len(dos) && dos[d].on == stays }

// Instead returns the states in which a row with d may land instead of where it leads.
func (d Do) Instead() States {
	if int(d) >= len(dos) {
		return States{}
	}
	return dos[d].instead
}

// check returns what is wrong with a row with d that leads from the states from to the state to,
// on a type that enters the state enters, or nil. Rows for the whole job have no type, and lead
// to 0.
func (d Do) check(enters State, from States, to State, event bool) error {
	if !d.Valid() {
		return fmt.Errorf("unknown consequence %d", d)
	}
	do := dos[d]
	mayStart := do.from
	if (d == Accept || d == RunDue) && event {
		mayStart = mayStart.With(Running)
	}
	switch {
	case !do.built:
		return fmt.Errorf("%v is not supported yet", d)
	case (enters == 0) != (do.on == whole):
		return fmt.Errorf("%v is %s", d, do.on)
	case do.on == work && enters != Running, do.on == asks && enters != Waiting:
		return fmt.Errorf("%v is %s, and this type enters %v", d, do.on, enters)
	case do.on == entry && to != enters:
		return fmt.Errorf("%v leads to %v, which this type enters, not to %v", d, enters, to)
	case (do.on == whole || do.on == stays) && to != 0:
		return fmt.Errorf("%v moves no state, and the row leads to %v", d, to)
	case do.on <= any && !do.to.Has(to):
		return fmt.Errorf("%v leads to %v, not to %v", d, do.to, to)
	case from.Empty():
		return errors.New("it starts in no state")
	case d == End && from.Has(to):
		return fmt.Errorf("it leads from %v to itself, and %v would end what has ended", to, d)
	case !from.Minus(mayStart).Empty():
		return fmt.Errorf("%v starts in %v, not in %v", d, mayStart, from.Minus(mayStart))
	}
	return nil
}

func (s subject) String() string {
	return [...]string{
		work: "for steps that run", asks: "for steps that ask", any: "for a step", entry: "for a step",
		stays: "for a step", whole: "for the whole job",
	}[s]
}

// Check returns what is wrong with an operation's row with d, or nil. enters is the state that the
// row's steps take on entry; 0 means a row for the whole job. from and to are the row's.
func (d Do) Check(enters State, from States, to State) error {
	return d.check(enters, from, to, false)
}
