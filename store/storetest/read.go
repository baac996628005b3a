package storetest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var readPromises = []promise{
	{"Jobs/come by id", jobsOrder},
	{"Jobs/are those of the scope and the states", jobsFilter},
	{"Jobs/a page is at most Limit after After", jobsPage},
	{"Jobs/the newest come by descending id", jobsNewest},
	{"Jobs/a page of the newest is at most Limit below After, 0 meaning no bound", jobsNewestPage},
	{"Jobs/none is no error", jobsNone},
	{"Steps/come by id", stepsOrder},
	{"Steps/a page is at most Limit after After", stepsPage},
	{"Steps/of a job that does not exist are not found", stepsNoJob},
	{"Targets/come by index with their names", targetsOrder},
	{"Targets/of a class are those that it holds", targetsClass},
	{"Targets/of an attempt are those that reported in it", targetsAttempt},
	{"Targets/a page is at most Limit after After", targetsPage},
	{"Targets/none is no error", targetsNone},
	{"Targets/of a job or a step that does not exist are not found", targetsNoStep},
	{"History/comes by sequence number without a gap", historyOrder},
	{"History/a page is at most Limit after After", historyPage},
	{"History/of a job that does not exist is not found", historyNoJob},
}

// bounds returns the least and the greatest key of its kind.
func bounds[K ~int32 | ~int64]() (least, greatest K) {
	for least = 1; least > 0; least <<= 1 {
	}
	return least, ^least
}

// pages reads with every limit and from every row, and from keys at which arithmetic with keys
// overflows, and compares each page with its part of all.
func pages[K ~int32 | ~int64, R any](x trial, call string, all []R, key func(R) K, read func(store.Page[K]) []R) {
	x.Helper()
	pagesBy(x, call, all, key, func(k, after K) bool { return k > after }, read)
}

// pagesBy is pages in the order of follows, which reports whether a key comes in a page after another
// one.
func pagesBy[K ~int32 | ~int64, R any](x trial, call string, all []R, key func(R) K, follows func(k, after K) bool, read func(store.Page[K]) []R) {
	x.Helper()
	starts := []K{0, key(all[0]) - 1}
	for _, row := range all {
		starts = append(starts, key(row))
	}
	least, greatest := bounds[K]()
	starts = append(starts, key(all[len(all)-1])+1, least, least+1, math.MinInt32, -2, -1, math.MaxInt32-1, math.MaxInt32, greatest-1, greatest)
	slices.Sort(starts)
	for _, after := range slices.Compact(starts) {
		for _, limit := range []int{1, 2, len(all) - 1, len(all), len(all) + 1, math.MaxInt32, math.MaxInt} {
			var want []R
			if first := slices.IndexFunc(all, func(row R) bool { return follows(key(row), after) }); first >= 0 {
				want = all[first:]
				want = want[:min(limit, len(want))]
			}
			same(x, fmt.Sprintf("%s after %d, limit %d", call, after, limit), read(store.Page[K]{After: after, Limit: limit}), want)
		}
	}
}

