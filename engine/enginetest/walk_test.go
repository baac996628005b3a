package enginetest_test

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// walkSteps returns the number of steps of the longest jobs of the walk: 3, unless the environment says
// otherwise.
func walkSteps(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("STEPGATE_WALK_STEPS"), "3"))
	if err != nil {
		t.Fatalf("STEPGATE_WALK_STEPS: %v, want a number of steps", err)
	}
	return n
}

// leastStates are the minimums of states of the jobs of that many steps: a walk that visits fewer
// fails.
var leastStates = []int{1: 6_000, 2: 50_000, 3: 60_000, 4: 600_000, 5: 6_000_000}

// Every state that small jobs can reach keeps the promises, with every command tried in it.
func TestWalk(t *testing.T) {
	t.Parallel()
	for steps := 1; steps <= walkSteps(t); steps++ {
		walk := enginetest.Walk{Jobs: enginetest.SmallJobs(operation.Standard(), steps)}
		stats, err := walk.Run()
		if err != nil {
			t.Fatalf("of %d steps: %v", steps, err)
		}
		t.Logf("of %d steps: %v", steps, stats)
		if steps < len(leastStates) && stats.States < leastStates[steps] {
			t.Errorf("of %d steps: %d states, want %d", steps, stats.States, leastStates[steps])
		}
	}
}

// leastGated is the minimum of states of the jobs with gates.
const leastGated = 10_000

// So does every state of jobs with gates, batches, retries and deadlines.
func TestWalkThroughGates(t *testing.T) {
	if testing.Short() {
		t.Skip("TestWalk has the same goroutines")
	}
	t.Parallel()
	stats, err := enginetest.Walk{Jobs: enginetest.GatedJobs()}.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(stats)
	if stats.States < leastGated || stats.Reports == 0 || stats.People == 0 || stats.Moments == 0 {
		t.Errorf("%v, want %d states at least, and some that await a report, a person and a moment", stats, leastGated)
	}
}

// decide is the decision function of a walk.
type decide func(*operation.Rules, store.View, engine.Command, step.Time) (engine.Decision, error)

