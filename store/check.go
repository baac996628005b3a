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
var states = func() (all uint32) {
	for _, s := range step.AllStates() {
		all |= 1 << s
	}
	return all
}()

// isState reports whether s is declared. Check asks it five times for each record and step.
func isState(s step.State) bool { return s < step.MaxStates && states>>s&1 != 0 }

// Check returns nil, or an [ErrMalformed] that says how c contradicts itself, so that no job could
// take it. Every store calls Check before it does anything.
//
// Check reads c alone. The header and the steps of a change repeat their fixed fields from the
// view, so c itself has the number of steps and of their targets. A store trusts these fields and
// never writes them again. Check takes time in proportion to c, and allocates nothing for a
// well-formed change whose steps and targets are in ascending order.
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
		why = c.turn()
	}
	if why == "" {
		why = c.standings()
	}
	if why == "" {
		why = c.batches()
	}
	if why == "" {
		why = c.results()
	}
	if why != "" {
		return &malformed{c.Job.ID, why}
	}
	return nil
}

// header returns what is wrong with the header and its version, or "".
func (c *Change) header() string {
	j := &c.Job
	switch {
	case j.ID < 1 || j.ID > MaxJobID:
		return fmt.Sprintf("id %d, want 1 to %d", j.ID, MaxJobID)
	case len(c.Records) == 0:
		return "no record, want at least one"
	case j.Version < Seq(len(c.Records)):
		return fmt.Sprintf("version %d with %d records, want no more than the version", j.Version, len(c.Records))
	case !isState(j.State):
		return fmt.Sprintf("state %d, want one that is declared", j.State)
	case j.Moved < 0 || j.Moved > j.Version:
		return fmt.Sprintf("moved in version %d, want at most %d, its own", j.Moved, j.Version)
	case j.Current < 1 || j.Current > step.ID(j.Steps):
		return fmt.Sprintf("current step %d, want 1 to %d", j.Current, j.Steps)
	case j.Gate != step.NoGate && !j.Gate.Valid():
		return fmt.Sprintf("gate of reason %d, want one that is declared", j.Gate)
	case j.Tolerated < 0 || j.Tolerated > j.Ignored:
		return fmt.Sprintf("%d steps tolerated, want at most %d, those that are ignored", j.Tolerated, j.Ignored)
	case j.Origin < 0 || j.Origin > MaxJobID:
		return fmt.Sprintf("origin %d, want 0 to %d", j.Origin, MaxJobID)
	case j.Skipped < 0 || j.Ignored < 0 || int64(j.Skipped)+int64(j.Ignored) > int64(j.Steps):
		return fmt.Sprintf("%d steps skipped and %d ignored, want at most %d", j.Skipped, j.Ignored, j.Steps)
	}
	return ""
}

// turn returns what is wrong with what c does about the turn of the job, or "": the header tells of
// it.
func (c *Change) turn() string {
	j, key := &c.Job, c.Job.Policy != nil && c.Job.Policy.Turn.Key != ""
	waits := j.Gate == step.TurnGate
	switch {
	case c.Turn > LeaveTurn:
		return fmt.Sprintf("move %d of a turn, want one that is declared", c.Turn)
	case !key && (c.Turn != NoTurn || j.HasTurn || waits):
		return "a turn of a job without a key"
	case j.HasTurn && waits:
		return "the job has a turn and waits for one"
	case c.Turn == TakeTurn && !j.HasTurn, c.Turn == WaitTurn && !waits, c.Turn == LeaveTurn && (j.HasTurn || waits):
		return fmt.Sprintf("move %d of a turn, of a job that has one: %t, that waits for one: %t", c.Turn, j.HasTurn, waits)
	}
	return ""
}

