package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A trial tests a store for one promise. Its lower-case methods call the store's and end the trial
// on an error.
type trial struct {
	testing.TB
	store.Store
}

// do commits c and lets j follow.
func (x trial) do(j *job, c store.Change) {
	x.Helper()
	x.commit(c)
	*j = *j.with(c)
}

// create commits c and returns the job that it makes.
func (x trial) create(c store.Change) *job {
	x.Helper()
	x.commit(c)
	return newJob(c)
}

// started creates and starts a job: two commits.
func (x trial) started(id store.JobID, scope store.Scope, at step.Time, specs ...step.Spec) *job {
	x.Helper()
	j := x.create(create(id, scope, at, specs...))
	x.do(j, start(j.view(1), at))
	return j
}

func (x trial) commit(c store.Change) {
	x.Helper()
	x.ok(x.Commit(x.Context(), c), "Commit(job %d, version %d on %d)", c.Job.ID, c.Job.Version, c.Base())
}

// refused commits c, which must be a conflict and change nothing.
func (x trial) refused(why string, c store.Change) {
	x.Helper()
	before := x.dump()
	err := x.Commit(x.Context(), c)
	x.is(err, store.ErrConflict, "Commit(job %d, version %d on %d), %s", c.Job.ID, c.Job.Version, c.Base(), why)
	same(x, "all there is after a Commit refused because of "+why, x.dump(), before)
}

func (x trial) view(q store.Query) store.View {
	x.Helper()
	v, err := x.View(x.Context(), q)
	x.ok(err, "View(%+v)", q)
	return v
}

func (x trial) jobs(f store.JobFilter) []store.Job {
	x.Helper()
	got, err := x.Jobs(x.Context(), f)
	x.ok(err, "Jobs(%+v)", f)
	return got
}

func (x trial) counts(scope store.Scope, atMost int) map[step.State]int {
	x.Helper()
	got, err := x.Counts(x.Context(), scope, atMost)
	x.ok(err, "Counts(%v, %d)", scope, atMost)
	if got == nil {
		got = map[step.State]int{}
	}
	return got
}

func (x trial) snapshot(q store.SnapshotQuery) store.Snapshot {
	x.Helper()
	got, err := x.Snapshot(x.Context(), q)
	x.ok(err, "Snapshot(%+v)", q)
	return got
}

func (x trial) steps(scope store.Scope, id store.JobID, p store.Page[step.ID]) []store.Step {
	x.Helper()
	got, err := x.Steps(x.Context(), scope, id, p)
	x.ok(err, "Steps(%v, %d, %+v)", scope, id, p)
	return got
}

func (x trial) targets(f store.TargetFilter) []store.Target {
	x.Helper()
	got, err := x.Targets(x.Context(), f)
	x.ok(err, "Targets(%+v)", f)
	return got
}

func (x trial) history(scope store.Scope, id store.JobID, p store.Page[store.Seq]) []store.Record {
	x.Helper()
	got, err := x.History(x.Context(), scope, id, p)
	x.ok(err, "History(%v, %d, %+v)", scope, id, p)
	return got
}

func (x trial) details(scope store.Scope, id store.JobID, of step.ID) store.Details {
	x.Helper()
	q := store.DetailQuery{Scope: scope, Job: id, Step: of}
	got, err := x.Details(x.Context(), q)
	x.ok(err, "Details(%+v)", q)
	return got
}

func (x trial) effects(scope store.Scope, id store.JobID, p store.Page[store.Seq]) []store.Delivery {
	x.Helper()
	got, err := x.Effects(x.Context(), scope, id, p)
	x.ok(err, "Effects(%v, %d, %+v)", scope, id, p)
	return got
}

// claim claims effects; the default is every kind, without a limit.
func (x trial) claim(c store.Claim) []store.Delivery {
	x.Helper()
	if c.Effects == nil {
		c.Effects = everyKind
	}
	if c.Limit == 0 {
		c.Limit = 1000
	}
	got, err := x.Claim(x.Context(), c)
	x.ok(err, "Claim(%+v)", c)
	return got
}

// claimOne claims exactly one effect, or ends the trial.
func (x trial) claimOne(now, until step.Time) store.Delivery {
	x.Helper()
	got := x.claim(store.Claim{Now: now, Until: until})
	if len(got) != 1 {
		x.Fatalf("Claim at %d: got %+v, want one effect", now, got)
	}
	return got[0]
}

var everyKind = []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded}

// deferTo leaves d alone until a time, and returns the stored effect.
func (x trial) deferTo(d store.Delivery, until step.Time) store.Delivery {
	x.Helper()
	d.NotBefore = until
	x.ok(x.Defer(x.Context(), d), "Defer(%+v)", d)
	return d
}

func (x trial) settle(d store.Delivery) {
	x.Helper()
	x.ok(x.Settle(x.Context(), d), "Settle(job %d, seq %d, count %d)", d.Job, d.Seq, d.Count)
}