// population creates jobs of both scopes and many states, in no order of ids, and
// returns them by id.
func (x trial) population() []store.Job {
	var jobs []store.Job
	for i, id := range []store.JobID{500, 3, 40, 1, 77, 12, 1000, 600, 2, 9, store.MaxJobID, 13} {
		j := x.create(create(id, []store.Scope{teamA, teamB, {}}[i%3], t0, script("a", 1)))
		if i%4 > 0 {
			x.do(j, start(j.view(1), t0))
		}
		if i%4 > 1 {
			x.do(j, j.report(t0, all([]step.Status{step.TargetFailed, step.TargetSucceeded}[i%2], 0, 1)))
		}
		jobs = append(jobs, j.Job)
	}
	slices.SortFunc(jobs, func(a, b store.Job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs
}

func jobsOrder(x trial) {
	want := x.population()
	same(x, "Jobs", x.jobs(store.JobFilter{Page: everyJob}), want)
}

func jobsFilter(x trial) {
	every := x.population()
	for _, scope := range []store.Scope{{}, teamA, teamB, {Type: "biz", ID: "3"}} {
		for _, states := range []step.States{
			{}, step.StatesOf(step.Pending), step.StatesOf(step.Running), step.StatesOf(step.Failed, step.Succeeded),
			step.StatesOf(step.Abandoned), step.StatesOf(step.AllStates()...),
		} {
			f := store.JobFilter{Scope: scope, States: states, Page: everyJob}
			same(x, fmt.Sprintf("Jobs in scope %+v, in states %v", scope, states), x.jobs(f), selected(f, every))
		}
	}
}

// someFilters has a filter that selects all jobs of the population, and some that select a part.
var someFilters = []store.JobFilter{{}, {Scope: teamA}, {States: step.StatesOf(step.Running, step.Failed)}, {Scope: teamB, States: step.StatesOf(step.Running, step.Succeeded)}}

// selected returns the jobs that a filter selects, whatever its page.
func selected(f store.JobFilter, every []store.Job) []store.Job {
	var some []store.Job
	for _, j := range every {
		if f.Scope.Holds(j.Scope) && (f.States.Empty() || f.States.Has(j.State)) {
			some = append(some, j)
		}
	}
	return some
}

func idOf(j store.Job) store.JobID { return j.ID }

func jobsPage(x trial) {
	every := x.population()
	for _, f := range someFilters {
		pages(x, fmt.Sprintf("Jobs in scope %+v, in states %v,", f.Scope, f.States), selected(f, every), idOf, func(p store.Page[store.JobID]) []store.Job {
			f.Page = p
			return x.jobs(f)
		})
	}
}

func jobsNewest(x trial) {
	every := x.population()
	slices.Reverse(every)
	for _, f := range someFilters {
		f.Newest, f.Page = true, everyJob
		same(x, fmt.Sprintf("the newest Jobs in scope %+v, in states %v", f.Scope, f.States), x.jobs(f), selected(f, every))
	}
}

func jobsNewestPage(x trial) {
	every := x.population()
	slices.Reverse(every)
	below := func(id, after store.JobID) bool { return id < after || after == 0 }
	for _, f := range someFilters {
		pagesBy(x, fmt.Sprintf("the newest Jobs in scope %+v, in states %v,", f.Scope, f.States), selected(f, every), idOf, below, func(p store.Page[store.JobID]) []store.Job {
			f.Newest, f.Page = true, p
			return x.jobs(f)
		})
	}
}

func jobsNone(x trial) {
	same(x, "Jobs of an empty store", x.jobs(store.JobFilter{Page: everyJob}), nil)
	x.create(create(1, teamA, t0, script("a", 1)))
	same(x, "Jobs of a scope without any", x.jobs(store.JobFilter{Scope: teamB, Page: everyJob}), nil)
	same(x, "Jobs in a state without any", x.jobs(store.JobFilter{States: step.StatesOf(step.Running), Page: everyJob}), nil)
	same(x, "Jobs after the last", x.jobs(store.JobFilter{Page: store.Page[store.JobID]{After: 1, Limit: 1}}), nil)
}

// manySteps returns a job of 12 steps whose third is the current one.
func (x trial) manySteps() *job {
	var specs []step.Spec
	for i := range 12 {
		specs = append(specs, script(fmt.Sprint("s", i), i+1))
	}
	j := x.started(1, teamA, t0, specs...)
	x.do(j, j.report(t0, all(step.TargetSucceeded, 0, 1)))
	x.do(j, j.report(t0, all(step.TargetSucceeded, 0, 2)))
	return j
}

func stepsOrder(x trial) {
	j := x.manySteps()
	same(x, "Steps", x.steps(teamA, 1, everyStep), j.steps)
}

func stepsPage(x trial) {
	j := x.manySteps()
	pages(x, "Steps", j.steps, func(s store.Step) step.ID { return s.ID }, func(p store.Page[step.ID]) []store.Step {
		return x.steps(teamA, 1, p)
	})
}

// noJob reads jobs that do not exist.
func noJob(name string, read func(x trial, id store.JobID) error) func(trial) {
	return func(x trial) {
		x.started(2, teamA, t0, script("a", 1))
		for _, id := range []store.JobID{-2, 0, 1, 3, store.MaxJobID} {
			x.is(read(x, id), store.ErrNotFound, "%s(job %d), where there is job 2 only", name, id)
		}
	}
}

var stepsNoJob = noJob("Steps", func(x trial, id store.JobID) error {
	_, err := x.Steps(x.Context(), teamA, id, everyStep)
	return err
})

// hosts is the number of targets in the tests of classes.
const hosts = 300

// attempts takes a step of many targets through five attempts, and calls look after each commit. In
// each attempt each due target reports a result, or starts, or does not answer. The outcomes are
// random and the same each time.
func (x trial) attempts(look func(*job)) {
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := []step.Status{step.TargetSucceeded, step.TargetSucceeded, step.NonZeroExit, step.AgentError, step.TargetRunning, 0}
	j := x.create(create(1, teamA, t0, script("a", hosts), script("b", 2)))
	look(j)
	x.do(j, start(j.view(1), t0))
	look(j)
	for attempt, code := range []operation.Code{operation.RetryFailed, operation.RetryAll, operation.RetryFailed, operation.RetryFailed, 0} {
		at := t0 + step.Time(attempt)*minute
		for range 2 { // the second time some of those that have not finished do
			outcome := map[int32]step.Status{}
			for i, t := range j.targets[0] {
				known := t.Attempt == j.steps[0].Attempt && t.Status.Finished()
				if status := outcomes[random.IntN(len(outcomes))]; status != 0 && i != 0 && !known && j.steps[0].Run.Due(t) {
					outcome[int32(i)] = status
				}
			}
			x.do(j, j.report(at, outcome))
			look(j)
		}
		x.do(j, expire(j.view(1), at))
		look(j)
		if code != 0 {
			x.do(j, retry(j.view(1), at, code))
			look(j)
		}
	}
}

func targetsOrder(x trial) {
	x.attempts(func(j *job) {
		for i, s := range j.steps {
			f := store.TargetFilter{Scope: teamA, Job: 1, Step: s.ID, Page: everyTarget}
			same(x, fmt.Sprintf("Targets of step %d in attempt %d", s.ID, s.Attempt), x.targets(f), j.targets[i])
		}
	})
}

// classes are all classes of a filter.
var classes = []store.Class{store.AllTargets, store.DueTargets, store.UnfinishedTargets, store.FailedTargets, store.SucceededTargets}

// in returns the targets of a step that a class holds.
func (j *job) in(class store.Class, id step.ID) []store.Target {
	var rows []store.Target
	for _, t := range j.targets[id-1] {
		if class.Holds(j.steps[id-1], j.batches[id-1], t) {
			rows = append(rows, t)
		}
	}
	return rows
}

func targetsClass(x trial) {
	x.attempts(func(j *job) {
		for _, class := range classes {
			for _, s := range j.steps {
				f := store.TargetFilter{Job: 1, Step: s.ID, Class: class, Page: everyTarget}
				same(x, fmt.Sprintf("Targets of class %d, step %d, attempt %d, full %d", class, s.ID, s.Attempt, s.Run.Full), x.targets(f), j.in(class, s.ID))
			}
		}
		if j.steps[0].Attempt == 0 {
			return
		}
		equal(x, "the model's own count of class Succeeded", len(j.in(store.SucceededTargets, 1)), int(j.steps[0].Succeeded))
		equal(x, "the model's own count of class Unfinished", len(j.in(store.UnfinishedTargets, 1)), int(j.steps[0].Unfinished))
		equal(x, "the model's own count of class Failed", len(j.in(store.FailedTargets, 1)), int(j.steps[0].Failed()))
	})
}

func targetsAttempt(x trial) {
	x.attempts(func(j *job) {
		for attempt := int32(1); attempt <= j.steps[0].Attempt+1; attempt++ {
			for _, class := range []store.Class{store.AllTargets, store.SucceededTargets} {
				f := store.TargetFilter{Job: 1, Step: 1, Attempt: attempt, Class: class, Page: everyTarget}
				same(x, fmt.Sprintf("Targets of attempt %d, class %d, while in attempt %d", attempt, class, j.steps[0].Attempt), results(x.targets(f)), results(j.of(1, attempt)))
			}
		}
	})
}

func targetsPage(x trial) {
	j := x.started(1, teamA, t0, script("a", 12))
	x.do(j, j.report(t0, map[int32]step.Status{1: 9, 2: 9, 3: 11, 5: 11, 6: 9, 7: 7, 8: 9, 10: 11}))
	index := func(t store.Target) int32 { return t.Index }
	for _, class := range classes {
		pages(x, fmt.Sprintf("Targets of class %d", class), j.in(class, 1), index, func(p store.Page[int32]) []store.Target {
			return x.targets(store.TargetFilter{Job: 1, Step: 1, Class: class, Page: p})
		})
	}
	attempt := func() {
		pages(x, fmt.Sprintf("Targets of attempt 1, while in attempt %d,", j.steps[0].Attempt), results(j.of(1, 1)), index, func(p store.Page[int32]) []store.Target {
			return results(x.targets(store.TargetFilter{Job: 1, Step: 1, Attempt: 1, Page: p}))
		})
	}
	attempt()
	x.do(j, expire(j.view(1), t0))
	x.do(j, retry(j.view(1), t0, operation.RetryAll))
	x.do(j, j.report(t0, all(step.TargetRunning, 4, 8)))
	attempt()
}

func targetsNone(x trial) {
	x.create(create(1, teamA, t0, confirmation("a"), script("b", 2)))
	for _, class := range classes {
		same(x, fmt.Sprintf("Targets of a confirmation, class %d", class), x.targets(store.TargetFilter{Job: 1, Step: 1, Class: class, Page: everyTarget}), nil)
	}
	same(x, "Targets of an attempt before the first", x.targets(store.TargetFilter{Job: 1, Step: 2, Attempt: 1, Page: everyTarget}), nil)
	same(x, "Targets after the last", x.targets(store.TargetFilter{Job: 1, Step: 2, Page: store.Page[int32]{After: 1, Limit: 1}}), nil)
}

func targetsNoStep(x trial) {
	x.started(2, teamA, t0, script("a", 1))
	for _, f := range []store.TargetFilter{{Job: 1, Step: 1}, {Job: 2, Step: 2}, {Job: 2, Step: 0}, {Job: 2, Step: -1}, {Job: 2, Step: 2, Attempt: 1}, {Job: 2, Step: 2, Class: store.DueTargets}} {
		f.Page = everyTarget
		_, err := x.Targets(x.Context(), f)
		x.is(err, store.ErrNotFound, "Targets(%+v), where job 2 has step 1 only", f)
	}
}

func historyOrder(x trial) {
	j := x.started(1, teamA, t0, script("a", 1))
	for range 150 {
		x.do(j, j.report(t0, all(step.TargetRunning, 0, 1)))
	}
	got := x.history(teamA, 1, everySeq)
	same(x, "History", got, j.records)
	for i, r := range got {
		if r.Seq != store.Seq(i)+1 {
			x.Fatalf("History: row %d has sequence number %d, want %d", i, r.Seq, i+1)
		}
	}
}

func historyPage(x trial) {
	j := x.manySteps()
	for range 5 {
		x.do(j, j.report(t0, all(step.TargetRunning, 0, 1)))
	}
	pages(x, "History", j.records, func(r store.Record) store.Seq { return r.Seq }, func(p store.Page[store.Seq]) []store.Record {
		return x.history(teamA, 1, p)
	})
}

var historyNoJob = noJob("History", func(x trial, id store.JobID) error {
	_, err := x.History(x.Context(), teamA, id, everySeq)
	return err
})
