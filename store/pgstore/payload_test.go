package pgstore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/storebench"
	"github.com/stepgate/stepgate/store/pgstore"
)

// What more does a report cost whose job has large payloads?
func BenchmarkReportsByPayload(b *testing.B) {
	storebench.ReportsByPayload(b, engine.New(open(b, bench(b, 2))), engine.New(open(b, bench(b, 2))))
}

// No read and no report has the server send a payload, but Details.
func TestPayloadsStayOut(t *testing.T) {
	var tr trace
	pool := migrated(t, hasty, tracing(&tr))
	for lanes := range 2 {
		st := open(t, pool, pgstore.WithLanes(lanes))
		eng := engine.New(st)
		job := start(t, eng, engine.JobSpec{Name: "job", Steps: []step.Spec{runs(5), runs(5)}})
		results := []engine.TargetResult{{Target: 0, Result: store.Result{Status: step.TargetSucceeded}}}
		for name, call := range map[string]func(context.Context) error{
			"View": func(ctx context.Context) error { return second(st.View(ctx, store.Query{Job: job})) },
			"Steps": func(ctx context.Context) error {
				return second(st.Steps(ctx, store.Scope{}, job, store.Page[step.ID]{Limit: 9}))
			},
			"Snapshot": func(ctx context.Context) error {
				return second(st.Snapshot(ctx, store.SnapshotQuery{Job: job, Targets: 100}))
			},
			"Report": func(ctx context.Context) error {
				return second(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: results}))
			},
			"Details": func(ctx context.Context) error { return second(st.Details(ctx, store.DetailQuery{Job: job, Step: 1})) },
		} {
			sql, err := tr.of(t, call)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got, want := strings.Contains(strings.Join(sql, " "), "payload"), name == "Details"; got != want || len(sql) == 0 {
				t.Errorf("%s reads a payload: %v, want %v\n%s", name, got, want, strings.Join(sql, "\n"))
			}
		}
	}
}
