package model

import (
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Documented returns the rules of the document, written a second time. The caller owns the
// result.
func Documented() *Rules {
	r := &Rules{
		operations: map[operationCell]operation.Move{},
		jobs:       map[jobCell]step.State{},
		events:     map[eventCell]step.State{},
		ofCode:     map[operation.Code]int{},
		ofType:     map[codeOfType]int{},
	}
	for _, t := range []step.Type{step.Script, step.FileTransfer, step.SQL} {
		r.work(t)
	}
	r.confirmation(step.Confirmation)
	return r
}

// work says what becomes of a step that runs on targets.
func (r *Rules) work(t step.Type) {
	r.Allow(t, step.Failed, operation.RetryFailed, step.Running, operation.DueOnly)
	r.Allow(t, step.Abnormal, operation.RetryFailed, step.Running, operation.DueOnly)
	r.Allow(t, step.Terminated, operation.RetryFailed, step.Running, operation.DueOnly)
	r.Allow(t, step.Failed, operation.IgnoreError, step.ErrorIgnored, operation.Unguarded)
	r.Allow(t, step.Abnormal, operation.IgnoreError, step.ErrorIgnored, operation.Unguarded)
	r.Allow(t, step.Failed, operation.RetryAll, step.Running, operation.Unguarded)
	r.Allow(t, step.Abnormal, operation.RetryAll, step.Running, operation.Unguarded)
	r.Allow(t, step.Terminated, operation.RetryAll, step.Running, operation.Unguarded)
	r.Allow(t, step.Terminated, operation.NextStep, step.Skipped, operation.Unguarded)
	r.Allow(t, step.Terminating, operation.ForcedSkip, step.Skipped, operation.Unguarded)
	r.Allow(t, step.Terminated, operation.ForcedSkip, step.Skipped, operation.Unguarded)

	r.AllowJob(t, step.Running, operation.TerminateJob, step.Terminating)
	r.AllowJob(t, step.Pending, operation.StartJob, step.Running)

	r.Lead(t, step.Pending, step.Entered, step.Running)

	r.Lead(t, step.Running, step.AllSucceeded, step.Succeeded)
	r.Lead(t, step.Running, step.SomeFailed, step.Failed)
	r.Lead(t, step.Running, step.FailuresIgnored, step.ErrorIgnored)
	r.Lead(t, step.Running, step.Stopped, step.Terminated)
	r.Lead(t, step.Running, step.Broke, step.Abnormal)
	r.Lead(t, step.Running, step.Dropped, step.Abandoned)
	r.Lead(t, step.Running, step.Expired, step.Abnormal)

	r.Lead(t, step.Terminating, step.AllSucceeded, step.Terminated)
	r.Lead(t, step.Terminating, step.SomeFailed, step.Terminated)
	r.Lead(t, step.Terminating, step.FailuresIgnored, step.Terminated)
	r.Lead(t, step.Terminating, step.Stopped, step.Terminated)
	r.Lead(t, step.Terminating, step.Broke, step.Terminated)
	r.Lead(t, step.Terminating, step.Dropped, step.Abandoned)
	r.Lead(t, step.Terminating, step.Expired, step.Terminated)
}

// confirmation says what becomes of a step that asks a person.
func (r *Rules) confirmation(t step.Type) {
	r.Allow(t, step.Waiting, operation.Confirm, step.Succeeded, operation.ConfirmerOnly)
	r.Allow(t, step.Waiting, operation.TerminateConfirmation, step.ConfirmationTerminated, operation.ConfirmerOnly)
	r.Allow(t, step.ConfirmationTerminated, operation.RestartConfirmation, step.Waiting, operation.Unguarded)

	r.AllowJob(t, step.Waiting, operation.TerminateJob, step.Terminated)
	r.AllowJob(t, step.Pending, operation.StartJob, step.Waiting)

	r.Lead(t, step.Pending, step.Entered, step.Waiting)
	r.Lead(t, step.Waiting, step.Expired, step.ConfirmationTerminated)
	r.Lead(t, step.Waiting, step.ExpiredConfirmed, step.Succeeded)
}
