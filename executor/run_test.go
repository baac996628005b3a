package executor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func TestARunDeliveredTwiceRunsOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		l.src.twice.Store(true)
		l.start(executor.Hosts(step.Script, l.work(time.Minute)))
		job := l.job(nil, "a", "b")
		pass(2 * time.Minute)
		l.called("a", "b")
		l.is(job, step.Succeeded)
		l.settled(job)
	})
}

// A later claim of a run that is under way gives it another lease, and ends nothing; an earlier one
// that comes after it is dropped.
func TestARunGoesOnUnderALaterLease(t *testing.T) {
	for _, order := range []string{"earlier first", "later first"} {
		t.Run(order, func(t *testing.T) {
			inLab(t, func(l *lab) {
				l.src.claimed = func(due []engine.Delivery) []engine.Delivery {
					if len(due) == 0 || due[0].Effect != store.RunTargets {
						return due
					}
					l.must(l.eng.Release(l.Context(), due[0].Claimed()))
					again, err := l.eng.Claim(l.Context(), engine.ClaimQuery{Effects: []store.Effect{store.RunTargets}})
					l.must(err)
					if order == "later first" {
						return append(again, due...)
					}
					return append(due, again...)
				}
				l.start(executor.AtOnce(1), executor.Hosts(step.Script, l.work(time.Minute)))
				job := l.job(nil, "a", "b")
				pass(3 * time.Minute)
				l.causesAre()
				l.called("a", "b")
				l.is(job, step.Succeeded)
				l.settled(job)
			})
		})
	}
}

// A run fails and is kept if its results are accepted and do not count.
func TestARunWithoutAnEndFails(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Hosts(step.Script, l.work(time.Second)))
		l.src.set(func() { l.src.swallow = true })
		job := l.job(nil, "a")
		pass(1100 * time.Millisecond)
		left, err := l.eng.Effects(l.Context(), job, 0, 0)
		l.must(err)
		if len(left) != 1 || left[0].Failures != 1 || !strings.Contains(left[0].LastError, "every host was worked on") {
			t.Errorf("effects are %+v, want the run, and why it failed", left)
		}
		l.wasTold("carry out the run effect: executor: step 1: every host was worked on")
		l.src.set(func() { l.src.swallow = false })
		pass(time.Minute)
		l.is(job, step.Succeeded)
	})
}

func TestAnOlderAttemptEndsFirst(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf=%t", deaf), func(t *testing.T) {
			inLab(t, func(l *lab) {
				f := l.work(time.Hour)
				if deaf {
					f = l.deaf(time.Minute) // the lab fails the test if two work on one host
				}
				l.start(executor.Hosts(step.Script, f))
				job := l.job(nil, "a")
				pass(time.Second)
				l.breakDown(job, 1)
				l.operate(job, operation.RetryAll)
				pass(10 * time.Second)
				if deaf {
					l.called("a")
					pass(3 * time.Minute)
					l.is(job, step.Succeeded)
				} else {
					l.causesAre(executor.ErrOver)
				}
				l.called("a", "a")
			})
		})
	}
}

// The functions of an attempt that is over end, with and without the delivery of the job's end.
func TestTheEndOfAnAttemptEndsIt(t *testing.T) {
	for name, opts := range map[string][]executor.Option{
		"told": nil, "not told": {executor.RunsOnly()},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				l.start(append(opts, executor.Hosts(step.Script, l.work(time.Hour)))...)
				job := l.job(nil, "a")
				pass(time.Second)
				l.breakDown(job, 1)
				pass(3 * time.Second)
				l.causesAre(executor.ErrOver)
				l.is(job, step.Abnormal)
				l.statuses(job, step.UnknownStatus)
			})
		})
	}
}

func TestTargetsComeInPages(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(10), executor.Hosts(step.Script, l.work(time.Second)))
		hosts := numbered(3000)
		job := l.job(nil, hosts...)
		pass(400 * time.Second)
		l.called(hosts...)
		l.is(job, step.Succeeded)
		if got := l.src.count("Targets"); got != 4 {
			t.Errorf("Targets was called %d times, want 4: three pages and an empty one", got)
		}
		if l.most != 10 {
			t.Errorf("%d hosts were worked on at once, want 10", l.most)
		}
	})
}

