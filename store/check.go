package store

import (
	"cmp"
	"fmt"

	"github.com/stepgate/stepgate/step"
)

// malformed is an error that is [ErrMalformed] and [ErrUndone].
type malformed struct {
	job JobID
	why string
}

func (m *malformed) Error() string {
	return fmt.Sprintf("store: malformed change of job %d: %s", m.job, m.why)
}

func (m *malformed) Is(target error) bool { return target == ErrMalformed || target == ErrUndone }

// states has all that are declared.
var states = step.StatesOf(step.AllStates()...)

// Check returns nil, or an error that is [ErrMalformed] and says what no job could take: a change
// that contradicts itself. Every store asks it before it does anything.
//
// It needs no base to compare with: the header and the steps of a change carry what never changes
// of them, as the view told it, and so a change names itself the steps that there are and the
// targets that they have. A store takes these at their word and never writes them again. It is
// O(of what c holds), and allocates nothing for a change that is well-formed, unless its
// steps or targets are not in ascending order.
func (c *Change) Check() error {
	why := c.header()
	if why == "" {
		why = c.history()
	}
	switch {
	case why != "":
	case c.Job.Version == Seq(len(c.Records)):
		why = c.definitions()
	default:
		why = c.stepsOfJob()
	}
	if why == "" {
		why = c.standings()
	}
	if why == "" {
		why = c.results()
	}
	if why != "" {
		return &malformed{c.Job.ID, why}
	}
	return nil
}

// header says what is wrong with the header and its version.
func (c *Change) header() string {
	j := &c.Job
	switch {
	case j.ID < 1 || j.ID > MaxJobID:
		return fmt.Sprintf("id %d, want 1 to %d", j.ID, MaxJobID)
	case len(c.Records) == 0:
		return "no record, want at least one"
	case j.Version < Seq(len(c.Records)):
		return fmt.Sprintf("version %d with %d records, want no more than the version", j.Version, len(c.Records))
	case !states.Has(j.State):
		return fmt.Sprintf("state %d, want one that is declared", j.State)
	case j.Moved < 0 || j.Moved > j.Version:
		return fmt.Sprintf("moved in version %d, want at most %d, its own", j.Moved, j.Version)
	case j.Current < 1 || j.Current > step.ID(j.Steps):
		return fmt.Sprintf("current step %d, want 1 to %d", j.Current, j.Steps)
	case j.Skipped < 0 || j.Ignored < 0 || int64(j.Skipped)+int64(j.Ignored) > int64(j.Steps):
		return fmt.Sprintf("%d steps skipped and %d ignored, want at most %d", j.Skipped, j.Ignored, j.Steps)
	}
	return ""
}

// history says what is wrong with the records: each follows the one before it, and the header is
// that of the last.
func (c *Change) history() string {
	j := &c.Job
	first := j.Version - Seq(len(c.Records)) + 1
	for i := range c.Records {
		r := &c.Records[i]
		seq := first + Seq(i)
		switch {
		case r.Job != j.ID:
			return fmt.Sprintf("record %d is of job %d", seq, r.Job)
		case r.Seq != seq:
			return fmt.Sprintf("record %d in the place of record %d", r.Seq, seq)
		case (r.Cause == step.Created) != (seq == 1):
			return fmt.Sprintf("record %d is %v, want the first one and no other created", seq, r.Cause)
		case !stateOrNone(r.From) || !stateOrNone(r.To) || !stateOrNone(r.JobFrom) || !states.Has(r.JobTo):
			return fmt.Sprintf("record %d leads from state %d to %d, the job from %d to %d, want declared ones", seq, r.From, r.To, r.JobFrom, r.JobTo)
		case r.Effect > JobEnded:
			return fmt.Sprintf("record %d has effect %d, want one that is declared", seq, r.Effect)
		case i > 0 && r.JobFrom != c.Records[i-1].JobTo:
			return fmt.Sprintf("record %d leads the job from %v, want from %v, where the one before it led", seq, r.JobFrom, c.Records[i-1].JobTo)
		case i > 0 && r.At < c.Records[i-1].At:
			return fmt.Sprintf("record %d is of time %d, want none before %d, that of the one before it", seq, r.At, c.Records[i-1].At)
		}
	}
	last := &c.Records[len(c.Records)-1]
	switch {
	case last.JobTo != j.State:
		return fmt.Sprintf("state %v, want %v, where the last record led", j.State, last.JobTo)
	case last.At != j.Updated:
		return fmt.Sprintf("updated at %d, want %d, the time of the last record", j.Updated, last.At)
	}
	for i := range c.Records[1:] {
		r := &c.Records[i+1]
		for before := range c.Records[:i+1] {
			if r.Request == c.Records[before].Request && r.Request != (RequestID{}) {
				return fmt.Sprintf("records %d and %d of request %v", c.Records[before].Seq, r.Seq, r.Request)
			}
		}
	}
	return ""
}

func stateOrNone(s step.State) bool { return s == 0 || states.Has(s) }

