package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A thousand reports of one job from 32 callers take a tenth of the commits and views at most.
func TestACrowdOfReports(t *testing.T) {
	const callers, reports = 32, 1000
	faults := storetest.NewFaults(open(t, file(t)))
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

// How long do 1,000 reports of one job take, and a person's operation meanwhile?
func BenchmarkReports(b *testing.B) {
	for _, c := range []struct {
		name      string
		callers   int
		terminate bool
	}{{"callers=1", 1, false}, {"callers=32", 32, false}, {"callers=32/terminate", 32, true}} {
		b.Run(c.name, func(b *testing.B) {
			eng := engine.New(open(b, filepath.Join(folder(b), "jobs.db")))
			crowd.Benchmark(b, eng, c.callers, 1, 1000, c.terminate)
		})
	}
}
