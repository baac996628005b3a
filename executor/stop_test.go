package executor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func TestAStopEndsFunctionsAndIsReported(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(2), executor.Hosts(step.Script, l.work(time.Hour)))
		job := l.job(nil, "a", "b", "c")
		pass(time.Second)
		l.terminate(job)
		pass(time.Second)
		l.causesAre(executor.ErrStopped, executor.ErrStopped)
		l.is(job, step.Terminated)
		l.called("a", "b")
		targets, err := l.eng.Targets(l.Context(), job, 1, engine.TargetQuery{})
		l.must(err)
		for i, finished := range []bool{true, true, false} {
			if got := targets[i].Attempt == 1 && targets[i].Finished != 0; got != finished {
				t.Errorf("host %s is %+v, want a result: %t", targets[i].Name, targets[i].Result, finished)
			}
		}
		pass(time.Minute)
		l.settled(job)
	})
}

// A stop waits for functions that ignore their context.
func TestAStopWaitsForFunctions(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Hosts(step.Script, l.deaf(time.Hour)))
		job := l.job(nil, "a", "b")
		pass(time.Second)
		l.terminate(job)
		pass(59 * time.Minute)
		l.is(job, step.Terminating)
		pass(2 * time.Minute)
		l.is(job, step.Terminated)
		l.statuses(job, step.TargetSucceeded, step.TargetSucceeded)
		pass(time.Minute)
		l.settled(job)
	})
}

// A stop that arrives before the run of its attempt finds no run. The run is then dropped.
func TestAStopBeforeTheRun(t *testing.T) {
	inLab(t, func(l *lab) {
		held := make(chan struct{})
		l.src.hook("Step", func(context.Context) error { <-held; return nil })
		l.start(executor.Hosts(step.Script, l.work(time.Hour)))
		job := l.job(nil, "a")
		pass(time.Second)
		l.terminate(job)
		pass(time.Second)
		close(held)
		pass(time.Second)
		l.called()
		l.is(job, step.Terminated)
		pass(time.Minute)
		l.settled(job)
	})
}

// A run whose claim is answered after the stop has looked for it is dropped, and the stop waits for
// that.
func TestAStopThatOvertakesTheRun(t *testing.T) {
	inLab(t, func(l *lab) {
		l.src.claimed = func(due []engine.Delivery) []engine.Delivery {
			if len(due) > 0 && due[0].Effect == store.RunTargets {
				time.Sleep(3 * time.Second)
			}
			return due
		}
		l.start(executor.Hosts(step.Script, l.work(time.Hour)))
		job := l.job(nil, "a")
		pass(time.Second)
		l.terminate(job)
		pass(time.Second)
		l.is(job, step.Terminating)
		pass(3 * time.Second)
		l.called()
		l.is(job, step.Terminated)
		pass(time.Minute)
		l.settled(job)
	})
}

// The executor also reports the stop of an attempt that runs nowhere.
func TestAStopOfNothing(t *testing.T) {
	inLab(t, func(l *lab) {
		job := l.job(nil, "a")
		l.terminate(job)
		l.start(executor.Hosts(step.Script, l.work(time.Hour)))
		pass(time.Second)
		l.is(job, step.Terminated)
		l.called()
		l.settled(job)
	})
}

// A stop leaves later attempts alone.
func TestAStopOfAnOlderAttempt(t *testing.T) {
	inLab(t, func(l *lab) {
		job := l.job(nil, "a")
		l.terminate(job)
		_, err := l.eng.Report(l.Context(), engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Stopped})
		l.must(err)
		l.operate(job, operation.RetryAll)
		l.start(executor.Hosts(step.Script, l.work(10*time.Second)))
		pass(time.Minute)
		l.called("a")
		l.causesAre()
		l.is(job, step.Succeeded)
		l.settled(job)
	})
}