// definitions says what is wrong with the steps of a creation: they are all there, in order, and
// as they are defined.
func (c *Change) definitions() string {
	switch {
	case len(c.Steps) != len(c.Specs):
		return fmt.Sprintf("%d steps and %d definitions, want as many", len(c.Steps), len(c.Specs))
	case len(c.Steps) != int(c.Job.Steps):
		return fmt.Sprintf("%d steps, want %d, as the header says", len(c.Steps), c.Job.Steps)
	case len(c.Targets) > 0:
		return "results in a creation, want none"
	}
	for i := range c.Steps {
		s, spec := &c.Steps[i], &c.Specs[i]
		switch {
		case s.ID != step.ID(i+1):
			return fmt.Sprintf("step %d in the place of step %d", s.ID, i+1)
		case int(s.Total) != len(spec.Targets):
			return fmt.Sprintf("step %d of %d targets, want %d, as it is defined", s.ID, s.Total, len(spec.Targets))
		case s.Type != spec.Type || s.Name != spec.Name || s.IgnoreErrors != spec.IgnoreErrors || s.OnTimeout != spec.OnTimeout ||
			s.Timeout != spec.Timeout || s.Payload != spec.Payload || !are(s.Confirmers, spec.Confirmers):
			return fmt.Sprintf("step %d is not as it is defined", s.ID)
		}
	}
	return ""
}

// stepsOfJob says what is wrong with the steps of a change of a job that exists.
func (c *Change) stepsOfJob() string {
	if len(c.Specs) > 0 {
		return "definitions of steps, want them in the creation alone"
	}
	for i := range c.Steps {
		if id := c.Steps[i].ID; id < 1 || id > step.ID(c.Job.Steps) {
			return fmt.Sprintf("step %d, want 1 to %d", id, c.Job.Steps)
		}
	}
	if i, twice := repeated(c.Steps, func(s *Step) step.ID { return s.ID }); twice {
		return fmt.Sprintf("step %d twice", c.Steps[i].ID)
	}
	return ""
}

// standings says what is wrong with where the steps stand.
func (c *Change) standings() string {
	for i := range c.Steps {
		s := &c.Steps[i]
		switch {
		case !states.Has(s.State):
			return fmt.Sprintf("step %d in state %d, want one that is declared", s.ID, s.State)
		case s.Attempt < 0 || s.Run.Full < 1 || s.Run.Full > max(s.Attempt, 1):
			return fmt.Sprintf("step %d in attempt %d, which covers all since attempt %d", s.ID, s.Attempt, s.Run.Full)
		case s.Total < 0 || s.Succeeded < 0 || s.Unfinished < 0:
			return fmt.Sprintf("step %d with %d targets, %d succeeded and %d unfinished", s.ID, s.Total, s.Succeeded, s.Unfinished)
		}
	}
	return ""
}

// results says what is wrong with the results.
func (c *Change) results() string {
	if len(c.Targets) == 0 {
		return ""
	}
	if len(c.Steps) == 0 {
		return "results without a step"
	}
	s := &c.Steps[0]
	for i := range c.Targets {
		t := &c.Targets[i]
		switch {
		case t.Index < 0 || t.Index >= s.Total:
			return fmt.Sprintf("a result of target %d of step %d, which has %d", t.Index, s.ID, s.Total)
		case t.Attempt < 1 || t.Attempt > s.Attempt:
			return fmt.Sprintf("a result of target %d in attempt %d of step %d, want 1 to %d", t.Index, t.Attempt, s.ID, s.Attempt)
		case t.Success < 0 || t.Success > t.Attempt:
			return fmt.Sprintf("a result of target %d in attempt %d, its latest success in attempt %d", t.Index, t.Attempt, t.Success)
		case t.Name != "":
			return fmt.Sprintf("a result of target %d with its name", t.Index)
		}
	}
	if i, twice := repeated(c.Targets, func(t *Target) int32 { return t.Index }); twice {
		return fmt.Sprintf("two results of target %d of step %d", c.Targets[i].Index, s.ID)
	}
	return ""
}

// repeated finds the first of rows whose key an earlier one has as well. Where the keys ascend, as
// they mostly do, it looks at each once and allocates nothing.
func repeated[R any, K cmp.Ordered](rows []R, key func(*R) K) (at int, found bool) {
	at = 1
	for at < len(rows) && key(&rows[at-1]) < key(&rows[at]) {
		at++
	}
	if at >= len(rows) {
		return 0, false
	}
	seen := make(map[K]bool, len(rows))
	for i := range rows {
		if k := key(&rows[i]); seen[k] {
			return i, true
		} else {
			seen[k] = true
		}
	}
	return 0, false
}

// are reports whether names are those of a definition.
func are(names step.Names, list []string) bool {
	if names.IsSet() != (list != nil) || names.Len() != len(list) {
		return false
	}
	i := 0
	for name := range names.All() {
		if name != list[i] {
			return false
		}
		i++
	}
	return true
}
