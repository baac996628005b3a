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

// A row for the whole job is legal in the states of the job, whatever the type of its current
// step, and moves no step.
func TestARowForTheWholeJobMovesNoStep(t *testing.T) {
	archive := step.JobCause(32)
	r := compile(t, table(func(t *operation.Table) {
		t.Rows = append(t.Rows, operation.Row{Cause: archive, From: step.StatesOf(step.Failed, step.Succeeded), Do: step.Seal})
	}))
	for _, typ := range r.Types() {
		for _, job := range step.AllStates() {
			at := operation.Standing{Type: typ, State: step.Skipped, Job: job}
			ok := job == step.Failed || job == step.Succeeded
			move, reason := r.Judge(at, archive)
			if want := (operation.Move{Do: step.Seal}); ok && (move != want || reason != 0) || !ok && reason != operation.WrongState {
				t.Errorf("Judge(%+v, archive) = %v, %v", at, move, reason)
			}
			if r.Legal(at).Has(archive) != ok || r.From(typ, archive) != step.StatesOf(step.Failed, step.Succeeded) {
				t.Errorf("Legal(%+v) = %v, From(%v) = %v", at, r.Legal(at), typ, r.From(typ, archive))
			}
		}
		if _, ok := r.Move(typ, step.Failed, archive); ok || !r.Machine(typ).From(archive).Empty() {
			t.Errorf("the row for the whole job moves a %v step", typ)
		}
	}
}

// The compiled table and a looplab/fsm machine of it agree on every type, state and cause.
func TestEveryMachineAgreesWithLooplab(t *testing.T) {
	for _, r := range []*operation.Rules{operation.Standard(), compile(t, table(withType))} {
		for _, typ := range r.Types() {
			m := r.Machine(typ)
			for _, s := range step.AllStates() {
				for _, row := range m.Transitions() {
					peer := m.FSM(s)
					to, legal := m.Next(s, row.Cause)
					if can := peer.Can(row.Cause.String()); can != legal {
						t.Errorf("%v: %v in %v: looplab says %v, Next says %v", typ, row.Cause, s, can, legal)
					}
					err := peer.Event(context.Background(), row.Cause.String())
					if moved := err == nil || errors.As(err, new(fsm.NoTransitionError)); moved != legal || legal && peer.Current() != to.String() {
						t.Errorf("%v: %v in %v: looplab goes to %s (%v), Next to %v, %v", typ, row.Cause, s, peer.Current(), err, to, legal)
					}
				}
				for _, code := range operation.AllCodes() {
					move, legal := r.Move(typ, s, code.Cause())
					legal = legal && !move.Do.Stays()
					if can := m.FSM(s).Can(code.String()); can != legal {
						t.Errorf("%v: %v in %v: looplab says %v, Move says %v", typ, code, s, can, legal)
					}
				}
			}
		}
	}
}

