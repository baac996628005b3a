package repo

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// notForEmbedders are the first folders of packages that programs elsewhere do not import.
var notForEmbedders = []string{"internal", "bench", "examples", "test"}

// standardMethods do what the interface of the standard library says: they need no comment.
var standardMethods = []string{
	"String", "GoString", "Format", "Error", "Unwrap", "LogValue",
	"MarshalText", "UnmarshalText", "AppendText", "MarshalJSON", "UnmarshalJSON", "MarshalBinary", "UnmarshalBinary",
}

// Each exported name of the packages that embedders import has a doc comment. That of a package,
// function, method, type, constant or variable begins with the name, after an article if any.
// These are exempt:
//   - the methods in standardMethods,
//   - a constant, a variable, a field or a method of an interface with a comment at the end of
//     its line,
//   - a field, a constant or a variable directly below a commented one, without an empty line
//     between: the comment is that of the group,
//   - an embedded field, which the comment of its type explains,
//   - a field of an unexported struct, and a method of an unexported type: go doc does not show them,
//   - a package main.
func TestExportedNamesAreDocumented(t *testing.T) {
	packages := map[string]bool{}
	for _, name := range tracked(t, "*.go") {
		folder := path.Dir(name)
		first, _, _ := strings.Cut(folder, "/")
		if strings.HasSuffix(name, "_test.go") || slices.Contains(notForEmbedders, first) || strings.Contains(folder, "/internal/") {
			continue
		}
		faults, documented := undocumented(t, name, nil)
		for _, fault := range faults {
			t.Error(fault)
		}
		packages[folder] = packages[folder] || documented
	}
	for _, folder := range []string{"engine", "store", "store/pgstore/riverfx"} {
		if _, ok := packages[folder]; !ok {
			t.Errorf("no file of %s was examined, only of %d packages", folder, len(packages))
		}
	}
	for folder, documented := range packages {
		if !documented {
			t.Errorf("%s: no file has a package comment", folder)
		}
	}
}

// Each kind of missing comment is found, and each exemption holds.
func TestMissingDocCommentsAreFound(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"// F does.\nfunc F() {}", ""},
		{"func f() {}", ""},
		{"func F() {}", "F has no doc comment"},
		{"// Does.\nfunc F() {}", "F: the doc comment begins with \"Does.\""},
		{"// Fs do.\nfunc F() {}", "F: the doc comment begins with \"Fs do.\""},
		{"// A T is.\ntype T int", ""},
		{"// It is.\ntype T int", "T: the doc comment begins with \"It is.\""},
		{"// T is.\ntype T int\n// M does.\nfunc (*T) M() {}", ""},
		{"// T is.\ntype T[K any] int\nfunc (T[K]) M() {}", "T.M has no doc comment"},
		{"// T is.\ntype T int\nfunc (T) String() string { return \"\" }", ""},
		{"type t int\nfunc (t) M() {}", ""},
		{"// T is.\ntype T struct{ F int }", "T.F has no comment"},
		{"// T is.\ntype T struct{\n// F is.\nF int\nG int\n}", ""},
		{"// T is.\ntype T struct{\n// F is.\nF int\n\nG int\n}", "T.G has no comment"},
		{"// T is.\ntype T struct{\nF int // words\nG int\n}", "T.G has no comment"},
		{"// T is.\ntype T struct{\nF int // words\nu\n}", ""},
		{"type t struct{ F int }", ""},
		{"// T is.\ntype T interface{ M() }", "T.M has no comment"},
		{"// T is.\ntype T interface{\n// M does.\nM()\nerror\n}", ""},
		{"// T is.\ntype T interface{\n// Does.\nM()\n}", "T.M: the doc comment begins with \"Does.\""},
		{"const C = 1", "C has no comment"},
		{"const C = 1 // one", ""},
		{"// One.\nconst C = 1", "C: the doc comment begins with \"One.\""},
		{"// C is.\nconst C = 1", ""},
		{"// Numbers.\nconst (\nC = 1\nD = 2\n)", "C has no comment; D has no comment"},
		{"const (\n// C and D are.\nC = 1\nD = 2\n\nE = 3\n)", "E has no comment"},
		{"// V is.\nvar V, W int", ""},
	} {
		faults, _ := undocumented(t, "a.go", "package p\n\n"+c.text)
		if got := strings.ReplaceAll(strings.Join(faults, "; "), "a.go: ", ""); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
	for _, c := range []struct {
		text, want string
		documented bool
	}{
		{"// Package p does.\npackage p", "", true},
		{"// It does.\npackage p", "the package comment begins with \"It does.\"", true},
		{"package p", "", false},
		{"package main\nfunc F() {}", "", true},
	} {
		faults, documented := undocumented(t, "a.go", c.text)
		if got := strings.TrimPrefix(strings.Join(faults, "; "), "a.go: "); got != c.want || documented != c.documented {
			t.Errorf("%q: got %q, %t, want %q, %t", c.text, got, documented, c.want, c.documented)
		}
	}
}

