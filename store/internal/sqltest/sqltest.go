// Package sqltest has the tests and benchmarks of the SQL stores that are the same for all
// databases.
package sqltest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A Trace returns the statements that a call sends to the database, and the call's error.
type Trace func(t testing.TB, call func(ctx context.Context) error) ([]string, error)

// SnapshotStatements checks that a snapshot of a job of 200 steps takes as many statements as that
// of a job of 1 step.
func SnapshotStatements(t *testing.T, st store.Store, trace Trace) {
	for _, size := range []struct{ steps, targets int }{{1, 5}, {200, 5}, {1, 1000}} {
		job := jobkit.Start(t, engine.New(st), jobkit.Running(store.Scope{}, size.steps, size.targets))
		for targets, want := range map[int]int{0: 4, 10_000: 6} { // BEGIN and COMMIT included
			statements, err := trace(t, func(ctx context.Context) error {
				return second(st.Snapshot(ctx, store.SnapshotQuery{Job: job, Targets: targets}))
			})
			if err != nil || len(statements) != want {
				t.Errorf("Snapshot of %+v, Targets %d: got error %v and %d statements, want %d:\n%s",
					size, targets, err, len(statements), want, strings.Join(statements, "\n"))
			}
		}
	}
}

// ScopeStatements checks that reads of a job of another scope send the same statements as reads of
// a job that does not exist, and that the first statement checks the scope. It returns the
// statements of each read.
func ScopeStatements(t *testing.T, st store.Store, trace Trace) map[string][]string {
	scope, other := store.Scope{Type: "biz", ID: "2"}, store.Scope{Type: "biz", ID: "3"}
	job := jobkit.Start(t, engine.New(st), jobkit.Running(scope, 3, 5))
	all := map[string][]string{}
	for name, call := range map[string]func(ctx context.Context, id store.JobID) error{
		"View": func(ctx context.Context, id store.JobID) error {
			return second(st.View(ctx, store.Query{Scope: other, Job: id}))
		},
		"View with targets and a request": func(ctx context.Context, id store.JobID) error {
			return second(st.View(ctx, store.Query{Scope: other, Job: id, Targets: []int32{0}, Request: store.RequestID{1}}))
		},
		"Snapshot": func(ctx context.Context, id store.JobID) error {
			return second(st.Snapshot(ctx, store.SnapshotQuery{Scope: other, Job: id, Targets: 100}))
		},
		"Steps": func(ctx context.Context, id store.JobID) error {
			return second(st.Steps(ctx, other, id, store.Page[step.ID]{Limit: 9}))
		},
		"Targets": func(ctx context.Context, id store.JobID) error {
			return second(st.Targets(ctx, store.TargetFilter{Scope: other, Job: id, Step: 1, Page: store.Page[int32]{After: -1, Limit: 9}}))
		},
		"History": func(ctx context.Context, id store.JobID) error {
			return second(st.History(ctx, other, id, store.Page[store.Seq]{Limit: 9}))
		},
		"Details": func(ctx context.Context, id store.JobID) error {
			return second(st.Details(ctx, store.DetailQuery{Scope: other, Job: id, Step: 1}))
		},
		"Effects": func(ctx context.Context, id store.JobID) error {
			return second(st.Effects(ctx, other, id, store.Page[store.Seq]{Limit: 9}))
		},
	} {
		got, err := trace(t, func(ctx context.Context) error { return call(ctx, job) })
		want, unused := trace(t, func(ctx context.Context) error { return call(ctx, job+1) })
		if !errors.Is(err, store.ErrNotFound) || !errors.Is(unused, store.ErrNotFound) {
			t.Errorf("%s: got error %v for a job of another scope and %v for an unused id, want both not found", name, err, unused)
		}
		first := slices.IndexFunc(got, func(sql string) bool { return strings.Contains(sql, "stepgate_") })
		if !slices.Equal(got, want) || first < 0 || !strings.Contains(got[first], "scope_type = ") {
			t.Errorf("%s of a job of another scope sends\n%s\nand of an unused id\n%s\nwant the same, and the scope in the first look-up",
				name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		all[name] = got
	}
	return all
}

// PayloadStatements checks that only Details reads a payload: no other read does, and no report.
func PayloadStatements(t *testing.T, st store.Store, trace Trace) {
	eng := engine.New(st)
	job := jobkit.Start(t, eng, jobkit.Running(store.Scope{}, 2, 5))
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
		sql, err := trace(t, call)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, want := strings.Contains(strings.Join(sql, " "), "payload"), name == "Details"; got != want || len(sql) == 0 {
			t.Errorf("%s reads a payload: %v, want %v\n%s", name, got, want, strings.Join(sql, "\n"))
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Sweepers checks that each overdue attempt expires exactly once if processes whose clocks differ
// by seconds sweep at once: as soon as it is overdue by one of their clocks, and not before it is
// overdue by the clock of the process that expires it. The processes do not use the store's clock.
// open opens the store of one process.
func Sweepers(t *testing.T, open func() store.Store) {
	const overdue, notYet = 40, 20
	skews := []time.Duration{-3 * time.Second, -1500 * time.Millisecond, 0, 1500 * time.Millisecond, 3 * time.Second}
	var clock atomic.Pointer[time.Time] // the true one
	set := func(now time.Time) { clock.Store(&now) }
	began := time.UnixMilli(1_800_000_000_000)
	set(began)
	process := func(skew time.Duration) *engine.Engine {
		return engine.New(storetest.WithoutClock(open()), engine.WithClock(func() time.Time { return clock.Load().Add(skew) }))
	}

	const first = 20 * time.Second // from began to the first sweeps
	eng, deadlines := process(0), map[store.JobID]time.Time{}
	for i := range overdue + notYet {
		timeout := first - 4*time.Second
		if late := i - overdue + 1; late > 0 {
			timeout = first + time.Duration(late)*time.Second
		}
		spec := jobkit.Running(store.Scope{}, 1, 1)
		spec.Steps[0].Timeout = timeout
		deadlines[jobkit.Start(t, eng, spec)] = began.Add(timeout)
	}
	var sweepers []*engine.Engine
	for _, skew := range skews {
		sweepers = append(sweepers, process(skew))
	}

	expired := map[store.JobID]bool{}
	for round := range 5 {
		now := began.Add(first + time.Duration(round)*5*time.Second)
		set(now)
		told := sweepAtOnce(t, sweepers)
		before := len(expired)
		for id, deadline := range deadlines {
			history, err := eng.History(t.Context(), id, 2, 10) // after the start
			if err != nil {
				t.Fatal(err)
			}
			due := !deadline.After(now.Add(skews[len(skews)-1]))
			switch {
			case !due && len(history) > 0, due && (len(history) != 1 || history[0].Cause != step.Expired):
				t.Errorf("round %d, at %v: job %d with deadline %v has history %+v", round, now, id, deadline, history)
			case due && history[0].At < step.At(deadline):
				t.Errorf("round %d: job %d with deadline %v was expired by a sweeper for which it was %v", round, id, deadline, history[0].At)
			case due:
				expired[id] = true
			}
		}
		if n := len(expired) - before; told != n {
			t.Errorf("round %d: the sweepers tell of %d attempts, and %d have expired", round, told, n)
		}
	}
	if len(expired) != overdue+notYet {
		t.Errorf("%d attempts have expired in the end, want %d", len(expired), overdue+notYet)
	}
}

// sweepAtOnce makes all sweepers sweep at once, and returns the number of attempts that they report
// as expired.
func sweepAtOnce(t *testing.T, sweepers []*engine.Engine) int {
	var all sync.WaitGroup
	var told atomic.Int64
	for i, sweeper := range sweepers {
		all.Go(func() {
			n, err := sweeper.Sweep(t.Context())
			if err != nil {
				t.Errorf("Sweep of process %d: %v", i, err)
			}
			told.Add(int64(n))
		})
	}
	all.Wait()
	return int(told.Load())
}
