package operation_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/looplab/fsm"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// custom is a type, and its code, of an embedder's own.
const (
	custom     step.Type      = 32
	customCode operation.Code = 32
)

// table returns the documented table after f has changed it.
func table(f func(t *operation.Table)) operation.Table {
	t := operation.StandardTable()
	f(&t)
	return t
}

// withType adds a type like script to t.
func withType(t *operation.Table) {
	kind := t.Kinds[0]
	kind.Type, kind.Title = custom, "container run"
	t.Kinds = append(t.Kinds, kind)
	t.Like(custom, step.Script)
}

func compile(t *testing.T, table operation.Table) *operation.Rules {
	t.Helper()
	r, err := table.Compile()
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return r
}

// where is the documented legality as the reference gives it; engine/testdata has the
// same as a grid, with everything that follows.
var where = map[operation.Code]struct {
	on    []step.Type
	from  []step.State
	to    step.State
	guard operation.Guard
}{
	2:  {[]step.Type{1, 2, 4}, []step.State{4, 9, 11}, 2, operation.DueOnly},
	3:  {[]step.Type{1, 2, 4}, []step.State{4, 9}, 6, operation.Unguarded},
	6:  {[]step.Type{3}, []step.State{7}, 3, operation.ConfirmerOnly},
	8:  {[]step.Type{1, 2, 4}, []step.State{4, 9, 11}, 2, operation.Unguarded},
	9:  {[]step.Type{3}, []step.State{7}, 13, operation.ConfirmerOnly},
	10: {[]step.Type{3}, []step.State{13}, 7, operation.Unguarded},
	11: {[]step.Type{1, 2, 4}, []step.State{11}, 5, operation.Unguarded},
	12: {[]step.Type{1, 2, 4}, []step.State{10, 11}, 5, operation.Unguarded},
}

// Every type, state and code that their number can name, documented or not: Legal says
// where a code leads, Codes what is legal in a state, States where a code is legal.
func TestTheStandardRulesAreThoseOfTheReference(t *testing.T) {
	r := operation.Standard()
	for typ := range step.Type(255) {
		for s := range step.State(255) {
			if t.Failed() {
				return // one state says it all
			}
			for code := range operation.Code(255) {
				w, ok := where[code]
				ok = ok && slices.Contains(w.on, typ) && slices.Contains(w.from, s)
				want := operation.Move{}
				if ok {
					want = operation.Move{To: w.to, Guard: w.guard}
				}
				if got, legal := r.Legal(typ, s, code); legal != ok || got != want {
					t.Errorf("Legal(%v, %v, %v) = %v, %v; want %v, %v", typ, s, code, got, legal, want, ok)
				}
				if code < 64 && (r.Codes(typ, s).Has(code) != ok || s < 64 && r.States(typ, code).Has(s) != ok) {
					t.Errorf("Codes(%v, %v) = %v and States(%v, %v) = %v; want %v", typ, s, r.Codes(typ, s), typ, code, r.States(typ, code), ok)
				}
			}
			for code := range operation.JobCode(255) {
				want := step.State(0)
				switch work := typ == 1 || typ == 2 || typ == 4; {
				case code == 1 && work && s == 2:
					want = 10
				case code == 1 && typ == 3 && s == 7:
					want = 11
				case code == 2 && work && s == 1:
					want = 2
				case code == 2 && typ == 3 && s == 1:
					want = 7
				}
				if got, legal := r.LegalJob(typ, s, code); got != want || legal != (want != 0) {
					t.Errorf("LegalJob(%v, %v, %v) = %v, %v; want %v", typ, s, code, got, legal, want)
				}
				if s < 64 && code < 64 && (r.JobCodes(typ, s).Has(code) != (want != 0) || r.JobStates(typ, code).Has(s) != (want != 0)) {
					t.Errorf("JobCodes(%v, %v) = %v and JobStates(%v, %v) = %v; want %v", typ, s, r.JobCodes(typ, s), typ, code, r.JobStates(typ, code), want != 0)
				}
			}
		}
	}
}