func TestCompileSaysWhichRowIsWrongAndHow(t *testing.T) {
	row := func(code operation.Code, on step.Type, from, to step.State, do step.Do, g operation.Guard) func(*operation.Table) {
		return func(t *operation.Table) {
			t.Rows[0] = operation.Row{Cause: step.Cause(code), On: step.TypesOf(on), From: step.StatesOf(from), To: to, Do: do, Guard: g}
		}
	}
	add := func(row operation.Row) func(*operation.Table) {
		return func(t *operation.Table) { t.Rows = append(t.Rows, row) }
	}
	jobRow := func(code operation.JobCode, on step.Type, from, to step.State, do step.Do) func(*operation.Table) {
		return add(operation.Row{Cause: step.JobCause(uint8(code)), On: step.TypesOf(on), From: step.StatesOf(from), To: to, Do: do})
	}
	const (
		script, asks      = step.Script, step.Confirmation
		failed, running   = step.Failed, step.Running
		skipped, abnormal = step.Skipped, step.Abnormal
	)
	whole := step.JobCause(32)
	for _, c := range []struct {
		edit func(*operation.Table)
		want string
	}{
		// step types
		{func(t *operation.Table) { t.Kinds[0].Type = 9 }, "rules: step type 9: not declared; 32 to 63 are for embedders"},
		{func(t *operation.Table) { t.Kinds[1].Type = script }, "rules: step type script is declared twice"},
		{func(t *operation.Table) { t.Kinds[2].Lifecycle = nil }, "rules: step type confirmation: on entry it must go from pending to running or waiting, not to state(0)"},
		{func(t *operation.Table) { t.Rows = t.Rows[:14] }, "rules: step type confirmation: no row starts a job whose first step it is"},
		{func(t *operation.Table) {
			t.Kinds[0].Lifecycle = append(t.Kinds[0].Lifecycle, step.Transition{Cause: step.Broke, From: step.StatesOf(running), To: failed, Do: step.End})
		}, "rules: machine script: two rows for broke in running, to abnormal and to failed"},

		// rows: causes and guards
		{row(0, script, failed, running, step.RunAll, 0), "rules: row 1, cause(0): cause(0) is not an operation; 32 to 63 are for embedders"},
		{row(4, script, failed, running, step.RunAll, 0), "rules: row 1, cause(4): cause(4) is not an operation; 32 to 63 are for embedders"},
		{row(70, script, failed, running, step.RunAll, 0), "rules: row 1, broke: broke is not an operation; 32 to 63 are for embedders"},
		{row(131, script, abnormal, step.Terminated, step.End, 0), "rules: row 1, cause(131): cause(131) is not an operation; 32 to 63 are for embedders"},
		{row(192, script, failed, running, step.RunAll, 0), "rules: row 1, created: created is not an operation; 32 to 63 are for embedders"},
		{row(2, script, failed, running, step.RunAll, 11), "rules: row 1, retry_failed: unknown guard 11"},
		{row(2, script, failed, running, step.RunAll, operation.Unfinal), "rules: row 1, retry_failed: guard unfinal is for the whole job, and the row is for steps"},
		{row(6, asks, step.Waiting, step.Succeeded, step.Vote, operation.SomeDue), "rules: row 1, confirm: guard some_due is for steps that run, and confirmation does not"},
		{row(3, script, failed, skipped, step.Pass, operation.Approver), "rules: row 1, ignore_error: guard approver is for steps that ask, and script does not"},

		// rows: types and states
		{func(t *operation.Table) { t.Rows[1].On = step.Types{} }, "rules: row 2, ignore_error: it applies to no step type, and accept is not for the whole job"},
		{row(2, custom, failed, running, step.RunAll, 0), "rules: row 1, retry_failed: step type custom-32 is not declared"},
		{row(8, script, step.Succeeded, running, step.RunAll, 0), "rules: row 1, retry_all: it starts in succeeded, but a step that has passed lies behind its job"},
		{row(8, script, skipped, running, step.RunAll, 0), "rules: row 1, retry_all: it starts in skipped, but a step that has passed lies behind its job"},
		{row(8, script, step.ErrorIgnored, running, step.RunAll, 0), "rules: row 1, retry_all: it starts in error_ignored, but a step that has passed lies behind its job"},
		{row(8, script, 12, running, step.RunAll, 0), "rules: row 1, retry_all: it starts in unknown state 12"},
		{row(8, script, 60, running, step.RunAll, 0), "rules: row 1, retry_all: it starts in unknown state 60"},
		{func(t *operation.Table) { t.Rows[3].From = step.States{} }, "rules: row 4, retry_all: it starts in no state"},
		{func(t *operation.Table) { t.Rows = append(t.Rows, t.Rows[3]) }, "rules: machine script: two rows for retry_all in failed, to running and to running"},
		{row(32, script, step.Pending, skipped, step.Pass, 0), "rules: row 1, custom-32: it starts in pending, and only an operation on the job leads out of pending"},
		{row(32, script, failed, failed, step.End, 0), "rules: row 1, custom-32: it leads from failed to itself, and end would end what has ended"},
		{func(t *operation.Table) {
			t.Rows = slices.DeleteFunc(t.Rows, func(r operation.Row) bool { return r.From.Has(step.Waiting) })
		}, "rules: step type confirmation: no row leads out of waiting, so that only a deadline could decide"},

		// rows of jobs
		{jobRow(1, custom, abnormal, step.Terminated, step.End), "rules: row 25, terminate_job: step type custom-32 is not declared"},
		{func(t *operation.Table) { t.Rows[15].To, t.Rows[15].Do = skipped, step.Pass }, "rules: row 16, terminate_job: it leads to skipped, and a job that was told to terminate would go on"},
		{jobRow(1, script, abnormal, running, step.Enter), "rules: row 25, terminate_job: enter starts in pending, not in abnormal"},
		{jobRow(32, script, step.Pending, running, step.Enter), "rules: row 25, custom-job-32: enter is for the start of a job, and the start of a job enters its first step"},
		{jobRow(2, script, abnormal, step.Terminated, step.End), "rules: row 25, start_job: enter is for the start of a job, and the start of a job enters its first step"},
		{jobRow(1, script, running, step.Terminated, step.End), "rules: machine script: two rows for terminate_job in running, to terminating and to terminated"},

		// rows for the whole job
		{add(operation.Row{Cause: 32, From: step.StatesOf(failed), Do: step.Seal}), "rules: row 25, custom-32: it is for the whole job, and the cause of a step moves a step"},
		{add(operation.Row{Cause: whole, From: step.StatesOf(failed), Do: step.Seal, Guard: operation.SomeDue}), "rules: row 25, custom-job-32: guard some_due is for steps, and the row is for the whole job"},
		{add(operation.Row{Cause: whole, From: step.StatesOf(failed)}), "rules: row 25, custom-job-32: unknown consequence 0"},
		{add(operation.Row{Cause: whole, From: step.StatesOf(running), Do: step.Seal}), "rules: row 25, custom-job-32: seal starts in succeeded, failed, skipped, error_ignored, abnormal, terminated, confirmation_terminated, abandoned, not in running"},
		{func(t *operation.Table) {
			seal := operation.Row{Cause: whole, From: step.StatesOf(failed), Do: step.Seal}
			t.Rows = append(t.Rows, seal, seal)
		}, "rules: row 26, custom-job-32: two rows for the whole job in failed"},

		// the end of a hold: rows 19 to 21 in the table
		{func(t *operation.Table) { t.Rows = slices.Delete(t.Rows, 18, 19) }, "rules: step type script: an operation that ends the hold in gated has no row that opens its gate"},
		{func(t *operation.Table) { t.Rows[19].Guard = operation.Waivable }, "rules: step type confirmation: an operation that ends the hold in gated has no row that opens its gate"},
		{func(t *operation.Table) {
			end := operation.Row{Cause: operation.ResumeJob.Cause(), On: t.Rows[18].On, From: t.Rows[18].From, To: step.Terminated, Do: step.End, Guard: operation.GatedByHold}
			t.Rows[18] = end
		}, "rules: step type script: an operation that ends the hold in gated has no row that opens its gate"},
		{add(operation.Row{Cause: whole, From: step.StatesOf(running, step.Gated), Do: step.Release, Guard: operation.Held}), "rules: step type script: an operation that ends the hold in gated has no row that opens its gate"},
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

// The table of consequences, line by line: Compile accepts a row that fits, and refuses each row that
// differs in one way.
func TestARowMustFitItsConsequence(t *testing.T) {
	const script, asks = step.Script, step.Confirmation
	type row struct {
		on       step.Type // 0: the whole job
		from, to step.State
	}
	needs := map[step.Do]operation.Guard{
		step.RunDue: operation.SomeDue, step.RunNext: operation.BatchLeft, step.Open: operation.Waivable,
		step.Hold: operation.Unheld, step.Release: operation.Held, step.Mark: operation.Unmarked, step.Unmark: operation.Marked,
	}
	for _, c := range []struct {
		do    step.Do
		fits  row
		wrong map[string]row // by what is said
	}{
		{step.RunDue, row{script, 4, 2}, map[string]row{"run_due leads to running, not to skipped": {script, 4, 5}, "run_due starts in failed, abnormal, terminated, confirmation_terminated, abandoned, not in running": {script, 2, 2}, "run_due is for steps that run, and this type enters waiting": {asks, 13, 2}}},
		{step.RunAll, row{script, 9, 2}, map[string]row{"run_all leads to running, not to waiting": {script, 4, 7}, "not in terminating": {script, 10, 2}, "run_all is for steps that run": {asks, 13, 2}, "for the whole job": {0, 4, 2}}},
		{step.Ask, row{asks, 13, 7}, map[string]row{"ask leads to waiting, not to succeeded": {asks, 13, 3}, "not in waiting": {asks, 7, 7}, "ask is for steps that ask": {script, 4, 7}}},
		{step.Accept, row{script, 4, 6}, map[string]row{"accept leads to succeeded, skipped, error_ignored, not to failed": {script, 9, 4}, "not in running": {script, 2, 6}, "accept is for steps that run": {asks, 13, 3}}},
		{step.Vote, row{asks, 7, 3}, map[string]row{"vote leads to succeeded, skipped, error_ignored, not to waiting": {asks, 7, 7}, "vote starts in waiting, not in confirmation_terminated": {asks, 13, 3}, "vote is for steps that ask": {script, 4, 3}}},
		{step.Pass, row{script, 2, 5}, map[string]row{"pass leads to succeeded, skipped, error_ignored, not to terminated": {script, 4, 11}, "for the whole job": {0, 4, 5}}},
		{step.Stop, row{script, 2, 10}, map[string]row{"stop leads to terminating, not to terminated": {script, 2, 11}, "stop starts in running, not in failed": {script, 4, 10}, "stop is for steps that run": {asks, 7, 10}}},
		{step.End, row{asks, 7, 14}, map[string]row{"not to succeeded": {script, 4, 3}, "not to terminating": {script, 2, 10}, "it leads from failed to itself": {script, 4, 4}}},
		{step.Seal, row{0, 3, 0}, map[string]row{"seal is for the whole job": {script, 4, 5}, "seal moves no state, and the row leads to failed": {0, 4, 4}, "not in waiting": {0, 7, 0}}},
		{step.RunNext, row{script, 11, 2}, map[string]row{"run_next leads to running, not to gated": {script, 11, 15}, "run_next starts in failed, abnormal, terminated, confirmation_terminated, abandoned, not in gated": {script, 15, 2}, "run_next is for steps that run": {asks, 13, 2}}},
		{step.Open, row{asks, 15, 7}, map[string]row{"open leads to waiting, which this type enters, not to running": {asks, 15, 2}, "open starts in gated, not in failed": {script, 4, 2}, "open is not for the whole job": {0, 15, 2}}},
		{step.Unvote, row{}, map[string]row{"unvote is not supported yet": {asks, 7, 7}}},
		{step.Hold, row{0, 10, 0}, map[string]row{"hold is for the whole job": {script, 2, 0}, "hold moves no state, and the row leads to running": {0, 2, 2}, "not in succeeded": {0, 3, 0}}},
		{step.Release, row{0, 3, 0}, map[string]row{"release is for the whole job": {script, 15, 0}, "release moves no state, and the row leads to gated": {0, 15, 15}}},
		{step.Note, row{0, 2, 0}, map[string]row{"note is for the whole job": {script, 2, 0}, "note moves no state, and the row leads to running": {0, 2, 2}}},
		{step.Mark, row{script, 1, 0}, map[string]row{"mark moves no state, and the row leads to skipped": {script, 1, 5}, "mark starts in pending, not in gated": {asks, 15, 0}, "for the whole job": {0, 1, 0}}},
		{step.Unmark, row{asks, 1, 0}, map[string]row{"unmark moves no state, and the row leads to running": {script, 1, 2}, "unmark starts in pending, not in running": {script, 2, 0}}},
	} {
		with := func(r row) error {
			add := operation.Row{Cause: 40, From: step.StatesOf(r.from), To: r.to, Do: c.do, Guard: needs[c.do]}
			if r.on == 0 {
				add.Cause = step.JobCause(40)
			} else {
				add.On = step.TypesOf(r.on)
			}
			_, err := table(func(t *operation.Table) { t.Rows = append(t.Rows, add) }).Compile()
			return err
		}
		if c.fits != (row{}) {
			if err := with(c.fits); err != nil {
				t.Errorf("Compile of a row with %v that fits: %v", c.do, err)
			}
		}
		for want, r := range c.wrong {
			if err := with(r); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Compile of a row with %v, %+v = %v; want an error that says %q", c.do, r, err, want)
			}
		}
	}
	for i, row := range operation.StandardTable().Rows {
		want := map[step.Do]string{
			step.RunDue: "run_due needs guard some_due", step.RunNext: "run_next needs guard batch_left", step.Open: "open needs guard waivable or gated_by_hold",
			step.Hold: "hold without a guard", step.Release: "release without a guard", step.Mark: "mark without a guard", step.Unmark: "unmark without a guard",
		}[row.Do]
		_, err := table(func(t *operation.Table) { t.Rows[i].Guard = operation.Free }).Compile()
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Compile of %v with %v, without its guard = %v; want an error that says %q", row.Cause, row.Do, err, want)
		}
	}
	again := func(t *operation.Table) {
		t.Rows = append(t.Rows, operation.Row{Cause: operation.TerminateJob.Cause(), On: step.TypesOf(script), From: step.StatesOf(step.Failed), To: step.Running, Do: step.RunAll})
	}
	if _, err := table(again).Compile(); err == nil || !strings.Contains(err.Error(), "a job that was told to terminate would go on") {
		t.Errorf("Compile of a terminate_job that runs a step again = %v; want an error that says so", err)
	}
	for _, row := range operation.StandardTable().Rows { // enter has one cause, and its row must fit as it is
		if row.Do == step.Enter {
			if err := step.Enter.Check(step.Running, step.StatesOf(step.Failed), step.Running); err == nil {
				t.Error("enter may start in failed, want pending alone")
			}
			if err := step.Enter.Check(step.Running, step.StatesOf(step.Pending), step.Waiting); err == nil {
				t.Error("enter may lead a step that runs to waiting")
			}
			return
		}
	}
	t.Error("the standard table enters no step")
}

