package model

import (
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Documented returns the rules of the document, written a second time. The caller owns the
// result.
func Documented() *Rules {
	r := &Rules{
		cells:  map[cell]operation.Move{},
		whole:  map[wholeCell]step.Do{},
		has:    map[step.Cause]int{},
		ofType: map[causeOfType]int{},
	}
	for _, t := range []step.Type{step.Script, step.FileTransfer, step.SQL} {
		r.work(t)
	}
	r.confirmation(step.Confirmation)
	return r
}

// The document's operations as causes.
var (
	retryFailed           = operation.RetryFailed.Cause()
	ignoreError           = operation.IgnoreError.Cause()
	confirm               = operation.Confirm.Cause()
	retryAll              = operation.RetryAll.Cause()
	terminateConfirmation = operation.TerminateConfirmation.Cause()
	restartConfirmation   = operation.RestartConfirmation.Cause()
	nextStep              = operation.NextStep.Cause()
	forcedSkip            = operation.ForcedSkip.Cause()
	terminateJob          = operation.TerminateJob.Cause()
	startJob              = operation.StartJob.Cause()
)

// work says what becomes of a step that runs on targets.
func (r *Rules) work(t step.Type) {
	r.Allow(t, step.Failed, retryFailed, step.Running, step.RunDue, operation.SomeDue)
	r.Allow(t, step.Abnormal, retryFailed, step.Running, step.RunDue, operation.SomeDue)
	r.Allow(t, step.Terminated, retryFailed, step.Running, step.RunDue, operation.SomeDue)
	r.Allow(t, step.Failed, ignoreError, step.ErrorIgnored, step.Accept, operation.Free)
	r.Allow(t, step.Abnormal, ignoreError, step.ErrorIgnored, step.Accept, operation.Free)
	r.Allow(t, step.Failed, retryAll, step.Running, step.RunAll, operation.Free)
	r.Allow(t, step.Abnormal, retryAll, step.Running, step.RunAll, operation.Free)
	r.Allow(t, step.Terminated, retryAll, step.Running, step.RunAll, operation.Free)
	r.Allow(t, step.Terminated, nextStep, step.Skipped, step.Pass, operation.Free)
	r.Allow(t, step.Terminating, forcedSkip, step.Skipped, step.Pass, operation.Free)
	r.Allow(t, step.Terminated, forcedSkip, step.Skipped, step.Pass, operation.Free)

	r.Allow(t, step.Running, terminateJob, step.Terminating, step.Stop, operation.Free)
	r.Allow(t, step.Pending, startJob, step.Running, step.Enter, operation.Free)

	r.Lead(t, step.Pending, step.Entered, step.Running, step.Enter)

	r.Lead(t, step.Running, step.AllSucceeded, step.Succeeded, step.Accept)
	r.Lead(t, step.Running, step.SomeFailed, step.Failed, step.End)
	r.Lead(t, step.Running, step.FailuresIgnored, step.ErrorIgnored, step.Accept)
	r.Lead(t, step.Running, step.Stopped, step.Terminated, step.End)
	r.Lead(t, step.Running, step.Broke, step.Abnormal, step.End)
	r.Lead(t, step.Running, step.Dropped, step.Abandoned, step.End)
	r.Lead(t, step.Running, step.Expired, step.Abnormal, step.End)

	r.Lead(t, step.Terminating, step.AllSucceeded, step.Terminated, step.End)
	r.Lead(t, step.Terminating, step.SomeFailed, step.Terminated, step.End)
	r.Lead(t, step.Terminating, step.FailuresIgnored, step.Terminated, step.End)
	r.Lead(t, step.Terminating, step.Stopped, step.Terminated, step.End)
	r.Lead(t, step.Terminating, step.Broke, step.Terminated, step.End)
	r.Lead(t, step.Terminating, step.Dropped, step.Abandoned, step.End)
	r.Lead(t, step.Terminating, step.Expired, step.Terminated, step.End)
}

// confirmation says what becomes of a step that asks a person.
func (r *Rules) confirmation(t step.Type) {
	r.Allow(t, step.Waiting, confirm, step.Succeeded, step.Vote, operation.Approver)
	r.Allow(t, step.Waiting, terminateConfirmation, step.ConfirmationTerminated, step.End, operation.Approver)
	r.Allow(t, step.ConfirmationTerminated, restartConfirmation, step.Waiting, step.Ask, operation.Free)

	r.Allow(t, step.Waiting, terminateJob, step.Terminated, step.End, operation.Free)
	r.Allow(t, step.Pending, startJob, step.Waiting, step.Enter, operation.Free)

	r.Lead(t, step.Pending, step.Entered, step.Waiting, step.Enter)
	r.Lead(t, step.Waiting, step.Expired, step.ConfirmationTerminated, step.End)
	r.Lead(t, step.Waiting, step.ExpiredConfirmed, step.Succeeded, step.Pass)
}
