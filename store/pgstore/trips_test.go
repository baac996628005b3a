package pgstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// An operation that nobody contends with is two round trips: one to load, one to commit. So
// is a report, however many targets it is about.
func TestRoundTrips(t *testing.T) {
	for _, lanes := range []int{0, 2} {
		t.Run(fmt.Sprintf("lanes=%d", lanes), func(t *testing.T) {
			var w wire
			st := open(t, migrated(t, conns(1), counting(&w)), pgstore.WithLanes(lanes))
			eng := engine.New(st)
			requests := byte(0)
			once := func() engine.Request { requests++; return engine.Request{ID: store.RequestID{15: requests}} }
			asks, runs := jobkit.Asking(2), engine.JobSpec{Name: "job", Steps: []step.Spec{runs(2)}}
			for _, c := range []struct {
				what string
				want int
				spec engine.JobSpec // of the job that the call is about, which is started
				call func(ctx context.Context, id store.JobID) error
			}{
				{"View", 1, asks, func(ctx context.Context, id store.JobID) error {
					_, err := st.View(ctx, store.Query{Job: id})
					return err
				}},
				{"View with targets and a request", 1, runs, func(ctx context.Context, id store.JobID) error {
					_, err := st.View(ctx, store.Query{Job: id, Targets: []int32{0, 1}, Request: store.RequestID{1}})
					return err
				}},
				{"Snapshot", 1, runs, func(ctx context.Context, id store.JobID) error {
					_, err := st.Snapshot(ctx, store.SnapshotQuery{Job: id, Targets: 2})
					return err
				}},
				{"Details", 1, runs, func(ctx context.Context, id store.JobID) error {
					_, err := st.Details(ctx, store.DetailQuery{Job: id, Step: 1})
					return err
				}},
				{"Counts", 1, asks, func(ctx context.Context, _ store.JobID) error {
					_, err := st.Counts(ctx, store.Scope{}, 10)
					return err
				}},
				{"Jobs of a name", 1, asks, func(ctx context.Context, _ store.JobID) error {
					_, err := st.Jobs(ctx, store.JobFilter{Name: "job", Window: 10, Page: store.Page[store.JobID]{Limit: 1}})
					return err
				}},
				{"Commit", 1, asks, func(ctx context.Context, id store.JobID) error {
					return st.Commit(ctx, refusing(t, st, id, store.RequestID{})) // which is decided outside of ctx
				}},
				{"Claim", 1, asks, func(ctx context.Context, _ store.JobID) error {
					_, err := st.Claim(ctx, store.Claim{Effects: []store.Effect{store.AskConfirmers}, Until: 1, Limit: 1})
					return err
				}},
				{"Operate", 2, asks, func(ctx context.Context, id store.JobID) error {
					_, err := eng.Operate(ctx, id, 1, operation.Confirm, engine.Request{})
					return err
				}},
				{"Operate with a request id", 2, asks, func(ctx context.Context, id store.JobID) error {
					_, err := eng.Operate(ctx, id, 1, operation.Confirm, once())
					return err
				}},
				{"OperateJob", 2, runs, func(ctx context.Context, id store.JobID) error {
					_, err := eng.OperateJob(ctx, id, operation.TerminateJob, engine.Request{})
					return err
				}},
				{"Report", 2, runs, func(ctx context.Context, id store.JobID) error {
					_, err := eng.Report(ctx, engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{
						{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
						{Target: 1, Result: store.Result{Status: step.TargetFailed}},
					}})
					return err
				}},
				{"Create", 1, runs, func(ctx context.Context, _ store.JobID) error {
					_, err := eng.Create(ctx, runs, engine.Request{})
					return err
				}},
				{"Create with a request id", 2, runs, func(ctx context.Context, _ store.JobID) error {
					_, err := eng.Create(ctx, runs, once())
					return err
				}},
			} {
				trips := func() int {
					id := jobkit.Start(t, eng, c.spec)
					return w.trips(t, func(ctx context.Context) error { return c.call(ctx, id) })
				}
				if _, n := trips(), trips(); n != c.want { // the first time, statements are prepared
					t.Errorf("%s: %d round trips, want %d", c.what, n, c.want)
				}
			}
		})
	}
}
