package operation_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files; read the difference before you commit it")

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestMarkdownIsTheTableOfTheDocument(t *testing.T) {
	golden(t, "legality.md", operation.Standard().Markdown())
}

func TestMermaidDrawsEachMachine(t *testing.T) {
	r := operation.Standard()
	golden(t, "script.mmd", r.Mermaid(step.Script))
	golden(t, "confirmation.mmd", r.Mermaid(step.Confirmation))
	for _, same := range []step.Type{step.FileTransfer, step.SQL} {
		if r.Mermaid(same) != r.Mermaid(step.Script) {
			t.Errorf("the diagram of %v differs from that of a script:\n%s", same, r.Mermaid(same))
		}
	}
	for _, unknown := range []step.Type{0, 5, 32, 64, 255} {
		if got := r.Mermaid(unknown); got != "" {
			t.Errorf("Mermaid(%d) = %q, want nothing", unknown, got)
		}
	}
}

// Every arrow of a diagram that carries a code is a legal cell, and the other way round.
func TestADiagramShowsEveryCodeWhereItIsLegal(t *testing.T) {
	r := compile(t, table(withType))
	for _, typ := range r.Types() {
		diagram := r.Mermaid(typ)
		for _, s := range step.AllStates() {
			for _, code := range operation.AllCodes() {
				move, ok := r.Move(typ, s, code.Cause())
				ok = ok && !move.Do.Stays() // which is no arrow
				shown := false
				for line := range strings.Lines(diagram) {
					arrow, labels, _ := strings.Cut(strings.TrimSpace(line), ": ")
					from, to, _ := strings.Cut(arrow, " --> ")
					if from == s.String() && slices.Contains(strings.Split(labels, ", "), caption(code)) {
						shown = true
						if to != move.To.String() {
							t.Errorf("%v: the diagram leads %v from %v to %s, the rules to %v", typ, code, s, to, move.To)
						}
					}
				}
				if shown != ok {
					t.Errorf("%v: the diagram shows %v in %v: %v; it is legal: %v", typ, code, s, shown, ok)
				}
			}
		}
	}
}

func caption(c operation.Code) string {
	names := map[operation.Code]string{
		2: "2 retry_failed", 3: "3 ignore_error", 6: "6 confirm", 8: "8 retry_all", 9: "9 terminate_confirmation",
		10: "10 restart_confirmation", 11: "11 next_step", 12: "12 forced_skip", 13: "13 continue",
		21: "21 stop_before", 22: "22 clear_stop",
	}
	return names[c]
}

