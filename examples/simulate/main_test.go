package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const own = "../../scenario/testdata/own/"

// simulate runs the program and returns its status and what it prints.
func simulate(args ...string) (status int, out, errOut string) {
	var o, e strings.Builder
	status = run(args, &o, &e)
	return status, o.String(), e.String()
}

// file writes a scenario and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const text = `job release
  script copy, targets a
ann: start_job
ann: confirm 1
  refused wrong_type
report 1.1: a succeeded
`

// The timeline of each file is printed, and then what of the rules they have shown.
func TestTimelinesAndRows(t *testing.T) {
	a, b := file(t, text), file(t, text)
	status, out, errOut := simulate(a, b)
	timeline := `
09:00:00  nobody    job release              pending
09:00:00  ann       start_job                pending -> running    job running, run 1.1 on 1 target
09:00:00  ann       confirm 1                                      refused, wrong_type: job 1, step 1: confirm (6) does not apply to a script step; legal now: none, on the job: terminate_job, hold_job
09:00:00  executor  report 1.1: a succeeded  running -> succeeded  job succeeded, the job has ended

`
	if status != passed || errOut != "" || !strings.HasPrefix(out, a+timeline+b+timeline+"count  row") {
		t.Errorf("status %d, %q\n%s\nwant each file and\n%s", status, errOut, out, timeline)
	}
	for _, row := range []string{
		"\n2      start_job               script, file_transfer, sql                pending                                                running                  file_transfer in pending, sql in pending\n",
		"\n0      confirm                 confirmation                              waiting                                                succeeded                all\n",
		"\n2      all_succeeded           script                                    running                                                succeeded\n",
		"\n2      wrong_type\n", "\n0      denied            missing\n",
		"\n2 of 174 cells, 1 of 20 reasons\n",
	} {
		if !strings.Contains(out, row) {
			t.Errorf("the summary lacks %q:\n%s", row, out)
		}
	}
}

// The scenarios of the library show all of the rules.
func TestTheScenariosShowEverything(t *testing.T) {
	paths, err := filepath.Glob("../../scenario/testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	status, out, errOut := simulate(append([]string{"-quiet"}, paths...)...)
	if status != passed || errOut != "" || !strings.HasPrefix(out, "count") || !strings.HasSuffix(out, "\n174 of 174 cells, 20 of 20 reasons\n") {
		t.Errorf("status %d, %q\n%s", status, errOut, out)
	}
}

// Rules of one's own are read from a file.
func TestRules(t *testing.T) {
	status, out, errOut := simulate("-rules", own+"rules.json", own+"a-type-and-a-code-of-ones-own.txt")
	if status != passed || errOut != "" || !strings.Contains(out, "\n2      custom-40               custom-32") {
		t.Errorf("status %d, %q\n%s", status, errOut, out)
	}
	if status, _, _ := simulate(own + "a-type-and-a-code-of-ones-own.txt"); status != failed {
		t.Errorf("by the documented rules: status %d, want %d", status, failed)
	}
}

// Mismatches and mistakes of form are printed with their file and line. The files after them are
// played.
func TestFailures(t *testing.T) {
	wrong, malformed, right := file(t, text+"expect job: running\n"), file(t, text+"ann: strat_job\n"), file(t, text)
	status, out, errOut := simulate(wrong, malformed, right)
	if status != failed || strings.Count(out, "the job has ended") != 2 || strings.Contains(out, malformed) {
		t.Errorf("status %d\n%s", status, out)
	}
	if row := "\n1      start_job               script, "; !strings.Contains(out, row) {
		t.Errorf("the summary counts what came otherwise, want %q:\n%s", row, out)
	}
	want := wrong + ":7: expect job: running: want state running; got state succeeded\n" +
		malformed + `:7: ann: strat_job: got "strat_job", want terminate_job, start_job`
	if !strings.HasPrefix(errOut, want) {
		t.Errorf("got\n%s\nwant\n%s", errOut, want)
	}
}

// The exit status shows a file that cannot be read, even if others follow, and the others are
// played.
func TestMissingFiles(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	right, wrong, malformed := file(t, text), file(t, text+"expect job: running\n"), file(t, "ann: strat_job\n")
	for _, c := range []struct {
		args   []string
		played int
	}{
		{[]string{none}, 0},
		{[]string{none, right}, 1},
		{[]string{right, none, wrong}, 2},
		{[]string{none, malformed, right}, 1},
	} {
		status, out, errOut := simulate(c.args...)
		if status != notPlayed || !strings.Contains(errOut, none) || strings.Contains(out, none) ||
			strings.Count(out, "the job has ended") != c.played || !strings.HasSuffix(out, " of 20 reasons\n") {
			t.Errorf("%q: status %d, prints %q and %q", c.args, status, out, errOut)
		}
	}
}

// Wrong usage and unreadable rules have the same status, and nothing is played.
func TestUsage(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		want string
		is   int
	}{
		{nil, "usage: simulate [flags] FILE...", notPlayed},
		{[]string{"-h"}, "usage: simulate [flags] FILE...", passed},
		{[]string{"-rule", "x"}, "usage: simulate [flags] FILE...", notPlayed},
		{[]string{"-rules", none, file(t, text)}, none, notPlayed},
		{[]string{"-rules", file(t, text), file(t, text)}, "rules: invalid character", notPlayed},
		{[]string{"-rules", file(t, `{"rows": [{"cause": "confirm"}]}`), file(t, text)}, "row 1, confirm", notPlayed},
		{[]string{"-rules", file(t, `null`), file(t, text)}, "the rules have no step types", notPlayed},
		{[]string{"-rules", file(t, `{}`), file(t, text)}, "the rules have no step types", notPlayed},
	} {
		status, out, errOut := simulate(c.args...)
		if status != c.is || out != "" || !strings.Contains(errOut, c.want) {
			t.Errorf("%q: status %d, prints %q and %q; want status %d and %q", c.args, status, out, errOut, c.is, c.want)
		}
	}
}
