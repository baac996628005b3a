package operation

import (
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/step"
)

// Markdown returns the legality table as a Markdown table, one line per row.
func (r *Rules) Markdown() string {
	var b strings.Builder
	b.WriteString("| code | on | from state | step goes to | job goes to | and then |\n|---|---|---|---|---|---|\n")
	for _, row := range r.table.Rows {
		on, from := row.On.String(), row.From.String()
		to, jobTo := row.To.String(), row.To.OfJob(false).String()
		if row.On.Empty() {
			on = "the whole job"
		}
		if row.From == step.StatesOf(step.AllStates()...) {
			from = "any"
		}
		if row.To == 0 {
			to, jobTo = "stays", "stays"
		}
		fmt.Fprintf(&b, "| %s | %v | %v | %v | %v | %s |\n", caption(row.Cause), on, from, to, jobTo, consequence(row))
	}
	return b.String()
}

// consequences describes each Do in words.
var consequences = map[step.Do]string{
	step.RunDue:  "next attempt, only the targets that have not succeeded",
	step.RunAll:  "next attempt, all targets",
	step.RunNext: "next attempt, the next batch",
	step.Ask:     "the confirmers are asked, in a new attempt",
	step.Open:    "the attempt that waits begins",
	step.Accept:  "the next batch or step starts, or the job ends succeeded",
	step.Vote:    "the next step starts, or the job ends succeeded",
	step.Pass:    "the next step starts, or the job ends succeeded",
	step.Stop:    "the executor is told to stop the attempt",
	step.End:     "the job has ended",
	step.Hold:    "nothing starts until the job is resumed",
	step.Release: "what waits for the end of the hold starts",
	step.Seal:    "the job is final",
	step.Note:    "the history has the comment",
	step.Mark:    "the first attempt of the step will wait for a person",
	step.Unmark:  "the first attempt of the step will not wait for a person",
}

// conditions describes each guard in words.
var conditions = map[Guard]string{
	SomeDue:     "; there must be one",
	Approver:    "; confirmers only",
	Waivable:    "; not if it waits for the end of a hold or for a turn",
	GatedByHold: "; only if it waits for the end of the hold",
	Held:        "; the job must be on hold",
	Unheld:      "; the job must not be on hold",
	BatchLeft:   "; there must be one",
	Marked:      "; a stop must be set",
	Unmarked:    "; no stop must be set",
	Unfinal:     "; an operation must be able to make it go on",
}

func consequence(row Row) string {
	words := consequences[row.Do]
	switch {
	case row.Do == step.Enter && row.To == step.Waiting:
		words = consequences[step.Ask]
	case row.Do == step.Enter:
		words = consequences[step.RunAll]
	}
	return words + conditions[row.Guard]
}

// Mermaid returns the state machine of step type t as a Mermaid state diagram, in which operations
// carry their codes, or "" if t is not declared.
func (r *Rules) Mermaid(t step.Type) string {
	k := r.kind(t)
	if k == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> pending\n")
	type edge struct{ from, to step.State }
	labels := map[edge][]string{}
	var order []edge
	var waits step.States // from which a start may have to wait
	seen := step.StatesOf(step.Pending)
	for _, tr := range k.machine.Transitions() {
		for from := range tr.From.All() {
			e := edge{from, tr.To}
			if labels[e] == nil {
				order = append(order, e)
			}
			labels[e] = append(labels[e], label(tr.Cause))
			seen = seen.With(from).With(tr.To)
			if tr.Do.Instead().Has(step.Gated) && from != step.Gated {
				waits = waits.With(from)
			}
		}
	}
	for _, e := range order {
		fmt.Fprintf(&b, "    %v --> %v: %s\n", e.from, e.to, strings.Join(labels[e], ", "))
	}
	for s := range waits.All() {
		fmt.Fprintf(&b, "    %v --> %v: must wait\n", s, step.Gated)
	}
	for s := range seen.All() {
		if !r.exits(k, s) {
			fmt.Fprintf(&b, "    %v --> [*]\n", s)
		}
	}
	return b.String()
}

