package scenario

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A Cell is one entry of the rules: a cause on a step of one type in one state or, in a row for the
// whole job, on a job in one state.
type Cell struct {
	Cause step.Cause // an operation or an event
	Type  step.Type  // 0 for the whole job
	From  step.State // of the step, or of the job
}

func (c Cell) String() string {
	return fmt.Sprintf("%v on %s in %v", c.Cause, typeName(c.Type), c.From)
}

func typeName(t step.Type) string {
	if t == 0 {
		return "the whole job"
	}
	return t.String()
}

// Cells returns every cell of the legality table of r, row by row, then every cell of the
// lifecycles, without those in unreachable states. A deadline at the gate of a step that asks is one:
// the step ends before it is gated again.
func Cells(r *operation.Rules) []Cell {
	var cells []Cell
	for _, row := range rows(r) {
		cells = append(cells, row.cells...)
	}
	return cells
}

// A ruleRow is a row of the rules, or the lifecycle of a type for an event.
type ruleRow struct {
	cause step.Cause
	on    step.Types // empty for the whole job
	from  step.States
	to    step.State // 0: no state moves
	cells []Cell
}

func (r ruleRow) subject() string {
	if r.on.Empty() {
		return typeName(0)
	}
	return r.on.String()
}

func (r ruleRow) source() string {
	if r.from == step.StatesOf(step.AllStates()...) {
		return "any"
	}
	return r.from.String()
}

func (r ruleRow) target() string {
	if r.to == 0 {
		return "stays"
	}
	return r.to.String()
}

func rows(r *operation.Rules) []ruleRow {
	reached := map[step.Type]step.States{} // of the whole job under 0
	for _, typ := range r.Types() {
		reached[typ] = reachable(r.Machine(typ))
		for state := range reached[typ].All() {
			reached[0] = reached[0].With(state.OfJob(true)).With(state.OfJob(false))
		}
	}
	var all []ruleRow
	add := func(cause step.Cause, on step.Types, from step.States, to step.State) {
		row := ruleRow{cause: cause, on: on, from: from, to: to}
		if on.Empty() {
			on = step.TypesOf(0)
		}
		for typ := range on.All() {
			for state := range from.All() {
				if reached[typ].Has(state) {
					row.cells = append(row.cells, Cell{cause, typ, state})
				}
			}
		}
		all = append(all, row)
	}
	table := r.Table()
	for _, row := range table.Rows {
		add(row.Cause, row.On, row.From, row.To)
	}
	for _, kind := range table.Kinds {
		for _, row := range kind.Lifecycle {
			from := row.From
			if ends := row.Cause == step.Expired || row.Cause == step.ExpiredConfirmed; ends && !gatedAgain(r.Machine(kind.Type)) {
				from = from.Minus(step.StatesOf(step.Gated))
			}
			add(row.Cause, step.TypesOf(kind.Type), from, row.To)
		}
	}
	return all
}

// gatedAgain reports whether a step of m can be gated after an attempt, without having ended. Only then
// can its deadline pass at a gate: it begins with the first attempt, and ends with the step.
func gatedAgain(m *step.Machine) bool {
	for _, t := range m.Transitions() {
		for from := range t.From.All() {
			if from.Attempting() && m.Lands(from, t.Cause).Has(step.Gated) {
				return true
			}
		}
	}
	return false
}

// reachable returns the states that a step of m can be in.
func reachable(m *step.Machine) step.States {
	states := step.StatesOf(step.Pending)
	for {
		before := states
		for _, t := range m.Transitions() {
			for from := range t.From.All() {
				if states.Has(from) {
					states = states.Union(m.Lands(from, t.Cause))
				}
			}
		}
		if states == before {
			return states
		}
	}
}

// A Coverage counts the exercised cells of the rules. [NewCoverage] makes one; the zero Coverage
// must not be used.
type Coverage struct {
	Rules   *operation.Rules         // whose cells are counted
	Cells   map[Cell]int             // number of times that each took effect
	Reasons map[operation.Reason]int // number of refusals with each
}

// NewCoverage returns an empty Coverage of r; nil means [operation.Standard].
func NewCoverage(r *operation.Rules) *Coverage {
	c := Config{Rules: r}.withDefaults()
	return &Coverage{Rules: c.Rules, Cells: map[Cell]int{}, Reasons: map[operation.Reason]int{}}
}

