package enginetest

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Rules with any single change of the documented ones do not compile, or CheckRules finds the change:
// both by look-ups and by decisions.
func TestCheckRulesCatchesEveryMutant(t *testing.T) {
	t.Parallel()
	compiled, refused := compiledMutants()
	all, caught, same := refused, 0, 0
	for _, m := range compiled {
		name, rules := m.name, m.rules
		diff := operation.Diff(operation.Standard(), rules)
		if len(diff) == 0 {
			same++
			t.Errorf("%s: equivalent", name)
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
		case len(decided.cells) == 0 && !decidedAlike(diff):
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

// compiledMutants returns the mutants that compile, and the number of the others.
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

// mutants yields every table that differs from a table in one point, with the change.
func mutants(table operation.Table) iter.Seq2[string, operation.Table] {
	return func(yield func(string, operation.Table) bool) {
		more := true
		mutate := func(name string, change func(t *operation.Table)) {
			if more {
				t := operation.Table{Kinds: slices.Clone(table.Kinds), Rows: slices.Clone(table.Rows)}
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
			name := fmt.Sprintf("row %d, %v", i+1, row.Cause)
			mutate(name+" dropped", func(t *operation.Table) { t.Rows = slices.Delete(t.Rows, i, i+1) })
			for _, cause := range append(step.AllCauses(), 0, 32, 64, 128, step.JobCause(32)) {
				if cause != row.Cause {
					mutate(fmt.Sprintf("%s as %v", name, cause), func(t *operation.Table) { t.Rows[i].Cause = cause })
				}
			}
			for what, on := range toggled(row.On, types) {
				mutate(name+what, func(t *operation.Table) { t.Rows[i].On = on })
			}
			if !row.On.Empty() {
				mutate(name+" for the whole job", func(t *operation.Table) { t.Rows[i].On = step.Types{} })
			}
			mutate(name+" seals the whole job", func(t *operation.Table) {
				t.Rows[i].On, t.Rows[i].To, t.Rows[i].Do, t.Rows[i].Guard = step.Types{}, 0, step.Seal, operation.Free
			})
			for what, from := range toggled(row.From, step.AllStates()) {
				mutate(name+what, func(t *operation.Table) { t.Rows[i].From = from })
			}
			for to := range otherStates(row.To) {
				mutate(fmt.Sprintf("%s to %v", name, to), func(t *operation.Table) { t.Rows[i].To = to })
			}
			for do := range otherDos(row.Do) {
				mutate(fmt.Sprintf("%s with %v", name, do), func(t *operation.Table) { t.Rows[i].Do = do })
			}
			for _, guard := range append(operation.AllGuards(), operation.Free, operation.Unfinal+1) {
				if guard != row.Guard {
					mutate(fmt.Sprintf("%s guarded by %v", name, guard), func(t *operation.Table) { t.Rows[i].Guard = guard })
				}
			}
		}
		for _, s := range step.AllStates() {
			mutate(fmt.Sprintf("a seal in %v", s), func(t *operation.Table) {
				t.Rows = append(t.Rows, operation.Row{Cause: step.JobCause(32), From: step.StatesOf(s), Do: step.Seal})
			})
		}

		for k, kind := range table.Kinds {
			mutate(fmt.Sprintf("type %v dropped", kind.Type), func(t *operation.Table) { t.Kinds = slices.Delete(t.Kinds, k, k+1) })
			for i, row := range kind.Lifecycle {
				name := fmt.Sprintf("%v row %d, %v", kind.Type, i+1, row.Cause)
				change := func(what string, change func(*step.Transition)) {
					mutate(name+what, func(t *operation.Table) { change(&t.Kinds[k].Lifecycle[i]) })
				}
				mutate(name+" dropped", func(t *operation.Table) {
					t.Kinds[k].Lifecycle = slices.Delete(t.Kinds[k].Lifecycle, i, i+1)
				})
				for _, cause := range append(step.AllCauses(), 0, 32, 64, 128, step.JobCause(32)) {
					if cause != row.Cause {
						change(fmt.Sprintf(" on %v", cause), func(r *step.Transition) { r.Cause = cause })
					}
				}
				for do := range otherDos(row.Do) {
					change(fmt.Sprintf(" with %v", do), func(r *step.Transition) { r.Do = do })
				}
				for what, from := range toggled(row.From, step.AllStates()) {
					change(what, func(r *step.Transition) { r.From = from })
				}
				for to := range otherStates(row.To) {
					change(fmt.Sprintf(" to %v", to), func(r *step.Transition) { r.To = to })
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

// decidedAlike reports whether no decision shows a difference of rules: before the first attempt every
// target is due.
func decidedAlike(diff []operation.Difference) bool {
	for _, d := range diff {
		was, is := d.Was, d.Is
		if d.Type == 0 && d.State.OfJob(true) != d.State { // no job is in it
			continue
		}
		if d.State == step.Pending && is.Guard == operation.SomeDue {
			is.Guard = was.Guard
		}
		if was != is {
			return false
		}
	}
	return true
}

// otherDos yields every consequence but one, and none.
func otherDos(but step.Do) iter.Seq[step.Do] {
	return func(yield func(step.Do) bool) {
		for _, do := range append(step.AllDos(), 0) {
			if do != but && !yield(do) {
				return
			}
		}
	}
}

// All rules that compile pass once the model has them too: decisions follow from the cells, and from
// nothing that only the documented rules have.
func TestCheckRulesPassesWhateverIsExpected(t *testing.T) {
	testkit.ChecksBy(t, 100)
	seen := tally{}
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t, seen)
		if err := CheckRules(rules, modelOf(rules)); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%v", seen)
}

// modelOf returns the model of rules, cell by cell.
func modelOf(rules *operation.Rules) *model.Rules {
	m := model.Documented()
	for _, t := range m.Types() {
		m.Drop(t)
	}
	for _, t := range rules.Types() {
		for _, s := range step.AllStates() {
			for cause := range rowCauses {
				if move, ok := rules.Move(t, s, cause); ok {
					m.Allow(t, s, cause, move.To, move.Do, move.Guard)
				}
			}
		}
	}
	for _, s := range step.AllStates() {
		for cause := range rowCauses {
			m.ForbidWhole(s, cause)
			if move, ok := rules.Whole(s, cause); ok {
				m.AllowWhole(s, cause, move.Do, move.Guard)
			}
		}
	}
	return m
}
