package scenario

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A Cell is a place in the rules: what one cause does to a step of one type in one state, or, in
// a row for the whole job, to a job in one state.
type Cell struct {
	Cause step.Cause
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
// lifecycles. Cells in states that nothing leads to are left out.
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
			add(row.Cause, step.TypesOf(kind.Type), row.From, row.To)
		}
	}
	return all
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

// A Coverage counts what of the rules was exercised. It comes from [NewCoverage]; the zero
// Coverage is of no use.
type Coverage struct {
	Rules   *operation.Rules
	Cells   map[Cell]int             // how often each took effect
	Reasons map[operation.Reason]int // how often each was the reason of a refusal
}

// NewCoverage returns a count of nothing; nil stands for the documented rules.
func NewCoverage(r *operation.Rules) *Coverage {
	c := Config{Rules: r}.withDefaults()
	return &Coverage{Rules: c.Rules, Cells: map[Cell]int{}, Reasons: map[operation.Reason]int{}}
}

// Add counts what a timeline shows: of the cells, only what was committed. It shows as much if
// it is not what the file wants: that of a play that failed is better left out.
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

// cell returns the cell that an entry shows, and whether it shows one: the creation of a job and
// results of targets alone stand in no row.
func (c *Coverage) cell(e Entry) (Cell, bool) {
	if !e.Cause.OfStep() && !e.Cause.OfJob() && !e.Cause.IsEvent() {
		return Cell{}, false
	}
	if _, ok := c.Rules.Move(e.Type, e.From, e.Cause); !ok && e.Cause.OfJob() {
		return Cell{Cause: e.Cause, From: e.JobFrom}, true
	}
	return Cell{e.Cause, e.Type, e.From}, true
}

// Missing returns the cells that nothing has exercised, in the order of [Cells].
func (c *Coverage) Missing() []Cell {
	return slices.DeleteFunc(Cells(c.Rules), func(cell Cell) bool { return c.Cells[cell] > 0 })
}

// MissingReasons returns the reasons for which nothing was refused. One that the rules never
// lead to is left out: sealed, where no row seals a job.
func (c *Coverage) MissingReasons() []operation.Reason {
	return slices.DeleteFunc(c.reasons(), func(r operation.Reason) bool { return c.Reasons[r] > 0 })
}

// reasons returns the reasons that the rules can lead to.
func (c *Coverage) reasons() []operation.Reason {
	seals := func(row operation.Row) bool { return row.Do == step.Seal }
	return slices.DeleteFunc(operation.AllReasons(), func(r operation.Reason) bool {
		return r == operation.Sealed && !slices.ContainsFunc(c.Rules.Table().Rows, seals)
	})
}

// String returns the legality table, the lifecycles and the reasons as a table with counts,
// and what is missing of each.
func (c *Coverage) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "count\trow\ton\tfrom\tto\tmissing")
	for _, row := range rows(c.Rules) {
		count, missing := c.of(row)
		fmt.Fprintf(w, "%d\t%v\t%s\t%v\t%s\t%s\n", count, row.cause, row.subject(), row.from, row.target(), missing)
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

// of returns how often the cells of a row were exercised, and in words which were not.
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
