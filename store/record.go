package store

import (
	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/step"
)

// A Record is one line of a job's history: the cause, the change, and the effect on the outside
// world. Records never change. Each one starts in the state in which the one before it ended.
type Record struct {
	Job     JobID      `json:"job"`              // that changed
	Seq     Seq        `json:"seq"`              // in the job, from 1 without gaps
	At      step.Time  `json:"at"`               // by the engine's time; not before the record before it
	Cause   step.Cause `json:"cause"`            // an operation, an event, or a cause without a row such as step.Created
	Request RequestID  `json:"request"`          // of the call that made the change; zero for an expiry that came before a command
	Actor   string     `json:"actor,omitempty"`  // the person or executor; empty for the anonymous actor or a deadline
	Reason  string     `json:"reason,omitempty"` // that they gave

	Step    step.ID    `json:"step"`              // that the change is about; 0 for a Created record
	Entered step.ID    `json:"entered"`           // the step that was entered because Step passed, or 0; its attempt is 1, or 0 if Gate is set
	Attempt int32      `json:"attempt"`           // of Step, after
	Run     Run        `json:"run"`               // of Step, after; FirstRun for a step that was entered, and for a Created record
	From    step.State `json:"from,omitzero"`     // of Step, before; 0 for a Created record
	To      step.State `json:"to,omitzero"`       // of Step, after; 0 for a Created record
	JobFrom step.State `json:"job_from,omitzero"` // of the job, before; 0 for a Created record
	JobTo   step.State `json:"job_to"`            // of the job, after

	Succeeded  int32  `json:"succeeded"`         // of Step, after
	Unfinished int32  `json:"unfinished"`        // of Step, after
	Results    int32  `json:"results"`           // number of results that a report changed
	Before     int32  `json:"before,omitzero"`   // of Step, after
	Mendable   bool   `json:"mendable,omitzero"` // of Step, after
	Targets    int32  `json:"targets"`           // number of targets that run in consequence
	Effect     Effect `json:"effect,omitzero"`   // the work that the record asks for; 0 for none
	Gate       Gate   `json:"gate,omitzero"`     // of the step that waits in consequence: Entered if it is set, else Step
}

// Moves reports whether r changed a state, an attempt or a gate, and not only results, an effect, the hold
// of a job, its seal, a comment or a stop before a step. An operation that was meant for the state before
// is then stale. A sealed job needs no such condition: it refuses everything but comments.
func (r *Record) Moves() bool {
	stays := r.From == r.To && r.JobFrom == r.JobTo && r.Effect == NoEffect && r.Gate.Reason == step.NoGate
	marks := stays && (r.From == step.Pending || r.Cause.OfJob())
	return r.Cause != step.Results && !r.Cause.OfEffect() && !marks
}

// An Effect is a kind of work for the outside world that a record asks for. A record asks for at
// most one, so a job and a sequence number identify it.
type Effect uint8

const (
	NoEffect      Effect = 0 // no work
	RunTargets    Effect = 1 // run the attempt on the targets that are due
	StopAttempt   Effect = 2 // stop this and every earlier attempt of the step
	AskConfirmers Effect = 3 // ask the confirmers of the step
	JobEnded      Effect = 4 // tell that the job has ended; it may run again later
)

var effectNames = enum.New("effect", []enum.Entry[Effect]{
	{Value: NoEffect, Name: "none"},
	{Value: RunTargets, Name: "run"},
	{Value: StopAttempt, Name: "stop"},
	{Value: AskConfirmers, Name: "ask"},
	{Value: JobEnded, Name: "job_ended"},
})

// ByType reports whether a claim selects effects of kind e by the type of their step. That is so
// for runs and stops, which only an executor of that type can carry out; questions and ends of
// jobs belong to no step type.
func (e Effect) ByType() bool { return e == RunTargets || e == StopAttempt }

// Valid reports whether e is declared.
func (e Effect) Valid() bool { return effectNames.Known(e) }

func (e Effect) String() string { return effectNames.String(e) }

