package engine_test

import (
	"context"
	"errors"
	"strings"
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

// cut is the connection of one engine to a store. A function can take the place of a method's
// calls.
type cut struct {
	store.Store
	claim, view, leave, settle, effects, overdue atomic.Pointer[func(context.Context) error]
}

// block makes the calls of some methods return f's error; nil lets them pass.
func block(f func(context.Context) error, calls ...*atomic.Pointer[func(context.Context) error]) {
	for _, c := range calls {
		if c.Store(nil); f != nil {
			c.Store(&f)
		}
	}
}

func through[T any](ctx context.Context, c *atomic.Pointer[func(context.Context) error], do func() (T, error)) (none T, err error) {
	if f := c.Load(); f != nil {
		return none, (*f)(ctx)
	}
	return do()
}

func (c *cut) Claim(ctx context.Context, q store.Claim) ([]store.Delivery, error) {
	return through(ctx, &c.claim, func() ([]store.Delivery, error) { return c.Store.Claim(ctx, q) })
}

func (c *cut) View(ctx context.Context, q store.Query) (store.View, error) {
	return through(ctx, &c.view, func() (store.View, error) { return c.Store.View(ctx, q) })
}

func (c *cut) Defer(ctx context.Context, d store.Delivery) error {
	_, err := through(ctx, &c.leave, func() (bool, error) { return true, c.Store.Defer(ctx, d) })
	return err
}

func (c *cut) Settle(ctx context.Context, d store.Delivery) error {
	_, err := through(ctx, &c.settle, func() (bool, error) { return true, c.Store.Settle(ctx, d) })
	return err
}

func (c *cut) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return through(ctx, &c.effects, func() ([]store.Delivery, error) { return c.Store.Effects(ctx, scope, job, p) })
}

func (c *cut) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return through(ctx, &c.overdue, func() ([]store.Overdue, error) { return c.Store.Overdue(ctx, scope, now, limit) })
}

func fails(context.Context) error { return errBroken }

