package riverfx_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/riverfx"
)

// A job goes through a failure that a person retries, a question, a script that polls, a stop
// and a skip, and ends.
func TestJobRunsToItsEnd(t *testing.T) {
	p := newProcess(t)
	var mu sync.Mutex
	var log []string
	p.run(func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
		line := fmt.Sprintf("%v %d.%d", d.Effect, d.Step.ID, d.Attempt)
		mu.Lock()
		log = append(log, line)
		mu.Unlock()
		switch {
		case d.Effect == store.StopAttempt:
			return &engine.Report{Outcome: step.Stopped}, nil
		case d.Effect != store.RunTargets:
			return nil, nil
		case d.Step.ID == 3:
			return nil, river.JobSnooze(5 * time.Millisecond) // it runs for ever
		}
		r := &engine.Report{}
		for i := range d.Step.Total {
			status := step.TargetSucceeded
			if d.Attempt == 1 && i == 1 {
				status = step.TargetFailed
			}
			r.Results = append(r.Results, engine.TargetResult{Target: i, Result: store.Result{Status: status}})
		}
		if !d.Run.All(d.Attempt) {
			r.Results = r.Results[1:]
		}
		return r, nil
	})
	job := p.start(script("good", "bad"), step.Spec{Type: step.Confirmation, Name: "ask"}, script("slow"))
	at := p.await(job, 1, step.Failed, 0)
	p.operate(job, 1, operation.RetryFailed)
	at = p.await(job, 1, step.Succeeded, at.Seq)
	delivered := func(line string) {
		t.Helper()
		jobkit.Eventually(p, line+" is delivered", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(log, line)
		})
	}
	delivered("ask 2.1")
	p.operate(job, 2, operation.Confirm)
	delivered("run 3.1")
	p.terminate(job)
	p.await(job, 3, step.Terminated, at.Seq)
	p.operate(job, 3, operation.NextStep)
	p.settled(job)

	p.wantMoves(job, step.Running, step.Failed, step.Running, step.Succeeded, step.Succeeded, step.Terminating, step.Terminated, step.Skipped)
	for _, line := range []string{"run 1.1", "run 1.2", "stop 3.1", "job_ended 3.1"} {
		delivered(line)
	}
	jobkit.Eventually(p, "every River job is completed", func() bool { return !slices.ContainsFunc(p.states(), func(s string) bool { return s != "completed" }) })
}

func TestStopIsDeliveredUntilItsStepStops(t *testing.T) {
	p := newProcess(t, riverfx.StopEvery(time.Millisecond))
	stops := make(chan engine.Delivery, 100)
	p.run(func(ctx context.Context, d engine.Delivery) (*engine.Report, error) {
		if d.Effect == store.StopAttempt {
			stops <- d
		}
		return nil, nil // nothing is known of what runs
	})
	job := p.start(script("a"))
	p.terminate(job)
	for range 3 {
		select {
		case <-stops:
		case <-time.After(jobkit.Patience):
			t.Fatal("the stop was not delivered three times")
		}
	}
	effects := p.effects(job)
	if len(effects) != 1 || !effects[0].Delivered || effects[0].Failures != 0 || effects[0].LastError != "" {
		t.Errorf("effects of a job whose stop was delivered: %+v, want one, delivered", effects)
	}
	if _, err := p.eng.Report(t.Context(), engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Stopped}); err != nil {
		t.Fatal(err)
	}
	p.settled(job)
	p.wantMoves(job, step.Running, step.Terminating, step.Terminated)
}

func TestObsoleteRunIsSettledUnseen(t *testing.T) {
	p := newProcess(t)
	job := p.start(script("a"))
	p.terminate(job)
	if _, err := p.eng.Report(t.Context(), engine.Report{Job: job, Step: 1, Attempt: 1, Outcome: step.Stopped}); err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int32
	p.run(func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
		if d.Effect == store.RunTargets {
			runs.Add(1)
		}
		return nil, nil
	})
	p.settled(job)
	if n := runs.Load(); n != 0 {
		t.Errorf("a run of an attempt that is over was delivered %d times, want none", n)
	}
}

