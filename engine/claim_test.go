package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
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

var (
	runs  = engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}}
	stops = engine.ClaimQuery{Effects: []store.Effect{store.StopAttempt}}
)

// claim claims, and notes the deliveries.
func (d *desk) claim(q engine.ClaimQuery) []engine.Delivery {
	d.Helper()
	claimed, err := d.eng.Claim(d.Context(), q)
	if err != nil {
		d.Fatal(err)
	}
	for _, x := range claimed {
		d.note(x)
	}
	return claimed
}

// claimOne claims, and fails the test unless it gets one effect.
func (d *desk) claimOne(q engine.ClaimQuery) engine.Delivery {
	d.Helper()
	claimed := d.claim(q)
	if len(claimed) != 1 {
		d.Fatalf("Claim(%+v): %+v, want one effect", q, claimed)
	}
	return claimed[0]
}

// ok ends the test if a call has failed.
func (d *desk) ok(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// terminating returns a job that was told to terminate while it ran.
func (d *desk) terminating() store.JobID {
	d.Helper()
	id := d.script()
	d.operateJob(id, operation.TerminateJob)
	return id
}

func TestClaim(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }

	bubble("hands out what a dispatcher would", testClaimHandsOutWhatADispatcherWould)
	bubble("takes the kinds that are wanted, each once, and Limit at most", testClaimTakesTheWantedKinds)
	bubble("hands out what fell due first, first", testClaimKeepsTheOrder)
	bubble("leaves an effect with whoever has it until the lease runs out", testClaimRespectsLeases)
	bubble("settles unseen what nobody needs, and goes on to what is needed", testClaimSettlesObsoleteEffects)
	bubble("sees the effects of its scope alone", testClaimKeepsToItsScope)
	bubble("shares a store with other claimers and with dispatchers", testClaimSharesAStore)
	bubble("gives back what was claimed when the caller goes", testClaimGivesBack)
	bubble("fails an effect whose job it cannot read, and hands out the others", testClaimFailsAnUnreadableJob)
	bubble("returns a failure of the store", testClaimReturnsAFailureOfTheStore)
}

