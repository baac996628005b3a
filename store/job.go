package store

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/step"
)

// A JobID is the id of a job in its store: 1 to [MaxJobID].
type JobID int64

// MaxJobID is the largest id that JavaScript reads exactly, 2^53 - 1.
const MaxJobID JobID = 1<<53 - 1

// A Seq is the sequence number of a record in its job, from 1 and without gaps.
// A job's version is that of its last record.
type Seq int64

// A Scope is the tenant or project that a job belongs to: on the wire, bk_scope_type and
// bk_scope_id. In a read the zero Scope selects the jobs of all scopes; a job with the zero Scope
// belongs to none.
type Scope struct {
	Type string `json:"type"` // a name, see step.Spec
	ID   string `json:"id"`   // a name as well
}

// Holds reports whether a read in scope s may see a job of scope job.
func (s Scope) Holds(job Scope) bool { return s == Scope{} || s == job }

// A Job is the header of a job: the part whose size does not depend on its steps, targets or
// history.
type Job struct {
	ID        JobID           `json:"id"`                 // drawn by the engine
	Scope     Scope           `json:"scope"`              // zero for none
	Name      string          `json:"name"`               // shown to people
	State     step.State      `json:"state"`              // mirrors the current step, see step.State.OfJob
	Version   Seq             `json:"version"`            // the sequence number of the last record
	Moved     Seq             `json:"moved"`              // the sequence number of the last record that moved a state, an attempt or a gate, see Record.Moves
	Current   step.ID         `json:"current"`            // the step that is under way, or was last; before the start, the first
	Steps     int32           `json:"steps"`              // number of steps
	Skipped   int32           `json:"skipped"`            // number of steps that ended skipped
	Ignored   int32           `json:"ignored"`            // number of steps that ended with their error ignored
	Tolerated int32           `json:"tolerated,omitzero"` // of these, number of steps that went on without a person: none has accepted a failure
	Sealed    bool            `json:"sealed,omitzero"`    // the job was closed for good: nothing but a comment is legal
	Held      bool            `json:"held,omitzero"`      // the job is on hold: nothing starts until it is resumed
	HasTurn   bool            `json:"has_turn,omitzero"`  // the job has a turn, see Turn
	Gate      step.GateReason `json:"gate,omitzero"`      // what the current step waits for, if it is gated
	Created   step.Time       `json:"created"`            // of the first record
	Started   step.Time       `json:"started"`            // of the first start; zero before it
	Finished  step.Time       `json:"finished"`           // zero before the start and while the job runs or waits
	Updated   step.Time       `json:"updated"`            // of the last record; no later record has an earlier time
	Deadline  step.Time       `json:"deadline,omitzero"`  // of the job; zero for none, before the start, and once it has ended the job or the job has gone on after it
	Origin    JobID           `json:"origin,omitzero"`    // the job that this one repeats; 0 for none. It may be gone. Never changed
	Policy    *JobPolicy      `json:"policy,omitzero"`    // when it starts and how long it may take; nil for no rule. Never changed
}

// An Outcome says what a job has gone on without: which steps did not do all of their work. The zero
// Outcome is clean.
type Outcome struct {
	Skipped   bool `json:"skipped,omitzero"`   // a person, or a rule, has skipped a step
	Ignored   bool `json:"ignored,omitzero"`   // a person has accepted failures of a step
	Tolerated bool `json:"tolerated,omitzero"` // failures were within the tolerance of a step, or its errors are ignored
}

// Outcome returns the outcome of j so far. A step of which a person has accepted some failures, and of
// which others were within the tolerance, counts as ignored.
func (j *Job) Outcome() Outcome {
	return Outcome{Skipped: j.Skipped > 0, Ignored: j.Ignored > j.Tolerated, Tolerated: j.Tolerated > 0}
}

// String returns "clean", or the names of what is set in o, separated by commas.
func (o Outcome) String() string {
	var all []string
	for _, of := range []struct {
		name string
		set  bool
	}{{"skipped", o.Skipped}, {"ignored", o.Ignored}, {"tolerated", o.Tolerated}} {
		if of.set {
			all = append(all, of.name)
		}
	}
	if all == nil {
		return "clean"
	}
	return strings.Join(all, ", ")
}

