package storetest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The suite commits what an engine would: create, start, report, retry, skip and
// terminate turn a view into a change, as deciding does, and a job is the dumb
// model that remembers what was committed, for comparison with the store.

// t0 is when the suite's histories begin: long past, so that a store that reads a
// clock takes every lease for run out.
const t0 step.Time = 1_000_000

var (
	teamA = store.Scope{Type: "biz", ID: "1"}
	teamB = store.Scope{Type: "biz", ID: "2"}
)

// script returns a step that runs on so many targets.
func script(name string, targets int) step.Spec {
	s := step.Spec{Type: step.Script, Name: name, Payload: "echo " + name}
	for i := range targets {
		s.Targets = append(s.Targets, fmt.Sprintf("%s-%d", name, i))
	}
	return s
}

// timed returns spec with a timeout.
func timed(spec step.Spec, d time.Duration) step.Spec {
	spec.Timeout = d
	return spec
}

// confirmation returns a step that asks.
func confirmation(name string, confirmers ...string) step.Spec {
	return step.Spec{Type: step.Confirmation, Name: name, Confirmers: confirmers}
}

// requestOf returns the request that the record of this number carries.
func requestOf(id store.JobID, seq store.Seq) (r store.RequestID) {
	binary.BigEndian.PutUint64(r[:8], uint64(id))
	binary.BigEndian.PutUint64(r[8:], uint64(seq))
	return r
}

// create returns the change that makes a job.
func create(id store.JobID, scope store.Scope, at step.Time, specs ...step.Spec) store.Change {
	c := store.Change{
		Job: store.Job{
			ID: id, Scope: scope, Name: fmt.Sprint("job ", id), State: step.Pending,
			Version: 1, Moved: 1, Current: 1, Steps: int32(len(specs)), Created: at, Updated: at,
		},
		Specs: specs,
		Records: []store.Record{{
			Job: id, Seq: 1, At: at, Cause: step.Created, Request: requestOf(id, 1), Actor: "alice", Run: store.FirstRun, JobTo: step.Pending,
		}},
	}
	for i, spec := range specs {
		c.Steps = append(c.Steps, store.NewStep(step.ID(i+1), spec))
	}
	return c
}

// start enters the first step, which is that of v.
func start(v store.View, at step.Time) store.Change {
	return move(v, at, store.Record{Cause: operation.StartJob.Cause()}, entered(v.Step))
}

// retry starts the next attempt, of what is due or of all.
func retry(v store.View, at step.Time, code operation.Code) store.Change {
	return move(v, at, store.Record{Cause: code.Cause()}, step.Running)
}

// skip goes on without the step.
func skip(v store.View, at step.Time) store.Change {
	return move(v, at, store.Record{Cause: operation.ForcedSkip.Cause()}, step.Skipped)
}

// terminate asks the executor to stop.
func terminate(v store.View, at step.Time) store.Change {
	return move(v, at, store.Record{Cause: operation.TerminateJob.Cause()}, step.Terminating)
}

// expire ends an attempt whose deadline has passed.
func expire(v store.View, at step.Time) store.Change {
	return move(v, at, store.Record{Cause: step.Expired, Reason: "deadline"}, step.Abnormal)
}

// seal makes the job final, and moves no step.
func seal(v store.View, at step.Time) store.Change {
	c := move(v, at, store.Record{Cause: step.JobCause(40)}, v.Step.State)
	c.Job.Sealed = true
	return c
}

// report is what an executor says of v.Targets: to each its outcome.
func report(v store.View, at step.Time, outcome map[int32]step.Status) store.Change {
	v.Targets = slices.Clone(v.Targets)
	for i := range v.Targets {
		t := &v.Targets[i]
		status := outcome[t.Index]
		known := t.Attempt == v.Step.Attempt && t.Status.Finished()
		if status.Finished() && !known {
			v.Step.Unfinished--
		}
		t.Attempt = v.Step.Attempt
		t.Result = store.Result{Status: status, ExitCode: int32(v.Job.Version) + 1, Started: v.Step.Started}
		if v.Job.Version%2 == 0 {
			t.Detail = status.String()
		}
		if status.Finished() {
			t.Finished = at
		}
		if status.Success() {
			if v.Step.Run.Due(*t) {
				v.Step.Succeeded++
			}
			t.Success = t.Attempt
		} else if status.Finished() {
			t.Success = 0
		}
	}
	r, to := store.Record{Cause: step.Results, Results: int32(len(v.Targets))}, v.Step.State
	if v.Step.Unfinished == 0 {
		r.Cause, to = step.SomeFailed, step.Failed
		if v.Step.Succeeded == v.Step.Total {
			r.Cause, to = step.AllSucceeded, step.Succeeded
		}
	}
	c := move(v, at, r, to)
	c.Targets = v.Targets
	return c
}

