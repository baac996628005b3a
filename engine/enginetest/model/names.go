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

var events = []step.Cause{
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

var codes = []step.Cause{
	operation.RetryFailed.Cause(), operation.IgnoreError.Cause(), operation.Confirm.Cause(), operation.RetryAll.Cause(),
	operation.TerminateConfirmation.Cause(), operation.RestartConfirmation.Cause(), operation.NextStep.Cause(), operation.ForcedSkip.Cause(),
}

var jobCodes = []step.Cause{operation.TerminateJob.Cause(), operation.StartJob.Cause()}

var effectCauses = []step.Cause{step.GivenUp, step.Hurried}

var dos = []step.Do{
	step.Enter, step.RunDue, step.RunAll, step.RunNext, step.Ask, step.Open, step.Accept, step.Vote, step.Unvote, step.Pass,
	step.Stop, step.End, step.Hold, step.Release, step.Seal, step.Note, step.Mark, step.Unmark,
}

var guards = []operation.Guard{operation.Free, operation.SomeDue, operation.Approver}

// The types of embedders, and the causes of embedders on a step and on a job, whose names the
// document does not know.
const (
	firstCustom, lastCustom       = 32, 63
	firstCustomJob, lastCustomJob = 160, 191
)

// Misnamed returns a line for each cell of r that says something of what there is not: a
// type that cannot be entered, a state, a cause, a consequence or a guard without a name. What is
// said there takes no part in anything, so it is a slip of whoever said it. The lines are
// sorted.
func (r *Rules) Misnamed() []string {
	var lines []string
	look := func(c cell, move operation.Move) {
		line := fmt.Sprintf("%v in %v: %v, to %v", c.Type, c.State, c.Cause, move.To)
		var slips []string
		if c.Type > lastCustom || r.Enters(c.Type) == 0 {
			slips = append(slips, "the type cannot be entered")
		}
		if !slices.Contains(states, c.State) || !slices.Contains(states, move.To) {
			slips = append(slips, "there is no such state")
		}
		known := slices.Contains(codes, c.Cause) || c.Cause >= firstCustom && c.Cause <= lastCustom || slices.Contains(events, c.Cause)
		if !known && !onJob(c.Cause) {
			slips = append(slips, "there is no such cause")
		}
		if !slices.Contains(dos, move.Do) {
			slips = append(slips, fmt.Sprintf("there is no consequence %d", move.Do))
		}
		if !slices.Contains(guards, move.Guard) {
			slips = append(slips, fmt.Sprintf("there is no guard %d", move.Guard))
		}
		for _, slip := range slips {
			lines = append(lines, line+": "+slip)
		}
	}
	for c, move := range r.cells {
		look(c, move)
	}
	for c, do := range r.whole {
		line := fmt.Sprintf("the whole job in %v: %v", c.Job, c.Cause)
		if !slices.Contains(states, c.Job) {
			lines = append(lines, line+": there is no such state")
		}
		if !onJob(c.Cause) {
			lines = append(lines, line+": there is no such operation on a job")
		}
		if !slices.Contains(dos, do) {
			lines = append(lines, fmt.Sprintf("%s: there is no consequence %d", line, do))
		}
	}
	slices.Sort(lines)
	return lines
}

// onJob says which causes are operations on a job.
func onJob(cause step.Cause) bool {
	return slices.Contains(jobCodes, cause) || cause >= firstCustomJob && cause <= lastCustomJob
}
