package enginetest

import (
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// evidence is a snapshot and what its history says, worked out once for all invariants.
type evidence struct {
	*Snapshot
	table *operation.Table
	whole bool   // there is a header, a definition and a row for every step
	lines []line // the records after the creation, up to the first that is not about the step under way
	last  stand  // where the current step stands after lines
	at    step.ID
}

// line is a record, where the job stood before it, where its step stands after it, and what
// the rows of the rules have to say.
type line struct {
	*store.Record
	spec   *step.Spec
	before stand
	after  stand
	move   operation.Move // what the row says that it is of: To is where it leads, 0 if nowhere
}

// stand is where a step stands, as the records up to some moment have it.
type stand struct {
	state      step.State
	attempt    int32
	run        store.Run
	succeeded  int32
	unfinished int32
	started    step.Time // of the last attempt
	finished   step.Time // when the last attempt ended, 0 while it is under way
}

// weigh works out what the history of s says, into the memory of lines.
func weigh(s *Snapshot, table *operation.Table, lines []line) evidence {
	n := len(s.Spec.Steps)
	e := evidence{Snapshot: s, table: table, lines: lines, last: stand{state: step.Pending, run: store.FirstRun}, at: 1}
	e.whole = n > 0 && len(s.Steps) == n && len(s.Targets) == n && len(s.History) > 0 && s.Job.Current >= 1 && int64(s.Job.Current) <= int64(n)
	if !e.whole {
		return e
	}
	if lines == nil {
		e.lines = make([]line, 0, len(s.History)-1)
	}
	for i := 1; i < len(s.History); i++ {
		r := &s.History[i]
		if r.Step != e.at || e.at > step.ID(n) {
			break
		}
		l := line{Record: r, spec: &s.Spec.Steps[r.Step-1], before: e.last}
		l.move = e.ruled(&l)
		l.after = l.left()
		e.last = l.after
		if r.Entered != 0 {
			e.at = r.Entered
			e.last = stand{state: step.Running, attempt: 1, run: store.FirstRun, started: r.At}
			if r.Effect == store.AskConfirmers {
				e.last.state = step.Waiting
			}
			if next := int64(r.Entered); next >= 1 && next <= int64(n) {
				e.last.unfinished = int32(len(s.Spec.Steps[next-1].Targets))
			}
		}
		e.lines = append(e.lines, l)
	}
	return e
}

// begins reports whether l starts an attempt of its own step.
func (l *line) begins() bool {
	return l.Entered == 0 && (l.Effect == store.RunTargets || l.Effect == store.AskConfirmers)
}

// left returns where l leaves its step.
func (l *line) left() stand {
	s := l.before
	switch {
	case l.begins():
		s.attempt++
		s.started, s.finished = l.At, 0
		s.run = l.Run
	case !s.state.Finished() && l.To.Finished():
		s.finished = l.At
	}
	s.state, s.succeeded, s.unfinished = l.To, l.Succeeded, l.Unfinished
	return s
}

// byPerson, byReport and byTime report what made a record, unless it created the job or is a person's
// about an effect.
func byPerson(r *store.Record) bool { return r.Cause.OfStep() || r.Cause.OfJob() }

func byReport(r *store.Record) bool {
	return r.Cause == step.Results || r.Cause.IsEvent() && !byTime(r) && r.Cause != step.Entered
}

func byTime(r *store.Record) bool { return r.Cause == step.Expired || r.Cause == step.ExpiredConfirmed }

// ruled returns what the rows of the rules say of l: of the rows on an operation the first that
// fits, those for the whole job last. What moves no state leads to where it starts.
func (e *evidence) ruled(l *line) operation.Move {
	switch {
	case !l.Moves():
		return operation.Move{To: l.From}
	case !byPerson(l.Record):
		return e.leads(l.spec.Type, l.From, l.Cause)
	}
	for i := range e.table.Rows {
		if row := &e.table.Rows[i]; row.Cause == l.Cause && row.On.Has(l.spec.Type) && row.From.Has(l.From) {
			return operation.Move{To: row.To, Do: row.Do, Guard: row.Guard}
		}
	}
	for i := range e.table.Rows {
		if row := &e.table.Rows[i]; row.Cause == l.Cause && row.On.Empty() && row.From.Has(l.JobFrom) {
			return operation.Move{To: l.From, Do: row.Do, Guard: row.Guard}
		}
	}
	return operation.Move{}
}

// leads returns what the lifecycle of a type says of an event; To is 0 if it leads nowhere.
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
