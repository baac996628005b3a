package enginetest

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Whatever one thing is changed about the documented rules: they do not compile any more, or
// CheckRules says so; by looking them up, and by deciding on them as well.
func TestCheckRulesCatchesEveryMutant(t *testing.T) {
	t.Parallel()
	compiled, refused := compiledMutants()
	all, caught, same := refused, 0, 0
	for _, m := range compiled {
		name, rules := m.name, m.rules
		diff := operation.Diff(operation.Standard(), rules)
		if len(diff) == 0 {
			same++
			continue
		}
		all++
		looked := newRulesCheck(rules, nil)
		looked.lookups()
		decided := newRulesCheck(rules, nil)
		decided.most, decided.types = 1, []step.Type{diff[0].Type} // where to look first, to be done sooner
		decided.decisions()
		switch {
		case len(looked.cells) == 0 && len(decided.cells) == 0:
			t.Errorf("%s: not caught: %v", name, diff)
			continue
		case len(looked.cells) != len(diff):
			t.Errorf("%s: looking up finds %d cells, want the %d that differ: %v", name, len(looked.cells), len(diff), looked.cells)
		case len(decided.cells) == 0:
			t.Errorf("%s: caught by looking up, but not by deciding: %v", name, looked.cells)
		}
		caught++
	}
	t.Logf("rule mutants: %d of %d caught, %d refused by Compile, %d by CheckRules; %d equivalent", refused+caught, all, refused, caught, same)
	if all < 1000 || refused == all || same > 0 {
		t.Errorf("%d mutants, %d of them refused, %d equivalent: want 1000 at least, and none that is equivalent", all, refused, same)
	}
}

// A mutant is rules that differ from the documented ones in one point.
type mutant struct {
	name  string // says in which
	rules *operation.Rules
}

// compiledMutants returns the mutants that compile, and how many do not.
var compiledMutants = sync.OnceValues(func() (compiled []mutant, refused int) {
	for name, table := range mutants(operation.StandardTable()) {
		if rules, err := table.Compile(); err == nil {
			compiled = append(compiled, mutant{name, rules})
		} else {
			refused++
		}
	}
	return compiled, refused
})