// A JobPolicy is the part of a job's definition that says when it starts and how long it may take.
type JobPolicy struct {
	StartAt step.Time     `json:"start_at,omitzero"`   // the first step waits until then; zero for no wait
	Timeout time.Duration `json:"timeout_ns,omitzero"` // maximum duration from the first attempt of the job; 0 means none
	Turn    Turn          `json:"turn,omitzero"`       // which jobs are not under way at once; zero for no limit
}

// Clone returns a copy of p; nil for nil.
func (p *JobPolicy) Clone() *JobPolicy {
	if p == nil {
		return nil
	}
	own := *p
	return &own
}

// Equal reports whether p and q say the same; nil is a policy that says nothing.
func (p *JobPolicy) Equal(q *JobPolicy) bool {
	if p == nil || q == nil {
		return p == q
	}
	return *p == *q
}

// A Turn limits how many jobs with one key are under way at once, in one scope.
type Turn struct {
	Key   string `json:"key"`   // a name, see step.Spec; empty for no limit
	Limit int32  `json:"limit"` // of jobs under way with the key for this job to take its turn, itself included: at least 1
}

// A Gate is what a gated step waits for, and what it does then.
type Gate struct {
	Reason step.GateReason `json:"reason"`         // NoGate unless the step is gated
	Then   step.Do         `json:"then"`           // step.Enter, RunDue, RunAll, RunNext or Ask
	Until  step.Time       `json:"until,omitzero"` // the moment at which it opens; zero if no moment opens it
}

// A Step is one step of a stored job: its definition, without the names of its targets, and its
// state. Only the change that creates the job, and [Details], have its payload, which may be
// large; a step that is read has none.
type Step struct {
	// The definition, see [step.Spec].
	ID           step.ID       `json:"id"`
	Type         step.Type     `json:"type"`
	Name         string        `json:"name"`
	IgnoreErrors bool          `json:"ignore_errors"`
	OnTimeout    step.Decision `json:"on_timeout"`
	Timeout      time.Duration `json:"timeout_ns"`
	Confirmers   step.Names    `json:"confirmers"`
	Payload      string        `json:"payload"`
	Total        int32         `json:"total"`           // number of targets
	Policy       *step.Policy  `json:"policy,omitzero"` // nil for none. Never changed: steps share it

	State      step.State `json:"state"`                // mirrored by the job while the step is the current one
	StopBefore bool       `json:"stop_before,omitzero"` // the first attempt waits for a person; operations set and clear it
	Attempt    int32      `json:"attempt"`              // the current or last one, from 1; 0 before the first
	Run                   // which targets the current or last attempt covers; before the first, those of the first
	Succeeded  int32      `json:"succeeded"`        // number of targets of the run's window that succeeded in attempt Full or later
	Unfinished int32      `json:"unfinished"`       // number of targets of the current attempt without a finished result
	Started    step.Time  `json:"started"`          // of the current or last attempt
	Finished   step.Time  `json:"finished"`         // when the last attempt ended; zero while one is under way
	Deadline   step.Time  `json:"deadline"`         // of the current attempt; zero for none, or when it is over
	Expires    step.Time  `json:"expires,omitzero"` // the end of TotalTimeout; zero for none, before the first attempt, or when the step has ended
	Due        step.Time  `json:"due,omitzero"`     // the first moment that moves the step while it is under way; zero for none
	Gate       Gate       `json:"gate,omitzero"`    // what the step waits for, if it is gated

	Batch     int32 `json:"batch,omitzero"`     // the current or last one, from 1; 0 before the first, and without batches
	Before    int32 `json:"before,omitzero"`    // number of targets of earlier batches that succeeded
	Accepted  int32 `json:"accepted,omitzero"`  // number of failures that a person has accepted
	Automatic int32 `json:"automatic,omitzero"` // number of attempts that Retry began in this batch since a person's
	Mendable  bool  `json:"mendable,omitzero"`  // some failure of this attempt is not of Retry.Except; only with Retry
}

// NewStep returns the step that spec defines, in its state before it is entered. It shares no
// memory with spec.
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
		Policy:       spec.Policy(),
		State:        step.Pending,
		StopBefore:   spec.StopBefore,
		Run:          FirstRunOf(&spec),
	}
}