// After a crash, and in a retry, hosts with a result do not run again.
func TestOnlyHostsWithoutAResultRun(t *testing.T) {
	inLab(t, func(l *lab) {
		job := l.job(nil, "a", "b", "c")
		_, err := l.eng.Report(l.Context(), engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: 1, Result: success},
		}})
		l.must(err)
		l.start(executor.Hosts(step.Script, l.work(time.Second)))
		pass(2 * time.Second)
		l.called("a", "c")
		l.is(job, step.Succeeded)
	})
}

func TestTheDeadlineEndsTheContext(t *testing.T) {
	inLab(t, func(l *lab) {
		var deadline time.Time
		f := l.work(time.Hour)
		l.start(executor.AtOnce(1), executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			deadline, _ = ctx.Deadline()
			return f(ctx, task, h)
		}))
		job := l.job(func(s *step.Spec) { s.Timeout = 59500 * time.Millisecond }, "a", "b") // between two sweeps
		began := time.Now()
		pass(59 * time.Second)
		l.causesAre()
		pass(5 * time.Second)
		l.causesAre(context.DeadlineExceeded)
		if got := deadline.Sub(began); got.Round(10*time.Millisecond) != 59500*time.Millisecond {
			t.Errorf("the deadline is after %v, want 59.5s", got)
		}
		l.called("a")
		l.is(job, step.Abnormal)
		pass(time.Minute)
		l.settled(job)
	})
}

// The end of TotalTimeout and the deadline of the job end the context as the attempt's does.
func TestTheFirstDeadlineEndsTheContext(t *testing.T) {
	const early, late = 10 * time.Second, time.Minute
	for name, spec := range map[string]engine.JobSpec{
		"step": {Steps: []step.Spec{{Timeout: late, TotalTimeout: early}}, Timeout: late},
		"job":  {Steps: []step.Spec{{Timeout: late, TotalTimeout: late}}, Timeout: early},
		"only": {Steps: []step.Spec{{TotalTimeout: early}}},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				l.src.hook("Sweep", func(context.Context) error { return errors.New("not now") })
				l.start(executor.Hosts(step.Script, l.work(time.Hour)))
				spec.Name = "job"
				s := &spec.Steps[0]
				s.Type, s.Name, s.Targets = step.Script, "run", []string{"a"}
				created, err := l.eng.Create(l.Context(), spec, engine.Request{})
				l.must(err)
				_, err = l.eng.OperateJob(l.Context(), created.Job, operation.StartJob, engine.Request{})
				l.must(err)
				pass(early - time.Second)
				l.causesAre()
				pass(2 * time.Second)
				l.causesAre(context.DeadlineExceeded)
				l.src.hook("Sweep", nil)
				pass(time.Minute)
				l.settled(created.Job)
			})
		})
	}
}

func TestPanicsAreResults(t *testing.T) {
	for name, f := range map[string]func(){
		"panic: a b": func() { panic("a\nb") },
		"panic: " + strings.Repeat("x", 246) + "...": func() { panic(strings.Repeat("x", 1000)) },
		"panic: boom":                      func() { panic(errors.New("boom")) },
		"the function ended its goroutine": runtime.Goexit,
	} {
		t.Run(name[:10], func(t *testing.T) {
			inLab(t, func(l *lab) {
				l.start(executor.AtOnce(1),
					executor.Hosts(step.Script, func(context.Context, *executor.Task, executor.Host) store.Result { f(); return success }),
					executor.Steps(step.SQL, func(context.Context, *executor.Task) store.Result { f(); return success }))
				for _, typ := range []step.Type{step.Script, step.SQL} {
					job := l.job(func(s *step.Spec) { s.Type = typ }, "a", "b")
					pass(time.Second)
					l.is(job, step.Failed)
					l.statuses(job, step.TargetFailed, step.TargetFailed)
					targets, err := l.eng.Targets(l.Context(), job, 1, engine.TargetQuery{})
					l.must(err)
					if targets[1].Detail != name {
						t.Errorf("%v: detail = %q, want %q", typ, targets[1].Detail, name)
					}
				}
				l.wasTold(`function of the host "a": `)
				l.wasTold(`function of the host "b": `)
				l.wasTold("function of the step: ")
				if len(l.told) != 3 || !strings.Contains(l.told[0].Error(), "run_test.go") {
					t.Errorf("Failed was told %v, want three panics with their stacks", l.told)
				}
			})
		})
	}
}

