package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// desk is an engine with jobs to dispatch and a log of what was delivered.
type desk struct {
	*testing.T
	eng   *engine.Engine
	store store.Store

	mu       sync.Mutex
	log      []string
	failures []error
}

func newDesk(t *testing.T, st store.Store, opts ...engine.Option) *desk {
	d := &desk{T: t, store: st}
	opts = append([]engine.Option{engine.WithObserver(engine.Observer{Failed: func(_ context.Context, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failures = append(d.failures, err)
	}})}, opts...)
	d.eng = engine.New(st, opts...)
	return d
}

// told returns the failures that the observer has got so far.
func (d *desk) told() []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.failures)
}

// script creates and starts a job of one script step on two targets.
func (d *desk) script(more ...step.Spec) store.JobID {
	d.Helper()
	created, err := d.eng.Create(d.Context(), engine.JobSpec{Name: "job", Steps: append([]step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a", "b"}},
	}, more...)}, engine.Request{})
	if err != nil {
		d.Fatal(err)
	}
	d.operateJob(created.Job, operation.StartJob)
	return created.Job
}

func (d *desk) operateJob(id store.JobID, code operation.JobCode) {
	d.Helper()
	if _, err := d.eng.OperateJob(d.Context(), id, code, engine.Request{}); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) operate(id store.JobID, s step.ID, code operation.Code) {
	d.Helper()
	if _, err := d.eng.Operate(d.Context(), id, s, code, engine.Request{}); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) outcome(id store.JobID, attempt int32, outcome step.Cause) {
	d.Helper()
	if _, err := d.eng.Report(d.Context(), engine.Report{Job: id, Step: 1, Attempt: attempt, Outcome: outcome}); err != nil {
		d.Fatal(err)
	}
}

// note logs a delivery as "run 1" or "job_ended failed".
func (d *desk) note(x engine.Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.Effect == store.JobEnded {
		d.log = append(d.log, fmt.Sprintf("%v %v", x.Effect, x.Ended))
		return
	}
	d.log = append(d.log, fmt.Sprintf("%v %d", x.Effect, x.Attempt))
}

func (d *desk) handle(_ context.Context, x engine.Delivery) error {
	d.note(x)
	return nil
}

func (d *desk) wantLog(want ...string) {
	d.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	got := slices.Clone(d.log)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		d.Errorf("delivered %q, want %q", got, want)
	}
}

func (d *desk) waiting(id store.JobID) []store.Delivery {
	d.Helper()
	waiting, err := d.eng.Effects(d.Context(), id, 0, 0)
	if err != nil {
		d.Fatal(err)
	}
	return waiting
}

// dispatch starts a dispatcher and returns a function that ends it.
func (d *desk) dispatch(h engine.Handler, opts ...engine.DispatchOption) (stop func()) {
	ctx, cancel := context.WithCancel(d.Context())
	done := make(chan error, 1)
	go func() { done <- d.eng.Dispatch(ctx, h, opts...) }()
	return func() {
		d.Helper()
		cancel()
		if err := <-done; err != nil {
			d.Errorf("Dispatch: %v, want nil when its context has ended", err)
		}
	}
}

