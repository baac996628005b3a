package executor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var errCut = errors.New("the line is cut")

func cut(context.Context) error { return errCut }

// hang does not answer.
func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// A lease is renewed as long as a function is at work, 14 times in five leases.
func TestLeasesAreRenewed(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, 14 * time.Second} {
		t.Run(lease.String(), func(t *testing.T) {
			inLab(t, func(l *lab) {
				l.start(executor.Lease(lease), executor.Hosts(step.Script, l.work(50*lease)))
				job := l.job(nil, "a")
				pass(51 * lease)
				l.called("a")
				l.is(job, step.Succeeded)
				if got := l.src.count("Renew"); got < 139 || got > 141 {
					t.Errorf("%d renewals in 50 leases, want 140", got)
				}
			})
		})
	}
}

// A renewal that fails is repeated until the lease is over.
func TestMissedRenewals(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Hosts(step.Script, l.work(time.Minute)))
		job := l.job(nil, "a")
		pass(5500 * time.Millisecond) // one has passed, after 5 s
		l.src.hook("Renew", cut)
		pass(12 * time.Second)
		l.src.hook("Renew", nil)
		pass(time.Minute)
		l.causesAre()
		l.called("a")
		l.is(job, step.Succeeded)
	})
}

// A lease is lost when the source refuses a renewal, and when none has passed for the duration of the
// lease. A success that a function returns after that counts.
func TestALostLeaseEndsTheContext(t *testing.T) {
	for name, c := range map[string]struct {
		renew   func(context.Context) error
		returns step.Status
		lost    time.Duration // after the claim, at most
		calls   int
	}{
		"refused, failure":   {func(context.Context) error { return fmt.Errorf("effect 2: %w", store.ErrLeaseLost) }, step.TargetFailed, 5 * time.Second, 2},
		"refused, success":   {func(context.Context) error { return fmt.Errorf("effect 2: %w", store.ErrLeaseLost) }, step.TargetSucceeded, 5 * time.Second, 1},
		"cut, failure":       {cut, step.TargetFailed, 14 * time.Second, 2},
		"cut, success":       {cut, step.TargetSucceeded, 14 * time.Second, 1},
		"no answer, failure": {hang, step.NonZeroExit, 14 * time.Second, 2},
		"no answer, success": {hang, step.TargetSucceeded, 14 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				var lost atomic.Int64
				began := time.Now()
				l.start(executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
					defer l.begin(task, h.Name)()
					if task.Delivery > 1 {
						return success
					}
					<-ctx.Done()
					l.sawEnd(ctx)
					lost.Store(int64(time.Since(began)))
					time.Sleep(time.Minute) // it comes to its end
					return store.Result{Status: c.returns}
				}))
				l.src.hook("Renew", c.renew)
				pass(time.Second) // so that the lease ends here before it ends at the engine
				job := l.job(nil, "a")
				pass(30 * time.Second)
				l.src.hook("Renew", nil)
				pass(2 * time.Minute)
				l.causesAre(store.ErrLeaseLost)
				if got := time.Duration(lost.Load()); got > c.lost || got < 4*time.Second {
					t.Errorf("the context ended after %v, want %v at most", got, c.lost)
				}
				if len(l.calls) != c.calls {
					t.Errorf("the function was called %d times, want %d", len(l.calls), c.calls)
				}
				l.is(job, step.Succeeded)
				pass(time.Minute)
				l.settled(job)
			})
		})
	}
}

// An outage of the source loses no result, and starts no host twice at once.
func TestASourceThatIsGone(t *testing.T) {
	for name, how := range map[string]func(context.Context) error{"cut": cut, "hangs": hang} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				l.start(executor.AtOnce(2), executor.Hosts(step.Script, l.work(8*time.Second)))
				job := l.job(nil, numbered(6)...)
				pass(5 * time.Second)
				l.src.cutAll(how)
				pass(28 * time.Second)
				l.causesAre(store.ErrLeaseLost, store.ErrLeaseLost) // the last two hosts
				l.src.cutAll(nil)
				pass(3 * time.Minute)
				l.is(job, step.Succeeded)
				l.called("h0", "h1", "h2", "h3", "h4", "h5", "h4", "h5")
				l.settled(job)
			})
		})
	}
}

