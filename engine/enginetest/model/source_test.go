package model_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The functions that the model must not use to decide: with them it would repeat the library's
// mistakes.
var deciding = map[string][]string{
	"operation": {"Standard", "StandardTable", "ParseTable", "Rules", "Table", "Row", "Standing", "Diff", "CausesOf", "AllCodes", "AllJobCodes"},
	"step":      {"Kinds", "Kind", "NewMachine", "Machine", "Transition", "AllStates", "AllCauses", "AllDos", "AllStatuses", "Batches", "AllGateReasons"},
}

// Methods that decide, whatever they are called on.
var decidingMethods = []string{"OfJob", "OfStep", "IsEvent", "Whole", "Instead", "Lands", "Judge", "Passed", "Active", "Finished", "Success", "Valid", "Due", "Compile", "Check", "Transitions", "Add", "Attempting", "Bears", "Excepts", "Wait", "Waivable", "OfPerson", "Policy", "Stays"}

// The names of the model itself that read like such a method: its own fields, and a guard.
var fields = []string{"j.Finished", "run.Finished", "b.Finished", "j.Policy", "operation.Waivable"}

// The model decides by itself: it takes names from step and operation, and nothing else.
func TestTheModelUsesNamesOnly(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
	if len(files) < 5 {
		t.Fatalf("found the files %v, want all of the package", files)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range usesOf(t, file, string(src)) {
			t.Error(finding)
		}
	}
}

// The test finds a model that lets the library decide.
func TestAModelThatDoesNotDecideIsRefused(t *testing.T) {
	for _, body := range []string{
		`var _ = operation.Standard()`,
		`var _ operation.Table`,
		`func f(r *operation.Rules) {}`,
		`var _ = step.Running.OfJob(true)`,
		`func f(s step.State) bool { return s.Passed() }`,
		`func f(s step.State) bool { g := s.Active; return g() }`,
		`func f(s step.Status) bool { return s.Success() }`,
		`func f(s step.Status) bool { return s.Finished() }`,
		`func f(s step.Status) bool { return s.Valid() }`,
		`var _ = step.Status.Finished`,
		`var _ = step.AllStatuses()`,
		`var _ = step.Kinds()`,
		`var _ = step.AllDos()`,
		`func f(d step.Do) bool { return d.Whole() }`,
		`func f(c step.Cause) bool { return c.OfStep() }`,
		`var _, _ = step.NewMachine("", nil)`,
	} {
		src := "package model\n" + `import ("github.com/stepgate/stepgate/operation"; "github.com/stepgate/stepgate/step")` + "\n" + body
		if len(usesOf(t, "broken.go", src)) != 1 {
			t.Errorf("%s is found %d times, want once", body, len(usesOf(t, "broken.go", src)))
		}
	}
	for _, src := range []string{
		`import "github.com/stepgate/stepgate/engine"`,
		`import s "github.com/stepgate/stepgate/step"`,
	} {
		if len(usesOf(t, "broken.go", "package model\n"+src)) != 1 {
			t.Errorf("%s is not found", src)
		}
	}
}

// usesOf lists the forbidden names that a file uses.
func usesOf(t *testing.T, name, src string) []string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var findings []string
	find := func(at token.Pos, what string) {
		findings = append(findings, files.Position(at).String()+": "+what)
	}
	for _, imp := range file.Imports {
		path, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		switch local, own := strings.CutPrefix(path, "github.com/stepgate/stepgate/"); {
		case imp.Name != nil && path != "embed":
			find(imp.Pos(), path+" under another name, where this test would not know it")
		case own && local != "step" && local != "operation", !own && strings.Contains(path, "."):
			find(imp.Pos(), "imports "+path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, _ := sel.X.(*ast.Ident)
		switch {
		case x != nil && slices.Contains(deciding[x.Name], sel.Sel.Name):
			find(sel.Pos(), "uses "+x.Name+"."+sel.Sel.Name)
		case x != nil && slices.Contains(fields, x.Name+"."+sel.Sel.Name):
		case slices.Contains(decidingMethods, sel.Sel.Name):
			find(sel.Pos(), "uses method "+sel.Sel.Name)
		}
		return true
	})
	return findings
}