func TestDeliver(t *testing.T) {
	t.Run("hands over every effect and what follows from it", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script(step.Spec{Type: step.Confirmation, Name: "ok", Confirmers: []string{"ann"}})
		n, err := d.eng.Deliver(t.Context(), func(ctx context.Context, x engine.Delivery) error {
			d.note(x)
			switch x.Effect {
			case store.RunTargets:
				if !x.Run.All(x.Attempt) || x.Step.Name != "run" || x.Job.ID != id || x.Count != 1 {
					t.Errorf("delivered %+v, want all of step run of job %d for the first time", x, id)
				}
				_, err := d.eng.Report(ctx, engine.Report{Job: x.Job.ID, Step: x.Step.ID, Attempt: x.Attempt, Results: []engine.TargetResult{
					{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
					{Target: 1, Result: store.Result{Status: step.TargetSucceeded}},
				}})
				return err
			case store.AskConfirmers:
				if !x.Step.Confirmers.Has("ann") {
					t.Errorf("ask delivered with confirmers %v, want ann", x.Step.Confirmers)
				}
				_, err := d.eng.Operate(ctx, x.Job.ID, x.Step.ID, operation.Confirm, engine.Request{By: "ann"})
				return err
			}
			return nil
		})
		if n != 3 || err != nil {
			t.Errorf("Deliver: %d, %v, want 3 effects", n, err)
		}
		d.wantLog("run 1", "ask 1", "job_ended succeeded")
		if w := d.waiting(id); len(w) != 0 {
			t.Errorf("%v still wait, want none", w)
		}
	})
	t.Run("settles unseen a run that its step has left behind, and delivers stops and ends", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		d.operateJob(id, operation.TerminateJob)
		d.outcome(id, 1, step.Stopped)
		d.operate(id, 1, operation.RetryAll)
		if n, err := d.eng.Deliver(t.Context(), d.handle); n != 3 || err != nil {
			t.Errorf("Deliver: %d, %v, want 3 without the run of attempt 1", n, err)
		}
		d.wantLog("stop 1", "job_ended terminated", "run 2")
		if w := d.waiting(id); len(w) != 0 {
			t.Errorf("%v still wait, want none", w)
		}
	})
	t.Run("settles unseen a question that has been answered", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		created, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		d.operateJob(created.Job, operation.StartJob)
		d.operate(created.Job, 1, operation.TerminateConfirmation)
		d.operate(created.Job, 1, operation.RestartConfirmation)
		if n, err := d.eng.Deliver(t.Context(), d.handle); n != 2 || err != nil {
			t.Errorf("Deliver: %d, %v, want 2 without the first question", n, err)
		}
		d.wantLog("job_ended confirmation_terminated", "ask 2")
	})
	t.Run("keeps a stop whose handler has failed, or of whose step it cannot be told", testDeliverKeepsAStop)
	t.Run("keeps a panic to the effect that caused it", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		bad, good := d.script(), d.script()
		n, err := d.eng.Deliver(t.Context(), func(_ context.Context, x engine.Delivery) error {
			if x.Job.ID == bad {
				panic("on purpose")
			}
			d.note(x)
			return nil
		})
		if n != 1 || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("job %d: run of step 1, attempt 1: panic: on purpose", bad)) {
			t.Errorf("Deliver of two, one of which panics: %d, %v, want 1 and the panic", n, err)
		}
		d.wantLog("run 1")
		if w := d.waiting(bad); len(w) != 1 || !strings.Contains(w[0].LastError, "on purpose") || w[0].Count != 1 || w[0].Failures != 1 {
			t.Errorf("the poisoned effect waits as %+v, want one failure with its reason", w)
		}
		if w := d.waiting(good); len(w) != 0 {
			t.Errorf("the good effect waits as %+v, want it settled", w)
		}
	})
	t.Run("returns a failure of the store", func(t *testing.T) {
		broken := errors.New("broken")
		d := newDesk(t, storetest.NewFaults(memstore.New(), storetest.Fault{Method: storetest.Claim, Err: broken}))
		if n, err := d.eng.Deliver(t.Context(), d.handle); n != 0 || !errors.Is(err, broken) {
			t.Errorf("Deliver on a broken store: %d, %v, want its error", n, err)
		}
	})
	t.Run("sees only the effects of its scope", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.script()
		n, err := d.eng.In(store.Scope{Type: "biz", ID: "2"}).Deliver(t.Context(), d.handle)
		if n != 0 || err != nil {
			t.Errorf("Deliver in another scope: %d, %v, want nothing", n, err)
		}
	})
}

