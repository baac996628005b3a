package repo

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A command in the documentation that runs tests by name runs at least one.
func TestCommandsInTheDocsRunSomething(t *testing.T) {
	named := 0
	for _, p := range read(t) {
		name, text := p.Name, p.Text
		runs := runsIn(text)
		if n := strings.Count(text, " -run "); len(runs) != n {
			t.Errorf("%s says -run %d times, and has %d commands of the form go test -run NAME ./FOLDER", name, n, len(runs))
		}
		named += len(runs)
		for _, r := range runs {
			if idle := r.idle(t, root); idle != "" {
				t.Errorf("%s: %s: %s", name, r.command, idle)
			}
		}
	}
	if named == 0 {
		t.Error("there is no command that names a test")
	}
}

// A command in the documentation that tests folders names folders with tests.
func TestCommandsInTheDocsNameFolders(t *testing.T) {
	tests := regexp.MustCompile(`^(?:\w+=\S* )*(?:cd (\S+) && )?(?:\w+=\S* )*go test (.*)`)
	for _, p := range read(t) {
		for _, c := range p.Commands() {
			m := tests.FindStringSubmatch(c.Text)
			if m == nil {
				continue
			}
			for word := range strings.FieldsSeq(m[2]) {
				if folder := filepath.Join(m[1], word); strings.HasPrefix(word, "./") && word != "./..." && len(functionsIn(t, filepath.Join(root, folder))) == 0 {
					t.Errorf("%s:%d: %s: there is no test in %s", p.Name, c.Line, c.Text, filepath.ToSlash(folder))
				}
			}
		}
	}
}

// A command whose names or folders do not exist is found.
func TestACommandThatRunsNothingIsFound(t *testing.T) {
	for command, want := range map[string]string{
		"`go test -run TestPages ./internal/repo`":                              "",
		"`go test -v -run 'TestImports$' ./internal/repo`":                      "",
		"`A=4 go test -run 'TestImports$/step' -v ./internal/repo   # comment`": "",
		"`go test -run Example ./engine`":                                       "",
		"```sh\ncd internal && go test -run TestPages ./repo\n```":              "",
		"`go test -run '^$' -bench . ./engine ./operation`":                     "",
		"`go test -run '^$' -fuzz FuzzParse ./scenario`":                        "",
		"`go test -run TestPage$ ./internal/repo`":                              "-run TestPage$ matches nothing in internal/repo",
		"`go test -run 'TestImport$' ./internal/repo`":                          "-run TestImport$ matches nothing in internal/repo",
		"`go test -run TestPages ./engine`":                                     "-run TestPages matches nothing in engine",
		"`go test -run TestImports ./internal/repo ./engine`":                   "-run TestImports matches nothing in engine",
		"`go test -run TestPages ./internal/nowhere`":                           "-run TestPages matches nothing in internal/nowhere",
		"`go test -run TestPages`":                                              "no folder is named",
		"`go test -run '^$' -fuzz FuzzNothing ./scenario`":                      "-fuzz FuzzNothing matches nothing in scenario",
		"`go test -run '^$' -bench . ./internal/repo`":                          "-bench . matches nothing in internal/repo",
	} {
		runs := runsIn(command)
		if len(runs) != 1 {
			t.Errorf("%s: found %d commands, want one", command, len(runs))
			continue
		}
		if got := runs[0].idle(t, root); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

// A run is a command that runs tests by name.
type run struct {
	command string
	folders []string
	names   [][2]string // a flag, and what it names: a regular expression
}

var (
	testCommands = regexp.MustCompile("(?:cd (\\S+) && )?go test ([^`#\\n]* -run [^`#\\n]*|-run [^`#\\n]*)")
	nameFlags    = regexp.MustCompile(`-(run|fuzz|bench) (?:'([^']*)'|(\S+))`)
	functions    = regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz|Benchmark)\w*)\(`)
)

// runsIn returns the commands in a text that name tests to run.
func runsIn(text string) (runs []run) {
	for _, m := range testCommands.FindAllStringSubmatch(text, -1) {
		r := run{command: strings.TrimSpace(m[0])}
		for word := range strings.FieldsSeq(m[2]) {
			if strings.HasPrefix(word, "./") {
				r.folders = append(r.folders, filepath.Join(m[1], word))
			}
		}
		for _, flag := range nameFlags.FindAllStringSubmatch(m[2], -1) {
			r.names = append(r.names, [2]string{flag[1], flag[2] + flag[3]})
		}
		runs = append(runs, r)
	}
	return runs
}

// idle returns the first flag of r that matches nothing in one of its folders, or "". The pattern
// '^$', which stands beside -fuzz and -bench, may match nothing.
func (r run) idle(t *testing.T, root string) string {
	t.Helper()
	kinds := map[string]string{"run": "Test|Example|Fuzz", "fuzz": "Fuzz", "bench": "Benchmark"}
	if len(r.folders) == 0 {
		return "no folder is named"
	}
	for _, flag := range r.names {
		top, _, _ := strings.Cut(flag[1], "/") // what follows are subtests
		pattern, err := regexp.Compile(top)
		if err != nil {
			t.Fatal(err)
		}
		kind := regexp.MustCompile("^(" + kinds[flag[0]] + ")")
		for _, folder := range r.folders {
			if flag[1] != "^$" && !slices.ContainsFunc(functionsIn(t, filepath.Join(root, folder)), func(name string) bool {
				return kind.MatchString(name) && pattern.MatchString(name)
			}) {
				return "-" + flag[0] + " " + flag[1] + " matches nothing in " + filepath.ToSlash(folder)
			}
		}
	}
	return ""
}

// functionsIn returns the tests, examples, fuzz targets and benchmarks of a folder.
func functionsIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range functions.FindAllStringSubmatch(string(text), -1) {
			names = append(names, f[1])
		}
	}
	return names
}