// A function's result is adjusted until a report accepts it.
func TestResultsAreMadeFit(t *testing.T) {
	const long = 1 << 20
	inLab(t, func(l *lab) {
		results := map[string]store.Result{
			"none":     {},
			"running":  {Status: step.TargetRunning, Detail: "still at it"},
			"times":    {Status: step.TargetSucceeded, Started: step.MaxTime, Finished: 1},
			"negative": {Status: step.TargetSucceeded, Started: -1, Finished: step.MaxTime + 1},
			"detail":   {Status: step.CopyFailed, Detail: strings.Repeat("\x00ä\xff\n", long/5), ExitCode: -4},
		}
		l.start(executor.Hosts(step.Script, func(_ context.Context, _ *executor.Task, h executor.Host) store.Result { return results[h.Name] }))
		job := l.job(nil, "none", "running", "times", "negative", "detail")
		pass(time.Second)
		l.statuses(job, step.TargetFailed, step.TargetFailed, step.TargetSucceeded, step.TargetSucceeded, step.CopyFailed)
		targets, err := l.eng.Targets(l.Context(), job, 1, engine.TargetQuery{})
		l.must(err)
		if got := targets[4]; got.ExitCode != -4 || len([]rune(got.Detail)) != 256 || strings.ContainsAny(got.Detail, "\x00\n") {
			t.Errorf("the long one is %+v, want 256 characters on one line", got.Result)
		}
		for _, target := range targets {
			if target.Finished < target.Started || target.Started <= 0 {
				t.Errorf("%s ran from %v to %v", target.Name, target.Started, target.Finished)
			}
		}
	})
}

// Runs and stops of types without a function are left to other processes.
func TestTypesOfOthersAreLeftAlone(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Hosts(step.SQL, l.work(time.Second)))
		job, stopped := l.job(nil, "a"), l.job(nil, "b")
		l.terminate(stopped)
		pass(time.Minute)
		l.called()
		for _, id := range []store.JobID{job, stopped} {
			left, err := l.eng.Effects(l.Context(), id, 0, 0)
			l.must(err)
			if len(left) == 0 || left[0].Count != 0 {
				t.Errorf("effects are %+v, want them never claimed", left)
			}
		}
	})
}

// A run of a type without a function fails and is kept, if the source does not select by type.
func TestARunWithoutAFunctionFails(t *testing.T) {
	inLab(t, func(l *lab) {
		l.src.anyType = true
		l.start(executor.Hosts(step.SQL, l.work(time.Second)))
		job := l.job(nil, "a")
		pass(time.Second)
		l.is(job, step.Running)
		left, err := l.eng.Effects(l.Context(), job, 0, 0)
		l.must(err)
		if len(left) != 1 || left[0].LastError != "executor: no function for script steps" {
			t.Errorf("effects are %+v, want the run, and why it failed", left)
		}
		l.wasTold("carry out the run effect: executor: no function for script steps")
	})
}

// A task has the person, the reason and the operation that started it.
func TestATaskTellsWhoAsked(t *testing.T) {
	inLab(t, func(l *lab) {
		var got []executor.Task
		l.start(executor.Hosts(step.Script, func(_ context.Context, task *executor.Task, _ executor.Host) store.Result {
			got = append(got, *task)
			return store.Result{Status: step.TargetFailed}
		}))
		job := l.job(func(s *step.Spec) { s.Payload = "uptime" }, "a")
		pass(time.Second)
		_, err := l.eng.Operate(l.Context(), job, 1, operation.RetryFailed, engine.Request{By: "bob", Because: "it is repaired"})
		l.must(err)
		pass(time.Second)
		if len(got) != 2 {
			t.Fatalf("the function was called %d times, want 2", len(got))
		}
		if first := got[0]; first.Job.ID != job || first.Step.Payload != "uptime" || first.Attempt != 1 || first.Delivery != 1 || first.Cause != operation.StartJob.Cause() {
			t.Errorf("the first task is %+v", first)
		}
		if second := got[1]; second.Attempt != 2 || second.By != "bob" || second.Because != "it is repaired" || second.Cause != operation.RetryFailed.Cause() {
			t.Errorf("the second task is %+v, want bob, his reason and the retry", second)
		}
	})
}

