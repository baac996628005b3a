package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var commitPromises = []promise{
	{"Commit/creates a job on version 0", commitCreates},
	{"Commit/applies all of a change", commitAll},
	{"Commit/applies several records at once", commitRecords},
	{"Commit/applies the records of many reports at once, each with its request", commitReports},
	{"Commit/keeps values as they are", commitValues},
	{"Commit/takes as much as a report may hold", commitMuch},
	{"Commit/another version is a conflict and changes nothing", commitVersion},
	{"Commit/an id that exists is a conflict and changes nothing", commitExists},
	{"Commit/a job that does not exist is at version 0", commitAbsent},
	{"Commit/a request that made a job in the scope is a conflict and changes nothing", commitRequest},
	{"Commit/the same request in another scope, or of another kind, is none", commitOtherRequest},
	{"Commit/of racing changes exactly one passes", commitRace},
	{"Commit/of racing creations exactly one passes", commitRaceCreate},
	{"Commit/two at once on one step lose nothing", commitTwo},
	{"Commit/jobs do not touch each other", commitApart},
	{"Commit/what is told as undone has changed nothing", commitUndone},
}

func commitCreates(x trial) {
	for i, id := range []store.JobID{1, 7, store.MaxJobID} {
		scope := []store.Scope{teamA, teamB, {}}[i]
		j := x.create(create(id, scope, t0, script("a", 2), confirmation("b", "alice"), confirmation("c")))
		x.holds(j)
		same(x, "Effects of a job without any", x.effects(scope, id, everySeq), nil)
	}
}

// commitAll commits the whole life of a job, with every kind of record.
func commitAll(x trial) {
	j := x.create(create(1, teamA, t0, timed(script("a", 3), time.Minute), timed(script("b", 1), time.Second), confirmation("c", "bob")))
	for i, next := range []func(at step.Time) store.Change{
		func(at step.Time) store.Change { return start(j.view(1), at) },
		func(at step.Time) store.Change { return j.report(at, all(step.TargetRunning, 0, 3)) },
		func(at step.Time) store.Change {
			return j.report(at, map[int32]step.Status{0: step.TargetSucceeded, 1: step.NonZeroExit, 2: step.AgentError})
		},
		func(at step.Time) store.Change { return retry(j.view(1), at, operation.RetryFailed) },
		func(at step.Time) store.Change { return j.report(at, map[int32]step.Status{1: step.TargetSucceeded}) },
		func(at step.Time) store.Change { return expire(j.view(1), at) },
		func(at step.Time) store.Change { return retry(j.view(1), at, operation.RetryAll) },
		func(at step.Time) store.Change { return j.report(at, all(step.TargetSucceeded, 0, 3)) },
		func(at step.Time) store.Change { return terminate(j.view(2), at) },
		func(at step.Time) store.Change { return skip(j.view(2), at) },
		func(at step.Time) store.Change {
			return move(j.view(3), at, store.Record{Cause: operation.Confirm.Cause(), Reason: "fine"}, step.Succeeded)
		},
		func(at step.Time) store.Change { return seal(j.view(3), at) },
	} {
		x.do(j, next(t0+step.Time(i)))
		x.holds(j)
	}
	same(x, "Effects of all that was asked for", x.effects(teamA, 1, everySeq), j.effects())
}

