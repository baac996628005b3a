package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Results wait 200 ms at most, and not at all when nothing is left to run.
func TestResultsAreReportedTogether(t *testing.T) {
	inLab(t, func(l *lab) {
		job := l.job(nil, numbered(10)...)
		l.start(executor.AtOnce(1), executor.Hosts(step.Script, l.work(30*time.Millisecond)))
		pass(199 * time.Millisecond)
		if got := l.src.reported(); got != nil {
			t.Errorf("reports of %v results before 200 ms have passed", got)
		}
		pass(time.Millisecond)
		if got := l.state(job).Succeeded; got != 6 {
			t.Errorf("%d results are known after 200 ms, want 6", got)
		}
		pass(100 * time.Millisecond)
		l.is(job, step.Succeeded) // as soon as the last has returned
		if got := l.src.reported(); !slices.Equal(got, []int{7, 4}) {
			t.Errorf("reports have %v results, want 7, of which one is of a host at work, and 4", got)
		}
	})
}

func TestAThousandResultsAreReportedAtOnce(t *testing.T) {
	inLab(t, func(l *lab) {
		job := l.job(nil, numbered(2500)...)
		l.start(executor.AtOnce(2500), executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			if h.Index >= 1000 {
				time.Sleep(time.Hour)
			}
			time.Sleep(300 * time.Millisecond)
			return success
		}))
		pass(300 * time.Millisecond)
		if got := l.state(job).Succeeded; got != 1000 {
			t.Errorf("%d results are known after 300 ms, want 1,000", got)
		}
	})
}

// The last report of a large step is short: a report is sent once half of the remaining hosts are done.
// A small step has one report.
func TestTheLastReportIsShort(t *testing.T) {
	for hosts, want := range map[int][]int{
		1000: {513, 257, 232}, // hosts at work among them
		500:  {257, 244},
		300:  {300},
	} {
		inLab(t, func(l *lab) {
			job := l.job(nil, numbered(hosts)...)
			l.start(executor.AtOnce(1), executor.RunsOnly(), executor.Hosts(step.Script, l.work(time.Millisecond/10)))
			pass(time.Second)
			l.is(job, step.Succeeded)
			if got := l.src.reported(); !slices.Equal(got, want) {
				t.Errorf("%d hosts: reports have %v results, want %v", hosts, got, want)
			}
		})
	}
}

// A report is repeated until it is accepted, with pauses up to 1 s. Results of that time go with the
// next report.
func TestReportsAreRepeated(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Hosts(step.Script, l.work(time.Second)))
		l.src.hook("Report", cut)
		job := l.job(nil, "a", "b")
		pass(10 * time.Minute)
		l.is(job, step.Running)
		if got := l.src.count("Report"); got < 600 || got > 610 {
			t.Errorf("%d reports in ten minutes, want one a second", got)
		}
		if len(l.told) != l.src.count("Report") || !errors.Is(l.told[0], errCut) {
			t.Errorf("Failed was told %d times, of %v", len(l.told), l.told[0])
		}
		l.src.hook("Report", nil)
		pass(time.Second)
		l.is(job, step.Succeeded)
		l.called("a", "b")
	})
}

// A report with a lost answer is repeated, and each result counts once.
func TestAnAnswerThatIsLost(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.AtOnce(1), executor.Hosts(step.Script, l.work(time.Second)))
		l.src.set(func() { l.src.after = func() error { return errCut } })
		job := l.job(nil, "a", "b", "c")
		pass(2500 * time.Millisecond)
		l.src.set(func() { l.src.after = nil })
		pass(5 * time.Second)
		l.is(job, step.Succeeded)
		l.called("a", "b", "c")
	})
}

func TestAStaleAnswerEndsTheAttempt(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.RunsOnly(), executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			if h.Name == "a" {
				time.Sleep(time.Second)
				return success
			}
			return l.work(time.Hour)(ctx, task, h)
		}))
		job := l.job(nil, "a", "b")
		pass(time.Second - time.Millisecond)
		l.breakDown(job, 1)
		pass(202 * time.Millisecond)
		l.causesAre(executor.ErrOver)
		l.is(job, step.Abnormal)
	})
}

