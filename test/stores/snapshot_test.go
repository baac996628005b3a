package stores_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/test/stores"
)

func TestMain(m *testing.M) { testkit.Main(m, 1) }

// finished makes a job of succeeded steps, with a number of targets per step.
func finished(t testing.TB, st store.Store, steps, targets int) store.JobID {
	t.Helper()
	eng := engine.New(st)
	spec := engine.JobSpec{Name: "job", Scope: store.Scope{Type: "biz", ID: "2"}}
	results := make([]engine.TargetResult, targets)
	names := make([]string, targets)
	for i := range targets {
		names[i] = fmt.Sprint("host-", i)
		results[i] = engine.TargetResult{Target: int32(i), Result: store.Result{Status: step.TargetSucceeded}}
	}
	for range steps {
		spec.Steps = append(spec.Steps, step.Spec{Type: step.Script, Name: "run", Targets: names})
	}
	created, err := eng.Create(t.Context(), spec, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		if _, err := eng.Report(t.Context(), engine.Report{Job: created.Job, Step: step.ID(i + 1), Attempt: 1, Results: results}); err != nil {
			t.Fatal(err)
		}
	}
	return created.Job
}

// median returns the median of some durations.
func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// How long does a snapshot take, and how many times as long on PostgreSQL as on SQLite?
func BenchmarkSnapshot(b *testing.B) {
	for _, size := range []struct{ steps, targets int }{{1, 5}, {200, 5}, {50, 1000}} {
		b.Run(fmt.Sprintf("steps=%d/targets=%d", size.steps, size.targets), func(b *testing.B) {
			var opened []store.Store
			var jobs []store.JobID
			for _, s := range stores.Each() {
				st := s.Open(b)
				opened, jobs = append(opened, st), append(jobs, finished(b, st, size.steps, size.targets))
			}
			took := make([][]time.Duration, len(opened))
			b.ReportAllocs()
			for b.Loop() {
				for i, st := range opened {
					began := time.Now()
					s, err := st.Snapshot(b.Context(), store.SnapshotQuery{Job: jobs[i], Targets: size.steps * size.targets})
					took[i] = append(took[i], time.Since(began))
					if err != nil || len(s.Targets) != size.steps*size.targets {
						b.Fatalf("got %d targets and error %v", len(s.Targets), err)
					}
				}
			}
			for i, s := range stores.Each() {
				b.ReportMetric(float64(median(took[i]).Microseconds()), s.Name+"-us")
			}
			b.ReportMetric(float64(median(took[2]))/float64(median(took[1])), "PostgreSQL/SQLite")
		})
	}
}
