package repo

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/internal/pages"
)

var update = flag.Bool("update", false, "write the generated parts of the documentation")

const toUpdate = "run go test ./internal/repo -update"

// The generated parts of the documentation equal their sources.
func TestPages(t *testing.T) {
	stands := map[string]string{} // part -> page
	parts := parts(t)
	for _, p := range read(t) {
		text, err := p.Generate(func(name string) (string, error) {
			stands[name] = p.Name
			if part, ok := parts[name]; ok {
				return part(), nil
			}
			content, ok, err := pages.Fragment(root, name)
			if err == nil && !ok {
				err = fmt.Errorf("%q is no part: it is none of those of TestPages, and does not begin as pages.Fragment says", name)
			}
			return content, err
		})
		switch {
		case err != nil:
			t.Error(err)
		case text == p.Text:
		case *update:
			if err := os.WriteFile(filepath.Join(root, p.Name), []byte(text), 0o644); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s is not what it is generated from, from line %d on: %s", p.Name, difference(text, p.Text), toUpdate)
		}
	}
	for name := range parts {
		if stands[name] == "" {
			t.Errorf("the part %q stands on no page", name)
		}
	}
}

// parts returns the generated parts of the documentation that are not copied from a file.
func parts(t *testing.T) map[string]func() string {
	parts := map[string]func() string{
		"first":      func() string { return "```text\n" + program(t, "first") + "```\n" },
		"quickstart": func() string { return "```text\n" + program(t, "quickstart") + "```\n" },
		"bench":      func() string { return file(t, pages.Part) },
	}
	maps.Copy(parts, rules(t))
	return parts
}

// Every Go fragment of the documentation is compiled, and every block, command and link has a form in which
// the tests find it.
func TestFragmentsAreCompiled(t *testing.T) {
	for _, p := range read(t) {
		for _, mistake := range p.Mistakes() {
			t.Error(mistake)
		}
		for _, b := range p.Blocks() {
			if b.Language == "go" && !strings.HasPrefix(b.Part, "go ") {
				t.Errorf("%s:%d: this fragment is not compiled: let it be generated from an Example, between <!-- generated: go FILE ExampleName --> and <!-- end -->, see pages.Fragment; then %s", p.Name, b.Line, toUpdate)
			}
		}
	}
}

// Every page is read, those that are hidden or deep in the tree too.
func TestAllPagesAreRead(t *testing.T) {
	names := map[string]bool{}
	for _, p := range read(t) {
		names[p.Name] = true
	}
	for _, name := range tracked(t, "*.md") {
		if !names[name] && name != pages.Part && !strings.Contains(name, "/testdata/") {
			t.Errorf("%s is not read", name)
		}
	}
}

// noPaths are the code in the text that looks like a path of the repository and is none.
var noPaths = []string{"application/json", "application/problem+json", "testing/synctest"}

// A path of the repository in the text exists.
func TestPathsInTheDocs(t *testing.T) {
	checked := 0
	for _, p := range read(t) {
		for _, s := range p.Spans() {
			if checked++; noSuchPath(s.Text) {
				t.Errorf("%s:%d: there is no %s", p.Name, s.Line, s.Text)
			}
		}
	}
	if checked < 500 {
		t.Errorf("the documentation has %d spans of code, want at least 500", checked)
	}
	for span, want := range map[string]bool{
		"scripts/nothing": true, ".ci/none": true, "./none": true, "engine/": false, "scripts/release": false,
		"/v1/jobs": false, "a/b c": false, "application/json": false, "word": false,
	} {
		if got := noSuchPath(span); got != want {
			t.Errorf("%s is a path that does not exist: %v, want %v", span, got, want)
		}
	}
}

var pathSpan = regexp.MustCompile(`^[\w.][\w.+-]*(/[\w.+-]+)*/?$`)

// noSuchPath reports whether code in the text is a path of the repository that does not exist.
func noSuchPath(span string) bool {
	if !strings.Contains(span, "/") || !pathSpan.MatchString(span) || slices.Contains(noPaths, span) {
		return false
	}
	_, err := os.Stat(filepath.Join(root, span))
	return err != nil
}

// Every command of the documentation is run: by test/docs, by a file that contains it, or, for a reason,
// by hand.
func TestCommandsAreRun(t *testing.T) {
	printed := map[string]bool{}
	for _, p := range read(t) {
		for _, c := range p.Commands() {
			printed[c.Text] = true
			if c.Runner() == "" {
				t.Errorf("%s:%d: nothing runs this command: %s\nlist it in internal/pages/run.go", p.Name, c.Line, c.Text)
			}
		}
	}
	for _, r := range pages.RunHere {
		if !printed[r.Command] {
			t.Errorf("test/docs runs a command that no page has: %s", r.Command)
		}
	}
	byHand := 0
	for _, o := range pages.RunElsewhere {
		found := false
		for command := range printed {
			found = found || o.Commands.MatchString(command)
		}
		if !found {
			t.Errorf("a command is listed in RunElsewhere, and no page has it: %v", o.Commands)
		}
		switch {
		case o.File == "":
			byHand++
			if o.But == "" {
				t.Errorf("%v is run by hand, and no reason is given", o.Commands)
			}
		case !says(file(t, o.File), o.Says):
			t.Errorf("%s is said to run %v, and %q is not in its code", o.File, o.Commands, o.Says)
		}
	}
	if !strings.Contains(file(t, "docs/testing.md"), "except three:\n") || byHand != 3 {
		t.Errorf("%d commands are run by hand: docs/testing.md names three", byHand)
	}
}

// says reports whether a text stands in a file, not in a comment.
func says(file, text string) bool {
	for {
		before, after, ok := strings.Cut(file, text)
		if !ok {
			return false
		}
		line := before[strings.LastIndexByte(before, '\n')+1:]
		if strings.HasPrefix(text, "\n") {
			line = ""
		}
		if begun := strings.TrimSpace(line + text); !strings.HasPrefix(begun, "#") && !strings.HasPrefix(begun, "//") && !strings.Contains(line, " # ") && !strings.Contains(line, " // ") {
			return true
		}
		file = after
	}
}

// What stands in a comment runs nothing.
func TestACommentRunsNothing(t *testing.T) {
	for file, want := range map[string]bool{
		"a\nrun x\nb": true, "  - run x": true, "# run x": false, "// run x": false, "go() // run x": false, "a # run x": false, "# run x\nrun x": true, "b": false,
	} {
		if got := says(file, "run x"); got != want {
			t.Errorf("%q runs it: %v, want %v", file, got, want)
		}
	}
}

// Every page of docs has a line in the list of pages.
func TestPagesAreListed(t *testing.T) {
	list := file(t, "docs/README.md")
	for _, p := range read(t) {
		name, ok := strings.CutPrefix(p.Name, "docs/")
		if ok && name != "README.md" && !strings.Contains(list, "]("+name+")") {
			t.Errorf("docs/README.md has no line for %s", name)
		}
	}
}

func read(t *testing.T) []pages.Page {
	t.Helper()
	read, err := pages.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// difference returns the first line, from 1, in which two texts differ.
func difference(a, b string) int {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return i + 1
		}
	}
	return min(len(as), len(bs)) + 1
}

func file(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// program returns the output of one of the examples.
func program(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "run", module+"/examples/"+name).Output()
	if err != nil {
		t.Fatalf("go run ./examples/%s: %v", name, err)
	}
	return string(out)
}
