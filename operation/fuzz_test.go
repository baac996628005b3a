package operation_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// An alphabet prints what it reads, and reads what it prints. It reads nothing else.
func FuzzAlphabets(f *testing.F) {
	for _, s := range []string{"retry_failed", "12", "13", "custom-32", "custom-64", "start_job", "2", "some_due", "0", "not_confirmer", "11", "final", "21", "", "Retry_Failed", "\xf0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		testkit.Spell(t, s, operation.Code.Valid, operation.ParseCode)
		testkit.Spell(t, s, operation.JobCode.Valid, operation.ParseJobCode)
		testkit.Spell(t, s, func(r operation.Reason) bool { return slices.Contains(operation.AllReasons(), r) }, operation.ParseReason)
		testkit.Spell(t, s, operation.Guard.Valid, nil)
	})
}

// Rules in JSON are refused, or they are the same rules after any number of readings.
func FuzzParseTable(f *testing.F) {
	for _, edit := range []func(*operation.Table){func(*operation.Table) {}, withType, func(t *operation.Table) { t.Kinds = t.Kinds[:1] }} {
		data, err := json.Marshal(table(edit))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := operation.ParseTable(data)
		if err != nil {
			return
		}
		same(t, table)
	})
}

// Standard rules with any edits, wise or not, are refused, or compile to rules that print
// and that JSON keeps.
func FuzzCompile(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 3, 2, 1})
	f.Add([]byte{1, 0, 14, 40, 2, 3, 255, 200})
	f.Fuzz(func(t *testing.T, edits []byte) { same(t, edited(edits)) })
}

// same asserts that a table that compiles is the same when it has been written and read.
func same(t *testing.T, table operation.Table) {
	t.Helper()
	rules, err := table.Compile()
	if err != nil {
		return
	}
	data, err := json.Marshal(rules.Table())
	if err != nil {
		t.Fatalf("rules that compile do not marshal: %v\n%+v", err, table)
	}
	back, err := operation.ParseTable(data)
	if err != nil {
		t.Fatalf("rules that compile are written so that they do not read: %v\n%s", err, data)
	}
	if !reflect.DeepEqual(back, rules.Table()) {
		t.Fatalf("%s reads as\n%+v, it was written as\n%+v", data, back, rules.Table())
	}
	again, err := back.Compile()
	if err != nil {
		t.Fatalf("rules that compiled do not any more when they have been read: %v\n%s", err, data)
	}
	if diffs := operation.Diff(rules, again); len(diffs) > 0 {
		t.Fatalf("rules differ when they have been written and read: %v\n%s", diffs, data)
	}
	_ = rules.Markdown()
	for _, typ := range rules.Types() {
		if rules.Mermaid(typ) == "" || rules.Machine(typ) == nil {
			t.Fatalf("type %v is declared and has no machine:\n%s", typ, data)
		}
		for _, state := range step.AllStates() {
			for code := range rules.Legal(operation.Standing{Type: typ, State: state}).All() {
				if move, ok := rules.Move(typ, state, code); !ok || move.To.Valid() == move.Do.Stays() {
					t.Fatalf("%v on %v in %v is legal and leads to %v, %v:\n%s", code, typ, state, move.To, ok, data)
				}
			}
		}
	}
}

// edited returns the standard table with the edits that bytes stand for: any value anywhere.
func edited(bytes []byte) operation.Table {
	t := operation.StandardTable()
	next := func() byte {
		if len(bytes) == 0 {
			return 0
		}
		b := bytes[0]
		bytes = bytes[1:]
		return b
	}
	for range 20 {
		if len(bytes) == 0 {
			break
		}
		switch what, row, kind := next()%13, int(next()), &t.Kinds[int(next())%len(t.Kinds)]; what {
		case 0:
			t.Rows = append(t.Rows, operation.Row{
				Cause: step.Cause(next()), On: step.TypesOf(step.Type(next())), From: step.StatesOf(step.State(next()), step.State(next())),
				To: step.State(next()), Do: step.Do(next()), Guard: operation.Guard(next()),
			})
		case 1:
			t.Rows = append(t.Rows, operation.Row{Cause: step.JobCause(next()), From: step.StatesOf(step.State(next())), Do: step.Do(next())})
		case 2:
			typ := step.Type(next())
			t.Kinds = append(t.Kinds, step.Kind{Type: typ, Title: string(rune(next())), Lifecycle: kind.Lifecycle})
			t.Like(typ, kind.Type)
		case 3:
			t.Rows[row%len(t.Rows)].To = step.State(next())
		case 4:
			t.Rows[row%len(t.Rows)].From = t.Rows[row%len(t.Rows)].From.With(step.State(next()))
		case 5:
			t.Rows[row%len(t.Rows)].From = t.Rows[row%len(t.Rows)].From.Without(step.State(next()))
		case 6:
			t.Rows[row%len(t.Rows)].Guard = operation.Guard(next())
		case 7:
			t.Rows[row%len(t.Rows)].Cause = step.Cause(next())
		case 8:
			t.Rows[row%len(t.Rows)].On = t.Rows[row%len(t.Rows)].On.With(step.Type(next()))
		case 9:
			t.Rows[row%len(t.Rows)].Do = step.Do(next())
		case 10:
			t.Rows[row%len(t.Rows)].On = step.Types{}
		case 11:
			if n := len(kind.Lifecycle); n > 0 {
				kind.Lifecycle[row%n] = step.Transition{Cause: step.Cause(next()), From: step.StatesOf(step.State(next())), To: step.State(next()), Do: step.Do(next())}
			}
		case 12:
			if n := len(kind.Lifecycle); n > 0 {
				kind.Lifecycle = kind.Lifecycle[:row%n]
			}
		}
	}
	return t
}
