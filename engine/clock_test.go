package engine_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// timed is a store with a clock: the bubble's.
type timed struct {
	store.Store
	reads atomic.Int64
	takes atomic.Int64                                    // nanoseconds until an answer comes
	fails atomic.Pointer[func(ctx context.Context) error] // instead of an answer
}

func (s *timed) Now(ctx context.Context) (step.Time, error) {
	s.reads.Add(1)
	if f := s.fails.Load(); f != nil {
		return 0, (*f)(ctx)
	}
	now := step.At(time.Now())
	time.Sleep(time.Duration(s.takes.Load()))
	return now, nil
}

// fail makes the clock fail, or answer again.
func (s *timed) fail(f func(ctx context.Context) error) {
	if f == nil {
		s.fails.Store(nil)
		return
	}
	s.fails.Store(&f)
}

// never waits for ctx to end.
func never(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// ahead is the clock of a host that is d ahead of the bubble's.
func ahead(d time.Duration) engine.Option {
	return engine.WithClock(func() time.Time { return time.Now().Add(d) })
}

// sweeps wants n attempts expired.
func (d *desk) sweeps(n int) {
	d.Helper()
	if got, err := d.eng.Sweep(d.Context()); got != n || err != nil {
		d.Errorf("Sweep at %v: %d, %v, want %d", time.Now(), got, err, n)
	}
}

func TestTimeIsTheStores(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }

	bubble("a clock a minute off takes nothing that is leased, and ends nothing early or late", func(t *testing.T) {
		for _, off := range []time.Duration{-time.Minute, time.Minute} {
			st := &timed{Store: memstore.New()}
			right, wrong := newDesk(t, st), newDesk(t, st, ahead(off))
			id := right.script(step.Spec{Type: step.Confirmation, Name: "sure?", Timeout: 10 * time.Second})
			held := right.claimOne(runs)
			if got := wrong.claim(runs); len(got) > 0 {
				t.Fatalf("Claim with a clock off by %v: %+v, want nothing: it is leased for 14 s", off, got)
			}
			time.Sleep(14*time.Second - time.Millisecond)
			if got := wrong.claim(runs); len(got) > 0 {
				t.Fatalf("Claim with a clock off by %v, 1 ms early: %+v, want nothing", off, got)
			}
			time.Sleep(time.Millisecond)
			again := wrong.claimOne(runs)
			if err := right.eng.Settle(t.Context(), held.Claimed()); !errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("Settle of the first claim: %v, want %v", err, store.ErrLeaseLost)
			}
			wrong.ok(wrong.eng.Renew(t.Context(), again.Claimed(), 0))
			if w, want := right.waiting(id), step.At(time.Now().Add(14*time.Second)); w[0].NotBefore != want {
				t.Errorf("renewed with a clock off by %v, the lease ends at %v, want %v", off, w[0].NotBefore, want)
			}
			wrong.ok(wrong.eng.Settle(t.Context(), again.Claimed()))
			_, err := wrong.eng.Report(t.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{
				{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
				{Target: 1, Result: store.Result{Status: step.TargetSucceeded}},
			}})
			wrong.ok(err)
			history, err := wrong.eng.History(t.Context(), id, 2, 0)
			wrong.ok(err)
			if want := step.At(time.Now()); history[0].At != want {
				t.Errorf("the record of a clock off by %v is of %v, want %v", off, history[0].At, want)
			}
			time.Sleep(10*time.Second - time.Millisecond)
			wrong.sweeps(0)
			right.sweeps(0)
			time.Sleep(time.Millisecond)
			wrong.sweeps(1)
		}
	})
	bubble("what rests does so by the store's clock, and an engine reads it for that", testDeferralsGoByTheStoresClock)
	bubble("a dispatcher leaves alone what another one holds, whatever their clocks", func(t *testing.T) {
		st := &timed{Store: memstore.New()}
		right, fast := newDesk(t, st), newDesk(t, st, ahead(time.Minute))
		right.script()
		stop := right.dispatch(func(_ context.Context, x engine.Delivery) error {
			right.note(x)
			time.Sleep(5 * time.Minute)
			return nil
		})
		synctest.Wait()
		stopFast := fast.dispatch(fast.handle)
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		right.wantLog("run 1")
		fast.wantLog()
		stop()
		stopFast()
	})
	bubble("without a clock of the store, the host's is the engine's", func(t *testing.T) {
		st := memstore.New()
		right, fast := newDesk(t, st), newDesk(t, st, ahead(13*time.Second))
		right.script()
		right.claimOne(runs)
		if got := fast.claim(runs); len(got) > 0 {
			t.Errorf("Claim with a clock 13 s ahead: %+v, want nothing", got)
		}
		time.Sleep(time.Second)
		fast.claimOne(runs)
	})
}

