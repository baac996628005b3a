package crowd_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Reports of a meeting share one commit, in their order, behind the first. Reports that the engine
// refuses before the line do not wait.
func TestReportsOfAMeetingShareACommit(t *testing.T) {
	var shared [][]int32 // the results of each record
	st := &crowd.Store{Store: memstore.New()}
	st.Shared = func(ctx context.Context, c store.Change) error {
		var results []int32
		for _, r := range c.Records {
			results = append(results, r.Results)
		}
		shared = append(shared, results)
		return st.Store.Commit(ctx, c)
	}
	eng := engine.New(st)
	id := crowd.Start(t, engine.New(st.Store), 8)
	var refused atomic.Int32
	report := func(targets ...int32) func(context.Context) {
		return func(ctx context.Context) {
			r := engine.Report{Job: id, Step: 1, Attempt: 1}
			for _, target := range targets {
				r.Results = append(r.Results, engine.TargetResult{Target: target, Result: store.Result{Status: step.TargetSucceeded}})
			}
			if _, err := eng.Report(ctx, r); err != nil {
				refused.Add(1)
			}
		}
	}
	ready := 0
	meeting := crowd.Meeting{
		First:  report(0),
		Others: []func(context.Context){report(1), report(), report(2, 3), report(1), report(4, 5, 6)},
		Ready:  func() { ready++ },
	}
	if waited := meeting.Hold(t.Context()); waited != 4 || ready != 1 || refused.Load() != 1 {
		t.Errorf("%d waited, %d refused, ready %d times; want 4, 1 and once", waited, refused.Load(), ready)
	}
	if want := [][]int32{{1, 2, 3}}; !slices.EqualFunc(shared, want, slices.Equal) {
		t.Errorf("shared commits of %v results, want %v", shared, want)
	}

	meeting.First, meeting.Others = report(), []func(context.Context){report(7)}
	if waited := meeting.Hold(t.Context()); waited != 0 || ready != 2 {
		t.Errorf("behind a report that is refused %d waited, ready %d times; want 0 and twice", waited, ready)
	}
}
