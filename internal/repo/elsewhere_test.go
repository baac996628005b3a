package repo

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/elsewhere.md lists at least 40 issues, each once, each scenario and test that it names exists, and
// every row of its tables is one of these.
func TestElsewhere(t *testing.T) {
	issues, mistakes := elsewhere(t, file(t, "docs/elsewhere.md"))
	for _, m := range mistakes {
		t.Error("docs/elsewhere.md:" + m)
	}
	if len(issues) < 40 {
		t.Errorf("docs/elsewhere.md has %d issues, want at least 40", len(issues))
	}
}

// Rows without an existing scenario or test, and duplicate issues, are found.
func TestABadRowIsFound(t *testing.T) {
	const shown = "[01](../scenario/testdata/01-ignore-an-abnormal-step.txt)"
	issue := func(n string) string {
		return "[riverqueue/river#" + n + "](https://github.com/riverqueue/river/issues/" + n + ")"
	}
	for row, want := range map[string]string{
		"| " + issue("1") + " | a | b | " + shown + " |":                                                         "",
		"| " + issue("2") + " | a | b | [`TestElsewhere`](../internal/repo) |":                                   "",
		"| 3 | a | " + shown + " |":                                                                              "",
		"| " + issue("4") + " | a | b | [41](../scenario/testdata/41-gone.txt) |":                                "no such scenario",
		"| " + issue("5") + " | a | b | [02](../scenario/testdata/01-ignore-an-abnormal-step.txt) |":             "no such scenario",
		"| " + issue("16") + " | a | b | [gates 01](../scenario/testdata/gates-01-hold-while-a-step-runs.txt) |": "",
		"| " + issue("17") + " | a | b | [gates 02](../scenario/testdata/gates-01-hold-while-a-step-runs.txt) |": "no such scenario",
		"| " + issue("18") + " | a | b | [01](../scenario/testdata/gates-01-hold-while-a-step-runs.txt) |":       "no such scenario",
		"| " + issue("6") + " | a | b | [`TestGone`](../internal/repo) |":                                        "no test TestGone in internal/repo",
		"| " + issue("7") + " | a | b | |":                                                                       "shown by nothing",
		"| " + issue("8") + " | a | b | [river](https://example.com) |":                                          "shown by nothing",
		"|" + issue("11") + " | a | b | " + shown + " |":                                                         "want a row",
		"|  " + issue("12") + " | a | b | " + shown + " |":                                                       "want a row",
		"| **" + issue("13") + "** | a | b | " + shown + " |":                                                    "want a row",
		issue("14") + " | a | b | " + shown:                                                                      "want a row",
		"| river#15 | a | b | " + shown + " |":                                                                   "want a row",
		"| issue | goes wrong | Stepgate | shown by |\n|---|---|---|---|":                                        "",
		"| [hibiken/asynq#9](https://github.com/riverqueue/river/issues/9) | a | b | " + shown + " |":            "is not the issue of its link",
		"| " + issue("10") + " | a | b | " + shown + " |\n| " + issue("10") + " | c | d | " + shown + " |":       "again",
	} {
		_, mistakes := elsewhere(t, row)
		if got := strings.Join(mistakes, "\n"); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\ngot %q, want %q", row, got, want)
		}
	}
}

var (
	tableHead    = regexp.MustCompile(`^\| (?:issue \| goes wrong \| Stepgate|\| shortfall) \| shown by \|$|^(?:\|---)+\|$`)
	tableRow     = regexp.MustCompile(`^\| (?:\[|\d+ \|).* \|$`)
	issueLink    = regexp.MustCompile(`^\[([\w.-]+/[\w.-]+#\d+)\]\(https://github\.com/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d+)\)$`)
	scenarioLink = regexp.MustCompile(`\[((?:gates |rolling |operators )?\d\d)\]\(\.\./(scenario/testdata/((?:gates-|rolling-|operators-)?\d\d)-[\w-]+\.txt)\)`)
	testLink     = regexp.MustCompile("\\[`((?:Test|Example)\\w*)`\\]\\(\\.\\./([\\w/]+)\\)")
)

// elsewhere returns the issues of a page's table rows, and the mistakes in the rows.
func elsewhere(t *testing.T, page string) (issues, mistakes []string) {
	line := 0
	for row := range strings.Lines(page) {
		line++
		row = strings.TrimSuffix(row, "\n")
		cells := strings.Split(strings.Trim(row, "|"), "|")
		wrong := func(format string, args ...any) {
			mistakes = append(mistakes, fmt.Sprintf("%d: ", line)+fmt.Sprintf(format, args...))
		}
		switch {
		case !strings.Contains(row, "|") || tableHead.MatchString(row):
			continue
		case !tableRow.MatchString(row):
			wrong("want a row that begins with an issue's link or a number: %s", row)
			continue
		}
		if first := strings.TrimSpace(cells[0]); strings.HasPrefix(first, "[") {
			m := issueLink.FindStringSubmatch(first)
			if m == nil || m[1] != m[2]+"#"+m[3] {
				wrong("%s is not the issue of its link", first)
				continue
			}
			if slices.Contains(issues, m[1]) {
				wrong("%s again", m[1])
			}
			issues = append(issues, m[1])
		}
		shown := cells[len(cells)-1]
		scenarios, tests := scenarioLink.FindAllStringSubmatch(shown, -1), testLink.FindAllStringSubmatch(shown, -1)
		if len(scenarios)+len(tests) == 0 || len(scenarios)+len(tests) != strings.Count(shown, "](") {
			wrong("shown by nothing: %s", shown)
		}
		for _, s := range scenarios {
			if _, err := os.Stat(filepath.Join(root, s[2])); err != nil || strings.ReplaceAll(s[1], " ", "-") != s[3] {
				wrong("no such scenario: %s", s[0])
			}
		}
		for _, f := range tests {
			if !slices.Contains(functionsIn(t, filepath.Join(root, f[2])), f[1]) {
				wrong("no test %s in %s", f[1], f[2])
			}
		}
	}
	return issues, mistakes
}