// move takes the step of v to a state, with all that follows from it, and makes
// r the record of that.
func move(v store.View, at step.Time, r store.Record, to step.State) store.Change {
	job, s := v.Job, v.Step
	job.Version++
	job.Updated = at
	r.Job, r.Seq, r.At, r.Request, r.Actor = job.ID, job.Version, at, requestOf(job.ID, job.Version), "bob"
	r.Step, r.From, r.To, r.JobFrom = s.ID, s.State, to, job.State
	switch {
	case to == s.State: // results only
	case to == step.Running, to == step.Waiting:
		s = begin(s, at, r.Cause != operation.RetryFailed.Cause())
		job.Finished = 0
		if job.Started == 0 {
			job.Started = at
		}
		r.Effect, r.Targets = effectOf(s), s.Unfinished
	case to == step.Terminating:
		r.Effect = store.StopAttempt
	default:
		s.Finished, s.Deadline = at, 0
	}
	s.State, job.State = to, to.OfJob(v.Next.ID == 0)
	if to == step.Skipped {
		job.Skipped++
	}
	steps := []store.Step{s}
	if to.Passed() && v.Next.ID != 0 {
		next := begin(v.Next, at, true)
		next.State = entered(next)
		steps = append(steps, next)
		job.Current, job.State, job.Finished = next.ID, next.State, 0
		r.Entered, r.Effect, r.Targets = next.ID, effectOf(next), next.Unfinished
	}
	if job.State.Finished() && r.From != to {
		job.Finished, r.Effect = at, store.JobEnded
	}
	r.Attempt, r.Run, r.Succeeded, r.Unfinished, r.JobTo = s.Attempt, s.Run, s.Succeeded, s.Unfinished, job.State
	if r.Moves() {
		job.Moved = job.Version
	}
	return store.Change{Job: job, Steps: steps, Records: []store.Record{r}}
}

// begin returns s with its next attempt under way.
func begin(s store.Step, at step.Time, all bool) store.Step {
	s.Attempt++
	if s.Run = s.Run.Next(s.Attempt, all); all {
		s.Succeeded = 0
	}
	s.Unfinished, s.Started, s.Finished, s.Deadline = s.Total-s.Succeeded, at, 0, 0
	if s.Timeout > 0 {
		s.Deadline = at.Add(s.Timeout)
	}
	return s
}

// entered returns the state in which s is under way.
func entered(s store.Step) step.State {
	if s.Type == step.Confirmation {
		return step.Waiting
	}
	return step.Running
}

// effectOf returns what starts an attempt of s.
func effectOf(s store.Step) store.Effect {
	if s.Type == step.Confirmation {
		return store.AskConfirmers
	}
	return store.RunTargets
}

// then returns a and b, which was decided on what a leads to, as one change of two
// commands. If b has targets, they are of the first step of both.
func then(a, b store.Change) store.Change {
	a.Job = b.Job
	a.Steps = slices.Clone(a.Steps)
	for _, s := range b.Steps {
		if i := slices.IndexFunc(a.Steps, func(old store.Step) bool { return old.ID == s.ID }); i >= 0 {
			s.Payload = a.Steps[i].Payload // of a creation
			a.Steps[i] = s
		} else {
			a.Steps = append(a.Steps, s)
		}
	}
	a.Records = slices.Concat(a.Records, b.Records)
	a.Targets = slices.Clone(a.Targets)
	for _, t := range b.Targets {
		if i := slices.IndexFunc(a.Targets, func(old store.Target) bool { return old.Index == t.Index }); i >= 0 {
			a.Targets[i] = t
		} else {
			a.Targets = append(a.Targets, t)
		}
	}
	return a
}