func commitRecords(x trial) {
	made := create(1, teamA, t0, script("a", 2), script("b", 2), confirmation("c"))
	j := x.create(then(made, start(newJob(made).view(1), t0))) // the second has an effect
	x.holds(j)
	same(x, "Effects after a creation and a start in one commit", x.effects(teamA, 1, everySeq), j.effects())

	failed := j.report(t0+1, all(step.TargetFailed, 0, 2))
	x.do(j, then(failed, retry(j.with(failed).view(1), t0+2, operation.RetryFailed))) // both have one
	x.holds(j)
	same(x, "Effects after a report and a retry in one commit", x.effects(teamA, 1, everySeq), j.effects())
	skipped := skip(j.view(1), t0+3)
	x.do(j, then(skipped, j.with(skipped).report(t0+3, nil))) // the first has one
	x.holds(j)
	same(x, "Effects after a skip and a report in one commit", x.effects(teamA, 1, everySeq), j.effects())
	stopped := terminate(j.view(2), t0+4)
	c := then(stopped, skip(j.with(stopped).view(2), t0+4))
	x.refused("the first of its records is there already", shift(c, -1))
	x.refused("a record before its first is missing", shift(c, 1))
	x.do(j, c) // both have one, and they change different steps
	x.holds(j)
	same(x, "Effects after a stop and a skip in one commit", x.effects(teamA, 1, everySeq), j.effects())
	for _, r := range j.records {
		equal(x, fmt.Sprintf("View with the request of record %d, one of two in a commit, Replay", r.Seq), x.view(store.Query{Job: 1, Request: r.Request}).Replay, &r)
	}
}

// commitReports commits reports that met. Some have a result for the target of the next one as well,
// and the last ends the step.
func commitReports(x trial) {
	const reports = 128
	j := x.started(1, teamA, t0, script("a", reports), confirmation("b"))
	x.do(j, j.report(t0, all(step.TargetRunning, 0, 4)))
	after, met := *j, store.Change{}
	for i := range int32(reports) {
		outcome := all(step.TargetSucceeded, i, i+1)
		if i%16 == 7 {
			outcome[i+1] = step.TargetRunning
		}
		one := after.report(t0+step.Time(i), outcome)
		if after = *after.with(one); i == 0 {
			met = one
		} else {
			met = then(met, one)
		}
	}
	x.refused("they were decided on a version to come", shift(met, 1))
	x.do(j, met)
	x.holds(j)
	same(x, "Effects after many reports in one commit", x.effects(teamA, 1, everySeq), j.effects())
	for _, r := range j.records {
		equal(x, fmt.Sprintf("View with the request of record %d, one of many in a commit, Replay", r.Seq), x.view(store.Query{Job: 1, Request: r.Request}).Replay, &r)
	}
	var targets []int32
	for i := range int32(reports) {
		targets = append(targets, i)
	}
	equal(x, "View of the targets of many reports", x.view(store.Query{Job: 1, Step: 1, Targets: targets}), j.view(1, targets...))
}

func commitValues(x trial) {
	const odd = "'\"\\ %_\n\t\u00e9\u4e16\U0001F600; DROP TABLE jobs --"
	specs := []step.Spec{
		{Type: 127, Name: odd, Targets: []string{odd, " ", "A", "a"}, Payload: odd + strings.Repeat("x", 100_000), Timeout: 1<<62 - 1, IgnoreErrors: true},
		{Type: step.Confirmation, Name: strings.Repeat("\u4e16", 256), Confirmers: []string{odd, "", "Alice"}, OnTimeout: step.ConfirmOnTimeout},
		{Type: step.Confirmation, Name: "an empty list is not no list", Confirmers: []string{}},
		{Type: step.Confirmation, Name: "no list"},
	}
	c := create(store.MaxJobID, store.Scope{Type: odd, ID: " "}, never, specs...)
	c.Job.Name, c.Job.Sealed = odd, true
	c.Records[0].Actor, c.Records[0].Reason, c.Records[0].Request = odd, odd, store.RequestID{0xff, 15: 0xff}
	j := x.create(c)
	x.holds(j)
	for i, s := range x.steps(c.Job.Scope, c.Job.ID, everyStep) {
		equal(x, fmt.Sprintf("Steps, whether step %d has a list of confirmers", s.ID), s.Confirmers.IsSet(), specs[i].Confirmers != nil)
	}

	c = start(j.view(1), never)
	c.Records[0].Cause = 255
	x.do(j, c)
	c = report(j.view(1, 0, 1, 2, 3), never, all(step.TargetFailed, 0, 4))
	c.Targets[0].Result = store.Result{Status: step.UnknownStatus, ExitCode: -1 << 31, Started: 1, Finished: never, Detail: strings.Repeat("\u4e16", 256)}
	c.Targets[1].ExitCode, c.Targets[1].Detail = 1<<31-1, odd
	c.Targets[2].Detail = ""
	c.Records[0].Reason = odd
	x.do(j, c)
	x.holds(j)
	same(x, "Effects", x.effects(c.Job.Scope, c.Job.ID, everySeq), j.effects())
	d := byJob(x.claim(store.Claim{Now: never, Until: never + 1}))
	d[0].Failures, d[0].LastError = math.MaxInt32, odd
	d[0] = x.deferTo(d[0], never+2)
	same(x, "Effects after Defer", x.effects(c.Job.Scope, c.Job.ID, everySeq), d)
}

