package repo

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Everything in the table "to, use" of docs/README.md has an Example that runs: a name one that has it in its
// body or its own name, and a package one of its own.
func TestEachFeatureHasAnExample(t *testing.T) {
	_, table, ok := strings.Cut(file(t, "docs/README.md"), "\n| to | use |\n|---|---|\n")
	table, _, _ = strings.Cut(table+"\n", "\n\n")
	if !ok || table == "" {
		t.Fatal("docs/README.md has no table of what to use")
	}
	bodies := exampleBodies(t)
	name := regexp.MustCompile("`(?:\\w+\\.)?([A-Z]\\w+)`")
	folder := regexp.MustCompile(`\]\(\.\./([\w/]+)\)`)
	checked := 0
	for row := range strings.Lines(table) {
		use := strings.Split(row, "|")[2]
		for _, m := range name.FindAllStringSubmatch(use, -1) {
			checked++
			word := regexp.MustCompile(`\b(?:Example)?` + m[1] + `(?:\b|_)`)
			if !slices.ContainsFunc(bodies, func(e runExample) bool { return word.MatchString(e.body) }) {
				t.Errorf("no Example that runs has %s, of the row %s", m[1], row)
			}
		}
		for _, m := range folder.FindAllStringSubmatch(use, -1) {
			checked++
			if !slices.ContainsFunc(bodies, func(e runExample) bool { return e.folder == m[1] }) {
				t.Errorf("package %s has no Example that runs, of the row %s", m[1], row)
			}
		}
	}
	if checked < 40 {
		t.Errorf("the table has %d names and packages: are they found?", checked)
	}
}

// Each Example runs: it has an output, or a test of its folder calls it.
func TestEachExampleRuns(t *testing.T) {
	calls := map[string]string{} // folder -> bodies of its tests
	examples := 0
	for _, name := range tracked(t, "*_test.go") {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, file(t, name), parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		folder := path.Dir(name)
		if _, known := calls[folder]; !known {
			calls[folder] = testBodies(t, folder)
		}
		for _, e := range doc.Examples(f) {
			examples++
			called := strings.Contains(calls[folder], "\tExample"+e.Name+"()\n")
			if e.Output == "" && !e.EmptyOutput && !called {
				t.Errorf("%s: Example%s has no output, and no test calls it", name, e.Name)
			}
		}
	}
	if examples < 40 {
		t.Errorf("the tree has %d Examples, want at least 40", examples)
	}
}

var testFunction = regexp.MustCompile(`(?ms)^func Test\w*\(\w+ \*testing\.T\) \{\n.*?^\}`)

// testBodies returns the tests of a folder.
func testBodies(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var bodies strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range testFunction.FindAll(text, -1) {
			bodies.Write(body)
		}
	}
	return bodies.String()
}

type runExample struct{ folder, body string }

// exampleBodies returns the bodies of all Examples of the library that run: see TestEachExampleRuns.
func exampleBodies(t *testing.T) (all []runExample) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), "\nfunc Example") {
			return err
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") {
				body := string(text[files.Position(f.Pos()).Offset:files.Position(f.End()).Offset])
				code, _, _ := strings.Cut(body, "// Output:")
				all = append(all, runExample{path.Clean(filepath.ToSlash(folder)), code})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
