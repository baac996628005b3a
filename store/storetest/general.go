package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var generalPromises = []promise{
	{"General/methods are safe for concurrent use", concurrentUse},
	{"General/nothing kept shares memory with what was passed", passedMemory},
	{"General/nothing kept shares memory with what was returned", returnedMemory},
	{"General/a context that has ended fails every call and nothing is done", endedContext},
	{"General/a store reads no clock", noClock},
	{"General/a read sees every commit that returned before it", freshReads},
	{"General/a job of another scope does not exist", otherScope},
	{"General/a scope is its type and its id", scopeParts},
	{"General/the zero scope of a read is every scope", zeroScope},
}

// concurrentUse calls every method from several goroutines, on jobs of their own
// and on one that they share, and then checks that every accepted change is stored.
func concurrentUse(x trial) {
	const workers, rounds = 4, 12
	shared := x.started(1, teamA, t0, script("shared", 1))
	own := func(id store.JobID) *job { return newJob(create(id, teamB, t0, script("own", 4))) }
	var passed atomic.Int32
	var wg sync.WaitGroup
	for w := range store.JobID(workers) {
		id := 10 + w
		wg.Go(func() {
			x.race(x.Commit(x.Context(), create(id, teamB, t0, script("own", 4))))
			x.race(x.Commit(x.Context(), start(own(id).view(1), t0)))
			for i := range rounds {
				at := t0 + step.Time(i)
				v, err := x.View(x.Context(), store.Query{Job: 1, Targets: []int32{0}})
				x.race(err)
				err = x.Commit(x.Context(), report(v, at, all(step.TargetRunning, 0, 1)))
				x.race(err)
				if err == nil {
					passed.Add(1)
				}
				x.race(x.Commit(x.Context(), create(1000-10*store.JobID(i)-w, teamB, at, script("more", 1))))
				x.raceReads(id, at)
				x.raceLeases(at, i == rounds-1)
			}
		})
	}
	wg.Wait()
	if x.Failed() {
		return
	}
	for w := range store.JobID(workers) {
		j := own(10 + w)
		x.holds(j.with(start(j.view(1), t0)))
	}
	equal(x, "how many jobs there are", len(x.jobs(store.JobFilter{Page: everyJob})), 1+workers+workers*rounds)
	equal(x, "the version of the shared job", x.view(store.Query{Job: 1}).Job.Version, shared.Version+store.Seq(passed.Load()))
}

// raceReads reads job 1, a job of teamB and the lists of jobs, among concurrent calls.
func (x trial) raceReads(own store.JobID, at step.Time) {
	_, err := x.Created(x.Context(), teamB, requestOf(own, 1))
	x.race(err)
	_, err = x.Jobs(x.Context(), store.JobFilter{Page: everyJob})
	x.race(err)
	_, err = x.Counts(x.Context(), store.Scope{}, most)
	x.race(err)
	_, err = x.Snapshot(x.Context(), store.SnapshotQuery{Scope: teamB, Job: own, Targets: most})
	x.race(err)
	_, err = x.Steps(x.Context(), teamB, own, everyStep)
	x.race(err)
	_, err = x.Targets(x.Context(), store.TargetFilter{Job: 1, Step: 1, Class: store.DueTargets, Page: everyTarget})
	x.race(err)
	_, err = x.Targets(x.Context(), store.TargetFilter{Job: 1, Step: 1, Attempt: 1, Page: everyTarget})
	x.race(err)
	_, err = x.History(x.Context(), teamA, 1, everySeq)
	x.race(err)
	_, err = x.Details(x.Context(), store.DetailQuery{Scope: teamB, Job: own, Step: 1})
	x.race(err)
	_, err = x.Effects(x.Context(), teamA, 1, everySeq)
	x.race(err)
	_, err = x.Overdue(x.Context(), store.Scope{}, at, 10)
	x.race(err)
}

// raceLeases claims two effects and defers them, among concurrent calls, and at last settles them.
func (x trial) raceLeases(at step.Time, last bool) {
	ds, err := x.Claim(x.Context(), store.Claim{Effects: []store.Effect{store.RunTargets}, Now: at, Until: at + 1, Limit: 2})
	x.race(err)
	for _, d := range ds {
		x.race(x.Defer(x.Context(), failed(d, "busy")))
		if last {
			x.race(x.Settle(x.Context(), d))
		}
	}
}

// race ends the trial on any error but those that a race may end in.
func (x trial) race(errs ...error) {
	for _, err := range errs {
		if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrLeaseLost) {
			x.Errorf("a call among concurrent ones: got error %v, want none, a conflict or a lost lease", err)
		}
	}
}

