package engine

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An Awaits says what a job waits for. At each moment exactly one value holds.
type Awaits uint8

const (
	AwaitsNothing   Awaits = 1  // the job is final
	AwaitsStart     Awaits = 2  // a person starts it
	AwaitsDecision  Awaits = 3  // it has ended, and a person may make it go on, or seal it
	AwaitsConfirmer Awaits = 4  // a person confirms or refuses
	AwaitsContinue  Awaits = 5  // a person opens the gate
	AwaitsMoment    Awaits = 6  // the moment of the gate
	AwaitsResume    Awaits = 7  // a person ends the hold
	AwaitsWindow    Awaits = 8  // the step's window opens
	AwaitsTurn      Awaits = 9  // other jobs with its key end
	AwaitsSweep     Awaits = 10 // a process sweeps: a deadline, or the moment of the gate, has passed
	AwaitsClaim     Awaits = 11 // a process claims its run or its stop, which is due
	AwaitsNextTry   Awaits = 12 // the next delivery of its run or its stop: the last one failed
	AwaitsExecutor  Awaits = 13 // the executor that has claimed its run or its stop
	AwaitsReport    Awaits = 14 // a report: the run or the stop was handed over
)

var awaitsNames = enum.New("wait", []enum.Entry[Awaits]{
	{Value: AwaitsNothing, Name: "nothing"},
	{Value: AwaitsStart, Name: "start"},
	{Value: AwaitsDecision, Name: "decision"},
	{Value: AwaitsConfirmer, Name: "confirmer"},
	{Value: AwaitsContinue, Name: "continue"},
	{Value: AwaitsMoment, Name: "moment"},
	{Value: AwaitsResume, Name: "resume"},
	{Value: AwaitsWindow, Name: "window"},
	{Value: AwaitsTurn, Name: "turn"},
	{Value: AwaitsSweep, Name: "sweep"},
	{Value: AwaitsClaim, Name: "claim"},
	{Value: AwaitsNextTry, Name: "next_try"},
	{Value: AwaitsExecutor, Name: "executor"},
	{Value: AwaitsReport, Name: "report"},
})

// AllAwaits returns every value in ascending order. The caller owns the result.
func AllAwaits() []Awaits { return awaitsNames.All() }

// Valid reports whether a is declared.
func (a Awaits) Valid() bool { return awaitsNames.Known(a) }

func (a Awaits) String() string { return awaitsNames.String(a) }

// MarshalText returns the stable name of a, or empty text for the zero Awaits.
func (a Awaits) MarshalText() ([]byte, error) { return awaitsNames.MarshalText(a) }

// UnmarshalText accepts names, numbers, and empty text for the zero Awaits.
func (a *Awaits) UnmarshalText(text []byte) error { return awaitsNames.UnmarshalText(a, text) }

// Owed reports whether the machinery owes the next move, and not a person, an executor at work, or time:
// processes that sweep, claim or deliver. It is no news if it holds for a moment; if it lasts, such a
// process is missing, or fails.
func (a Awaits) Owed() bool { return a == AwaitsSweep || a == AwaitsClaim || a == AwaitsNextTry }

// A Diagnosis says what a job waits for, with evidence, and what leads on.
type Diagnosis struct {
	Job     store.JobID `json:"job"`     // that was diagnosed
	Version store.Seq   `json:"version"` // that the diagnosis is of
	State   step.State  `json:"state"`   // of the job
	Step    step.ID     `json:"step"`    // the current one
	Attempt int32       `json:"attempt"` // of the step

	Awaits Awaits    `json:"awaits"`         // what the job waits for
	Owed   bool      `json:"owed,omitzero"`  // the machinery owes the next move, see [Awaits.Owed]
	Since  step.Time `json:"since"`          // when this wait began, or earlier; at a gate the time of the last record
	Until  step.Time `json:"until,omitzero"` // the moment that ends it: of the gate, the deadline, the lease or the next try; zero for none

	Confirmers step.Names `json:"confirmers"` // of a step that asks; not set if the authorizer alone decides

	// The run or the stop that the step waits for; zero if that was settled.
	Effect    store.Seq `json:"effect,omitzero"`
	Claims    int32     `json:"claims,omitzero"`     // so far
	Failures  int32     `json:"failures,omitzero"`   // failed deliveries in a row
	LastError string    `json:"last_error,omitzero"` // of the last delivery, if it failed

	// Legal are the operations on the step and on the job that lead on, for a person whom the step's
	// confirmers and the authorizer admit; with step.GivenUp and step.Hurried, which are about Effect.
	Legal step.Causes `json:"legal"`
}

