package pages

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// Fragment returns the part of a page that is generated from a file of the repository. Its name is
// one of
//
//	go FILE                a program: the whole file
//	go FILE ExampleName    the body of an Example, without its output
//	go FILE Name...        other declarations, whole; with their comments, but for tests
//	go FILE Func: TEXT     the lines of a function from the one that begins with TEXT up to a blank one
//	output FILE Example    what the Example prints
//	sh FILE                a script
//	text FILE              any other file
//
// and ok is false if it is none of them. A Go file is compiled with its package: it is neither
// in testdata nor bound to a system.
func Fragment(root, name string) (content string, ok bool, err error) {
	name, from, _ := strings.Cut(name, ": ")
	words := strings.Fields(name)
	switch {
	case from != "" && (len(words) != 3 || words[0] != "go"):
		return "", false, nil
	case len(words) == 2 && (words[0] == "sh" || words[0] == "text"):
	case len(words) >= 2 && words[0] == "go":
	case len(words) == 3 && words[0] == "output":
	default:
		return "", false, nil
	}
	kind, path, names := words[0], words[1], words[2:]
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		return "", true, err
	}
	content = string(text)
	if kind == "go" {
		if err := compiled(root, path); err != nil {
			return "", true, err
		}
	}
	if len(names) > 0 {
		s, err := parse(path, content)
		if err != nil {
			return "", true, err
		}
		var parts []string
		for _, name := range names {
			part, err := s.cut(kind, name, from)
			if err != nil {
				return "", true, err
			}
			parts = append(parts, strings.Trim(part, "\n"))
		}
		content = strings.Join(parts, "\n\n")
	}
	language := kind
	if language == "output" {
		language = "text"
	}
	return "```" + language + "\n" + strings.TrimRight(content, "\n") + "\n```\n", true, nil
}

// compiled fails for a file that the go command leaves out of its package on some system.
func compiled(root, path string) error {
	left := filepath.Ext(path) != ".go" || strings.Contains("/"+path, "/testdata/") || strings.Contains("/"+path, "/_")
	for _, system := range []string{"linux", "darwin", "windows"} {
		to := build.Default
		to.GOOS = system
		folder, name := filepath.Split(filepath.Join(root, filepath.FromSlash(path)))
		matches, err := to.MatchFile(folder, name)
		if err != nil {
			return err
		}
		left = left || !matches
	}
	if left {
		return fmt.Errorf("%s is not compiled with its package", path)
	}
	return nil
}

// A source is a Go file.
type source struct {
	path, text string
	files      *token.FileSet
	decls      []ast.Decl
}

func parse(path, text string) (*source, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{path, text, files, parsed.Decls}, nil
}

// cut returns what a name stands for in a part of this kind, go or output, and of a function only
// the lines from a text on if there is one.
func (s *source) cut(kind, name, from string) (string, error) {
	for _, d := range s.decls {
		f, isFunc := d.(*ast.FuncDecl)
		switch {
		case !declares(d, name):
		case !isFunc && (kind == "output" || from != ""):
			return "", fmt.Errorf("%s in %s is no function", name, s.path)
		case from != "":
			return s.lines(f, from)
		case isFunc && (kind == "output" || strings.HasPrefix(name, "Example")):
			body, output, prints := strings.Cut(s.body(f), "\t// Output:\n")
			if kind == "go" {
				return dedent(strings.Trim(body, "\n")), nil
			}
			if !prints {
				return "", fmt.Errorf("%s in %s has no output", name, s.path)
			}
			return uncomment(output), nil
		default:
			return s.whole(d, strings.HasPrefix(name, "Test")), nil
		}
	}
	return "", fmt.Errorf("%s declares no %s", s.path, name)
}

func (s *source) body(f *ast.FuncDecl) string {
	return s.text[s.files.Position(f.Body.Lbrace).Offset+1 : s.files.Position(f.Body.Rbrace).Offset]
}

// lines returns those of a function from the first one that begins with a text, up to a blank one.
func (s *source) lines(f *ast.FuncDecl, from string) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(s.body(f)) {
		trimmed := strings.TrimSpace(line)
		if out.Len() > 0 && trimmed == "" {
			break
		}
		if out.Len() > 0 || strings.HasPrefix(trimmed, from) {
			out.WriteString(line)
		}
	}
	if out.Len() == 0 {
		return "", fmt.Errorf("%s in %s has no line that begins with %s", f.Name.Name, s.path, from)
	}
	return dedent(out.String()), nil
}

// declares reports whether d is the declaration of a function, type, constant or variable, and of
// nothing else.
func declares(d ast.Decl, name string) bool {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Recv == nil && d.Name.Name == name
	case *ast.GenDecl:
		if len(d.Specs) != 1 {
			return false
		}
		switch spec := d.Specs[0].(type) {
		case *ast.TypeSpec:
			return spec.Name.Name == name
		case *ast.ValueSpec:
			return len(spec.Names) == 1 && spec.Names[0].Name == name
		}
	}
	return false
}

// whole returns a declaration with the comment at its end, and with the one above it unless it is a
// test.
func (s *source) whole(d ast.Decl, test bool) string {
	from, to := d.Pos(), s.files.Position(d.End()).Offset
	var doc *ast.CommentGroup
	switch d := d.(type) {
	case *ast.FuncDecl:
		doc = d.Doc
	case *ast.GenDecl:
		doc = d.Doc
	}
	if doc != nil && !test {
		from = doc.Pos()
	}
	if rest, _, _ := strings.Cut(s.text[to:], "\n"); strings.HasPrefix(rest, " //") {
		to += len(rest)
	}
	return s.text[s.files.Position(from).Offset:to]
}

// dedent takes off the tabs that the first line begins with.
func dedent(text string) string {
	tabs := text[:len(text)-len(strings.TrimLeft(text, "\t"))]
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimPrefix(line, tabs))
	}
	return out.String()
}

// uncomment returns the text of comment lines.
func uncomment(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimLeft(line, "\t"), "//")
		out.WriteString(strings.TrimPrefix(line, " "))
	}
	return out.String()
}
