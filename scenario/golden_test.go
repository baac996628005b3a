package scenario

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/operation"
)

// Golden mode does not change a byte of a file in which everything happens as it says.
func TestGoldenModeLeavesWhatIsRight(t *testing.T) {
	for _, path := range files(t, "testdata/*.txt") {
		text := read(t, path)
		if got := play(t, path, text, Config{}).Golden; got != text {
			t.Errorf("%s is written anew as\n%s", path, got)
		}
	}
	for _, path := range files(t, "testdata/own/*.txt") {
		text := read(t, path)
		if got := play(t, path, text, Config{Rules: ownRules(t)}).Golden; got != text {
			t.Errorf("%s is written anew as\n%s", path, got)
		}
	}
	const loose = "#odd\r\njob \"release\"\t,request go\r\n\tscript  copy ,targets a\n\nann:  start_job\n\t to   running ,attempt 1"
	if got := play(t, "x.txt", loose, Config{}).Golden; got != loose {
		t.Errorf("got\n%q\nwant\n%q", got, loose)
	}
}

// Golden mode repairs the wrong clauses of a file, and no others: with every single clause damaged, all
// clauses are restored in their order.
func TestGoldenModeRepairsWhatIsDamaged(t *testing.T) {
	for _, path := range files(t, "testdata/*.txt") {
		s, whole := parse(t, path, read(t, path)), parse(t, path, read(t, path))
		damaged := 0
		for i := range s.actions {
			for k := range s.actions[i].Want {
				damaged += damage(&s.actions[i].Want[k])
			}
		}
		text := s.String()
		result, err := Play(t.Context(), parse(t, path, text), Config{})
		if err == nil || damaged == 0 {
			t.Errorf("%s: with %d clauses damaged: %v", path, damaged, err)
		}
		repaired := parse(t, path, result.Golden)
		for i, a := range repaired.actions {
			want := whole.actions[i]
			if a.Command.String() != want.Command.String() || !reflect.DeepEqual(unplaced(a), unplaced(want)) {
				t.Errorf("%s:%d: %v\n%v, want\n%v", path, a.Line, a.Command, unplaced(a), unplaced(want))
			}
		}
		if again := play(t, path, result.Golden, Config{}); again.Golden != result.Golden {
			t.Errorf("%s is written anew a second time", path)
		}
	}
}

// damage makes a clause wrong, and counts it.
func damage(c *clause) int {
	switch {
	case c.Key == "refused" && c.Value != operation.NotConfirmer.String():
		c.Value = operation.NotConfirmer.String()
	case c.Key == "refused":
		c.Value = operation.WrongType.String()
	case c.Key == "says" || c.Key == "unknown": // the one is a part of a text, the other stands for itself
		return 0
	default:
		c.Value = `damaged, with a "comma"`
	}
	return 1
}

// unplaced returns the clauses of an action without their lines.
func unplaced(a action) []clause {
	var all []clause
	for _, c := range a.Want {
		c.Line = 0
		all = append(all, c)
	}
	return all
}