func TestBreakEndsTheAttempt(t *testing.T) {
	inLab(t, func(l *lab) {
		f := l.work(time.Hour)
		l.start(executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			if h.Name == "c" {
				time.Sleep(time.Second)
				task.Break("no licence\nleft")
				task.Break("and again")
				return success
			}
			return f(ctx, task, h)
		}))
		job := l.job(nil, "a", "b", "c")
		pass(time.Second)
		l.is(job, step.Abnormal)
		l.causesAre(executor.ErrOver, executor.ErrOver)
		l.statuses(job, step.TargetTerminated, step.TargetTerminated, step.TargetSucceeded)
		history, err := l.eng.History(l.Context(), job, 2, 0)
		l.must(err)
		if last := history[len(history)-1]; last.Cause != step.Broke || last.Reason != "no licence left" || last.Actor != "executor" {
			t.Errorf("the history ends with %+v, want the break and its reason", last)
		}
		pass(time.Minute)
		l.settled(job)
	})
}

// A break among very many results delays nothing.
func TestBreakOfALargeStep(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			for h, err := range task.Hosts(l.Context()) {
				if err != nil {
					break
				}
				if h.Index == 1500 {
					task.Break("enough")
				}
				task.Report(h, success)
			}
			return success
		}))
		job := l.job(nil, numbered(20_000)...)
		pass(time.Second)
		l.is(job, step.Abnormal)
		if s := l.state(job); s.Succeeded < 4000 || s.Succeeded > 6000 {
			t.Errorf("%d results are known, want those before the break and 4,000", s.Succeeded)
		}
		pass(time.Minute)
		l.settled(job)
	})
}

// If the clock of the process is ahead of the engine's, an attempt past its deadline waits until the
// engine expires it, and takes no place.
func TestADeadlineThatTheEngineDoesNotSeeYet(t *testing.T) {
	inLab(t, func(l *lab) {
		behind := func() time.Time { return time.Now().Add(-5 * time.Second) }
		l.eng = engine.New(l.src.store, engine.WithClock(behind))
		l.src.Engine = l.eng
		l.start(executor.AtOnce(1), executor.Hosts(step.Script, l.work(time.Hour)))
		job := l.job(func(s *step.Spec) { s.Timeout = 10 * time.Second }, "a", "b")
		pass(6 * time.Second)
		l.causesAre(context.DeadlineExceeded)
		l.is(job, step.Running)
		other := l.job(nil, "c")
		pass(time.Second)
		l.called("a", "c")
		l.is(job, step.Running)
		pass(5 * time.Second)
		l.is(job, step.Abnormal)
		l.is(other, step.Running)
		pass(time.Minute)
		l.settled(job)
		if n := l.src.count("Fail"); n > 0 {
			t.Errorf("the run failed %d times, want it to wait for the engine", n)
		}
	})
}

func TestAStepFunction(t *testing.T) {
	inLab(t, func(l *lab) {
		hosts := numbered(2500)
		l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			seen := 0
			for h, err := range task.Hosts(ctx) {
				l.must(err)
				seen++
				if h.Index%5 == 0 {
					task.Report(h, store.Result{Status: step.NonZeroExit, ExitCode: 1})
					task.Report(h, success) // the first stands
				}
			}
			left := 0
			for _, err := range task.Hosts(ctx) {
				l.must(err)
				left++
			}
			if seen != 2500 || left != 2000 {
				t.Errorf("the attempt has %d hosts and %d without a result, want 2500 and 2000", seen, left)
			}
			return success
		}))
		job := l.job(nil, hosts...)
		pass(time.Second)
		l.is(job, step.Failed)
		if s := l.state(job); s.Succeeded != 2000 || s.Failed() != 500 {
			t.Errorf("%d succeeded and %d failed, want 2000 and 500", s.Succeeded, s.Failed())
		}
	})
}
