// Package repo keeps the repository in step with itself: the documentation with the
// rules, the programs and the commands that it shows, and the packages with the imports they may have.
package repo

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/stepgate/stepgate"
)

// The imports that each package may have, and why. A package may import the standard library, without
// the forbidden packages, and those that its line names. Tests may import anything.
var imports = []struct {
	folder  string
	may     []string
	because string
}{
	{".", []string{"executor"}, "the documentation of the module"},
	{"internal/enum", nil, "names of numbers need nothing"},
	{"internal/testkit", []string{"pgregory.net/rapid", "os"}, "for tests of every package, so it knows none"},
	{"internal/pages", []string{"os"}, "it reads files, for tests of the documentation"},
	{"internal/jobkit", []string{"step", "operation", "store", "engine", "executor"}, "makes jobs for tests, on any store"},
	{"internal/crowd", []string{"step", "operation", "store", "engine"}, "for tests of engines and stores that are kept busy"},
	{"internal/migrate", nil, "it reads files that are embedded, and knows no database"},
	{"internal/pgkit", nil, "what tests on PostgreSQL share, without a driver"},
	{"internal/release", []string{"os"}, "it runs git and the go command, and knows no package of the library"},
	{"internal/strictjson", nil, "reading needs nothing"},
	{"internal/groupcommit", nil, "it knows nothing of what it commits"},
	{"internal/targetset", []string{"store"}, "sets of targets, for stores"},
	{"internal/schema", []string{"internal/targetset", "step", "store", "github.com/google/uuid"}, "columns of tables, without a driver"},
	{"internal/wake", []string{"store"}, "listeners, for stores and the engine"},
	{"step", []string{"internal/enum", "github.com/looplab/fsm"}, "the nouns; the only place that checks a machine with looplab/fsm"},
	{"operation", []string{"internal/enum", "internal/strictjson", "step"}, "rules know steps and no storage"},
	{"store", []string{"internal/enum", "step", "github.com/google/uuid"}, "what is remembered; no behaviour, no implementation"},
	{"store/internal/sqltest", []string{"step", "operation", "store", "store/storetest", "engine", "internal/jobkit"}, "for tests and benchmarks of the SQL stores"},
	{"store/internal/firstschema", []string{"step", "operation", "store", "engine"}, "for tests of the SQL stores: an old database under a new engine"},
	{"store/storetest", []string{"step", "operation", "store", "github.com/google/uuid"}, "a suite that favours no store"},
	{"memstore", []string{"internal/targetset", "internal/wake", "step", "store"}, "a store knows nothing of deciding"},
	{"engine", []string{"internal/enum", "internal/wake", "step", "operation", "store"}, "deciding and committing; no store, no transport"},
	{"internal/player", []string{"step", "operation", "store", "engine"}, "what random proofs share; dice are theirs"},
	{"httpapi", []string{"internal/enum", "internal/strictjson", "step", "operation", "store", "engine", "net/http", "log/slog", "github.com/google/uuid"}, "a frontend sits on the engine's public API alone; it logs nothing, and keeps credentials out of the logs of others"},
	{"engine/enginetest", []string{"step", "operation", "store", "engine", "memstore", "store/storetest", "internal/player", "internal/crowd", "engine/enginetest/model", "pgregory.net/rapid", "os"}, "a kit for tests, with directories for the stores that need one"},
	{"engine/enginetest/model", []string{"step", "operation"}, "an oracle that shares no code with the engine"},
	{"scenario", []string{"step", "operation", "store", "engine", "memstore", "store/storetest", "github.com/google/uuid", "os"}, "it plays on any engine, and golden mode writes files"},
	{"executor", []string{"internal/enum", "step", "operation", "store", "engine", "os"}, "it works on an engine, here or over the wire, and keeps nothing but output, in files if told to"},
	{"executor/executortest", []string{"step", "operation", "store", "engine", "memstore"}, "a kit that favours no executor"},
	{"client", []string{"step", "operation", "store", "engine", "net/http", "github.com/google/uuid"}, "it reaches an engine over HTTP alone"},
	{"examples/localexec", []string{"step", "store", "executor"}, "functions for an executor, which knows the engine"},
	{"examples/recipes", nil, "the Examples of a page"},
	{"examples/worker", nil, "a worker in Python, with a test"},
}

// forbidden are packages of the standard library that no package of the library imports.
var forbidden = map[string]string{
	"log":          "logging is the observer's",
	"log/slog":     "logging is the observer's",
	"net/http":     "transport is not the library's business",
	"database/sql": "SQL stores are modules of their own",
	"os":           "the library touches no files and no environment",
}

func TestImports(t *testing.T) {
	for _, rule := range imports {
		t.Run(rule.folder, func(t *testing.T) {
			for _, path := range importsOf(t, rule.folder) {
				local := strings.TrimPrefix(path, module+"/")
				switch first, _, _ := strings.Cut(path, "/"); {
				case !strings.Contains(first, "."): // the standard library
					if why, bad := forbidden[path]; bad && !strings.HasPrefix(rule.folder, "examples/") && !slices.Contains(rule.may, path) {
						t.Errorf("%s imports %s: %s", rule.folder, path, why)
					}
				case !slices.Contains(rule.may, local):
					t.Errorf("%s imports %s; it may import %v, as it is %s", rule.folder, local, rule.may, rule.because)
				}
			}
		})
	}
}

// Every package of the library has a line in the table of imports.
func TestImportsAreComplete(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		folder, _ := filepath.Rel(root, path)
		if strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata" {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && folder != "." {
			return fs.SkipDir // a module of its own
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) == 0 || folder == "internal/repo" {
			return nil
		}
		for _, rule := range imports {
			if rule.folder == filepath.ToSlash(folder) {
				return nil
			}
		}
		if name := packageOf(t, path); name != "main" {
			t.Errorf("package %s has no line in the table of imports", folder)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The module depends on three others and on nothing else.
func TestDependencies(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && strings.HasPrefix(fields[1], "v") && strings.Contains(fields[0], ".") {
			got = append(got, fields[0])
		}
	}
	want := []string{"github.com/google/uuid", "github.com/looplab/fsm", "pgregory.net/rapid"}
	if !slices.Equal(got, want) {
		t.Errorf("go.mod requires %v, want %v", got, want)
	}
}

// importsOf returns what the files of a folder import, tests aside.
func importsOf(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Go files in %s: %v", folder, err)
	}
	var paths []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func packageOf(t *testing.T, dir string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	f, err := parser.ParseFile(token.NewFileSet(), files[0], nil, parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	return f.Name.Name
}