// history returns what is wrong with the records, or "": each follows the one before it, and the
// header equals the last.
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
		case !stateOrNone(r.From) || !stateOrNone(r.To) || !stateOrNone(r.JobFrom) || !isState(r.JobTo):
			return fmt.Sprintf("record %d leads from state %d to %d, the job from %d to %d, want declared ones", seq, r.From, r.To, r.JobFrom, r.JobTo)
		case r.Effect > JobEnded:
			return fmt.Sprintf("record %d has effect %d, want one that is declared", seq, r.Effect)
		case i > 0 && r.JobFrom != c.Records[i-1].JobTo:
			return fmt.Sprintf("record %d leads the job from %v, want from %v, where the one before it led", seq, r.JobFrom, c.Records[i-1].JobTo)
		case i > 0 && r.At < c.Records[i-1].At:
			return fmt.Sprintf("record %d is of time %d, want none before %d, that of the one before it", seq, r.At, c.Records[i-1].At)
		}
		if why := r.course(seq); why != "" {
			return why
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

// course returns what is wrong with the gate and the run of r, which is in the place seq, or "".
func (r *Record) course(seq Seq) string {
	switch {
	case r.Gate == Gate{} && r.Run.First|r.Run.End|r.Before == 0: // as nearly all are
	case r.Gate != (Gate{}) && r.To != step.Gated && r.Entered == 0:
		return fmt.Sprintf("record %d has a gate, and leads to %v", seq, r.To)
	case r.Gate != (Gate{}) && !starts(r.Gate):
		return fmt.Sprintf("record %d has a gate of reason %d that does %d, want a reason, and something that starts", seq, r.Gate.Reason, r.Gate.Then)
	case r.Run.First < 0 || r.Run.End < 0 || r.Run.End != 0 && r.Run.End <= r.Run.First:
		return fmt.Sprintf("record %d is of a run from target %d to %d", seq, r.Run.First, r.Run.End)
	case r.Before < 0:
		return fmt.Sprintf("record %d with %d successes before its run", seq, r.Before)
	}
	return ""
}

// starts reports whether g has a reason, and lets something start once it opens.
func starts(g Gate) bool {
	return g.Reason != step.NoGate && g.Reason.Valid() && g.Until >= 0 &&
		(g.Then == step.Enter || g.Then == step.RunDue || g.Then == step.RunAll || g.Then == step.RunNext || g.Then == step.Ask)
}

func stateOrNone(s step.State) bool { return s == 0 || isState(s) }

// definitions returns what is wrong with the steps of a creation, or "": all are present, in order,
// and as the specs define them.
func (c *Change) definitions() string {
	switch {
	case len(c.Steps) != len(c.Specs):
		return fmt.Sprintf("%d steps and %d definitions, want as many", len(c.Steps), len(c.Specs))
	case len(c.Steps) != int(c.Job.Steps):
		return fmt.Sprintf("%d steps, want %d, as the header says", len(c.Steps), c.Job.Steps)
	case len(c.Targets) > 0:
		return "results in a creation, want none"
	case c.Turn != NoTurn:
		return "a creation moves a turn, want none"
	}
	for i := range c.Steps {
		s, spec := &c.Steps[i], &c.Specs[i]
		switch {
		case s.ID != step.ID(i+1):
			return fmt.Sprintf("step %d in the place of step %d", s.ID, i+1)
		case int(s.Total) != len(spec.Targets):
			return fmt.Sprintf("step %d of %d targets, want %d, as it is defined", s.ID, s.Total, len(spec.Targets))
		case s.Type != spec.Type || s.Name != spec.Name || s.IgnoreErrors != spec.IgnoreErrors || s.OnTimeout != spec.OnTimeout ||
			s.Timeout != spec.Timeout || s.Payload != spec.Payload || !are(s.Confirmers, spec.Confirmers) || !isPolicy(s.Policy, spec):
			return fmt.Sprintf("step %d is not as it is defined", s.ID)
		}
	}
	return ""
}

// stepsOfJob returns what is wrong with the steps of a change of an existing job, or "".
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

// standings returns what is wrong with the states and counts of the steps, or "".
func (c *Change) standings() string {
	for i := range c.Steps {
		s := &c.Steps[i]
		switch {
		case !isState(s.State):
			return fmt.Sprintf("step %d in state %d, want one that is declared", s.ID, s.State)
		case s.Attempt < 0 || s.Run.Full < 1 || s.Run.Full > max(s.Attempt, 1):
			return fmt.Sprintf("step %d in attempt %d, which covers all since attempt %d", s.ID, s.Attempt, s.Run.Full)
		case s.Total < 0 || s.Succeeded < 0 || s.Unfinished < 0:
			return fmt.Sprintf("step %d with %d targets, %d succeeded and %d unfinished", s.ID, s.Total, s.Succeeded, s.Unfinished)
		}
		if why := c.course(s); why != "" {
			return why
		}
	}
	return ""
}

// course returns what is wrong with the gate, the moment and the batches of s, or "".
func (c *Change) course(s *Step) string {
	if s.State != step.Gated && s.Gate == (Gate{}) && s.Due == 0 && c.Job.Gate == step.NoGate &&
		s.Run.First|s.Run.End|s.Batch|s.Before|s.Accepted|s.Automatic == 0 {
		return "" // as nearly all are
	}
	switch {
	case s.State != step.Gated && s.Gate != (Gate{}):
		return fmt.Sprintf("step %d with a gate, and %v", s.ID, s.State)
	case s.State == step.Gated && !starts(s.Gate):
		return fmt.Sprintf("step %d at a gate of reason %d that does %d, want a reason, and something that starts", s.ID, s.Gate.Reason, s.Gate.Then)
	case s.Run.First < 0 || s.Run.End < 0 || s.Run.End > s.Total || s.Run.End != 0 && s.Run.End <= s.Run.First || s.Run.End == 0 && s.Run.First != 0:
		return fmt.Sprintf("step %d of %d targets with a run from target %d to %d", s.ID, s.Total, s.Run.First, s.Run.End)
	case s.Batch < 0 || s.Batch > step.MaxBatches || (s.Batch > 0) != (s.Run.End > 0 && s.Attempt > 0):
		return fmt.Sprintf("step %d in batch %d and attempt %d with a run up to target %d, want all or none, and at most %d batches", s.ID, s.Batch, s.Attempt, s.Run.End, step.MaxBatches)
	case s.Before < 0 || s.Before > s.Run.First:
		return fmt.Sprintf("step %d with %d successes before target %d", s.ID, s.Before, s.Run.First)
	case s.Accepted < 0 || s.Automatic < 0:
		return fmt.Sprintf("step %d with %d failures accepted and %d automatic attempts", s.ID, s.Accepted, s.Automatic)
	case s.Due != 0 && (s.ID != c.Job.Current || !s.State.Active()):
		return fmt.Sprintf("step %d is %v, and due at %d: want the current step, while it is under way", s.ID, s.State, s.Due)
	case s.ID == c.Job.Current && s.Gate.Reason != c.Job.Gate:
		return fmt.Sprintf("the job waits for %q, and step %d, the current one, for %q", c.Job.Gate, s.ID, s.Gate.Reason)
	}
	return ""
}

// batches returns what is wrong with the batches, or "": they are of steps of the change, in ascending
// order, and that of a step's run is as the step says.
func (c *Change) batches() string {
	for i := range c.Batches {
		b := &c.Batches[i]
		s := c.stepOf(b.Step)
		switch {
		case s == nil:
			return fmt.Sprintf("batch %d of step %d, which is not in the change", b.Number, b.Step)
		case b.Number < 1 || b.Number > step.MaxBatches:
			return fmt.Sprintf("batch %d of step %d, want 1 to %d", b.Number, b.Step, step.MaxBatches)
		case b.First < 0 || b.End <= b.First || b.End > s.Total:
			return fmt.Sprintf("batch %d of step %d from target %d to %d, want some of %d", b.Number, b.Step, b.First, b.End, s.Total)
		case !isState(b.State):
			return fmt.Sprintf("batch %d of step %d in state %d, want one that is declared", b.Number, b.Step, b.State)
		case b.Full < 1 || b.Full > b.Attempt || b.Attempt > s.Attempt:
			return fmt.Sprintf("batch %d of step %d in attempt %d of %d, which covers all since attempt %d", b.Number, b.Step, b.Attempt, s.Attempt, b.Full)
		case b.Succeeded < 0 || b.Unfinished < 0:
			return fmt.Sprintf("batch %d of step %d with %d succeeded and %d unfinished", b.Number, b.Step, b.Succeeded, b.Unfinished)
		case b.Number == s.Batch && (b.First != s.Run.First || b.End != s.Run.End || b.Full != s.Run.Full):
			return fmt.Sprintf("batch %d of step %d is from target %d to %d since attempt %d, want as the run of the step", b.Number, b.Step, b.First, b.End, b.Full)
		case b.Number > s.Batch || b.Number < s.Batch && b.End > s.Run.First:
			return fmt.Sprintf("batch %d of step %d up to target %d, in batch %d from target %d", b.Number, b.Step, b.End, s.Batch, s.Run.First)
		case i == 0:
		case b.Step < c.Batches[i-1].Step || b.Step == c.Batches[i-1].Step && b.Number <= c.Batches[i-1].Number:
			return fmt.Sprintf("batch %d of step %d after batch %d of step %d", b.Number, b.Step, c.Batches[i-1].Number, c.Batches[i-1].Step)
		case b.Step == c.Batches[i-1].Step && b.First < c.Batches[i-1].End:
			return fmt.Sprintf("batch %d of step %d from target %d, where batch %d has not ended", b.Number, b.Step, b.First, c.Batches[i-1].Number)
		}
	}
	return ""
}

// stepOf returns the step of this id in c, or nil.
func (c *Change) stepOf(id step.ID) *Step {
	for i := range c.Steps {
		if c.Steps[i].ID == id {
			return &c.Steps[i]
		}
	}
	return nil
}

// results returns what is wrong with the results, or "".
func (c *Change) results() string {
	if len(c.Targets) == 0 {
		return ""
	}
	if len(c.Steps) == 0 {
		return "results without a step"
	}
	s, batches := &c.Steps[0], c.BatchesOf(c.Steps[0].ID)
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
		case t.Batch != 0:
			return fmt.Sprintf("a result of target %d with its batch", t.Index)
		case s.Run.Has(t.Index): // as nearly all are
			continue
		}
		if _, _, ok := s.RunOf(batches, t.Index); !ok {
			return fmt.Sprintf("a result of target %d of step %d, whose batch is not in the change", t.Index, s.ID)
		}
	}
	if i, twice := repeated(c.Targets, func(t *Target) int32 { return t.Index }); twice {
		return fmt.Sprintf("two results of target %d of step %d", c.Targets[i].Index, s.ID)
	}
	return ""
}

// repeated finds the first of rows whose key an earlier row has as well. If the keys ascend, as is
// usual, it reads each once and allocates nothing.
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

// isPolicy reports whether p is the policy that spec defines.
func isPolicy(p *step.Policy, spec *step.Spec) bool {
	if p == nil {
		return spec.Delay == 0 && spec.Window == "" && spec.TotalTimeout == 0 && spec.Retry.IsZero() &&
			spec.Rolling == step.Rolling{} && spec.Tolerate == step.Tolerance{}
	}
	return !p.IsZero() && p.Equal(&step.Policy{
		Delay: spec.Delay, Window: spec.Window, TotalTimeout: spec.TotalTimeout,
		Retry: spec.Retry, Rolling: spec.Rolling, Tolerate: spec.Tolerate,
	})
}

// are reports whether names equals the list of a definition.
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
