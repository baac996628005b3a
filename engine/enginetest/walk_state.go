package enginetest

import (
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// state is one state of a job with what is under way around it, and how it was reached.
type state struct {
	job     store.Job
	steps   []store.Step
	targets [][]store.Target
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

// overdue reports whether the deadline of the current attempt has passed.
func (s *state) overdue() bool {
	deadline := s.current().Deadline
	return deadline != 0 && deadline <= s.now
}

// view is what a store would show of a step and of all its targets.
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
	overdue bool
}

// standing is how a target stands in the current attempt of its step.
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

// key returns what tells s apart if so many attempts are.
func (s *state) key(attempts int) key {
	current := s.current()
	k := key{
		current: s.job.Current, state: current.State, job: s.job.State, sealed: s.job.Sealed, pending: s.effect.Effect,
		attempt: min(current.Attempt, int32(attempts)),
		known:   s.known, stopped: s.stopped, overdue: s.overdue(),
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
	slices.Sort(k.targets[:])
	return k
}

// after returns the state that a change leaves, but for the oracle.
func (s *state) after(c *store.Change) *state {
	next := &state{
		job: c.Job, steps: slices.Clone(s.steps), targets: s.targets, effect: s.effect, known: s.known,
		stopped: s.stopped, now: s.now, made: slices.Clone(c.Records),
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
	before, now := s.current(), next.current()
	if now.ID != before.ID || now.Attempt != before.Attempt {
		next.known = false
	}
	for i := range c.Records {
		switch r := &c.Records[i]; {
		case r.Cause == operation.TerminateJob.Cause():
			next.stopped = true
		case byPerson(r):
			next.stopped = false
		}
		if d, ok := c.Delivery(&c.Records[i]); ok {
			next.effect = d
		}
	}
	next.settleUnneeded()
	return next
}

// settleUnneeded forgets an effect that leads nowhere any more: an obsolete one, a stop of
// what has stopped, and the end of a job, which nobody answers.
func (s *state) settleUnneeded() {
	switch d := s.effect; {
	case d.Effect == 0:
	case d.Effect == store.JobEnded,
		d.Effect == store.StopAttempt && s.steps[d.Step-1].State != step.Terminating,
		engine.Obsolete(d, s.steps[d.Step-1]):
		s.effect = store.Delivery{}
	}
}