func TestTheStandardRulesDeclareTheDocumentedTypesAndCodes(t *testing.T) {
	r := operation.Standard()
	if got, want := r.Types(), []step.Type{1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("Types() = %v, want %v", got, want)
	}
	if got, want := r.AllCodes(), operation.CodesOf(2, 3, 6, 8, 9, 10, 11, 12); got != want {
		t.Errorf("AllCodes() = %v, want %v", got, want)
	}
	for typ, want := range map[step.Type]step.State{0: 0, 1: 2, 2: 2, 3: 7, 4: 2, 5: 0, 32: 0, 63: 0, 64: 0, 255: 0} {
		if got := r.Enters(typ); got != want {
			t.Errorf("Enters(%v) = %v, want %v", typ, got, want)
		}
		kind, ok := r.Kind(typ)
		if ok != (want != 0) || ok && (kind.Type != typ || kind.Title == "") {
			t.Errorf("Kind(%v) = %+v, %v", typ, kind, ok)
		}
		if got := r.Machine(typ) != nil; got != ok {
			t.Errorf("Machine(%v) != nil is %v, want %v", typ, got, ok)
		}
	}
}

// What a lifecycle event does is in engine/testdata/reports.txt; here only that events,
// types and states that do not exist lead nowhere.
func TestEventsOfTheUnknownLeadNowhere(t *testing.T) {
	r := operation.Standard()
	if to, ok := r.On(step.Script, step.Running, step.Broke); to != step.Abnormal || !ok {
		t.Errorf("On(script, running, abnormal) = %v, %v; want abnormal", to, ok)
	}
	for _, c := range []struct {
		typ   step.Type
		state step.State
		event step.Event
	}{{0, 2, 6}, {32, 2, 6}, {200, 2, 6}, {1, 0, 6}, {1, 8, 6}, {1, 18, 6}, {1, 2, 0}, {1, 2, 10}, {1, 2, 138}, {1, 2, 255}} {
		if to, ok := r.On(c.typ, c.state, c.event); ok {
			t.Errorf("On(%d, %d, %d) = %v, want nowhere", c.typ, c.state, c.event, to)
		}
	}
}

// The compiled table and a looplab/fsm machine of it agree on every type, state and label.
func TestEveryMachineAgreesWithLooplab(t *testing.T) {
	for _, r := range []*operation.Rules{operation.Standard(), compile(t, table(withType))} {
		for _, typ := range r.Types() {
			m := r.Machine(typ)
			for _, s := range step.AllStates() {
				for _, row := range m.Transitions() {
					peer := m.FSM(s)
					to, legal := m.Next(s, row.Label)
					if can := peer.Can(row.Name); can != legal {
						t.Errorf("%v: %s in %v: looplab says %v, Next says %v", typ, row.Name, s, can, legal)
					}
					err := peer.Event(context.Background(), row.Name)
					if moved := err == nil || errors.As(err, new(fsm.NoTransitionError)); moved != legal || legal && peer.Current() != to.String() {
						t.Errorf("%v: %s in %v: looplab goes to %s (%v), Next to %v, %v", typ, row.Name, s, peer.Current(), err, to, legal)
					}
				}
				for _, code := range operation.AllCodes() {
					_, legal := r.Legal(typ, s, code)
					if can := m.FSM(s).Can(code.String()); can != legal {
						t.Errorf("%v: %v in %v: looplab says %v, Legal says %v", typ, code, s, can, legal)
					}
				}
			}
		}
	}
}