func testDeliverKeepsAStop(t *testing.T) {
	var faults *storetest.Faults
	for _, c := range []struct {
		name    string
		handler func() error
		settled int
		waits   store.Delivery // the effect with its failures
	}{
		{"the handler has failed", func() error { return errBroken }, 0, store.Delivery{Failures: 1, LastError: errBroken.Error()}},
		{"the state cannot be read", func() error {
			faults.Add(storetest.Fault{Method: storetest.View, Err: errBroken})
			return nil
		}, 1, store.Delivery{Delivered: true}},
	} {
		faults = storetest.NewFaults(memstore.New())
		d := newDesk(t, faults)
		id := d.terminating()
		d.claim(runs) // settles the run, which is obsolete
		n, _ := d.eng.Deliver(t.Context(), func(context.Context, engine.Delivery) error { return c.handler() })
		w := d.waiting(id)
		if n != c.settled || len(w) != 1 || w[0].Failures != c.waits.Failures || w[0].LastError != c.waits.LastError || w[0].Delivered != c.waits.Delivered {
			t.Errorf("%s: Deliver: %d, and %+v waits, want %d and the stop with %+v", c.name, n, w, c.settled, c.waits)
		}
	}
}

func asking1() engine.JobSpec {
	return engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok"}}}
}

func TestDispatch(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }

	bubble("delivers what comes up while it runs", testDispatchDeliversWhatComesUp)
	bubble("asks the confirmers once", testDispatchAsksOnce)
	bubble("keeps its defaults where it is told nothing", testDispatchKeepsItsDefaults)
	bubble("claims no more than it has room for", testDispatchClaimsWithinItsRoom)
	bubble("has a stop rest no longer after a failure than after a delivery", testDispatchRepeatsAFailedStopInTime)
	bubble("tells nobody of a lease that was lost", testDispatchIsSilentAboutALostLease)
	bubble("keeps 500 characters of a reason, and says when there are more", testDispatchShortensReasons)
	bubble("keeps of a reason what a database takes", testDispatchKeepsValidText)
	bubble("polls a store that cannot wake it", testDispatchPolls)
	bubble("tries a failed effect again, each time after twice as long, and keeps the reason", testDispatchDoublesItsBackoff)
	bubble("delivers a stop again until the step has stopped", testDispatchRepeatsAStop)
	bubble("delivers a stop that failed although the step has moved on", testDispatchDeliversAFailedStop)
	bubble("backs off by how often an effect has failed in a row, and not by how often it was claimed", testDispatchBacksOffByFailures)
	bubble("counts a stop's failures from its last delivery on, and keeps that there was one", testDispatchCountsFailuresFromTheLastDelivery)
	bubble("renews the lease while a handler runs", testDispatchRenews)
	bubble("ends a handler whose lease is lost", testDispatchEndsAHandlerWithoutALease)
	bubble("hands an effect over at once when it ends", testDispatchHandsOverWhenItEnds)
	bubble("delivers again what a dispatcher took to its grave", testDispatchDeliversAgainAfterACrash)
	bubble("does not let a stop wait for runs", testDispatchStopsBesideRuns)
	bubble("does not let a stop wait for questions", testDispatchStopsBesideQuestions)
	bubble("renews the lease of a handler that takes its time to end", testDispatchRenewsUntilAHandlerEnds)
	bubble("expires what is overdue", testDispatchExpires)
	bubble("goes on when the store fails, and tells the observer", testDispatchSurvivesAFailingStore)
	t.Run("refuses to run without a handler", testDispatchRefusesNoHandler)
}

func testDispatchDeliversWhatComesUp(t *testing.T) {
	d := newDesk(t, memstore.New())
	stop := d.dispatch(d.handle)
	defer stop()
	id := d.script()
	synctest.Wait()
	d.wantLog("run 1")
	d.operateJob(id, operation.TerminateJob)
	synctest.Wait()
	d.wantLog("run 1", "stop 1")
}

func testDispatchAsksOnce(t *testing.T) {
	d := newDesk(t, memstore.New())
	stop := d.dispatch(d.handle)
	defer stop()
	created, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	d.operateJob(created.Job, operation.StartJob)
	synctest.Wait()
	d.wantLog("ask 1")
	if w := d.waiting(created.Job); len(w) != 0 {
		t.Errorf("the question was asked, and still waits: %+v", w)
	}
}

