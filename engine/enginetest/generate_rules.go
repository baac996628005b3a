package enginetest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Rules draws rules that compile: the documented ones with up to forty changes that an embedder
// may make, sensible or not, sometimes with a step type of their own. The promises hold under all
// of them, as a table that would break one does not compile.
func Rules() *rapid.Generator[*operation.Rules] {
	return rapid.Custom(func(t *rapid.T) *operation.Rules { return drawRules(t, tally{}) })
}

// drawRules draws rules: the documented ones with a few changes. Changes that do not compile are
// undone.
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

// A ruleChange is a change of a table that an embedder may make, sensible or not.
type ruleChange struct {
	name string
	make func(*draft)
}

// custom is the step type of an embedder.
const custom step.Type = 32

var ruleChanges = []ruleChange{
	{"add a code", func(d *draft) {
		row := d.follow(operation.Row{Cause: d.cause(), On: d.types()})
		if rapid.Bool().Draw(d.T, "guarded") {
			row.Guard = d.guard(row)
		}
		d.Rows = append(d.Rows, row)
	}},
	{"add a row for the whole job", func(d *draft) {
		row := operation.Row{Cause: step.JobCause(d.number()), Do: step.Seal, From: d.starts(step.Seal, step.Types{})}
		if d.seldom() {
			row.Do = rapid.SampledFrom([]step.Do{step.Hold, step.Note, step.End}).Draw(d.T, "do")
		}
		d.Rows = append(d.Rows, row)
	}},
	{"have an event lead elsewhere", func(d *draft) {
		kind, _ := one(d, d.Kinds)
		if row, ok := one(d, kind.Lifecycle); ok {
			row.Do = rapid.SampledFrom([]step.Do{step.End, step.Accept, step.End, step.Pass}).Draw(d.T, "do")
			row.To = d.end(row.Do, step.TypesOf(kind.Type))
		}
	}},
	{"let a row start in another state too", func(d *draft) {
		if row, ok := one(d, d.Rows); ok {
			row.From = row.From.With(d.start(row.Do, row.On))
		}
	}},
	{"have a row lead elsewhere", func(d *draft) {
		if row, ok := one(d, d.Rows); ok {
			row.To = d.end(row.Do, row.On)
		}
	}},
	{"have something else follow a row", func(d *draft) {
		if row, ok := one(d, d.Rows); ok {
			*row = d.follow(*row)
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
	{"add a row that terminates", func(d *draft) {
		d.Rows = append(d.Rows, d.follow(operation.Row{Cause: operation.TerminateJob.Cause(), On: d.types()}))
	}},
	{"leave a type alone in a state", func(d *draft) {
		kind, _ := one(d, d.Kinds)
		only := step.TypesOf(kind.Type)
		state := d.start(step.Pass, only)
		d.Rows = slices.DeleteFunc(d.Rows, func(row operation.Row) bool { return row.On == only && row.From.Has(state) })
		for i, row := range d.Rows {
			if row.From.Has(state) {
				d.Rows[i].On = row.On.Without(kind.Type)
			}
		}
	}},
	{"drop a row", func(d *draft) { d.Rows = without(d, d.Rows) }},
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

// seldom is true once in eight times, for choices that make no sense.
func (d *draft) seldom() bool { return rapid.IntRange(0, 7).Draw(d.T, "seldom") == 7 }

// state draws one of the sensible states, or seldom an odd one.
func (d *draft) state(label string, sensible, odd []step.State) step.State {
	if d.seldom() {
		sensible = odd
	}
	return rapid.SampledFrom(sensible).Draw(d.T, label)
}

// number draws the number of an embedder's operation, mostly the one that others may have rows for already.
func (d *draft) number() uint8 {
	return rapid.SampledFrom([]uint8{32, 32, 32, 33, 34, 35}).Draw(d.T, "code")
}

// cause draws an embedder's operation on a step or, less often, on a job.
func (d *draft) cause() step.Cause {
	if rapid.IntRange(0, 3).Draw(d.T, "on the job") == 3 {
		return step.JobCause(d.number())
	}
	return step.Cause(d.number())
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

// follow returns a row with a consequence that is drawn, and the states that it needs.
func (d *draft) follow(row operation.Row) operation.Row {
	sensible := []step.Do{step.RunAll, step.RunDue, step.Accept, step.Pass, step.Stop, step.End}
	if d.ask(row.On) {
		sensible = []step.Do{step.Ask, step.Vote, step.Pass, step.End}
	}
	if d.seldom() {
		sensible = step.AllDos()
	}
	row.Do = rapid.SampledFrom(sensible).Draw(d.T, "do")
	row.From, row.To = d.starts(row.Do, row.On), d.end(row.Do, row.On)
	if row.Cause.OfJob() && (row.Do == step.End || row.Do == step.Pass) && rapid.Bool().Draw(d.T, "before the start") {
		row.From = row.From.With(step.Pending)
	}
	if row.Guard = operation.Free; row.Do == step.RunDue && !d.seldom() {
		row.Guard = operation.SomeDue
	}
	return row
}

// start draws a state for a row with a consequence to start in.
func (d *draft) start(do step.Do, on step.Types) step.State {
	underWay := []step.State{step.Running, step.Terminating}
	ended := []step.State{step.Failed, step.Abnormal, step.Terminated, step.Abandoned}
	if d.ask(on) {
		underWay = []step.State{step.Waiting}
		ended = []step.State{step.ConfirmationTerminated, step.Terminated}
	}
	sensible := ended
	switch do {
	case step.Enter:
		sensible = []step.State{step.Pending}
	case step.Vote, step.Stop:
		sensible = underWay[:1]
	case step.End:
		sensible = underWay
	case step.Pass:
		sensible = slices.Concat(underWay, ended)
	case step.Seal:
		sensible = append(ended, step.Succeeded, step.ConfirmationTerminated)
	}
	return d.state("from", sensible, []step.State{step.Pending, step.Succeeded, step.Skipped, step.ErrorIgnored, step.Waiting, step.Running})
}

func (d *draft) starts(do step.Do, on step.Types) (states step.States) {
	for range rapid.IntRange(1, 3).Draw(d.T, "states") {
		states = states.With(d.start(do, on))
	}
	return states
}

// end draws a state for a row with a consequence to lead to.
func (d *draft) end(do step.Do, on step.Types) step.State {
	var sensible []step.State
	switch do {
	case step.RunAll, step.RunDue, step.RunNext:
		sensible = []step.State{step.Running}
	case step.Ask:
		sensible = []step.State{step.Waiting}
	case step.Enter:
		sensible = []step.State{step.Running}
		if d.ask(on) {
			sensible = []step.State{step.Waiting}
		}
	case step.Stop:
		sensible = []step.State{step.Terminating}
	case step.Accept, step.Vote, step.Pass:
		sensible = []step.State{step.Skipped, step.ErrorIgnored, step.Succeeded}
	case step.End:
		sensible = []step.State{step.Terminated, step.Failed, step.Abnormal, step.Abandoned}
		if d.ask(on) {
			sensible = append(sensible, step.ConfirmationTerminated)
		}
	default:
		sensible = []step.State{0}
	}
	return d.state("to", sensible, []step.State{step.Waiting, step.Running, step.Pending, step.Terminating})
}

// guard draws a guard for a row.
func (d *draft) guard(row operation.Row) operation.Guard {
	guards := []operation.Guard{operation.Free}
	switch {
	case d.seldom():
		guards = append(guards, operation.SomeDue, operation.Approver)
	case row.Do == step.RunDue:
		guards = []operation.Guard{operation.SomeDue}
	case d.ask(row.On):
		guards = append(guards, operation.Approver)
	default:
		guards = append(guards, operation.SomeDue)
	}
	return rapid.SampledFrom(guards).Draw(d.T, "guard")
}
