package engine_test

import (
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A course is one job that Decide alone moves, without an engine and a store. After each change it
// asserts that the change is well formed, that the history replays to the header and the steps, and that
// the counts of each step are those of its targets.
type course struct {
	*testing.T
	spec    engine.JobSpec
	job     store.Job
	steps   []store.Step
	targets [][]store.Target // by step
	batches [][]store.Batch  // by step
	history []store.Record
	last    store.Change
	now     step.Time
	turn    bool   // a turn is free
	drawn   uint64 // request ids
}

const dawn step.Time = 1_000_000

// newCourse creates a job.
func newCourse(t *testing.T, spec engine.JobSpec) *course {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "release"
	}
	for i := range spec.Steps {
		if s := &spec.Steps[i]; s.Name == "" {
			s.Name = "step"
		}
	}
	c := &course{T: t, spec: spec, now: dawn}
	d, err := engine.Decide(operation.Standard(), store.View{}, &engine.Create{Job: 7, Spec: spec}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	c.batches = make([][]store.Batch, len(d.Change.Steps))
	for _, s := range d.Change.Steps {
		targets := make([]store.Target, s.Total)
		for i := range targets {
			targets[i].Index = int32(i)
		}
		c.targets = append(c.targets, targets)
	}
	c.steps = make([]store.Step, len(d.Change.Steps))
	c.apply(d.Change)
	return c
}

// started is newCourse with the job started.
func started(t *testing.T, spec engine.JobSpec) *course {
	t.Helper()
	c := newCourse(t, spec)
	c.ok(c.start())
	return c
}

// jobs of one step

func runOn(targets int) step.Spec {
	return step.Spec{Type: step.Script, Targets: []string{"a", "b", "c", "d", "e", "f"}[:targets]}
}

func (c *course) request() store.RequestID {
	c.drawn++
	var id store.RequestID
	binary.BigEndian.PutUint64(id[:], c.drawn) // the random part of a wait is 0
	return id
}

// current returns the current step.
func (c *course) current() *store.Step { return &c.steps[c.job.Current-1] }

func (c *course) view(id step.ID) store.View {
	v := store.View{Job: c.job, Step: c.steps[id-1], Targets: slices.Clone(c.targets[id-1]), Turn: c.turn && !c.job.HasTurn}
	if int(id) < len(c.steps) {
		v.Next = c.steps[id]
	}
	return v
}

// decide decides on a command about a step, and applies the change.
func (c *course) decide(id step.ID, cmd engine.Command) error {
	d, err := engine.Decide(operation.Standard(), c.view(id), cmd, c.now)
	if err == nil && d.Changes() {
		c.apply(d.Change)
	}
	return err
}

// try decides on an operation and changes nothing.
func (c *course) try(cause step.Cause) error {
	_, err := engine.Decide(operation.Standard(), c.view(c.job.Current), &engine.Operate{Cause: cause}, c.now)
	return err
}

func (c *course) operate(id step.ID, code operation.Code) error {
	return c.decide(id, &engine.Operate{Cause: code.Cause(), Request: engine.Request{ID: c.request()}})
}

func (c *course) operateJob(code operation.JobCode) error {
	return c.decide(c.job.Current, &engine.Operate{Cause: code.Cause(), Request: engine.Request{ID: c.request()}})
}

func (c *course) start() error { return c.operateJob(operation.StartJob) }

// report reports statuses of the current step's targets from the first of the window on.
func (c *course) report(statuses ...step.Status) error {
	s := c.current()
	r := &engine.Report{Job: 7, Step: s.ID, Attempt: s.Attempt}
	for i, status := range statuses {
		if status != 0 {
			r.Results = append(r.Results, result(s.Run.First+int32(i), status))
		}
	}
	return c.decide(s.ID, r)
}

func (c *course) outcome(outcome step.Cause) error {
	s := c.current()
	return c.decide(s.ID, &engine.Report{Job: 7, Step: s.ID, Attempt: s.Attempt, Outcome: outcome})
}

// sweep applies the moment of the current step; window is the answer about its window.
func (c *course) sweep(window step.Time) error {
	s := c.current()
	return c.decide(s.ID, &engine.Expire{Job: 7, Step: s.ID, Attempt: s.Attempt, Window: window})
}

// toDue lets time pass up to the moment of the current step, and sweeps.
func (c *course) toDue() error {
	c.Helper()
	due := c.current().Due
	if due == 0 || due < c.now {
		c.Fatalf("the step is due at %v, and it is %v", due, c.now)
	}
	for _, early := range []step.Time{c.now, due - 1} {
		if early >= c.now && early < due {
			if c.now = early; !errors.Is(c.sweep(0), operation.Stale) {
				c.Fatalf("a sweep at %v of a step that is due at %v passes", early, due)
			}
		}
	}
	c.now = due
	return c.sweep(due)
}

func (c *course) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatalf("after %d records: %v", len(c.history), err)
	}
}

