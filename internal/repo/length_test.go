package repo

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The maximum length of a function in lines, its signature and closing brace included.
const (
	maxLines     = 60
	maxTestLines = 150 // in files of tests
)

// longer are the functions above the maximum, with their length. None may grow, and a function that has
// become short enough leaves the list.
var longer = map[string]int{}

// A function fits on a screen, and a test on two or three.
func TestFunctionsAreShort(t *testing.T) {
	files := tracked(t, "*.go")
	if len(files) < 100 {
		t.Fatalf("git lists %d Go files: %q", len(files), files)
	}
	found := map[string]int{}
	for _, name := range files {
		for function, lines := range longIn(t, name, nil) {
			found[function] = lines
			if allowed, ok := longer[function]; !ok {
				t.Errorf("%s has %d lines, the maximum is %d outside of tests and %d in tests", function, lines, maxLines, maxTestLines)
			} else if lines != allowed {
				t.Errorf("%s has %d lines, and %d in the list of exceptions", function, lines, allowed)
			}
		}
	}
	for function := range longer {
		if found[function] == 0 {
			t.Errorf("%s is not over the maximum: take it off the list of exceptions", function)
		}
	}
}

// A function of one line too many is found, with its receiver, and one at the limit is not.
func TestLongFunctionsAreFound(t *testing.T) {
	function := func(head string, lines int) string {
		return head + " {\n" + strings.Repeat("\n", lines-2) + "}\n"
	}
	for _, c := range []struct {
		name, text string
		want       map[string]int
	}{
		{"a.go", function("func f()", maxLines), map[string]int{}},
		{"a.go", function("// f is commented.\nfunc f()", maxLines), map[string]int{}},
		{"a.go", function("func f()", maxLines+1), map[string]int{"a.go: f": maxLines + 1}},
		{"b/a.go", function("func (*T) f()", maxLines+1), map[string]int{"b/a.go: (*T).f": maxLines + 1}},
		{"a.go", function("func (x T[K]) f()", maxLines+1), map[string]int{"a.go: (T[K]).f": maxLines + 1}},
		{"a_test.go", function("func f()", maxTestLines), map[string]int{}},
		{"a_test.go", function("func f()", maxTestLines+1), map[string]int{"a_test.go: f": maxTestLines + 1}},
	} {
		if got := longIn(t, c.name, "package p\n\n"+c.text); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// longIn returns the functions of a file above the maximum, "file: function" or "file:
// (receiver).method", with their lines. The source is that of the repository if text is nil.
func longIn(t *testing.T, name string, text any) map[string]int {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, filepath.Join(root, name), text, parser.SkipObjectResolution)
	if os.IsNotExist(err) {
		return nil // deleted and not yet committed
	}
	if err != nil {
		t.Fatal(err)
	}
	most := maxLines
	if strings.HasSuffix(name, "_test.go") {
		most = maxTestLines
	}
	long := map[string]int{}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1
		if lines <= most {
			continue
		}
		function := fn.Name.Name
		if fn.Recv != nil {
			function = "(" + types.ExprString(fn.Recv.List[0].Type) + ")." + function
		}
		long[name+": "+function] = lines
	}
	return long
}