// A handler's context ends when its lease expires, whatever its renewals return, and the observer is
// told once.
func TestHandlerIsToldThatItsLeaseHasRunOut(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }
	// ended returns a handler that waits for the end of its context and says when, since began,
	// and why that was.
	type end struct {
		after time.Duration
		cause error
	}
	ended := func(result error) (*[]end, engine.Handler) {
		var ends []end
		began := time.Now()
		return &ends, func(ctx context.Context, _ engine.Delivery) error {
			<-ctx.Done()
			ends = append(ends, end{time.Since(began), context.Cause(ctx)})
			return result
		}
	}
	wantLost := func(d *desk, ends []end, after time.Duration, cause error) {
		d.Helper()
		if len(ends) != 1 || ends[0].after != after || !errors.Is(ends[0].cause, store.ErrLeaseLost) || !errors.Is(ends[0].cause, cause) {
			d.Errorf("the handler's context ended %v, want once, after %v, as the lease is lost: %v", ends, after, cause)
		}
		if len(d.failures) != 1 || !errors.Is(d.failures[0], store.ErrLeaseLost) || !strings.Contains(d.failures[0].Error(), "run of step 1, attempt 1") {
			d.Errorf("the observer was told %v, want once that the lease is lost", d.failures)
		}
	}

	bubble("while another one carries the effect out", func(t *testing.T) {
		for name, broken := range map[string]func(context.Context) error{"fails": fails, "hangs": never} {
			st := &cut{Store: memstore.New()}
			a, b := newDesk(t, st), newDesk(t, st.Store)
			a.script()
			ends, handle := ended(context.Canceled)
			stopA := a.dispatch(handle)
			synctest.Wait()
			block(broken, &st.claim, &st.leave)
			stopB := b.dispatch(b.handle)
			time.Sleep(14*time.Second - time.Millisecond)
			synctest.Wait()
			b.wantLog()
			time.Sleep(time.Second)
			synctest.Wait()
			b.wantLog("run 1")
			want := errBroken
			if name == "hangs" {
				want = context.DeadlineExceeded
			}
			claims := a.failures // of Claim
			a.failures = nil
			for _, err := range claims {
				if !strings.HasPrefix(err.Error(), "claim effects: ") {
					a.failures = append(a.failures, err)
				}
			}
			wantLost(a, *ends, 14*time.Second, want)
			if len(b.failures) > 0 {
				t.Errorf("a store that %s: the other's observer was told %v", name, b.failures)
			}
			stopA()
			stopB()
		}
	})
	bubble("a lease after the last renewal that passed", func(t *testing.T) {
		st := &cut{Store: memstore.New()}
		d := newDesk(t, st)
		d.script()
		ends, handle := ended(nil)
		stop := d.dispatch(handle, engine.Lease(7*time.Second))
		defer stop()
		time.Sleep(6 * time.Second) // it was renewed at 2.5 s and 5 s
		block(fails, &st.leave)
		block(func(context.Context) error { return nil }, &st.claim) // finds nothing
		time.Sleep(time.Minute)
		synctest.Wait()
		wantLost(d, *ends, 12*time.Second, errBroken)
	})
	bubble("not after a renewal that failed and one that passed", func(t *testing.T) {
		st := &cut{Store: memstore.New()}
		d := newDesk(t, st)
		d.script()
		ends, handle := ended(nil)
		stop := d.dispatch(handle)
		for range 10 {
			block(never, &st.leave)
			time.Sleep(4 * time.Second) // less than between two renewals
			block(nil, &st.leave)
			time.Sleep(13 * time.Second)
		}
		synctest.Wait()
		if len(*ends) > 0 || len(d.failures) > 0 {
			t.Errorf("the handler's context ended %v, and the observer was told %v, want neither", *ends, d.failures)
		}
		stop()
	})
	bubble("as soon as the store says that another claim has it", func(t *testing.T) {
		st := memstore.New()
		d := newDesk(t, st)
		d.script()
		ends, handle := ended(nil)
		stop := d.dispatch(handle)
		defer stop()
		time.Sleep(time.Second)
		thief := newDesk(t, st, ahead(time.Minute)) // on a store without a clock
		thief.claimOne(runs)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantLost(d, *ends, 5*time.Second, store.ErrLeaseLost)
	})
	bubble("before it begins, if the store took as long to say where the job stands", func(t *testing.T) {
		st := &cut{Store: memstore.New()}
		d := newDesk(t, st)
		id := d.script()
		block(func(context.Context) error {
			time.Sleep(30 * time.Second)
			block(nil, &st.view)
			return errBroken
		}, &st.view)
		slow := &slowView{Store: st.Store}
		slow.once.Store(true)
		d.eng = engine.New(slow, engine.WithObserver(engine.Observer{Failed: func(_ context.Context, err error) { d.failures = append(d.failures, err) }}))
		n, err := d.eng.Deliver(t.Context(), d.handle, engine.Lease(time.Second))
		if n != 1 || !errors.Is(err, store.ErrLeaseLost) || len(d.failures) != 1 {
			t.Errorf("Deliver: %d, %v, and the observer was told %v, want one lost lease, and the effect delivered again", n, err, d.failures)
		}
		d.wantLog("run 1")
		if w := d.waiting(id); len(w) > 0 {
			t.Errorf("%+v waits, want it settled", w)
		}
	})
}

// slowView answers its first View late, whatever becomes of its context.
type slowView struct {
	store.Store
	once atomic.Bool
}

func (s *slowView) View(ctx context.Context, q store.Query) (store.View, error) {
	if s.once.CompareAndSwap(true, false) {
		time.Sleep(time.Second)
		ctx = context.WithoutCancel(ctx)
	}
	return s.Store.View(ctx, q)
}

// A lease is lost after two renewals in a row that failed, and not before.
func TestALeaseOutlivesARenewalThatFails(t *testing.T) {
	const renewals = 30
	for lease, every := range map[time.Duration]time.Duration{14 * time.Second: 5 * time.Second, 42 * time.Second: 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			faults := storetest.NewFaults(memstore.New())
			for n := 1; n < renewals; n += 2 { // and the last two
				faults.Add(storetest.Fault{Method: storetest.Defer, Call: n, Err: errBroken})
			}
			faults.Add(storetest.Fault{Method: storetest.Defer, Call: renewals + 1, Err: errBroken}, storetest.Fault{Method: storetest.Defer, Call: renewals + 2, Err: errBroken})
			d := newDesk(t, faults)
			d.script()
			stop := d.dispatch(func(ctx context.Context, _ engine.Delivery) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}, engine.Lease(lease))
			time.Sleep(renewals*every + lease - time.Millisecond)
			synctest.Wait()
			if told := d.told(); len(told) > 0 {
				t.Errorf("lease of %v: of %d renewals every second one fails, and the observer was told %v, want nothing", lease, renewals, told)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if told := d.told(); len(told) != 1 || !errors.Is(told[0], store.ErrLeaseLost) {
				t.Errorf("lease of %v: two renewals in a row have failed, and the observer was told %v, want that the lease is lost", lease, told)
			}
			stop()
		})
	}
}

