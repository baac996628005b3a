package enginetest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Rules draws rules that compile: the documented ones with up to forty changes that an
// embedder may make, wise or not, and among them now and then a step type of its own. Under
// all of them the promises hold, as a table that would break one does not compile.
func Rules() *rapid.Generator[*operation.Rules] {
	return rapid.Custom(func(t *rapid.T) *operation.Rules { return drawRules(t, tally{}) })
}

// drawRules draws rules: the documented ones with a few changes, of which those count
// that compile.
func drawRules(t *rapid.T, seen tally) *operation.Rules {
	rules := operation.Standard()
	for range rapid.IntRange(1, 20).Draw(t, "changes") {
		d := draft{t, rules.Table()}
		for range rapid.IntRange(1, 2).Draw(t, "at once") {
			change := ruleChanges[rapid.IntRange(0, len(ruleChanges)-1).Draw(t, "change")]
			t.Log(change.name)
			change.make(&d)
		}
		seen["change"]++
		compiled, err := d.Compile()
		if err != nil {
			t.Log("refused: ", err)
			seen["change that is refused"]++
			continue
		}
		seen["change that compiles"]++
		rules = compiled
	}
	return rules
}

// A ruleChange is something that an embedder may do to a table, wise or not.
type ruleChange struct {
	name string
	make func(*draft)
}

// custom is the step type of an embedder.
const custom step.Type = 32

var ruleChanges = []ruleChange{
	{"add a code", func(d *draft) {
		on := d.types()
		row := operation.Row{Code: d.code(), On: on, From: d.starts(on), To: d.end(on)}
		if rapid.Bool().Draw(d.T, "guarded") {
			row.Guard = d.guard(row)
		}
		d.Rows = append(d.Rows, row)
	}},
	{"have an event lead elsewhere", func(d *draft) {
		kind, _ := one(d, d.Kinds)
		if row, ok := one(d, kind.Lifecycle); ok {
			row.To = d.end(step.TypesOf(kind.Type))
		}
	}},
	{"let a row start in another state too", func(d *draft) {
		if row, ok := one(d, d.Rows); ok {
			row.From = row.From.With(d.start(row.On))
		}
	}},
	{"have a row lead elsewhere", func(d *draft) {
		if row, ok := one(d, d.Rows); ok {
			row.To = d.end(row.On)
		}
	}},
	{"add a type", func(d *draft) {
		if len(d.Kinds) == len(step.Kinds()) {
			model := rapid.SampledFrom(step.Kinds()).Draw(d.T, "model")
			d.Kinds = append(d.Kinds, step.Kind{Type: custom, Title: "custom", Lifecycle: model.Lifecycle})
			d.Like(custom, model.Type)
		}
	}},
	{"guard a row otherwise", func(d *draft) {
		if row, ok := one(d, d.Rows); ok {
			row.Guard = d.guard(*row)
		}
	}},
	{"let a row no longer start in a state", func(d *draft) {
		if row, ok := one(d, d.Rows); ok && row.From.Len() > 1 {
			row.From = row.From.Without(member(d, row.From))
		}
	}},
	{"let a row no longer apply to a type", func(d *draft) {
		if row, ok := one(d, d.Rows); ok && row.On.Len() > 1 {
			row.On = row.On.Without(member(d, row.On))
		}
	}},
	{"add a job row", func(d *draft) {
		on := d.types()
		d.Job = append(d.Job, operation.JobRow{Code: operation.TerminateJob, On: on, From: d.starts(on), To: d.end(on)})
	}},
	{"let a job row start in another state too", func(d *draft) {
		if row, ok := one(d, d.Job); ok {
			row.From = row.From.With(d.start(row.On))
		}
	}},
	{"have a job row lead elsewhere", func(d *draft) {
		if row, ok := one(d, d.Job); ok {
			row.To = d.end(row.On)
		}
	}},
	{"leave a type alone in a state", func(d *draft) {
		kind, _ := one(d, d.Kinds)
		state := d.start(step.TypesOf(kind.Type))
		for i, row := range d.Rows {
			if row.From.Has(state) {
				d.Rows[i].On = row.On.Without(kind.Type)
			}
		}
		for i, row := range d.Job {
			if row.From.Has(state) {
				d.Job[i].On = row.On.Without(kind.Type)
			}
		}
		d.Rows = slices.DeleteFunc(d.Rows, func(row operation.Row) bool { return row.On.Empty() })
		d.Job = slices.DeleteFunc(d.Job, func(row operation.JobRow) bool { return row.On.Empty() })
	}},
	{"drop a row", func(d *draft) { d.Rows = without(d, d.Rows) }},
	{"drop a job row", func(d *draft) { d.Job = without(d, d.Job) }},
}

