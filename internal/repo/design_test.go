package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A stop is one function on the way of a command, as docs/design.md lists it.
type stop struct {
	depth      int
	name, file string
}

var stopLine = regexp.MustCompile(`^( *)([\w.]+) +(\S+\.go)$`)

// stops reads the list of docs/design.md.
func stops(t *testing.T) (all []stop) {
	t.Helper()
	text, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "```text\n")
	list, _, ok := strings.Cut(list, "```")
	if !ok {
		t.Fatal("docs/design.md has no list of functions")
	}
	for line := range strings.Lines(list) {
		m := stopLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			t.Fatalf("docs/design.md lists %q, want a function and its file", line)
		}
		all = append(all, stop{len(m[1]), m[2], m[3]})
	}
	return all
}

// The way of a command from Engine.Operate down to the statement of pgstore is as docs/design.md
// says, each function calling the next, and is read in at most seven files.
func TestACommandTravelsAsTheDesignSays(t *testing.T) {
	const most = 7
	all := stops(t)
	if len(all) < 15 || all[0].name != "Engine.Operate" || all[len(all)-1].name != "Store.update" {
		t.Fatalf("docs/design.md lists %d functions, want the way from Engine.Operate to Store.update", len(all))
	}
	files, bodies := map[string]*ast.File{}, make([]*ast.FuncDecl, len(all))
	for i, s := range all {
		if files[s.file] == nil {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", s.file), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files[s.file] = file
		}
		if bodies[i] = function(files[s.file], s.name); bodies[i] == nil {
			t.Fatalf("docs/design.md says that %s is in %s, which has no such function", s.name, s.file)
		}
	}
	for i, s := range all[1:] {
		caller := i
		for caller >= 0 && all[caller].depth >= s.depth {
			caller--
		}
		if caller < 0 || !calls(bodies[caller], s.name) {
			t.Errorf("docs/design.md lists %s below the function that calls it, and it is none above it", s.name)
		}
	}
	if len(files) > most {
		t.Errorf("the way of a command lies in %d files, want at most %d", len(files), most)
	}
}

// function returns the function or method of this name, "Type.Method", or nil.
func function(file *ast.File, name string) *ast.FuncDecl {
	typ, method, ok := strings.Cut(name, ".")
	if !ok {
		typ, method = "", name
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if ok && f.Name.Name == method && receiver(f) == typ {
			return f
		}
	}
	return nil
}

// receiver returns the name of the type that f is a method of, or "".
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	if g, ok := typ.(*ast.IndexExpr); ok { // of a generic type
		typ = g.X
	}
	return typ.(*ast.Ident).Name
}

// calls reports whether f has a call of a function or method of this name.
func calls(f *ast.FuncDecl, name string) (found bool) {
	name = name[strings.LastIndexByte(name, '.')+1:]
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			switch callee := call.Fun.(type) {
			case *ast.Ident:
				found = found || callee.Name == name
			case *ast.SelectorExpr:
				found = found || callee.Sel.Name == name
			}
		}
		return true
	})
	return found
}
