package httpapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/httpapi"
)

func TestWireField(t *testing.T) {
	for field, want := range map[string]string{
		"Steps[2].OnTimeout":      "steps[2].on_timeout",
		"Steps[0].Timeout":        "steps[0].timeout_ms",
		"Steps[12].Targets[3]":    "steps[12].targets[3]",
		"Steps[1].Confirmers":     "steps[1].confirmers",
		"Results[7].Target":       "results[7].target",
		"Effects[1]":              "effects[1]",
		"Scope.Type":              "scope.type",
		"Because":                 "reason",
		"By":                      "person",
		"RequestID":               "request_id",
		"Lease":                   "lease_ms",
		"WithJobIDs":              "",
		"Steps[2].NoSuchThing":    "",
		"Steps[2].WithJobIDs":     "",
		"something nobody knows":  "",
		"Steps[2].OnTimeout.Name": "steps[2].on_timeout.name",
	} {
		if got, ok := httpapi.WireField(field); got != want || ok != (want != "") {
			t.Errorf("wireField(%q) = %q, %v; want %q", field, got, ok, want)
		}
	}
}

// Every field that the engine names in a refusal has a name on the wire, or is known to be
// none of the client's. The names are read from the engine's source.
func TestEveryFieldOfTheEngineIsNamed(t *testing.T) {
	files, err := filepath.Glob("../engine/*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]token.Position{}
	positions := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(positions, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				switch name, _ := n.Fun.(*ast.Ident); {
				case name == nil:
				case name.Name == "invalid", name.Name == "checkText", name.Name == "checkName", name.Name == "checkList":
					collect(n.Args[0], positions, names)
				}
			case *ast.AssignStmt:
				if to, ok := n.Lhs[0].(*ast.SelectorExpr); ok && to.Sel.Name == "Field" {
					collect(n.Rhs[0], positions, names)
				}
			}
			return true
		})
	}
	if len(names) < 30 {
		t.Errorf("found %d fields, and there are more: %v", len(names), names)
	}
	ours := map[string]bool{"Handler": true, "Store": true, "ctx": true, "options": true, "Command": true, "Rules": true, "WithJobIDs": true}
	for name, at := range names {
		if wire, ok := httpapi.WireField(name); ok == ours[name] {
			t.Errorf("%v: the field %s is %q on the wire", at, name, wire)
		}
	}
}

// collect takes the field that an expression names: a literal, or the format of one.
func collect(e ast.Expr, positions *token.FileSet, into map[string]token.Position) {
	if call, ok := e.(*ast.CallExpr); ok { // fmt.Sprintf
		e = call.Args[0]
	}
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return
	}
	field, err := strconv.Unquote(literal.Value)
	if err != nil {
		return
	}
	for part := range strings.SplitSeq(field, ".") {
		name, _, _ := strings.Cut(part, "[")
		if name == "" || name == "%s" {
			continue
		}
		if part == field { // "Scope.Type" is known whole
			field = name
		}
	}
	field = strings.NewReplacer("[%d]", "[0]", ".%s", "", "%s", "Targets").Replace(field)
	if field != "" {
		into[field] = positions.Position(e.Pos())
	}
}
