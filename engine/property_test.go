package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Package enginetest tests the promises of the library on random sequences of commands. The tests here
// need an engine that is broken on purpose.

func TestMain(m *testing.M) {
	testkit.EndIfHung()
	testkit.Main(m, 1000)
}

// All promises hold for the sound engine. A few sequences suffice: the tests of enginetest run a
// thousand.
func TestPromises(t *testing.T) {
	testkit.SetFlag(t, "rapid.checks", "30")
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) { enginetest.Sequence(t, enginetest.Config{}) })
	})
}

// A breakage is an engine or a store that breaks a promise on purpose.
type breakage struct {
	name   string
	caught string // part of the error of a sequence
	decide func(engine.DecideFunc) engine.DecideFunc
	store  func(store.Store) store.Store
}

var breakages = []breakage{
	{
		name:   "no attempt fence",
		caught: "promise", // 4; or 1, if a report in doubt comes again, and counts in the attempt that it began
		decide: func(decide engine.DecideFunc) engine.DecideFunc {
			return func(r *operation.Rules, v *store.View, c engine.Command, move operation.Move, now step.Time, d *engine.Decision) *engine.Refusal {
				if report, ok := c.(*engine.Report); ok && v.Step.State.Active() {
					unfenced := *report
					unfenced.Attempt = v.Step.Attempt
					c = &unfenced
				}
				return decide(r, v, c, move, now, d)
			}
		},
	},
	{
		name:   "no compare-and-swap",
		caught: "promise", // whichever is looked at first: without it none holds
		store:  func(s store.Store) store.Store { return overwriting{s} },
	},
	{
		name:   "a retry that runs successes again",
		caught: "promise 5",
		decide: changed(func(c engine.Command, _ *store.View, d *engine.Decision) {
			rec := &d.Change.Records[0]
			if op, ok := c.(*engine.Operate); ok && op.Cause == operation.RetryFailed.Cause() && rec.Effect == store.RunTargets {
				s := &d.Change.Steps[0]
				s.Run.Full, s.Succeeded, s.Unfinished = s.Attempt, 0, s.Run.Size(s.Total)
				rec.Run, rec.Succeeded, rec.Unfinished = s.Run, 0, s.Unfinished
				for i := range d.Change.Batches {
					b := &d.Change.Batches[i]
					b.Full, b.Succeeded, b.Unfinished = s.Attempt, 0, s.Unfinished
				}
			}
		}),
	},
	{
		name:   "a terminate that is lost",
		caught: "promise 7",
		decide: changed(func(c engine.Command, v *store.View, d *engine.Decision) {
			if op, ok := c.(*engine.Operate); ok && op.Cause == operation.TerminateJob.Cause() && v.Job.State != step.Pending {
				rec := &d.Change.Records[0]
				rec.To, rec.JobTo, rec.Effect = rec.From, rec.JobFrom, store.NoEffect
				d.Change.Steps[0] = v.Step
				header := d.Change.Job
				d.Change.Job = v.Job
				d.Change.Job.Version, d.Change.Job.Updated = header.Version, header.Updated
			}
		}),
	},
	{
		name:   "a run that nobody is told of",
		caught: "promise", // 1; or 6, if the job has a deadline, which counts from the run
		decide: changed(func(_ engine.Command, _ *store.View, d *engine.Decision) {
			if rec := &d.Change.Records[0]; rec.Effect == store.RunTargets && rec.Entered != 0 {
				rec.Effect = store.NoEffect
			}
		}),
	},

	// The following breakages store consistent states: only the model finds them.
	{
		name:   "a stop that the executor cannot end",
		caught: "promise 8",
		decide: func(decide engine.DecideFunc) engine.DecideFunc {
			return func(r *operation.Rules, v *store.View, c engine.Command, move operation.Move, now step.Time, d *engine.Decision) *engine.Refusal {
				if report, ok := c.(*engine.Report); ok && report.Outcome == step.Stopped && report.Attempt == v.Step.Attempt && v.Step.State == step.Terminating {
					return &engine.Refusal{Reason: operation.WrongState, Job: v.Job.ID, Step: v.Step.ID}
				}
				return decide(r, v, c, move, now, d)
			}
		},
	},
	{
		name:   "a failure that is kept as another",
		caught: "promise 8",
		decide: changed(func(_ engine.Command, _ *store.View, d *engine.Decision) {
			for i := range d.Change.Targets {
				if t := &d.Change.Targets[i]; t.Status == step.NonZeroExit {
					t.Status = step.TargetFailed
				}
			}
		}),
	},
	{
		name:   "a refusal for the wrong reason",
		caught: "promise", // 4 or 8: of a stale report, whichever is looked at first
		decide: func(decide engine.DecideFunc) engine.DecideFunc {
			return func(r *operation.Rules, v *store.View, c engine.Command, move operation.Move, now step.Time, d *engine.Decision) *engine.Refusal {
				refusal := decide(r, v, c, move, now, d)
				if report, ok := c.(*engine.Report); ok && refusal != nil && report.Outcome != 0 && refusal.Reason == operation.Stale {
					refusal.Reason = operation.WrongState
				}
				return refusal
			}
		},
	},
}

// changed returns decisions of which f changes those that change a job that there is.
func changed(f func(engine.Command, *store.View, *engine.Decision)) func(engine.DecideFunc) engine.DecideFunc {
	return func(decide engine.DecideFunc) engine.DecideFunc {
		return func(r *operation.Rules, v *store.View, c engine.Command, move operation.Move, now step.Time, d *engine.Decision) *engine.Refusal {
			refusal := decide(r, v, c, move, now, d)
			if _, creates := c.(*engine.Create); refusal == nil && d.Changes() && !creates {
				f(c, v, d)
			}
			return refusal
		}
	}
}

// config returns the configuration of a sequence on the breakage.
func (b breakage) config() (c enginetest.Config) {
	if b.store != nil {
		c.Open = func(testing.TB) store.Store { return b.store(memstore.New()) }
	}
	if b.decide != nil {
		c.Engine = func(st store.Store, opts ...engine.Option) *engine.Engine {
			e := engine.New(st, opts...)
			e.Break(b.decide)
			return e
		}
	}
	return c
}

// overwriting is a store that commits without comparing the version.
type overwriting struct{ store.Store }

func (s overwriting) Commit(ctx context.Context, c store.Change) error {
	err := s.Store.Commit(ctx, c)
	if !errors.Is(err, store.ErrConflict) || c.Base() == 0 {
		return err
	}
	current, err := s.View(ctx, store.Query{Job: c.Job.ID})
	if err != nil {
		return err
	}
	c.Records = slices.Clone(c.Records)
	c.Job.Version = current.Job.Version + store.Seq(len(c.Records))
	for i := range c.Records {
		c.Records[i].Seq = current.Job.Version + store.Seq(i+1)
	}
	return s.Store.Commit(ctx, c)
}

// Sequences catch each broken engine, by the promise that it breaks.
func TestPromisesCatch(t *testing.T) {
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			verdict := testkit.Failure(t, func(t *rapid.T) { enginetest.Sequence(t, b.config()) })
			if !strings.Contains(verdict, b.caught) {
				t.Errorf("an engine with %s: a sequence says %q, want a breach of %s", b.name, verdict, b.caught)
			}
		})
	}
}
