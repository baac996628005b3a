package storetest

import (
	"fmt"
	"math"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var overduePromises = []promise{
	{"Overdue/are steps whose deadline is not after now", overdueNow},
	{"Overdue/follows the deadline as it is set, changed and cleared", overdueFollows},
	{"Overdue/comes longest overdue first", overdueOrder},
	{"Overdue/is at most limit", overdueLimit},
	{"Overdue/is of the scope", overdueScope},
}

func overdueNow(x trial) {
	x.started(1, teamA, t0, script("a", 1)) // no deadline
	x.create(create(2, teamA, t0, timed(script("a", 1), time.Second)))
	want := x.started(3, teamA, t0, timed(script("a", 1), time.Second), timed(script("b", 1), time.Second)).overdue()
	same(x, "Overdue 1 ms before the only deadline", x.overdue(teamA, t0+999, 9), nil)
	same(x, "Overdue at the deadline", x.overdue(teamA, t0+1000, 9), want)
	same(x, "Overdue again", x.overdue(teamA, t0+1000, 9), want)
	same(x, "Overdue long after", x.overdue(teamA, never, 9), want)
}

func overdueFollows(x trial) {
	var j *job
	again := func(at step.Time) store.Change {
		broke := expire(j.view(1), at)
		return then(broke, retry(j.with(broke).view(1), at, operation.RetryFailed))
	}
	j = x.create(create(1, teamA, t0, timed(script("a", 2), time.Second), timed(confirmation("b"), time.Minute), script("c", 1)))
	for i, next := range []func(at step.Time) store.Change{
		func(at step.Time) store.Change { return start(j.view(1), at) },                        // set
		func(at step.Time) store.Change { return j.report(at, all(step.TargetRunning, 0, 2)) }, // kept
		func(at step.Time) store.Change { return j.report(at, all(step.TargetFailed, 0, 2)) },  // cleared
		func(at step.Time) store.Change { return retry(j.view(1), at, operation.RetryFailed) }, // set, for the next attempt
		again, // changed, to that of the attempt after
		func(at step.Time) store.Change { return expire(j.view(1), at) },                               // cleared
		func(at step.Time) store.Change { return retry(j.view(1), at, operation.RetryAll) },            // set
		func(at step.Time) store.Change { return j.report(at, all(step.TargetSucceeded, 0, 2)) },       // another step's
		func(at step.Time) store.Change { return move(j.view(2), at, store.Record{}, step.Succeeded) }, // cleared
	} {
		at := t0 + step.Time(i)*10*minute
		x.do(j, next(at))
		want := j.overdue()
		same(x, fmt.Sprintf("Overdue after change %d", i+1), x.overdue(teamA, never, 9), want)
		if len(want) > 0 {
			same(x, fmt.Sprintf("Overdue after change %d, before the deadline", i+1), x.overdue(teamA, want[0].Due-1, 9), nil)
		}
	}
}

// deadlines starts jobs whose deadlines are in no order, and returns the deadlines in their order.
// They are many, so that some meet however a store spreads them.
func (x trial) deadlines() []store.Overdue {
	const jobs = 199
	want := make([]store.Overdue, jobs)
	for i := range jobs {
		id, place := store.JobID(i+1), i*83%jobs
		timeout := time.Duration(place+1) * time.Second
		x.started(id, []store.Scope{teamA, teamB}[i%2], t0, timed(script("a", 1), timeout))
		want[place] = store.Overdue{Job: id, Step: 1, Attempt: 1, Due: t0.Add(timeout)}
	}
	return want
}

func overdueOrder(x trial) {
	want := x.deadlines()
	for i := 0; i < len(want); i += 9 {
		same(x, fmt.Sprintf("Overdue after %d of the deadlines", i+1), x.overdue(store.Scope{}, want[i].Due, 999), want[:i+1])
	}
	for range 5 { // the first becomes the last
		v := x.view(store.Query{Job: want[0].Job})
		broke := expire(v, t0+5*minute)
		v.Job, v.Step = broke.Job, broke.Steps[0]
		x.commit(then(broke, retry(v, t0+5*minute, operation.RetryAll)))
		v = x.view(store.Query{Job: want[0].Job})
		want = append(want[1:], store.Overdue{Job: v.Job.ID, Step: 1, Attempt: 2, Due: v.Step.Due})
		same(x, "Overdue after the first was retried", x.overdue(store.Scope{}, never, 999), want)
		same(x, "Overdue after the first was retried, those before it", x.overdue(store.Scope{}, want[150].Due, 999), want[:151])
	}
}

func overdueLimit(x trial) {
	want := x.deadlines()
	for _, limit := range []int{1, 2, 3, 50, len(want) - 1, len(want), len(want) + 1, math.MaxInt} {
		same(x, fmt.Sprintf("Overdue with limit %d", limit), x.overdue(store.Scope{}, never, limit), want[:min(limit, len(want))])
	}
}

func overdueScope(x trial) {
	every := x.deadlines()
	for _, scope := range []store.Scope{teamA, teamB} {
		var want []store.Overdue
		for _, o := range every {
			if (scope == teamA) == (o.Job%2 == 1) {
				want = append(want, o)
			}
		}
		same(x, fmt.Sprintf("Overdue in scope %+v", scope), x.overdue(scope, never, 999), want)
		same(x, fmt.Sprintf("Overdue in scope %+v, limit 2", scope), x.overdue(scope, never, 2), want[:2])
	}
}