func testClaimHandsOutWhatADispatcherWould(t *testing.T) {
	d := newDesk(t, memstore.New())
	d.script()
	ended := d.terminating()
	d.claim(engine.ClaimQuery{})
	d.outcome(ended, 1, step.Stopped)
	d.operate(ended, 1, operation.RetryAll)
	asks, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
	d.ok(err)
	d.operateJob(asks.Job, operation.StartJob)
	time.Sleep(30 * time.Second) // of all leases
	all := func(count int32) []engine.Delivery {
		claimed := d.claim(engine.ClaimQuery{})
		slices.SortFunc(claimed, byRecord)
		for i := range claimed {
			claimed[i].Count, claimed[i].Token = claimed[i].Count-count, store.Token{}
		}
		return claimed
	}
	pulled := all(0)
	time.Sleep(30 * time.Second)
	var pushed []engine.Delivery
	if _, err := d.eng.Deliver(t.Context(), func(_ context.Context, x engine.Delivery) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		x.Count, x.Token = x.Count-1, store.Token{}
		pushed = append(pushed, x)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(pushed, byRecord)
	if len(pulled) != 5 || !reflect.DeepEqual(pulled, pushed) {
		t.Errorf("Claim:\n%+v, want what Deliver delivers, the run, the stop, the end, the second run and the question:\n%+v", pulled, pushed)
	}
}

// byRecord orders deliveries by job, and those of a job by record.
func byRecord(a, b engine.Delivery) int {
	return cmp.Or(cmp.Compare(a.Job.ID, b.Job.ID), cmp.Compare(a.Seq, b.Seq))
}

func testClaimTakesTheWantedKinds(t *testing.T) {
	d := newDesk(t, memstore.New())
	for range 3 {
		d.script()
	}
	if got := d.claim(engine.ClaimQuery{Effects: []store.Effect{store.RunTargets, store.RunTargets, store.RunTargets}, Limit: 2}); len(got) != 2 {
		t.Errorf("Claim of two runs: %+v", got)
	}
	d.terminating()
	d.claim(engine.ClaimQuery{Effects: []store.Effect{store.JobEnded, store.StopAttempt}})
	d.wantLog("run 1", "run 1", "stop 1")
}

func testClaimKeepsTheOrder(t *testing.T) {
	d := newDesk(t, memstore.New())
	var want, got []store.JobID
	for range 100 {
		want = append(want, d.script())
	}
	for _, x := range d.claim(engine.ClaimQuery{}) {
		got = append(got, x.Job.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("Claim: the runs of jobs %v, want them in their order: %v", got, want)
	}
}

func testClaimRespectsLeases(t *testing.T) {
	for lease, lasts := range map[time.Duration]time.Duration{0: 14 * time.Second, time.Second: time.Second, time.Hour: time.Hour} {
		d := newDesk(t, memstore.New())
		id := d.script()
		first := d.claimOne(engine.ClaimQuery{Lease: lease})
		if want := (engine.Claimed{Job: id, Seq: 2, Count: 1, Token: first.Token}); first.Claimed() != want {
			t.Errorf("Claimed: %+v, want %+v", first.Claimed(), want)
		}
		time.Sleep(lasts - time.Millisecond)
		if got := d.claim(engine.ClaimQuery{}); len(got) > 0 {
			t.Errorf("Claim a moment before a lease of %v ends: %+v, want nothing", lasts, got)
		}
		time.Sleep(time.Millisecond)
		if second := d.claimOne(engine.ClaimQuery{}); second.Count != 2 {
			t.Errorf("Claim after a lease of %v: %+v, want the second delivery", lasts, second)
		}
	}
}

func testClaimSettlesObsoleteEffects(t *testing.T) {
	d := newDesk(t, memstore.New())
	var ids []store.JobID
	for range 3 {
		ids = append(ids, d.terminating()) // whose run is obsolete
	}
	good := d.script()
	if got := d.claimOne(engine.ClaimQuery{Effects: runs.Effects, Limit: 1}); got.Job.ID != good {
		t.Errorf("Claim: %+v, want the run of job %d", got, good)
	}
	for _, id := range ids {
		if w := d.waiting(id); len(w) != 1 || w[0].Effect != store.StopAttempt || w[0].Count != 0 {
			t.Errorf("job %d: %+v wait, want its stop alone, unclaimed", id, w)
		}
	}
	d.operateJob(good, operation.TerminateJob)
	time.Sleep(30 * time.Second)
	if got := d.claim(runs); len(got) > 0 {
		t.Errorf("Claim of runs, of which all are obsolete: %+v", got)
	}
}

func testClaimKeepsToItsScope(t *testing.T) {
	d := newDesk(t, memstore.New())
	d.script()
	if got, err := d.eng.In(blue).Claim(t.Context(), engine.ClaimQuery{}); len(got) > 0 || err != nil {
		t.Errorf("Claim in another scope: %+v, %v, want nothing", got, err)
	}
}

func testClaimSharesAStore(t *testing.T) {
	const jobs = 200
	d := newDesk(t, memstore.New())
	for range jobs {
		d.terminating()
		d.script()
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := d.dispatch(d.handle, engine.StopEvery(time.Hour))
	var claimers sync.WaitGroup
	for range 4 {
		claimers.Go(func() {
			for {
				claimed, err := d.eng.Claim(ctx, engine.ClaimQuery{Limit: 3, Wait: time.Minute})
				if err != nil {
					return
				}
				for _, x := range claimed {
					d.note(x)
					if err := d.eng.Settle(ctx, x.Claimed()); err != nil {
						t.Errorf("Settle(%+v): %v", x, err)
					}
				}
			}
		})
	}
	time.Sleep(10 * time.Second)
	cancel()
	claimers.Wait()
	stop()
	d.wantLog(slices.Concat(slices.Repeat([]string{"run 1"}, jobs), slices.Repeat([]string{"stop 1"}, jobs))...)
}

func testClaimGivesBack(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	ids := []store.JobID{d.terminating(), d.script(), d.script()}
	ctx, cancel := context.WithCancel(t.Context())
	faults.Add(storetest.Fault{Method: storetest.View, Call: 2, After: true, Do: cancel})
	if got, err := d.eng.Claim(ctx, engine.ClaimQuery{}); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Claim with a context that ends: %+v, %v, want its error", got, err)
	}
	if w := slices.Concat(d.waiting(ids[0]), d.waiting(ids[1]), d.waiting(ids[2])); slices.ContainsFunc(w, func(x store.Delivery) bool { return x.Failures > 0 }) {
		t.Errorf("%+v wait, want no failure", w)
	}
	d.claim(engine.ClaimQuery{})
	d.wantLog("stop 1", "run 1", "run 1")
	if len(d.failures) > 0 {
		t.Errorf("the observer was told %v, want nothing", d.failures)
	}
}

func testClaimFailsAnUnreadableJob(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	d.script()
	d.script()
	faults.Add(storetest.Fault{Method: storetest.View, Err: errBroken})
	if got := d.claim(engine.ClaimQuery{}); len(got) != 1 {
		t.Fatalf("Claim of two, of which one cannot be read: %+v", got)
	}
	if len(d.failures) != 1 || !errors.Is(d.failures[0], errBroken) {
		t.Errorf("the observer was told %v, want that the store broke", d.failures)
	}
	time.Sleep(time.Second)
	if got := d.claimOne(engine.ClaimQuery{}); got.Count != 2 {
		t.Errorf("Claim a second later: %+v, want the second delivery of the other", got)
	}
}

func testClaimReturnsAFailureOfTheStore(t *testing.T) {
	d := newDesk(t, storetest.NewFaults(memstore.New(), storetest.Fault{Method: storetest.Claim, Err: errBroken}))
	d.script()
	if got, err := d.eng.Claim(t.Context(), engine.ClaimQuery{Wait: time.Minute}); got != nil || !errors.Is(err, errBroken) {
		t.Errorf("Claim on a broken store: %+v, %v, want its error", got, err)
	}
}

// A claim that waits ends when something is due, and not before, unless its time is over.
func TestClaimWaits(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }
	waited := func(d *desk, q engine.ClaimQuery) (took time.Duration, n int) {
		d.Helper()
		began := time.Now()
		n = len(d.claim(q))
		return time.Since(began), n
	}

	bubble("for a commit", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		var committed sync.WaitGroup
		committed.Go(func() {
			time.Sleep(10*time.Second + time.Millisecond)
			d.script()
		})
		if took, n := waited(d, engine.ClaimQuery{Wait: time.Minute}); n != 1 || took != 10*time.Second+time.Millisecond {
			t.Errorf("Claim: %d effects after %v, want the one that was asked for after 10.001 s, at once", n, took)
		}
		committed.Wait()
	})
	bubble("for a commit that no store tells of", func(t *testing.T) {
		d := newDesk(t, mute{memstore.New()})
		var committed sync.WaitGroup
		committed.Go(func() {
			time.Sleep(10*time.Second + time.Millisecond)
			d.script()
		})
		if took, n := waited(d, engine.ClaimQuery{Wait: time.Minute}); n != 1 || took != 10*time.Second+200*time.Millisecond {
			t.Errorf("Claim: %d effects after %v, want one at the next poll, after 10.2 s", n, took)
		}
		committed.Wait()
	})
	bubble("for a lease to run out", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.script()
		d.claim(engine.ClaimQuery{Lease: 10 * time.Second})
		if took, n := waited(d, engine.ClaimQuery{Wait: time.Minute}); n != 1 || took != 10*time.Second {
			t.Errorf("Claim: %d effects after %v, want the one whose lease ends after 10 s", n, took)
		}
	})
	bubble("in vain", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.script()
		d.claim(engine.ClaimQuery{Lease: time.Hour})
		for _, wait := range []time.Duration{0, time.Millisecond, 1234 * time.Millisecond, time.Minute} {
			if took, n := waited(d, engine.ClaimQuery{Wait: wait}); n != 0 || took != wait {
				t.Errorf("Claim: %d effects after %v, want none after %v", n, took, wait)
			}
		}
	})
	bubble("for what is there already", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.script()
		if took, n := waited(d, engine.ClaimQuery{Wait: time.Minute}); n != 1 || took != 0 {
			t.Errorf("Claim: %d effects after %v, want one at once", n, took)
		}
	})
	bubble("until the caller goes", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if got, err := d.eng.Claim(ctx, engine.ClaimQuery{Wait: time.Minute}); got != nil || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("Claim: %+v, %v after %v, want its context's error after 10 s", got, err, time.Since(began))
		}
	})
}