// brokenDecisions each break a promise.
var brokenDecisions = []struct {
	name   string
	decide decide
	says   string
	moves  int  // on the shortest way there
	model  bool // that alone can tell
}{
	{
		name: "a report that is not fenced by its attempt", says: "promise 4", moves: 3,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			if report, ok := c.(*engine.Report); ok && v.Step.State.Active() {
				unfenced := *report
				unfenced.Attempt = v.Step.Attempt
				c = &unfenced
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "a retry that runs successes again", says: "promise 5", moves: 4,
		decide: changed(func(c engine.Command, v *store.View, d *engine.Decision) {
			if op, ok := c.(*engine.Operate); ok && op.Cause == operation.RetryFailed.Cause() {
				s, rec := &d.Change.Steps[0], &d.Change.Records[len(d.Change.Records)-1]
				s.Run.Full, s.Succeeded, s.Unfinished = s.Attempt, 0, s.Run.Size(s.Total)
				rec.Run, rec.Succeeded, rec.Unfinished = s.Run, 0, s.Unfinished
			}
		}),
	},
	{
		name: "a terminate that is accepted and dropped", says: "promise 7", moves: 3,
		decide: changed(func(c engine.Command, v *store.View, d *engine.Decision) {
			if op, ok := c.(*engine.Operate); ok && op.Cause == operation.TerminateJob.Cause() && v.Step.State == step.Running {
				rec, version := &d.Change.Records[0], d.Change.Job.Version
				rec.To, rec.JobTo, rec.Effect = rec.From, rec.JobFrom, store.NoEffect
				d.Change.Job, d.Change.Steps[0] = v.Job, v.Step
				d.Change.Job.Version = version
			}
		}),
	},
	{
		name: "a run that is not sent", says: "promise 3", moves: 2,
		decide: changed(func(c engine.Command, v *store.View, d *engine.Decision) {
			if d.Change.Records[0].Effect == store.RunTargets {
				d.Change.Records[0].Effect = store.NoEffect
			}
		}),
	},
	{
		name: "a deadline that counts before its time", says: "promise 6", moves: 3,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			if _, ok := c.(*engine.Expire); ok && v.Step.Deadline != 0 {
				v.Step.Deadline = now
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "a confirmation by anybody", says: "promise 6", moves: 3,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			op, ok := c.(*engine.Operate)
			if !ok || op.Cause != operation.Confirm.Cause() || op.By != "bob" || v.Replay != nil {
				return engine.Decide(r, v, c, now)
			}
			byAnn := *op
			byAnn.By = "ann"
			d, err := engine.Decide(r, v, &byAnn, now)
			if err == nil && d.Changes() {
				d.Change.Records[0].Actor = "bob"
			}
			return d, err
		},
	},
	{
		name: "a stop that only the deadline ends", says: "promise 2", moves: 4,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			switch c.(type) {
			case *engine.Report, *engine.Operate:
				if v.Step.State == step.Terminating {
					return engine.Decision{}, &engine.Refusal{Reason: operation.WrongState}
				}
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "a late report that counts once all run again", says: "promise 4", moves: 6,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			if report, ok := c.(*engine.Report); ok && v.Step.State == step.Running && v.Step.Run.Full > 1 && report.Attempt == v.Step.Attempt-1 {
				unfenced := *report
				unfenced.Attempt = v.Step.Attempt
				c = &unfenced
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "a success that counts for ever", says: "promise 8", moves: 7, model: true,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			if report, ok := c.(*engine.Report); ok && report.Outcome == 0 {
				for i, t := range v.Targets {
					if t.Success > 0 && v.Step.Run.Due(t) {
						v.Targets = slices.Clone(v.Targets)
						v.Targets[i].Success = v.Step.Run.Full
					}
				}
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "a question that cannot be answered when it is asked again", says: "promise 2", moves: 5,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			if v.Step.State == step.Waiting && v.Step.Attempt > 1 {
				return engine.Decision{}, &engine.Refusal{Reason: operation.WrongState}
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "a third attempt that does not end", says: "promise 2", moves: 7,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			if v.Step.State.Active() && v.Step.Attempt > 2 {
				return engine.Decision{}, &engine.Refusal{Reason: operation.WrongState}
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "an answer that is not what the record says", says: "promise 1", moves: 4,
		decide: changed(func(_ engine.Command, _ *store.View, d *engine.Decision) { d.Report = engine.ReportReceipt{} }),
	},
	{
		name: "a condition that is not looked at", says: "promise 6", moves: 2,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			if op, ok := c.(*engine.Operate); ok && op.Cause.OfJob() {
				c = &engine.Operate{Cause: op.Cause, Request: engine.Request{By: op.By, ID: op.Request.ID}}
			}
			return engine.Decide(r, v, c, now)
		},
	},
	{
		name: "a request that is carried out twice", says: "promise 1", moves: 2,
		decide: func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
			v.Replay = nil
			return engine.Decide(r, v, c, now)
		},
	},
}

// The walk finds each of these decisions by the promise that it breaks, on the shortest way there,
// without the model. With the model it finds them no later.
func TestWalkFinds(t *testing.T) {
	t.Parallel()
	for _, broken := range brokenDecisions {
		t.Run(broken.name, func(t *testing.T) {
			jobs := append(enginetest.SmallJobs(operation.Standard(), 1), enginetest.SmallJobs(operation.Standard(), 2)...)
			walk := enginetest.Walk{Jobs: jobs, Decide: broken.decide}
			alone := walk.Alone()
			if broken.model {
				alone = walk
			}
			stats, err := alone.Run()
			var violation *enginetest.Violation
			if !errors.As(err, &violation) || !strings.HasPrefix(err.Error(), broken.says) || len(violation.Path) != broken.moves {
				t.Fatalf("after %v: got %v, want a breach of %s in %d moves", stats, err, broken.says, broken.moves)
			}
			t.Log(err)
			if _, err := walk.Run(); !errors.As(err, &violation) || len(violation.Path) > broken.moves {
				t.Errorf("with the model: got %v, want a breach in at most %d moves", err, broken.moves)
			}
		})
	}
}

// The walk of a job that can be sealed ends at the seals, under rules that the model has too. The row has
// as many cells as states, with one consequence.
func TestWalkOfJobsThatCanBeSealed(t *testing.T) {
	if testing.Short() {
		t.Skip("TestWalk has the same goroutines")
	}
	t.Parallel()
	seal, table, expect := step.JobCause(32), operation.StandardTable(), model.Documented()
	table.Rows = append(table.Rows, operation.Row{Cause: seal, From: step.StatesOf(step.Failed, step.Terminated), Do: step.Seal})
	expect.AllowWhole(step.Failed, seal, step.Seal, operation.Free)
	expect.AllowWhole(step.Terminated, seal, step.Seal, operation.Free)
	rules, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	jobs := enginetest.SmallJobs(rules, 1)
	stats, err := enginetest.Walk{Rules: rules, Expect: expect, Jobs: jobs}.Run()
	without, err2 := enginetest.Walk{Jobs: jobs}.Run()
	if err != nil || err2 != nil || stats.States <= without.States {
		t.Errorf("the walk with a seal: %v, %v; without: %v, %v; want more states", stats, err, without, err2)
	}
	expect.ForbidWhole(step.Terminated, seal)
	if _, err := (enginetest.Walk{Rules: rules, Expect: expect, Jobs: jobs}).Run(); err == nil || !strings.Contains(err.Error(), "bob: custom-job-32") {
		t.Errorf("a seal that is not expected: %v, want the way to it", err)
	}
}

// changed returns decisions in which f changes those that change a job.
func changed(f func(engine.Command, *store.View, *engine.Decision)) decide {
	return func(r *operation.Rules, v store.View, c engine.Command, now step.Time) (engine.Decision, error) {
		d, err := engine.Decide(r, v, c, now)
		if _, creates := c.(*engine.Create); err == nil && d.Changes() && !creates {
			f(c, &v, &d)
		}
		return d, err
	}
}

// The walk refuses jobs whose states are too many to tell apart.
func TestWalkRefusesLargeJobs(t *testing.T) {
	targets := engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a", "b", "c"}}}}
	steps := engine.JobSpec{Name: "job", Steps: slices.Repeat([]step.Spec{{Type: step.Confirmation, Name: "ok"}}, 9)}
	for _, job := range []engine.JobSpec{targets, steps} {
		if stats, err := (enginetest.Walk{Jobs: []engine.JobSpec{job}}).Run(); err == nil || stats.Jobs != 0 {
			t.Errorf("a job of %d steps, the first of %d targets: got %v, %v, want an error", len(job.Steps), len(job.Steps[0].Targets), stats, err)
		}
	}
}

// The error of a job that Decide refuses to create contains the refusal.
func TestWalkSaysWhatIsNoJob(t *testing.T) {
	_, err := enginetest.Walk{Jobs: []engine.JobSpec{{Name: "job"}}}.Run()
	if !errors.Is(err, operation.InvalidInput) {
		t.Errorf("a job of no steps: got %v, want the engine's refusal", err)
	}
}
