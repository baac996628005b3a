package executor_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// released checks that the run of a job is due at once, and has not failed.
func (l *lab) released(job store.JobID) {
	l.Helper()
	left, err := l.eng.Effects(l.Context(), job, 0, 0)
	l.must(err)
	if len(left) != 1 || left[0].NotBefore > step.At(time.Now()) || left[0].Failures != 0 || left[0].LastError != "" {
		l.Errorf("effects are %+v, want the run, due at once", left)
	}
}

// Without a drain time the contexts end at once, successes count, and the unfinished hosts are due again
// at once.
func TestShutdown(t *testing.T) {
	inLab(t, func(l *lab) {
		stop := l.start(executor.AtOnce(3), executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			defer l.begin(task, h.Name)()
			<-ctx.Done()
			l.sawEnd(ctx)
			return map[string]store.Result{"a": success, "b": {Status: step.TargetFailed}}[h.Name]
		}))
		job := l.job(nil, "a", "b", "c", "d")
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Run returned after %v, want 2s at most", took)
		}
		l.causesAre(executor.ErrShutdown, executor.ErrShutdown, executor.ErrShutdown)
		l.called("a", "b", "c")
		l.is(job, step.Running)
		l.statuses(job, step.TargetSucceeded, step.TargetRunning, step.TargetRunning, step.TargetWaiting)
		l.released(job)
	})
}

// Functions have the drain time to return by themselves; no host begins meanwhile.
func TestDrain(t *testing.T) {
	inLab(t, func(l *lab) {
		stop := l.start(executor.AtOnce(2), executor.Drain(time.Minute), executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			defer l.begin(task, h.Name)()
			if err := pauseFor(ctx, map[string]time.Duration{"a": 30 * time.Second, "b": time.Hour}[h.Name]); err != nil {
				l.sawEnd(ctx)
				return store.Result{Status: step.TargetFailed}
			}
			return store.Result{Status: step.NonZeroExit}
		}))
		job := l.job(nil, "a", "b", "c")
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took < time.Minute || took > time.Minute+2*time.Second {
			t.Errorf("Run returned after %v, want the minute", took)
		}
		l.called("a", "b")
		l.causesAre(executor.ErrShutdown)
		l.statuses(job, step.NonZeroExit, step.TargetRunning, step.TargetWaiting)
		l.released(job)
	})
}

// A run that ends while the executor drains is settled, and Run waits no longer.
func TestDrainEndsEarly(t *testing.T) {
	inLab(t, func(l *lab) {
		stop := l.start(executor.Drain(time.Hour), executor.Hosts(step.Script, l.work(10*time.Second)))
		job := l.job(nil, "a", "b")
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run returned after %v, want 9s", took)
		}
		l.is(job, step.Succeeded)
	})
}

// An attempt that is stopped while the executor drains ends, in whatever process the stop arrives.
func TestAStopWhileDraining(t *testing.T) {
	inLab(t, func(l *lab) {
		stop := l.start(executor.Drain(time.Hour), executor.Hosts(step.Script, l.work(time.Hour)))
		l.startOn(&source{Engine: l.eng, only: []store.Effect{store.StopAttempt}}, executor.Hosts(step.Script, l.work(time.Hour)))
		job := l.job(nil, "a")
		pass(time.Second)
		go stop()
		pass(time.Second)
		l.terminate(job)
		pass(5 * time.Second)
		l.causesAre(executor.ErrStopped)
		l.is(job, step.Terminated)
	})
}

// Results are reported in the last 2 s although the source fails at first, and dropped if it goes on
// to fail.
func TestLastWords(t *testing.T) {
	for name, c := range map[string]struct {
		back time.Duration
		want step.Status
	}{
		"back in time": {time.Second, step.TargetSucceeded},
		"too late":     {time.Minute, step.TargetWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				stop := l.start(executor.Hosts(step.Script, func(ctx context.Context, _ *executor.Task, h executor.Host) store.Result {
					if h.Name == "b" {
						<-ctx.Done()
					}
					return success
				}))
				l.src.hook("Report", cut)
				job := l.job(nil, "a", "b")
				pass(10 * time.Second)
				began := time.Now()
				go stop()
				pass(c.back)
				l.src.hook("Report", nil)
				stop()
				if took := time.Since(began); c.back < 2*time.Second && took > 3*time.Second {
					t.Errorf("Run returned after %v, want 2s at most", took)
				}
				l.statuses(job, c.want, c.want)
			})
		})
	}
}

// Run waits for functions that ignore their context, and their lease is renewed meanwhile.
func TestRunWaitsForFunctions(t *testing.T) {
	inLab(t, func(l *lab) {
		stop := l.start(executor.Hosts(step.Script, l.deaf(time.Hour)))
		job := l.job(nil, "a")
		pass(time.Second)
		go stop()
		pass(30 * time.Minute)
		if due, err := l.eng.Claim(l.Context(), engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}}); err != nil || len(due) != 0 {
			t.Errorf("Claim = %v, %v, want the run to be held", due, err)
		}
		stop()
		l.is(job, step.Succeeded)
	})
}

// An executor can run again, and not twice at once.
func TestRunTwice(t *testing.T) {
	inLab(t, func(l *lab) {
		x := executor.New(l.src, executor.Hosts(step.Script, l.work(time.Second)))
		for range 2 {
			ctx, cancel := context.WithCancel(l.Context())
			done := make(chan error)
			go func() { done <- x.Run(ctx) }()
			synctest.Wait()
			isInvalid(t, x.Run(ctx), "Run")
			l.job(nil, "a")
			pass(5 * time.Second)
			cancel()
			l.must(<-done)
		}
		l.called("a", "a")
	})
}

