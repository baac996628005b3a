package engine_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// watched collects the sequence numbers that a watch yields, until its context ends.
type watched struct {
	seqs []store.Seq
	err  error
}

func watch(ctx context.Context, eng *engine.Engine, id store.JobID, after store.Seq, opts ...engine.WatchOption) *watched {
	w := &watched{}
	go func() {
		for r, err := range eng.Watch(ctx, id, after, opts...) {
			if err != nil {
				w.err = err
				return
			}
			w.seqs = append(w.seqs, r.Seq)
		}
	}()
	return w
}

func TestWatch(t *testing.T) {
	for name, open := range map[string]func() store.Store{
		"a store that wakes":     func() store.Store { return memstore.New() },
		"a store that is polled": func() store.Store { return mute{memstore.New()} },
	} {
		t.Run("yields every record once and in order, of "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, open())
				id := d.script()
				ctx, cancel := context.WithCancel(t.Context())
				w := watch(ctx, d.eng, id, 0, engine.WatchPoll(time.Second))
				late := watch(ctx, d.eng, id, 2)
				for n := range int32(150) { // more than a page
					d.outcome(id, n+1, step.Broke)
					d.operate(id, 1, operation.RetryAll)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				cancel()
				synctest.Wait()
				for i, seq := range w.seqs {
					if seq != store.Seq(i+1) {
						t.Fatalf("record %d was yielded at place %d, want 1, 2, 3, ...", seq, i+1)
					}
				}
				if len(w.seqs) != 302 || len(late.seqs) != 300 || late.seqs[0] != 3 {
					t.Errorf("yielded %d records, and %d after the second, want 302 and 300", len(w.seqs), len(late.seqs))
				}
				if !errors.Is(w.err, context.Canceled) {
					t.Errorf("the watch ended with %v, want its context's error", w.err)
				}
			})
		})
	}
	t.Run("leaves out progress", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, memstore.New())
			id := d.script()
			report := engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{{Target: 0, Result: store.Result{Status: step.TargetSucceeded}}}}
			if _, err := d.eng.Report(t.Context(), report); err != nil {
				t.Fatal(err)
			}
			d.outcome(id, 1, step.Broke)
			d.giveUp(id, 4, engine.Request{}) // the end of the job, which is no move and no progress
			ctx, cancel := context.WithCancel(t.Context())
			w := watch(ctx, d.eng, id, 0, engine.WithoutProgress())
			all := watch(ctx, d.eng, id, 0)
			synctest.Wait()
			cancel()
			synctest.Wait()
			if len(w.seqs) != 4 || w.seqs[2] != 4 {
				t.Errorf("yielded %v, want 1, 2, 4 and 5, and not the progress in 3", w.seqs)
			}
			if len(all.seqs) != 5 {
				t.Errorf("yielded %v without the option, want 1 to 5", all.seqs)
			}
		})
	})
	t.Run("ends when its consumer has enough", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		for r, err := range d.eng.Watch(t.Context(), id, 0) {
			if err != nil || r.Seq != 1 {
				t.Fatalf("yielded %+v, %v", r, err)
			}
			break
		}
	})
	t.Run("ends with the store's first error", func(t *testing.T) {
		broken := errors.New("broken")
		d := newDesk(t, storetest.NewFaults(memstore.New(), storetest.Fault{Method: storetest.History, Err: broken}))
		id := d.script()
		for _, err := range d.eng.Watch(t.Context(), id, 0) {
			if !errors.Is(err, broken) {
				t.Errorf("yielded error %v, want the store's", err)
			}
		}
	})
}

// History and Watch return an error for a cursor ahead of the history. The last record's cursor is not
// ahead.
func TestACursorAheadOfTheHistoryIsAnError(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script() // of two records
	for _, after := range []store.Seq{-5, -1, 0, 1, 2} {
		records, err := d.eng.History(t.Context(), id, after, 1)
		want := min(max(2-after, 0), 1)
		if err != nil || store.Seq(len(records)) != want || want > 0 && records[0].Seq != max(after, 0)+1 {
			t.Errorf("History after %d of 2, a page of 1: %+v, %v, want %d", after, records, err, want)
		}
	}
	for _, after := range []store.Seq{3, 50, math.MaxInt64} {
		want := engine.AheadError{Job: id, After: after, Last: 2}
		check := func(call string, err error) {
			t.Helper()
			var ahead *engine.AheadError
			if !errors.Is(err, engine.ErrAhead) || !errors.As(err, &ahead) || *ahead != want {
				t.Errorf("%s after %d of 2: %v, want %+v", call, after, err, want)
			}
		}
		_, err := d.eng.History(t.Context(), id, after, 0)
		check("History", err)
		n := 0
		for _, err := range d.eng.Watch(t.Context(), id, after) {
			check("Watch", err)
			n++
		}
		if n != 1 {
			t.Errorf("Watch after %d of 2 yielded %d times, want once", after, n)
		}
	}
	if _, err := d.eng.In(red).History(t.Context(), id, 50, 0); !errors.Is(err, operation.NoSuchJob) {
		t.Errorf("History of another scope's job after 50: %v, want no such job", err)
	}
}

// A watch that has seen records which its store then loses says so.
func TestAWatchNoticesThatItsStoreWasRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, mute{memstore.New()})
		id := d.script()
		d.outcome(id, 1, step.Broke)
		d.operate(id, 1, operation.RetryAll)
		st := &restored{Store: d.store}
		eng := engine.New(st)
		w := watch(t.Context(), eng, id, 0)
		synctest.Wait()
		st.last.Store(2)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(w.seqs) != 4 || !errors.Is(w.err, engine.ErrAhead) {
			t.Errorf("saw %v and then %v, want 4 records and ErrAhead", w.seqs, w.err)
		}
	})
}

// restored is a store that has lost the records after one of its jobs' records; 0 loses none.
type restored struct {
	store.Store
	last atomic.Int64
}

func (r *restored) View(ctx context.Context, q store.Query) (store.View, error) {
	v, err := r.Store.View(ctx, q)
	if last := store.Seq(r.last.Load()); last > 0 {
		v.Job.Version = min(v.Job.Version, last)
	}
	return v, err
}

func (r *restored) History(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	records, err := r.Store.History(ctx, scope, job, p)
	if last := store.Seq(r.last.Load()); last > 0 {
		records = slices.DeleteFunc(records, func(rec store.Record) bool { return rec.Seq > last })
	}
	return records, err
}

// A watch polls a store that is no store.Waker every 200 ms, or at a given interval.
func TestWatchPoll(t *testing.T) {
	for every, want := range map[time.Duration]time.Duration{
		-1: 200 * time.Millisecond, 0: 200 * time.Millisecond, time.Minute: time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, mute{memstore.New()})
			id := d.script()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var seen atomic.Int32
			go func() {
				for range d.eng.Watch(ctx, id, 2, engine.WatchPoll(every)) {
					seen.Add(1)
				}
			}()
			synctest.Wait()
			d.outcome(id, 1, step.Broke)
			time.Sleep(want - time.Nanosecond)
			synctest.Wait()
			early := seen.Load()
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if early != 0 || seen.Load() != 1 {
				t.Errorf("WatchPoll(%v): %d records before %v, and %d after", every, early, want, seen.Load())
			}
		})
	}
}