func (x trial) overdue(scope store.Scope, now step.Time, limit int) []store.Overdue {
	x.Helper()
	got, err := x.Overdue(x.Context(), scope, now, limit)
	x.ok(err, "Overdue(%v, %d, %d)", scope, now, limit)
	return got
}

// ok ends the trial if a call has failed.
func (x trial) ok(err error, call string, args ...any) {
	x.Helper()
	if err != nil {
		x.Fatalf("%s: got error %v, want none", fmt.Sprintf(call, args...), err)
	}
}

// is notes an error if a call did not fail with want.
func (x trial) is(err, want error, call string, args ...any) {
	x.Helper()
	if !errors.Is(err, want) {
		x.Errorf("%s: got error %v, want %v", fmt.Sprintf(call, args...), err, want)
	}
}

// equal notes an error if two values differ.
func equal[T any](x trial, call string, got, want T) {
	x.Helper()
	if !reflect.DeepEqual(got, want) {
		x.Errorf("%s:\n got %+v\nwant %+v", call, got, want)
	}
}

// same notes the first difference of two lists. An empty list equals nil.
func same[T any](x trial, call string, got, want []T) {
	x.Helper()
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			x.Errorf("%s: row %d of %d:\n got %+v\nwant %+v", call, i, len(want), got[i], want[i])
			return
		}
	}
	switch {
	case len(got) > len(want):
		x.Errorf("%s: got %d rows, want %d; the first beyond is %+v", call, len(got), len(want), got[len(want)])
	case len(got) < len(want):
		x.Errorf("%s: got %d rows, want %d; the first missing is %+v", call, len(got), len(want), want[len(got)])
	}
}

// Pages that hold everything.
var (
	everyJob    = store.Page[store.JobID]{Limit: most}
	everyStep   = store.Page[step.ID]{Limit: most}
	everyTarget = store.Page[int32]{After: -1, Limit: most}
	everySeq    = store.Page[store.Seq]{Limit: most}
)

const (
	most             = 100_000
	never  step.Time = 1 << 50 // later than all that the suite does
	minute step.Time = 60_000
)

// holds compares every read of j with the model.
func (x trial) holds(j *job) {
	x.Helper()
	for id := step.ID(0); int(id) <= len(j.steps); id++ {
		equal(x, fmt.Sprintf("View(job %d, step %d)", j.ID, id), x.view(store.Query{Job: j.ID, Step: id}), j.view(id))
	}
	same(x, fmt.Sprintf("Jobs, job %d of them", j.ID), x.jobs(store.JobFilter{Page: store.Page[store.JobID]{After: j.ID - 1, Limit: 1}}), []store.Job{j.Job})
	same(x, fmt.Sprintf("Steps(job %d)", j.ID), x.steps(j.Scope, j.ID, everyStep), j.steps)
	same(x, fmt.Sprintf("History(job %d)", j.ID), x.history(j.Scope, j.ID, everySeq), j.records)
	for i, s := range j.steps {
		d := x.details(j.Scope, j.ID, s.ID)
		same(x, fmt.Sprintf("Details(job %d, step %d), Batches", j.ID, s.ID), d.Batches, j.batches[i])
		d.Batches = nil
		equal(x, fmt.Sprintf("Details(job %d, step %d)", j.ID, s.ID), d, store.Details{Payload: j.payloads[i]})
		f := store.TargetFilter{Scope: j.Scope, Job: j.ID, Step: s.ID, Page: everyTarget}
		same(x, fmt.Sprintf("Targets(%+v)", f), x.targets(f), j.targets[i])
		for f.Attempt = 1; f.Attempt <= s.Attempt; f.Attempt++ {
			same(x, fmt.Sprintf("Targets(%+v)", f), results(x.targets(f)), results(j.of(s.ID, f.Attempt)))
		}
	}
}

// results returns rows of one attempt without their latest success, which is the
// target's and not the attempt's.
func results(rows []store.Target) []store.Target {
	out := make([]store.Target, len(rows))
	for i, t := range rows {
		t.Success = 0
		out[i] = t
	}
	return out
}

// dump returns all rows of the store.
func (x trial) dump() []any {
	x.Helper()
	var rows []any
	add := func(row any) { rows = append(rows, row) }
	for _, o := range x.overdue(store.Scope{}, never, most) {
		add(o)
	}
	for _, j := range x.jobs(store.JobFilter{Page: everyJob}) {
		if j.Policy != nil {
			add(*j.Policy) // and not where it is
			j.Policy = nil
		}
		add(j)
		for _, s := range x.steps(j.Scope, j.ID, everyStep) {
			if s.Policy != nil {
				add(*s.Policy)
				s.Policy = nil
			}
			add(s)
			add(x.details(j.Scope, j.ID, s.ID))
			for attempt := range s.Attempt + 1 {
				for _, t := range x.targets(store.TargetFilter{Job: j.ID, Step: s.ID, Attempt: attempt, Page: everyTarget}) {
					add(t)
				}
			}
		}
		for _, r := range x.history(j.Scope, j.ID, everySeq) {
			add(r)
		}
		for _, d := range x.effects(j.Scope, j.ID, everySeq) {
			add(d)
		}
	}
	return rows
}
