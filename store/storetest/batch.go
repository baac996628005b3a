package storetest

import (
	"fmt"
	"math/rand/v2"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var batchPromises = []promise{
	{"Commit/keeps each batch that began, and when it began", batchesKept},
	{"Commit/results that end a batch are of that batch", batchesResults},
	{"Targets/of a class go by the run of each batch", batchesClasses},
	{"Targets/a page of a class goes on in the next batch", batchesPage},
	{"Snapshot/has the batches of all steps if it has targets", batchesShown},
}

// rolled takes a step of many targets in four batches through several attempts each, and calls look
// after each commit. Batches end in every way: with success, accepted after failures, and before a gate.
// The outcomes are random and the same each time.
func (x trial) rolled(look func(*job)) {
	random := rand.New(rand.NewPCG(3, 4))
	outcomes := []step.Status{step.TargetSucceeded, step.TargetSucceeded, step.NonZeroExit, step.AgentError, step.TargetRunning, 0}
	j := x.create(create(1, teamA, t0, rolling(script("a", hosts), "1 60 *2"), rolling(script("b", 3), "2")))
	look(j)
	at := t0
	do := func(c store.Change) {
		x.Helper()
		x.do(j, c)
		look(j)
		at += minute
	}
	do(start(j.view(1), at))
	for batch := int32(1); batch <= 4; batch++ {
		for _, code := range []operation.Code{operation.RetryFailed, operation.RetryAll, operation.RetryFailed, operation.RetryFailed} {
			outcome := map[int32]step.Status{}
			for _, t := range j.in(store.UnfinishedTargets, 1) {
				if status := outcomes[random.IntN(len(outcomes))]; status != 0 && t.Index != j.steps[0].Run.First {
					outcome[t.Index] = status
				}
			}
			do(j.report(at, outcome))
			do(expire(j.view(1), at))
			do(retry(j.view(1), at, code))
		}
		rest := map[int32]step.Status{}
		for _, t := range j.in(store.UnfinishedTargets, 1) {
			rest[t.Index] = step.TargetSucceeded
		}
		if batch%2 == 0 { // the next batch begins with the last success, or the next step
			do(j.report(at, rest))
			continue
		}
		rest[j.steps[0].Run.First] = step.TargetFailed
		failed := j.report(at, rest)
		gate := store.Gate{}
		if batch == 3 {
			gate = store.Gate{Reason: step.PersonGate, Then: step.RunNext}
		}
		do(then(failed, goOn(j.with(failed).view(1), at, gate)))
		if batch == 3 {
			do(open(j.view(1), at, operation.Continue.Cause()))
		}
	}
	do(j.report(at, all(step.TargetSucceeded, 0, 2)))
	do(j.report(at, all(step.TargetFailed, 2, 3)))
}

func batchesKept(x trial) {
	x.rolled(func(j *job) {
		for i, s := range j.steps {
			same(x, fmt.Sprintf("Details of step %d in attempt %d, Batches", s.ID, s.Attempt), x.details(j.Scope, j.ID, s.ID).Batches, j.batches[i])
		}
	})
	made := create(2, teamB, t0, rolling(script("a", 4), "1"))
	j := x.create(then(made, start(newJob(made).view(1), t0))) // created and begun at once
	for i := range int32(3) {
		x.do(j, j.report(t0+step.Time(i+1), all(step.TargetSucceeded, i, i+1)))
	}
	x.holds(j)
}

func batchesResults(x trial) {
	x.rolled(func(j *job) {
		s := j.steps[0]
		for attempt := max(s.Attempt-2, 1); attempt <= s.Attempt; attempt++ {
			f := store.TargetFilter{Job: 1, Step: 1, Attempt: attempt, Page: everyTarget}
			same(x, fmt.Sprintf("Targets of attempt %d, while in attempt %d", attempt, s.Attempt), results(x.targets(f)), results(j.of(1, attempt)))
		}
		same(x, fmt.Sprintf("Targets in attempt %d", s.Attempt), x.targets(store.TargetFilter{Job: 1, Step: 1, Page: everyTarget}), j.targets[0])
	})
}

func batchesClasses(x trial) {
	x.rolled(func(j *job) {
		for _, class := range classes {
			for _, s := range j.steps {
				f := store.TargetFilter{Job: 1, Step: s.ID, Class: class, Page: everyTarget}
				same(x, fmt.Sprintf("Targets of class %d, step %d, attempt %d, batch %d, run %+v", class, s.ID, s.Attempt, s.Batch, s.Run), x.targets(f), j.in(class, s.ID))
			}
		}
		for _, s := range j.steps {
			if s.Attempt == 0 {
				continue
			}
			equal(x, "the model's own count of class Succeeded", len(j.in(store.SucceededTargets, s.ID)), int(s.Before+s.Succeeded))
			equal(x, "the model's own count of class Unfinished", len(j.in(store.UnfinishedTargets, s.ID)), int(s.Unfinished))
			equal(x, "the model's own count of class Failed", len(j.in(store.FailedTargets, s.ID)), int(s.Failed()))
		}
	})
}

// batchesPage pages through a step that is in the last but one of its batches.
func batchesPage(x trial) {
	j := x.started(1, teamA, t0, rolling(script("a", 17), "5 4"))
	failed := j.report(t0, map[int32]step.Status{0: 9, 1: 11, 2: 11, 3: 9, 4: 9})
	x.do(j, then(failed, goOn(j.with(failed).view(1), t0, store.Gate{})))
	x.do(j, j.report(t0, map[int32]step.Status{5: 9, 7: 11}))
	for _, class := range classes {
		pages(x, fmt.Sprintf("Targets of class %d in batch 2", class), j.in(class, 1), func(t store.Target) int32 { return t.Index }, func(p store.Page[int32]) []store.Target {
			return x.targets(store.TargetFilter{Job: 1, Step: 1, Class: class, Page: p})
		})
	}
}

func batchesShown(x trial) {
	x.rolled(func(j *job) { x.shows(j, most) })
	x.shows(x.started(2, teamA, t0, rolling(script("a", 3), "2")), 2)
}
