package repo

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scripts returns the text of the gate, the nightly run and the workflows, by name.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{".ci/*", ".github/workflows/*.yml"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) < 2 {
			t.Fatalf("%s: found %q, %v", pattern, found, err)
		}
		for _, path := range found {
			name := filepath.ToSlash(strings.TrimPrefix(path, filepath.FromSlash(root+"/")))
			texts[name] = file(t, name)
		}
	}
	return texts
}

// Each command of the scripts that runs tests by name runs at least one, and each folder that a
// go command names holds packages.
func TestCommandsOfTheScriptsRunSomething(t *testing.T) {
	texts, named := scripts(t), 0
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for _, fault := range idleCommands(t, texts[name]) {
			t.Errorf("%s: %s", name, fault)
		}
		named += len(runsIn(texts[name]))
	}
	if named < 15 {
		t.Errorf("the scripts have %d commands that name a test, want at least 15", named)
	}
}

// A test and a folder that do not exist are found in a script, wherever the command stands.
func TestIdleCommandsAreFound(t *testing.T) {
	for command, want := range map[string]string{
		"go test -run '^TestWalk$' -v ./engine/enginetest":              "",
		"      - run: go build ./... ./store/pgstore/...":               "",
		`go test -run '^$' -fuzz "^$2\$" -fuzztime 10s "$1"`:            "",
		"go test -short -run '^$' -bench . -benchtime 1x work":          "",
		"go test -run '^TestWalks$' -v ./engine/enginetest":             "-run ^TestWalks$ matches nothing in engine/enginetest",
		"go test -run '^(TestWalk|TestWalked)$' -v ./engine/enginetest": "-run ^TestWalked$ matches nothing in engine/enginetest",
		"  A=2 go test -run '^TestWalk$' -v ./engine/gone":              "no Go files in ./engine/gone",
		"      - run: go vet ./... ./store/mystore/...":                 "no Go files in ./store/mystore/...",
		"go test -run '^TestWalk$' -v":                                  "no folder is named",
		"on32() { GOARCH=386 go \"$@\" ./step ./nothing ./store/...; }": "no Go files in ./nothing",
	} {
		if got := strings.Join(idleCommands(t, command), "; "); !strings.HasSuffix(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

var goFolders = regexp.MustCompile(`\./[\w./]*`)

// idleCommands returns the tests and folders in go commands of a script that do not exist.
func idleCommands(t *testing.T, text string) (faults []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.Contains(line, "go ") || strings.HasPrefix(line, "#") {
			continue
		}
		for _, folder := range goFolders.FindAllString(line, -1) {
			if !hasGoFiles(t, folder) {
				faults = append(faults, line+": no Go files in "+folder)
			}
		}
		if len(faults) > 0 {
			continue
		}
		for _, r := range runsIn(line) {
			if len(r.folders) == 0 && (strings.Contains(line, `"$`) || strings.HasSuffix(line, " work")) {
				continue // the packages are those of a variable, or all
			}
			for _, each := range r.alternatives() {
				if idle := each.idle(t, root); idle != "" {
					faults = append(faults, line+": "+idle)
				}
			}
		}
	}
	return faults
}

var alternation = regexp.MustCompile(`^\^\(([\w|]+)\)\$$`)

// alternatives returns r for each name by itself, if r names several as '^(TestA|TestB)$'.
func (r run) alternatives() (all []run) {
	for _, flag := range r.names {
		if m := alternation.FindStringSubmatch(flag[1]); m != nil {
			for name := range strings.SplitSeq(m[1], "|") {
				all = append(all, run{r.command, r.folders, [][2]string{{flag[0], "^" + name + "$"}}})
			}
		} else {
			all = append(all, run{r.command, r.folders, [][2]string{flag}})
		}
	}
	return all
}

// hasGoFiles reports whether a folder has Go files, or one below it if it ends in "...".
func hasGoFiles(t *testing.T, folder string) bool {
	t.Helper()
	parent, below := strings.CutSuffix(folder, "...")
	found, err := filepath.Glob(filepath.Join(root, parent, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	if below && len(found) == 0 {
		found, err = filepath.Glob(filepath.Join(root, parent, "*", "*.go"))
		if err != nil {
			t.Fatal(err)
		}
	}
	return len(found) > 0
}

var (
	partsOfTheNight = regexp.MustCompile(`(?m)^parts='([^']*)'$`)
	matrixParts     = regexp.MustCompile(`(?m)^ {8}part:\n((?: {10}- .*\n)+)`)
	useOfAnAction   = regexp.MustCompile(`(?m)^ *(?:- )?uses: (.*)$`)
	pinned          = regexp.MustCompile(`^[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
)

// Nightly runs every part of .ci/nightly, and each part is a function there.
func TestNightlyRunsEveryPart(t *testing.T) {
	script, workflow := file(t, ".ci/nightly"), file(t, ".github/workflows/nightly.yml")
	m, n := partsOfTheNight.FindStringSubmatch(script), matrixParts.FindStringSubmatch(workflow)
	if m == nil || n == nil {
		t.Fatal("there is no parts='...' in .ci/nightly, or no matrix of parts in nightly.yml")
	}
	parts, matrix := strings.Fields(m[1]), strings.Fields(strings.ReplaceAll(n[1], "- ", ""))
	if !slices.Equal(parts, matrix) {
		t.Errorf("nightly.yml runs %q, and the parts of .ci/nightly are %q", matrix, parts)
	}
	for _, part := range parts {
		if !strings.Contains(script, "\n"+part+"() {\n") {
			t.Errorf(".ci/nightly has no function %s", part)
		}
	}
}

// Workflows take actions at a commit, and say which full version that is.
func TestActionsArePinned(t *testing.T) {
	uses := 0
	for name, text := range scripts(t) {
		for _, m := range useOfAnAction.FindAllStringSubmatch(text, -1) {
			uses++
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s uses %s, want OWNER/ACTION@COMMIT # vX.Y.Z", name, m[1])
			}
		}
	}
	if uses < 5 {
		t.Errorf("the workflows use %d actions, want at least 5", uses)
	}
	for _, loose := range []string{"actions/checkout@v7", "actions/checkout@v7.0.1", "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "actions/checkout@main # v7.0.1"} {
		if pinned.MatchString(loose) {
			t.Errorf("%s passes for pinned", loose)
		}
	}
}

var (
	workspace   = regexp.MustCompile(`(?m)^\t(\.\S*)$`)
	directories = regexp.MustCompile(`(?m)^ {4}directories:\n((?: {6}- .*\n)+)`)
)

// Dependabot watches every module of the workspace, and no other folder.
func TestDependabotWatchesEveryModule(t *testing.T) {
	var want []string
	for _, m := range workspace.FindAllStringSubmatch(file(t, "go.work"), -1) {
		want = append(want, "/"+strings.TrimPrefix(strings.TrimPrefix(m[1], "."), "/"))
	}
	m := directories.FindStringSubmatch(file(t, ".github/dependabot.yml"))
	if m == nil {
		t.Fatal(".github/dependabot.yml has no list of directories")
	}
	got := strings.Fields(strings.ReplaceAll(m[1], "- ", ""))
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the directories of .github/dependabot.yml are\n%q, and the modules of go.work are\n%q", got, want)
	}
	for _, folder := range want {
		if _, err := os.Stat(filepath.Join(root, folder, "go.mod")); err != nil {
			t.Error(err)
		}
	}
}