// Every call of the source is bounded by 30 s.
func TestCallsAreBounded(t *testing.T) {
	for _, method := range []string{"Claim", "Renew", "Settle", "Step", "Targets", "Report", "Sweep"} {
		t.Run(method, func(t *testing.T) {
			inLab(t, func(l *lab) {
				var longest time.Duration // guarded by mu
				var mu sync.Mutex
				l.start(executor.Hosts(step.Script, l.work(20*time.Second)))
				l.src.hook(method, func(ctx context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					if deadline, ok := ctx.Deadline(); !ok {
						t.Errorf("%s has no deadline", method)
					} else {
						longest = max(longest, time.Until(deadline))
					}
					return nil
				})
				l.job(nil, "a")
				pass(time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if longest <= 0 || longest > 30*time.Second {
					t.Errorf("%s is bounded by %v, want 30s at most", method, longest)
				}
			})
		})
	}
}

// A claim with a late answer is renewed first, and dropped if the renewal fails.
func TestALateClaim(t *testing.T) {
	for _, mine := range []bool{true, false} {
		t.Run(fmt.Sprintf("mine=%t", mine), func(t *testing.T) {
			inLab(t, func(l *lab) {
				l.src.late = 20 * time.Second
				l.start(executor.Hosts(step.Script, l.work(time.Second)))
				job := l.job(nil, "a")
				if !mine {
					pass(15 * time.Second)
					if due, err := l.eng.Claim(l.Context(), engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}}); err != nil || len(due) != 1 {
						t.Fatalf("Claim = %v, %v", due, err)
					}
				}
				pass(25 * time.Second)
				if mine {
					l.is(job, step.Succeeded)
				} else {
					l.called()
				}
			})
		})
	}
}

// A Failed function that does not return delays no renewal and no end of a context.
func TestASlowFailedHoldsUpNothing(t *testing.T) {
	inLab(t, func(l *lab) {
		release := make(chan struct{})
		slow := executor.Failed(func(context.Context, error) { <-release })
		stop := l.startTold(l.src, slow, executor.AtOnce(2), executor.Hosts(step.Script, l.work(time.Minute)))
		kept := l.job(nil, "a")
		pass(time.Second)
		l.src.hook("Renew", cut)
		pass(9 * time.Second) // f is told of a renewal that failed, and blocks
		l.src.hook("Renew", nil)
		pass(time.Minute)
		l.is(kept, step.Succeeded)
		l.called("a")
		lost := l.job(nil, "b")
		pass(time.Second)
		l.src.hook("Renew", func(context.Context) error { return store.ErrLeaseLost })
		pass(6 * time.Second)
		l.causesAre(store.ErrLeaseLost)
		l.src.hook("Renew", nil)
		pass(2 * time.Minute)
		l.is(lost, step.Succeeded)
		close(release)
		stop()
	})
}

// Failed gets the number of the failures that were dropped because too many waited.
func TestFailuresThatAreNotTold(t *testing.T) {
	inLab(t, func(l *lab) {
		atWork, release := make(chan struct{}), make(chan struct{})
		var told []error
		slow := executor.Failed(func(_ context.Context, err error) {
			if len(told) == 0 {
				close(atWork)
			}
			<-release
			told = append(told, err)
		})
		stop := l.startTold(l.src, slow, executor.Hosts(step.Script, func(_ context.Context, task *executor.Task, h executor.Host) store.Result {
			for i := range 300 {
				task.Progress(executor.Host{Index: -1}, "")
				if i == 0 {
					<-atWork // the first failure waits no more
				}
			}
			return success
		}))
		job := l.job(nil, "a")
		pass(time.Second)
		l.is(job, step.Succeeded)
		close(release)
		pass(time.Second)
		if len(told) != 258 || !strings.Contains(told[1].Error(), "43 failures more") {
			t.Errorf("Failed was told %d failures, the second %v, want 257 and one of the 43 others", len(told), told[1])
		}
		stop()
	})
}

// A Failed function may panic, or end its goroutine.
func TestAFailedThatFails(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				calls := 0
				l.startTold(l.src, executor.Hosts(step.Script, l.work(time.Minute)),
					executor.Failed(func(context.Context, error) {
						calls++
						fail()
					}))
				job := l.job(nil, "a")
				pass(time.Second)
				l.src.hook("Renew", cut)
				pass(9 * time.Second)
				l.src.hook("Renew", nil)
				pass(time.Minute)
				l.is(job, step.Succeeded)
				l.called("a")
				if calls < 2 {
					t.Errorf("Failed was called %d times, want one for each renewal that failed", calls)
				}
			})
		})
	}
}