func testDeferralsGoByTheStoresClock(t *testing.T) {
	st := &timed{Store: memstore.New()}
	right := newDesk(t, st)
	id := right.terminating()
	for _, c := range []struct {
		name string
		call func(*engine.Engine, engine.Claimed) error
		rest time.Duration
	}{
		{"Renew", func(e *engine.Engine, held engine.Claimed) error { return e.Renew(t.Context(), held, 0) }, 14 * time.Second},
		{"Fail", func(e *engine.Engine, held engine.Claimed) error { return e.Fail(t.Context(), held, errBroken) }, time.Second},
		{"Settle", func(e *engine.Engine, held engine.Claimed) error { return e.Settle(t.Context(), held) }, 30 * time.Second},
	} {
		held := right.claimOne(stops).Claimed()
		right.ok(c.call(newDesk(t, st, ahead(time.Minute)).eng, held))
		w := right.waiting(id)
		if got, want := w[len(w)-1].NotBefore, step.At(time.Now().Add(c.rest)); got != want {
			t.Errorf("after %s by an engine that had not read the clock, the stop rests until %v, want %v", c.name, got, want)
		}
		time.Sleep(c.rest)
	}
}

// wantReads wants the store's clock read that many times so far.
func wantReads(t *testing.T, s *timed, want int64) {
	t.Helper()
	if got := s.reads.Load(); got != want {
		t.Fatalf("the store's clock was read %d times, want %d", got, want)
	}
}

func TestStoresClockIsRead(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }

	bubble("once in 30 s, by calls that need the time", testClockIsReadOnceIn30Seconds)
	bubble("by one call for all", testClockIsReadByOneCall)
	bubble("and is not ahead of it, however long the answer takes", testClockIsNotAheadOfTheStores)
	t.Run("again when the host's clock was set", testClockIsReadAgainWhenTheHostsWasSet)
	bubble("and if it cannot be read, the last reading stays", testClockKeepsItsLastReading)
	bubble("and if it was never read, calls that need the time change nothing", testClockNeverReadChangesNothing)
	bubble("and a caller that goes takes only its own reading along", testClockOutlivesACallerThatGoes)
}

func testClockIsReadOnceIn30Seconds(t *testing.T) {
	st := &timed{Store: memstore.New()}
	d := newDesk(t, st)
	wantReads(t, st, 0)
	id := d.script()
	for range 10 {
		d.claim(engine.ClaimQuery{})
		d.sweeps(0)
		_, err := d.eng.In(blue).Sweep(t.Context()) // which shares the reading
		d.ok(err)
	}
	wantReads(t, st, 1)
	time.Sleep(30*time.Second - time.Millisecond)
	d.sweeps(0)
	wantReads(t, st, 1)
	time.Sleep(time.Millisecond)
	d.waiting(id)
	wantReads(t, st, 1)
	d.sweeps(0)
	wantReads(t, st, 2)
}

func testClockIsReadByOneCall(t *testing.T) {
	st := &timed{Store: memstore.New()}
	d := newDesk(t, st)
	st.takes.Store(int64(time.Second))
	for i, want := range []time.Duration{time.Second, 0, time.Second} { // no reading; a fresh one; an old one
		began := time.Now()
		var all sync.WaitGroup
		var waited atomic.Int64
		for range 10 {
			all.Go(func() {
				d.sweeps(0)
				waited.Add(int64(time.Since(began)))
			})
		}
		all.Wait()
		wantReads(t, st, int64(i+1))
		if got := time.Duration(waited.Load()); got != 9*want+time.Second { // the one that reads
			t.Errorf("round %d: 10 calls waited %v in all, want 1 s for the one that reads and %v for each other", i, got, want)
		}
		time.Sleep([]time.Duration{30 * time.Second, time.Minute, 0}[i])
	}
}

func testClockIsNotAheadOfTheStores(t *testing.T) {
	st := &timed{Store: memstore.New()}
	st.takes.Store(int64(3 * time.Second))
	d := newDesk(t, st, ahead(time.Hour))
	created, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
	d.ok(err)
	if want := step.At(time.Now().Add(-3 * time.Second)); created.At != want {
		t.Errorf("created at %v, want %v, what the store said when it was asked", created.At, want)
	}
}

