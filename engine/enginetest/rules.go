package enginetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// CheckRules holds rules against what they are meant to be, by what they do: a step of every
// type is put into every state, with and without targets to retry, with and without a list
// of confirmers, as the last step of its job and before a step of every type, as the current
// step and not; and then everything that a person, an executor or a deadline can ask for is
// decided by engine.Decide and by the model. Verdict and reason, the states of step and job,
// attempts, counts, times, the step that is entered, the effect, the results that count, and
// what a refusal says would be legal must be the same. So must the look-ups of rules, of
// which not every one takes part in deciding; what looks different is not told again for
// what is decided on it.
//
// What expect says of things that there are not is a slip that no rules can be held to: if
// there is any, the error tells of that and of nothing else. See [model.Rules.Misnamed].
//
// nil stands for the documented rules, on either side. The error is a *[RulesError].
func CheckRules(rules *operation.Rules, expect *model.Rules) error {
	c := newRulesCheck(rules, expect)
	if misnamed := c.expect.Misnamed(); len(misnamed) > 0 {
		return &RulesError{Cells: misnamed}
	}
	c.lookups()
	for seen := range c.seen {
		c.looked[cell{Type: seen.Type, What: seen.What}] = true
	}
	for code := range operation.Code(64) {
		if c.rules.AllCodes().Has(code) != c.expect.Known(code) { // refused for another reason on every type
			for _, t := range append(slices.Clone(c.types), c.undeclared()...) {
				c.looked[cell{Type: t, What: code.String()}] = true
			}
		}
	}
	c.decisions()
	return c.err()
}

// A RulesError says in which cells rules are not what they are meant to be. A cell is one
// thing that can happen to a step of one type in one state.
type RulesError struct {
	// Cells has a line for each, by type and state: what happens, what came of it, and what
	// should have; or, if something is expected of what there is not, what that is.
	Cells []string
}

// Error prints the first ten cells, and how many more there are.
func (e *RulesError) Error() string {
	const most = 10
	var b strings.Builder
	fmt.Fprintf(&b, "rules: not what is expected of them, cells that differ: %d", len(e.Cells))
	for i, cell := range e.Cells {
		if i == most {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Cells)-most)
			break
		}
		b.WriteString("\n  " + cell)
	}
	return b.String()
}

// rulesCheck is one run of CheckRules.
type rulesCheck struct {
	rules   *operation.Rules
	expect  *model.Rules
	decider func(*operation.Rules, store.View, engine.Command, step.Time) (*engine.Decision, error)
	types   []step.Type     // that either declares
	codes   operation.Codes // that either knows
	most    int             // lines are enough

	cells  []string
	seen   map[cell]bool      // that have a line
	spoilt map[step.Type]bool // that have a cell with a line
	looked map[cell]bool      // of all states: what looks different, and so is not told again when it is decided

	situated, compared int // situations and decisions that were looked at
}

// A cell is what a line of the error is about. Each has one line: one difference shows in
// many look-ups and in many situations.
type cell struct {
	Type  step.Type
	State step.State // 0 for all of them
	What  string
}

func newRulesCheck(rules *operation.Rules, expect *model.Rules) *rulesCheck {
	c := &rulesCheck{
		rules:   cmp.Or(rules, operation.Standard()),
		expect:  cmp.Or(expect, model.Documented()),
		decider: engine.Decide,
		seen:    map[cell]bool{},
		spoilt:  map[step.Type]bool{},
		looked:  map[cell]bool{},
		most:    1 << 30,
	}
	for t := range step.Type(64) {
		if c.rules.Enters(t) != 0 || c.expect.Enters(t) != 0 {
			c.types = append(c.types, t)
		}
	}
	for code := range operation.Code(64) {
		if c.rules.AllCodes().Has(code) || c.expect.Known(code) {
			c.codes = c.codes.With(code)
		}
	}
	return c
}

func (c *rulesCheck) err() error {
	if len(c.cells) == 0 {
		return nil
	}
	return &RulesError{Cells: c.cells}
}

// differ adds a line on what happens to a step of type t in state s, unless it has one.
func (c *rulesCheck) differ(t step.Type, s step.State, what, situation, got, want string) {
	key := cell{t, s, what}
	if c.seen[key] {
		return
	}
	c.seen[key], c.spoilt[t] = true, true
	line := fmt.Sprintf("%v in %v%s: %s: got %s, want %s", t, s, situation, what, got, want)
	if s == 0 {
		line = fmt.Sprintf("%v: %s: got %s, want %s", t, what, got, want)
	}
	c.cells = append(c.cells, line)
}