func TestProgress(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Hosts(step.Script, func(ctx context.Context, task *executor.Task, h executor.Host) store.Result {
			for i := range 100 {
				task.Progress(h, fmt.Sprintf("%d of 100\n", i)+strings.Repeat("x", 300))
				time.Sleep(time.Second)
			}
			task.Report(h, store.Result{Status: step.NonZeroExit})
			task.Progress(h, "too late")
			return success // a result was reported
		}))
		job := l.job(nil, "a")
		began := step.At(time.Now())
		pass(10*time.Second + 300*time.Millisecond)
		targets, err := l.eng.Targets(l.Context(), job, 1, engine.TargetQuery{})
		l.must(err)
		if got := targets[0]; got.Status != step.TargetRunning || len(got.Detail) != 256 || got.Started != began || got.Finished != 0 {
			t.Errorf("the host is %+v, want it to run since %v, with 256 characters", got, began)
		}
		pass(2 * time.Minute)
		l.statuses(job, step.NonZeroExit)
	})
}

// Failed gets a result for a target that does not exist, and the report of the others passes.
func TestAHostThatIsNone(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			for _, i := range []int32{-1, 2, 1 << 30} {
				task.Report(executor.Host{Index: i}, success)
				task.Progress(executor.Host{Index: i}, "x")
			}
			return success
		}))
		job := l.job(nil, "a", "b")
		pass(time.Second)
		l.is(job, step.Succeeded)
		if len(l.told) != 6 {
			t.Errorf("Failed was told %d times, want 6", len(l.told))
		}
	})
}

// The methods of a zero Task do nothing, and neither do those of a task that is over.
func TestTasksThatAreNotAtWork(t *testing.T) {
	check := func(ctx context.Context, task *executor.Task) {
		h := executor.Host{Index: 0, Name: "a"}
		task.Progress(h, "x")
		task.Report(h, success)
		task.Break("x")
		for h, err := range task.Hosts(ctx) {
			if err == nil {
				t.Errorf("there is a host %+v", h)
			}
		}
	}
	check(t.Context(), &executor.Task{})
	inLab(t, func(l *lab) {
		var kept *executor.Task
		l.start(executor.Hosts(step.Script, func(_ context.Context, task *executor.Task, _ executor.Host) store.Result {
			kept = task
			return store.Result{Status: step.TargetFailed}
		}))
		job := l.job(nil, "a")
		pass(time.Second)
		check(l.Context(), kept)
		pass(time.Minute)
		l.is(job, step.Failed)
	})
}

// The attempt also breaks on an engine with a smaller limit of reasons.
func TestAReasonThatIsTooLong(t *testing.T) {
	inLab(t, func(l *lab) {
		l.src.Engine = engine.New(l.src.store, engine.WithLimits(engine.Limits{Reason: 10}))
		l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			task.Break(strings.Repeat("x", 1000))
			return success
		}))
		job := l.job(nil, "a")
		pass(time.Second)
		l.is(job, step.Abnormal)
	})
}

// A permanent is an error of a source that says whether it is permanent.
type permanent bool

func (p permanent) Permanent() bool { return bool(p) }
func (p permanent) Error() string   { return "no" }

// A permanent refusal of the source fails the effect, which keeps the reason.
func TestARefusedReport(t *testing.T) {
	for _, refusal := range []error{&engine.Refusal{Detail: "no"}, fmt.Errorf("report: %w", permanent(true))} {
		inLab(t, func(l *lab) {
			l.start(executor.Hosts(step.Script, l.work(time.Second)))
			l.src.hook("Report", func(context.Context) error { return refusal })
			job := l.job(nil, "a")
			pass(500 * time.Millisecond)
			left, err := l.eng.Effects(l.Context(), job, 0, 0)
			l.must(err)
			if len(left) != 1 || left[0].Failures != 1 || !strings.Contains(left[0].LastError, "report of 1 results") {
				t.Errorf("effects are %+v, want the run, with its failure", left)
			}
			l.wasTold("carry out the run effect: report of 1 results")
			l.src.hook("Report", nil)
			pass(time.Minute)
			l.is(job, step.Succeeded)
		})
	}
}