func testDispatchKeepsItsDefaults(t *testing.T) {
	d := newDesk(t, mute{memstore.New()})
	d.script()
	id := d.script()
	stop := d.dispatch(func(ctx context.Context, x engine.Delivery) error {
		if x.Effect == store.RunTargets && x.Job.ID == id && x.Count == 1 {
			return errors.New("not yet")
		}
		return d.handle(ctx, x)
	}, engine.Runs(0), engine.Notices(0), engine.Lease(0), engine.Poll(0), engine.Backoff(0, 0), engine.SweepEvery(0), engine.StopEvery(0))
	defer stop()
	synctest.Wait()
	d.wantLog("run 1")
	time.Sleep(900 * time.Millisecond)
	synctest.Wait()
	d.wantLog("run 1")
	time.Sleep(400 * time.Millisecond)
	synctest.Wait()
	d.wantLog("run 1", "run 1")
	d.operateJob(id, operation.TerminateJob)
	d.outcome(id, 1, step.Stopped)
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
	d.wantLog("run 1", "run 1", "stop 1", "job_ended terminated")
}

func testDispatchClaimsWithinItsRoom(t *testing.T) {
	d := newDesk(t, memstore.New())
	ids := []store.JobID{d.script(), d.script(), d.script(), d.script(), d.script()}
	release := make(chan struct{})
	stop := d.dispatch(func(ctx context.Context, x engine.Delivery) error {
		<-release
		return d.handle(ctx, x)
	}, engine.Runs(2))
	defer stop()
	for done := range 3 {
		synctest.Wait()
		claimed := done // which wait no more
		for _, id := range ids {
			for _, w := range d.waiting(id) {
				claimed += int(w.Count)
			}
		}
		if claimed != done+2 {
			t.Errorf("with room for two runs, and after %d, %d of five have been claimed", done, claimed)
		}
		release <- struct{}{}
	}
	close(release)
	synctest.Wait()
	d.wantLog("run 1", "run 1", "run 1", "run 1", "run 1")
}

func testDispatchRepeatsAFailedStopInTime(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	d.operateJob(id, operation.TerminateJob)
	stops := 0
	stop := d.dispatch(func(_ context.Context, x engine.Delivery) error {
		if x.Effect == store.StopAttempt {
			stops++
		}
		return errors.New("unreachable")
	}, engine.Backoff(time.Minute, time.Hour), engine.StopEvery(10*time.Second))
	defer stop()
	time.Sleep(time.Minute + time.Second)
	synctest.Wait()
	if stops != 7 {
		t.Errorf("in a minute the stop was delivered %d times, want 7: at once and every ten seconds", stops)
	}
}

func testDispatchIsSilentAboutALostLease(t *testing.T) {
	faults := storetest.NewFaults(memstore.New(),
		storetest.Fault{Method: storetest.Settle, After: true, Err: store.ErrLeaseLost},
		storetest.Fault{Method: storetest.Settle, Call: 2, After: true, Err: errBroken})
	var told []error
	d := newDesk(t, faults, engine.WithObserver(engine.Observer{
		Failed: func(_ context.Context, err error) { told = append(told, err) },
	}))
	stop := d.dispatch(d.handle)
	defer stop()
	for range 2 {
		d.script()
		synctest.Wait()
	}
	if len(told) != 1 || !errors.Is(told[0], errBroken) {
		t.Errorf("the observer was told %v, want only that the store broke", told)
	}
}

func testDispatchShortensReasons(t *testing.T) {
	for length, want := range map[int]int{499: 499, 500: 500, 501: 500} {
		d := newDesk(t, memstore.New())
		id := d.script()
		stop := d.dispatch(func(context.Context, engine.Delivery) error { return errors.New(strings.Repeat("x", length)) })
		synctest.Wait()
		got := d.waiting(id)[0].LastError
		if len(got) != want || strings.HasSuffix(got, "...") != (length > 500) {
			t.Errorf("of %d characters %d are kept, the last of them %q", length, len(got), got[max(0, len(got)-3):])
		}
		stop()
	}
}