func TestATableAndItsRulesShareNoMemory(t *testing.T) {
	mine := operation.StandardTable()
	r := compile(t, mine)
	spoil := func(table operation.Table) {
		table.Rows[0].Cause, table.Rows[13].Cause = customCode.Cause(), operation.StartJob.Cause()
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

func TestACustomCodeIsOneRow(t *testing.T) {
	r := compile(t, table(func(t *operation.Table) {
		t.Rows = append(t.Rows, operation.Row{Cause: customCode.Cause(), On: step.TypesOf(step.Script), From: step.StatesOf(step.Failed), To: step.Abandoned, Do: step.End})
	}))
	if move, ok := r.Move(step.Script, step.Failed, customCode.Cause()); !ok || move.To != step.Abandoned {
		t.Errorf("Move(script, failed, custom-32) = %v, %v; want abandoned", move, ok)
	}
	if !r.Causes().Has(customCode.Cause()) || operation.Standard().Causes().Has(customCode.Cause()) {
		t.Error("Causes() must have custom-32 where a row declares it, and nowhere else")
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
	want := `{"cause":"retry_failed","on":["script","file_transfer","sql"],"from":["failed","abnormal","terminated"],"to":"running","do":"run_due","guard":"some_due"}`
	if string(data) != want || err != nil {
		t.Errorf("json.Marshal(row 1) = %s, %v; want %s", data, err, want)
	}
	data, err = json.Marshal(operation.Row{Cause: step.JobCause(32), From: step.StatesOf(step.Failed), Do: step.Seal})
	want = `{"cause":"custom-job-32","on":[],"from":["failed"],"do":"seal","guard":""}`
	if string(data) != want || err != nil {
		t.Errorf("json.Marshal(a row for the whole job) = %s, %v; want %s", data, err, want)
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
		strings.Replace(good, `"guard"`, `"guard":"some_due","guard"`, 1),
		strings.Replace(good, `"retry_failed"`, `"retry"`, 1),
		strings.Replace(good, `"some_due"`, `"due"`, 1),
		strings.Replace(good, `"start_job"`, `"start"`, 1),
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
	if len(r.Types()) != 0 || !r.Causes().Empty() {
		t.Errorf("an empty table declares types %v and causes %v, want none", r.Types(), r.Causes())
	}
	if _, ok := r.Move(step.Script, step.Failed, operation.RetryAll.Cause()); ok {
		t.Error("an empty table allows a retry")
	}
}

// The rules answer for any values: a cell outside of the alphabets leads nowhere.
func TestLookupsTakeAnyNumber(t *testing.T) {
	r := operation.Standard()
	numbers := []uint8{0, 1, 3, 15, 16, 31, 32, 63, 64, 65, 127, 128, 191, 192, 255}
	for typ := range step.Type(255) {
		for _, s := range numbers {
			for _, n := range numbers {
				s := step.State(s)
				_, leads := r.Move(typ, s, step.Cause(n))
				at := operation.Standing{Type: typ, State: s, Job: s}
				some := leads
				for cause := range r.Legal(at).All() {
					_, whole := r.Whole(s, cause)
					some = some || !whole // which is legal whatever the type
				}
				if less := r.Legal(at, operation.Guard(n)).Minus(r.Legal(at)); !less.Empty() {
					t.Errorf("with guard %d unmet, a step of type %d in state %d allows %v, and without it does not", n, typ, s, less)
				}
				if outside := !typ.Valid() || !s.Valid(); outside && some {
					t.Errorf("a step of type %d in state %d is led somewhere by %d", typ, s, n)
				}
				if !step.Cause(n).Valid() && (leads || !r.From(typ, step.Cause(n)).Empty()) {
					t.Errorf("%d leads a step of type %d in state %d somewhere", n, typ, s)
				}
				r.Judge(at, step.Cause(n))
			}
		}
	}
}
