package storetest

import (
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var snapshotPromises = []promise{
	{"Jobs/of a name are those whose name contains it, ASCII letters in either case", jobsNamed},
	{"Jobs/of a name are looked for among the newest Window that the filter selects", jobsWindow},
	{"Counts/are those of the scope, by state", counts},
	{"Counts/are at most most", countsMost},
	{"Snapshot/has the header, all steps without payloads and all targets with names", snapshot},
	{"Snapshot/has no targets where there are more than asked for", snapshotTargets},
	{"Snapshot/of a job that does not exist is not found", snapshotNoJob},
	{"Snapshot/is of one moment", snapshotMoment},
}

// called creates jobs of these names, with ids from 1, in the two scopes by turns.
func (x trial) called(names ...string) []store.Job {
	x.Helper()
	var jobs []store.Job
	for i, name := range names {
		c := create(store.JobID(i+1), []store.Scope{teamA, teamB}[i%2], t0, script("a", 1))
		c.Job.Name = name
		jobs = append(jobs, x.create(c).Job)
	}
	return jobs
}

func jobsNamed(x trial) {
	every := x.called("Release 1.4", "release 1.5", "RELEASE_1%4", "back\\up", "\u00c9lan", "\u00e9lan", "50% off", "a.b")
	for _, name := range []string{"release", "RELEASE 1", "1.4", "_1%", "%", "_", "\\", "\u00e9l", "\u00c9L", "LAN", ".", "a.b", "none", "Release 1.4 "} {
		for _, newest := range []bool{false, true} {
			f := store.JobFilter{Name: name, Window: most, Newest: newest, Page: everyJob}
			want := slices.DeleteFunc(slices.Clone(every), func(j store.Job) bool { return !f.Named(j.Name) })
			if newest {
				slices.Reverse(want)
			}
			same(x, fmt.Sprintf("Jobs of the name %q, newest %v", name, newest), x.jobs(f), want)
			f.Page.Limit = 1
			same(x, fmt.Sprintf("Jobs of the name %q, newest %v, the first", name, newest), x.jobs(f), want[:min(1, len(want))])
			if len(want) > 1 {
				f.Page = store.Page[store.JobID]{After: want[0].ID, Limit: most}
				same(x, fmt.Sprintf("Jobs of the name %q, newest %v, after the first", name, newest), x.jobs(f), want[1:])
			}
		}
	}
}

func jobsWindow(x trial) {
	every := x.called("x1", "y2", "x3", "y4", "y5", "x6") // odd ids in scope A, even ones in B
	x.commit(start(x.view(store.Query{Job: every[4].ID}), t0))
	for _, c := range []struct {
		scope  store.Scope
		states step.States
		window int
		want   []store.JobID
	}{
		{store.Scope{}, step.States{}, 6, []store.JobID{1, 3, 6}},
		{store.Scope{}, step.States{}, 4, []store.JobID{3, 6}},
		{store.Scope{}, step.States{}, 1, []store.JobID{6}},
		{teamA, step.States{}, 2, []store.JobID{3}},
		{teamA, step.StatesOf(step.Pending), 2, []store.JobID{1, 3}},
		{teamA, step.StatesOf(step.Running), 2, nil},
	} {
		for _, newest := range []bool{false, true} {
			var got []store.JobID
			for _, j := range x.jobs(store.JobFilter{Scope: c.scope, States: c.states, Newest: newest, Name: "x", Window: c.window, Page: everyJob}) {
				got = append(got, j.ID)
			}
			want := slices.Clone(c.want)
			if newest {
				slices.Reverse(want)
			}
			same(x, fmt.Sprintf("Jobs of the name x in scope %v, states %v, newest %v, of a window of %d", c.scope, c.states, newest, c.window), got, want)
		}
	}
	below := store.JobFilter{Name: "x", Window: 3, Newest: true, Page: store.Page[store.JobID]{After: 6, Limit: most}}
	same(x, "Jobs of the name x below 6, of a window of the jobs 4 to 6", x.jobs(below), nil)
}

func counts(x trial) {
	equal(x, "Counts of an empty store", x.counts(store.Scope{}, most), map[step.State]int{})
	every := x.population()
	for _, scope := range []store.Scope{{}, teamA, teamB, {Type: "biz", ID: "3"}} {
		want := map[step.State]int{}
		for _, j := range selected(store.JobFilter{Scope: scope}, every) {
			want[j.State]++
		}
		equal(x, fmt.Sprintf("Counts in scope %+v", scope), x.counts(scope, most), want)
	}
}

func countsMost(x trial) {
	every := x.population()
	for atMost := 1; atMost <= len(every); atMost++ {
		for _, scope := range []store.Scope{{}, teamA} {
			want := map[step.State]int{}
			for _, j := range selected(store.JobFilter{Scope: scope}, every) {
				want[j.State] = min(want[j.State]+1, atMost)
			}
			equal(x, fmt.Sprintf("Counts in scope %+v, at most %d", scope, atMost), x.counts(scope, atMost), want)
		}
	}
}

// snapshot returns the snapshot that a store should return for j.
func (j *job) snapshot() store.Snapshot {
	return store.Snapshot{Job: j.Job, Steps: j.steps, Targets: slices.Concat(j.targets...), Batches: slices.Concat(j.batches...)}
}

func (x trial) shows(j *job, targets int) {
	x.Helper()
	want := j.snapshot()
	if len(want.Targets) > targets {
		want.Targets, want.Batches = nil, nil
	}
	q := store.SnapshotQuery{Scope: j.Scope, Job: j.ID, Targets: targets}
	got := x.snapshot(q)
	equal(x, fmt.Sprintf("Snapshot(%+v), Job", q), got.Job, want.Job)
	same(x, fmt.Sprintf("Snapshot(%+v), Steps", q), got.Steps, want.Steps)
	same(x, fmt.Sprintf("Snapshot(%+v), Targets", q), got.Targets, want.Targets)
	same(x, fmt.Sprintf("Snapshot(%+v), Batches", q), got.Batches, want.Batches)
}

func snapshot(x trial) {
	x.attempts(func(j *job) { x.shows(j, most) })
	x.shows(x.started(2, teamB, t0, confirmation("a", "alice"), script("b", 3), timed(script("c", 1), 1), confirmation("d")), most)
	x.shows(x.create(create(3, store.Scope{}, t0, confirmation("a"))), most)
}

func snapshotTargets(x trial) {
	j := x.started(1, teamA, t0, script("a", 3), confirmation("b"), script("c", 2))
	for _, targets := range []int{0, 1, 3, 4, 5, 6} {
		x.shows(j, targets)
	}
}

var snapshotNoJob = noJob("Snapshot", func(x trial, id store.JobID) error {
	_, err := x.Snapshot(x.Context(), store.SnapshotQuery{Job: id, Targets: most})
	return err
})

// snapshotMoment reads while another commits, as viewMoment does: each commit lets one more
// target succeed, of the first step and then of the second.
func snapshotMoment(x trial) {
	const each = 40
	j := x.started(1, teamA, t0, script("a", each), script("b", each))
	look := func() bool {
		s, err := x.Snapshot(x.Context(), store.SnapshotQuery{Job: 1, Targets: most})
		if err != nil || len(s.Targets) != 2*each {
			x.Errorf("Snapshot while others commit: got %d targets and error %v, want %d", len(s.Targets), err, 2*each)
			return false
		}
		succeeded := 0
		for _, t := range s.Targets {
			if t.Status.Success() {
				succeeded++
			}
		}
		want := int(s.Job.Version) - 2
		if succeeded != want || int(s.Steps[0].Succeeded+s.Steps[1].Succeeded) != want {
			x.Errorf("Snapshot while others commit: got version %d with %d targets and steps of %d and %d that succeeded, want %d: parts of different moments",
				s.Job.Version, succeeded, s.Steps[0].Succeeded, s.Steps[1].Succeeded, want)
			return false
		}
		return true
	}
	x.meanwhile(j, 2*each-1, func(j *job, i int32) store.Change {
		return j.report(t0, all(step.TargetSucceeded, i%each, i%each+1))
	}, func() func() bool { return look })
}
