package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// An operation without competitors takes two round trips: one to load, one to commit. So does a report
// with any number of targets, and a report after it takes one.
func TestRoundTrips(t *testing.T) {
	for _, lanes := range []int{0, 2} {
		t.Run(fmt.Sprintf("lanes=%d", lanes), func(t *testing.T) {
			var w wire
			pool := migrated(t, conns(1), counting(&w))
			st := open(t, pool, pgstore.WithLanes(lanes))
			// A claim listens, which takes a connection out of the pool: the one put in its place has
			// prepared nothing.
			_, stop := st.Wake(1)
			defer stop()
			listener(t, pool, 0)
			eng := engine.New(st)
			requests := byte(0)
			once := func() engine.Request { requests++; return engine.Request{ID: store.RequestID{15: requests}} }
			asks, runs := jobkit.Asking(2), engine.JobSpec{Name: "job", Steps: []step.Spec{runs(2)}}
			alone := asks // in a scope of its own, where no other job's question is due
			alone.Scope = store.Scope{Type: "biz", ID: "alone"}
			own := eng.In(alone.Scope)
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
				{"Operate that is refused", 1, asks, func(ctx context.Context, id store.JobID) error {
					if _, err := eng.Operate(ctx, id, 1, operation.RestartConfirmation, engine.Request{}); !errors.Is(err, operation.WrongState) {
						return fmt.Errorf("not refused: %v", err)
					}
					return nil
				}},
				{"Operate as a dry run", 1, asks, func(ctx context.Context, id store.JobID) error {
					_, err := eng.Operate(ctx, id, 1, operation.Confirm, engine.Request{DryRun: true})
					return err
				}},
				{"Claim of one effect, and Settle", 5, alone, func(ctx context.Context, _ store.JobID) error {
					due, err := own.Claim(ctx, engine.ClaimQuery{Effects: []store.Effect{store.AskConfirmers}, Limit: 1}) // the end of a job has no details to read
					if err != nil || len(due) != 1 {
						return fmt.Errorf("%d effects, %v", len(due), err)
					}
					return own.Settle(ctx, due[0].Claimed())
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
				{"Report after another one", 3, runs, func(ctx context.Context, id store.JobID) (err error) {
					for target := range int32(2) {
						_, err = eng.Report(ctx, engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{
							{Target: target, Result: store.Result{Status: step.TargetSucceeded}},
						}})
					}
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
				_, n := trips(), trips() // the first time, statements are prepared
				if n != c.want {
					t.Errorf("%s: %d round trips, want %d", c.what, n, c.want)
				}
			}
		})
	}
}

// Views that are read in a group are one round trip of as many statements as the widest needs,
// beside the one about plans. One of more targets than its share of 10,000 is read by itself.
func TestRoundTripsOfViews(t *testing.T) {
	var w wire
	tr := trace{all: true}
	dsn, pool := shared(t)
	own := connect(t, dsn, conns(1), counting(&w), tracing(&tr))
	st := open(t, own, pgstore.WithLanes(1), unhurried)
	id := jobkit.Start(t, engine.New(open(t, pool)), engine.JobSpec{Name: "job", Steps: []step.Spec{runs(100)}})
	turns := func() int64 {
		c, err := own.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		return of(c.Conn()).turns.Load()
	}
	steps, request := store.Query{Job: id, Step: 1}, store.Query{Job: id, Request: store.RequestID{1}}
	targets := func(n int) store.Query {
		q := store.Query{Job: id, Step: 1}
		for i := range n {
			q.Targets = append(q.Targets, int32(i))
		}
		return q
	}
	both := targets(78)
	both.Request = request.Request
	for _, c := range []struct {
		what        string
		queries     []store.Query
		trips, sent int
	}{
		{"20 of steps", slices.Repeat([]store.Query{steps}, 20), 1, 2},
		{"20 of requests", slices.Repeat([]store.Query{request}, 20), 1, 5},
		{"20 of 78 targets", slices.Repeat([]store.Query{targets(78)}, 20), 1, 5},
		{"20 of 78 targets and a request", slices.Repeat([]store.Query{both}, 20), 1, 6},
		{"20 of each", slices.Repeat([]store.Query{steps, request, targets(1), both}, 20), 1, 6},
		{"one of 78 targets", []store.Query{targets(78)}, 1, 4},
		{"3 of 79 targets", slices.Repeat([]store.Query{targets(79)}, 3), 3, 12},
		{"3 of targets of the current step", slices.Repeat([]store.Query{{Job: id, Targets: []int32{1}}}, 3), 3, 12},
	} {
		viewTogether(t, pool, st, c.queries) // the first time, statements are prepared
		before := turns()
		sent, _ := tr.of(t, func(context.Context) error {
			_, errs := viewTogether(t, pool, st, c.queries)
			for _, err := range errs {
				if err != nil {
					t.Errorf("%s: %v", c.what, err)
				}
			}
			return nil
		})
		const held = 1 // view that the group waits for, of one statement
		if trips := int(turns()-before) - held; trips != c.trips || len(sent)-held != c.sent {
			t.Errorf("views together, %s: %d round trips and %d statements, want %d and %d\n%s", c.what, trips, len(sent)-held, c.trips, c.sent, strings.Join(sent, "\n"))
		}
	}
}