func testDispatchKeepsValidText(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	stop := d.dispatch(func(context.Context, engine.Delivery) error { return errors.New("a NUL \x00 and half a rune \xc3") })
	defer stop()
	synctest.Wait()
	if got, want := d.waiting(id)[0].LastError, "a NUL \uFFFD and half a rune \uFFFD"; got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
}

func testDispatchPolls(t *testing.T) {
	d := newDesk(t, mute{memstore.New()})
	stop := d.dispatch(d.handle, engine.Poll(time.Minute))
	defer stop()
	synctest.Wait()
	d.script()
	synctest.Wait()
	d.wantLog()
	time.Sleep(time.Minute) // of the bubble's clock
	synctest.Wait()
	d.wantLog("run 1")
}

func testDispatchDoublesItsBackoff(t *testing.T) {
	d := newDesk(t, memstore.New())
	began := time.Now()
	var after []time.Duration
	id := d.script()
	stop := d.dispatch(func(_ context.Context, x engine.Delivery) error {
		after = append(after, time.Since(began).Round(time.Second))
		if x.Count < 6 {
			return fmt.Errorf("failure %d", x.Count)
		}
		return nil
	}, engine.Backoff(time.Second, 8*time.Second))
	defer stop()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	if w := d.waiting(id); len(w) != 1 || w[0].LastError != "failure 2" || w[0].Failures != 2 {
		t.Errorf("after two failures the effect waits as %+v, want two, and the second reason", w)
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	want := []time.Duration{0, 1, 3, 7, 15, 23}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(after, want) {
		t.Errorf("delivered after %v, want %v", after, want)
	}
}

func testDispatchRepeatsAStop(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	d.operateJob(id, operation.TerminateJob)
	stop := d.dispatch(d.handle, engine.StopEvery(40*time.Second), engine.Lease(-1)) // no lease: the default
	defer stop()
	time.Sleep(79 * time.Second)
	synctest.Wait()
	d.wantLog("stop 1", "stop 1")
	if w := d.waiting(id); len(w) != 1 || !w[0].Delivered || w[0].LastError != "" {
		t.Errorf("the stop waits as %+v, want it to say that it was delivered, and of no error", w)
	}
	d.outcome(id, 1, step.Stopped)
	time.Sleep(time.Minute)
	synctest.Wait()
	d.wantLog("stop 1", "stop 1", "job_ended terminated")
	if w := d.waiting(id); len(w) != 0 {
		t.Errorf("%+v still wait, want none", w)
	}
}

func testDispatchDeliversAFailedStop(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	d.operateJob(id, operation.TerminateJob)
	stop := d.dispatch(func(_ context.Context, x engine.Delivery) error {
		if x.Effect == store.StopAttempt && x.Count == 1 {
			return errors.New("no connection")
		}
		d.note(x)
		return nil
	})
	defer stop()
	synctest.Wait()
	d.operate(id, 1, operation.ForcedSkip)
	time.Sleep(time.Minute)
	synctest.Wait()
	d.wantLog("stop 1", "job_ended succeeded")
}

func testDispatchBacksOffByFailures(t *testing.T) {
	d := newDesk(t, memstore.New())
	d.script()
	for range 5 { // by dispatchers that died
		now := step.At(time.Now())
		if _, err := d.store.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.RunTargets}, Now: now, Until: now.Add(time.Second), Limit: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	began := time.Now()
	var after []time.Duration
	stop := d.dispatch(func(context.Context, engine.Delivery) error {
		after = append(after, time.Since(began).Round(time.Second))
		return errors.New("no connection")
	}, engine.Backoff(time.Second, time.Hour))
	defer stop()
	time.Sleep(5 * time.Second)
	synctest.Wait()
	if want := []time.Duration{0, time.Second, 3 * time.Second}; !slices.Equal(after, want) {
		t.Errorf("delivered after %v, want %v", after, want)
	}
}

func testDispatchCountsFailuresFromTheLastDelivery(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	d.operateJob(id, operation.TerminateJob)
	began := time.Now()
	var broken atomic.Bool
	var after []time.Duration
	stop := d.dispatch(func(_ context.Context, x engine.Delivery) error {
		if x.Effect != store.StopAttempt {
			return nil
		}
		after = append(after, time.Since(began).Round(time.Second))
		if broken.Load() {
			return errors.New("no connection")
		}
		return nil
	}, engine.Backoff(time.Second, time.Hour), engine.StopEvery(10*time.Second))
	defer stop()
	for _, c := range []struct {
		wait      time.Duration
		broken    bool
		failures  int32
		lastError string
	}{
		{25 * time.Second, false, 0, ""},            // delivered at 0, 10 and 20 s
		{7 * time.Second, true, 2, "no connection"}, // failed at 30 and 31 s
		{10 * time.Second, false, 0, ""},            // delivered at 33 s
		{3 * time.Second, true, 2, "no connection"}, // failed at 43 and 44 s
	} {
		broken.Store(c.broken)
		time.Sleep(c.wait)
		synctest.Wait()
		w := d.waiting(id)
		if len(w) != 1 || !w[0].Delivered || w[0].Failures != c.failures || w[0].LastError != c.lastError {
			t.Errorf("after %v the stop waits as %+v, want it delivered, and then failed %d times with %q", time.Since(began), w, c.failures, c.lastError)
		}
	}
	d.outcome(id, 1, step.Stopped)
	time.Sleep(time.Minute)
	synctest.Wait()
	want := []time.Duration{0, 10, 20, 30, 31, 33, 43, 44}
	for i := range want {
		want[i] *= time.Second
	}
	if w := d.waiting(id); !slices.Equal(after, want) || len(w) != 0 {
		t.Errorf("delivered after %v, want %v and no more once the step has stopped; %+v still wait, want none", after, want, w)
	}
}

func testDispatchRenews(t *testing.T) {
	d := newDesk(t, memstore.New())
	d.script()
	handle := func(_ context.Context, x engine.Delivery) error {
		d.note(x)
		time.Sleep(10 * time.Minute)
		return nil
	}
	stop, stopOther := d.dispatch(handle), d.dispatch(handle)
	time.Sleep(11 * time.Minute)
	synctest.Wait()
	d.wantLog("run 1")
	stop()
	stopOther()
}

func testDispatchEndsAHandlerWithoutALease(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	d.script()
	ended := false
	stop := d.dispatch(func(ctx context.Context, _ engine.Delivery) error {
		faults.Add(storetest.Fault{Method: storetest.Defer, Err: store.ErrLeaseLost})
		<-ctx.Done()
		ended = true
		return ctx.Err()
	})
	defer stop()
	time.Sleep(6 * time.Second) // past the first renewal
	synctest.Wait()
	if !ended || len(d.failures) != 1 || !errors.Is(d.failures[0], store.ErrLeaseLost) {
		t.Errorf("ended: %v, failures: %v; want the handler's context ended, and the observer told once", ended, d.failures)
	}
}

func testDispatchHandsOverWhenItEnds(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	stop := d.dispatch(func(ctx context.Context, _ engine.Delivery) error {
		<-ctx.Done()
		return ctx.Err()
	})
	synctest.Wait()
	stop()
	if w := d.waiting(id); len(w) != 1 || w[0].Failures != 0 || w[0].LastError != "" {
		t.Errorf("the effect waits as %+v, want no failure", w)
	}
	if n, err := d.eng.Deliver(t.Context(), d.handle); n != 1 || err != nil {
		t.Errorf("Deliver after the dispatcher has ended: %d, %v, want its effect", n, err)
	}
	if w := d.waiting(id); len(w) != 0 {
		t.Errorf("%+v still wait, want none", w)
	}
}

func testDispatchDeliversAgainAfterACrash(t *testing.T) {
	d := newDesk(t, memstore.New())
	d.script()
	now := step.At(time.Now())
	if _, err := d.store.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.RunTargets}, Now: now, Until: now.Add(30 * time.Second), Limit: 1}); err != nil {
		t.Fatal(err)
	}
	stop := d.dispatch(d.handle)
	defer stop()
	time.Sleep(29 * time.Second)
	synctest.Wait()
	d.wantLog()
	time.Sleep(2 * time.Second)
	synctest.Wait()
	d.wantLog("run 1")
}