func commitMuch(x trial) {
	specs := slices.Repeat([]step.Spec{script("b", 1)}, 1_000)
	specs[0] = script("a", 12_000)
	j := x.started(1, teamA, t0, specs...)
	x.do(j, j.report(t0, all(step.TargetSucceeded, 1_000, 11_000)))
	f := store.TargetFilter{Job: 1, Step: 1, Page: everyTarget}
	same(x, "Targets after a report of 10,000", x.targets(f), j.targets[0])
	same(x, "Steps of a job of 1,000", x.steps(teamA, 1, everyStep), j.steps)
}

func commitVersion(x trial) {
	j := x.started(1, teamA, t0, timed(script("a", 3), 1), script("b", 1))
	x.do(j, j.report(t0, all(step.TargetFailed, 0, 1)))
	for _, off := range []store.Seq{-2, -1, 1, 2, 1000} {
		c := shift(j.report(t0+9, all(step.TargetSucceeded, 0, 3)), off) // two steps, targets and an effect
		x.refused(fmt.Sprintf("it was decided on version %d and the job is at %d", c.Base(), j.Version), c)
	}
	x.do(j, j.report(t0+9, all(step.TargetSucceeded, 0, 3)))
	x.holds(j)
}

// commitUndone commits under contexts that end in mid-call. A store may then tell the outcome or
// leave it in doubt, but must not deny a commit.
func commitUndone(x trial) {
	const most = 8 // maximum of looks at the context before it ends
	for looks := range most {
		id := store.JobID(looks + 1)
		err := x.Commit(&dying{Context: x.Context(), looks: looks, done: make(chan struct{})}, create(id, teamA, t0, script("a", 2)))
		if errors.Is(err, store.ErrUndone) {
			_, err := x.View(x.Context(), store.Query{Job: id})
			x.is(err, store.ErrNotFound, "View of a job whose creation is told as undone")
		}
	}
}

// dying is a context that ends after a number of looks at it.
type dying struct {
	context.Context
	mu    sync.Mutex // guards looks
	looks int
	done  chan struct{}
}

func (d *dying) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks--
	switch {
	case d.looks >= 0:
		return nil
	case d.looks == -1:
		close(d.done)
	}
	return context.Canceled
}

func (d *dying) Done() <-chan struct{} { return d.done }

// shift returns c as if it was decided on a version by later.
func shift(c store.Change, by store.Seq) store.Change {
	if c.Job.Moved > c.Base() {
		c.Job.Moved += by
	}
	c.Records = slices.Clone(c.Records)
	for i := range c.Records {
		c.Records[i].Seq += by
	}
	c.Job.Version += by
	return c
}

func commitExists(x trial) {
	j := x.started(1, teamA, t0, script("a", 2))
	c := create(1, teamA, t0+1, script("other", 3), confirmation("more"))
	c.Records[0].Request = requestOf(1, 50)
	x.refused("its id exists", c)
	c.Job.Scope, c.Job.Version, c.Job.Moved = teamB, 1, 1
	x.refused("its id exists in another scope", c)
	_, err := x.Created(x.Context(), teamB, requestOf(1, 50))
	x.is(err, store.ErrNotFound, "Created with the request of a refused creation")
	x.holds(j)
}

