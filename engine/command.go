package engine

import (
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Command is an argument of [Decide]: *Create, *Operate, *OperateEffect, *Report or *Expire, and
// nothing else. People create and operate, executors report, deadlines expire; each has a type of
// its own, so that passing one for another does not compile.
type Command interface {
	// check refuses a command that no state of the job could make acceptable.
	check(r *operation.Rules, limits *Limits) *Refusal
}

// Create is the command that makes a job, in the state pending: a person starts it by
// operation.StartJob.
type Create struct {
	Job  store.JobID // the id of the new job
	Spec JobSpec     // its definition
	Request
}

// A JobSpec defines a new job. Once the job is created its name, scope and steps never change, and
// the engine keeps nothing that shares memory with the JobSpec.
type JobSpec struct {
	Name  string      `json:"name"`           // shown to people; step.Spec says which characters a name can have
	Scope store.Scope `json:"scope,omitzero"` // two names, or zero for none; on an engine narrowed by In, its scope or zero for the same
	Steps []step.Spec `json:"steps"`          // at least one, in the order in which they run

	// Origin is the job that this one repeats, for people; 0 for none. [Engine.Redo] sets it. It need not
	// exist.
	Origin store.JobID `json:"origin,omitzero"`

	// StartAt is the moment before which the first step does not begin; zero for no wait. A
	// person still starts the job, before or after. It gates no other step: a person who skips the
	// first one at its gate enters the second at once, or its own gates.
	StartAt step.Time `json:"start_at,omitzero"`

	// Timeout is the maximum duration of the job, from its first attempt; 0 means none. At its end
	// the job is terminated. People may operate it afterwards.
	Timeout time.Duration `json:"timeout_ns,omitzero"` // nanoseconds in JSON

	// Turn limits how many jobs of the scope with the same key are under way at once: it is taken
	// with the first attempt and ends with the job, whatever the job ends in. A job that got none
	// is gated, with the reason turn, when nothing else is in its way. Jobs of a key take their
	// turns in the order in which they began to wait, each by its own limit; no person can change
	// that, but a job that is put on hold loses its place. A turn that becomes free is taken at
	// once if a process with a dispatcher has freed it, else with the next sweep of any: see
	// [SweepEvery].
	Turn store.Turn `json:"turn,omitzero"`
}

// policy returns the policy of the job, or nil if it has none.
func (s *JobSpec) policy() *store.JobPolicy {
	p := store.JobPolicy{StartAt: s.StartAt, Timeout: s.Timeout, Turn: s.Turn}
	if p == (store.JobPolicy{}) {
		return nil
	}
	return &p
}

// Operate is the command of a person who operates a step or the job.
type Operate struct {
	Cause step.Cause // of the operation, from operation.Code.Cause or operation.JobCode.Cause
	Request
}

// A Report is the command of an executor that reports on one attempt of a step: results, an
// outcome, or both. Results count before the outcome. A report is stale once the attempt is over,
// but an accepted report can be repeated until the next attempt of the step begins: the repetition
// changes nothing and is no error. An outcome counts as a repetition if it leads to the state that
// the step is in.
type Report struct {
	Job     store.JobID    // of the step
	Step    step.ID        // of the attempt
	Attempt int32          // reported on, from 1
	By      string         // the executor's name, for the history; empty for none
	Results []TargetResult // at most 10,000

	// Outcome ends the attempt whatever the results of its targets are: step.Stopped,
	// step.Broke (the step becomes abnormal) or step.Dropped (abandoned). With 0 the attempt
	// ends with the last result that is due.
	Outcome step.Cause
	Reason  string // of an outcome, for the history

	request store.RequestID // made by the engine
}

// MaxResults is the maximum of results in one report.
const MaxResults = 10_000

// A TargetResult is the result of one target. Its times come from the executor: zero for unknown,
// or up to [step.MaxTime], with Finished not before Started.
type TargetResult struct {
	Target int32 // its index in the step's definition, from 0
	store.Result
}

// Expire is the command that applies a moment that has come: a deadline that has passed, or the
// opening of a gate.
type Expire struct {
	Job     store.JobID // of the step
	Step    step.ID     // the job's current one
	Attempt int32       // the current or last one of the step

	// Window is the answer of the function of windows about the gate of a window: the moment from
	// which the step may begin. If it is after now, the step waits until then. The zero Window
	// refuses to open such a gate.
	Window step.Time

	request store.RequestID // made by the engine
}
