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

// The suite commits changes like an engine's: create, start, report, retry, skip, terminate, shut and open
// turn a view into a change, and a job is a dumb model of the committed state, for comparison with the
// store.

// t0 is the time at which the suite's histories begin: long past, so that for a store that reads a
// clock every lease has run out.
const t0 step.Time = 1_000_000

var (
	teamA = store.Scope{Type: "biz", ID: "1"}
	teamB = store.Scope{Type: "biz", ID: "2"}
)

// script returns a step that runs on a number of targets.
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

// rolling returns spec with its targets in batches.
func rolling(spec step.Spec, batches string) step.Spec {
	spec.Rolling.Batches = batches
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

// under gives the job that c creates a policy.
func under(c store.Change, policy store.JobPolicy) store.Change {
	c.Job.Policy = &policy
	return c
}

// start enters the first step, which is that of v.
func start(v store.View, at step.Time) store.Change {
	return move(v, at, store.Record{Cause: operation.StartJob.Cause()}, entered(v.Step))
}

// retry starts the next attempt, on the due targets or on all.
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

// hold puts the job on hold, and moves no step.
func hold(v store.View, at step.Time) store.Change {
	c := move(v, at, store.Record{Cause: operation.HoldJob.Cause()}, v.Step.State)
	c.Job.Held = true
	return c
}

// stopBefore sets or clears a stop before the step, and moves none.
func stopBefore(v store.View, at step.Time, set bool) store.Change {
	code := operation.StopBefore
	if !set {
		code = operation.ClearStop
	}
	c := move(v, at, store.Record{Cause: code.Cause()}, v.Step.State)
	c.Steps[0].StopBefore = set
	return c
}

// shut lets the step wait at a gate. The attempt that is under way, if there is one, has ended.
func shut(v store.View, at step.Time, cause step.Cause, gate store.Gate) store.Change {
	return act(v, at, store.Record{Cause: cause}, step.Gated, gate.Then, gate)
}

// open opens the gate of the step.
func open(v store.View, at step.Time, cause step.Cause) store.Change {
	c := act(v, at, store.Record{Cause: cause}, entered(v.Step), v.Step.Gate.Then, store.Gate{})
	if cause == operation.ResumeJob.Cause() {
		c.Job.Held = false
	}
	return c
}

// goOn accepts the failures of the batch, and begins the next one, or waits for it at a gate.
func goOn(v store.View, at step.Time, gate store.Gate) store.Change {
	to := step.Running
	if gate.Reason != step.NoGate {
		to = step.Gated
	}
	c := act(v, at, store.Record{Cause: operation.IgnoreError.Cause()}, to, step.RunNext, gate)
	c.Steps[0].Accepted = v.Step.Failed()
	return c
}

// report reports on v.Targets, each with its outcome.
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
	c := move(v, at, store.Record{Cause: step.Results, Results: int32(len(v.Targets))}, v.Step.State)
	if v.Step.Unfinished == 0 {
		c = ended(v, at)
	}
	c.Targets = v.Targets
	return c
}

// ended ends the attempt of a step whose last due target has finished. After a success the next batch
// begins, if one is left.
func ended(v store.View, at step.Time) store.Change {
	s, r := v.Step, store.Record{Cause: step.AllSucceeded, Results: int32(len(v.Targets))}
	switch {
	case s.Succeeded < s.Run.Size(s.Total):
		r.Cause = step.SomeFailed
		return move(v, at, r, step.Failed)
	case s.Run.End != 0 && s.Run.End < s.Total:
		return act(v, at, r, step.Running, step.RunNext, store.Gate{})
	}
	return move(v, at, r, step.Succeeded)
}

// move takes the step of v to a state, with all consequences, and completes r as the record.
func move(v store.View, at step.Time, r store.Record, to step.State) store.Change {
	then := step.Do(0)
	switch {
	case to == v.Step.State: // results only, or nothing of the step
	case r.Cause == operation.RetryFailed.Cause():
		then = step.RunDue
	case to == step.Running, to == step.Waiting:
		then = step.RunAll
	}
	return act(v, at, r, to, then, store.Gate{})
}

