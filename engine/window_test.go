package engine_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

func inWindow() engine.JobSpec {
	return jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}, Window: "night"})
}

// An answer of the function of windows that is none shuts the gate for a minute, with one record and one
// word to the observer, however often the engine sweeps; then it is asked again. A replay asks nobody.
func TestWindowsWithoutAnAnswer(t *testing.T) {
	for name, answer := range map[string]func(now time.Time, forever chan struct{}) time.Time{
		"zero":   func(time.Time, chan struct{}) time.Time { return time.Time{} },
		"past":   func(now time.Time, _ chan struct{}) time.Time { return now.Add(-1) },
		"panic":  func(time.Time, chan struct{}) time.Time { panic("no calendar") },
		"exit":   func(now time.Time, _ chan struct{}) time.Time { runtime.Goexit(); return now },
		"silent": func(now time.Time, forever chan struct{}) time.Time { <-forever; return now },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked, failed atomic.Int32
				forever := make(chan struct{})
				st := memstore.New()
				eng := engine.New(st, engine.WithWindows(func(_ string, now time.Time) time.Time {
					if asked.Add(1) == 1 {
						return answer(now, forever)
					}
					return now
				}), engine.WithObserver(engine.Observer{Failed: func(context.Context, error) { failed.Add(1) }}))
				job := deploy(eng, inWindow())
				s := must(eng.Step(t.Context(), job, 1))
				if wait := s.Gate.Until.Sub(step.At(time.Now())); s.Gate.Reason != step.WindowGate || wait > time.Minute || wait < time.Minute-2*time.Second {
					t.Fatalf("the step is %v and waits %+v, want a minute", s.State, s.Gate)
				}
				for range 50 { // a sweep each second
					time.Sleep(time.Second)
					if n := must(eng.Sweep(t.Context())); n != 0 {
						t.Fatalf("a sweep moves %d steps", n)
					}
				}
				if n := len(must(eng.History(t.Context(), job, 0, 0))); n != 3 || asked.Load() != 1 || failed.Load() != 1 {
					t.Errorf("%d records, asked %d times, %d failures; want 3, 1, 1", n, asked.Load(), failed.Load())
				}
				close(forever)
				time.Sleep(time.Minute)
				must(eng.Sweep(t.Context()))
				if s = must(eng.Step(t.Context(), job, 1)); s.State != step.Running || asked.Load() != 2 {
					t.Errorf("asked %d times, the step is %v", asked.Load(), s.State)
				}
				history := must(eng.History(t.Context(), job, 0, 0))
				if _, steps, err := engine.Replay(operation.Standard(), inWindow(), history); err != nil || steps[0].Attempt != 1 || asked.Load() != 2 {
					t.Errorf("the history replays to %+v, %v", steps, err)
				}
			})
		})
	}
}

// An engine without a function of windows opens none.
func TestNoFunctionOfWindows(t *testing.T) {
	var failures atomic.Int32
	eng := engine.New(memstore.New(), engine.WithObserver(engine.Observer{Failed: func(context.Context, error) { failures.Add(1) }}))
	job := deploy(eng, inWindow())
	if s := must(eng.Step(ctx, job, 1)); s.Gate.Reason != step.WindowGate || failures.Load() != 1 {
		t.Errorf("the step is %v, %d failures", s.State, failures.Load())
	}
	found := 0
	for m, err := range eng.Unfit(ctx, nil) {
		if found++; err != nil || m.Job != job || m.Step != 1 || m.Reason != operation.WrongState {
			t.Errorf("Unfit yields %v, %v", m, err)
		}
	}
	if found != 1 {
		t.Errorf("Unfit yields %d misfits, want the step whose window never opens", found)
	}
}

// Questions about one window at once are each answered.
func TestManyAskAboutAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed atomic.Int32
		eng := engine.New(memstore.New(), engine.WithWindows(func(_ string, now time.Time) time.Time {
			time.Sleep(100 * time.Millisecond)
			return now
		}), engine.WithObserver(engine.Observer{Failed: func(context.Context, error) { failed.Add(1) }}))
		var jobs sync.WaitGroup
		for range 20 {
			jobs.Go(func() {
				if s := must(eng.Step(t.Context(), deploy(eng, inWindow()), 1)); s.State != step.Running {
					t.Errorf("a step waits %+v", s.Gate)
				}
			})
		}
		jobs.Wait()
		if failed.Load() != 0 {
			t.Errorf("%d failures", failed.Load())
		}
	})
}

// A caller who leaves while the function of windows works shuts the window for nobody else.
func TestACallerWhoLeavesShutsNoWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, failed atomic.Int32
		eng := engine.New(memstore.New(), engine.WithWindows(func(_ string, now time.Time) time.Time {
			if asked.Add(1) == 1 {
				time.Sleep(800 * time.Millisecond)
			}
			return now
		}), engine.WithObserver(engine.Observer{Failed: func(context.Context, error) { failed.Add(1) }}))
		first, second := must(eng.Create(t.Context(), inWindow(), engine.Request{})).Job, must(eng.Create(t.Context(), inWindow(), engine.Request{})).Job
		leaving, leave := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer leave()
		_, _ = eng.OperateJob(leaving, first, operation.StartJob, engine.Request{}) // the sweep goes on with it
		if _, err := eng.OperateJob(t.Context(), second, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		if s := must(eng.Step(t.Context(), second, 1)); s.State != step.Running {
			t.Errorf("the step is %v and waits %+v, with %d failures", s.State, s.Gate, failed.Load())
		}
		time.Sleep(800 * time.Millisecond) // the first answer comes
	})
}
