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
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/riverfx"
)

// reconcile makes many workers reconcile at once and returns the number of repairs.
func (p *process) reconcile() int {
	p.Helper()
	var n atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		w := p.carrier.Worker(p.eng, p.st, succeed)
		all.Go(func() {
			mended, err := w.Reconcile(p.Context())
			if err != nil {
				p.Errorf("Reconcile: %v", err)
			}
			n.Add(int64(mended))
		})
	}
	all.Wait()
	return int(n.Load())
}

// end ends a River job in a way that this package never does.
func (p *process) end(id int64, state string) {
	p.Helper()
	p.exec(`UPDATE river_job SET state = $2, finalized_at = now(), attempt = 4,
		errors = array_append(errors, '{"error": "it was in the way"}'::jsonb) WHERE id = $1`, id, state)
}

func TestRiverJobThatIsOverEndsItsAttempt(t *testing.T) {
	for _, state := range []string{"discarded", "cancelled"} {
		t.Run(state+" run", func(t *testing.T) {
			p := newProcess(t)
			job := p.start(script("a"))
			id := p.riverJobs()[0].ID
			p.end(id, state)
			if n := p.reconcile(); n != 1 {
				t.Errorf("Reconcile mended %d, want 1", n)
			}
			p.wantMoves(job, step.Running, step.Abnormal)
			want := fmt.Sprintf("river job %d was %s in attempt 4: it was in the way", id, state)
			if h := p.history(job); h[len(h)-1].Reason != want {
				t.Errorf("the reason is %q, want %q", h[len(h)-1].Reason, want)
			}
			if e := p.effects(job); len(e) != 1 || e[0].Effect != store.JobEnded {
				t.Errorf("effects are %v, want the job's end alone", e)
			}
		})
		t.Run(state+" stop", func(t *testing.T) {
			p := newProcess(t)
			job := p.start(script("a"))
			p.terminate(job)
			for _, j := range p.riverJobs() {
				p.end(j.ID, state)
			}
			if n := p.reconcile(); n != 2 {
				t.Errorf("Reconcile mended %d, want the run, which is obsolete, and the stop", n)
			}
			p.wantMoves(job, step.Running, step.Terminating, step.Terminated)
		})
		t.Run(state+" notice", func(t *testing.T) {
			p := newProcess(t)
			job := p.start(step.Spec{Type: step.Confirmation, Name: "ask"})
			id := p.riverJobs()[0].ID
			p.end(id, state)
			if n := p.reconcile(); n != 0 || len(p.effects(job)) != 1 {
				t.Errorf("Reconcile mended %d, and effects are %v, want the question to wait", n, p.effects(job))
			}
			p.exec(`DELETE FROM river_job`) // as River does after a while
			if n := p.reconcile(); n == 0 || !slices.Equal(p.states(), []string{"available"}) {
				t.Errorf("Reconcile mended %d, and River jobs are %v, want one that is available", n, p.states())
			}
		})
	}
}