// A draft is a table that is being changed.
type draft struct {
	*rapid.T
	operation.Table
}

// one draws one of some rows, if there is any.
func one[T any](d *draft, rows []T) (*T, bool) {
	if len(rows) == 0 {
		return nil, false
	}
	return &rows[rapid.IntRange(0, len(rows)-1).Draw(d.T, "row")], true
}

// without draws one of some rows and returns the others.
func without[T any](d *draft, rows []T) []T {
	if len(rows) == 0 {
		return nil
	}
	i := rapid.IntRange(0, len(rows)-1).Draw(d.T, "row")
	return slices.Delete(rows, i, i+1)
}

func member[T step.Element](d *draft, set step.Set[T]) T {
	return rapid.SampledFrom(slices.Collect(set.All())).Draw(d.T, "member")
}

// seldom is true once in a while: for what does not make sense.
func (d *draft) seldom() bool { return rapid.IntRange(0, 7).Draw(d.T, "seldom") == 7 }

// state draws one of some states, seldom of those that do not make sense.
func (d *draft) state(label string, sensible, odd []step.State) step.State {
	if d.seldom() {
		sensible = odd
	}
	return rapid.SampledFrom(sensible).Draw(d.T, label)
}

func (d *draft) code() operation.Code {
	return operation.Code(rapid.IntRange(32, 35).Draw(d.T, "code"))
}

// types draws one type, or all that are entered as it is.
func (d *draft) types() step.Types {
	kind, _ := one(d, d.Kinds)
	types := step.TypesOf(kind.Type)
	if rapid.Bool().Draw(d.T, "and its like") {
		for _, k := range d.Kinds {
			if k.Enters() == kind.Enters() {
				types = types.With(k.Type)
			}
		}
	}
	return types
}

// ask reports whether one of some types asks a person.
func (d *draft) ask(on step.Types) bool {
	return slices.ContainsFunc(d.Kinds, func(k step.Kind) bool { return on.Has(k.Type) && k.Enters() == step.Waiting })
}

// start draws a state for a row to start in.
func (d *draft) start(on step.Types) step.State {
	sensible := []step.State{step.Running, step.Failed, step.Terminating, step.Abnormal, step.Terminated, step.Abandoned}
	if d.ask(on) {
		sensible = []step.State{step.Waiting, step.ConfirmationTerminated, step.Terminated}
	}
	return d.state("from", sensible, []step.State{step.Pending, step.Succeeded, step.Skipped, step.ErrorIgnored, step.Waiting, step.Running})
}

func (d *draft) starts(on step.Types) (states step.States) {
	for range rapid.IntRange(1, 3).Draw(d.T, "states") {
		states = states.With(d.start(on))
	}
	return states
}

// end draws a state for a row to lead to.
func (d *draft) end(on step.Types) step.State {
	sensible := []step.State{step.Terminated, step.Failed, step.Abnormal, step.Skipped, step.Abandoned, step.ErrorIgnored, step.Succeeded}
	if d.ask(on) {
		sensible = append(sensible, step.Waiting, step.ConfirmationTerminated)
	} else {
		sensible = append(sensible, step.Running, step.Running, step.Terminating)
	}
	return d.state("to", sensible, []step.State{step.Waiting, step.Running, step.Pending, step.Terminating})
}

// guard draws a guard for a row.
func (d *draft) guard(row operation.Row) operation.Guard {
	guards := []operation.Guard{operation.Unguarded}
	switch {
	case d.seldom():
		guards = append(guards, operation.DueOnly, operation.ConfirmerOnly)
	case d.ask(row.On):
		guards = append(guards, operation.ConfirmerOnly)
	case row.To == step.Running:
		guards = append(guards, operation.DueOnly)
	}
	return rapid.SampledFrom(guards).Draw(d.T, "guard")
}