// A person can give up a run that River carries, and River's job then finds it settled. It cannot be
// hurried: River decides when it runs next.
func TestRunThatAPersonGivesUp(t *testing.T) {
	p := newProcess(t)
	job := p.start(script("a"))
	if _, err := p.eng.Hurry(t.Context(), job, 2, engine.Request{By: "ann"}); !errors.Is(err, operation.Leased) || !strings.Contains(err.Error(), "carried by other means") {
		t.Errorf("Hurry: %v, want that it is carried by other means", err)
	}
	record, err := p.eng.GiveUp(t.Context(), job, 2, engine.Request{By: "ann", Because: "a is gone"})
	if err != nil || record.Cause != step.Broke || record.Actor != "ann" || record.Reason != "a is gone" {
		t.Fatalf("GiveUp: %+v, %v, want that the run broke", record, err)
	}
	var runs atomic.Int32
	p.run(func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
		if d.Effect == store.RunTargets {
			runs.Add(1)
		}
		return nil, nil
	})
	p.settled(job)
	jobkit.Eventually(p, "River's jobs are done", func() bool {
		return !slices.ContainsFunc(p.states(), func(state string) bool { return state != "completed" })
	})
	p.wantMoves(job, step.Running, step.Abnormal)
	if n := runs.Load(); n != 0 {
		t.Errorf("a run that was given up was delivered %d times, want none", n)
	}
}

// If the River job cannot be completed, the report is undone with it.
func TestReportAndCompletionAreOneTransaction(t *testing.T) {
	p := newProcess(t)
	job := p.start(script("a"))
	ctx, rj := p.fetch(job, 2)
	rj.State = "available" // which JobCompleteTx refuses
	if err := p.carrier.Worker(p.eng, p.st, succeed).Work(ctx, rj); err == nil || !strings.Contains(err.Error(), "job must be running") {
		t.Errorf("Work on a job that cannot be completed: %v, want River's error", err)
	}
	p.wantMoves(job, step.Running)
	if effects := p.effects(job); len(effects) != 1 || effects[0].Failures != 1 {
		t.Errorf("effects after the report was undone: %+v, want one that failed", effects)
	}
	if got := p.states(); !slices.Equal(got, []string{"running"}) {
		t.Errorf("River jobs are %v, want running", got)
	}
	rj.State = "running"
	if err := p.carrier.Worker(p.eng, p.st, succeed).Work(ctx, rj); err != nil {
		t.Errorf("Work: %v", err)
	}
	p.wantMoves(job, step.Running, step.Succeeded)
	if got := p.states(); !slices.Equal(got, []string{"completed", "available"}) {
		t.Errorf("River jobs are %v, want the run's completed, and one for the job's end", got)
	}
	if got := p.effects(job); len(got) != 1 || got[0].Effect != store.JobEnded {
		t.Errorf("effects are %v, want the job's end", got)
	}
}

// Two runs of one River job are under way. Whichever reports first, the later one's report
// counts, and it counts once.
func TestLaterRunFencesTheEarlier(t *testing.T) {
	for _, first := range []string{"earlier", "later"} {
		t.Run(first+" reports first", func(t *testing.T) {
			p := newProcess(t)
			job := p.start(script("a"))
			ctx, rj := p.fetch(job, 2)
			began, goOn := make(chan string), map[string]chan struct{}{"earlier": make(chan struct{}), "later": make(chan struct{})}
			ended := map[string]chan error{"earlier": make(chan error, 1), "later": make(chan error, 1)}
			for _, name := range []string{"earlier", "later"} {
				w := p.carrier.Worker(p.eng, p.st, func(context.Context, engine.Delivery) (*engine.Report, error) {
					began <- name
					<-goOn[name]
					r := success()
					r.By = name
					return r, nil
				})
				go func() { ended[name] <- w.Work(ctx, rj) }()
				<-began
			}
			order := []string{"earlier", "later"}
			if first == "later" {
				slices.Reverse(order)
			}
			for _, name := range order {
				close(goOn[name])
				if err := <-ended[name]; err != nil {
					t.Errorf("Work of the %s run: %v", name, err)
				}
			}
			p.wantMoves(job, step.Running, step.Succeeded)
			if h := p.history(job); h[len(h)-1].Actor != "later" {
				t.Errorf("the report that counts is by the %s run, want the later one", h[len(h)-1].Actor)
			}
		})
	}
}