// act is move to a state in which the step does something: it begins an attempt, or waits at a gate
// until it may.
func act(v store.View, at step.Time, r store.Record, to step.State, then step.Do, gate store.Gate) store.Change {
	job, s := v.Job, v.Step
	job.Version++
	job.Updated = at
	r.Job, r.Seq, r.At, r.Request, r.Actor = job.ID, job.Version, at, requestOf(job.ID, job.Version), "bob"
	r.Step, r.From, r.To, r.JobFrom = s.ID, s.State, to, job.State
	var batches []store.Batch
	if then == step.RunNext && s.State != step.Gated { // the batch before ends
		s = endBatch(s, at)
		batches = append(batches, batchOf(s, s.Attempt))
	}
	switch {
	case to == step.Gated && gate.Reason != step.NoGate:
		s = wait(s, at, gate)
		job.Finished, r.Gate = 0, gate
	case then != 0:
		s = begin(s, at, then)
		started(&job, at)
		r.Effect, r.Targets = effectOf(s), s.Unfinished
	case to == s.State:
	case to == step.Terminating:
		r.Effect = store.StopAttempt
	default:
		s.Finished, s.Deadline, s.Expires, s.Gate = at, 0, 0, store.Gate{}
	}
	s.State = to
	if s.ID == job.Current {
		job.State = to.OfJob(v.Next.ID == 0)
	}
	if to == step.Skipped {
		job.Skipped++
	}
	if s.Batch > 0 && (r.From != to || s.Attempt != v.Step.Attempt) && !(to == step.Gated && then == step.RunNext) {
		batches = append(batches, batchOf(s, s.Attempt))
	}
	steps := []store.Step{s}
	if to.Passed() && v.Next.ID != 0 {
		next := enter(v.Next, at, gate, &r)
		if next.Batch > 0 {
			batches = append(batches, batchOf(next, next.Attempt))
		}
		job.Current, job.Finished, job.State = next.ID, 0, next.State
		steps = append(steps, next)
	}
	if job.State.Finished() && r.From != to {
		job.Finished, r.Effect = at, store.JobEnded
	}
	for i := range steps {
		steps[i].Due = 0
		if steps[i].ID == job.Current {
			steps[i].Due, job.Gate = dueOf(job, steps[i]), steps[i].Gate.Reason
		}
	}
	r.Attempt, r.Run, r.Succeeded, r.Unfinished, r.JobTo = s.Attempt, s.Run, s.Succeeded, s.Unfinished, job.State
	r.Before, r.Mendable = s.Before, s.Mendable
	if r.Moves() {
		job.Moved = job.Version
	}
	return store.Change{Job: job, Steps: steps, Records: []store.Record{r}, Batches: batches}
}

// endBatch returns s at the end of its batch, after which another begins.
func endBatch(s store.Step, at step.Time) store.Step {
	if s.State == step.Running {
		s.Finished = at
	}
	s.State = step.Succeeded
	if s.Failed() > 0 {
		s.State = step.ErrorIgnored
	}
	return s
}

// started notes in the header that an attempt begins.
func started(job *store.Job, at step.Time) {
	job.Finished = 0
	if job.Started != 0 {
		return
	}
	job.Started = at
	if job.Policy != nil && job.Policy.Timeout > 0 {
		job.Deadline = at.Add(job.Policy.Timeout)
	}
}

// enter returns the step after one that has passed: with its first attempt under way, or at a gate.
func enter(next store.Step, at step.Time, gate store.Gate, r *store.Record) store.Step {
	r.Entered = next.ID
	if gate.Reason != step.NoGate {
		r.Gate = gate
		return wait(next, at, gate)
	}
	next = begin(next, at, step.Enter)
	next.State = entered(next)
	r.Effect, r.Targets = effectOf(next), next.Unfinished
	return next
}

// begin returns s with its next attempt under way.
func begin(s store.Step, at step.Time, then step.Do) store.Step {
	s.Attempt++
	s.Gate, s.Started, s.Finished, s.Deadline = store.Gate{}, at, 0, 0
	switch {
	case then == step.RunNext:
		s.Before += s.Succeeded
		s.Run = store.Run{Full: s.Attempt, First: s.Run.End, End: s.Batches()[s.Batch]}
		s.Batch, s.Succeeded, s.Automatic = s.Batch+1, 0, 0
	case then != step.RunDue:
		s.Run, s.Succeeded = s.Run.Next(s.Attempt, true), 0
	}
	if s.Run.End != 0 && s.Batch == 0 {
		s.Batch = 1
	}
	s.Unfinished = s.Run.Size(s.Total) - s.Succeeded
	if s.Timeout > 0 {
		s.Deadline = at.Add(s.Timeout)
	}
	if s.Policy != nil && s.Policy.TotalTimeout > 0 && s.Expires == 0 {
		s.Expires = at.Add(s.Policy.TotalTimeout)
	}
	return s
}

// wait returns s at a gate.
func wait(s store.Step, at step.Time, gate store.Gate) store.Step {
	if s.State == step.Running || s.State == step.Waiting {
		s.Finished = at
	}
	s.State, s.Gate, s.Deadline = step.Gated, gate, 0
	return s
}

