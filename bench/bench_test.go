package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

// The whole command works, measures every row and leaves nothing behind.
func TestCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes most of a minute")
	}
	dsn, dir := pgtest.DSN(t), t.TempDir()
	if err := command(t.Context(), []string{"-quick", "-out", dir, "-dsn", dsn}); err != nil {
		t.Fatal(err)
	}
	page := readPage(t, dir)
	for _, want := range []string{"Go | go", "quick run", "## A transition in memory", "### Refused", "### 1 caller", "limit",
		"## Counts", "## How cost grows", "## What a retry writes"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, trial := range []trial{interventions, services} {
		_, part, _ := strings.Cut(page, "## "+trial.title)
		part, _, _ = strings.Cut(part, "\n## ")
		for _, e := range trial.entrants {
			if rows := rowsOf(part, e.name); len(rows) != 2 {
				t.Errorf("%s has %d rows, want one for each number of callers", e.name, len(rows))
			} else if !regexp.MustCompile(`^\| [0-9][0-9,.]* \|`).MatchString(rows[1]) {
				t.Errorf("%s has no figure: %s", e.name, rows[1])
			}
		}
	}
	for _, c := range chores {
		if rows := rowsOf(page, c.name); len(rows) != 1 || !regexp.MustCompile(`^\| – \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \|$`).MatchString(rows[0]) {
			t.Errorf("%s has no counts: %q", c.name, rows)
		}
	}
	if failed := regexp.MustCompile("Not measured: .*").FindString(page); failed != "" {
		t.Error(failed)
	}
	for _, plot := range regexp.MustCompile(`\]\((.*\.svg)\)`).FindAllStringSubmatch(page, -1) {
		if info, err := os.Stat(filepath.Join(dir, plot[1])); err != nil || info.Size() == 0 {
			t.Errorf("plot %s: %v", plot[1], err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "work-*")); err != nil || left != nil {
		t.Errorf("left on the disk: %v %v", left, err)
	}
	if n := schemas(t, dsn); n != 0 {
		t.Errorf("%d schemas are left on the server", n)
	}
}

// Where there is no PostgreSQL, its rows say so and the others are measured.
func TestCommandWithoutPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	dir := t.TempDir()
	unreachable := fmt.Sprintf("host='%s' user=ann password=sentinel", t.TempDir()) // no server listens on a socket in it
	if err := command(t.Context(), []string{"-quick", "-out", dir, "-dsn", unreachable, "-only", "intervention,service,growth,rows"}); err != nil {
		t.Fatal(err)
	}
	page := readPage(t, dir)
	trials, _, _ := strings.Cut(page, "## How cost grows")
	for _, e := range slices.Concat(interventions.entrants, services.entrants) {
		for _, row := range rowsOf(trials, e.name) {
			if got := strings.HasPrefix(row, "| no PostgreSQL |"); got != e.postgres {
				t.Errorf("%s: %s", e.name, row)
			}
		}
	}
	if n := strings.Count(page, "Not measured: *"+postgresName+"*: no PostgreSQL."); n != 5 {
		t.Errorf("%d tables of how cost grows and what a retry writes say that there is no PostgreSQL, want 5", n)
	}
	if !strings.Contains(page, "Left out of this run: transition") || !strings.Contains(page, "PostgreSQL | none answered |") {
		t.Errorf("the page does not say what it leaves out:\n%s", page)
	}
	if strings.Contains(page, "sentinel") {
		t.Error("the page tells the password")
	}
}

// The repository shows the figures of a whole run: a quick run and one of some parts leave them
// alone.
func TestAPartialRunLeavesTheResultsAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	tracked := filepath.Join(results, "README.md")
	if err := os.MkdirAll(results, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tracked, []byte("of a whole run"), 0o666); err != nil {
		t.Fatal(err)
	}
	unreachable := fmt.Sprintf("host='%s' user=ann", t.TempDir())
	if err := command(t.Context(), []string{"-quick", "-only", "transition", "-dsn", unreachable}); err != nil {
		t.Fatal(err)
	}
	if page := readPage(t, results); page != "of a whole run" {
		t.Errorf("%s is overwritten:\n%.200s", tracked, page)
	}
	written, err := filepath.Glob(filepath.Join(os.TempDir(), "stepgate-bench-*", "README.md"))
	if err != nil || len(written) != 1 {
		t.Errorf("pages written to a temporary folder: %q, %v, want one", written, err)
	}
}

func TestCommandKnowsItsParts(t *testing.T) {
	err := command(t.Context(), []string{"-only", "transition,lunch"})
	if err == nil || !strings.Contains(err.Error(), `"lunch"`) || !strings.Contains(err.Error(), "intervention") {
		t.Errorf("command with a part that there is not: %v", err)
	}
}

func readPage(t *testing.T, dir string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// rowsOf returns what follows the name in the rows of a table.
func rowsOf(page, name string) []string {
	var all []string
	for line := range strings.Lines(page) {
		if row, ok := strings.CutPrefix(line, "| "+name+" "); ok {
			all = append(all, strings.TrimSpace(row))
		}
	}
	return all
}

// schemas returns how many schemas of this process there are.
func schemas(t *testing.T, dsn string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	err = conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, $1)`, fmt.Sprintf("stepgate_bench_%d_", os.Getpid())).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