// A reason that is too long for the engine keeps no attempt from its end.
func TestRunIsGivenUpWithoutAReason(t *testing.T) {
	p := newProcess(t, quick(func(c *river.Config) { c.MaxAttempts = 1 }))
	p.eng = engine.New(p.st, engine.WithLimits(engine.Limits{Reason: 10}))
	p.run(func(context.Context, engine.Delivery) (*engine.Report, error) {
		return nil, errors.New("no route to host")
	})
	job := p.start(script("a"))
	if r := p.await(job, 1, step.Abnormal, 0); r.Actor != "river" || r.Reason != "" {
		t.Errorf("the record of the end is by %q, with reason %q, want river and none", r.Actor, r.Reason)
	}
}

// When River discards the job of a run, the worker reports the end of the attempt.
func TestRunThatIsGivenUpIsAbnormal(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		runs   int32
		reason string
	}{
		{"after its last failure", errors.New("no route to host"), 3, "was discarded in attempt 3: no route to host"},
		{"when the handler says so", river.JobCancel(errors.New("no such script")), 1, "was cancelled in attempt 1: "},
		{"after a text that no database takes", errors.New("\x00 or \xff"), 3, "was discarded in attempt 3: \uFFFD or \uFFFD"},
		{"when the handler says so with such a text", river.JobCancel(errors.New("\x00")), 1, "was cancelled in attempt 1: "},
		{"after a panic", nil, 3, "was discarded in attempt 3: panic: boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProcess(t, quick(func(c *river.Config) { c.MaxAttempts = 3 }))
			var runs atomic.Int32
			p.run(func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
				if d.Effect != store.RunTargets {
					return nil, nil
				}
				runs.Add(1)
				if c.err == nil {
					panic("boom")
				}
				return nil, c.err
			})
			job := p.start(script("a"))
			r := p.await(job, 1, step.Abnormal, 0)
			want := fmt.Sprintf("river job %d %s", p.riverJobs()[0].ID, c.reason)
			if r.Actor != "river" || !strings.HasPrefix(r.Reason, want) {
				t.Errorf("the record of the end is by %q, with reason %q, want river and %q", r.Actor, r.Reason, want)
			}
			if n := runs.Load(); n != c.runs {
				t.Errorf("the handler ran %d times, want %d", n, c.runs)
			}
			p.settled(job)
			p.wantMoves(job, step.Running, step.Abnormal)
		})
	}
}