// dueOf returns the first moment that moves s, the current step of job.
func dueOf(job store.Job, s store.Step) (first step.Time) {
	for _, moment := range []step.Time{s.Deadline, s.Expires, s.Gate.Until, job.Deadline} {
		if moment != 0 && (first == 0 || moment < first) && !s.State.Finished() && s.State != step.Pending {
			first = moment
		}
	}
	return first
}

// batchOf returns the row of the batch that s is in, which began in attempt since if it is new.
func batchOf(s store.Step, since int32) store.Batch {
	first, end := s.Run.Window(s.Total)
	return store.Batch{
		Step: s.ID, Number: s.Batch, First: first, End: end, Full: s.Run.Full, Since: since, Attempt: s.Attempt, State: s.State,
		Succeeded: s.Succeeded, Unfinished: s.Unfinished, Started: s.Started, Finished: s.Finished,
	}
}

// entered returns the state in which s is under way.
func entered(s store.Step) step.State {
	if s.Type == step.Confirmation {
		return step.Waiting
	}
	return step.Running
}

// effectOf returns the effect that starts an attempt of s.
func effectOf(s store.Step) store.Effect {
	if s.Type == step.Confirmation {
		return store.AskConfirmers
	}
	return store.RunTargets
}

// then returns a, and b that was decided on the state after a, as one change of two commands. If b
// has targets, they are of the first step of both.
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
	a.Batches = slices.Clone(a.Batches)
	for _, row := range b.Batches {
		if i := slices.IndexFunc(a.Batches, func(old store.Batch) bool { return old.Step == row.Step && old.Number == row.Number }); i >= 0 {
			row.Since, row.Started = a.Batches[i].Since, a.Batches[i].Started
			a.Batches[i] = row
		} else {
			a.Batches = append(a.Batches, row)
		}
	}
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

// A job is the state of one job that a store should hold. It is a value: with makes a new one.
type job struct {
	store.Job
	steps    []store.Step     // as they are read
	payloads []string         // by step
	targets  [][]store.Target // by step and index, the latest results
	results  []map[ran]store.Target
	batches  [][]store.Batch // by step and number
	records  []store.Record
}

// A ran names one target of a step in one attempt.
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
		j.batches = append(j.batches, nil)
		j.payloads = append(j.payloads, spec.Payload)
	}
	j.steps = make([]store.Step, len(c.Specs))
	return j.with(c)
}

// with returns the job after c.
func (j *job) with(c store.Change) *job {
	n := &job{c.Job, slices.Clone(j.steps), j.payloads, slices.Clone(j.targets), slices.Clone(j.results), slices.Clone(j.batches), slices.Concat(j.records, c.Records)}
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
	for _, row := range c.Batches {
		rows := slices.Clone(n.batches[row.Step-1])
		if i := slices.IndexFunc(rows, func(old store.Batch) bool { return old.Number == row.Number }); i >= 0 {
			row.Since, row.Started = rows[i].Since, rows[i].Started
			rows[i] = row
		} else {
			rows = append(rows, row)
		}
		n.batches[row.Step-1] = rows
	}
	return n
}

// view returns the view that a store should return for a step; 0 is the current one.
func (j *job) view(id step.ID, targets ...int32) store.View {
	if id == 0 {
		id = j.Current
	}
	v := store.View{Job: j.Job, Step: j.steps[id-1]}
	v.Turn = j.Policy != nil && j.Policy.Turn.Key != "" // no other job has the key
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

// effects returns all effects of j, as before their first claim.
func (j *job) effects() []store.Delivery {
	var all []store.Delivery
	for _, r := range j.records {
		if d, ok := r.Delivery(j.Scope, j.step(r.Subject())); ok {
			all = append(all, d)
		}
	}
	return all
}

// step returns a step of j, or nil for none.
func (j *job) step(id step.ID) *store.Step {
	if id == 0 {
		return nil
	}
	return &j.steps[id-1]
}

// overdue returns the deadlines of j, by step.
func (j *job) overdue() []store.Overdue {
	var due []store.Overdue
	for _, s := range j.steps {
		if s.Due != 0 {
			due = append(due, store.Overdue{Job: j.ID, Step: s.ID, Attempt: s.Attempt, Due: s.Due})
		}
	}
	return due
}

// claimed returns effects after count claims, the last with a lease until then.
func claimed(effects []store.Delivery, count int32, until step.Time) []store.Delivery {
	effects = slices.Clone(effects)
	for i := range effects {
		effects[i].Count, effects[i].NotBefore, effects[i].Held = count, until, true
	}
	return effects
}

// failed returns an effect after another failed delivery.
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