func testDispatchStopsBesideRuns(t *testing.T) {
	d := newDesk(t, memstore.New())
	first, second := d.script(), d.script()
	stop := d.dispatch(func(ctx context.Context, x engine.Delivery) error {
		d.note(x)
		if x.Effect == store.RunTargets {
			<-ctx.Done()
		}
		return nil
	}, engine.Runs(1))
	defer stop()
	synctest.Wait()
	d.operateJob(first, operation.TerminateJob)
	d.operateJob(second, operation.TerminateJob)
	synctest.Wait()
	d.wantLog("run 1", "stop 1", "stop 1")
}

func testDispatchStopsBesideQuestions(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	for range 3 {
		created, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		d.operateJob(created.Job, operation.StartJob)
	}
	stop := d.dispatch(func(ctx context.Context, x engine.Delivery) error {
		d.note(x)
		if x.Effect == store.AskConfirmers {
			<-ctx.Done() // a question waits for its answer
		}
		return nil
	}, engine.Notices(2))
	defer stop()
	synctest.Wait()
	d.operateJob(id, operation.TerminateJob)
	synctest.Wait()
	d.wantLog("ask 1", "ask 1", "run 1", "stop 1")
}

func testDispatchRenewsUntilAHandlerEnds(t *testing.T) {
	d := newDesk(t, memstore.New())
	d.script()
	handle := func(_ context.Context, x engine.Delivery) error {
		d.note(x)
		time.Sleep(10 * time.Minute) // whatever its context says
		return nil
	}
	stop, stopOther := d.dispatch(handle), d.dispatch(handle)
	synctest.Wait()
	go stop()
	time.Sleep(11 * time.Minute)
	synctest.Wait()
	d.wantLog("run 1")
	stopOther()
}