// mutants yields every table that differs from a table in one point, with what was changed.
func mutants(table operation.Table) iter.Seq2[string, operation.Table] {
	return func(yield func(string, operation.Table) bool) {
		more := true
		mutate := func(name string, change func(t *operation.Table)) {
			if more {
				t := operation.Table{Kinds: slices.Clone(table.Kinds), Rows: slices.Clone(table.Rows), Job: slices.Clone(table.Job)}
				for i := range t.Kinds {
					t.Kinds[i].Lifecycle = slices.Clone(t.Kinds[i].Lifecycle)
				}
				change(&t)
				more = yield(name, t)
			}
		}
		types := make([]step.Type, len(table.Kinds))
		for i, kind := range table.Kinds {
			types[i] = kind.Type
		}

		for i, row := range table.Rows {
			name := fmt.Sprintf("row %d, %v", i+1, row.Code)
			mutate(name+" dropped", func(t *operation.Table) { t.Rows = slices.Delete(t.Rows, i, i+1) })
			for _, code := range append(operation.AllCodes(), 32) {
				if code != row.Code {
					mutate(fmt.Sprintf("%s as %v", name, code), func(t *operation.Table) { t.Rows[i].Code = code })
				}
			}
			for what, on := range toggled(row.On, types) {
				mutate(name+what, func(t *operation.Table) { t.Rows[i].On = on })
			}
			for what, from := range toggled(row.From, step.AllStates()) {
				mutate(name+what, func(t *operation.Table) { t.Rows[i].From = from })
			}
			for to := range otherStates(row.To) {
				mutate(fmt.Sprintf("%s to %v", name, to), func(t *operation.Table) { t.Rows[i].To = to })
			}
			for _, guard := range []operation.Guard{operation.Unguarded, operation.DueOnly, operation.ConfirmerOnly} {
				if guard != row.Guard {
					mutate(fmt.Sprintf("%s guarded by %v", name, guard), func(t *operation.Table) { t.Rows[i].Guard = guard })
				}
			}
		}

		for i, row := range table.Job {
			name := fmt.Sprintf("job row %d, %v", i+1, row.Code)
			mutate(name+" dropped", func(t *operation.Table) { t.Job = slices.Delete(t.Job, i, i+1) })
			for _, code := range operation.AllJobCodes() {
				if code != row.Code {
					mutate(fmt.Sprintf("%s as %v", name, code), func(t *operation.Table) { t.Job[i].Code = code })
				}
			}
			for what, on := range toggled(row.On, types) {
				mutate(name+what, func(t *operation.Table) { t.Job[i].On = on })
			}
			for what, from := range toggled(row.From, step.AllStates()) {
				mutate(name+what, func(t *operation.Table) { t.Job[i].From = from })
			}
			for to := range otherStates(row.To) {
				mutate(fmt.Sprintf("%s to %v", name, to), func(t *operation.Table) { t.Job[i].To = to })
			}
		}

		for k, kind := range table.Kinds {
			mutate(fmt.Sprintf("type %v dropped", kind.Type), func(t *operation.Table) { t.Kinds = slices.Delete(t.Kinds, k, k+1) })
			for i, row := range kind.Lifecycle {
				name := fmt.Sprintf("%v row %d, %v", kind.Type, i+1, row.On)
				change := func(what string, change func(*step.Row)) {
					mutate(name+what, func(t *operation.Table) { change(&t.Kinds[k].Lifecycle[i]) })
				}
				mutate(name+" dropped", func(t *operation.Table) {
					t.Kinds[k].Lifecycle = slices.Delete(t.Kinds[k].Lifecycle, i, i+1)
				})
				for _, event := range step.AllEvents() {
					if event != row.On {
						change(fmt.Sprintf(" on %v", event), func(r *step.Row) { r.On = event })
					}
				}
				for what, from := range toggled(row.From, step.AllStates()) {
					change(what, func(r *step.Row) { r.From = from })
				}
				for to := range otherStates(row.To) {
					change(fmt.Sprintf(" to %v", to), func(r *step.Row) { r.To = to })
				}
			}
		}
	}
}

// toggled yields set with one more of some values, or one less, and which it is.
func toggled[T step.Element](set step.Set[T], values []T) iter.Seq2[string, step.Set[T]] {
	return func(yield func(string, step.Set[T]) bool) {
		for _, v := range values {
			other, what := set.With(v), " also for "
			if set.Has(v) {
				other, what = set.Without(v), " no longer for "
			}
			if !yield(what+v.String(), other) {
				return
			}
		}
	}
}

// otherStates yields every state but one.
func otherStates(but step.State) iter.Seq[step.State] {
	return func(yield func(step.State) bool) {
		for _, s := range step.AllStates() {
			if s != but && !yield(s) {
				return
			}
		}
	}
}

// Whatever rules compile, they pass once the model is told of them: what is decided follows
// from the cells, and from nothing that only the documented rules have.
func TestCheckRulesPassesWhateverIsExpected(t *testing.T) {
	t.Parallel()
	const sampled = 18 // one in so many is looked at
	compiled, _ := compiledMutants()
	for i := sampled - 1; i < len(compiled); i += sampled {
		m := compiled[i]
		if err := CheckRules(m.rules, modelOf(m.rules)); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	t.Logf("rules that are expected: %d of the %d mutants that compile looked at", len(compiled)/sampled, len(compiled))
}

// modelOf tells the model of rules, cell by cell.
func modelOf(rules *operation.Rules) *model.Rules {
	m := model.Documented()
	for _, t := range m.Types() {
		m.Drop(t)
	}
	for _, t := range rules.Types() {
		for _, s := range step.AllStates() {
			for code := range operation.Code(64) {
				if move, ok := rules.Legal(t, s, code); ok {
					m.Allow(t, s, code, move.To, move.Guard)
				}
			}
			for _, code := range operation.AllJobCodes() {
				if to, ok := rules.LegalJob(t, s, code); ok {
					m.AllowJob(t, s, code, to)
				}
			}
			for _, e := range step.AllEvents() {
				if to, ok := rules.On(t, s, e); ok {
					m.Lead(t, s, e, to)
				}
			}
		}
	}
	return m
}