// A hanging store answers no call about effects. It ends the caller's context when a claim has taken
// its effects and is about to return them.
type hanging struct {
	store.Store
	leave context.CancelFunc
}

func (h hanging) View(ctx context.Context, _ store.Query) (store.View, error) {
	h.leave()
	return store.View{}, ctx.Err()
}

func (h hanging) Defer(ctx context.Context, _ store.Delivery) error {
	<-ctx.Done()
	return ctx.Err()
}

// A claim ends with its caller's context, within 30 s even if the store hangs and the lease is an hour.
func TestClaimEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.script()
		ctx, leave := context.WithCancel(t.Context())
		began := time.Now()
		got, err := engine.New(hanging{d.store, leave}).Claim(ctx, engine.ClaimQuery{Lease: time.Hour})
		if took := time.Since(began); got != nil || !errors.Is(err, context.Canceled) || took > 30*time.Second {
			t.Errorf("Claim: %+v, %v after %v, want its context's error within 30 s", got, err, took)
		}
	})
}

func TestSettle(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }

	bubble("settles for good", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		d.ok(d.eng.Settle(t.Context(), d.claimOne(runs).Claimed()))
		if w := d.waiting(id); len(w) != 0 {
			t.Errorf("%+v still wait, want none", w)
		}
	})
	bubble("settles no other effect of the same claim if it is repeated", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.terminating()
		d.outcome(id, 1, step.Stopped)
		claimed := d.claim(engine.ClaimQuery{}) // the stop, which was never delivered, and the end of the job
		if len(claimed) != 2 || claimed[0].Effect != store.StopAttempt || claimed[0].Token != claimed[1].Token {
			t.Fatalf("Claim: %+v, want a stop and an end by one token", claimed)
		}
		d.ok(d.eng.Settle(t.Context(), claimed[0].Claimed()))
		if err := d.eng.Settle(t.Context(), claimed[0].Claimed()); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("Settle again: %v, want a lost lease", err)
		}
		if w := d.waiting(id); len(w) != 1 || w[0].Effect != store.JobEnded {
			t.Errorf("%+v still wait, want the end of the job", w)
		}
	})
	bubble("has a stop delivered again until its step has stopped", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.terminating()
		for n := range int32(3) {
			d.ok(d.eng.Settle(t.Context(), d.claimOne(stops).Claimed()))
			if w := d.waiting(id); !w[len(w)-1].Delivered || w[len(w)-1].Count != n+1 {
				t.Errorf("the stop waits as %+v, want it delivered %d times", w, n+1)
			}
			if got := d.claim(engine.ClaimQuery{Effects: stops.Effects, Wait: 30*time.Second - time.Millisecond}); len(got) > 0 {
				t.Errorf("Claim within 30 s: %+v, want nothing", got)
			}
			time.Sleep(time.Millisecond)
		}
		d.outcome(id, 1, step.Stopped)
		if got := d.claim(stops); len(got) > 0 {
			t.Errorf("Claim of a stop whose step has stopped: %+v, want it settled unseen", got)
		}
	})
	bubble("of a stop that is repeated begins its 30 s anew", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.terminating()
		stop := d.claimOne(stops).Claimed()
		d.ok(d.eng.Settle(t.Context(), stop))
		time.Sleep(20 * time.Second)
		d.ok(d.eng.Settle(t.Context(), stop))
		if got := d.claim(engine.ClaimQuery{Effects: stops.Effects, Wait: 30*time.Second - time.Millisecond}); len(got) > 0 {
			t.Errorf("Claim within 30 s: %+v, want nothing", got)
		}
	})
	bubble("settles a stop at once if its step has stopped", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.terminating()
		stop := d.claimOne(stops)
		d.outcome(id, 1, step.Stopped)
		d.ok(d.eng.Settle(t.Context(), stop.Claimed()))
		for _, w := range d.waiting(id) {
			if w.Effect == store.StopAttempt {
				t.Errorf("%+v still waits, want it settled", w)
			}
		}
	})
	bubble("forgives a stop its failures", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.terminating()
		d.ok(d.eng.Fail(t.Context(), d.claimOne(stops).Claimed(), errBroken))
		time.Sleep(time.Second)
		d.ok(d.eng.Settle(t.Context(), d.claimOne(stops).Claimed()))
		if w := d.waiting(id); w[len(w)-1].Failures != 0 || w[len(w)-1].LastError != "" {
			t.Errorf("the stop waits as %+v, want no failure and no error", w)
		}
	})
}

