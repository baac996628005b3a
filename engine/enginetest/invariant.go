package enginetest

import (
	"cmp"
	"fmt"

	"github.com/stepgate/stepgate/operation"
)

// An Invariant is one thing that is true of every stored job at every moment: state in,
// error out. It is a pure function of a [Snapshot] and looks at nothing that the snapshot
// does not hold; the rules are read row by row from [operation.Rules.Table], and not by the
// index that the engine decides by.
//
// What invariants see is a contradiction within what is stored: between the history, the
// header, the steps, the targets and the effects that wait. What is stored consistently and
// yet is not what was asked for they cannot see: an operation that was refused and should
// not have been, a report that was counted for another attempt of the same counts, a result
// that was kept for another target. For that there are [Compare] and [Sequence].
type Invariant struct {
	Name    string
	Promise int // of the README that is broken if it does not hold

	// Check says in what way the invariant does not hold, nil if it does. What another
	// invariant covers may be broken: it says nothing of that, and does not panic.
	Check func(Snapshot) error
}

// invariants stand in the order in which they are looked at: what others build on first.
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
	{"nothing starts in a final state", 2, (*evidence).final},
	{"one step is active at most", 2, (*evidence).active},
	{"the job mirrors its current step", 2, (*evidence).mirrors},
	{"what has passed lies behind, what is pending ahead", 2, (*evidence).order},
	{"a person, an executor or a deadline can go on", 2, (*evidence).goesOn},
	{"a change has its consequences", 1, (*evidence).follows},
	{"what waits for delivery is the effect of a record", 1, (*evidence).effects},
	{"steps stand where the history left them", 3, (*evidence).stands},
	{"counts are a recount", 3, (*evidence).counts},
	{"times are those of the history", 3, (*evidence).times},
	{"moved is the last record that moved", 3, (*evidence).moved},
	{"the history replays to the job", 3, (*evidence).replays},
}

// Invariants returns every invariant in the order in which they are looked at. The caller
// owns the result.
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

// Check returns the first of the [Invariants] that does not hold, as "promise 2 (one step
// is active at most): ...", nil if all hold.
func (s Snapshot) Check() error {
	s.Rules = cmp.Or(s.Rules, operation.Standard())
	table := s.Rules.Table()
	return check(&s, &table, nil)
}

// A Checker does what [Snapshot.Check] does to any number of snapshots of jobs under the
// same rules and reads the rules only once. It is not safe for concurrent use.
type Checker struct {
	rules *operation.Rules
	table operation.Table
	lines []line
}

// NewChecker returns a checker of jobs under the rules r; nil means the documented ones.
func NewChecker(r *operation.Rules) *Checker {
	r = cmp.Or(r, operation.Standard())
	return &Checker{rules: r, table: r.Table()}
}

// Check returns the first of the [Invariants] that does not hold for s, nil if all hold. The
// rules are those of c, whatever s has.
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