// Add counts the committed cells and the refusals of a timeline, unexpected ones included: the
// caller leaves out the timeline of a play that failed.
func (c *Coverage) Add(t Timeline) {
	for _, e := range t {
		switch {
		case e.Refusal != nil:
			c.Reasons[e.Refusal.Reason]++
		case e.Record != nil:
			if cell, ok := c.cell(e); ok {
				c.Cells[cell]++
			}
		}
	}
}

// cell returns the cell that an entry exercises, and whether there is one: the creation of a job
// and results of targets alone stand in no row.
func (c *Coverage) cell(e Entry) (Cell, bool) {
	if !e.Cause.OfStep() && !e.Cause.OfJob() && !e.Cause.IsEvent() {
		return Cell{}, false
	}
	_, moves := c.Rules.Move(e.Type, e.From, e.Cause)
	if stays := e.From == e.To && e.Record.Gate.Reason == step.NoGate; e.Cause.OfJob() && (!moves || stays) {
		return Cell{Cause: e.Cause, From: e.JobFrom}, true
	}
	return Cell{e.Cause, e.Type, e.From}, true
}

// Missing returns the cells with a count of 0, in the order of [Cells].
func (c *Coverage) Missing() []Cell {
	return slices.DeleteFunc(Cells(c.Rules), func(cell Cell) bool { return c.Cells[cell] > 0 })
}

// MissingReasons returns the reasons with a count of 0, without those that the rules cannot lead
// to: those of guards that no row has, and operation.Sealed, if no row seals a job.
func (c *Coverage) MissingReasons() []operation.Reason {
	return slices.DeleteFunc(c.reasons(), func(r operation.Reason) bool { return c.Reasons[r] > 0 })
}

// reasons returns the reasons that the rules can lead to.
func (c *Coverage) reasons() []operation.Reason {
	led := map[operation.Reason]bool{}
	for _, row := range c.Rules.Table().Rows {
		for _, r := range unmet[row.Guard] {
			led[r] = true
		}
		led[operation.Sealed] = led[operation.Sealed] || row.Do == step.Seal
	}
	rare := func(r operation.Reason) bool { return r == operation.Sealed || r >= operation.OnHold }
	return slices.DeleteFunc(operation.AllReasons(), func(r operation.Reason) bool { return rare(r) && !led[r] })
}

// unmet are the reasons of guards that not all rules have.
var unmet = map[operation.Guard][]operation.Reason{
	operation.Waivable:    {operation.OnHold, operation.NoTurn},
	operation.GatedByHold: {operation.NotHeld},
	operation.Held:        {operation.NotHeld},
	operation.Unheld:      {operation.OnHold},
	operation.BatchLeft:   {operation.NoBatchLeft},
	operation.Marked:      {operation.NoStop},
	operation.Unmarked:    {operation.StopSet},
}

// String returns the legality table, the lifecycles and the reasons as a table with counts, and
// the missing cells of each row.
func (c *Coverage) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "count\trow\ton\tfrom\tto\tmissing")
	for _, row := range rows(c.Rules) {
		count, missing := c.of(row)
		fmt.Fprintf(w, "%d\t%v\t%s\t%s\t%s\t%s\n", count, row.cause, row.subject(), row.source(), row.target(), missing)
	}
	fmt.Fprintln(w, "\ncount\trefused as")
	for _, reason := range c.reasons() {
		missing := ""
		if c.Reasons[reason] == 0 {
			missing = "missing"
		}
		fmt.Fprintf(w, "%d\t%v\t%s\n", c.Reasons[reason], reason, missing)
	}
	_ = w.Flush() // a Builder takes everything
	cells, reasons := len(Cells(c.Rules)), len(c.reasons())
	return trimLines(b.String()) + fmt.Sprintf("\n%d of %d cells, %d of %d reasons\n",
		cells-len(c.Missing()), cells, reasons-len(c.MissingReasons()), reasons)
}

// of returns the count of the cells of a row, and in words the missing ones.
func (c *Coverage) of(row ruleRow) (count int, missing string) {
	var none []string
	for _, cell := range row.cells {
		count += c.Cells[cell]
		if c.Cells[cell] == 0 {
			none = append(none, fmt.Sprintf("%s in %v", typeName(cell.Type), cell.From))
		}
	}
	if count == 0 && len(row.cells) > 0 {
		return 0, "all"
	}
	return count, strings.Join(none, ", ")
}

// trimLines returns text without the blanks at the ends of lines.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}
