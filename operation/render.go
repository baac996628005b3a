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
		fmt.Fprintf(&b, "| %d %v | %v | %v | %v | %v | %s |\n",
			row.Code, row.Code, row.On, row.From, row.To, row.To.OfJob(false), consequence(row.To, row.Guard))
	}
	for _, row := range r.table.Job {
		fmt.Fprintf(&b, "| job %d %v | %v | %v | %v | %v | %s |\n",
			row.Code, row.Code, row.On, row.From, row.To, row.To.OfJob(false), consequence(row.To, Unguarded))
	}
	return b.String()
}

// consequence says in words what follows when a person takes a step to a state.
func consequence(to step.State, g Guard) string {
	switch {
	case g == DueOnly:
		return "next attempt, only the targets that have not succeeded; there must be one"
	case to == step.Running:
		return "next attempt, all targets"
	case to == step.Waiting:
		return "the confirmers are asked, in a new attempt"
	case to == step.Terminating:
		return "the executor is told to stop the attempt"
	case to.Passed():
		return "the next step starts, or the job ends succeeded" + by(g)
	default:
		return "the job has ended" + by(g)
	}
}

func by(g Guard) string {
	if g == ConfirmerOnly {
		return "; confirmers only"
	}
	return ""
}

// Mermaid returns the state machine of step type t as a Mermaid state diagram,
// operations with their codes, or "" if t is not declared.
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
	seen := step.StatesOf(step.Pending)
	for _, tr := range k.machine.Transitions() {
		for from := range tr.From.All() {
			e := edge{from, tr.To}
			if labels[e] == nil {
				order = append(order, e)
			}
			labels[e] = append(labels[e], caption(tr))
			seen = seen.With(from).With(tr.To)
		}
	}
	for _, e := range order {
		fmt.Fprintf(&b, "    %v --> %v: %s\n", e.from, e.to, strings.Join(labels[e], ", "))
	}
	for s := range seen.All() {
		if !r.exits(k, s) {
			fmt.Fprintf(&b, "    %v --> [*]\n", s)
		}
	}
	return b.String()
}

// exits reports whether anything leads out of s.
func (r *Rules) exits(k *kind, s step.State) bool {
	for _, tr := range k.machine.Transitions() {
		if tr.From.Has(s) {
			return true
		}
	}
	return false
}

// caption returns the words of a transition: operations carry their number.
func caption(t step.Transition) string {
	if code := Code(t.Label); code.Valid() && code.Label() == t.Label {
		return fmt.Sprintf("%d %s", code, t.Name)
	}
	return t.Name
}

// A Difference is a cell in which two rule sets disagree: what one code, job code or
// event does to a step of one type in one state.
type Difference struct {
	Type  step.Type
	State step.State

	// One of these is set.
	Code    Code
	JobCode JobCode
	Event   step.Event

	Was, Is Move // the zero Move where it leads nowhere
}

func (d Difference) String() string {
	cell := fmt.Sprintf("%v on %v in %v", d.label(), d.Type, d.State)
	switch {
	case d.Event != 0 && d.Was.To == 0:
		return fmt.Sprintf("%s now leads to %v", cell, d.Is.To)
	case d.Event != 0 && d.Is.To == 0:
		return fmt.Sprintf("%s leads nowhere any more", cell)
	case d.Was.To == 0:
		return fmt.Sprintf("%s became legal, to %v", cell, d.Is.To)
	case d.Is.To == 0:
		return fmt.Sprintf("%s became illegal", cell)
	case d.Was.To != d.Is.To:
		return fmt.Sprintf("%s leads to %v instead of %v", cell, d.Is.To, d.Was.To)
	default:
		return fmt.Sprintf("%s is guarded by %v instead of %v", cell, d.Is.Guard, d.Was.Guard)
	}
}

func (d Difference) label() fmt.Stringer {
	switch {
	case d.Code != 0:
		return d.Code
	case d.JobCode != 0:
		return d.JobCode
	default:
		return d.Event
	}
}

// Diff returns every cell in which is differs from was: by type and state, and there the
// codes, the job codes and the events of the lifecycle. Types that only one of them
// declares count.
func Diff(was, is *Rules) []Difference {
	var diffs []Difference
	for t := range step.Type(64) {
		if was.kind(t) == nil && is.kind(t) == nil {
			continue
		}
		for _, s := range step.AllStates() {
			diffs = append(diffs, diffCell(was, is, t, s)...)
		}
	}
	return diffs
}

func diffCell(was, is *Rules, t step.Type, s step.State) []Difference {
	var diffs []Difference
	add := func(d Difference) {
		if d.Was != d.Is {
			d.Type, d.State = t, s
			diffs = append(diffs, d)
		}
	}
	for code := range was.Codes(t, s).Union(is.Codes(t, s)).All() {
		d := Difference{Code: code}
		d.Was, _ = was.Legal(t, s, code)
		d.Is, _ = is.Legal(t, s, code)
		add(d)
	}
	for _, code := range AllJobCodes() {
		d := Difference{JobCode: code}
		d.Was.To, _ = was.LegalJob(t, s, code)
		d.Is.To, _ = is.LegalJob(t, s, code)
		add(d)
	}
	for _, e := range step.AllEvents() {
		d := Difference{Event: e}
		d.Was.To, _ = was.On(t, s, e)
		d.Is.To, _ = is.On(t, s, e)
		add(d)
	}
	return diffs
}