func TestRenew(t *testing.T) {
	for lease, lasts := range map[time.Duration]time.Duration{0: 14 * time.Second, time.Second: time.Second, time.Hour: time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, memstore.New())
			id := d.script()
			d.ok(d.eng.Fail(t.Context(), d.claimOne(runs).Claimed(), errBroken))
			time.Sleep(time.Second)
			c := d.claimOne(runs).Claimed()
			time.Sleep(20 * time.Second)
			d.ok(d.eng.Renew(t.Context(), c, lease))
			want := store.Delivery{Job: id, Seq: 2, Effect: store.RunTargets, Step: 1, Type: step.Script, Cause: operation.StartJob.Cause(), Attempt: 1, Run: store.FirstRun, Count: 2, Failures: 1, LastError: errBroken.Error()}
			w := d.waiting(id)
			want.At, want.NotBefore, want.Held = w[0].At, step.At(time.Now().Add(lasts)), true
			if len(w) != 1 || w[0] != want {
				t.Errorf("after Renew for %v the effect waits as %+v, want %+v", lease, w, want)
			}
			time.Sleep(lasts - time.Millisecond)
			if got := d.claim(runs); len(got) > 0 {
				t.Errorf("Claim a moment before the renewed lease ends: %+v, want nothing", got)
			}
			d.ok(d.eng.Renew(t.Context(), c, time.Second)) // the lease has nearly expired
			time.Sleep(10 * time.Second)
			d.ok(d.eng.Renew(t.Context(), c, time.Second)) // the lease has expired, and no other claim has the effect
		})
	}
}

