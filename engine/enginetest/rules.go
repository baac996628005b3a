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

// CheckRules compares rules with the intended rules by their behaviour. It puts a step of every type
// into every state: with and without targets to retry, with and without a list of confirmers, with
// missing votes, as the last step of its job and before a step of every type, as the current step
// and not, in a sealed job and not. It then decides every command of a person, an executor or a
// deadline by engine.Decide and by the model. Verdict and reason, the states of step and job,
// attempts, counts, times, the entered step, the effect, the counted results, and the legal
// operations of a refusal must be equal. So must the look-ups of rules, some of which decisions do
// not use. A difference in a look-up is not reported again for the decisions on it.
//
// If expect has cells with undeclared types or unnamed values, the error lists these and nothing
// else. See [model.Rules.Misnamed].
//
// nil means the documented rules, on either side. The error is a *[RulesError].
func CheckRules(rules *operation.Rules, expect *model.Rules) error {
	c := newRulesCheck(rules, expect)
	if misnamed := c.expect.Misnamed(); len(misnamed) > 0 {
		return &RulesError{Cells: misnamed}
	}
	c.lookups()
	for seen := range c.seen {
		c.looked[cell{Type: seen.Type, What: seen.What}] = true
	}
	for cause := range rowCauses {
		if c.wholes[cause] || isOperation(cause) && c.rules.Causes().Has(cause) != c.expect.Known(cause) { // it differs on every type
			for _, t := range append(slices.Clone(c.types), c.undeclared()...) {
				c.looked[cell{Type: t, What: cause.String()}] = true
			}
		}
	}
	c.decisions()
	return c.err()
}

// A RulesError lists the cells in which rules differ from the intended ones. A cell is one cause on
// a step of one type in one state.
type RulesError struct {
	// Cells has a line for each cell, by type and state: the cause, got and want; or the
	// undeclared type or unnamed value that is expected.
	Cells []string
}

// Error returns the first ten cells, and the number of further ones.
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
	decider func(*operation.Rules, store.View, engine.Command, step.Time) (engine.Decision, error)
	types   []step.Type         // that either declares
	causes  step.Causes         // the operations that either knows, and the operations on a job that are always known
	wholes  map[step.Cause]bool // that differ on a whole job
	most    int                 // lines are enough

	cells  []string
	seen   map[cell]bool      // that have a line
	spoilt map[step.Type]bool // that have a cell with a line
	looked map[cell]bool      // of all states: with a different look-up, so that a decision is not reported again

	situated, compared int // situations and decisions that were looked at
}

// rowCauses is greater than every cause with a row.
const rowCauses step.Cause = 192

// starts are the operations on the job that the documented rules have.
var starts = operation.CausesOf(operation.AllJobCodes()...)

func isOperation(cause step.Cause) bool { return cause.OfStep() || cause.OfJob() }

