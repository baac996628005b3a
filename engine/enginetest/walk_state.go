package enginetest

import (
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// state is one state of a job with its effect, its executor, and the way to it.
type state struct {
	job     store.Job
	steps   []store.Step
	targets [][]store.Target
	batches []store.Batch // that have begun, by step and number
	oracle  *model.Job

	effect  store.Delivery // that waits for delivery and is needed; its Effect is 0 if there is none
	known   bool           // an executor was told of the current attempt
	stopped bool           // told to terminate, and no person has operated on it since
	now     step.Time

	parent int32          // the state before; -1 for the first
	by     move           // that led here
	made   []store.Record // by the move; two if a deadline had passed
	depth  int
}

func (s *state) current() *store.Step { return &s.steps[s.job.Current-1] }

// overdue reports whether a deadline of the attempt, the step or the job has passed.
func (s *state) overdue() bool {
	c := s.current()
	if !c.State.Active() {
		return false
	}
	for i, t := range s.moments() {
		if i < 3 && t != 0 && t <= s.now {
			return true
		}
	}
	return false
}

// moments returns the deadlines of the attempt, the step and the job, and the moment of the gate; 0 for none.
func (s *state) moments() [4]step.Time {
	c := s.current()
	m := [4]step.Time{c.Deadline, c.Expires, s.job.Deadline, c.Gate.Until}
	if c.State == step.Terminating {
		m[2] = 0
	}
	return m
}

// coming returns the first moment that has not come, and whether it is the gate's; 0 for none.
func (s *state) coming() (next step.Time, gate bool) {
	if !s.current().State.Active() {
		return 0, false
	}
	for i, t := range s.moments() {
		if t > s.now && (next == 0 || t <= next) {
			next, gate = t, i == 3
		}
	}
	return next, gate
}

// view returns the view that a store would return of a step and all its targets.
func (s *state) view(id step.ID) store.View {
	v := store.View{Job: s.job, Step: s.steps[id-1], Targets: s.targets[id-1]}
	if int(id) < len(s.steps) {
		v.Next = s.steps[id]
	}
	return v
}

// key tells states apart, see [Walk].
type key struct {
	passed  [8]step.State // of the steps before the current one
	current step.ID
	state   step.State
	job     step.State
	attempt int32 // of the current step, up to the number that is told apart
	targets [2]standing
	sealed  bool
	pending store.Effect
	known   bool
	stopped bool
	held    bool
	marks   uint8 // steps from the current one on with a stop before them

	gate      step.GateReason
	then      step.Do
	batch     int32
	before    int32
	accepted  int32
	automatic int32
	mendable  bool
	left      [4]step.Time // of each moment: 0 for none, -1 once it has come
}

// standing is the state of a target in the current attempt of its step.
type standing uint8

const (
	standsDue      standing = iota
	standsDueAgain          // it has succeeded before all had to run again
	standsRunning
	standsFailed
	standsSucceeded
	standsEarlier // succeeded in an earlier attempt and was not run again
)

func standingOf(s *store.Step, t store.Target) standing {
	switch {
	case !s.Run.Has(t.Index) && t.Success > 0:
		return standsEarlier
	case !s.Run.Has(t.Index):
		return standsDue
	case !s.Run.Due(t) && t.Attempt == s.Attempt:
		return standsSucceeded
	case !s.Run.Due(t):
		return standsEarlier
	case t.Attempt < s.Attempt && t.Success > 0:
		return standsDueAgain
	case t.Attempt < s.Attempt:
		return standsDue
	case t.Status.Finished():
		return standsFailed
	}
	return standsRunning
}

// key returns the key of s, given the number of attempts that are different states.
func (s *state) key(attempts int) key {
	current := s.current()
	k := key{
		current: s.job.Current, state: current.State, job: s.job.State, sealed: s.job.Sealed, pending: s.effect.Effect,
		attempt: min(current.Attempt, int32(attempts)),
		known:   s.known, stopped: s.stopped, held: s.job.Held,
		gate: current.Gate.Reason, then: current.Gate.Then, batch: current.Batch, before: current.Before,
		accepted: current.Accepted, automatic: current.Automatic, mendable: current.Mendable,
	}
	for i, t := range s.moments() {
		switch {
		case t > s.now:
			k.left[i] = t - s.now
		case t != 0:
			k.left[i] = -1
		}
	}
	for i := range s.steps {
		if s.steps[i].StopBefore && s.steps[i].Attempt == 0 && !s.steps[i].State.Passed() {
			k.marks |= 1 << i
		}
	}
	for i, before := range s.steps[:s.job.Current-1] {
		k.passed[i] = before.State
	}
	for i, t := range s.targets[s.job.Current-1] {
		k.targets[i] = standingOf(current, t)
		if attempts == 1 && k.targets[i] == standsDueAgain {
			k.targets[i] = standsDue
		}
	}
	if current.Run.End == 0 { // else targets of different batches differ
		slices.Sort(k.targets[:])
	}
	return k
}

// after returns the state after a change, without the oracle.
func (s *state) after(c *store.Change) *state {
	next := &state{
		job: c.Job, steps: slices.Clone(s.steps), targets: s.targets, effect: s.effect, known: s.known,
		batches: s.batches, stopped: s.stopped, now: s.now, made: slices.Clone(c.Records),
	}
	for _, changed := range c.Steps {
		next.steps[changed.ID-1] = changed
	}
	if len(c.Targets) > 0 {
		id := c.Steps[0].ID
		next.targets = slices.Clone(s.targets)
		rows := slices.Clone(s.targets[id-1])
		for _, t := range c.Targets {
			t.Name = rows[t.Index].Name
			rows[t.Index] = t
		}
		next.targets[id-1] = rows
	}
	for _, b := range c.Batches {
		next.batches = upsert(next.batches, b)
	}
	before, now := s.current(), next.current()
	if now.ID != before.ID || now.Attempt != before.Attempt {
		next.known = false
	}
	for i := range c.Records {
		switch r := &c.Records[i]; {
		case r.Cause == operation.TerminateJob.Cause() || r.Cause == step.JobExpired:
			next.stopped = true
		case byPerson(r) && r.From != r.To:
			next.stopped = false
		}
		if d, ok := c.Delivery(&c.Records[i]); ok {
			next.effect = d
		}
	}
	next.settleUnneeded()
	return next
}

// upsert returns rows with a row more, or in the place of its last version. Since and Started of a row
// never change.
func upsert(rows []store.Batch, row store.Batch) []store.Batch {
	rows = slices.Clone(rows)
	for i := range rows {
		if rows[i].Step == row.Step && rows[i].Number == row.Number {
			row.Since, row.Started = rows[i].Since, rows[i].Started
			rows[i] = row
			return rows
		}
	}
	row.Since = row.Attempt // as a store does
	return append(rows, row)
}

// settleUnneeded removes an effect without further consequences: an obsolete one, a stop of a stopped
// attempt, and the end of a job.
func (s *state) settleUnneeded() {
	switch d := s.effect; {
	case d.Effect == 0:
	case d.Effect == store.JobEnded,
		d.Effect == store.StopAttempt && s.steps[d.Step-1].State != step.Terminating,
		engine.Obsolete(d, s.steps[d.Step-1]):
		s.effect = store.Delivery{}
	}
}