// The result of a handler whose lease has expired counts if no other claim has the effect.
func TestOutcomeAfterALostLease(t *testing.T) {
	for _, c := range []struct {
		what      string
		result    error
		elsewhere bool // another claim has the effect by then
		waits     int  // effects, when it has returned
	}{
		{"nil settles", nil, false, 0},
		{"nil settles nothing that was claimed again", nil, true, 1},
		{"an error is not kept", errBroken, false, 1},
		{"an error is not kept of what was claimed again", errBroken, true, 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := &cut{Store: memstore.New()}
				d, other := newDesk(t, st), newDesk(t, st.Store)
				id := d.script()
				ctx, cancel := context.WithCancel(t.Context())
				deliveries := 0
				n, err := d.eng.Deliver(ctx, func(ctx context.Context, _ engine.Delivery) error {
					if deliveries++; deliveries > 1 {
						t.Error("delivered again within the call")
					}
					block(fails, &st.leave)
					<-ctx.Done()
					if c.elsewhere {
						other.claimOne(runs)
					} else {
						cancel() // so that it is not delivered again
					}
					block(nil, &st.leave)
					return c.result
				})
				cancel()
				settled := c.waits == 0
				if (n == 1) != settled || !errors.Is(err, store.ErrLeaseLost) {
					t.Errorf("Deliver: %d, %v, want it settled: %v, and the lost lease", n, err, settled)
				}
				w := other.waiting(id)
				if len(w) != c.waits || c.waits == 1 && (w[0].Failures != 0 || w[0].LastError != "") {
					t.Errorf("%+v waits, want %d effects without a failure", w, c.waits)
				}
				if !c.elsewhere && c.waits == 1 {
					other.claimOne(runs) // it is due at once
				}
			})
		})
	}
}

// Only the caller of a claim can settle, renew or fail its delivery.
func TestTokens(t *testing.T) {
	answers := map[string]func(ctx context.Context, e *engine.Engine, c engine.Claimed) error{
		"Settle":  func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Settle(ctx, c) },
		"Renew":   func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Renew(ctx, c, 0) },
		"Fail":    func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Fail(ctx, c, errBroken) },
		"Release": func(ctx context.Context, e *engine.Engine, c engine.Claimed) error { return e.Release(ctx, c) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, memstore.New())
			id := d.script()
			held := d.claimOne(runs)
			d.script()
			another := d.claimOne(runs)
			before := d.waiting(id)[0]
			for _, guess := range []store.Token{{}, {1}, another.Token} {
				c := held.Claimed()
				c.Token = guess
				if err := answer(t.Context(), d.eng, c); !errors.Is(err, store.ErrLeaseLost) {
					t.Errorf("%s with token %v of what was claimed with %v: %v, want %v", name, guess, held.Token, err, store.ErrLeaseLost)
				}
			}
			if w := d.waiting(id); len(w) != 1 || w[0] != before || len(d.failures) > 0 {
				t.Errorf("guesses changed %+v to %+v, and the observer was told %v", before, w, d.failures)
			}
			d.ok(answer(t.Context(), d.eng, held.Claimed()))
		})
	}
	t.Run("differ from claim to claim, and are never zero", func(t *testing.T) {
		for _, random := range []engine.Option{nil, engine.WithRandom(func() uint64 { return 0 }), engine.WithRandom(func() uint64 { return 1<<64 - 1 })} {
			d := newDesk(t, memstore.New(), random)
			d.script()
			if x := d.claimOne(runs); x.Token == (store.Token{}) {
				t.Error("a claim has the zero token")
			}
		}
		d := newDesk(t, memstore.New())
		seen := map[store.Token]bool{}
		for range 100 {
			d.script()
			seen[d.claimOne(runs).Token] = true
		}
		if len(seen) != 100 {
			t.Errorf("100 claims have %d tokens", len(seen))
		}
	})
	t.Run("are not told by Effects", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		d.claimOne(runs)
		if w := d.waiting(id); len(w) != 1 || w[0].Count != 1 || w[0].Token != (store.Token{}) {
			t.Errorf("Effects: %+v, want the claimed one without its token", w)
		}
	})
	t.Run("are not needed for a claim from before there were any", func(t *testing.T) {
		d := newDesk(t, memstore.New())
		id := d.script()
		claimed, err := d.store.Claim(t.Context(), store.Claim{Effects: runs.Effects, Until: step.At(time.Now().Add(time.Minute)), Limit: 1})
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		d.ok(d.eng.Settle(t.Context(), engine.Claimed{Job: id, Seq: claimed[0].Seq, Count: 1}))
	})
}