func (c *course) refused(err error, want operation.Reason) {
	c.Helper()
	if !errors.Is(err, want) {
		c.Fatalf("after %d records, the step %v: %v, want %v", len(c.history), c.current().State, err, want)
	}
}

// is asserts the state of the current step, what it waits for, and its attempt.
func (c *course) is(state step.State, gate step.GateReason, attempt int32) {
	c.Helper()
	s := c.current()
	if s.State != state || s.Gate.Reason != gate || s.Attempt != attempt {
		c.Fatalf("after %d records, step %d is %v in attempt %d, gate %v; want %v in attempt %d, gate %v",
			len(c.history), s.ID, s.State, s.Attempt, s.Gate.Reason, state, attempt, gate)
	}
}

func (c *course) apply(change store.Change) {
	c.Helper()
	if err := change.Check(); err != nil {
		c.Fatal(err)
	}
	for _, s := range change.Steps {
		c.steps[s.ID-1] = s
	}
	for _, target := range change.Targets {
		c.targets[change.Steps[0].ID-1][target.Index] = target
	}
	for _, b := range change.Batches {
		rows := &c.batches[b.Step-1]
		if int(b.Number) > len(*rows) {
			*rows = append(*rows, b)
			continue
		}
		was := &(*rows)[b.Number-1]
		b.Since, b.Started = was.Since, was.Started
		*was = b
	}
	c.job, c.last = change.Job, change
	if c.history = append(c.history, change.Records...); len(c.history) > 200 {
		c.Fatalf("the job never ends: %+v", c.current())
	}

	job, steps, err := engine.Replay(operation.Standard(), c.spec, c.history)
	if err != nil || !reflect.DeepEqual(job, c.job) {
		c.Fatalf("after %v the history replays to the header\n%+v, %v, it is\n%+v", c.record().Cause, job, err, c.job)
	}
	active := 0
	for i, s := range c.steps {
		if steps[i].Payload = s.Payload; !reflect.DeepEqual(steps[i], s) {
			c.Fatalf("after %v the history replays to step\n%+v, it is\n%+v", c.record().Cause, steps[i], s)
		}
		if s.State.Active() {
			active++
		}
		var succeeded, unfinished, failed int32
		for _, target := range c.targets[i] {
			for class, n := range map[store.Class]*int32{
				store.SucceededTargets: &succeeded, store.UnfinishedTargets: &unfinished, store.FailedTargets: &failed,
			} {
				if class.Holds(s, c.batches[i], target) {
					*n++
				}
			}
		}
		got, want := [...]int32{s.Before + s.Succeeded, s.Unfinished, s.Failed()}, [...]int32{succeeded, unfinished, failed}
		if s.Total > 0 && got != want {
			c.Fatalf("after %v, step %d counts %v succeeded, unfinished and failed; its targets are %v", c.record().Cause, s.ID, got, want)
		}
	}
	if s := c.current(); active > 1 || (active == 1) != s.State.Active() || job.Gate != s.Gate.Reason || (s.State == step.Gated) != (job.Gate != step.NoGate) {
		c.Fatalf("after %v, %d steps are active, the current one is %v, gate %v; the job says %v", c.record().Cause, active, s.State, s.Gate, job.Gate)
	}
}

func (c *course) record() store.Record { return c.history[len(c.history)-1] }

const hopeless = step.NoSuchUser // a failure that no retry would mend

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
