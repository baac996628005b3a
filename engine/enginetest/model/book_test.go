package model

import (
	"strings"
	"testing"
)

// The embedded book is well-formed. Without any one of its lines it is malformed, or has fewer cells.
func TestTheBookIsWellFormed(t *testing.T) {
	whole, err := parse(legality)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(legality, "\n")
	for i, line := range lines {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		less, err := parse(strings.Join(lines[:i], "") + strings.Join(lines[i+1:], ""))
		if err == nil && len(less.cells)+len(less.whole) >= len(whole.cells)+len(whole.whole) {
			t.Errorf("without line %d, %q, the book has as many cells", i+1, line)
		}
	}
}

// A book is refused for its first mistake, by line and column.
func TestAMalformedBookIsRefused(t *testing.T) {
	const good = `on confirmation
in waiting
  confirm  succeeded  vote  approver
nothing in pending running succeeded failed skipped error_ignored abnormal terminating terminated
nothing in confirmation_terminated gated abandoned
`
	if r, err := parse(good); err != nil || len(r.cells) != 1 {
		t.Fatalf("parse = %v, %v; want one cell", r, err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"on confirmation", "on", "line 1: on: want one name or more"},
		{"on confirmation", "on tape", `line 1: on: unknown step type "tape"`},
		{"on confirmation", "on confirmation confirmation", "line 1: on: confirmation stands twice"},
		{"on confirmation", "on 3", `line 1: on: "3" is confirmation, want its name`},
		{"on confirmation", "", "line 2: in: waiting stands twice, or above the first on"},
		{"in waiting", "", "line 3: row of confirm: want in above it"},
		{"in waiting", "in", "line 2: in: want one name or more"},
		{"in waiting", "in wait", `line 2: in: unknown state "wait"`},
		{"in waiting", "in pending waiting", "line 4: nothing in: pending stands twice"},
		{"in waiting", "nothing in waiting", "line 3: row of confirm: want in above it"},
		{"confirm  succeeded", "confirms  succeeded", `line 3: cause: unknown cause "confirms"`},
		{"confirm  succeeded", "abnormal  succeeded", `line 3: cause: "abnormal" is broke, want its name`},
		{"succeeded  vote", "done  vote", `line 3: to: unknown state "done"`},
		{"vote", "votes", `line 3: do: unknown consequence "votes"`},
		{"vote", "8", `line 3: do: "8" is vote, want its name`},
		{"approver", "confirmer", `line 3: guard: unknown guard "confirmer"`},
		{"approver", "approver free", "line 3: row of confirm: want in above it, and in it cause, to, do, and perhaps guard"},
		{"  vote  approver", "", "line 3: row of confirm: want in above it, and in it cause, to, do, and perhaps guard"},
		{"  confirm  succeeded  vote  approver", "", "line 4: in: no row for [waiting] above, want nothing in"},
		{"approver", "approver\n  confirm  skipped  vote", "line 4: cause: confirm stands twice in waiting"},
		{"nothing in confirmation_terminated", "nothing confirmation_terminated", "line 5: nothing: want nothing in"},
		{"nothing in confirmation_terminated", "nothing", "line 5: nothing: want nothing in"},
		{"nothing in confirmation_terminated gated abandoned", "nothing in", "line 5: nothing in: want one name or more"},
		{" abandoned", "", "line 5: on: [confirmation] above lack the states [abandoned]"},
		{"abandoned\n", "abandoned\non sql", "line 6: on: [sql] above lack the states [pending"},
		{"abandoned\n", "\non sql", "line 6: on: [confirmation] above lack the states [abandoned]"},
		{"abandoned\n", "\nin abandoned", "line 6: in: no row for [abandoned] above, want nothing in"},
		{"abandoned\n", "abandoned\non job", "line 6: on: job above lacks the states [pending"},
		{"abandoned\n", "abandoned\non job\nin gated\n  hold_job  gated  hold", "line 8: cause: hold_job stands twice in gated, or moves a state of the whole job"},
		{"abandoned\n", "abandoned\non job\nin gated\n  hold_job  -  hold\n  hold_job  -  hold", "line 9: cause: hold_job stands twice in gated, or moves a state of the whole job"},
	} {
		book := strings.Replace(good, c.old, c.new, 1)
		if r, err := parse(book); err == nil || r != nil || !strings.HasPrefix(err.Error(), "book: "+c.want) {
			t.Errorf("parse with %q for %q = %v, %v; want book: %s", c.new, c.old, r, err, c.want)
		}
	}
}
