package repo

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// bash runs functions of a script and a line that calls them, and returns what it prints.
func bash(t *testing.T, folder, script, line string, functions ...string) string {
	t.Helper()
	program := "set -euo pipefail\n"
	for _, name := range functions {
		body := regexp.MustCompile(`(?m)^` + name + `\(\) \{(?: .*\}| *\n(?:(?: .*)?\n)*\})$`).FindString(file(t, script))
		if body == "" {
			t.Fatalf("%s has no function %s", script, name)
		}
		program += body + "\n"
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", program+line)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", script, line, err, out)
	}
	return strings.TrimSpace(string(out))
}

// .ci/nightly compares the API with the latest release of the root module, whose tag is not on main.
func TestNightlyFindsTheLatestRelease(t *testing.T) {
	folder := t.TempDir()
	latest := func() string { return bash(t, folder, ".ci/nightly", "latest", "latest") }
	git := func(args string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", "git -c user.name=test -c user.email=test "+args)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	git("init -q -b main")
	git("commit -q --allow-empty -m tree")
	if got := latest(); got != "" {
		t.Errorf("before the first release: %q, want none", got)
	}
	git("checkout -q --detach")
	for _, tag := range []string{"v0.9.0", "v0.10.0-rc.1", "v0.10.0", "v0.10.0-rc.2", "store/pgstore/v0.11.0", "very-old"} {
		git("commit -q --allow-empty -m " + tag)
		git("tag " + tag)
	}
	git("checkout -q main")
	if got := latest(); got != "v0.10.0" {
		t.Errorf("the latest release is %q, want v0.10.0", got)
	}
}

// Where 32-bit programs do not run, the gate compiles them for a system that has them, as macOS has none.
func TestGateCompiles32BitsOnMacOS(t *testing.T) {
	m := regexp.MustCompile(`(?m)^  (.*on32) vet\b`).FindStringSubmatch(file(t, ".ci/run"))
	if m == nil {
		t.Fatal(".ci/run has no line with on32 vet")
	}
	t.Setenv("GOOS", "darwin")
	bash(t, root, ".ci/run", m[1]+" vet -n >/dev/null", "on32") // fails where it would compile nothing
}

// .ci/tools reads the version of each PostgreSQL.
func TestToolsReadTheVersionOfPostgreSQL(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "0",
		"initdb (PostgreSQL) 17.2": "17",
		"initdb (PostgreSQL) 14.9 (Ubuntu 14.9-0ubuntu0.22.04.1)": "14",
		"initdb (PostgreSQL) 19beta1":                             "19",
		"no PostgreSQL":                                           "0",
	} {
		if got := bash(t, os.TempDir(), ".ci/tools", "major '"+text+"'", "major"); got != want {
			t.Errorf("the version of %q is %s, want %s", text, got, want)
		}
	}
}
