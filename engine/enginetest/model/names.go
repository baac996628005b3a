package model

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// What the document gives a name to, written a second time.

var states = []step.State{
	step.Pending, step.Running, step.Succeeded, step.Failed, step.Skipped, step.ErrorIgnored, step.Waiting, step.Abnormal,
	step.Terminating, step.Terminated, step.ConfirmationTerminated, step.Abandoned,
}

var events = []step.Event{
	step.Entered, step.AllSucceeded, step.SomeFailed, step.FailuresIgnored, step.Stopped, step.Broke, step.Dropped,
	step.Expired, step.ExpiredConfirmed,
}

var statuses = []step.Status{
	step.AgentError, step.InvalidTarget, step.SucceededEarlier, step.TargetWaiting, step.TargetRunning, step.TargetSucceeded,
	step.TargetFailed, step.NotDelivered, step.TargetTimedOut, step.LogError, step.ScriptLogTimeout, step.FileLogTimeout,
	step.AgentNotInstalled, step.ScriptFailed, step.ScriptTimedOut, step.ScriptTerminated, step.NonZeroExit, step.CopyFailed,
	step.SourceMissing, step.FileError, step.FileTimedOut, step.FileAgentError, step.NoSuchUser, step.BadPassword,
	step.FetchFailed, step.TooLarge, step.TransferError, step.TaskError, step.TargetTerminated, step.TerminateFailed,
	step.UnknownStatus,
}

var codes = []operation.Code{
	operation.RetryFailed, operation.IgnoreError, operation.Confirm, operation.RetryAll, operation.TerminateConfirmation,
	operation.RestartConfirmation, operation.NextStep, operation.ForcedSkip,
}

var jobCodes = []operation.JobCode{operation.TerminateJob, operation.StartJob}

var guards = []operation.Guard{operation.Unguarded, operation.DueOnly, operation.ConfirmerOnly}

// The types and the codes of embedders, whose names the document does not know.
const firstCustom, lastCustom = 32, 63

// Misnamed returns a line for each cell of r that says something of what there is not: a
// type that cannot be entered, a state, a code, an event or a guard without a name. What is
// said there takes no part in anything, so it is a slip of whoever said it. The lines are
// sorted.
func (r *Rules) Misnamed() []string {
	var lines []string
	look := func(t step.Type, from step.State, noun string, what fmt.Stringer, known bool, to step.State, guard operation.Guard) {
		line := fmt.Sprintf("%v in %v: %v, to %v", t, from, what, to)
		var slips []string
		if t > lastCustom || r.Enters(t) == 0 {
			slips = append(slips, "the type cannot be entered")
		}
		if !slices.Contains(states, from) || !slices.Contains(states, to) {
			slips = append(slips, "there is no such state")
		}
		if !known {
			slips = append(slips, "there is no such "+noun)
		}
		if !slices.Contains(guards, guard) {
			slips = append(slips, fmt.Sprintf("there is no guard %d", guard))
		}
		for _, slip := range slips {
			lines = append(lines, line+": "+slip)
		}
	}
	for cell, move := range r.operations {
		known := slices.Contains(codes, cell.Code) || cell.Code >= firstCustom && cell.Code <= lastCustom
		look(cell.Type, cell.State, "code", cell.Code, known, move.To, move.Guard)
	}
	for cell, to := range r.jobs {
		look(cell.Type, cell.State, "job code", cell.Code, slices.Contains(jobCodes, cell.Code), to, operation.Unguarded)
	}
	for cell, to := range r.events {
		look(cell.Type, cell.State, "event", cell.Event, slices.Contains(events, cell.Event), to, operation.Unguarded)
	}
	slices.Sort(lines)
	return lines
}