// Spec returns the definition of s, given the names of all its targets: what NewStep has made s of, but for
// StopBefore, which operations may have changed. It shares no memory with s or targets.
func (s *Step) Spec(targets []string) step.Spec {
	spec := step.Spec{
		Type: s.Type, Name: s.Name, Targets: slices.Clone(targets), IgnoreErrors: s.IgnoreErrors,
		Timeout: s.Timeout, OnTimeout: s.OnTimeout, StopBefore: s.StopBefore, Payload: s.Payload,
	}
	if len(targets) == 0 {
		spec.Targets = nil // as a step that asks is defined
	}
	if s.Confirmers.IsSet() {
		spec.Confirmers = slices.Collect(s.Confirmers.All())
	}
	if p := s.Policy.Clone(); p != nil {
		spec.Delay, spec.Window, spec.TotalTimeout = p.Delay, p.Window, p.TotalTimeout
		spec.Retry, spec.Rolling, spec.Tolerate = p.Retry, p.Rolling, p.Tolerate
	}
	return spec
}

// Failed returns the number of targets, of all batches so far, that finished without success or
// whose attempt ended before they did.
func (s Step) Failed() int32 {
	if s.Attempt == 0 {
		return 0
	}
	_, end := s.Run.Window(s.Total)
	return end - s.Before - s.Succeeded - s.Unfinished
}

// Batches returns the ends of the batches of s, see [step.Batches], or nil if it has none.
func (s *Step) Batches() []int32 {
	if !s.rolls() {
		return nil
	}
	ends, _ := step.Batches(s.Policy.Rolling.Batches, s.Total)
	return ends
}

// Plan returns every batch of s by number, given those that have begun: the others are pending, and in
// no attempt.
func (s *Step) Plan(begun []Batch) []Batch {
	ends := s.Batches()
	all := make([]Batch, len(ends))
	copy(all, begun)
	for n := len(begun); n < len(ends); n++ {
		all[n] = Batch{Step: s.ID, Number: int32(n) + 1, End: ends[n], State: step.Pending}
		if n > 0 {
			all[n].First = ends[n-1]
		}
	}
	return all
}

// rolls reports whether s is a step with batches.
func (s *Step) rolls() bool { return s != nil && s.Policy != nil && s.Policy.Rolling.Batches != "" }

// NextEnd returns the end of the batch after the one that s is in, or of the first. The step has batches,
// and this one is not the last. It costs the same whatever the number of targets and of batches, unlike
// Batches.
func (s *Step) NextEnd() int32 {
	return step.BatchAfter(s.Policy.Rolling.Batches, s.Total, s.Batch, s.Run.First, s.Run.End)
}

// A Batch is one batch of a step that has begun.
type Batch struct {
	Step       step.ID    `json:"step"`       // that runs in batches
	Number     int32      `json:"number"`     // from 1
	First      int32      `json:"first"`      // index of its first target
	End        int32      `json:"end"`        // index of the first target after it
	Full       int32      `json:"full"`       // the last attempt that covered all its targets
	Since      int32      `json:"since"`      // its first attempt
	Attempt    int32      `json:"attempt"`    // its current or last attempt
	State      step.State `json:"state"`      // of the step during the batch; after it error_ignored or succeeded, or what ended it
	Succeeded  int32      `json:"succeeded"`  // number of its targets that have succeeded
	Unfinished int32      `json:"unfinished"` // number of its targets without a result, when the row was written
	Started    step.Time  `json:"started"`    // of its first attempt
	Finished   step.Time  `json:"finished"`   // when its last attempt ended; zero while one is under way
}

// A Target is one host of a step with its latest result. A target that has never
// reported has only an index and a name.
type Target struct {
	Index   int32  `json:"index"`          // in the step's definition, from 0
	Batch   int32  `json:"batch,omitzero"` // its number, from 1, in reads of an engine; 0 without batches, and in a store
	Name    string `json:"name"`           // empty in a View and a Change
	Attempt int32  `json:"attempt"`        // of the result below; 0 for none
	Success int32  `json:"success"`        // the attempt of its latest success; 0 for none, or after a later failure
	Result
}

// A Result is the result of one target in one attempt.
type Result struct {
	Status   step.Status `json:"status"`           // zero before the first result
	ExitCode int32       `json:"exit_code"`        // from the executor
	Started  step.Time   `json:"started"`          // from the executor; zero for unknown
	Finished step.Time   `json:"finished"`         // from the executor; zero for unknown, and while the target runs
	Detail   string      `json:"detail,omitempty"` // for people, from the executor; at most 256 characters
}

// A RequestID identifies one call of a client, so that repeating it is safe: an
// idempotency key.
type RequestID = uuid.UUID

// A Token is a secret that is drawn for each claim. Only the caller of the claim has it, and a
// delivery is deferred and settled only with the token of its last claim.
type Token = uuid.UUID