// A process that ends gives its runs to the others at once.
func TestTakeoverAtOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		stop := l.start(executor.AtOnce(1), executor.Hosts(step.Script, l.work(10*time.Second)))
		job := l.job(nil, "a", "b", "c")
		pass(15 * time.Second)
		l.start(executor.AtOnce(1), executor.Hosts(step.Script, l.work(10*time.Second)))
		stop()
		pass(20*time.Second + 500*time.Millisecond)
		l.is(job, step.Succeeded)
		if want := []string{"a", "b", "b", "c"}; !slices.Equal(l.calls, want) {
			t.Errorf("calls were %v, want %v", l.calls, want)
		}
	})
}

// A run that is claimed again as the executor ends is not given to another process while its first
// function is at work.
func TestARunThatComesAgainAtTheEnd(t *testing.T) {
	inLab(t, func(l *lab) {
		var stop func()
		l.src.claimed = func(due []engine.Delivery) []engine.Delivery {
			if len(due) == 1 && due[0].Effect == store.RunTargets && due[0].Count == 2 {
				l.src.hook("Renew", nil)
				go stop()
				time.Sleep(time.Millisecond) // the executor is ending
			}
			return due
		}
		stop = l.start(executor.Hosts(step.Script, l.deaf(time.Minute)))
		l.src.hook("Renew", cut)
		job := l.job(nil, "a")
		pass(20 * time.Second)
		l.startOn(&source{Engine: l.eng}, executor.Hosts(step.Script, l.deaf(time.Second)))
		pass(30 * time.Second)
		l.called("a")
		l.is(job, step.Running)
		pass(time.Minute)
		l.called("a")
		l.is(job, step.Succeeded)
	})
}

// A run that is claimed again as the executor ends goes on under the later lease for the drain time.
func TestARunThatComesAgainWhileDraining(t *testing.T) {
	inLab(t, func(l *lab) {
		var stop func()
		var first []engine.Delivery
		l.src.only = []store.Effect{store.RunTargets}
		l.src.claimed = func(due []engine.Delivery) []engine.Delivery {
			if len(due) > 0 || len(first) == 0 {
				first = due
				return due
			}
			go stop()
			time.Sleep(time.Millisecond)
			l.must(l.eng.Release(l.Context(), first[0].Claimed()))
			again, err := l.eng.Claim(l.Context(), engine.ClaimQuery{Effects: l.src.only})
			l.must(err)
			return again
		}
		stop = l.start(executor.Drain(time.Hour), executor.RunsOnly(), executor.Hosts(step.Script, l.work(time.Minute)))
		job := l.job(nil, "a")
		pass(2 * time.Minute)
		l.causesAre()
		l.called("a")
		l.is(job, step.Succeeded)
	})
}

// The drain time begins at once, although a claim that came late is being renewed: without one, the
// contexts of functions end at once.
func TestDrainBesideALateClaim(t *testing.T) {
	inLab(t, func(l *lab) {
		var ended time.Duration // after stop
		var began time.Time
		l.src.claimed = func(due []engine.Delivery) []engine.Delivery {
			if len(due) > 0 && due[0].Effect == store.RunTargets && !began.IsZero() {
				time.Sleep(10 * time.Second)
			}
			return due
		}
		stop := l.start(executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			defer l.begin(task, h.Name)()
			<-ctx.Done()
			ended = time.Since(began)
			return success
		}))
		l.job(nil, "a")
		pass(time.Second)
		began = time.Now()
		late := l.job(nil, "b")
		pass(9 * time.Second)
		l.src.hook("Renew", hang)
		pass(2 * time.Second)
		began = time.Now()
		stop()
		if ended != 0 {
			t.Errorf("the context ended %v after Run was to end, want at once", ended)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Run returned after %v, want 2s at most", took)
		}
		l.called("a")
		l.is(late, step.Running)
	})
}

// A claim that arrives after Run was told to end is released.
func TestALateClaimAtTheEnd(t *testing.T) {
	inLab(t, func(l *lab) {
		l.src.late = 10 * time.Second
		stop := l.start(executor.Hosts(step.Script, l.work(time.Minute)))
		job := l.job(nil, "a")
		pass(5 * time.Second)
		stop()
		l.called()
		l.released(job)
	})
}

// Failed gets the failures that wait when Run was told to end, for 2 s more.
func TestRunTellsTheLastFailures(t *testing.T) {
	inLab(t, func(l *lab) {
		told := 0
		slow := executor.Failed(func(context.Context, error) {
			time.Sleep(time.Second)
			told++
		})
		stop := l.startTold(l.src, slow, executor.Hosts(step.Script, func(_ context.Context, task *executor.Task, _ executor.Host) store.Result {
			for range 100 {
				task.Progress(executor.Host{Index: -1}, "")
			}
			return success
		}))
		l.job(nil, "a")
		pass(500 * time.Millisecond)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 4*time.Second || told != 3 {
			t.Errorf("Run returned after %v, and Failed was told %d failures, want 4s at most, and 3", took, told)
		}
		pass(time.Minute)
		if told != 3 {
			t.Errorf("Failed was told %d failures, want none after Run", told-3)
		}
	})
}
