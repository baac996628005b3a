package pages

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const page = "# Title\n\nIt takes `go run ./x` and\n`go test\n./y`, not `go.mod` or `step.Go`.\n" +
	"```sh\n# a comment\nA=1 go test ./z   # why\n\ngo run ./long \\\n   -flag\n```\n" +
	"<!-- generated: first one -->\n```go\nx := 1\n```\n<!-- end -->\n" +
	"```go\ny := `go run ./no`\n```\n<!-- generated: sh tour.sh -->\n```sh\ncurl x\n```\n<!-- end -->\nAnd `cd y && go run .`.\n"

func TestCommands(t *testing.T) {
	got := fmt.Sprint(Page{Text: page}.Commands())
	want := "[{3 go run ./x} {4 go test ./y} {8 A=1 go test ./z} {10 go run ./long -flag} {26 cd y && go run .}]"
	if got != want {
		t.Errorf("Commands()\n got %s\nwant %s", got, want)
	}
}

func TestBlocks(t *testing.T) {
	var got []string
	for _, b := range (Page{Text: page}).Blocks() {
		got = append(got, fmt.Sprintf("%d %s %q %q", b.Line, b.Language, b.Part, b.Text))
	}
	want := []string{
		`6 sh "" "# a comment\nA=1 go test ./z   # why\n\ngo run ./long \\\n   -flag\n"`,
		`14 go "first one" "x := 1\n"`,
		`18 go "" "y := ` + "`go run ./no`" + `\n"`,
		`22 sh "sh tour.sh" "curl x\n"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("Blocks()\n got %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestGenerate(t *testing.T) {
	const part = "<!-- generated: a -->\n"
	for _, c := range []struct{ text, want string }{
		{"x\n" + part + "old\n<!-- end -->\ny", "x\n" + part + "new a\n<!-- end -->\ny"},
		{part + "<!-- end -->\n<!-- generated: b -->\n<!-- end -->\n", part + "new a\n<!-- end -->\n<!-- generated: b -->\nnew b\n<!-- end -->\n"},
		{"x\n" + part, `p.md: part "a" has no <!-- end -->`},
		{part + part + "<!-- end -->\n", `p.md:2: part "<!-- generated: a -->\n" begins before "a" has ended`},
		{"x\n<!-- end -->\n", "p.md:2: nothing ends here"},
		{"x\n<!-- generated: none -->\n<!-- end -->\n", "p.md:2: there is none"},
	} {
		got, err := Page{"p.md", c.text}.Generate(func(name string) (string, error) {
			if name == "none" {
				return "", errors.New("there is none")
			}
			return "new " + name + "\n", nil
		})
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Generate of %q\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

// A form in which other checks see nothing is found, and what the pages have is not.
func TestMistakes(t *testing.T) {
	const fences = `want one of ["go" "sh" "text" "json" "mermaid"]`
	for text, want := range map[string]string{
		page: "",
		"# A\n\n- a `b` and\n  `c\n  d`\n\n| `a` |\n|---|\n\n1. [`x`](y.md) [![z](a.svg)](b.md)\n": "",
		"<details><summary>A</summary>\n\n```json\n{}\n```\n</details>\n":                          "",
		"```golang\n```\n":             `:1: a block in "golang": ` + fences,
		"```Go\n```\n":                 `:1: a block in "Go": ` + fences,
		"```go title=\"x\"\n```\n":     `:1: a block in "go title=\"x\"": ` + fences,
		"```\n```\n":                   `:1: a block in "": ` + fences,
		"````go\n````\n":               `:1: a block in "` + "`" + `go": ` + fences + "\n:2: a fence in a block",
		"```zsh\n```\n":                `:1: a block in "zsh": ` + fences,
		"```sh\n":                      ":1: the last block, or code in the text, does not end",
		"```sh\n```go\n```\n":          ":2: a fence in a block\n:3: a block in \"\": " + fences + "\n:3: the last block, or code in the text, does not end",
		"~~~go\n~~~\n":                 ":1: want ``` at the beginning of a line for a block, and ` for code in the text\n:2: want ``` at the beginning of a line for a block, and ` for code in the text",
		"- a\n  ```go\n":               ":2: want ``` at the beginning of a line for a block, and ` for code in the text\n:1: a backtick without another one in its paragraph, item or row",
		"a\n\n    x := 1\n":            ":3: an indented block: want ```",
		"\tx := 1\n":                   ":1: an indented block: want ```",
		"-     x := 1\n":               ":1: an indented block: want ```",
		"<pre>x := 1</pre>\n":          `:1: <pre>: want Markdown, or one of ` + fmt.Sprintf("%q", tags) + "\n" + `:1: </pre>: want Markdown, or one of ` + fmt.Sprintf("%q", tags),
		"<a href=\"none.md\">\n":       `:1: <a href="none.md">: want Markdown, or one of ` + fmt.Sprintf("%q", tags),
		"<img\nsrc=\"none.png\">\n":    `:1: <img: want Markdown, or one of ` + fmt.Sprintf("%q", tags),
		"```text\n$ go run ./x\n```\n": ":2: a command in a block of text: want sh, and no prompt",
		"```text\nmake all\n```\n":     ":2: a command in a block of text: want sh, and no prompt",
		"```json\n{\n```\n":            ":1: this is no JSON",
		"a `b\n\nc `go run ./x` d\n":   ":1: a backtick without another one in its paragraph, item or row",
		"- a `b\n- c`\n":               ":1: a backtick without another one in its paragraph, item or row\n:2: a backtick without another one in its paragraph, item or row",
		"a `b\n":                       ":1: a backtick without another one in its paragraph, item or row",
		"a \\`b` c`\n":                 ":1: want ``` at the beginning of a line for a block, and ` for code in the text\n:1: a backtick without another one in its paragraph, item or row",
		"[a](none.md \"t\")\n":         ":1: a link that is not of the form [text](target)",
		"[a](\nnone.md)\n":             ":1: a link that is not of the form [text](target)",
		"[a](b(c).md)\n":               ":1: a link that is not of the form [text](target)",
		"[a][b]\n\n[b]: none.md\n":     ":3: a link by reference: want [text](target)\n:1: a link that is not of the form [text](target)",
		"Then **go run ./x**.\n":       ":1: a command outside code: go run ./x",
		"1. [b]: none.md\n":            ":1: a link by reference: want [text](target)",
		"[b]\n\n> [b]: none.md\n":      ":3: a link by reference: want [text](target)",
	} {
		if got := strings.Join((Page{Text: text}).Mistakes(), "\n"); got != want {
			t.Errorf("Mistakes of %q\n got %s\nwant %s", text, got, want)
		}
	}
}