// A stop fails if its report is refused permanently. A stop with a lost lease is left to others.
func TestAStopThatCannotBeReported(t *testing.T) {
	inLab(t, func(l *lab) {
		l.src.hook("Report", func(context.Context) error { return &engine.Refusal{Detail: "no"} })
		job := l.job(nil, "a")
		l.terminate(job)
		l.start(executor.Hosts(step.Script, l.work(time.Hour))) // after the stop, or it could take the run
		pass(500 * time.Millisecond)
		left, err := l.eng.Effects(l.Context(), job, 0, 0)
		l.must(err)
		if len(left) != 1 || left[0].Effect != store.StopAttempt || left[0].Failures != 1 {
			t.Errorf("effects are %+v, want the stop, and that it failed", left)
		}
		l.wasTold("carry out the stop effect: ")
		l.src.hook("Report", cut)
		l.src.hook("Renew", func(context.Context) error { return store.ErrLeaseLost })
		pass(30 * time.Second)
		l.is(job, step.Terminating)
		l.src.hook("Report", nil)
		l.src.hook("Renew", nil)
		pass(time.Minute)
		l.is(job, step.Terminated)
	})
}

// No stop waits for a place that runs take.
func TestStopsPassRuns(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(1), executor.Hosts(step.Script, l.work(time.Hour)))
		busy := l.job(nil, "a")
		pass(time.Second)
		waits := l.job(nil, "b")
		pass(time.Second)
		l.terminate(waits)
		pass(time.Second)
		l.is(waits, step.Terminated)
		l.is(busy, step.Running)
		l.called("a")
	})
}

// One process can run an attempt, and another one get its stop, its end or the next attempt.
func TestTwoProcesses(t *testing.T) {
	other := func(l *lab, effects ...store.Effect) *source { // claims only these
		return &source{Engine: l.eng, only: effects}
	}
	t.Run("a stop waits for the one that runs", func(t *testing.T) {
		inLab(t, func(l *lab) {
			l.startOn(other(l, store.RunTargets), executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
				<-ctx.Done()
				l.sawEnd(ctx)
				time.Sleep(time.Minute)
				return success
			}))
			l.startOn(other(l, store.StopAttempt), executor.Hosts(step.Script, l.work(time.Hour)))
			job := l.job(nil, "a", "b")
			pass(time.Second)
			l.terminate(job)
			pass(3 * time.Second)
			l.causesAre(executor.ErrStopped, executor.ErrStopped)
			pass(50 * time.Second)
			l.is(job, step.Terminating)
			pass(20 * time.Second)
			l.is(job, step.Terminated)
			l.statuses(job, step.TargetSucceeded, step.TargetSucceeded)
		})
	})
	t.Run("a stop that no process carries out is noticed", func(t *testing.T) {
		inLab(t, func(l *lab) {
			l.startOn(other(l, store.RunTargets), executor.Hosts(step.Script, l.work(time.Hour)))
			job := l.job(nil, "a", "b")
			pass(time.Second)
			l.terminate(job)
			pass(3 * time.Second)
			l.causesAre(executor.ErrStopped, executor.ErrStopped)
			l.is(job, step.Terminated)
		})
	})
	t.Run("a later attempt waits for the older", func(t *testing.T) {
		inLab(t, func(l *lab) {
			first := other(l, store.RunTargets)
			l.startOn(first, executor.Hosts(step.Script, l.deaf(time.Minute)))
			job := l.job(nil, "a")
			pass(time.Second)
			first.hook("Claim", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			pass(5 * time.Second) // it claims nothing more
			l.breakDown(job, 1)
			l.operate(job, operation.RetryAll)
			l.startOn(other(l), executor.Hosts(step.Script, l.work(10*time.Second)))
			pass(50 * time.Second)
			l.called("a")
			pass(30 * time.Second)
			l.called("a", "a") // and never at once
			l.is(job, step.Succeeded)
		})
	})
	t.Run("an end is told when nothing runs", func(t *testing.T) {
		inLab(t, func(l *lab) {
			l.startOn(other(l, store.RunTargets), executor.Hosts(step.Script, l.deaf(time.Minute)))
			var told []time.Duration
			began := time.Now()
			l.startOn(other(l, store.JobEnded), executor.Ended(func(context.Context, engine.Delivery) error {
				told = append(told, time.Since(began))
				return nil
			}))
			job := l.job(nil, "a")
			pass(time.Second)
			l.breakDown(job, 1)
			pass(2 * time.Minute)
			if len(told) != 1 || told[0] < time.Minute || told[0] > 62*time.Second {
				t.Errorf("the end was told after %v, want once, after a minute", told)
			}
			l.settled(job)
		})
	})
	t.Run("a process that died is waited for as long as its lease", func(t *testing.T) {
		inLab(t, func(l *lab) {
			job := l.job(nil, "a")
			due, err := l.eng.Claim(l.Context(), engine.ClaimQuery{Lease: 14 * time.Second})
			if err != nil || len(due) != 1 {
				t.Fatalf("Claim = %v, %v", due, err)
			}
			l.terminate(job)
			l.start(executor.Hosts(step.Script, l.work(time.Hour)))
			pass(13 * time.Second)
			l.is(job, step.Terminating)
			pass(3 * time.Second)
			l.is(job, step.Terminated)
		})
	})
	// A run that another process released once, and that has failed 12 times since, backs off for 5 min.
	backsOff := func(l *lab) (job store.JobID) {
		job = l.job(nil, "a")
		for n := range 13 {
			due, err := l.eng.Claim(l.Context(), engine.ClaimQuery{})
			if err != nil || len(due) != 1 {
				t.Fatalf("Claim = %v, %v", due, err)
			}
			if n == 0 {
				l.must(l.eng.Release(l.Context(), due[0].Claimed()))
				continue
			}
			l.must(l.eng.Fail(l.Context(), due[0].Claimed(), errCut))
			if n < 12 {
				pass(5 * time.Minute)
			}
		}
		return job
	}
	t.Run("a stop does not wait for a run that backs off", func(t *testing.T) {
		inLab(t, func(l *lab) {
			job := backsOff(l)
			l.terminate(job)
			l.start(executor.Hosts(step.Script, l.work(time.Hour)))
			pass(time.Second)
			l.is(job, step.Terminated)
		})
	})
	t.Run("a later attempt does not wait for one that backs off", func(t *testing.T) {
		inLab(t, func(l *lab) {
			job := backsOff(l)
			l.breakDown(job, 1)
			l.operate(job, operation.RetryAll)
			l.start(executor.Hosts(step.Script, l.work(time.Hour)))
			pass(time.Second)
			l.called("a")
		})
	})
}