// exits reports whether any cause leads out of s.
func (r *Rules) exits(k *kind, s step.State) bool {
	for _, tr := range k.machine.Transitions() {
		if tr.From.Has(s) {
			return true
		}
	}
	return false
}

// label returns the words of an edge: operations on a step carry their number.
func label(c step.Cause) string {
	if c.OfStep() {
		return caption(c)
	}
	return c.String()
}

// caption returns the words of a cause: operations carry their number.
func caption(c step.Cause) string {
	switch {
	case c.OfStep():
		return fmt.Sprintf("%d %v", c.Code(), c)
	case c.OfJob():
		return fmt.Sprintf("job %d %v", c.Code(), c)
	}
	return c.String()
}

// A Difference is a cell in which two rule sets differ: the move of one cause on a step of one type
// in one state, or for the whole job in one state.
type Difference struct {
	Type  step.Type  // 0 for the whole job
	State step.State // of the step, or of the job if Type is 0
	Cause step.Cause // the operation or event

	Was, Is Move // the zero Move if the cause leads nowhere
}

func (d Difference) String() string {
	on := fmt.Sprint("on ", d.Type)
	if d.Type == 0 {
		on = "on the whole job"
	}
	cell := fmt.Sprintf("%v %s in %v", d.Cause, on, d.State)
	none := Move{}
	switch {
	case d.Cause.IsEvent() && d.Was == none:
		return fmt.Sprintf("%s now leads to %v", cell, d.Is.To)
	case d.Cause.IsEvent() && d.Is == none:
		return fmt.Sprintf("%s leads nowhere any more", cell)
	case d.Was == none && d.Is.To == 0:
		return fmt.Sprintf("%s became legal", cell)
	case d.Was == none:
		return fmt.Sprintf("%s became legal, to %v", cell, d.Is.To)
	case d.Is == none:
		return fmt.Sprintf("%s became illegal", cell)
	case d.Was.To != d.Is.To:
		return fmt.Sprintf("%s leads to %v instead of %v", cell, d.Is.To, d.Was.To)
	case d.Was.Do != d.Is.Do:
		return fmt.Sprintf("%s is followed by %v instead of %v", cell, d.Is.Do, d.Was.Do)
	default:
		return fmt.Sprintf("%s is guarded by %v instead of %v", cell, d.Is.Guard, d.Was.Guard)
	}
}

// Diff returns every cell in which is differs from was, by type and state: first the operations on
// a step, then those on the job, then the events of the lifecycle. The rows for the whole job come
// last. Types that only one of the two declares count.
func Diff(was, is *Rules) []Difference {
	var diffs []Difference
	for t := range step.Type(len(was.kinds)) {
		if was.kind(t) == nil && is.kind(t) == nil {
			continue
		}
		for _, s := range step.AllStates() {
			diffs = append(diffs, diffCell(t, s, was.cell(t, s), is.cell(t, s))...)
		}
	}
	for _, s := range step.AllStates() {
		diffs = append(diffs, diffCell(0, s, &was.whole[s], &is.whole[s])...)
	}
	return diffs
}

// cell returns the cell of type t and state s, which is empty if t is not declared.
func (r *Rules) cell(t step.Type, s step.State) *cell {
	if k := r.kind(t); k != nil {
		return &k.cells[s]
	}
	return new(cell)
}

func diffCell(t step.Type, s step.State, was, is *cell) []Difference {
	var diffs []Difference
	add := func(ofKind func(step.Cause) bool) {
		for c := range step.Cause(rowCauses) {
			if ofKind(c) && was.moves[c] != is.moves[c] {
				diffs = append(diffs, Difference{Type: t, State: s, Cause: c, Was: was.moves[c], Is: is.moves[c]})
			}
		}
	}
	add(step.Cause.OfStep)
	add(step.Cause.OfJob)
	add(step.Cause.IsEvent)
	return diffs
}