func testDispatchExpires(t *testing.T) {
	d := newDesk(t, memstore.New())
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a"}, Timeout: time.Minute},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	d.operateJob(created.Job, operation.StartJob)
	stop := d.dispatch(d.handle, engine.SweepEvery(5*time.Second))
	defer stop()
	time.Sleep(66 * time.Second)
	synctest.Wait()
	d.wantLog("run 1", "job_ended abnormal")
}

func testDispatchSurvivesAFailingStore(t *testing.T) {
	broken := errors.New("broken")
	faults := storetest.NewFaults(memstore.New(),
		storetest.Fault{Method: storetest.Claim, Err: broken},
		storetest.Fault{Method: storetest.Settle, Err: broken},
		storetest.Fault{Method: storetest.Overdue, Err: broken},
		storetest.Fault{Method: storetest.View, Call: 2, Err: broken},
	)
	d := newDesk(t, faults)
	id := d.script()
	stop := d.dispatch(d.handle, engine.Lease(3*time.Second))
	defer stop()
	time.Sleep(time.Minute)
	synctest.Wait()
	if w := d.waiting(id); len(w) != 0 || len(d.log) == 0 {
		t.Errorf("delivered %q, %+v still wait, want the run delivered and settled", d.log, w)
	}
	if len(d.failures) < 4 {
		t.Errorf("the observer was told of %v, want every failure", d.failures)
	}
}

func testDispatchRefusesNoHandler(t *testing.T) {
	err := engine.New(memstore.New()).Dispatch(t.Context(), nil)
	if !errors.Is(err, operation.InvalidInput) {
		t.Errorf("Dispatch(nil): %v, want invalid input", err)
	}
}

// mute is a store that is no store.Waker.
type mute struct{ store.Store }