// No call of the store makes an engine wait for longer than 30 s, or than a lease.
func TestEveryWaitOnTheStoreHasABound(t *testing.T) {
	bubble := func(name string, f func(*testing.T)) { t.Run(name, func(t *testing.T) { synctest.Test(t, f) }) }
	within := func(d *desk, bound time.Duration, what string, call func() error) {
		d.Helper()
		began := time.Now()
		err := call()
		if took := time.Since(began); took != bound || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the store did not answer within "+bound.String()) {
			d.Errorf("%s: %v after %v, want that the store did not answer within %v", what, err, took, bound)
		}
	}
	bubble("of calls", func(t *testing.T) {
		st := &cut{Store: memstore.New()}
		d := newDesk(t, st)
		created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a"}, Timeout: time.Millisecond}}}, engine.Request{})
		d.ok(err)
		d.operateJob(created.Job, operation.StartJob)
		c := d.claimOne(engine.ClaimQuery{Lease: time.Hour}).Claimed()
		unclaimed := d.script()
		time.Sleep(time.Second)
		block(never, &st.overdue)
		within(d, 30*time.Second, "Sweep, Overdue", func() error { _, err := d.eng.Sweep(t.Context()); return err })
		block(nil, &st.overdue)
		block(never, &st.view)
		within(d, 30*time.Second, "Sweep, View", func() error { _, err := d.eng.Sweep(t.Context()); return err })
		block(nil, &st.view)
		block(never, &st.settle)
		within(d, 30*time.Second, "Settle", func() error { return d.eng.Settle(t.Context(), c) })
		block(never, &st.leave)
		within(d, 30*time.Second, "Renew", func() error { return d.eng.Renew(t.Context(), c, time.Hour) })
		within(d, 30*time.Second, "Fail", func() error { return d.eng.Fail(t.Context(), c, errBroken) })
		within(d, 30*time.Second, "Release", func() error { return d.eng.Release(t.Context(), c) })
		within(d, 30*time.Second, "GiveUp", func() error { _, err := d.eng.GiveUp(t.Context(), unclaimed, 2, engine.Request{}); return err })
		block(never, &st.effects)
		within(d, 30*time.Second, "Settle, Effects", func() error { return d.eng.Settle(t.Context(), c) })
		within(d, 30*time.Second, "Hurry, Effects", func() error { _, err := d.eng.Hurry(t.Context(), created.Job, 2, engine.Request{}); return err })
		block(never, &st.claim)
		within(d, 30*time.Second, "Claim", func() error { _, err := d.eng.Claim(t.Context(), engine.ClaimQuery{Lease: time.Hour}); return err })
		within(d, time.Second, "Claim for 1 s", func() error { _, err := d.eng.Claim(t.Context(), engine.ClaimQuery{Lease: time.Second}); return err })
		within(d, 2*time.Second, "Deliver", func() error {
			_, err := d.eng.Deliver(t.Context(), d.handle, engine.Lease(2*time.Second))
			return err
		})
	})
	bubble("of a dispatcher, which goes on", func(t *testing.T) {
		st := &cut{Store: memstore.New()}
		d, other := newDesk(t, st), newDesk(t, st.Store)
		stop := d.dispatch(d.handle, engine.Lease(9*time.Second))
		defer stop()
		for name, call := range map[string]*atomic.Pointer[func(context.Context) error]{"claim": &st.claim, "view": &st.view, "settle": &st.settle, "sweep": &st.overdue} {
			d.log, d.failures = nil, nil
			block(never, call)
			other.script()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			block(nil, call)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if len(d.log) == 0 {
				t.Errorf("after %s hung for 10 s, the run was not delivered; the observer was told %v", name, d.failures)
			}
			if len(d.failures) == 0 {
				t.Errorf("the observer was told nothing of %s, which hung", name)
			}
		}
	})
}