func testClockIsReadAgainWhenTheHostsWasSet(t *testing.T) { // bubbles have no monotonic time
	for _, set := range []time.Duration{-time.Hour, -2 * time.Second, 2 * time.Second, time.Hour} {
		var by atomic.Int64
		hosts := map[string]func() time.Time{
			"with monotonic time":    func() time.Time { return reset(time.Now(), time.Duration(by.Load())) },
			"without monotonic time": func() time.Time { return time.Now().Round(0).Add(time.Duration(by.Load())) },
		}
		for name, host := range hosts {
			by.Store(0)
			st := &timed{Store: memstore.New()}
			d := newDesk(t, st, engine.WithClock(host))
			d.sweeps(0)
			by.Store(int64(set))
			if name == "without monotonic time" && set == 2*time.Second {
				continue // it looks like time that has passed
			}
			before := step.At(time.Now())
			created, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
			d.ok(err)
			wantReads(t, st, 2)
			if after := step.At(time.Now()); created.At < before || created.At > after {
				t.Errorf("after a host's clock %s was set by %v: created at %v, want %v to %v", name, set, created.At, before, after)
			}
			d.sweeps(0)
			wantReads(t, st, 2)
		}
	}
}

func testClockKeepsItsLastReading(t *testing.T) {
	st := &timed{Store: memstore.New()}
	d := newDesk(t, st, ahead(time.Minute))
	d.sweeps(0)
	for _, failure := range []func(context.Context) error{func(context.Context) error { return errBroken }, never} {
		time.Sleep(30 * time.Second)
		before := st.reads.Load()
		st.fail(failure)
		began := time.Now()
		for range 3 {
			created, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
			d.ok(err)
			if want := step.At(time.Now()); created.At != want {
				t.Errorf("created at %v, want %v", created.At, want)
			}
		}
		wantReads(t, st, before+1)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("three creations took %v, want the bound of one reading at most, 5 s", took)
		}
		time.Sleep(time.Second)
		st.fail(nil)
		d.sweeps(0)
		wantReads(t, st, before+2)
	}
}

func testClockNeverReadChangesNothing(t *testing.T) {
	st := &timed{Store: memstore.New()}
	id := newDesk(t, st.Store).script()
	d := newDesk(t, st, ahead(time.Minute))
	for _, failure := range []struct {
		f    func(context.Context) error
		want error
	}{{func(context.Context) error { return errBroken }, errBroken}, {never, context.DeadlineExceeded}} {
		st.fail(failure.f)
		for name, call := range map[string]func() error{
			"Create": func() error { _, err := d.eng.Create(t.Context(), asking1(), engine.Request{}); return err },
			"OperateJob": func() error {
				_, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{})
				return err
			},
			"Sweep": func() error { _, err := d.eng.Sweep(t.Context()); return err },
			"Claim": func() error { _, err := d.eng.Claim(t.Context(), engine.ClaimQuery{}); return err },
		} {
			began := time.Now()
			if err := call(); !errors.Is(err, failure.want) || errors.Is(err, engine.ErrUnknownOutcome) || time.Since(began) > 5*time.Second {
				t.Errorf("%s: %v after %v, want %v within 5 s", name, err, time.Since(began), failure.want)
			}
		}
	}
	if job, err := d.eng.Job(t.Context(), id); err != nil || job.Version != 2 { // which needs no time
		t.Errorf("Job: %+v, %v, want it as it was", job, err)
	}
	if w := d.waiting(id); w[0].Count != 0 {
		t.Errorf("%+v waits, want it unclaimed", w)
	}
	st.fail(nil)
	d.claimOne(runs)
}

func testClockOutlivesACallerThatGoes(t *testing.T) {
	st := &timed{Store: memstore.New()}
	d := newDesk(t, st)
	st.fail(never)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var gone sync.WaitGroup
	gone.Go(func() {
		if _, err := d.eng.Sweep(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Sweep: %v, want its context's error", err)
		}
	})
	synctest.Wait()
	st.fail(nil)
	began := time.Now()
	d.sweeps(0)
	if took := time.Since(began); took != time.Second {
		t.Errorf("Sweep took %v, want it to read when the other call has gone, after 1 s", took)
	}
	gone.Wait()
}

// reset returns t as a host reads it after its wall clock was set by d: the monotonic time stays.
// Package time cannot make such a time: reset adds to the seconds, in the bits of wall from 30 on.
func reset(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(d/time.Second) << 30
	return t
}