func TestCompileSaysWhichRowIsWrongAndHow(t *testing.T) {
	row := func(code operation.Code, on step.Type, from, to step.State, g operation.Guard) func(*operation.Table) {
		return func(t *operation.Table) {
			t.Rows = []operation.Row{{Code: code, On: step.TypesOf(on), From: step.StatesOf(from), To: to, Guard: g}}
		}
	}
	jobRow := func(code operation.JobCode, on step.Type, from, to step.State) func(*operation.Table) {
		return func(t *operation.Table) {
			t.Job = append(t.Job, operation.JobRow{Code: code, On: step.TypesOf(on), From: step.StatesOf(from), To: to})
		}
	}
	const (
		script, asks      = step.Script, step.Confirmation
		failed, running   = step.Failed, step.Running
		skipped, abnormal = step.Skipped, step.Abnormal
	)
	for _, c := range []struct {
		edit func(*operation.Table)
		want string
	}{
		// step types
		{func(t *operation.Table) { t.Kinds[0].Type = 9 }, "rules: step type 9: not declared; 32 to 63 are for embedders"},
		{func(t *operation.Table) { t.Kinds[1].Type = script }, "rules: step type script is declared twice"},
		{func(t *operation.Table) { t.Kinds[2].Lifecycle = nil }, "rules: step type confirmation: on entry it must go from pending to running or waiting, not to state(0)"},
		{func(t *operation.Table) { t.Job = t.Job[:3] }, "rules: step type confirmation: no row starts a job whose first step it is"},
		{func(t *operation.Table) {
			t.Kinds[0].Lifecycle = append(t.Kinds[0].Lifecycle, step.Row{On: step.Broke, From: step.StatesOf(running), To: failed})
		}, "rules: machine script: two rows for abnormal in running, to abnormal and to failed"},

		// rows: codes and guards
		{row(0, script, failed, running, 0), "rules: row 1, operation code(0): unknown code 0; 32 to 63 are for embedders"},
		{row(4, script, failed, running, 0), "rules: row 1, operation code(4): unknown code 4; 32 to 63 are for embedders"},
		{row(200, script, failed, running, 0), "rules: row 1, operation code(200): unknown code 200; 32 to 63 are for embedders"},
		{row(2, script, failed, running, 9), "rules: row 1, retry_failed: unknown guard 9"},
		{row(3, script, failed, skipped, operation.DueOnly), "rules: row 1, ignore_error: guard due_only is for rows that lead to running, not to skipped"},
		{row(3, script, failed, skipped, operation.ConfirmerOnly), "rules: row 1, ignore_error: guard confirmer_only is for steps that wait for a person, and script does not"},

		// rows: types and states
		{func(t *operation.Table) { t.Rows[1].On = step.Types{} }, "rules: row 2, ignore_error: it applies to no step type"},
		{row(2, custom, failed, running, 0), "rules: row 1, retry_failed: step type custom-32 is not declared"},
		{row(8, script, step.Succeeded, running, 0), "rules: row 1, retry_all: it starts in succeeded, but a step that has passed lies behind its job"},
		{row(8, script, skipped, running, 0), "rules: row 1, retry_all: it starts in skipped, but a step that has passed lies behind its job"},
		{row(8, script, step.ErrorIgnored, running, 0), "rules: row 1, retry_all: it starts in error_ignored, but a step that has passed lies behind its job"},
		{row(8, script, failed, step.Pending, 0), "rules: row 1, retry_all: it leads to pending, and only the creation of a job does"},
		{row(8, script, failed, step.Waiting, 0), "rules: row 1, retry_all: it leads to waiting, but a script step is active in running"},
		{row(8, asks, step.Waiting, running, 0), "rules: row 1, retry_all: it leads to running, but a confirmation step is active in waiting"},
		{row(8, script, failed, 8, 0), "rules: machine script: retry_all leads to unknown state 8"},
		{row(8, script, failed, 0, 0), "rules: machine script: retry_all leads to unknown state 0"},
		{row(8, script, 12, running, 0), "rules: machine script: retry_all starts in unknown state 12"},
		{row(8, script, 60, running, 0), "rules: machine script: retry_all starts in unknown state 60"},
		{func(t *operation.Table) { t.Rows[3].From = step.States{} }, "rules: machine script: retry_all to running starts in no state"},
		{func(t *operation.Table) { t.Rows = append(t.Rows, t.Rows[3]) }, "rules: machine script: two rows for retry_all in failed, to running and to running"},
		{row(32, asks, step.Waiting, step.Terminating, 0), "rules: row 1, custom-32: it leads from waiting to terminating, but only what runs can be stopped"},
		{row(32, script, failed, step.Terminating, 0), "rules: row 1, custom-32: it leads from failed to terminating, but only what runs can be stopped"},
		{row(32, script, step.Pending, step.Skipped, 0), "rules: row 1, custom-32: it starts in pending, and only the start of a job leads out of pending"},
		{row(32, script, failed, step.Failed, 0), "rules: row 1, custom-32: it leads from failed to itself, and nothing would follow"},
		{func(t *operation.Table) {
			t.Rows = slices.DeleteFunc(t.Rows, func(r operation.Row) bool { return r.From.Has(step.Waiting) })
			t.Job = slices.DeleteFunc(t.Job, func(r operation.JobRow) bool { return r.From.Has(step.Waiting) })
		}, "rules: step type confirmation: no row leads out of waiting, so that only a deadline could decide"},

		// rows of jobs
		{jobRow(0, script, abnormal, step.Terminated), "rules: job row 5, job operation code(0): unknown job code 0"},
		{jobRow(3, script, abnormal, step.Terminated), "rules: job row 5, job operation code(3): unknown job code 3"},
		{jobRow(1, custom, abnormal, step.Terminated), "rules: job row 5, terminate_job: step type custom-32 is not declared"},
		{func(t *operation.Table) { t.Job[0].On = step.Types{} }, "rules: job row 1, terminate_job: it applies to no step type"},
		{jobRow(1, script, step.Pending, step.Terminated), "rules: job row 5, terminate_job: it starts in pending, and only the start of a job leads out of pending"},
		{func(t *operation.Table) { t.Job[0].To = step.Skipped }, "rules: job row 1, terminate_job: it leads to skipped, and a job that was told to terminate would go on"},
		{jobRow(1, script, abnormal, running), "rules: job row 5, terminate_job: it leads to running, and a job that was told to terminate would go on"},
		{jobRow(2, script, abnormal, running), "rules: job row 5, start_job: a script step must start from pending to running"},
		{jobRow(2, script, step.Pending, step.Abandoned), "rules: job row 5, start_job: a script step must start from pending to running"},
		{jobRow(2, asks, step.Pending, step.Terminated), "rules: job row 5, start_job: a confirmation step must start from pending to waiting"},
		{jobRow(1, script, running, step.Terminated), "rules: machine script: two rows for terminate_job in running, to terminating and to terminated"},
	} {
		r, err := table(c.edit).Compile()
		if err == nil || err.Error() != c.want {
			t.Errorf("Compile() = %v, want %s", err, c.want)
		}
		if r != nil {
			t.Errorf("Compile() returns rules beside %v", err)
		}
	}
}

