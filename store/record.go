package store

import (
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
)

// A Record is one line of a job's history: who did what, what it changed, and
// what the outside world must do about it. Records are never changed. Each starts
// where the last one ended.
type Record struct {
	Job     JobID      `json:"job"`
	Seq     Seq        `json:"seq"`
	At      step.Time  `json:"at"`
	Cause   step.Cause `json:"cause"`   // an operation, an event, or one that stands in no row, as step.Created
	Request RequestID  `json:"request"` // of the call that made the change; zero for an expiry that came before a command
	Actor   string     `json:"actor,omitempty"`
	Reason  string     `json:"reason,omitempty"`

	Step    step.ID    `json:"step"`    // the step that it is about; 0 for a Created record
	Entered step.ID    `json:"entered"` // the step that was entered as Step had passed, or 0; its attempt is 1
	Attempt int32      `json:"attempt"` // of Step, after
	Run     Run        `json:"run"`     // of Step, after; FirstRun for a step that was entered, and for a Created record
	From    step.State `json:"from,omitzero"`
	To      step.State `json:"to,omitzero"`
	JobFrom step.State `json:"job_from,omitzero"` // 0 for a Created record
	JobTo   step.State `json:"job_to"`

	Succeeded  int32  `json:"succeeded"`  // of Step, after
	Unfinished int32  `json:"unfinished"` // of Step, after
	Results    int32  `json:"results"`    // how many results a report changed
	Targets    int32  `json:"targets"`    // how many targets run in consequence
	Effect     Effect `json:"effect,omitzero"`
}

// Moves reports whether r changed where the job stands, and not results alone or an effect: an
// operation that was meant for what was there before is then stale.
func (r Record) Moves() bool { return r.Cause != step.Results && !r.Cause.OfEffect() }

// An Effect is something that the outside world must do because of a record. A
// record has at most one, so a job and a sequence number identify it.
type Effect uint8

const (
	NoEffect      Effect = 0
	RunTargets    Effect = 1 // run the attempt on the targets that are due
	StopAttempt   Effect = 2 // stop this and every earlier attempt of the step
	AskConfirmers Effect = 3 // ask the confirmers
	JobEnded      Effect = 4 // tell those who wait for the job; it may run again later
)

var effectNames = enum.New("effect", []enum.Entry[Effect]{
	{Value: NoEffect, Name: "none"},
	{Value: RunTargets, Name: "run"},
	{Value: StopAttempt, Name: "stop"},
	{Value: AskConfirmers, Name: "ask"},
	{Value: JobEnded, Name: "job_ended"},
})

// ByType reports whether a claim selects e by the type of its step: a run and a stop, which only an
// executor of that type can carry out. A question and the end of a job belong to no step type.
func (e Effect) ByType() bool { return e == RunTargets || e == StopAttempt }

// Valid reports whether e is declared.
func (e Effect) Valid() bool { return effectNames.Known(e) }

func (e Effect) String() string { return effectNames.String(e) }

// MarshalText returns the stable name of e, or empty text for the zero Effect. An unknown Effect
// marshals as it prints, and does not unmarshal.
func (e Effect) MarshalText() ([]byte, error) { return effectNames.MarshalText(e) }

// UnmarshalText reads what MarshalText writes, or a number.
func (e *Effect) UnmarshalText(text []byte) error { return effectNames.UnmarshalText(e, text) }

// A Delivery is an effect on its way: it waits in the store until it is settled.
type Delivery struct {
	Job     JobID      `json:"job"`
	Seq     Seq        `json:"seq"` // of its record
	Scope   Scope      `json:"scope"`
	Effect  Effect     `json:"effect"`
	Step    step.ID    `json:"step"`            // that runs, stops or asks; for JobEnded the last one
	Type    step.Type  `json:"type"`            // of Step
	Cause   step.Cause `json:"cause"`           // of its record, as are At, Actor and Reason
	Attempt int32      `json:"attempt"`         // of Step
	Run     Run        `json:"run"`             // which targets Attempt covers
	JobTo   step.State `json:"job_to,omitzero"` // of a JobEnded: the state that the job ended in
	At      step.Time  `json:"at"`
	Actor   string     `json:"actor,omitempty"`
	Reason  string     `json:"reason,omitempty"`

	NotBefore step.Time `json:"not_before"`         // it is left alone until then: a lease, or a back-off; zero at first
	Count     int32     `json:"count"`              // how often it was claimed; fences a claim against later ones; 0: never yet
	Token     Token     `json:"-"`                  // of the last claim; a secret of its caller
	Failures  int32     `json:"failures,omitzero"`  // deliveries in a row that failed; back-off counts these
	Delivered bool      `json:"delivered,omitzero"` // of a StopAttempt: it was carried out at least once, and waits for its step to stop
	LastError string    `json:"last_error"`         // what the last failed delivery came to; empty after one that did not fail
}

// Subject returns the step that r's effect is about: the one that was entered, or Step.
func (r Record) Subject() step.ID {
	if r.Entered != 0 {
		return r.Entered
	}
	return r.Step
}

// Delivery returns r's effect as it waits for its first delivery, in a job of the given scope
// and about a step of the given type, and whether r has one. It can be claimed at once: clocks
// of different hosts, or one that was set back, do not hold it up.
func (r Record) Delivery(scope Scope, typ step.Type) (Delivery, bool) {
	if r.Effect == NoEffect {
		return Delivery{}, false
	}
	d := Delivery{
		Job: r.Job, Seq: r.Seq, Scope: scope, Effect: r.Effect, At: r.At,
		Step: r.Step, Type: typ, Attempt: r.Attempt, Run: r.Run,
		Cause: r.Cause, Actor: r.Actor, Reason: r.Reason,
	}
	if r.Entered != 0 {
		d.Step, d.Attempt, d.Run = r.Entered, 1, FirstRun
	}
	if r.Effect == JobEnded {
		d.JobTo = r.JobTo
	}
	return d, true
}

// Delivery returns the effect of r, one of c's records, as a store keeps it: all that a
// delivery needs stands in its own row, so that a claim reads nothing else.
func (c *Change) Delivery(r *Record) (Delivery, bool) {
	subject, typ := r.Subject(), step.Type(0)
	for i := range c.Steps {
		if c.Steps[i].ID == subject {
			typ = c.Steps[i].Type
		}
	}
	return r.Delivery(c.Job.Scope, typ)
}