func TestDiffNamesEveryCellThatChanged(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*operation.Table)
		want []string
	}{
		{"nothing", func(*operation.Table) {}, nil},
		{"a row narrowed", func(t *operation.Table) { t.Rows[3].From = step.StatesOf(step.Failed) }, []string{
			"retry_all on script in abnormal became illegal",
			"retry_all on script in terminated became illegal",
			"retry_all on file_transfer in abnormal became illegal",
			"retry_all on file_transfer in terminated became illegal",
			"retry_all on sql in abnormal became illegal",
			"retry_all on sql in terminated became illegal",
		}},
		{"a row widened to another state", func(t *operation.Table) { t.Rows[5].From = step.StatesOf(step.ConfirmationTerminated, step.Terminated) }, []string{
			"restart_confirmation on confirmation in terminated became legal, to waiting",
		}},
		{"a row led elsewhere", func(t *operation.Table) { t.Rows[6].To = step.ErrorIgnored; t.Rows[6].On = step.TypesOf(step.SQL) }, []string{
			"next_step on script in terminated became illegal",
			"next_step on file_transfer in terminated became illegal",
			"next_step on sql in terminated leads to error_ignored instead of skipped",
		}},
		{"a guard dropped", func(t *operation.Table) { t.Rows[2].Guard = operation.Free }, []string{
			"confirm on confirmation in waiting is guarded by free instead of approver",
		}},
		{"a job row led elsewhere", func(t *operation.Table) { t.Rows[16].To = step.ConfirmationTerminated }, []string{
			"terminate_job on confirmation in waiting leads to confirmation_terminated instead of terminated",
		}},
		{"a consequence changed", func(t *operation.Table) {
			t.Rows[0].Do = step.RunAll
			t.Rows[0].On = step.TypesOf(step.SQL, step.Script)
			t.Rows[0].From = step.StatesOf(step.Failed)
		}, []string{
			"retry_failed on script in failed is followed by run_all instead of run_due",
			"retry_failed on script in abnormal became illegal",
			"retry_failed on script in terminated became illegal",
			"retry_failed on file_transfer in failed became illegal",
			"retry_failed on file_transfer in abnormal became illegal",
			"retry_failed on file_transfer in terminated became illegal",
			"retry_failed on sql in failed is followed by run_all instead of run_due",
			"retry_failed on sql in abnormal became illegal",
			"retry_failed on sql in terminated became illegal",
		}},
		{"a row for the whole job added", func(t *operation.Table) {
			t.Rows = append(t.Rows, operation.Row{Cause: step.JobCause(33), From: step.StatesOf(step.Failed), Do: step.Seal})
		}, []string{
			"custom-job-33 on the whole job in failed became legal",
		}},
		{"a lifecycle changed", func(t *operation.Table) { t.Kinds[2].Lifecycle[2].To = step.Abnormal }, []string{
			"expired on confirmation in waiting leads to abnormal instead of confirmation_terminated",
			"expired on confirmation in gated leads to abnormal instead of confirmation_terminated",
		}},
		{"a type dropped", func(t *operation.Table) {
			t.Kinds = slices.Delete(t.Kinds, 2, 3)
			for i := range t.Rows {
				t.Rows[i].On = t.Rows[i].On.Without(step.Confirmation)
			}
			t.Rows = slices.DeleteFunc(t.Rows, func(r operation.Row) bool { return r.On.Empty() && !r.Do.Whole() })
		}, []string{
			"stop_before on confirmation in pending became illegal",
			"clear_stop on confirmation in pending became illegal", "terminate_job on confirmation in pending became illegal",
			"start_job on confirmation in pending became illegal",
			"entered on confirmation in pending leads nowhere any more",
			"confirm on confirmation in waiting became illegal",
			"terminate_confirmation on confirmation in waiting became illegal",
			"terminate_job on confirmation in waiting became illegal",
			"expired on confirmation in waiting leads nowhere any more",
			"expired_confirmed on confirmation in waiting leads nowhere any more",
			"job_expired on confirmation in waiting leads nowhere any more",
			"restart_confirmation on confirmation in confirmation_terminated became illegal",
			"continue on confirmation in gated became illegal",
			"terminate_job on confirmation in gated became illegal",
			"resume_job on confirmation in gated became illegal",
			"expired on confirmation in gated leads nowhere any more",
			"expired_confirmed on confirmation in gated leads nowhere any more",
			"opened on confirmation in gated leads nowhere any more",
			"job_expired on confirmation in gated leads nowhere any more",
		}},
	} {
		var got []string
		for _, d := range operation.Diff(operation.Standard(), compile(t, table(c.edit))) {
			got = append(got, d.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: Diff = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDiffCountsATypeThatOnlyOneDeclares(t *testing.T) {
	wide := compile(t, table(withType))
	added, dropped := operation.Diff(operation.Standard(), wide), operation.Diff(wide, operation.Standard())
	if len(added) != 42 || len(dropped) != 42 { // the cells of a script: 16 of codes, 5 of job codes, 21 of events
		t.Fatalf("Diff finds %d cells added and %d dropped, want 42", len(added), len(dropped))
	}
	for i := range added {
		a, d := added[i], dropped[i]
		if a.Type != custom || a.Was.To != 0 || d.Type != custom || d.Is.To != 0 || a.Is != d.Was {
			t.Errorf("cell %d: added %+v, dropped %+v; want the same cell of custom-32", i, a, d)
		}
	}
}
