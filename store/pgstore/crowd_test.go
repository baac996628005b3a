package pgstore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A thousand reports of one job from 32 callers take a tenth of the commits and views at most.
func TestACrowdOfReports(t *testing.T) {
	const callers, reports = 32, 1000
	faults := storetest.NewFaults(open(t, migrated(t)))
	eng := engine.New(faults)
	id := crowd.Start(t, eng, reports+1)
	views, commits := faults.Calls(storetest.View), faults.Calls(storetest.Commit)
	crowd.Report(t, eng, []store.JobID{id}, callers, reports, nil)
	views, commits = faults.Calls(storetest.View)-views, faults.Calls(storetest.Commit)-commits
	if views > reports/10 || commits > reports/10 {
		t.Errorf("%d reports took %d views and %d commits, want a tenth of that at most", reports, views, commits)
	}
	t.Logf("%d views and %d commits", views, commits)
	crowd.Check(t, eng, id, reports)
}

// How long do 1,000 reports take, of one job and of several, and a person's operation meanwhile?
func BenchmarkReports(b *testing.B) {
	for _, c := range []struct {
		name          string
		callers, jobs int
		terminate     bool
	}{
		{"callers=1", 1, 1, false}, {"callers=32", 32, 1, false}, {"callers=32/terminate", 32, 1, true},
		{"callers=32,jobs=8", 32, 8, false}, {"callers=128,jobs=32", 128, 32, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			eng := engine.New(open(b, bench(b, 48)))
			crowd.Benchmark(b, eng, c.callers, c.jobs, 1000, c.terminate)
		})
	}
}

// A change of several records takes the statement of groups, and is sent with its settings: left
// alone the server would plan it anew each time.
func TestAChangeOfManyRecordsUsesThePlansOfGroups(t *testing.T) {
	var tr trace
	st := open(t, migrated(t, tracing(&tr)))
	eng := engine.New(st)
	id := crowd.Start(t, eng, 4)
	view, err := st.View(t.Context(), store.Query{Job: id, Targets: []int32{0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	var change store.Change
	for target := range int32(2) {
		d, err := engine.Decide(eng.Rules(), view, &engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: target, Result: store.Result{Status: step.TargetSucceeded}},
		}}, view.Job.Updated)
		if err != nil {
			t.Fatal(err)
		}
		view = view.After(d.Change)
		d.Change.Targets = append(change.Targets, d.Change.Targets...)
		d.Change.Records = append(change.Records, d.Change.Records...)
		change = d.Change
	}
	sent, err := tr.of(t, func(ctx context.Context) error { return st.Commit(ctx, change) })
	if err != nil || len(sent) != 2 || !strings.Contains(sent[0], "force_generic_plan") {
		t.Errorf("Commit of 2 records: %v, sent %q, want the settings of groups and one statement", err, sent)
	}
}
