package storetest

import (
	"fmt"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var gatePromises = []promise{
	{"Commit/shows a gate at once, until it opens", gatesShown},
	{"Overdue/are steps whose gate opens by now as well", gatesDue},
}

// gates takes a job through gates of every reason and consequence, and calls look after each commit.
func (x trial) gates(look func(*job)) {
	retried := timed(script("a", 3), time.Minute)
	retried.Retry, retried.TotalTimeout = step.Retry{Attempts: 2, After: time.Minute}, 3*time.Hour
	j := x.create(under(create(1, teamA, t0, retried, confirmation("b"), rolling(script("c", 4), "2")), store.JobPolicy{StartAt: t0 + minute, Timeout: 24 * time.Hour}))
	look(j)
	for i, next := range []func(at step.Time) store.Change{
		func(at step.Time) store.Change { return stopBefore(j.view(2), at, true) },
		func(at step.Time) store.Change {
			return shut(j.view(1), at, operation.StartJob.Cause(), store.Gate{Reason: step.TimeGate, Then: step.Enter, Until: at + minute})
		},
		func(at step.Time) store.Change { return open(j.view(1), at, step.Opened) },
		func(at step.Time) store.Change { return j.report(at, all(step.TargetSucceeded, 0, 2)) },
		func(at step.Time) store.Change { // failed again: the retry waits
			return shut(j.view(1), at, step.FailedAgain, store.Gate{Reason: step.TimeGate, Then: step.RunDue, Until: at + 60*minute})
		},
		func(at step.Time) store.Change { return hold(j.view(1), at) },
		func(at step.Time) store.Change { // its moment comes, and the hold keeps it
			return shut(j.view(1), at, step.Opened, store.Gate{Reason: step.HoldGate, Then: step.RunDue})
		},
		func(at step.Time) store.Change { return open(j.view(1), at, operation.ResumeJob.Cause()) },
		func(at step.Time) store.Change { // the next step waits for a person
			gate := store.Gate{Reason: step.PersonGate, Then: step.Enter}
			return act(j.view(1), at, store.Record{Cause: operation.ForcedSkip.Cause()}, step.Skipped, 0, gate)
		},
		func(at step.Time) store.Change { return open(j.view(2), at, operation.Continue.Cause()) },
		func(at step.Time) store.Change {
			return shut(j.view(2), at, operation.RestartConfirmation.Cause(), store.Gate{Reason: step.WindowGate, Then: step.Ask, Until: at})
		},
		func(at step.Time) store.Change { return open(j.view(2), at, step.Opened) },
		func(at step.Time) store.Change {
			return move(j.view(2), at, store.Record{Cause: operation.Confirm.Cause()}, step.Succeeded)
		},
		func(at step.Time) store.Change {
			failed := j.report(at, all(step.TargetFailed, 0, 2))
			return then(failed, goOn(j.with(failed).view(3), at, store.Gate{Reason: step.TimeGate, Then: step.RunNext, Until: at + 5}))
		},
		func(at step.Time) store.Change {
			return move(j.view(3), at, store.Record{Cause: operation.TerminateJob.Cause()}, step.Terminated)
		},
		func(at step.Time) store.Change { return shut(j.view(3), at, operation.Continue.Cause(), hourly(at)) },
		func(at step.Time) store.Change { return open(j.view(3), at, step.Opened) },
		func(at step.Time) store.Change { return j.report(at, all(step.TargetSucceeded, 2, 4)) },
	} {
		x.do(j, next(t0+step.Time(i)*10*minute))
		look(j)
	}
}

// hourly is the gate of a window that opens in an hour.
func hourly(at step.Time) store.Gate {
	return store.Gate{Reason: step.WindowGate, Then: step.RunNext, Until: at + 60*minute}
}

func gatesShown(x trial) {
	x.gates(func(j *job) {
		x.holds(j)
		x.shows(j, most)
	})
}

func gatesDue(x trial) {
	x.gates(func(j *job) {
		want := j.overdue()
		call := fmt.Sprintf("Overdue after record %d, in %v", j.Version, j.State)
		same(x, call, x.overdue(teamA, never, 9), want)
		if len(want) > 0 {
			same(x, call+", at its moment", x.overdue(teamA, want[0].Due, 9), want)
			same(x, call+", 1 ms before its moment", x.overdue(teamA, want[0].Due-1, 9), nil)
		}
	})
}