func TestFailureIsToldWithTheEffect(t *testing.T) {
	p := newProcess(t)
	fails := func(context.Context, engine.Delivery) (*engine.Report, error) {
		return nil, errors.New(strings.Repeat("x", 1000))
	}
	job := p.start(script("a"))
	ctx, rj := p.fetch(job, 2)
	rj.Attempt = 1
	if err := p.carrier.Worker(p.eng, p.st, fails).Work(ctx, rj); err == nil {
		t.Error("Work of a handler that fails: nil, want its error")
	}
	if e := p.effects(job); len(e) != 1 || e[0].Held || e[0].Failures != 1 || len(e[0].LastError) != 500 {
		t.Errorf("effects after a failure: %+v, want one that is not held, with a failure and its error, cut to 500", e)
	}
	later := func(context.Context, engine.Delivery) (*engine.Report, error) {
		if e := p.effects(job); len(e) != 1 || !e[0].Held {
			t.Errorf("effects while a handler is at work: %+v, want one that is held", e)
		}
		return nil, river.JobSnooze(time.Hour)
	}
	var snooze *river.JobSnoozeError
	if err := p.carrier.Worker(p.eng, p.st, later).Work(ctx, rj); !errors.As(err, &snooze) || snooze.Duration != time.Hour {
		t.Errorf("Work of a handler that snoozes: %v, want its snooze", err)
	}
	if e := p.effects(job); len(e) != 1 || e[0].Held || e[0].Failures != 0 || e[0].LastError != "" || e[0].Count != 2 {
		t.Errorf("effects after a snooze: %+v, want one that is not held, without a failure, of count 2", e)
	}
}

// A script that is started and polled reports as it goes.
func TestSnoozeMayComeWithAReport(t *testing.T) {
	p := newProcess(t)
	p.run(func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
		if d.Effect != store.RunTargets {
			return nil, nil
		}
		r := success()
		r.Results[0].Target = d.Count - 1
		switch {
		case d.Count == d.Step.Total:
			return &engine.Report{}, river.JobSnooze(0) // which says nothing
		case d.Count > d.Step.Total:
			r.Results[0].Target--
			return r, nil
		}
		return r, river.JobSnooze(time.Millisecond)
	})
	job := p.start(script("a", "b", "c"))
	p.await(job, 1, step.Succeeded, 0)
	p.settled(job)
	if h := p.history(job); len(h) != 5 {
		t.Errorf("history has %d records, want 5: one of each report", len(h))
	}
}

func TestRunThatIsCutShortHasNotFailed(t *testing.T) {
	p := newProcess(t, quick(func(c *river.Config) { c.MaxAttempts = 1 }))
	began := make(chan struct{})
	stop := p.run(func(ctx context.Context, d engine.Delivery) (*engine.Report, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	job := p.start(script("a"))
	<-began
	stop()
	p.wantMoves(job, step.Running)
	if got := p.states(); !slices.Equal(got, []string{"available"}) {
		t.Errorf("River jobs are %v, want one that is available", got)
	}
	p.run(succeed)
	p.await(job, 1, step.Succeeded, 0)
}

func TestRunThatIsCutShortBeforeItBeginsHasNotFailed(t *testing.T) {
	p := newProcess(t)
	job := p.start(script("a"))
	ctx, rj := p.fetch(job, 2)
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	var snooze *river.JobSnoozeError
	if err := p.carrier.Worker(p.eng, p.st, succeed).Work(ctx, rj); !errors.As(err, &snooze) {
		t.Errorf("Work under a context that has ended: %v, want a snooze", err)
	}
	p.wantMoves(job, step.Running)
}

func TestDeadlinesPass(t *testing.T) {
	p := newProcess(t, riverfx.SweepEvery(5*time.Millisecond))
	p.run(func(context.Context, engine.Delivery) (*engine.Report, error) { return nil, nil })
	s := script("a")
	s.Timeout = time.Millisecond
	job := p.start(s)
	p.await(job, 1, step.Abnormal, 0)
	p.settled(job)
}

func TestSelfReportingHandler(t *testing.T) {
	p := newProcess(t)
	p.run(riverfx.SelfReporting(func(ctx context.Context, d engine.Delivery) error {
		if d.Effect != store.RunTargets {
			return nil
		}
		r := success()
		r.Job, r.Step, r.Attempt = d.Job.ID, d.Step.ID, d.Attempt
		_, err := p.eng.Report(ctx, *r)
		return err
	}))
	job := p.start(script("a"))
	p.await(job, 1, step.Succeeded, 0)
	p.settled(job)
}