func commitAbsent(x trial) {
	j := newJob(create(1, teamA, t0, script("a", 1)))
	x.refused("there is no such job", start(j.view(1), t0))
	x.holds(x.create(create(1, teamA, t0, script("a", 1))))
}

func commitRequest(x trial) {
	for i, scope := range []store.Scope{teamA, {}} {
		first, again := store.JobID(2*i+1), store.JobID(2*i+2)
		j := x.started(first, scope, t0, script("a", 1))
		c := create(again, scope, t0+1, script("a", 1))
		c.Records[0].Request = requestOf(first, 1)
		x.refused(fmt.Sprintf("its request has made a job in scope %+v", scope), c)
		_, err := x.View(x.Context(), store.Query{Job: again})
		x.is(err, store.ErrNotFound, "View of a job whose creation was refused")
		x.holds(j)
		c.Records[0].Request = requestOf(again, 1)
		x.holds(x.create(c))
	}
}

func commitOtherRequest(x trial) {
	x.started(1, teamA, t0, script("a", 1))
	for i, c := range []struct {
		scope   store.Scope
		request store.RequestID
	}{{teamB, requestOf(1, 1)}, {store.Scope{}, requestOf(1, 1)}, {teamA, requestOf(1, 2)}} {
		made := create(store.JobID(i+2), c.scope, t0, script("a", 1))
		made.Records[0].Request = c.request
		x.holds(x.create(made))
		got, err := x.Created(x.Context(), c.scope, c.request)
		x.ok(err, "Created in scope %+v", c.scope)
		equal(x, "Created, the job", got.Job, made.Job.ID)
	}
}

// racers is the number of concurrent commits, and heats the number of their races.
const racers, heats = 6, 15

// oneOf commits changes at once. Exactly one must pass, and the others conflict. It returns the
// index of that one.
func (x trial) oneOf(changes []store.Change) int {
	x.Helper()
	var wg sync.WaitGroup
	errs, ready := make([]error, len(changes)), make(chan struct{})
	for i, c := range changes {
		wg.Go(func() {
			<-ready
			errs[i] = x.Commit(x.Context(), c)
		})
	}
	close(ready)
	wg.Wait()
	winner, passed := -1, 0
	for i, err := range errs {
		if err == nil {
			winner, passed = i, passed+1
		} else if !errors.Is(err, store.ErrConflict) {
			x.Errorf("Commit in a race: got error %v, want none or a conflict", err)
		}
	}
	if passed != 1 {
		x.Fatalf("%d changes decided on one version: %d passed, want exactly 1", len(changes), passed)
	}
	return winner
}

func commitRace(x trial) {
	j := x.started(1, teamA, t0, script("a", racers))
	for range heats {
		changes := make([]store.Change, racers)
		for i := range changes {
			changes[i] = j.report(t0, all(step.TargetRunning, int32(i), int32(i)+1))
		}
		*j = *j.with(changes[x.oneOf(changes)])
	}
	x.holds(j)
}

func commitRaceCreate(x trial) {
	var want []store.Job
	for heat := range heats {
		id := store.JobID(heat * 2 * racers)
		sameID, sameRequest := make([]store.Change, racers), make([]store.Change, racers)
		for i := range store.JobID(racers) {
			sameID[i] = create(id+1, teamA, t0, script("a", 1+int(i)))
			sameID[i].Records[0].Request = requestOf(id+1, 100+store.Seq(i))
			sameRequest[i] = create(id+2+i, teamA, t0, script("a", 1))
			sameRequest[i].Records[0].Request = requestOf(id+1, 99)
		}
		for _, changes := range [][]store.Change{sameID, sameRequest} {
			j := newJob(changes[x.oneOf(changes)])
			x.holds(j)
			want = append(want, j.Job)
		}
	}
	same(x, "Jobs after races to create them", x.jobs(store.JobFilter{Page: everyJob}), want)
}

