package pgstore_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// Processes whose clocks differ by seconds sweep at once, and each overdue attempt expires
// once: as soon as it is overdue by one of their clocks, and not earlier by the clock of the
// one that expires it. So it is where they do not go by the store's clock.
func TestSweepersWithDifferentClocks(t *testing.T) {
	const overdue, notYet = 40, 20
	skews := []time.Duration{-3 * time.Second, -1500 * time.Millisecond, 0, 1500 * time.Millisecond, 3 * time.Second}
	dsn, pool := shared(t, hasty)
	var clock atomic.Pointer[time.Time] // the true one
	set := func(now time.Time) { clock.Store(&now) }
	began := time.UnixMilli(1_800_000_000_000)
	set(began)
	process := func(st store.Store, skew time.Duration) *engine.Engine {
		return engine.New(storetest.WithoutClock(st), engine.WithClock(func() time.Time { return clock.Load().Add(skew) }))
	}

	const first = 20 * time.Second // from began to the first sweeps
	eng, deadlines := process(open(t, pool), 0), map[store.JobID]time.Time{}
	for i := range overdue + notYet {
		s := runs(1)
		s.Timeout = first - 4*time.Second
		if late := i - overdue + 1; late > 0 {
			s.Timeout = first + time.Duration(late)*time.Second
		}
		deadlines[start(t, eng, engine.JobSpec{Name: "job", Steps: []step.Spec{s}})] = began.Add(s.Timeout)
	}
	var sweepers []*engine.Engine
	for _, skew := range skews {
		sweepers = append(sweepers, process(open(t, connect(t, dsn, hasty, conns(2))), skew))
	}

	expired := map[store.JobID]bool{}
	for round := range 5 {
		now := began.Add(first + time.Duration(round)*5*time.Second)
		set(now)
		var all sync.WaitGroup
		var told atomic.Int64
		for i, sweeper := range sweepers {
			all.Go(func() {
				n, err := sweeper.Sweep(t.Context())
				if err != nil {
					t.Errorf("Sweep with a clock off by %v: %v", skews[i], err)
				}
				told.Add(int64(n))
			})
		}
		all.Wait()
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
		if n := len(expired) - before; int(told.Load()) != n {
			t.Errorf("round %d: the sweepers tell of %d attempts, and %d have expired", round, told.Load(), n)
		}
	}
	if len(expired) != overdue+notYet {
		t.Errorf("%d attempts have expired in the end, want %d", len(expired), overdue+notYet)
	}
}