// A permanent error ends the repetition of each call: the effect fails, if possible, and is delivered
// again.
func TestPermanentErrorsAreNotRepeated(t *testing.T) {
	for _, method := range []string{"Step", "Targets", "Report", "Settle", "Fail"} {
		for _, is := range []permanent{true, false} {
			inLab(t, func(l *lab) {
				l.start(executor.RunsOnly(), executor.Lease(time.Hour), executor.Hosts(step.Script, l.work(time.Millisecond)))
				l.src.hook(method, func(context.Context) error { return is })
				if method == "Fail" {
					l.src.hook("Targets", func(context.Context) error { return permanent(true) })
				}
				l.job(nil, "a")
				pass(900 * time.Millisecond)
				if got := l.src.count(method); (got == 1) != bool(is) {
					t.Errorf("%s was called %d times with an error that is permanent: %v", method, got, bool(is))
				}
			})
		}
	}
}

// fitProxies checks that each report would pass a proxy that takes 1 MiB, and that there were several.
func (l *lab) fitProxies() {
	l.Helper()
	l.src.set(func() {
		for _, r := range l.src.reports {
			bytes := 0
			for _, x := range r.Results {
				detail, err := json.Marshal(x.Detail)
				l.must(err)
				bytes += len(`{"target":,"status":"succeeded_earlier","exit_code":-2147483648,"started":,"finished":,"detail":},`) +
					len(fmt.Sprint(x.Target, x.Started.Std().UnixMilli(), x.Finished.Std().UnixMilli())) + len(detail)
			}
			if bytes > 1<<20 {
				l.Errorf("a report of %d results has %d bytes, want 1 MiB at most", len(r.Results), bytes)
			}
		}
		if len(l.src.reports) < 2 {
			l.Errorf("%d reports, want several", len(l.src.reports))
		}
	})
}

// Results beyond the limit of a report go in several, with details of any length.
func TestVeryManyResultsAtOnce(t *testing.T) {
	for name, detail := range map[string]string{"no details": "", "wide": strings.Repeat("\u2713", 256), "escaped": strings.Repeat(`"`, 256)} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(l *lab) {
				const hosts = 12_000
				l.start(executor.AtOnce(hosts), executor.Hosts(step.Script, func(context.Context, *executor.Task, executor.Host) store.Result {
					time.Sleep(time.Second)
					return store.Result{Status: step.TargetSucceeded, Detail: detail}
				}))
				l.src.hook("Report", func(context.Context) error { time.Sleep(5 * time.Second); return nil })
				job := l.job(nil, numbered(hosts)...)
				pass(10 * time.Minute)
				l.is(job, step.Succeeded)
				l.fitProxies()
			})
		})
	}
}

// An attempt breaks although its results are those of all hosts: no report before the last one, and
// none of progress alone, ends it as a success.
func TestAnAttemptBreaksWithVeryManyResults(t *testing.T) {
	inLab(t, func(l *lab) {
		const hosts, early = 2200, 1000
		wide := strings.Repeat("\u2713", 256)
		l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			for i := range int32(early) {
				task.Report(executor.Host{Index: i}, success)
			}
			time.Sleep(time.Second)
			task.Break("it broke")
			for i := range int32(hosts - early) {
				task.Report(executor.Host{Index: early + i}, store.Result{Status: step.TargetSucceeded, Detail: wide})
			}
			for i := range int32(early) {
				task.Progress(executor.Host{Index: i}, wide)
			}
			return success
		}))
		job := l.job(nil, numbered(hosts)...)
		pass(time.Minute)
		l.is(job, step.Abnormal)
		if got := l.state(job).Succeeded; got != hosts {
			t.Errorf("%d hosts have succeeded, want %d", got, hosts)
		}
		l.fitProxies()
	})
}