// undocumented returns the faults of a file's comments, as "file: name: fault", and whether the file
// has a package comment or needs none. The source is that of the repository if text is nil.
func undocumented(t *testing.T, name string, text any) (faults []string, documented bool) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, filepath.Join(root, name), text, parser.ParseComments|parser.SkipObjectResolution)
	if os.IsNotExist(err) {
		return nil, true // deleted and not yet committed
	}
	if err != nil {
		t.Fatal(err)
	}
	if f.Name.Name == "main" {
		return nil, true
	}
	d := docs{set: set, fault: func(format string, a ...any) {
		faults = append(faults, name+": "+fmt.Sprintf(format, a...))
	}}
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			d.function(decl)
		case *ast.GenDecl:
			d.declaration(decl)
		}
	}
	if f.Doc != nil && !begins(f.Doc, "Package "+f.Name.Name) {
		d.fault("the package comment begins with %q", firstLine(f.Doc))
	}
	return faults, f.Doc != nil
}

// docs looks at the declarations of one file.
type docs struct {
	set   *token.FileSet
	fault func(format string, a ...any)
}

func (d docs) function(fn *ast.FuncDecl) {
	name := fn.Name.Name
	if fn.Recv != nil {
		receiver := strings.TrimPrefix(types.ExprString(fn.Recv.List[0].Type), "*")
		receiver, _, _ = strings.Cut(receiver, "[")
		if !ast.IsExported(receiver) || slices.Contains(standardMethods, name) {
			return
		}
		name = receiver + "." + name
	}
	if fn.Name.IsExported() {
		d.doc(fn.Doc, name, fn.Name.Name)
	}
}

func (d docs) declaration(decl *ast.GenDecl) {
	var above *ast.ValueSpec // the last commented one, directly above or with others between
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() {
				doc := spec.Doc
				if doc == nil {
					doc = decl.Doc
				}
				d.doc(doc, spec.Name.Name, spec.Name.Name)
				d.members(spec)
			}
		case *ast.ValueSpec:
			if above != nil && spec.Doc == nil && d.follows(above, spec) {
				above = spec
				continue
			}
			above = nil
			doc := spec.Doc
			if doc == nil && !decl.Lparen.IsValid() {
				doc = decl.Doc
			}
			if doc != nil {
				above = spec
			}
			if name := spec.Names[0]; name.IsExported() && spec.Comment == nil {
				d.value(doc, name.Name)
			}
		}
	}
}

func (d docs) value(doc *ast.CommentGroup, name string) {
	if doc == nil {
		d.fault("%s has no comment", name)
		return
	}
	d.doc(doc, name, name)
}

// members looks at the fields of a struct and the methods of an interface.
func (d docs) members(spec *ast.TypeSpec) {
	var list *ast.FieldList
	kind, isInterface := spec.Type.(*ast.InterfaceType)
	if isInterface {
		list = kind.Methods
	} else if kind, ok := spec.Type.(*ast.StructType); ok {
		list = kind.Fields
	}
	if list == nil {
		return
	}
	var above *ast.Field // the last one of a group with a comment above it
	for _, field := range list.List {
		if !isInterface && above != nil && field.Doc == nil && d.follows(above, field) {
			above = field
			continue
		}
		above = nil
		if field.Doc != nil {
			above = field
		}
		for _, name := range field.Names {
			full := spec.Name.Name + "." + name.Name
			switch {
			case !name.IsExported() || field.Comment != nil:
			case field.Doc == nil:
				d.fault("%s has no comment", full)
			case isInterface:
				d.doc(field.Doc, full, name.Name)
			}
		}
	}
}

// follows reports whether next begins on the line after a, with no empty line between.
func (d docs) follows(a, next ast.Node) bool {
	return d.set.Position(next.Pos()).Line == d.set.Position(a.End()).Line+1
}

func (d docs) doc(doc *ast.CommentGroup, full, name string) {
	switch {
	case doc == nil:
		d.fault("%s has no doc comment", full)
	case !begins(doc, name):
		d.fault("%s: the doc comment begins with %q", full, firstLine(doc))
	}
}

// begins reports whether a comment begins with a name, after an article if any.
func begins(doc *ast.CommentGroup, name string) bool {
	text := firstLine(doc)
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	rest, ok := strings.CutPrefix(text, name)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], " ,:.;'"))
}

func firstLine(doc *ast.CommentGroup) string {
	line, _, _ := strings.Cut(doc.Text(), "\n")
	return line
}
