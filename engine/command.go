package engine

import (
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Command is what [Decide] decides on: *Create, *Operate, *OperateEffect, *Report or *Expire, and
// nothing else. People operate, executors report, time expires;
// the three are different types so that none can do another's work.
type Command interface {
	// check refuses what no state of the job could make acceptable.
	check(r *operation.Rules, limits *Limits) *Refusal
}

// Create makes a job.
type Create struct {
	Job  store.JobID // its id
	Spec JobSpec
	Request
}

// A JobSpec defines a new job.
type JobSpec struct {
	Name  string      `json:"name"`           // what people call the job: see step.Spec for what a name may hold
	Scope store.Scope `json:"scope,omitzero"` // two names, or zero for none; on an engine narrowed by In, its scope or zero for the same
	Steps []step.Spec `json:"steps"`          // at least one
}

// Operate is a person's operation, on a step or on the job.
type Operate struct {
	Cause step.Cause // the operation's: operation.Code and operation.JobCode have it
	Request
}

// A Report is what an executor says of one attempt of a step. It names results,
// or an outcome, or both; the results count first. It is stale once the attempt is over, but a
// report that was taken can be repeated until the next attempt of the step begins: it changes
// nothing, and is no error. An outcome is taken for a repetition if it leads to the state that
// the step is in.
type Report struct {
	Job     store.JobID
	Step    step.ID
	Attempt int32
	By      string         // the executor's name, for the history; empty for none
	Results []TargetResult // at most 10,000

	// Outcome ends the attempt whatever its targets say: step.Stopped,
	// step.Broke (abnormal) or step.Dropped (abandoned). 0 leaves it to the
	// targets: the attempt ends with the last one that is due.
	Outcome step.Cause
	Reason  string // why, for an outcome

	request store.RequestID // made by the engine
}

// MaxResults is the maximum of results in one report.
const MaxResults = 10_000

// A TargetResult is the result of one target. Its times are the executor's: zero for not
// known, or up to [step.MaxTime], and the finish is not before the start.
type TargetResult struct {
	Target int32 // its index in the step's definition, from 0
	store.Result
}

// Expire applies a deadline that has passed.
type Expire struct {
	Job     store.JobID
	Step    step.ID
	Attempt int32

	request store.RequestID // made by the engine
}