func TestFail(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }
	rests := func(t *testing.T, d *desk, q engine.ClaimQuery, n int) (rests []time.Duration) {
		t.Helper()
		q.Wait = time.Minute
		for range n {
			began := time.Now()
			var claimed []engine.Delivery
			for len(claimed) == 0 {
				claimed = d.claim(q)
			}
			rests = append(rests, time.Since(began))
			d.ok(d.eng.Fail(t.Context(), claimed[0].Claimed(), errBroken))
		}
		return rests[1:]
	}
	seconds := func(list ...time.Duration) []time.Duration {
		for i := range list {
			list[i] *= time.Second
		}
		return list
	}

	bubble("has an effect delivered again, each time after twice as long", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.script()
		if got, want := rests(t, d, runs, 12), seconds(1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300); !slices.Equal(got, want) {
			t.Errorf("after its failures a run rests %v, want %v", got, want)
		}
	})
	bubble("has a stop rest no longer than if it had not failed", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		d.terminating()
		if got, want := rests(t, d, stops, 8), seconds(1, 2, 4, 8, 16, 30, 30); !slices.Equal(got, want) {
			t.Errorf("after its failures a stop rests %v, want %v", got, want)
		}
	})
	bubble("keeps the reason, and tells the observer of all of it", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		cause := fmt.Errorf("%w\x00: %s", errBroken, strings.Repeat("ä", 1000))
		d.ok(d.eng.Fail(t.Context(), d.claimOne(runs).Claimed(), cause))
		w := d.waiting(id)
		if len(w) != 1 || w[0].Failures != 1 || !strings.HasPrefix(w[0].LastError, errBroken.Error()+"\uFFFD: ää") || len([]rune(w[0].LastError)) != 500 {
			t.Errorf("the effect waits as %+v, want one failure and 500 characters of its reason", w)
		}
		if len(d.failures) != 1 || !errors.Is(d.failures[0], errBroken) || !strings.HasSuffix(d.failures[0].Error(), strconv.Quote(cause.Error())) {
			t.Errorf("the observer was told %v, want the reason", d.failures)
		}
	})
}