// MarshalText returns the stable name of e, or empty text for the zero Effect. An unknown Effect
// marshals as it prints, and does not unmarshal.
func (e Effect) MarshalText() ([]byte, error) { return effectNames.MarshalText(e) }

// UnmarshalText accepts names, numbers, and empty text for the zero Effect.
func (e *Effect) UnmarshalText(text []byte) error { return effectNames.UnmarshalText(e, text) }

// A Delivery is an effect that waits in the store until it is settled.
type Delivery struct {
	Job     JobID      `json:"job"`              // with Seq, the identity of the effect
	Seq     Seq        `json:"seq"`              // of its record
	Scope   Scope      `json:"scope"`            // of Job
	Effect  Effect     `json:"effect"`           // the kind of work
	Step    step.ID    `json:"step"`             // that runs, stops or asks; for JobEnded the job's last current step
	Type    step.Type  `json:"type"`             // of Step
	Cause   step.Cause `json:"cause"`            // of its record
	Attempt int32      `json:"attempt"`          // of Step
	Run     Run        `json:"run"`              // which targets Attempt covers
	JobTo   step.State `json:"job_to,omitzero"`  // of a JobEnded: the state that the job ended in
	At      step.Time  `json:"at"`               // of its record
	Actor   string     `json:"actor,omitempty"`  // of its record
	Reason  string     `json:"reason,omitempty"` // of its record

	NotBefore step.Time `json:"not_before"`         // end of the lease if Held, else of the back-off; zero before the first claim
	Held      bool      `json:"held,omitzero"`      // the last claim has not let it go, and holds it until NotBefore
	Count     int32     `json:"count"`              // number of claims so far; fences a claim against later ones
	Token     Token     `json:"-"`                  // of the last claim; a secret of its caller
	Failures  int32     `json:"failures,omitzero"`  // failed deliveries in a row; they determine the back-off
	Delivered bool      `json:"delivered,omitzero"` // of a StopAttempt: it was carried out at least once, and waits for its step to stop
	LastError string    `json:"last_error"`         // of the last delivery, if it failed; else empty
}

// Subject returns the step of r's effect: Entered if it is set, else Step.
func (r *Record) Subject() step.ID {
	if r.Entered != 0 {
		return r.Entered
	}
	return r.Step
}

// Delivery returns r's effect before its first claim, in a job of the given scope, and whether r has
// an effect. subject is the step of [Record.Subject], of which it reads the definition alone; without
// one the effect has no type, and a step that was entered has no batches. Its NotBefore is zero, so
// that it can be claimed at once, even if clocks of hosts differ or one was set back.
func (r *Record) Delivery(scope Scope, subject *Step) (d Delivery, ok bool) {
	ok = r.deliver(&d, scope, subject)
	return d, ok
}

// deliver fills d, which is zero. A Delivery is large, and each return would copy it once more.
func (r *Record) deliver(d *Delivery, scope Scope, subject *Step) bool {
	if r.Effect == NoEffect {
		return false
	}
	d.Job, d.Seq, d.Scope, d.Effect, d.At = r.Job, r.Seq, scope, r.Effect, r.At
	d.Step, d.Attempt, d.Run = r.Step, r.Attempt, r.Run
	d.Cause, d.Actor, d.Reason = r.Cause, r.Actor, r.Reason
	if r.Entered != 0 {
		d.Step, d.Attempt, d.Run = r.Entered, 1, FirstRun
		if subject.rolls() {
			d.Run.End = step.BatchAfter(subject.Policy.Rolling.Batches, subject.Total, 0, 0, 0)
		}
	}
	if subject != nil {
		d.Type = subject.Type
	}
	if r.Effect == JobEnded {
		d.JobTo = r.JobTo
	}
	return true
}

// Delivery returns the effect of r, one of c's records, as a store keeps it, and whether r has an
// effect. The result is complete: a claim reads nothing else.
func (c *Change) Delivery(r *Record) (d Delivery, ok bool) {
	id, subject := r.Subject(), (*Step)(nil)
	for i := range c.Steps {
		if c.Steps[i].ID == id {
			subject = &c.Steps[i]
		}
	}
	ok = r.deliver(&d, c.Job.Scope, subject)
	return d, ok
}