func TestNotices(t *testing.T) {
	ask := func(s *step.Spec) { s.Type, s.Confirmers = step.Confirmation, []string{"alice"} }
	t.Run("settled unseen", func(t *testing.T) {
		inLab(t, func(l *lab) {
			l.start(executor.Hosts(step.Script, l.work(time.Second)))
			asks, runs := l.job(ask), l.job(nil, "a")
			pass(time.Minute)
			l.is(asks, step.Waiting)
			l.settled(asks)
			l.settled(runs)
		})
	})
	t.Run("left alone", func(t *testing.T) {
		inLab(t, func(l *lab) {
			l.start(executor.RunsOnly(), executor.Hosts(step.Script, l.work(time.Second)))
			asks, runs := l.job(ask), l.job(nil, "a")
			pass(time.Minute)
			for job, want := range map[store.JobID]store.Effect{asks: store.AskConfirmers, runs: store.JobEnded} {
				left, err := l.eng.Effects(l.Context(), job, 0, 0)
				if err != nil || len(left) != 1 || left[0].Effect != want || left[0].Count != 0 {
					t.Errorf("effects = %+v, %v, want %v, never claimed", left, err, want)
				}
			}
		})
	})
	t.Run("told again after an error, a panic and an end of its goroutine", func(t *testing.T) {
		inLab(t, func(l *lab) {
			var counts []int32
			tell := func(_ context.Context, d engine.Delivery) error {
				switch counts = append(counts, d.Count); d.Count {
				case 1:
					return errors.New("the post is on strike")
				case 2:
					panic("boom")
				case 3:
					runtime.Goexit()
				}
				return nil
			}
			l.start(executor.Asked(tell), executor.Ended(tell))
			asks := l.job(ask)
			pass(time.Minute)
			if !slices.Equal(counts, []int32{1, 2, 3, 4}) {
				t.Errorf("Asked was told deliveries %v, want 1 to 4", counts)
			}
			counts = nil
			_, err := l.eng.Operate(l.Context(), asks, 1, operation.Confirm, engine.Request{By: "alice"})
			l.must(err)
			pass(time.Minute)
			if !slices.Equal(counts, []int32{1, 2, 3, 4}) {
				t.Errorf("Ended was told deliveries %v, want 1 to 4", counts)
			}
			l.settled(asks)
			for _, effect := range []store.Effect{store.AskConfirmers, store.JobEnded} {
				what := fmt.Sprintf("carry out the %v effect: ", effect)
				l.wasTold(what + "the post is on strike")
				l.wasTold(fmt.Sprintf("%s%v of step 1: panic: boom", what, effect))
				l.wasTold(fmt.Sprintf("%s%v of step 1: the function ended its goroutine", what, effect))
			}
		})
	})
	t.Run("renewed while told", func(t *testing.T) {
		inLab(t, func(l *lab) {
			calls := 0
			l.start(executor.Asked(func(ctx context.Context, _ engine.Delivery) error {
				calls++
				return pauseFor(ctx, time.Hour)
			}))
			asks := l.job(ask)
			pass(2 * time.Hour)
			if calls != 1 {
				t.Errorf("Asked was called %d times, want once", calls)
			}
			l.settled(asks)
		})
	})
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ends of jobs wait for functions, and no question waits for them.
func TestQuestionsPassEnds(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(100), executor.Hosts(step.Script, l.deaf(time.Hour)))
		for range 70 {
			job := l.job(nil, "a")
			pass(time.Second)
			l.breakDown(job, 1)
		}
		pass(time.Second)
		asks := l.job(func(s *step.Spec) { s.Type, s.Confirmers = step.Confirmation, []string{"alice"} })
		pass(time.Second)
		l.settled(asks)
	})
}

