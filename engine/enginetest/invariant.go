package enginetest

import (
	"cmp"
	"fmt"

	"github.com/stepgate/stepgate/operation"
)

// An Invariant is a statement that is true of every stored job at every moment. It is a pure
// function of a [Snapshot]. It reads the rules row by row from [operation.Rules.Table], and not by
// the index that the engine decides by.
//
// Invariants find contradictions in the stored state: between the history, the header, the steps,
// the targets and the effects. They do not find a consistent state that is not the right one: an
// operation that was refused by mistake, a report that was counted for another attempt with equal
// counts, a result that was stored for another target. [Compare] and [Sequence] find these.
type Invariant struct {
	Name    string // a short sentence
	Promise int    // number of the promise of the README that the invariant is about

	// Check returns nil if the invariant holds, or an error with the contradiction. If another
	// invariant does not hold, it may return nil, and does not panic.
	Check func(Snapshot) error
}

// invariants has the order of the checks: an invariant comes after those that it relies on.
var invariants = []struct {
	name    string
	promise int
	check   func(*evidence) error
}{
	{"the job is as it was defined", 3, (*evidence).defined},
	{"the history chains", 3, (*evidence).chains},
	{"a stop is never lost", 7, (*evidence).stops},
	{"a retry runs what is due", 5, (*evidence).retries},
	{"a success is not run again", 5, (*evidence).keeps},
	{"a report is of the attempt under way", 4, (*evidence).fenced},
	{"a result counts once", 4, (*evidence).once},
	{"a result is of an attempt that was", 4, (*evidence).results},
	{"a record is legal where it starts", 6, (*evidence).legal},
	{"a guard admits confirmers only", 6, (*evidence).admits},
	{"a deadline has its time", 6, (*evidence).deadlines},
	{"nothing starts before its gate opens, or on hold", 9, (*evidence).gates},
	{"nothing starts in a final state", 2, (*evidence).final},
	{"one step is active at most", 2, (*evidence).active},
	{"the job mirrors its current step", 2, (*evidence).mirrors},
	{"what has passed lies behind, what is pending ahead", 2, (*evidence).order},
	{"a person, an executor or a deadline can go on", 2, (*evidence).goesOn},
	{"a job waits for exactly one thing", 2, (*evidence).awaits},
	{"a change has its consequences", 1, (*evidence).follows},
	{"what waits for delivery is the effect of a record", 1, (*evidence).effects},
	{"steps stand where the history left them", 3, (*evidence).stands},
	{"counts are a recount", 3, (*evidence).counts},
	{"batches are those of the history", 3, (*evidence).batches},
	{"times are those of the history", 3, (*evidence).times},
	{"moved is the last record that moved", 3, (*evidence).moved},
	{"the history replays to the job", 3, (*evidence).replays},
}

// Invariants returns every invariant in the order in which they are checked. The caller owns the
// result.
func Invariants() []Invariant {
	all := make([]Invariant, len(invariants))
	for i, v := range invariants {
		all[i] = Invariant{Name: v.name, Promise: v.promise, Check: func(s Snapshot) error {
			s.Rules = cmp.Or(s.Rules, operation.Standard())
			table := s.Rules.Table()
			e := weigh(&s, &table, nil)
			if i > 0 && !e.whole {
				return nil
			}
			return v.check(&e)
		}}
	}
	return all
}

// Check returns nil if all [Invariants] hold, or an error for the first that does not, as "promise
// 2 (one step is active at most): ...".
func (s Snapshot) Check() error {
	s.Rules = cmp.Or(s.Rules, operation.Standard())
	table := s.Rules.Table()
	return check(&s, &table, nil)
}

// A Checker does [Snapshot.Check] for many snapshots of jobs under the same rules, and reads the
// rules only once. It is not safe for concurrent use.
type Checker struct {
	rules *operation.Rules
	table operation.Table
	lines []line
}

// NewChecker returns a Checker for jobs under the rules r; nil means the documented ones.
func NewChecker(r *operation.Rules) *Checker {
	r = cmp.Or(r, operation.Standard())
	return &Checker{rules: r, table: r.Table()}
}

// Check returns nil if all [Invariants] hold for s, or an error for the first that does not. It uses
// the rules of c and ignores s.Rules.
func (c *Checker) Check(s *Snapshot) error {
	if s.Rules != c.rules {
		under := *s
		under.Rules = c.rules
		s = &under
	}
	c.lines = c.lines[:0]
	if n := len(s.History); n > cap(c.lines) {
		c.lines = make([]line, 0, 2*n)
	}
	return check(s, &c.table, c.lines)
}

func check(s *Snapshot, table *operation.Table, lines []line) error {
	e := weigh(s, table, lines)
	for i := range invariants {
		v := &invariants[i]
		if err := v.check(&e); err != nil {
			return fmt.Errorf("promise %d (%s): %w", v.promise, v.name, err)
		}
	}
	return nil
}
