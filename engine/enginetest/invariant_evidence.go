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
	to     step.State      // where the rows lead, 0 if nowhere
	guard  operation.Guard // of the row
}

// stand is where a step stands, as the records up to some moment have it.
type stand struct {
	state      step.State
	attempt    int32
	full       int32 // the attempt that last covered all targets
	succeeded  int32
	unfinished int32
	started    step.Time // of the last attempt
	finished   step.Time // when the last attempt ended, 0 while it is under way
}

// weigh works out what the history of s says, into the memory of lines.
func weigh(s *Snapshot, table *operation.Table, lines []line) evidence {
	n := len(s.Spec.Steps)
	e := evidence{Snapshot: s, table: table, lines: lines, last: stand{state: step.Pending}, at: 1}
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
		l.to, l.guard = e.ruled(&l)
		l.after = l.left()
		e.last = l.after
		if r.Entered != 0 {
			e.at = r.Entered
			e.last = stand{state: step.Running, attempt: 1, full: 1, started: r.At}
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
		if l.All {
			s.full = s.attempt
		}
	case !s.state.Finished() && l.To.Finished():
		s.finished = l.At
	}
	s.state, s.succeeded, s.unfinished = l.To, l.Succeeded, l.Unfinished
	return s
}

// ruled returns where the rows of the rules have l lead, 0 if nowhere, and its guard.
func (e *evidence) ruled(l *line) (step.State, operation.Guard) {
	switch {
	case l.Kind == store.Operated:
		for i := range e.table.Rows {
			if row := &e.table.Rows[i]; row.Code == l.Code && row.On.Has(l.spec.Type) && row.From.Has(l.From) {
				return row.To, row.Guard
			}
		}
	case l.Kind == store.JobOperated:
		for i := range e.table.Job {
			if row := &e.table.Job[i]; row.Code == l.JobCode && row.On.Has(l.spec.Type) && row.From.Has(l.From) {
				return row.To, operation.Unguarded
			}
		}
	case l.Kind == store.Reported && l.Event == 0:
		return l.From, operation.Unguarded
	case l.Kind == store.Reported || l.Kind == store.Expired:
		return e.leads(l.spec.Type, l.From, l.Event), operation.Unguarded
	}
	return 0, operation.Unguarded
}

// leads returns where the lifecycle of a type has an event lead, 0 if nowhere.
func (e *evidence) leads(t step.Type, from step.State, event step.Event) step.State {
	for i := range e.table.Kinds {
		if e.table.Kinds[i].Type != t {
			continue
		}
		for k := range e.table.Kinds[i].Lifecycle {
			if row := &e.table.Kinds[i].Lifecycle[k]; row.On == event && row.From.Has(from) {
				return row.To
			}
		}
	}
	return 0
}

// isLast reports whether no step follows.
func (e *evidence) isLast(id step.ID) bool { return int64(id) == int64(len(e.Steps)) }