// A cell is the subject of a line of the error. Each has one line, as one difference shows in many
// look-ups and in many situations.
type cell struct {
	Type  step.Type  // 0 for the whole job
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
		wholes:  map[step.Cause]bool{},
		most:    1 << 30,
		causes:  starts,
	}
	for t := range step.Type(64) {
		if c.rules.Enters(t) != 0 || c.expect.Enters(t) != 0 {
			c.types = append(c.types, t)
		}
	}
	for cause := range rowCauses {
		if isOperation(cause) && (c.rules.Causes().Has(cause) || c.expect.Known(cause)) {
			c.causes = c.causes.With(cause)
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

// differ adds a line for a step of type t in state s, unless it has one.
func (c *rulesCheck) differ(t step.Type, s step.State, what, situation, got, want string) {
	key := cell{t, s, what}
	if c.seen[key] {
		return
	}
	c.seen[key], c.spoilt[t] = true, true
	line := fmt.Sprintf("%v in %v%s: %s: got %s, want %s", t, s, situation, what, got, want)
	switch {
	case t == 0:
		line = fmt.Sprintf("the whole job in %v: %s: got %s, want %s", s, what, got, want)
	case s == 0:
		line = fmt.Sprintf("%v: %s: got %s, want %s", t, what, got, want)
	}
	c.cells = append(c.cells, line)
}

// lookups compares the look-ups of the rules with those of the model.
func (c *rulesCheck) lookups() {
	for s := range step.State(step.MaxStates) {
		c.wholeOf(s)
	}
	for _, t := range c.types {
		if !c.declared(t) {
			continue
		}
		for s := range step.State(step.MaxStates) {
			c.cellsOf(t, s)
		}
		if c.spoilt[t] || c.spoilt[0] {
			continue // sets differ as their members do
		}
		for s := range step.State(step.MaxStates) {
			c.setsOf(t, s)
		}
		c.statesOf(t)
	}
	var known step.Causes
	for cause := range rowCauses {
		if isOperation(cause) && c.expect.Known(cause) {
			known = known.With(cause)
		}
	}
	if got := c.rules.Causes(); got != known && len(c.cells) == 0 {
		c.cells = append(c.cells, fmt.Sprintf("the operations that there are: got %v, want %v", got, known))
	}
}

// declared compares whether both declare type t, and reports whether they agree.
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

// wholeOf compares the moves of every cause on a whole job in one state.
func (c *rulesCheck) wholeOf(job step.State) {
	var legal step.Causes
	for cause := range rowCauses {
		if !cause.OfJob() {
			continue
		}
		got, _ := c.rules.Judge(operation.Standing{Job: job}, cause)
		want, expected := c.expect.OnWhole(job, cause)
		if got != want {
			c.wholes[cause] = true
			c.differ(0, job, cause.String(), "", moveInWords(got, got.Do != 0), moveInWords(want, expected))
		}
		if expected {
			legal = legal.With(cause)
		}
	}
	if got := c.rules.Legal(operation.Standing{Job: job}); got != legal && !c.spoilt[0] {
		c.differ(0, job, "Legal", "", got.String(), legal.String())
	}
}

// cellsOf compares the moves of every cause from one state.
func (c *rulesCheck) cellsOf(t step.Type, s step.State) {
	for cause := range rowCauses {
		got, legal := c.rules.Move(t, s, cause)
		want, expected := c.expect.Move(t, s, cause)
		if got == want && legal == expected {
			continue
		}
		if cause.IsEvent() {
			c.differ(t, s, cause.String(), "", eventInWords(got), eventInWords(want))
		} else {
			c.differ(t, s, cause.String(), "", moveInWords(got, legal), moveInWords(want, expected))
		}
	}
}

func moveInWords(m operation.Move, ok bool) string {
	switch {
	case !ok:
		return "illegal"
	case m.To == 0 && m.Guard != operation.Free:
		return fmt.Sprintf("legal, %v, guard %v", m.Do, m.Guard)
	case m.To == 0:
		return fmt.Sprintf("legal, %v", m.Do)
	case m.Guard != operation.Free:
		return fmt.Sprintf("legal, %v to %v, guard %v", m.Do, m.To, m.Guard)
	}
	return fmt.Sprintf("legal, %v to %v", m.Do, m.To)
}

func eventInWords(m operation.Move) string {
	if m.Do == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%v to %v", m.Do, m.To)
}

// setsOf compares the sets of legal operations in one state, of a job without a row for the whole
// job.
func (c *rulesCheck) setsOf(t step.Type, s step.State) {
	var legal step.Causes
	guarded := map[operation.Guard]step.Causes{}
	for cause := range rowCauses {
		if move, ok := c.expect.Move(t, s, cause); ok && isOperation(cause) {
			legal = legal.With(cause)
			guarded[move.Guard] = guarded[move.Guard].With(cause)
		}
	}
	at := operation.Standing{Type: t, State: s}
	if got := c.rules.Legal(at); got != legal {
		c.differ(t, s, "Legal", "", got.String(), legal.String())
	}
	for _, g := range operation.AllGuards() {
		if got, want := c.rules.Legal(at, g), legal.Minus(guarded[g]); got != want {
			c.differ(t, s, fmt.Sprintf("Legal where %v refuses", g), "", got.String(), want.String())
		}
	}
}

// statesOf compares the sets of states in which a cause leads anywhere.
func (c *rulesCheck) statesOf(t step.Type) {
	for cause := range rowCauses {
		if got, want := c.rules.From(t, cause), c.expectedStates(t, cause); got != want {
			c.differ(t, 0, fmt.Sprintf("From of %v", cause), "", got.String(), want.String())
		}
	}
}

func (c *rulesCheck) expectedStates(t step.Type, cause step.Cause) (states step.States) {
	for s := range step.State(step.MaxStates) {
		_, moves := c.expect.Move(t, s, cause)
		_, whole := c.expect.OnWhole(s, cause)
		if moves || whole {
			states = states.With(s)
		}
	}
	return states
}