// The hosts of a task end with the context, and when no more are wanted.
func TestHostsOfATaskEnd(t *testing.T) {
	inLab(t, func(l *lab) {
		var ends []error
		l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			for range task.Hosts(ctx) {
				break
			}
			ended, cancel := context.WithCancelCause(ctx)
			cancel(errCut)
			for _, err := range task.Hosts(ended) {
				ends = append(ends, err)
			}
			l.src.hook("Targets", cut)
			long, cancelLong := context.WithTimeoutCause(ctx, time.Minute, errCut)
			defer cancelLong()
			for _, err := range task.Hosts(long) {
				ends = append(ends, err)
			}
			l.src.hook("Targets", nil)
			return success
		}))
		job := l.job(nil, "a", "b")
		pass(2 * time.Minute)
		l.is(job, step.Succeeded)
		if len(ends) != 2 || !errors.Is(ends[0], errCut) || !errors.Is(ends[1], errCut) {
			t.Errorf("the hosts ended with %v, want twice the cause of the context", ends)
		}
	})
}

// Once its attempt is over here, a task reads no hosts, although the step still runs.
func TestHostsOfATaskThatIsOver(t *testing.T) {
	inLab(t, func(l *lab) {
		var kept *executor.Task
		stop := l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			kept = task
			<-ctx.Done()
			return store.Result{Status: step.TargetFailed}
		}))
		job := l.job(nil, "a", "b")
		pass(time.Second)
		stop()
		l.is(job, step.Running)
		before := l.src.count("Targets")
		var ends []error
		for h, err := range kept.Hosts(l.Context()) {
			if ends = append(ends, err); err == nil {
				t.Errorf("there is a host %+v", h)
			}
		}
		if len(ends) != 1 || !errors.Is(ends[0], executor.ErrOver) {
			t.Errorf("the hosts ended with %v, want ErrOver", ends)
		}
		if got := l.src.count("Targets"); got != before {
			t.Errorf("targets were read %d times, want none", got-before)
		}
	})
}

// A function that reports a host of another batch is told so, and the engine does not hear of it. The
// hosts of a task are those of its batch.
func TestTaskKnowsTheHostsOfItsBatch(t *testing.T) {
	inLab(t, func(l *lab) {
		var hosts [][]string
		rolling := func(s *step.Spec) { s.Rolling = step.Rolling{Batches: "2"} }
		job := l.job(rolling, numbered(6)...)
		l.start(executor.Steps(step.Script, func(ctx context.Context, task *executor.Task) store.Result {
			for i := range int32(6) {
				if i/2 != task.Attempt-1 {
					task.Report(executor.Host{Index: i}, store.Result{Status: step.TargetFailed})
					task.Progress(executor.Host{Index: i}, "")
				}
			}
			var names []string
			for h, err := range task.Hosts(ctx) {
				l.must(err)
				names = append(names, h.Name)
			}
			hosts = append(hosts, names)
			return success
		}))
		pass(5 * time.Second)
		l.is(job, step.Succeeded)
		if all := slices.Concat(hosts...); len(hosts) != 3 || !slices.Equal(all, numbered(6)) {
			t.Errorf("the attempts have the hosts %v, want three with two each, in order", hosts)
		}
		var told []string
		l.mu.Lock()
		for _, err := range l.told {
			told = append(told, err.Error())
		}
		l.mu.Unlock()
		if len(told) != 24 || !strings.Contains(told[0], "the attempt has no target 2, only 0 to 1") || !strings.Contains(told[23], "the attempt has no target 3, only 4 to 5") {
			t.Errorf("told of %d failures, %q; want 24, as there is no such target", len(told), told)
		}
		history, err := l.eng.History(l.Context(), job, 0, 0)
		l.must(err)
		for _, r := range history {
			if r.Attempt > 0 && r.Results > 2 {
				t.Errorf("record %d counts %d results, want at most 2", r.Seq, r.Results)
			}
		}
	})
}