func passedMemory(x trial) {
	specs := func() []step.Spec { return []step.Spec{script("a", 3), confirmation("b", "alice", "bob")} }
	c := create(1, teamA, t0, specs()...)
	x.commit(c)
	j := newJob(create(1, teamA, t0, specs()...))
	c.Specs[0].Targets[1], c.Specs[1].Confirmers[0] = "scribbled", "scribbled"
	scribble(c.Specs)
	scribble(c.Steps)
	scribble(c.Records)
	x.holds(j)

	x.do(j, start(j.view(1), t0))
	c = j.report(t0, all(step.TargetSucceeded, 0, 2))
	want := j.with(j.report(t0, all(step.TargetSucceeded, 0, 2)))
	x.commit(c)
	scribble(c.Steps)
	scribble(c.Targets)
	scribble(c.Records)
	x.holds(want)

	asked := []int32{2, 0}
	v := x.view(store.Query{Job: 1, Targets: asked})
	kinds := []store.Effect{store.RunTargets}
	d := x.claim(store.Claim{Effects: kinds, Now: t0, Until: t0 + minute})
	scribble(asked)
	scribble(kinds)
	same(x, "View.Targets after its Query was written to", v.Targets, want.view(1, 2, 0).Targets)
	same(x, "Claim after its kinds were written to", x.effects(teamA, 1, everySeq), d)
}

// scribble writes over all of a slice.
func scribble[T any](s []T) {
	clear(s)
	clear(s[:cap(s)])
}

func returnedMemory(x trial) {
	j := x.started(1, teamA, t0, timed(script("a", 3), 1), confirmation("b"))
	x.do(j, j.report(t0, all(step.TargetSucceeded, 0, 2)))
	before := x.dump()

	v := x.view(store.Query{Job: 1, Targets: []int32{0, 1}, Request: requestOf(1, 2)})
	if v.Replay == nil {
		x.Fatalf("View of job 1 with the request of its record 2: got no Replay, want one")
	}
	*v.Replay = store.Record{}
	scribble(v.Targets)
	scribble(x.jobs(store.JobFilter{Page: everyJob}))
	scribble(x.steps(teamA, 1, everyStep))
	snapshot := x.snapshot(store.SnapshotQuery{Job: 1, Targets: most})
	scribble(snapshot.Steps)
	scribble(snapshot.Targets)
	clear(x.counts(store.Scope{}, most))
	scribble(x.targets(store.TargetFilter{Job: 1, Step: 1, Page: everyTarget}))
	scribble(x.targets(store.TargetFilter{Job: 1, Step: 1, Class: store.DueTargets, Page: everyTarget}))
	scribble(x.targets(store.TargetFilter{Job: 1, Step: 1, Attempt: 1, Page: everyTarget}))
	scribble(x.history(teamA, 1, everySeq))
	scribble(x.effects(teamA, 1, everySeq))
	scribble(x.overdue(teamA, never, most))
	same(x, "all there is after every result was written to", x.dump(), before)
	x.holds(j)
	again := x.view(store.Query{Job: 1, Request: requestOf(1, 2)})
	equal(x, "View with the same request after its Replay was written to, Replay", again.Replay, &j.records[1])

	scribble(x.claim(store.Claim{Now: t0, Until: t0 + minute}))
	same(x, "Effects after the result of Claim was written to", x.effects(teamA, 1, everySeq), claimed(j.effects(), 1, t0+minute))
}

func endedContext(x trial) {
	j := x.started(1, teamA, t0, timed(script("a", 2), 1))
	d := x.claimOne(t0, t0+1)
	before := x.dump()
	cancelled, cancel := context.WithCancel(x.Context())
	cancel()
	late, cancel := context.WithDeadline(x.Context(), t0.Std())
	defer cancel()
	for _, ctx := range []context.Context{cancelled, late} {
		for _, call := range []struct {
			name string
			call func() error
		}{
			{"View", func() error { _, err := x.View(ctx, store.Query{Job: 1}); return err }},
			{"Created", func() error { _, err := x.Created(ctx, teamA, requestOf(1, 1)); return err }},
			{"Commit", func() error { return x.Commit(ctx, j.report(t0, all(step.TargetFailed, 0, 2))) }},
			{"Commit of a creation", func() error { return x.Commit(ctx, create(2, teamA, t0, script("b", 1))) }},
			{"Jobs", func() error { _, err := x.Jobs(ctx, store.JobFilter{Page: everyJob}); return err }},
			{"Counts", func() error { _, err := x.Counts(ctx, teamA, 1); return err }},
			{"Snapshot", func() error { _, err := x.Snapshot(ctx, store.SnapshotQuery{Job: 1, Targets: 2}); return err }},
			{"Steps", func() error { _, err := x.Steps(ctx, teamA, 1, everyStep); return err }},
			{"Targets", func() error {
				_, err := x.Targets(ctx, store.TargetFilter{Job: 1, Step: 1, Page: everyTarget})
				return err
			}},
			{"History", func() error { _, err := x.History(ctx, teamA, 1, everySeq); return err }},
			{"Details", func() error { _, err := x.Details(ctx, store.DetailQuery{Job: 1, Step: 1}); return err }},
			{"Effects", func() error { _, err := x.Effects(ctx, teamA, 1, everySeq); return err }},
			{"Claim", func() error {
				_, err := x.Claim(ctx, store.Claim{Effects: []store.Effect{store.RunTargets}, Now: never, Until: never + 1, Limit: 1})
				return err
			}},
			{"Defer", func() error { return x.Defer(ctx, failed(d, "late")) }},
			{"Settle", func() error { return x.Settle(ctx, d) }},
			{"Overdue", func() error { _, err := x.Overdue(ctx, teamA, never, 1); return err }},
		} {
			x.is(call.call(), ctx.Err(), "%s with a context that has ended", call.name)
			same(x, "all there is after a "+call.name+" with a context that has ended", x.dump(), before)
		}
	}
}