// The answers to the holder of a claim, and to one that has lost it: an error with the job's id, and
// no change.
func TestALostClaimAnswersForNothing(t *testing.T) {
	answers := map[string]func(ctx context.Context, e *engine.Engine, c engine.Claimed) error{
		"Settle":  func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Settle(ctx, c) },
		"Renew":   func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Renew(ctx, c, 0) },
		"Fail":    func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Fail(ctx, c, errBroken) },
		"Release": func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Release(ctx, c) },
	}
	claimedOnce := func(d *desk) engine.Claimed {
		d.terminating()
		return d.claimOne(stops).Claimed()
	}
	losses := map[string]func(d *desk) engine.Claimed{
		"claimed again": func(d *desk) engine.Claimed {
			c := claimedOnce(d)
			time.Sleep(30 * time.Second)
			d.claimOne(stops)
			return c
		},
		"claimed again by a dispatcher": func(d *desk) engine.Claimed {
			c := claimedOnce(d)
			time.Sleep(30 * time.Second)
			_, err := d.eng.Deliver(d.Context(), d.handle)
			d.ok(err)
			return c
		},
		"settled": func(d *desk) engine.Claimed {
			c := claimedOnce(d)
			d.outcome(c.Job, 1, step.Stopped)
			d.ok(d.eng.Settle(d.Context(), c))
			return c
		},
		"of a delivery to come": func(d *desk) engine.Claimed {
			c := claimedOnce(d)
			c.Count++
			return c
		},
		"of another effect": func(d *desk) engine.Claimed {
			c := claimedOnce(d)
			c.Seq-- // of the run, which is not claimed
			return c
		},
		"of a record without an effect": func(d *desk) engine.Claimed {
			c := claimedOnce(d)
			c.Seq = 1
			return c
		},
		"of a record to come": func(d *desk) engine.Claimed {
			c := claimedOnce(d)
			c.Seq = 1 << 60
			return c
		},
	}
	for answer, do := range answers {
		for loss, lose := range losses {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, memstore.New())
				c := lose(d)
				before := d.waiting(c.Job)
				err := do(t.Context(), d.eng, c)
				if !errors.Is(err, store.ErrLeaseLost) || !strings.HasPrefix(err.Error(), fmt.Sprintf("job %d: ", c.Job)) {
					t.Errorf("%s of a claim that is %s: %v, want that the lease of job %d is lost", answer, loss, err, c.Job)
				}
				if after := d.waiting(c.Job); !slices.Equal(before, after) || len(d.failures) > 0 {
					t.Errorf("%s of a claim that is %s changes\n%+v to\n%+v, and the observer was told %v", answer, loss, before, after, d.failures)
				}
			})
		}
		// It is lost between the look and the answer.
		synctest.Test(t, func(t *testing.T) {
			faults := storetest.NewFaults(memstore.New())
			d := newDesk(t, faults)
			c := claimedOnce(d)
			time.Sleep(30 * time.Second)
			faults.Add(storetest.Fault{Method: storetest.Effects, After: true, Do: func() { d.claimOne(stops) }})
			if err := do(t.Context(), d.eng, c); !errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("%s of a claim that is lost meanwhile: %v, want that it is lost", answer, err)
			}
		})
		for _, broken := range []storetest.Method{storetest.Effects, storetest.Defer} {
			faults := storetest.NewFaults(memstore.New(), storetest.Fault{Method: broken, Err: errBroken})
			d := newDesk(t, faults)
			if err := do(t.Context(), d.eng, claimedOnce(d)); !errors.Is(err, errBroken) || errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("%s in a store that fails to %s: %v, want its error", answer, broken, err)
			}
		}
	}
}
