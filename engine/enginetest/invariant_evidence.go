package enginetest

import (
	"cmp"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// evidence is a snapshot with the states that follow from its history, computed once for all
// invariants.
type evidence struct {
	*Snapshot
	table *operation.Table
	whole bool   // header, definition and a row for every step are present
	lines []line // the records after the creation, up to the first that is not about the step under way
	last  stand  // of the current step after lines
	at    step.ID
	held  bool // the job is on hold after lines
}

// line is a record with the state of the job before it, the state of its step after it, and the
// row of the rules for it.
type line struct {
	*store.Record
	spec   *step.Spec
	before stand
	after  stand
	move   operation.Move // of its row: To is 0 without a row
	held   bool           // the job is on hold, after
}

// stand is the state of a step after the records up to some moment.
type stand struct {
	state      step.State
	attempt    int32
	run        store.Run
	succeeded  int32
	unfinished int32
	started    step.Time // of the last attempt
	finished   step.Time // when the last attempt ended, 0 while it is under way
	expires    step.Time // the end of the time over all attempts
	gate       store.Gate
	earlier    int32 // number of targets of earlier batches that have succeeded
	accepted   int32 // number of failures that a person has accepted
	automatic  int32 // number of attempts of the batch by itself since a person's
	mendable   bool
}

// weigh computes the evidence of s, in the memory of lines.
func weigh(s *Snapshot, table *operation.Table, lines []line) evidence {
	n := len(s.Spec.Steps)
	e := evidence{Snapshot: s, table: table, lines: lines, at: 1}
	e.whole = n > 0 && len(s.Steps) == n && len(s.Targets) == n && len(s.History) > 0 && s.Job.Current >= 1 && int64(s.Job.Current) <= int64(n)
	if !e.whole {
		return e
	}
	e.last = e.pending(1)
	if lines == nil {
		e.lines = make([]line, 0, len(s.History)-1)
	}
	for i := 1; i < len(s.History); i++ {
		r := &s.History[i]
		l := line{Record: r}
		switch {
		case r.Step < 1 || r.Step > step.ID(n):
			return e
		case r.Step == e.at:
			l.spec, l.before = &s.Spec.Steps[r.Step-1], e.last
		case r.Step > e.at && r.Entered == 0: // a stop is set or cleared ahead
			l.spec, l.before = &s.Spec.Steps[r.Step-1], e.pending(r.Step)
		default:
			return e
		}
		l.move = e.ruled(&l)
		switch {
		case r.Step != e.at && !l.move.Do.Stays():
			return e
		case l.move.Do == step.Hold:
			e.held = true
		case l.move.Do == step.Release, l.move.Do == step.Open && l.Cause.OfJob():
			e.held = false
		}
		l.held = e.held
		l.after = l.left()
		if r.Step == e.at {
			e.last = l.after
		}
		if r.Entered != 0 {
			e.at = r.Entered
			e.last = e.entered(r)
		}
		e.lines = append(e.lines, l)
	}
	return e
}

// pending returns the stand of a step that has not been entered.
func (e *evidence) pending(id step.ID) stand {
	if id < 1 || int64(id) > int64(len(e.Spec.Steps)) {
		return stand{state: step.Pending, run: store.FirstRun}
	}
	return stand{state: step.Pending, run: store.FirstRunOf(&e.Spec.Steps[id-1])}
}

// entered returns the stand of the step that r enters.
func (e *evidence) entered(r *store.Record) stand {
	if int64(r.Entered) < 1 || int64(r.Entered) > int64(len(e.Spec.Steps)) {
		return stand{state: step.Running}
	}
	s, spec := e.pending(r.Entered), &e.Spec.Steps[r.Entered-1]
	if r.Gate.Reason != step.NoGate {
		s.state, s.gate = step.Gated, r.Gate
		return s
	}
	s.state, s.attempt, s.started, s.unfinished = step.Running, 1, r.At, s.run.Size(int32(len(spec.Targets)))
	if r.Effect == store.AskConfirmers {
		s.state = step.Waiting
	}
	if spec.TotalTimeout > 0 {
		s.expires = r.At.Add(spec.TotalTimeout)
	}
	return s
}

// begins reports whether l starts an attempt of its own step.
func (l *line) begins() bool {
	return l.Entered == 0 && (l.Effect == store.RunTargets || l.Effect == store.AskConfirmers)
}

// gates reports whether l's own step waits at a gate in consequence.
func (l *line) gates() bool { return l.Entered == 0 && l.Gate.Reason != step.NoGate }

// stays reports whether l moves no step: it is about an effect, the whole job, or a stop before a step.
func (l *line) stays() bool {
	return l.Cause.OfEffect() || l.move.Do.Whole() || l.move.Do.Stays()
}

// total returns the number of targets of l's step.
func (l *line) total() int32 { return int32(len(l.spec.Targets)) }

// then returns what a start by l does: the next attempt of its step, after a gate or at once.
func (l *line) then() step.Do {
	switch l.move.Do {
	case step.Open, step.Hold: // a hold takes a job out of the queue for a turn
		return l.before.gate.Then
	case step.Accept:
		return step.RunNext
	}
	return l.move.Do
}

// unsuccessful returns the number of targets, of all batches so far, that have not succeeded when a report
// or a person ends l's attempt or accepts it.
func (l *line) unsuccessful() int32 {
	s, total := l.before, l.total()
	succeeded := l.Succeeded
	if l.begins() && l.then() == step.RunNext {
		succeeded = l.Before - s.earlier
	}
	_, end := s.run.Window(total)
	return end - s.earlier - succeeded
}

// batchLeft reports whether a batch of l's step has not begun before l.
func (l *line) batchLeft() bool {
	return l.before.run.End != 0 && (l.before.run.End < l.total() || l.before.attempt == 0)
}

// left returns the stand of l's step after l.
func (l *line) left() stand {
	s := l.before
	accepts := l.move.Do == step.Accept && l.Cause.OfStep() || l.move.Do == step.RunNext
	if accepts && s.attempt > 0 {
		s.accepted = l.unsuccessful()
	}
	switch l.move.Do {
	case step.Enter, step.RunDue, step.RunAll, step.Ask:
		if s.automatic++; byPerson(l.Record) {
			s.automatic = 0
		}
	}
	switch {
	case l.begins():
		if l.then() == step.RunNext && s.attempt > 0 {
			s.automatic = 0
		}
		s.attempt++
		s.started, s.finished = l.At, 0
		s.run = l.Run
		s.accepted = min(s.accepted, l.Run.First-l.Before)
		s.gate = store.Gate{}
		if l.spec.TotalTimeout > 0 && s.expires == 0 {
			s.expires = l.At.Add(l.spec.TotalTimeout)
		}
	case s.state.Attempting() && !l.To.Attempting():
		s.finished = l.At
	}
	switch {
	case l.gates():
		s.gate = l.Gate
	case l.To.Finished() && !l.From.Finished():
		s.gate, s.expires = store.Gate{}, 0
	}
	s.state, s.succeeded, s.unfinished, s.earlier, s.mendable = l.To, l.Succeeded, l.Unfinished, l.Before, l.Mendable
	return s
}

// byPerson, byReport and byTime report what made a record, unless it created the job or is a person's
// about an effect.
func byPerson(r *store.Record) bool { return r.Cause.OfStep() || r.Cause.OfJob() }

func byReport(r *store.Record) bool {
	return r.Cause == step.Results || r.Cause.IsEvent() && !byTime(r) && r.Cause != step.Entered
}

func byTime(r *store.Record) bool {
	return r.Cause == step.Expired || r.Cause == step.ExpiredConfirmed || r.Cause == step.JobExpired || r.Cause == step.Opened
}

// ruled returns the move of the row for l: for an operation, the first row that fits, with rows for
// the whole job last. A row that moves no state leads to its start.
func (e *evidence) ruled(l *line) operation.Move {
	switch {
	case l.Cause == step.Results || l.Cause.OfEffect():
		return operation.Move{To: l.From}
	case !byPerson(l.Record):
		return e.leads(l.spec.Type, l.From, l.Cause)
	}
	var onStep, whole *operation.Row
	for i := range e.table.Rows {
		switch row := &e.table.Rows[i]; {
		case row.Cause != l.Cause:
		case row.On.Has(l.spec.Type) && row.From.Has(l.From) && onStep == nil:
			onStep = row
		case row.On.Empty() && row.From.Has(l.JobFrom):
			whole = row
		}
	}
	switch {
	case onStep != nil && (whole == nil || l.meets(onStep.Guard)):
		return operation.Move{To: cmp.Or(onStep.To, l.From), Do: onStep.Do, Guard: onStep.Guard}
	case whole != nil:
		return operation.Move{To: l.From, Do: whole.Do, Guard: whole.Guard}
	}
	return operation.Move{}
}

// meets reports whether a guard on l's step admits it.
func (l *line) meets(g operation.Guard) bool {
	switch g {
	case operation.SomeDue:
		return l.before.succeeded < l.before.run.Size(l.total())
	case operation.Approver:
		return l.spec.Confirmers == nil || slices.Contains(l.spec.Confirmers, l.Actor)
	case operation.Waivable:
		return l.before.gate.Reason.Waivable()
	case operation.GatedByHold:
		return l.before.gate.Reason == step.HoldGate
	case operation.BatchLeft:
		return l.batchLeft()
	}
	return true
}

// leads returns the move of an event in the lifecycle of a type; To is 0 if it leads nowhere.
func (e *evidence) leads(t step.Type, from step.State, event step.Cause) operation.Move {
	for i := range e.table.Kinds {
		if e.table.Kinds[i].Type != t {
			continue
		}
		for k := range e.table.Kinds[i].Lifecycle {
			if row := &e.table.Kinds[i].Lifecycle[k]; row.Cause == event && row.From.Has(from) {
				return operation.Move{To: row.To, Do: row.Do}
			}
		}
	}
	return operation.Move{}
}

// isLast reports whether no step follows.
func (e *evidence) isLast(id step.ID) bool { return int64(id) == int64(len(e.Steps)) }