// lookups compares what the rules and the model answer when they are asked.
func (c *rulesCheck) lookups() {
	for _, t := range c.types {
		if !c.declared(t) {
			continue
		}
		for s := range step.State(16) {
			c.cellsOf(t, s)
		}
		if c.spoilt[t] {
			continue // sets differ as their members do
		}
		for s := range step.State(16) {
			c.setsOf(t, s)
		}
		c.statesOf(t)
	}
	var known operation.Codes
	for code := range operation.Code(64) {
		if c.expect.Known(code) {
			known = known.With(code)
		}
	}
	if got := c.rules.AllCodes(); got != known && len(c.cells) == 0 {
		c.cells = append(c.cells, fmt.Sprintf("the codes that there are: got %v, want %v", got, known))
	}
}

// declared compares whether there is a type t, and reports whether both say the same.
func (c *rulesCheck) declared(t step.Type) bool {
	inWords := func(enters step.State) string {
		if enters == 0 {
			return "none"
		}
		return fmt.Sprintf("one that is entered in %v", enters)
	}
	got, want := c.rules.Enters(t), c.expect.Enters(t)
	_, declared := c.rules.Kind(t)
	if got == want && declared == (want != 0) && declared == (c.rules.Machine(t) != nil) && declared == slices.Contains(c.rules.Types(), t) {
		return true
	}
	c.differ(t, 0, "the type", "", inWords(got), inWords(want))
	return false
}

// cellsOf compares where everything leads from one state.
func (c *rulesCheck) cellsOf(t step.Type, s step.State) {
	for code := range operation.Code(64) {
		got, legal := c.rules.Legal(t, s, code)
		want, expected := c.expect.Legal(t, s, code)
		if got != want || legal != expected {
			c.differ(t, s, code.String(), "", moveInWords(got, legal), moveInWords(want, expected))
		}
	}
	for code := range operation.JobCode(4) {
		got, legal := c.rules.LegalJob(t, s, code)
		want, expected := c.expect.LegalJob(t, s, code)
		if got != want || legal != expected {
			c.differ(t, s, code.String(), "", moveInWords(operation.Move{To: got}, legal), moveInWords(operation.Move{To: want}, expected))
		}
	}
	for e := range step.Event(16) {
		got, _ := c.rules.On(t, s, e)
		want, _ := c.expect.On(t, s, e)
		if got != want {
			c.differ(t, s, e.String(), "", stateInWords(got), stateInWords(want))
		}
	}
}

func moveInWords(m operation.Move, ok bool) string {
	switch {
	case !ok:
		return "illegal"
	case m.Guard != operation.Unguarded:
		return fmt.Sprintf("legal, to %v, guard %v", m.To, m.Guard)
	}
	return fmt.Sprintf("legal, to %v", m.To)
}

func stateInWords(to step.State) string {
	if to == 0 {
		return "nothing"
	}
	return to.String()
}

// setsOf compares the sets of codes that are legal in one state.
func (c *rulesCheck) setsOf(t step.Type, s step.State) {
	var codes operation.Codes
	var guarded [3]operation.Codes
	for code := range operation.Code(64) {
		if move, ok := c.expect.Legal(t, s, code); ok {
			codes = codes.With(code)
			guarded[move.Guard] = guarded[move.Guard].With(code)
		}
	}
	if got := c.rules.Codes(t, s); got != codes {
		c.differ(t, s, "Codes", "", got.String(), codes.String())
	}
	for g, want := range guarded {
		if got := c.rules.Guarded(t, s, operation.Guard(g)); got != want {
			c.differ(t, s, fmt.Sprintf("Guarded by %v", operation.Guard(g)), "", got.String(), want.String())
		}
	}
	var jobCodes operation.JobCodes
	for code := range operation.JobCode(4) {
		if _, ok := c.expect.LegalJob(t, s, code); ok {
			jobCodes = jobCodes.With(code)
		}
	}
	if got := c.rules.JobCodes(t, s); got != jobCodes {
		c.differ(t, s, "JobCodes", "", got.String(), jobCodes.String())
	}
}

// statesOf compares the sets of states in which a code is legal.
func (c *rulesCheck) statesOf(t step.Type) {
	for code := range operation.Code(64) {
		if got, want := c.rules.States(t, code), c.expectedStates(t, code); got != want {
			c.differ(t, 0, fmt.Sprintf("States of %v", code), "", got.String(), want.String())
		}
	}
	for code := range operation.JobCode(4) {
		if got, want := c.rules.JobStates(t, code), c.expectedJobStates(t, code); got != want {
			c.differ(t, 0, fmt.Sprintf("JobStates of %v", code), "", got.String(), want.String())
		}
	}
}

func (c *rulesCheck) expectedStates(t step.Type, code operation.Code) (states step.States) {
	for s := range step.State(16) {
		if _, ok := c.expect.Legal(t, s, code); ok {
			states = states.With(s)
		}
	}
	return states
}

func (c *rulesCheck) expectedJobStates(t step.Type, code operation.JobCode) (states step.States) {
	for s := range step.State(16) {
		if _, ok := c.expect.LegalJob(t, s, code); ok {
			states = states.With(s)
		}
	}
	return states
}