// A job is what a store should hold of one job. It is a value: with makes a new one.
type job struct {
	store.Job
	steps    []store.Step     // as they are read
	payloads []string         // by step
	targets  [][]store.Target // by step and index, the latest results
	results  []map[ran]store.Target
	records  []store.Record
}

// A ran names what one target of a step did in one attempt.
type ran struct{ attempt, index int32 }

// newJob returns the job that a creation makes.
func newJob(c store.Change) *job {
	j := &job{}
	for _, spec := range c.Specs {
		rows := make([]store.Target, len(spec.Targets))
		for i, name := range spec.Targets {
			rows[i] = store.Target{Index: int32(i), Name: name}
		}
		j.targets = append(j.targets, rows)
		j.results = append(j.results, map[ran]store.Target{})
		j.payloads = append(j.payloads, spec.Payload)
	}
	j.steps = make([]store.Step, len(c.Specs))
	return j.with(c)
}

// with returns the job after c.
func (j *job) with(c store.Change) *job {
	n := &job{c.Job, slices.Clone(j.steps), j.payloads, slices.Clone(j.targets), slices.Clone(j.results), slices.Concat(j.records, c.Records)}
	for _, s := range c.Steps {
		s.Payload = ""
		n.steps[s.ID-1] = s
	}
	if len(c.Targets) > 0 {
		i := c.Steps[0].ID - 1
		n.targets[i], n.results[i] = slices.Clone(n.targets[i]), maps.Clone(n.results[i])
		for _, t := range c.Targets {
			t.Name = n.targets[i][t.Index].Name
			n.targets[i][t.Index] = t
			n.results[i][ran{t.Attempt, t.Index}] = t
		}
	}
	return n
}

// view returns what a store should view of a step; 0 is the current one.
func (j *job) view(id step.ID, targets ...int32) store.View {
	if id == 0 {
		id = j.Current
	}
	v := store.View{Job: j.Job, Step: j.steps[id-1]}
	if int(id) < len(j.steps) {
		v.Next = j.steps[id]
	}
	for _, i := range targets {
		if i >= 0 && int(i) < len(j.targets[id-1]) {
			t := j.targets[id-1][i]
			t.Name = ""
			v.Targets = append(v.Targets, t)
		}
	}
	return v
}

// report returns the change that a report on the current step makes.
func (j *job) report(at step.Time, outcome map[int32]step.Status) store.Change {
	return report(j.view(0, slices.Sorted(maps.Keys(outcome))...), at, outcome)
}

// of returns the results of one attempt of a step, by index.
func (j *job) of(id step.ID, attempt int32) []store.Target {
	var rows []store.Target
	for i := range j.targets[id-1] {
		if t, ok := j.results[id-1][ran{attempt, int32(i)}]; ok {
			rows = append(rows, t)
		}
	}
	return rows
}

// effects returns all that j asked of the world, as if nothing was claimed yet.
func (j *job) effects() []store.Delivery {
	var all []store.Delivery
	for _, r := range j.records {
		if d, ok := r.Delivery(j.Scope, j.typeOf(r.Subject())); ok {
			all = append(all, d)
		}
	}
	return all
}

// typeOf returns the type of a step of j, or 0 for none.
func (j *job) typeOf(id step.ID) step.Type {
	if id == 0 {
		return 0
	}
	return j.steps[id-1].Type
}

// overdue returns the deadlines that j has, by step.
func (j *job) overdue() []store.Overdue {
	var due []store.Overdue
	for _, s := range j.steps {
		if s.Deadline != 0 {
			due = append(due, store.Overdue{Job: j.ID, Step: s.ID, Attempt: s.Attempt, Deadline: s.Deadline})
		}
	}
	return due
}

// claimed returns what effects are after they were claimed so often, the last
// time until then.
func claimed(effects []store.Delivery, count int32, until step.Time) []store.Delivery {
	effects = slices.Clone(effects)
	for i := range effects {
		effects[i].Count, effects[i].NotBefore = count, until
	}
	return effects
}

// failed returns what an effect is after another delivery that failed.
func failed(d store.Delivery, why string) store.Delivery {
	d.Failures, d.LastError = d.Failures+1, why
	return d
}

// all gives the same outcome to the targets from index i up to n.
func all(status step.Status, i, n int32) map[int32]step.Status {
	outcome := map[int32]step.Status{}
	for ; i < n; i++ {
		outcome[i] = status
	}
	return outcome
}