func TestATableAndItsRulesShareNoMemory(t *testing.T) {
	mine := operation.StandardTable()
	r := compile(t, mine)
	spoil := func(table operation.Table) {
		table.Rows[0].Code, table.Job[0].Code = customCode, operation.StartJob
		table.Kinds[0].Title, table.Kinds[0].Lifecycle[0].To = "spoiled", step.Abandoned
	}
	spoil(mine)
	spoil(r.Table())
	if got := r.Table(); !reflect.DeepEqual(got, operation.StandardTable()) {
		t.Errorf("Table() after its copies were changed = %+v, want the standard one", got)
	}
	if diffs := operation.Diff(operation.Standard(), r); len(diffs) > 0 {
		t.Errorf("the rules differ after copies of their table were changed: %v", diffs)
	}
}

func TestLikeGivesATypeTheRowsOfAnother(t *testing.T) {
	r := compile(t, table(withType))
	for _, s := range step.AllStates() {
		for _, code := range operation.AllCodes() {
			want, wantOK := r.Legal(step.Script, s, code)
			if got, ok := r.Legal(custom, s, code); got != want || ok != wantOK {
				t.Errorf("Legal(custom-32, %v, %v) = %v, %v; want %v, %v as for a script", s, code, got, ok, want, wantOK)
			}
		}
		if got, want := r.JobCodes(custom, s), r.JobCodes(step.Script, s); got != want {
			t.Errorf("JobCodes(custom-32, %v) = %v, want %v as for a script", s, got, want)
		}
	}
	if got := r.Enters(custom); got != step.Running {
		t.Errorf("Enters(custom-32) = %v, want running", got)
	}
}

func TestACustomCodeIsOneRow(t *testing.T) {
	r := compile(t, table(func(t *operation.Table) {
		t.Rows = append(t.Rows, operation.Row{Code: customCode, On: step.TypesOf(step.Script), From: step.StatesOf(step.Failed), To: step.Abandoned})
	}))
	if move, ok := r.Legal(step.Script, step.Failed, customCode); !ok || move.To != step.Abandoned {
		t.Errorf("Legal(script, failed, custom-32) = %v, %v; want abandoned", move, ok)
	}
	if !r.AllCodes().Has(customCode) || operation.Standard().AllCodes().Has(customCode) {
		t.Error("AllCodes() must have custom-32 where a row declares it, and nowhere else")
	}
}

