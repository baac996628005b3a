package scenario

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A Cell is a place in the rules: a code, a job code or an event that moves a step of one type
// from one state.
type Cell struct {
	Type step.Type
	From step.State

	// One of these is set.
	Code    operation.Code
	JobCode operation.JobCode
	Event   step.Event
}

func (c Cell) String() string { return fmt.Sprintf("%v on %v in %v", c.label(), c.Type, c.From) }

func (c Cell) label() fmt.Stringer {
	switch {
	case c.Code != 0:
		return c.Code
	case c.JobCode != 0:
		return c.JobCode
	}
	return c.Event
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
	label fmt.Stringer
	on    step.Types
	from  step.States
	to    step.State
	cells []Cell
}

func rows(r *operation.Rules) []ruleRow {
	reached := map[step.Type]step.States{}
	for _, typ := range r.Types() {
		reached[typ] = reachable(r.Machine(typ))
	}
	var all []ruleRow
	add := func(label fmt.Stringer, on step.Types, from step.States, to step.State, cell Cell) {
		row := ruleRow{label: label, on: on, from: from, to: to}
		for typ := range on.All() {
			for state := range from.All() {
				if reached[typ].Has(state) {
					cell.Type, cell.From = typ, state
					row.cells = append(row.cells, cell)
				}
			}
		}
		all = append(all, row)
	}
	table := r.Table()
	for _, row := range table.Rows {
		add(row.Code, row.On, row.From, row.To, Cell{Code: row.Code})
	}
	for _, row := range table.Job {
		add(row.Code, row.On, row.From, row.To, Cell{JobCode: row.Code})
	}
	for _, kind := range table.Kinds {
		for _, row := range kind.Lifecycle {
			add(row.On, step.TypesOf(kind.Type), row.From, row.To, Cell{Event: row.On})
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
					states = states.With(t.To)
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
	Cells   map[Cell]int             // how often each moved a step
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
		switch moved := e.Code != 0 || e.JobCode != 0 || e.Event != 0; {
		case e.Refusal != nil:
			c.Reasons[e.Refusal.Reason]++
		case e.Record != nil && moved:
			c.Cells[Cell{Type: e.Type, From: e.From, Code: e.Code, JobCode: e.JobCode, Event: e.Event}]++
		}
	}
}

// Missing returns the cells that nothing has exercised, in the order of [Cells].
func (c *Coverage) Missing() []Cell {
	return slices.DeleteFunc(Cells(c.Rules), func(cell Cell) bool { return c.Cells[cell] > 0 })
}

// MissingReasons returns the reasons for which nothing was refused.
func (c *Coverage) MissingReasons() []operation.Reason {
	return slices.DeleteFunc(operation.AllReasons(), func(r operation.Reason) bool { return c.Reasons[r] > 0 })
}

// String returns the legality table, the lifecycles and the reasons as a table with counts,
// and what is missing of each.
func (c *Coverage) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "count\trow\ton\tfrom\tto\tmissing")
	for _, row := range rows(c.Rules) {
		count, missing := c.of(row)
		fmt.Fprintf(w, "%d\t%v\t%v\t%v\t%v\t%s\n", count, row.label, row.on, row.from, row.to, missing)
	}
	fmt.Fprintln(w, "\ncount\trefused as")
	for _, reason := range operation.AllReasons() {
		missing := ""
		if c.Reasons[reason] == 0 {
			missing = "missing"
		}
		fmt.Fprintf(w, "%d\t%v\t%s\n", c.Reasons[reason], reason, missing)
	}
	_ = w.Flush() // a Builder takes everything
	cells, reasons := len(Cells(c.Rules)), len(operation.AllReasons())
	return trimLines(b.String()) + fmt.Sprintf("\n%d of %d cells, %d of %d reasons\n",
		cells-len(c.Missing()), cells, reasons-len(c.MissingReasons()), reasons)
}

// of returns how often the cells of a row were exercised, and in words which were not.
func (c *Coverage) of(row ruleRow) (count int, missing string) {
	var none []string
	for _, cell := range row.cells {
		count += c.Cells[cell]
		if c.Cells[cell] == 0 {
			none = append(none, fmt.Sprintf("%v in %v", cell.Type, cell.From))
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