func TestEffectWithoutARiverJobGetsOne(t *testing.T) {
	for _, c := range []struct{ name, sql string }{
		{"deleted", `DELETE FROM river_job`},
		{"completed by an earlier run", `UPDATE river_job SET state = 'completed', finalized_at = now() - interval '1 hour'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProcess(t)
			job := p.start(script("a"))
			p.exec(c.sql)
			p.reconcile()
			p.reconcile()
			var live int
			for _, state := range p.states() {
				if state == "available" {
					live++
				}
			}
			if live != 1 {
				t.Errorf("River jobs are %v, want one that is available", p.states())
			}
			p.run(succeed)
			p.await(job, 1, step.Succeeded, 0)
			p.settled(job)
			p.wantMoves(job, step.Running, step.Succeeded)
		})
	}
	t.Run("completed a moment ago", func(t *testing.T) {
		p := newProcess(t)
		p.start(script("a"))
		p.exec(`UPDATE river_job SET state = 'completed', finalized_at = now()`)
		if n := p.reconcile(); n != 0 {
			t.Errorf("Reconcile mended %d, want none: a later run may have it", n)
		}
	})
}

// Two reconcilers that have both found an effect without a River job give it one: no insert passes
// before both wait to insert.
func TestReconcilersThatMeetMakeOneRiverJob(t *testing.T) {
	p := newProcess(t)
	p.start(script("a"))
	p.exec(`DELETE FROM river_job`)
	hold, err := p.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hold.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := hold.Exec(t.Context(), `LOCK TABLE river_job IN SHARE MODE`); err != nil { // lets reads pass
		t.Fatal(err)
	}
	both := make(chan error, 2)
	for range 2 {
		w := p.carrier.Worker(p.eng, p.st, succeed)
		go func() {
			_, err := w.Reconcile(t.Context())
			both <- err
		}()
	}
	jobkit.Eventually(p, "both wait to insert", func() (wait bool) {
		err := p.pool.QueryRow(t.Context(), `SELECT count(*) = 2 FROM pg_locks WHERE relation = 'river_job'::regclass AND NOT granted`).Scan(&wait)
		return err == nil && wait
	})
	if err := hold.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-both; err != nil {
			t.Errorf("Reconcile: %v", err)
		}
	}
	if states := p.states(); !slices.Equal(states, []string{"available"}) {
		t.Errorf("River jobs are %v, want one that is available", states)
	}
}

func TestWhatIsOnItsWayNeedsNoMending(t *testing.T) {
	p := newProcess(t)
	p.start(script("a"))
	for _, set := range []string{"state = 'available'", "state = 'running'", "state = 'retryable'", "state = 'scheduled'", "state = 'pending'"} {
		p.exec(`UPDATE river_job SET ` + set)
		if n := p.reconcile(); n != 0 {
			t.Errorf("Reconcile with a River job of %s mended %d, want none", set, n)
		}
	}
}

// A person cancels the River job of a run that is under way.
func TestCancelledWhileItRuns(t *testing.T) {
	p := newProcess(t, riverfx.ReconcileEvery(10*time.Millisecond))
	began := make(chan struct{})
	p.run(func(ctx context.Context, d engine.Delivery) (*engine.Report, error) {
		if d.Effect == store.RunTargets {
			close(began)
			<-ctx.Done()
		}
		return nil, ctx.Err()
	})
	job := p.start(script("a"))
	<-began
	client, ctx := p.client()
	if _, err := client.JobCancel(ctx, p.riverJobs()[0].ID); err != nil {
		t.Fatal(err)
	}
	if r := p.await(job, 1, step.Abnormal, 0); !strings.Contains(r.Reason, "was cancelled in attempt 1") {
		t.Errorf("the reason is %q, want that the River job was cancelled", r.Reason)
	}
	p.settled(job)
}

func TestRiverTablesInASchemaThatIsNamed(t *testing.T) {
	p := newProcess(t)
	var schema string
	if err := p.pool.QueryRow(t.Context(), `SELECT current_schema()`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	q := p.another(quick(func(c *river.Config) { c.Schema = schema }))
	job := q.start(script("a"))
	q.exec(`DELETE FROM river_job`)
	q.reconcile()
	q.run(succeed)
	q.await(job, 1, step.Succeeded, 0)
	q.settled(job)
}

// Jobs that began under Engine.Dispatch go on through River.
func TestEffectsOfADispatcherAreAdopted(t *testing.T) {
	p := newProcess(t)
	st, err := pgstore.New(t.Context(), p.pool)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	plain := *p
	plain.st, plain.eng = st, engine.New(st)
	job := plain.start(script("a"))
	if got := p.riverJobs(); len(got) != 0 {
		t.Fatalf("River jobs %v, want none yet", got)
	}
	p.reconcile()
	if got := p.states(); !slices.Equal(got, []string{"available"}) {
		t.Errorf("River jobs are %v, want one that is available", got)
	}
	p.run(succeed)
	p.await(job, 1, step.Succeeded, 0)
}

// A worker pauses in a run, longer than River waits for it. In the last attempt of the River
// job, that ends the attempt of the step; before, another worker carries it out. What the
// paused one says later changes nothing.
func TestRescue(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts int
		end      step.State
	}{
		{"another worker takes over", 2, step.Succeeded},
		{"nobody is left to take over", 1, step.Abnormal},
	} {
		t.Run(c.name, func(t *testing.T) {
			rescuing := func(more func(*river.Config)) riverfx.Option {
				return quick(func(rc *river.Config) {
					rc.MaxAttempts = c.attempts
					rc.JobTimeout, rc.RescueStuckJobsAfter = time.Second, time.Second
					more(rc)
				})
			}
			p := newProcess(t, rescuing(func(rc *river.Config) {
				rc.LeaderElectionDisabled = true
				rc.Queues[riverfx.RunQueue] = river.QueueConfig{MaxWorkers: 1}
			}))
			began, wake, woken := make(chan struct{}), make(chan struct{}), make(chan struct{})
			stop := p.run(func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
				if d.Effect != store.RunTargets {
					return nil, nil
				}
				close(began)
				<-wake
				defer close(woken)
				r := success()
				r.By = "paused"
				return r, nil
			})
			job := p.start(script("a"))
			<-began
			jobkit.Eventually(p, "the run is overdue", func() (overdue bool) {
				if err := p.pool.QueryRow(t.Context(), `SELECT attempted_at < now() - interval '1 second' FROM river_job`).Scan(&overdue); err != nil {
					t.Fatal(err)
				}
				return overdue
			})
			q := p.another(rescuing(func(*river.Config) {}), riverfx.ReconcileEvery(10*time.Millisecond))
			q.run(succeed)
			q.await(job, 1, c.end, 0)
			close(wake)
			<-woken
			q.settled(job)
			stop()
			q.wantMoves(job, step.Running, c.end)
			h := q.history(job)
			if last := h[len(h)-1]; last.Actor == "paused" || c.end == step.Abnormal && !strings.Contains(last.Reason, "was discarded in attempt 1: Stuck job rescued") {
				t.Errorf("the attempt was ended by %q with reason %q", last.Actor, last.Reason)
			}
		})
	}
}

// Two processes work on fifty jobs. Handlers fail now and then, and so do targets, which a
// person retries.
func TestProcessesShareTheWork(t *testing.T) {
	const jobs, steps = 50, 3
	p := newProcess(t)
	both := []*process{p, p.another()}
	var worked [2]atomic.Int32
	for i, q := range both {
		q.run(func(_ context.Context, d engine.Delivery) (*engine.Report, error) {
			if d.Effect != store.RunTargets {
				return nil, nil
			}
			worked[i].Add(1)
			r := success()
			switch odd := (int(d.Job.ID) + int(d.Step.ID)) % 5; {
			case odd == 0 && d.Count == 1:
				return nil, errors.New("out of luck")
			case odd == 1 && d.Attempt == 1:
				r.Results[0].Status = step.TargetFailed
			}
			return r, nil
		})
	}
	var all sync.WaitGroup
	for i := range jobs {
		q := both[i%2]
		all.Go(func() {
			spec := engine.JobSpec{Name: "job", Steps: slices.Repeat([]step.Spec{script("a")}, steps)}
			created, err := q.eng.Create(t.Context(), spec, engine.Request{})
			if err == nil {
				_, err = q.eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
			}
			if err != nil {
				t.Error(err)
				return
			}
			checkHistory(q, spec, created.Job, through(q, created.Job))
		})
	}
	all.Wait()
	if worked[0].Load() == 0 || worked[1].Load() == 0 {
		t.Errorf("runs of the two processes: %d and %d, want some of each", worked[0].Load(), worked[1].Load())
	}
	for _, j := range p.riverJobs() {
		if j.State == "discarded" || j.State == "cancelled" {
			t.Errorf("River job %+v, want none that was given up", j)
		}
	}
}

// through watches a job to its end, retries what fails, and returns how often that was.
func through(p *process, job store.JobID) (retries int) {
	ctx, cancel := context.WithTimeout(p.Context(), jobkit.Patience)
	defer cancel()
	for r, err := range p.eng.Watch(ctx, job, 0) {
		switch {
		case err != nil:
			p.Errorf("job %d: %v", job, err)
			return retries
		case r.JobTo == step.Succeeded:
			return retries
		case r.To == step.Failed:
			retries++
			if _, err := p.eng.Operate(ctx, job, r.Step, operation.RetryFailed, engine.Request{}); err != nil {
				p.Errorf("job %d: %v", job, err)
				return retries
			}
		}
	}
	return retries
}

// checkHistory checks that each attempt of each step began once and ended once, and that the
// history leads to where the job stands.
func checkHistory(p *process, spec engine.JobSpec, id store.JobID, retries int) {
	history := p.history(id)
	if want := 2 + len(spec.Steps) + 2*retries; len(history) != want {
		p.Errorf("job %d, retried %d times: history of %d records, want %d", id, retries, len(history), want)
	}
	job, steps, err := engine.Replay(p.eng.Rules(), spec, history)
	if err != nil {
		p.Errorf("job %d: %v", id, err)
	}
	if stored, err := p.eng.Job(p.Context(), id); err != nil || stored != job {
		p.Errorf("job %d is %+v, %v, but its history leads to %+v", id, stored, err, job)
	}
	stored, err := p.eng.Steps(p.Context(), id, 0, 0)
	if err != nil || !slices.Equal(stored, steps) {
		p.Errorf("job %d: steps are %+v, %v, but the history leads to %+v", id, stored, err, steps)
	}
}