func TestATableRoundTripsThroughJSON(t *testing.T) {
	want := table(withType)
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := operation.ParseTable(data)
	if err != nil {
		t.Fatalf("ParseTable: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ParseTable = %+v, want %+v", got, want)
	}
	if diffs := operation.Diff(compile(t, want), compile(t, got)); len(diffs) > 0 {
		t.Errorf("the rules of the table that was read differ: %v", diffs)
	}
}

func TestATableInJSONSpeaksInNames(t *testing.T) {
	data, err := json.Marshal(operation.StandardTable().Rows[0])
	want := `{"code":"retry_failed","on":["script","file_transfer","sql"],"from":["failed","abnormal","terminated"],"to":"running","guard":"due_only"}`
	if string(data) != want || err != nil {
		t.Errorf("json.Marshal(row 1) = %s, %v; want %s", data, err, want)
	}
	data, err = json.Marshal(operation.StandardTable().Job[0])
	want = `{"code":"terminate_job","on":["script","file_transfer","sql"],"from":["running"],"to":"terminating"}`
	if string(data) != want || err != nil {
		t.Errorf("json.Marshal(job row 1) = %s, %v; want %s", data, err, want)
	}
}

func TestParseTableRefusesWhatItDoesNotKnow(t *testing.T) {
	data, err := json.Marshal(operation.StandardTable())
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	for i, bad := range []string{
		"", "null x", "[]", `{"kinds":[],"extra":1}`, good + "{}", good + " x", good[:len(good)-1],
		strings.Replace(good, `"rows"`, `"Rows"`, 1),
		strings.Replace(good, `"guard"`, `"guard":"due_only","guard"`, 1),
		strings.Replace(good, `"retry_failed"`, `"retry"`, 1),
		strings.Replace(good, `"due_only"`, `"due"`, 1),
		strings.Replace(good, `"start_job"`, `"retry_failed"`, 1),
		strings.Replace(good, `"to":"abnormal"`, `"to":"8"`, 1),
		strings.Replace(good, `["script","file_transfer","sql"]`, `["script","tape"]`, 1),
		strings.Replace(good, `["script","file_transfer","sql"]`, `"AQIE"`, 1), // the base64 of 1, 2, 4
	} {
		if got, err := operation.ParseTable([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "rules: ") {
			t.Errorf("ParseTable of bad table %d, which begins %.40q, = %d rows, %v; want an error of the rules", i, bad, len(got.Rows), err)
		}
	}
	if _, err := operation.ParseTable([]byte(" " + good + "\n\t")); err != nil {
		t.Errorf("ParseTable with space around: %v", err)
	}
}

func TestAnEmptyTableCompilesToRulesOfNothing(t *testing.T) {
	r := compile(t, operation.Table{})
	if len(r.Types()) != 0 || !r.AllCodes().Empty() {
		t.Errorf("an empty table declares types %v and codes %v, want none", r.Types(), r.AllCodes())
	}
	if _, ok := r.Legal(step.Script, step.Failed, operation.RetryAll); ok {
		t.Error("an empty table allows a retry")
	}
}

// Whatever is asked, the rules answer: what lies outside of the alphabets leads nowhere.
func TestLookupsTakeAnyNumber(t *testing.T) {
	r := operation.Standard()
	numbers := []uint8{0, 1, 3, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255}
	for _, typ := range numbers {
		for _, s := range numbers {
			for _, n := range numbers {
				typ, s := step.Type(typ), step.State(s)
				_, legal := r.Legal(typ, s, operation.Code(n))
				_, job := r.LegalJob(typ, s, operation.JobCode(n))
				_, on := r.On(typ, s, step.Event(n))
				leads := legal || job || on || !r.Codes(typ, s).Empty() || !r.JobCodes(typ, s).Empty() ||
					!r.Guarded(typ, s, operation.Guard(n)).Empty()
				if outside := !typ.Valid() || !s.Valid(); outside && leads {
					t.Errorf("a step of type %d in state %d is led somewhere by %d", typ, s, n)
				}
				if n > 63 && (legal || job || on || !r.States(typ, operation.Code(n)).Empty() || !r.JobStates(typ, operation.JobCode(n)).Empty()) {
					t.Errorf("%d leads a step of type %d in state %d somewhere", n, typ, s)
				}
			}
		}
	}
}
