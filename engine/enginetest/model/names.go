package model

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// The names of the document, written a second time.

var states = []step.State{
	step.Pending, step.Running, step.Succeeded, step.Failed, step.Skipped, step.ErrorIgnored, step.Waiting, step.Abnormal,
	step.Terminating, step.Terminated, step.ConfirmationTerminated, step.Abandoned, step.Gated,
}

var events = []step.Cause{
	step.Entered, step.AllSucceeded, step.SomeFailed, step.FailuresIgnored, step.Stopped, step.Broke, step.Dropped,
	step.Expired, step.ExpiredConfirmed, step.Opened, step.FailedAgain, step.JobExpired,
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
	operation.Continue.Cause(), operation.StopBefore.Cause(), operation.ClearStop.Cause(),
}

var jobCodes = []step.Cause{operation.TerminateJob.Cause(), operation.StartJob.Cause(), operation.HoldJob.Cause(), operation.ResumeJob.Cause(),
	operation.SealJob.Cause(), operation.CommentJob.Cause()}

var effectCauses = []step.Cause{step.GivenUp, step.Hurried}

var dos = []step.Do{
	step.Enter, step.RunDue, step.RunAll, step.RunNext, step.Ask, step.Open, step.Accept, step.Vote, step.Unvote, step.Pass,
	step.Stop, step.End, step.Hold, step.Release, step.Seal, step.Note, step.Mark, step.Unmark,
}

var guards = []operation.Guard{
	operation.Free, operation.SomeDue, operation.Approver, operation.Waivable, operation.GatedByHold, operation.Held, operation.Unheld,
	operation.BatchLeft, operation.Marked, operation.Unmarked, operation.Unfinal,
}

// The types of embedders, and the causes of embedders on a step and on a job, whose names the
// document does not know.
const (
	firstCustom, lastCustom       = 32, 63
	firstCustomJob, lastCustomJob = 160, 191
)

// Misnamed returns a line for each cell of r with a type that cannot be entered, or with a state,
// a cause, a consequence or a guard without a name. No check uses these cells, so they are
// mistakes in the expected rules. The lines are sorted.
func (r *Rules) Misnamed() []string {
	var lines []string
	look := func(c cell, move operation.Move) {
		line := fmt.Sprintf("%v in %v: %v, to %v", c.Type, c.State, c.Cause, move.To)
		var slips []string
		if c.Type > lastCustom || r.Enters(c.Type) == 0 {
			slips = append(slips, "the type cannot be entered")
		}
		stays := move.Do == step.Mark || move.Do == step.Unmark
		if !slices.Contains(states, c.State) || !slices.Contains(states, move.To) && !(stays && move.To == 0) {
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
	for c, move := range r.whole {
		line := fmt.Sprintf("the whole job in %v: %v", c.Job, c.Cause)
		if !slices.Contains(states, c.Job) {
			lines = append(lines, line+": there is no such state")
		}
		if !onJob(c.Cause) {
			lines = append(lines, line+": there is no such operation on a job")
		}
		if !slices.Contains(dos, move.Do) {
			lines = append(lines, fmt.Sprintf("%s: there is no consequence %d", line, move.Do))
		}
		if !slices.Contains(guards, move.Guard) {
			lines = append(lines, fmt.Sprintf("%s: there is no guard %d", line, move.Guard))
		}
	}
	slices.Sort(lines)
	return lines
}

// onJob reports whether a cause is an operation on a job.
func onJob(cause step.Cause) bool {
	return slices.Contains(jobCodes, cause) || cause >= firstCustomJob && cause <= lastCustomJob
}