func noClock(x trial) {
	const ahead = never // tens of thousands of years
	past := x.started(1, teamA, 5, timed(script("a", 1), 1))
	same(x, "Claim at 5 of what was recorded then", x.claim(store.Claim{Now: 5, Until: 10}), claimed(past.effects(), 1, 10))
	same(x, "Claim at 9, in a lease until 10", x.claim(store.Claim{Now: 9, Until: 20}), nil)
	future := x.started(2, teamA, ahead, timed(script("a", 1), 1))
	same(x, "Claim at 9 of what was recorded far ahead", x.claim(store.Claim{Now: 9, Until: ahead}), claimed(future.effects(), 1, ahead))
	same(x, "Claim 1 ms before far ahead, of two leases until 10 and far ahead", x.claim(store.Claim{Now: ahead - 1, Until: ahead + 5}), claimed(past.effects(), 2, ahead+5))
	same(x, "Claim far ahead, of two leases until then and later", x.claim(store.Claim{Now: ahead, Until: ahead + 5}), claimed(future.effects(), 2, ahead+5))
	same(x, "Overdue at 5 of deadlines at 6 and far ahead", x.overdue(teamA, 5, 9), nil)
	same(x, "Overdue at 6 of deadlines at 6 and far ahead", x.overdue(teamA, 6, 9), []store.Overdue{{Job: 1, Step: 1, Attempt: 1, Due: 6}})
}

func freshReads(x trial) {
	j := x.create(create(1, teamA, t0, timed(script("a", 4), 1), confirmation("b", "alice")))
	for i, next := range []func(at step.Time) store.Change{
		func(at step.Time) store.Change { return start(j.view(0), at) },
		func(at step.Time) store.Change { return j.report(at, all(step.TargetFailed, 0, 2)) },
		func(at step.Time) store.Change { return j.report(at, all(step.TargetSucceeded, 2, 4)) },
		func(at step.Time) store.Change { return retry(j.view(0), at, operation.RetryFailed) },
		func(at step.Time) store.Change { return j.report(at, all(step.TargetSucceeded, 0, 1)) },
		func(at step.Time) store.Change { return j.report(at, all(step.NonZeroExit, 1, 2)) },
		func(at step.Time) store.Change { return skip(j.view(0), at) },
	} {
		x.do(j, next(t0+step.Time(i)))
		x.holds(j)
		same(x, "Effects at once after the commit", x.effects(teamA, 1, everySeq), j.effects())
		same(x, "Overdue at once after the commit", x.overdue(teamA, never, 9), j.overdue())
	}
	now := t0 + minute
	d := byJob(x.claim(store.Claim{Now: now, Until: now + 1}))
	same(x, "Effects at once after Claim", x.effects(teamA, 1, everySeq), claimed(j.effects(), 1, now+1))
	d[0] = x.deferTo(failed(d[0], "busy"), now+9)
	same(x, "Effects at once after Defer, the first row", x.effects(teamA, 1, everySeq)[:1], d[:1])
	x.settle(d[0])
	same(x, "Effects at once after Settle", x.effects(teamA, 1, everySeq), d[1:])
}