// commitTwo lets two callers operate on one step, each by loading, deciding and
// committing until it passes; they meet between loading and committing. A store
// that compares the version in a join and locks afterwards tells both that they
// passed, and one operation is lost.
func commitTwo(x trial) {
	const callers, operations = 2, 40
	x.started(1, teamA, t0, script("a", callers))
	for n := 0; n < operations && !x.Failed(); n++ {
		var met, wg sync.WaitGroup
		met.Add(callers)
		for caller := range int32(callers) {
			wg.Go(func() { x.operate(caller, n, &met) })
		}
		wg.Wait()
	}
	records := x.history(teamA, 1, everySeq)
	equal(x, "Version after two callers made 40 operations each", x.view(store.Query{Job: 1}).Job.Version, 2+callers*operations)
	next := [callers]int{}
	for i, r := range records {
		if r.Seq != store.Seq(i+1) {
			x.Fatalf("History: row %d has sequence number %d, want %d", i, r.Seq, i+1)
		}
		if i >= 2 {
			equal(x, fmt.Sprintf("what record %d was decided on", r.Seq), r.Reason, fmt.Sprint("decided on ", i))
		}
		for caller := range next {
			if r.Actor == fmt.Sprintf("caller %d, operation %d", caller, next[caller]) {
				next[caller]++
			}
		}
	}
	equal(x, "how many operations of each caller the history has, in order", next, [callers]int{operations, operations})
	for i, t := range x.targets(store.TargetFilter{Job: 1, Step: 1, Page: everyTarget}) {
		last := slices.IndexFunc(records, func(r store.Record) bool {
			return r.Actor == fmt.Sprintf("caller %d, operation %d", i, operations-1)
		})
		equal(x, fmt.Sprintf("the version noted on target %d", i), t.ExitCode, int32(last+1))
	}
}

// operate repeats one operation of a caller until it passes.
func (x trial) operate(caller int32, n int, met *sync.WaitGroup) {
	meet := sync.OnceFunc(met.Done)
	defer meet()
	for {
		v, err := x.View(x.Context(), store.Query{Job: 1, Targets: []int32{caller}})
		if err != nil {
			x.Errorf("View: got error %v, want none", err)
			return
		}
		c := report(v, t0, all(step.TargetRunning, caller, caller+1))
		c.Records[0].Actor = fmt.Sprintf("caller %d, operation %d", caller, n)
		c.Records[0].Reason = fmt.Sprint("decided on ", v.Job.Version)
		meet()
		met.Wait()
		if err = x.Commit(x.Context(), c); err == nil {
			return
		}
		if !errors.Is(err, store.ErrConflict) {
			x.Errorf("Commit: got error %v, want none or a conflict", err)
			return
		}
	}
}

func commitApart(x trial) {
	var jobs []*job
	for id := range store.JobID(8) {
		jobs = append(jobs, x.create(create(id*id+1, []store.Scope{teamA, teamB}[id%2], t0, script(fmt.Sprint("a", id), 2), script("b", 2))))
	}
	for round := range 4 {
		for i, j := range jobs {
			switch (i + round) % 4 {
			case 0:
				if j.State == step.Pending {
					x.do(j, start(j.view(1), t0))
				}
			case 1:
				if j.State == step.Running {
					x.do(j, j.report(t0, map[int32]step.Status{int32(i % 2): step.TargetFailed}))
				}
			case 2:
				if j.State == step.Running {
					x.do(j, skip(j.view(0), t0))
				}
			}
		}
	}
	for _, j := range jobs {
		x.holds(j)
		same(x, "Effects", x.effects(j.Scope, j.ID, everySeq), j.effects())
	}
}