// goldens are files with wrong clauses, and the files that golden mode writes.
var goldens = []struct{ name, file, want string }{
	{
		"a value, where it stands",
		"ann: start_job\n  to  waiting,  attempt 1\n  job_to   running\n",
		"ann: start_job\n  to running, attempt 1\n  job_to running\n",
	},
	{
		"a refusal that nobody wanted",
		"ann: start_job, if_attempt 3\n# why\nann: start_job\n",
		"ann: start_job, if_attempt 3\n  refused stale, state pending, legal stop_before terminate_job start_job hold_job comment_job\n# why\nann: start_job\n",
	},
	{
		"an acceptance in the place of a refusal",
		"ann: start_job\n  refused wrong_state, says \"x\"\n  legal none\nexpect job: running\n",
		"ann: start_job\n  from pending, to running, job_to running, attempt 1, targets 2, effect run\nexpect job: running\n",
	},
	{
		"another text",
		"ann: confirm 1\n  refused wrong_type, says \"no such\"\n",
		"ann: confirm 1\n  refused wrong_type, says \"job 1, step 1: confirm (6) does not apply to a script step; legal now: stop_before, on the job: terminate_job, start_job, hold_job\"\n",
	},
	{
		"what the author leaves to it",
		"ann: start_job\n  ?\nreport 1.1: a succeeded, b failed\n  ?\nexpect job: ?\nexpect step 1: ?\nexpect target 1.a:\n  ?\nexpect record 2: ?\nexpect history: ?\ndeliver\n  ?\nexpect effects: ?\nsweep\n  ?\njob x, dry_run\n  ?\n",
		"ann: start_job\n  from pending, to running, job_to running, attempt 1, targets 2, effect run\n" +
			"report 1.1: a succeeded, b failed\n  state failed, job_state failed, accepted 2\n" +
			"expect job: failed, current 1, version 3\nexpect step 1: failed, attempt 1, succeeded 1, unfinished 0\n" +
			"expect target 1.a: succeeded, attempt 1\nexpect record 2: start_job, actor ann, from pending, to running\n" +
			"expect history: created, start_job, some_failed\ndeliver\n  job_ended failed\nexpect effects: none\nsweep\n  0 expired\n" +
			"job x, dry_run\n  refused invalid_input, field steps\n",
	},
	{
		"a long list, on lines below",
		"expect ann on 1 in full: none",
		"expect ann on 1 in full:\n  retry_failed is wrong_state, ignore_error is wrong_state, confirm is wrong_type\n" +
			"  retry_all is wrong_state, terminate_confirmation is wrong_type, restart_confirmation is wrong_type\n" +
			"  next_step is wrong_state, forced_skip is wrong_state, continue is wrong_state, stop_before\n" +
			"  clear_stop is no_stop, terminate_job, start_job, hold_job, resume_job is not_held\n" +
			"  seal_job is wrong_state, comment_job\n",
	},
	{
		"an outcome that is unknown",
		"crash before\nann: start_job\nrestart\nann: start_job",
		"crash before\nann: start_job\n  unknown outcome\nrestart\nann: start_job",
	},
	{
		"a sweep of which the outcome is unknown",
		late + "crash before\nsweep\n  ?\nrestart\n" + late + "crash after\nsweep\n  1 expired\n",
		late + "crash before\nsweep\n  unknown outcome\nrestart\n" + late + "crash after\nsweep\n  unknown outcome\n",
	},
	{
		"a refusal of a job, and what comes after it",
		"job r\n  script s\nann: start_job\nreport 1.1: c succeeded\nturn to r\n",
		"job r\n  script s\n  refused invalid_input, field steps[0].targets\nann: start_job\nreport 1.1: c succeeded\nturn to r\n",
	},
	{
		"what there is none of, which is left out unless it is asked for",
		"expect record 1: ?\nexpect record 1: created, actor ann, from running, effect run, cause results\n" +
			"job ask\n  confirmation ask, confirmers \"none\"\n  confirmation ask\nexpect step 1: confirmers none\nexpect step 2: confirmers \"none\", on_timeout none\n",
		"expect record 1: created\nexpect record 1: created, actor \"\", from none, effect none, cause created\n" +
			"job ask\n  confirmation ask, confirmers \"none\"\n  confirmation ask\nexpect step 1: confirmers \"none\"\nexpect step 2: confirmers none, on_timeout terminate\n",
	},
	{
		"a list of names, each with its quotes",
		"job ask\n  confirmation ask, confirmers \"ann b\" c\nexpect step 1: confirmers ann \"b c\"\nexpect step 1: confirmers \"ann b c\"\nexpect step 1: confirmers \"ann b\" \"c\"\n",
		"job ask\n  confirmation ask, confirmers \"ann b\" c\nexpect step 1: confirmers \"ann b\" c\nexpect step 1: confirmers \"ann b\" c\nexpect step 1: confirmers \"ann b\" \"c\"\n",
	},
	{
		"the ends of lines, as they are beside it",
		"ann: start_job\n\tto waiting\r\nann: confirm 1\r\nexpect job: waiting\nbob: confirm 1",
		"ann: start_job\n  to running\nann: confirm 1\r\n  refused wrong_type, state running, legal terminate_job hold_job comment_job\r\nexpect job: running\n" +
			"bob: confirm 1\n  refused wrong_type, state running, legal terminate_job hold_job comment_job\n",
	},
	{
		"a text that must be quoted",
		"ann: start_job, because \"a, \\\"b\\\"\"\nexpect record 2: start_job, reason c, targets 0\n",
		"ann: start_job, because \"a, \\\"b\\\"\"\nexpect record 2: start_job, reason \"a, \\\"b\\\"\", targets 2\n",
	},
}

// late is a scenario with an overdue step.
const late = "job late\n  script copy, targets a, timeout 1s\nann: start_job\nwait 2s\n"

func TestGoldenModeWrites(t *testing.T) {
	const head = "job release\n  script copy, targets a b\n"
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			result, found := mismatches(t, head+g.file, Config{})
			if len(found) == 0 {
				t.Error("nothing is wrong with it")
			}
			if got := strings.TrimPrefix(result.Golden, head); got != g.want {
				t.Errorf("got\n%s\nwant\n%s", got, g.want)
			}
			if _, found := mismatches(t, result.Golden, Config{}); len(found) > 0 && g.name != "a refusal of a job, and what comes after it" {
				t.Errorf("as written it is still wrong: %v", found)
			}
		})
	}
}

// With Update, Test writes the file, and passes if that has repaired it.
func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "01-x.txt")
	const head = "job release\n  script copy, targets a b\nann: start_job\n"
	if err := os.WriteFile(path, []byte(head+"  to waiting\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	results := Test(t, path, Config{Update: true})
	if got := read(t, path); got != head+"  to running\n" || len(results) != 1 || results[0].Golden != got {
		t.Errorf("it is now\n%s", got)
	}
}
