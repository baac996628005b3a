package engine_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Job ids of one engine ascend: a follower that goes on from the last id sees every job, and the
// newest job is the first of the newest, with any number of jobs in a millisecond and after any change
// of the clock.
func TestAFollowerSeesEveryJob(t *testing.T) {
	for name, tick := range map[string]func(i int, now time.Time) time.Time{
		"a clock that stands":    func(_ int, now time.Time) time.Time { return now },
		"a clock that runs":      func(_ int, now time.Time) time.Time { return now.Add(100 * time.Microsecond) },
		"a clock that runs back": func(_ int, now time.Time) time.Time { return now.Add(-time.Minute) },
		"a clock that is set": func(i int, now time.Time) time.Time {
			if i%100 == 50 {
				return now.Add(-time.Hour)
			}
			return now.Add(time.Millisecond)
		},
	} {
		now := time.UnixMilli(1_790_000_000_000)
		eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return now }))
		var after store.JobID
		for i := range 300 {
			now = tick(i, now)
			created, err := eng.Create(t.Context(), asking1(), engine.Request{})
			if err != nil {
				t.Fatal(err)
			}
			page, err := eng.Jobs(t.Context(), engine.JobQuery{After: after})
			if err != nil || len(page) != 1 || page[0].ID != created.Job {
				t.Fatalf("%s: after job %d of 300: %+v, %v, want the next one, %d", name, i, page, err, created.Job)
			}
			newest, err := eng.Jobs(t.Context(), engine.JobQuery{Newest: true, Limit: 1})
			if err != nil || newest[0].ID != created.Job {
				t.Fatalf("%s: the newest of %d jobs: %+v, %v, want %d", name, i+1, newest, err, created.Job)
			}
			after = created.Job
		}
	}
}

// Ids that are drawn concurrently differ, ascend for each goroutine, and stay in range.
func TestJobIDsAscend(t *testing.T) {
	ids := engine.NewJobIDs()
	now := step.Time(1_790_000_000_000)
	const drawers, each = 8, 2_000
	drawn := make([][]store.JobID, drawers)
	var all sync.WaitGroup
	for i := range drawn {
		all.Go(func() {
			for n := range each {
				drawn[i] = append(drawn[i], ids(now, uint64(i*each+n)*0x9e3779b97f4a7c15))
			}
		})
	}
	all.Wait()
	for i, mine := range drawn {
		if !slices.IsSorted(mine) {
			t.Errorf("the ids of drawer %d do not ascend", i)
		}
	}
	flat := slices.Concat(drawn...)
	slices.Sort(flat)
	if n := len(slices.Compact(flat)); n != drawers*each {
		t.Errorf("%d different ids, want %d", n, drawers*each)
	}
	if n := testing.AllocsPerRun(100, func() { ids(now, 5) }); n > 0 {
		t.Errorf("an id costs %v allocations, want none", n)
	}
	last := ids(now, 0)
	for _, at := range []step.Time{-1 << 63, -1, 0, now - 1, now, now + 1, now * 2, now} {
		id := ids(at, 1<<12-1)
		if id <= last || id > store.MaxJobID {
			t.Errorf("at %d: id %d after %d, want a greater one up to %d", at, id, last, store.MaxJobID)
		}
		last = id
	}
	// 41 bits of milliseconds after 2024, the ids start over rather than to leave their range.
	for _, at := range []step.Time{1_704_067_200_000 + 1<<41 - 1, 1_704_067_200_000 + 1<<41 - 1, step.MaxTime, 1<<63 - 1} {
		for range 400 {
			if id := ids(at, 1<<64-1); id < 1 || id > store.MaxJobID {
				t.Fatalf("at %d: id %d, want 1 to %d", at, id, store.MaxJobID)
			}
		}
	}
}

// The times of a job stay between 1970 and the last moment that a page can show, whatever the
// clock of the engine says; none of them is zero, which means never.
func TestClocksFarOff(t *testing.T) {
	for at, want := range map[time.Time]step.Time{
		{}:                 1,
		time.UnixMilli(-5): 1,
		time.UnixMilli(0):  1,
		time.UnixMilli(7):  7,
		time.Date(275_000, 1, 1, 0, 0, 0, 0, time.UTC): step.At(time.Date(275_000, 1, 1, 0, 0, 0, 0, time.UTC)),
		time.Date(275_761, 1, 1, 0, 0, 0, 0, time.UTC): step.MaxTime,
		time.Unix(1<<62, 0):                            step.MaxTime,
	} {
		eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return at }))
		created, err := eng.Create(t.Context(), asking1(), engine.Request{})
		if err != nil || created.At != want {
			t.Errorf("a job of a clock at %v: created %d, %v; want %d", at, created.At, err, want)
		}
	}
}
