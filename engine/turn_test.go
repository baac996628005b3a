package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A road is a store with jobs that take turns, and two engines on it.
type road struct {
	t      *testing.T
	st     store.Store // with faults
	faults *storetest.Faults
	now    time.Time
	eng    *engine.Engine
	other  *engine.Engine // as of another process
	jobs   []store.JobID
}

func newRoad(t *testing.T, opts ...engine.Option) *road {
	r := &road{t: t, now: time.UnixMilli(1_800_000_000_000)}
	r.faults = storetest.NewFaults(memstore.New())
	r.st = r.faults
	opts = append(opts, engine.WithClock(func() time.Time { return r.now }))
	r.eng, r.other = engine.New(r.st, opts...), engine.New(r.st, opts...)
	return r
}

var (
	runStep = step.Spec{Type: step.Script, Name: "run", Targets: []string{"a", "b"}}
	askStep = step.Spec{Type: step.Confirmation, Name: "ask"}
)

// create creates a job of the key "production".
func (r *road) create(limit int32, steps ...step.Spec) store.JobID {
	r.t.Helper()
	return r.createSpec(engine.JobSpec{Steps: steps, Turn: store.Turn{Key: "production", Limit: limit}})
}

func (r *road) createSpec(spec engine.JobSpec) store.JobID {
	r.t.Helper()
	spec.Name = fmt.Sprint("job ", len(r.jobs)+1)
	rec, err := r.eng.Create(r.t.Context(), spec, engine.Request{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.jobs = append(r.jobs, rec.Job)
	return rec.Job
}

// started creates and starts jobs of two steps each, in their order.
func (r *road) started(limits ...int32) (ids []store.JobID) {
	r.t.Helper()
	for _, limit := range limits {
		id := r.create(limit, runStep, askStep)
		r.must(r.eng.OperateJob(r.t.Context(), id, operation.StartJob, engine.Request{}))
		ids = append(ids, id)
	}
	return ids
}

func (r *road) must(_ store.Record, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	r.holds()
}

func (r *road) op(id store.JobID, code operation.Code) {
	r.t.Helper()
	r.must(r.eng.Operate(r.t.Context(), id, r.job(id).Current, code, engine.Request{}))
}

func (r *road) opJob(id store.JobID, code operation.JobCode) {
	r.t.Helper()
	r.must(r.eng.OperateJob(r.t.Context(), id, code, engine.Request{}))
}

func (r *road) job(id store.JobID) store.Job {
	r.t.Helper()
	job, err := r.eng.Job(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return job
}

// finish reports the attempt of a job's current step, which runs, with one status for all targets.
func (r *road) finish(id store.JobID, status step.Status) {
	r.t.Helper()
	v, err := r.st.View(r.t.Context(), store.Query{Job: id})
	if err != nil {
		r.t.Fatal(err)
	}
	report := engine.Report{Job: id, Step: v.Step.ID, Attempt: v.Step.Attempt}
	first, end := v.Step.Window(v.Step.Total)
	for i := first; i < end; i++ {
		report.Results = append(report.Results, engine.TargetResult{Target: i, Result: store.Result{Status: status}})
	}
	if _, err := r.other.Report(r.t.Context(), report); err != nil {
		r.t.Fatal(err)
	}
	r.holds()
}

func (r *road) sweep(want int) {
	r.t.Helper()
	n, err := r.other.Sweep(r.t.Context())
	if err != nil || n != want {
		r.t.Fatalf("Sweep moved %d steps, %v; want %d", n, err, want)
	}
	r.holds()
}

// stand ends the test unless these jobs are under way with a turn, and those are gated by one.
func (r *road) stand(have, wait []store.JobID) {
	r.t.Helper()
	var has, waits []store.JobID
	for _, id := range r.jobs {
		switch job := r.job(id); {
		case job.HasTurn:
			has = append(has, id)
		case job.Gate == step.TurnGate:
			waits = append(waits, id)
		}
	}
	slices.Sort(wait)
	if !slices.Equal(has, have) || !slices.Equal(waits, wait) {
		r.t.Fatalf("jobs %v have turns and %v wait; want %v and %v of %v", has, waits, have, wait, r.jobs)
	}
}

// holds checks all jobs together, and each with its history.
func (r *road) holds() {
	r.t.Helper()
	if err := enginetest.CheckTurns(r.t.Context(), r.st, r.jobs...); err != nil {
		r.t.Fatal(err)
	}
}

// dying runs f on an engine of a process that dies at its first commit, before or after that has taken
// effect.
func (r *road) dying(after bool, f func(e *engine.Engine) error) {
	r.t.Helper()
	died := errors.New("the process died")
	faults := storetest.NewFaults(r.st,
		storetest.Fault{Method: storetest.Commit, After: after, Err: died},
		storetest.Fault{Method: storetest.View, Call: 2, Forever: true, Err: died})
	e := engine.New(faults, engine.WithClock(func() time.Time { return r.now }))
	if err := f(e); !errors.Is(err, engine.ErrUnknownOutcome) {
		r.t.Fatalf("a process that dies at its commit: got error %v, want %v", err, engine.ErrUnknownOutcome)
	}
	r.holds()
}

// meanwhile lets f happen just before the next commit.
func (r *road) meanwhile(f func()) {
	r.faults.Add(storetest.Fault{Method: storetest.Commit, Do: f})
}

func ids(ids ...store.JobID) []store.JobID { return ids }

// Race a: a process takes a turn and dies before it begins the attempt. Both are one commit: it has taken
// none, or the attempt has begun.
func TestTurnRaceA(t *testing.T) {
	for _, after := range []bool{false, true} {
		r := newRoad(t)
		first, second := r.create(1, runStep), r.create(1, runStep)
		r.dying(after, func(e *engine.Engine) error {
			_, err := e.OperateJob(t.Context(), first, operation.StartJob, engine.Request{})
			return err
		})
		r.opJob(second, operation.StartJob)
		if !after {
			r.stand(ids(second), nil)
			continue
		}
		r.stand(ids(first), ids(second))
		ran := 0
		if _, err := r.other.Deliver(t.Context(), func(_ context.Context, d engine.Delivery) error {
			if ran++; d.Job.ID != first {
				t.Errorf("a run of job %d was delivered, want only one of %d", d.Job.ID, first)
			}
			return nil
		}); err != nil || ran != 1 {
			t.Errorf("%d runs were delivered, %v, want 1", ran, err)
		}
	}
}

// Race b: a process ends a job and dies before it gives the turn back. Both are one commit, and any other
// process finds the next job.
func TestTurnRaceB(t *testing.T) {
	for _, after := range []bool{false, true} {
		r := newRoad(t)
		js := r.started(1, 1)
		r.dying(after, func(e *engine.Engine) error {
			_, err := e.Report(t.Context(), engine.Report{Job: js[0], Step: 1, Attempt: 1, Outcome: step.Broke})
			return err
		})
		if after {
			r.sweep(1)
			r.stand(ids(js[1]), nil)
		} else {
			r.sweep(0)
			r.stand(ids(js[0]), ids(js[1]))
		}
	}
}

// Race c: what a decision saw of the turn is over when it is committed. It is a conflict, and decided
// anew, so that no job waits beside a free turn and none takes one of another job.
func TestTurnRaceC(t *testing.T) {
	t.Run("freed", func(t *testing.T) {
		r := newRoad(t)
		holder, late := r.started(1)[0], r.create(1, runStep)
		r.meanwhile(func() { r.finish(holder, step.NonZeroExit) })
		r.opJob(late, operation.StartJob)
		r.stand(ids(late), nil)
	})
	t.Run("taken", func(t *testing.T) {
		r := newRoad(t)
		late, early := r.create(1, runStep), r.create(1, runStep)
		r.meanwhile(func() { r.opJob(early, operation.StartJob) })
		r.opJob(late, operation.StartJob)
		r.stand(ids(early), ids(late))
	})
	t.Run("taken by the sweep of another process", func(t *testing.T) {
		r := newRoad(t)
		js := r.started(1, 1)
		r.finish(js[0], step.NonZeroExit)
		r.meanwhile(func() { r.sweep(1) })
		if n, err := r.eng.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("Sweep of a job that another sweep has opened: %d, %v, want 0 and no error", n, err)
		}
		r.stand(ids(js[1]), nil)
	})
}

// Race d: the job for which a turn became free leaves the queue, or cannot be opened. The turn is the
// next one's, or stays due.
func TestTurnRaceD(t *testing.T) {
	for name, leave := range map[string]func(r *road, head store.JobID){
		"terminated": func(r *road, head store.JobID) { r.opJob(head, operation.TerminateJob) },
		"held":       func(r *road, head store.JobID) { r.opJob(head, operation.HoldJob) },
	} {
		for _, before := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, before the turn is free %t", name, before), func(t *testing.T) {
				r := newRoad(t)
				js := r.started(1, 1, 1)
				if before {
					leave(r, js[1])
				}
				r.finish(js[0], step.NonZeroExit)
				if !before {
					leave(r, js[1])
				}
				r.sweep(1)
				r.stand(ids(js[2]), nil)
			})
		}
	}
	t.Run("the opening fails", func(t *testing.T) {
		r := newRoad(t)
		js := r.started(1, 1, 1)
		r.finish(js[0], step.NonZeroExit)
		for range 3 {
			r.faults.Add(storetest.Fault{Method: storetest.Commit, Err: store.ErrUndone})
			if n, err := r.eng.Sweep(t.Context()); n != 0 || !errors.Is(err, store.ErrUndone) {
				t.Fatalf("Sweep with a store that fails = %d, %v", n, err)
			}
			r.stand(nil, ids(js[1], js[2]))
		}
		r.sweep(1)
		r.stand(ids(js[1]), ids(js[2]))
	})
}

