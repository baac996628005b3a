package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/step"
)

// A JobID names a job in its store: 1 to [MaxJobID].
type JobID int64

// MaxJobID is the largest id that JavaScript reads exactly, 2^53 - 1.
const MaxJobID JobID = 1<<53 - 1

// A Seq is the sequence number of a record in its job, from 1 and without gaps.
// A job's version is that of its last record.
type Seq int64

// A Scope is what a job belongs to: on the wire, bk_scope_type and bk_scope_id.
// For a read, the zero Scope means every scope; for a job, none.
type Scope struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Holds reports whether a read in scope s may see a job of scope job.
func (s Scope) Holds(job Scope) bool { return s == Scope{} || s == job }

// A Job is the header of a job: all there is to know of it whose size does not
// depend on its steps, targets or history.
type Job struct {
	ID       JobID      `json:"id"`
	Scope    Scope      `json:"scope"`
	Name     string     `json:"name"`
	State    step.State `json:"state"`           // mirrors the current step, see step.State.OfJob
	Version  Seq        `json:"version"`         // the sequence number of the last record
	Moved    Seq        `json:"moved"`           // that of the last record that changed a state or an attempt
	Current  step.ID    `json:"current"`         // the step that is, or was last, under way; the first before the start
	Steps    int32      `json:"steps"`           // how many there are
	Skipped  int32      `json:"skipped"`         // how many of them ended skipped
	Ignored  int32      `json:"ignored"`         // how many ended with their error ignored
	Sealed   bool       `json:"sealed,omitzero"` // it has ended for good: no operation is legal
	Created  step.Time  `json:"created"`
	Started  step.Time  `json:"started"`  // zero before the start
	Finished step.Time  `json:"finished"` // zero while anything is under way
	Updated  step.Time  `json:"updated"`  // of the last record; no later record has an earlier time
}

// A Step is one step of a stored job: how it was defined, but for the names of
// its targets, and where it stands. Its payload, which may be large, is in the change that
// creates the job and in [Details]; a step that is read has none.
type Step struct {
	ID           step.ID       `json:"id"`
	Type         step.Type     `json:"type"`
	Name         string        `json:"name"`
	IgnoreErrors bool          `json:"ignore_errors"`
	OnTimeout    step.Decision `json:"on_timeout"`
	Timeout      time.Duration `json:"timeout_ns"`
	Confirmers   step.Names    `json:"confirmers"`
	Payload      string        `json:"payload"`
	Total        int32         `json:"total"` // targets

	State      step.State `json:"state"`
	Attempt    int32      `json:"attempt"` // the current or last one, from 1; 0 before the first
	Run                   // which targets the current or last attempt covers; before the first, FirstRun
	Succeeded  int32      `json:"succeeded"`  // targets that succeeded in attempt Full or later
	Unfinished int32      `json:"unfinished"` // targets of the current attempt without a finished result
	Started    step.Time  `json:"started"`    // of the current or last attempt
	Finished   step.Time  `json:"finished"`   // when the last attempt ended; zero while one is under way
	Deadline   step.Time  `json:"deadline"`   // of the current attempt; zero for none, or when it is over
}

// NewStep returns the step that spec defines as it stands before it is entered.
// It shares no memory with spec.
func NewStep(id step.ID, spec step.Spec) Step {
	return Step{
		ID:           id,
		Type:         spec.Type,
		Name:         spec.Name,
		IgnoreErrors: spec.IgnoreErrors,
		OnTimeout:    spec.OnTimeout,
		Timeout:      spec.Timeout,
		Confirmers:   step.NamesOf(spec.Confirmers),
		Payload:      spec.Payload,
		Total:        int32(len(spec.Targets)),
		State:        step.Pending,
		Run:          FirstRun,
	}
}

// Failed returns how many targets of the current or last attempt finished
// without success.
func (s Step) Failed() int32 {
	if s.Attempt == 0 {
		return 0
	}
	return s.Total - s.Succeeded - s.Unfinished
}

// A Target is one host of a step with its latest result. A target that has never
// reported has only an index and a name.
type Target struct {
	Index   int32  `json:"index"` // in the step's definition, from 0
	Name    string `json:"name"`
	Attempt int32  `json:"attempt"` // that of this result; 0 for none
	Success int32  `json:"success"` // the attempt of its latest success; 0 for none, or if it has failed since
	Result
}

// A Result is what one target of one attempt came to.
type Result struct {
	Status   step.Status `json:"status"`
	ExitCode int32       `json:"exit_code"`
	Started  step.Time   `json:"started"`
	Finished step.Time   `json:"finished"`
	Detail   string      `json:"detail,omitempty"` // a word for the operator, at most 256 characters
}

// A RequestID identifies one call of a client, so that repeating it is safe: an
// idempotency key.
type RequestID = uuid.UUID

// A Token is drawn for each claim and known to its caller alone: a delivery is deferred
// and settled only with the token of the claim that took it.
type Token = uuid.UUID