// A process takes the questions or ends of jobs that it has a function for. A process that carries out
// steps settles the others without a function, unless an option leaves them to others.
func TestWhoTakesNotices(t *testing.T) {
	tell := func(context.Context, engine.Delivery) error { return nil }
	asked, ended, runsOnly := executor.Asked(tell), executor.Ended(tell), executor.RunsOnly()
	for _, c := range []struct {
		name       string
		runs       bool
		opts       []executor.Option
		asks, ends bool // are taken
	}{
		{"asked", false, []executor.Option{asked}, true, false},
		{"ended", false, []executor.Option{ended}, false, true},
		{"asked, ended", false, []executor.Option{asked, ended}, true, true},
		{"asked, runs only", false, []executor.Option{asked, runsOnly}, true, false},
		{"ended, runs only", false, []executor.Option{ended, runsOnly}, false, true},
		{"asked, ended, runs only", false, []executor.Option{asked, ended, runsOnly}, true, true},
		{"runs", true, nil, true, true},
		{"runs, asked", true, []executor.Option{asked}, true, true},
		{"runs, ended", true, []executor.Option{ended}, true, true},
		{"runs, asked, ended", true, []executor.Option{asked, ended}, true, true},
		{"runs only", true, []executor.Option{runsOnly}, false, false},
		{"runs only, asked", true, []executor.Option{runsOnly, asked}, true, false},
		{"runs only, ended", true, []executor.Option{runsOnly, ended}, false, true},
		{"runs only, asked, ended", true, []executor.Option{runsOnly, asked, ended}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				if c.runs {
					c.opts = append(c.opts, executor.Hosts(step.SQL, l.work(time.Second)))
				}
				asks := l.job(func(s *step.Spec) { s.Type, s.Confirmers = step.Confirmation, []string{"alice"} })
				ends := l.job(nil, "a")
				_, err := l.eng.Report(l.Context(), engine.Report{
					Job: ends, Step: 1, Attempt: 1, Results: []engine.TargetResult{{Result: success}},
				})
				l.must(err)
				l.start(c.opts...)
				pass(time.Minute)
				l.taken(asks, store.AskConfirmers, c.asks)
				l.taken(ends, store.JobEnded, c.ends)
			})
		})
	}
}

// taken checks whether the effect of a job was taken.
func (l *lab) taken(job store.JobID, e store.Effect, want bool) {
	l.Helper()
	left, err := l.eng.Effects(l.Context(), job, 0, 0)
	l.must(err)
	if got := !slices.ContainsFunc(left, func(d store.Delivery) bool { return d.Effect == e }); got != want {
		l.Errorf("the %v effect was taken: %t, want %t", e, got, want)
	}
}