// Diagnose says what a job waits for, given a view of its current step, its unsettled effects and the time.
// It is pure.
func Diagnose(r *operation.Rules, v store.View, effects []store.Delivery, now step.Time) Diagnosis {
	job, s := &v.Job, &v.Step
	d := Diagnosis{Job: job.ID, Version: job.Version, State: job.State, Step: s.ID, Attempt: s.Attempt, Since: s.Started}
	d.Legal, d.Until = waysOut(r, &v), due(job, s)
	switch {
	case job.State == step.Pending:
		d.Awaits, d.Since = AwaitsStart, job.Created
	case job.State.Finished():
		if d.Awaits, d.Since = AwaitsDecision, job.Finished; job.Sealed || !goesOn(r, s) {
			d.Awaits = AwaitsNothing
		}
	case d.Until != 0 && d.Until <= now:
		d.Awaits, d.Since = AwaitsSweep, d.Until
	case s.State == step.Gated && v.Turn && s.Gate.Reason == step.TurnGate:
		d.Awaits, d.Since = AwaitsSweep, job.Updated
	case s.State == step.Gated:
		d.Awaits, d.Since = gates[s.Gate.Reason], job.Updated
	case s.State == step.Waiting:
		d.Awaits, d.Confirmers = AwaitsConfirmer, s.Confirmers
	default:
		d.deliver(s, effects, now)
	}
	d.Owed = d.Awaits.Owed()
	return d
}

// gates has what a step at a gate waits for, by the gate's reason.
var gates = map[step.GateReason]Awaits{
	step.PersonGate: AwaitsContinue, step.TimeGate: AwaitsMoment, step.HoldGate: AwaitsResume,
	step.WindowGate: AwaitsWindow, step.TurnGate: AwaitsTurn,
}

// deliver completes d for a step that runs or stops.
func (d *Diagnosis) deliver(s *store.Step, effects []store.Delivery, now step.Time) {
	d.Awaits = AwaitsReport
	kind := store.RunTargets
	if s.State == step.Terminating {
		kind = store.StopAttempt
	}
	for i := range effects {
		f := &effects[i]
		if f.Effect != kind || f.Step != s.ID || f.Attempt != s.Attempt || f.Delivered {
			continue
		}
		d.Effect, d.Claims, d.Failures, d.LastError = f.Seq, f.Count, f.Failures, f.LastError
		d.Legal = d.Legal.With(step.GivenUp)
		switch {
		case f.NotBefore <= now:
			d.Awaits, d.Since = AwaitsClaim, max(f.At, f.NotBefore)
		case f.Held:
			d.Awaits, d.Until = AwaitsExecutor, f.NotBefore
		default:
			d.Awaits, d.Until, d.Legal = AwaitsNextTry, f.NotBefore, d.Legal.With(step.Hurried)
		}
	}
}

// waysOut returns the operations that are legal for some person, without comments.
func waysOut(r *operation.Rules, v *store.View) step.Causes {
	var room [16]operation.Guard
	refusing := room[:0]
	for _, g := range guards {
		if g != operation.Approver && unmet(r, v, g, "") != 0 {
			refusing = append(refusing, g)
		}
	}
	var all step.Causes
	for c := range r.Legal(standing(v), refusing...).All() {
		if !r.Comments(c) {
			all = all.With(c)
		}
	}
	return all
}

// Diagnose says what a job waits for, with evidence, and what leads on. It reads the job, its current step
// and its unsettled effects, as of one version of the job; if that moves on again and again meanwhile, the
// error is [ErrConflict]. Diagnose sweeps nothing and claims nothing.
func (e *Engine) Diagnose(ctx context.Context, job store.JobID) (Diagnosis, error) {
	before, err := e.viewOf(ctx, job, 0)
	if err != nil {
		return Diagnosis{}, err
	}
	for range maxTries {
		effects, err := e.store.Effects(ctx, e.scope, job, store.Page[store.Seq]{Limit: maxLimit})
		if err != nil {
			return Diagnosis{}, e.readError(ctx, job, err)
		}
		after, err := e.viewOf(ctx, job, 0)
		if err != nil {
			return Diagnosis{}, err
		}
		if after.Job.Version == before.Job.Version {
			return Diagnose(e.rules, after, effects, step.At(e.now())), nil
		}
		before = after
	}
	return Diagnosis{}, fmt.Errorf("job %d: %w: gave up after %d tries", job, ErrConflict, maxTries)
}