// Race e: a person operates an ended job while another one has the turn. Whatever a job ended in, its turn
// is over, and it waits for the next.
func TestTurnRaceE(t *testing.T) {
	fails := func(r *road, id store.JobID) { r.finish(id, step.NonZeroExit) }
	outcome := func(o step.Cause) func(r *road, id store.JobID) {
		return func(r *road, id store.JobID) {
			if _, err := r.eng.Report(r.t.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Outcome: o}); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	refuses := func(r *road, id store.JobID) { r.op(id, operation.TerminateConfirmation) }
	for _, c := range []struct {
		first  step.Spec
		end    func(r *road, id store.JobID)
		ended  step.State
		onward operation.Code
	}{
		{runStep, fails, step.Failed, operation.RetryFailed},
		{runStep, fails, step.Failed, operation.RetryAll},
		{runStep, fails, step.Failed, operation.IgnoreError},
		{runStep, outcome(step.Broke), step.Abnormal, operation.RetryFailed},
		{runStep, outcome(step.Broke), step.Abnormal, operation.IgnoreError},
		{runStep, outcome(step.Stopped), step.Terminated, operation.RetryAll},
		{runStep, outcome(step.Stopped), step.Terminated, operation.NextStep},
		{runStep, outcome(step.Stopped), step.Terminated, operation.ForcedSkip},
		{askStep, refuses, step.ConfirmationTerminated, operation.RestartConfirmation},
		{runStep, outcome(step.Dropped), step.Abandoned, 0},
	} {
		t.Run(fmt.Sprintf("%v, %v", c.ended, c.onward), func(t *testing.T) {
			r := newRoad(t)
			job, rival := r.create(1, c.first, askStep), r.create(1, runStep)
			r.opJob(job, operation.StartJob)
			c.end(r, job)
			if state := r.job(job).State; state != c.ended {
				t.Fatalf("the job is %v, want %v", state, c.ended)
			}
			r.opJob(rival, operation.StartJob) // the turn is free
			r.stand(ids(rival), nil)
			if c.onward == 0 {
				return
			}
			r.op(job, c.onward)
			r.stand(ids(rival), ids(job))
			r.finish(rival, step.TargetSucceeded)
			r.sweep(1)
			r.stand(ids(job), nil)
			if v, _ := r.st.View(t.Context(), store.Query{Job: job}); !v.Step.State.Attempting() {
				t.Errorf("step %d is %v, want it under way", v.Step.ID, v.Step.State)
			}
		})
	}
}

// Race f: what opens other gates opens none of a turn.
func TestTurnRaceF(t *testing.T) {
	t.Run("continue", func(t *testing.T) {
		r := newRoad(t)
		js := r.started(1, 1)
		_, err := r.eng.Operate(t.Context(), js[1], 1, operation.Continue, engine.Request{})
		if !errors.Is(err, operation.NoTurn) {
			t.Errorf("continue at a gate of a turn: got error %v, want %v", err, operation.NoTurn)
		}
		stop := runStep
		stop.StopBefore = true
		stopped := r.create(1, stop)
		r.opJob(stopped, operation.StartJob)
		r.stand(ids(js[0]), ids(js[1])) // a person's gate comes first, and queues nowhere
		r.op(stopped, operation.Continue)
		r.stand(ids(js[0]), ids(js[1], stopped))
	})
	t.Run("resume", func(t *testing.T) {
		r := newRoad(t)
		js := r.started(1, 1, 1)
		r.opJob(js[1], operation.HoldJob)
		r.stand(ids(js[0]), ids(js[2]))
		r.opJob(js[1], operation.ResumeJob) // behind job 3 now
		r.stand(ids(js[0]), ids(js[1], js[2]))
		r.finish(js[0], step.NonZeroExit)
		r.sweep(1)
		r.stand(ids(js[2]), ids(js[1]))
	})
	t.Run("forced skip", func(t *testing.T) {
		r := newRoad(t)
		js := r.started(1, 1, 1)
		r.op(js[1], operation.ForcedSkip) // its second step has the place of the first
		if job := r.job(js[1]); job.Current != 2 || job.State != step.Gated {
			t.Errorf("forced skip at a gate of a turn leads to step %d in %v, want step 2, gated", job.Current, job.State)
		}
		r.finish(js[0], step.NonZeroExit)
		r.sweep(1)
		r.stand(ids(js[1]), ids(js[2]))
		if job := r.job(js[1]); job.Current != 2 || job.State != step.Waiting {
			t.Errorf("the turn opened step %d, which is %v, want step 2, waiting", job.Current, job.State)
		}
	})
	t.Run("forced skip of the last step", func(t *testing.T) {
		r := newRoad(t)
		holder, last, next := r.started(1)[0], r.create(1, runStep), r.create(1, runStep)
		r.opJob(last, operation.StartJob)
		r.opJob(next, operation.StartJob)
		r.op(last, operation.ForcedSkip)
		r.stand(ids(holder), ids(next))
	})
	t.Run("forced skip of the first, which a turn is free for", func(t *testing.T) {
		r := newRoad(t)
		js := r.started(1, 1)
		r.finish(js[0], step.NonZeroExit)
		r.op(js[1], operation.ForcedSkip)
		r.stand(ids(js[1]), nil)
	})
	t.Run("forced skip to a step that waits for something else", func(t *testing.T) {
		r := newRoad(t)
		later := runStep
		later.Delay = time.Hour
		holder, job, next := r.started(1)[0], r.create(1, runStep, later), r.create(1, runStep)
		r.opJob(job, operation.StartJob)
		r.opJob(next, operation.StartJob)
		r.op(job, operation.ForcedSkip)
		r.stand(ids(holder), ids(next))
	})
}

// Race g: jobs of one key have different limits. Each counts by its own, and one that needs more room
// is not overtaken.
func TestTurnRaceG(t *testing.T) {
	r := newRoad(t)
	js := r.started(2, 2, 1, 2, 3)
	r.stand(ids(js[0], js[1]), ids(js[2], js[3], js[4]))
	r.finish(js[0], step.NonZeroExit)
	r.sweep(0) // there is room for job 4, and not for job 3 before it
	r.stand(ids(js[1]), ids(js[2], js[3], js[4]))
	r.opJob(js[2], operation.TerminateJob)
	r.sweep(2) // job 4 leaves room for job 5
	r.stand(ids(js[1], js[3], js[4]), nil)
}

// Race h: jobs wait for each other crosswise. They cannot: a job has one key, and has no turn while it
// waits for one. A job that is its own rival neither: what ends and goes on in one change gives back first.
func TestTurnRaceH(t *testing.T) {
	r := newRoad(t)
	short := runStep
	short.Timeout = time.Minute
	job := r.create(1, short)
	r.opJob(job, operation.StartJob)
	other := r.createSpec(engine.JobSpec{Steps: []step.Spec{runStep}, Turn: store.Turn{Key: "staging", Limit: 1}})
	r.opJob(other, operation.StartJob)
	r.stand(ids(job, other), nil)
	r.now = r.now.Add(time.Hour)
	r.op(job, operation.RetryAll) // its deadline has passed: ended and begun in one change
	r.stand(ids(job, other), nil)
	next := r.started(1)[0]
	r.now = r.now.Add(time.Hour)
	r.op(job, operation.RetryAll) // and behind the one that waits
	r.stand(ids(other), ids(job, next))
	r.sweep(1)
	r.stand(ids(other, next), ids(job))
}

// Race i: many processes take, wait, leave and wake at once.
func TestTurnRaceI(t *testing.T) {
	const jobs, limit = 60, 3
	r := newRoad(t)
	for range jobs {
		r.create(limit, runStep)
	}
	var mu sync.Mutex
	running, most := map[store.JobID]bool{}, 0
	var processes sync.WaitGroup
	left := make(chan store.JobID, jobs)
	for _, id := range r.jobs {
		left <- id
	}
	close(left)
	for i := range 8 {
		e := engine.New(r.st, engine.WithClock(func() time.Time { return r.now }))
		processes.Go(func() {
			for id := range left {
				if _, err := e.OperateJob(t.Context(), id, operation.StartJob, engine.Request{}); err != nil {
					t.Error(err)
				}
			}
			for t.Context().Err() == nil && !t.Failed() {
				_, err := e.Deliver(t.Context(), func(ctx context.Context, d engine.Delivery) error {
					if d.Effect != store.RunTargets {
						return nil
					}
					mu.Lock()
					if running[d.Job.ID] {
						t.Errorf("job %d runs twice", d.Job.ID)
					}
					running[d.Job.ID] = true
					most = max(most, len(running))
					mu.Unlock()
					runtime.Gosched()
					outcome := []step.Cause{step.Broke, step.Stopped}[i%2]
					mu.Lock()
					delete(running, d.Job.ID)
					mu.Unlock()
					_, err := e.Report(ctx, engine.Report{Job: d.Job.ID, Step: 1, Attempt: 1, Outcome: outcome})
					return err
				})
				if err == nil {
					_, err = e.Sweep(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
				ended, err := e.Jobs(t.Context(), engine.JobQuery{})
				if err != nil {
					t.Error(err)
					return
				}
				if !slices.ContainsFunc(ended, func(j store.Job) bool { return !j.State.Finished() }) {
					return
				}
			}
		})
	}
	processes.Wait()
	if most > limit {
		t.Errorf("%d jobs ran at once, want at most %d", most, limit)
	}
	r.holds()
}

// A job keeps its turn while it is under way: between its batches, before an automatic retry, on hold and
// while it waits for a window. What it waits for before its first attempt needs no turn.
func TestAJobKeepsItsTurnUnderWay(t *testing.T) {
	open := time.Time{}
	r := newRoad(t, engine.WithWindows(func(_ string, now time.Time) time.Time {
		if open.After(now) {
			return open
		}
		return now
	}))
	rolling, retried, windowed := runStep, runStep, runStep
	rolling.Rolling = step.Rolling{Batches: "1 100%", Between: step.Between{Person: true}}
	retried.Retry = step.Retry{Attempts: 1, After: time.Minute}
	windowed.Window = "night"
	job := r.create(1, rolling, retried, windowed)
	other := r.create(1, runStep)
	r.opJob(job, operation.StartJob)
	r.opJob(other, operation.StartJob)
	keeps := func(gate step.GateReason) {
		t.Helper()
		if j := r.job(job); j.Gate != gate {
			t.Fatalf("the job is %v and waits for %v, want %v", j.State, j.Gate, gate)
		}
		r.sweep(0)
		r.stand(ids(job), ids(other))
	}
	r.finish(job, step.TargetSucceeded)
	keeps(step.PersonGate)
	r.opJob(job, operation.HoldJob)
	keeps(step.PersonGate)
	r.op(job, operation.Continue)
	keeps(step.HoldGate)
	r.opJob(job, operation.ResumeJob)
	keeps(step.NoGate)
	r.finish(job, step.TargetSucceeded)
	r.finish(job, step.NonZeroExit)
	keeps(step.TimeGate)
	r.now = r.now.Add(time.Hour)
	r.sweep(1)
	open = r.now.Add(time.Hour)
	r.finish(job, step.TargetSucceeded)
	keeps(step.WindowGate)
	r.now = open
	r.sweep(1)
	r.finish(job, step.NonZeroExit)
	r.sweep(1)
	r.stand(ids(other), nil)
}

// A job that waits for a turn ends, and leaves the queue, at its deadline. A command that comes after the
// deadline is decided on what that leaves: the job waits anew, behind all others.
func TestAJobThatWaitsForATurnExpires(t *testing.T) {
	for _, swept := range []bool{false, true} {
		r := newRoad(t)
		holder := r.started(1)[0]
		r.finish(holder, step.NonZeroExit)
		job := r.createSpec(engine.JobSpec{Steps: []step.Spec{runStep}, Timeout: time.Hour, Turn: store.Turn{Key: "production", Limit: 1}})
		r.opJob(job, operation.StartJob) // the deadline counts from the first attempt
		r.finish(job, step.NonZeroExit)
		r.op(holder, operation.RetryFailed)
		r.op(job, operation.RetryFailed)
		next := r.started(1)[0]
		r.stand(ids(holder), ids(job, next))
		r.now = r.now.Add(2 * time.Hour)
		if swept {
			r.sweep(1)
			r.stand(ids(holder), ids(next))
		}
		r.op(job, operation.RetryAll)
		r.finish(holder, step.NonZeroExit)
		r.sweep(1)
		r.stand(ids(next), ids(job))
	}
}

// A turn that comes outside of the step's window is another job's, and the job waits for the window first.
func TestATurnOutsideOfTheWindow(t *testing.T) {
	open := time.Time{}
	r := newRoad(t, engine.WithWindows(func(_ string, now time.Time) time.Time {
		if open.After(now) {
			return open
		}
		return now
	}))
	holder := r.started(1)[0]
	night := runStep
	night.Window = "night"
	job, next := r.create(1, night), r.create(1, runStep)
	r.opJob(job, operation.StartJob)
	r.opJob(next, operation.StartJob)
	r.stand(ids(holder), ids(job, next))
	open = r.now.Add(time.Hour)
	r.finish(holder, step.NonZeroExit)
	r.sweep(2)
	r.stand(ids(next), nil)
	if j := r.job(job); j.Gate != step.WindowGate {
		t.Errorf("the job waits for %v, want %v", j.Gate, step.WindowGate)
	}
	r.now = open
	r.sweep(1)
	r.stand(ids(next), ids(job))
}

// A job that waits until a time, or was created and not started, has no place.
func TestAJobQueuesOnlyWhenNothingElseIsInItsWay(t *testing.T) {
	r := newRoad(t)
	holder := r.started(1)[0]
	at := step.At(r.now.Add(time.Hour))
	later := r.createSpec(engine.JobSpec{Steps: []step.Spec{runStep}, StartAt: at, Turn: store.Turn{Key: "production", Limit: 1}})
	held := r.create(1, runStep)
	r.opJob(held, operation.HoldJob)
	r.opJob(held, operation.StartJob)
	r.opJob(later, operation.StartJob)
	r.stand(ids(holder), nil)
	next := r.started(1)[0]
	r.stand(ids(holder), ids(next))
	r.now = r.now.Add(time.Hour)
	r.sweep(1)
	r.opJob(held, operation.ResumeJob)
	r.stand(ids(holder), ids(next, later, held))
	for _, id := range ids(next, later, held) {
		r.finish(holder, step.NonZeroExit)
		r.sweep(1)
		r.stand(ids(id), r.after(id))
		holder = id
	}
}

// after returns the jobs that wait behind a job, given that they wait in the order of their ids.
func (r *road) after(id store.JobID) (waiting []store.JobID) {
	for _, other := range r.jobs {
		if r.job(other).Gate == step.TurnGate && other != id {
			waiting = append(waiting, other)
		}
	}
	return waiting
}

// A dispatcher opens the next job at once when its process has moved a turn, without a wait for its sweep.
func TestADispatcherFindsAFreeTurnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine.New(memstore.New())
		ctx, stop := context.WithCancel(t.Context())
		var dispatch sync.WaitGroup
		var done atomic.Int32
		dispatch.Go(func() {
			err := e.Dispatch(ctx, func(ctx context.Context, d engine.Delivery) error {
				if d.Effect != store.RunTargets {
					return nil
				}
				done.Add(1)
				_, err := e.Report(ctx, engine.Report{Job: d.Job.ID, Step: 1, Attempt: 1, Outcome: step.Broke})
				return err
			}, engine.SweepEvery(time.Hour))
			if err != nil {
				t.Error(err)
			}
		})
		for range 20 {
			spec := engine.JobSpec{Name: "job", Steps: []step.Spec{runStep}, Turn: store.Turn{Key: "production", Limit: 1}}
			created, err := e.Create(t.Context(), spec, engine.Request{})
			if err == nil {
				_, err = e.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for done.Load() < 20 && time.Since(began) < time.Minute {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(began); done.Load() != 20 || took > 10*time.Second {
			t.Errorf("%d of 20 jobs with one turn ran in %v, with a sweep every hour", done.Load(), took)
		}
		stop()
		dispatch.Wait()
	})
}
