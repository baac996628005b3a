package enginetest

import (
	"cmp"
	"fmt"
	"iter"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A move is something that can happen in a state: a command, about a step if it is an
// operation, or one of the two things that happen around a job.
type move struct {
	command engine.Command
	step    step.ID
	around  string // "deliver" or "time passes", if there is no command
}

const (
	deliver    = "the effect that waits is delivered"
	timePasses = "the next moment comes"
)

func (m move) String() string {
	switch c := m.command.(type) {
	case *engine.Create:
		return "the job is created"
	case *engine.Operate:
		if c.Cause.OfJob() {
			return fmt.Sprintf("%s: %v", c.By, c.Cause)
		}
		return fmt.Sprintf("%s: %v %d", cmp.Or(c.By, "anonymous"), c.Cause, m.step)
	case *engine.Report:
		var says []string
		for _, r := range c.Results {
			says = append(says, fmt.Sprintf("target %d %v", r.Target, r.Status))
		}
		if c.Outcome != 0 {
			says = append(says, c.Outcome.String())
		}
		return fmt.Sprintf("report %d.%d: %s", c.Step, c.Attempt, strings.Join(says, ", "))
	case *engine.Expire:
		if c.Window != 0 {
			return fmt.Sprintf("the moment of attempt %d.%d, the window opens at %v", c.Step, c.Attempt, c.Window)
		}
		return fmt.Sprintf("the moment of attempt %d.%d", c.Step, c.Attempt)
	}
	return m.around
}

// operations returns the operations that people try, the same in every state. gated says that the job has
// gates, and holds and stops are tried on it. On jobs of one step
// the anonymous actor tries them as well.
func operations(r *operation.Rules, steps int, gated bool) []move {
	var moves []move
	tried := func(cause step.Cause) bool { // without gates, jobs of one step have tried what moves no state
		move, whole := r.Whole(step.Running, cause)
		stays := cause == operation.StopBefore.Cause() || cause == operation.ClearStop.Cause() || cause == operation.SealJob.Cause()
		return gated || steps == 1 || !stays && !(whole && move.Do.Whole())
	}
	for id := range step.ID(steps) {
		for cause := range r.Causes().All() {
			if cause.OfJob() || !tried(cause) {
				continue
			}
			for _, person := range []string{"ann", "bob", ""}[:max(2, 4-steps)] {
				moves = append(moves, move{step: id + 1, command: &engine.Operate{Cause: cause, Request: engine.Request{By: person}}})
			}
		}
	}
	for cause := range r.Causes().Union(starts).All() {
		if cause.OfJob() && tried(cause) {
			moves = append(moves, move{command: &engine.Operate{Cause: cause, Request: engine.Request{By: "bob", Because: comment(r, cause)}}})
		}
	}
	return moves
}

// comment returns the text that an operation needs, if it is a comment.
func comment(r *operation.Rules, cause step.Cause) string {
	if r.Comments(cause) {
		return "a comment"
	}
	return ""
}

// aside reports whether m is an operation of another person on a step that is not the current one:
// the first reason of its refusal does not depend on the person.
func (m move) aside(current step.ID) bool {
	c, ok := m.command.(*engine.Operate)
	return ok && m.step != 0 && m.step != current && c.By != "ann"
}

// happenings yields the moves of executors, time and delivery in s. It may reuse the moves: a caller
// clones a move to keep it.
func (s *state) happenings(buffer *[]engine.Report) iter.Seq[move] {
	return func(yield func(move) bool) {
		c := s.current()
		expire := func(attempt int32) move {
			return move{command: &engine.Expire{Job: s.job.ID, Step: c.ID, Attempt: attempt}}
		}
		ok := yield(expire(c.Attempt)) && yield(expire(c.Attempt-1))
		if asks := c.Gate.Reason == step.WindowGate || c.Gate.Reason == step.TurnGate; ok && asks {
			open, shut := expire(c.Attempt), expire(c.Attempt)
			open.command.(*engine.Expire).Window, shut.command.(*engine.Expire).Window = s.now, s.now+5000
			ok = yield(open) && yield(shut)
		}
		if next, _ := s.coming(); ok && next != 0 {
			ok = yield(move{around: timePasses})
		}
		if ok && s.effect.Effect != 0 {
			ok = yield(move{around: deliver})
		}
		*buffer = s.reports((*buffer)[:0])
		for i := range *buffer {
			ok = ok && yield(move{command: &(*buffer)[i]})
		}
	}
}

// clone returns m for keeping.
func (m move) clone() move {
	if r, ok := m.command.(*engine.Report); ok {
		own := *r
		m.command = &own
	}
	return m
}

// news has the results of reports on an attempt that is under way.
var news = func() (all [][]engine.TargetResult) {
	statuses := []step.Status{step.TargetRunning, step.TargetSucceeded, step.NonZeroExit}
	for _, first := range statuses {
		all = append(all, []engine.TargetResult{say(0, first)}, []engine.TargetResult{say(1, first)})
		for _, second := range statuses[1:] {
			all = append(all, []engine.TargetResult{say(0, first), say(1, second)})
		}
	}
	return append(all, []engine.TargetResult{say(0, step.TargetSucceeded), say(0, step.NonZeroExit)}) // contradicts itself
}()

var (
	oneSucceeds  = []engine.TargetResult{say(0, step.TargetSucceeded)}
	oneOfTwo     = []engine.TargetResult{say(0, step.TargetSucceeded), say(1, step.NonZeroExit)}
	bothSucceed  = []engine.TargetResult{say(0, step.TargetSucceeded), say(1, step.TargetSucceeded)}
	endsOutcomes = []step.Cause{step.Stopped, step.Broke, step.Dropped}
)

func say(target int32, status step.Status) engine.TargetResult {
	return engine.TargetResult{Target: target, Result: store.Result{Status: status}}
}

// reports appends the reports of executors: all on an attempt that an executor was told of, and those
// on other attempts, which must not count.
func (s *state) reports(all []engine.Report) []engine.Report {
	c := s.current()
	about := func(id step.ID, attempt int32, outcome step.Cause, results []engine.TargetResult) {
		all = append(all, engine.Report{Job: s.job.ID, Step: id, Attempt: attempt, Outcome: outcome, Results: results})
	}
	stale := func(id step.ID, attempt int32) {
		if attempt > 0 {
			about(id, attempt, step.Broke, nil)
			if len(s.targets[id-1]) > 0 {
				about(id, attempt, 0, oneSucceeds)
			}
		}
	}
	stale(c.ID, c.Attempt-1)
	stale(c.ID, c.Attempt+1)
	if c.ID > 1 {
		stale(c.ID-1, s.steps[c.ID-2].Attempt)
	}
	if int(c.ID) < len(s.steps) {
		stale(c.ID+1, 1)
	}
	if c.Attempt == 0 || c.State.Attempting() && !s.known && c.Total > 0 {
		return all
	}
	for _, outcome := range endsOutcomes {
		about(c.ID, c.Attempt, outcome, nil)
	}
	if c.Total > 0 {
		for _, results := range news {
			about(c.ID, c.Attempt, 0, results)
		}
		about(c.ID, c.Attempt, step.Stopped, oneOfTwo)
		about(c.ID, c.Attempt, step.Broke, bothSucceed)
	}
	return all
}