// Commands are found without a list of programs.
func TestSpansThatAreCommands(t *testing.T) {
	for span, want := range map[string]bool{
		"make all": true, ".ci/run walk": true, "./scripts/release v1 x": true, "A=1 tool -x": true, "go run .": true,
		"make": false, "scripts/release": false, "GET /v1/jobs": false, `{"a": 1}`: false, "a.B(c, d)": false, "-only PART": false, "package: what changed": false,
	} {
		if got := len(Page{Text: "It is `" + span + "`.\n"}.Commands()) == 1; got != want {
			t.Errorf("`%s` is a command: %v, want %v", span, got, want)
		}
	}
}

func TestLinks(t *testing.T) {
	for text, want := range map[string]string{
		"[a](b.md#c) [![d](e.svg)](f) `[g](h)` `a\nb` [i](j) `k`\n":                                                                     "b.md#c e.svg f j",
		"```go\nx[y](z)\n```\n[a](https://example.com/b)\n":                                                                             "",
		"[a](" + Repository + "/blob/main/docs/x.md#y)\n":                                                                               "/docs/x.md#y",
		"See " + Repository + "/tree/v1.0.0/none.\n":                                                                                    "/none.",
		"[a](https://raw.githubusercontent.com/stepgate/stepgate/main/none)\n":                                                          Repository + "/main/none",
		"[a](" + Repository + ") [b](" + Repository + "/wiki)\n":                                                                        Repository + "/wiki",
		"[a](https://pkg.go.dev/github.com/stepgate/stepgate@v1.0.0/engine#New) [b](https://pkg.go.dev/github.com/stepgate/stepgate)\n": "/engine /",
	} {
		if got := strings.Join((Page{Text: text}).Links(), " "); got != want {
			t.Errorf("Links of %q: %q, want %q", text, got, want)
		}
	}
}

const source1 = `package a

// A Size is a number.
type Size int

const Most Size = 3 // of all

const (
	One = 1
	Two = 2
)

// A comment.
func Example() {
	x := 1
	if x > 0 {
		fmt.Println(x)
	}
	// Output:
	// 1
	//
	//   2
}

// helper helps.
func helper() {
	before()
	x := 1
	if x > 0 {
		x++
	}

	after()
}

// TestX is a test.
func TestX(t *testing.T) {
	call(t)
}
`

func TestFragment(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a_test.go":     source1,
		"b.go":          "//go:build never\n\npackage a\n",
		"testdata/c.go": "package a\n",
		"d.sh":          "ls\n",
		"e_windows.go":  "package a\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"go a_test.go Example":        "```go\nx := 1\nif x > 0 {\n\tfmt.Println(x)\n}\n```\n",
		"output a_test.go Example":    "```text\n1\n\n  2\n```\n",
		"go a_test.go TestX":          "```go\nfunc TestX(t *testing.T) {\n\tcall(t)\n}\n```\n",
		"go a_test.go helper: x := 1": "```go\nx := 1\nif x > 0 {\n\tx++\n}\n```\n",
		"go a_test.go helper: after":  "```go\nafter()\n```\n",
		"go a_test.go helper: y":      "helper in a_test.go has no line that begins with y",
		"go a_test.go Most: y":        "Most in a_test.go is no function",
		"output a_test.go Size":       "Size in a_test.go is no function",
		"text d.sh: ls":               "no fragment",
		"sh d.sh":                     "```sh\nls\n```\n",
		"go b.go":                     "b.go is not compiled with its package",
		"go testdata/c.go":            "testdata/c.go is not compiled with its package",
		"go e_windows.go":             "e_windows.go is not compiled with its package",
		"go d.sh":                     "d.sh is not compiled with its package",
		"go a_test.go Most Size":      "```go\nconst Most Size = 3 // of all\n\n// A Size is a number.\ntype Size int\n```\n",
		"go a_test.go helper":         "```go\n// helper helps.\nfunc helper() {\n\tbefore()\n\tx := 1\n\tif x > 0 {\n\t\tx++\n\t}\n\n\tafter()\n}\n```\n",
		"go a_test.go One":            "a_test.go declares no One",
		"output a_test.go part":       "a_test.go declares no part",
		"output a_test.go TestX":      "TestX in a_test.go has no output",
		"legality":                    "no fragment",
		"output a_test.go":            "no fragment",
	} {
		got, ok, err := Fragment(root, name)
		if err != nil {
			got = err.Error()
		} else if !ok {
			got = "no fragment"
		}
		if got != want {
			t.Errorf("Fragment(%q)\n got %q\nwant %q", name, got, want)
		}
	}
}