func otherScope(x trial) {
	reads := []struct {
		name string
		read func() error
	}{
		{"View", func() error { _, err := x.View(x.Context(), store.Query{Scope: teamB, Job: 1}); return err }},
		{"View of a step", func() error { _, err := x.View(x.Context(), store.Query{Scope: teamB, Job: 1, Step: 1}); return err }},
		{"Created", func() error { _, err := x.Created(x.Context(), teamB, requestOf(1, 1)); return err }},
		{"Snapshot", func() error {
			_, err := x.Snapshot(x.Context(), store.SnapshotQuery{Scope: teamB, Job: 1, Targets: most})
			return err
		}},
		{"Steps", func() error { _, err := x.Steps(x.Context(), teamB, 1, everyStep); return err }},
		{"Targets", func() error {
			_, err := x.Targets(x.Context(), store.TargetFilter{Scope: teamB, Job: 1, Step: 1, Page: everyTarget})
			return err
		}},
		{"Targets of an attempt", func() error {
			_, err := x.Targets(x.Context(), store.TargetFilter{Scope: teamB, Job: 1, Step: 1, Attempt: 1, Page: everyTarget})
			return err
		}},
		{"History", func() error { _, err := x.History(x.Context(), teamB, 1, everySeq); return err }},
		{"Details", func() error {
			_, err := x.Details(x.Context(), store.DetailQuery{Scope: teamB, Job: 1, Step: 1})
			return err
		}},
		{"Effects", func() error { _, err := x.Effects(x.Context(), teamB, 1, everySeq); return err }},
	}
	unused := map[string]error{}
	for _, r := range reads {
		unused[r.name] = r.read()
		x.is(unused[r.name], store.ErrNotFound, "%s, the id was never used", r.name)
	}
	j := x.started(1, teamA, t0, timed(script("a", 2), 1))
	x.do(j, j.report(t0, all(step.TargetFailed, 0, 1)))
	for _, r := range reads {
		err := r.read()
		x.is(err, store.ErrNotFound, "%s, the job is in another scope", r.name)
		equal(x, r.name+", the error of a job in another scope and that of an id never used", fmt.Sprint(err), fmt.Sprint(unused[r.name]))
	}
	same(x, "Jobs of another scope", x.jobs(store.JobFilter{Scope: teamB, Page: everyJob}), nil)
	equal(x, "Counts of another scope", x.counts(teamB, most), map[step.State]int{})
	same(x, "Overdue of another scope", x.overdue(teamB, never, 9), nil)
	same(x, "Claim in another scope", x.claim(store.Claim{Scope: teamB, Now: never, Until: never + 1}), nil)
	x.holds(j)
}

func scopeParts(x trial) {
	x.started(1, store.Scope{Type: "biz", ID: "12"}, t0, timed(script("a", 1), 1))
	for _, other := range []store.Scope{{Type: "biz_set", ID: "12"}, {Type: "biz", ID: "1"}, {Type: "biz"}, {ID: "12"}, {Type: "biz1", ID: "2"}, {Type: "BIZ", ID: "12"}} {
		_, err := x.View(x.Context(), store.Query{Scope: other, Job: 1})
		x.is(err, store.ErrNotFound, "View in scope %+v of a job in biz 12", other)
		same(x, fmt.Sprintf("Jobs in scope %+v, one job in biz 12", other), x.jobs(store.JobFilter{Scope: other, Page: everyJob}), nil)
		same(x, fmt.Sprintf("Claim in scope %+v, one job in biz 12", other), x.claim(store.Claim{Scope: other, Now: t0, Until: never}), nil)
		same(x, fmt.Sprintf("Overdue in scope %+v, one job in biz 12", other), x.overdue(other, never, 9), nil)
	}
}

func zeroScope(x trial) {
	var want []store.Job
	var due []store.Overdue
	var asked []store.Delivery
	for i, scope := range []store.Scope{teamA, {}, teamB} {
		j := x.started(store.JobID(i+1), scope, t0+step.Time(i), timed(script("a", 1), 1))
		want, due, asked = append(want, j.Job), append(due, j.overdue()...), append(asked, j.effects()...)
		equal(x, "View in the zero scope", x.view(store.Query{Job: j.ID}), j.view(0))
		same(x, "Steps in the zero scope", x.steps(store.Scope{}, j.ID, everyStep), j.steps)
		same(x, "Targets in the zero scope", x.targets(store.TargetFilter{Job: j.ID, Step: 1, Page: everyTarget}), j.targets[0])
		same(x, "History in the zero scope", x.history(store.Scope{}, j.ID, everySeq), j.records)
		equal(x, "Details in the zero scope", x.details(store.Scope{}, j.ID, 1), store.Details{Payload: j.payloads[0]})
		same(x, "Effects in the zero scope", x.effects(store.Scope{}, j.ID, everySeq), j.effects())
	}
	same(x, "Jobs in the zero scope", x.jobs(store.JobFilter{Page: everyJob}), want)
	same(x, "Overdue in the zero scope", x.overdue(store.Scope{}, never, 9), due)
	same(x, "Claim in the zero scope", byJob(x.claim(store.Claim{Now: t0 + 9, Until: never})), claimed(asked, 1, never))
}
