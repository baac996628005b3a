package repo

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostOften is the maximum of each vague expression in the comments of the whole tree.
const mostOften = 5

// vague are expressions that hide the subject of a sentence, or a number.
var vague = []string{"nobody|somebody", "so many", "what comes of", "whoever"}

// Comments name their subjects and numbers: vague expressions are rare in them.
func TestCommentsNameTheirSubjects(t *testing.T) {
	found := map[string][]string{} // word -> places
	comments := 0
	for _, name := range tracked(t) {
		text := file(t, name)
		if !hasComments(name, text) {
			continue
		}
		for _, c := range commentGroups(t, name, text) {
			comments++
			for _, word := range vagueIn(c.text) {
				found[word] = append(found[word], fmt.Sprintf("%s:%d", name, c.line))
			}
		}
	}
	if comments < 5000 {
		t.Errorf("the tree has %d comments, want at least 5000", comments)
	}
	for _, word := range vague {
		if places := found[word]; len(places) > mostOften {
			t.Errorf("%q stands in %d comments, the maximum is %d:\n%s", word, len(places), mostOften, strings.Join(places, "\n"))
		}
	}
}

// Words are found in comments of all kinds, across lines, and not in code and texts.
func TestVagueWordsAreFound(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.go", "package a\n\n// So\n// many jobs.\nvar a = 1 // Whoever asks.\n", "3 so many, 5 whoever"},
		{"a.go", "package a\n\nvar a = \"// nobody\" // unheard\n", ""},
		{"a.go", "package a\n\n/* What comes\nof it: nobody. */\n", "3 nobody|somebody, 3 what comes of"},
		{"a.go", "package a\n\nfunc Example() {\n\t// Output:\n\t// nobody: sweep\n}\n", ""},
		{"a.sql", "select 1; -- nobody\n-- somebody\n", "1 nobody|somebody, 1 nobody|somebody"},
		{"a.sh", "echo so many\n# so many\n", "2 so many"},
		{"a.sh", "echo so many # so\n# many, nobody\n", "1 nobody|somebody, 1 so many"},
		{"scripts/a", "#!/bin/sh\nls # whoever\n", "1 whoever"},
		{"a.py", "x = 1  # nobody\n", "1 nobody|somebody"},
		{"a.js", "let a = 1 // nobody\nlet b = 2 /* somebody */\n", "1 nobody|somebody, 1 nobody|somebody"},
		{"a.js", "// so\n// many\nlet a = `nobody`\n/* nobody */\n", "1 so many, 4 nobody|somebody"},
		{"a.txt", "nobody: sweep\n# not nobodys\n# whoever\n", "2 whoever"},
	} {
		if !hasComments(c.name, c.text) {
			t.Errorf("%s is not read", c.name)
		}
		var got []string
		for _, comment := range commentGroups(t, c.name, c.text) {
			for _, word := range vagueIn(comment.text) {
				got = append(got, fmt.Sprint(comment.line, " ", word))
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s %q: %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

// vagueIn returns the vague expressions of a text, each as often as it stands there.
func vagueIn(text string) (words []string) {
	for _, word := range vague {
		for range regexp.MustCompile(`(?i)\b(?:`+word+`)\b`).FindAllString(text, -1) {
			words = append(words, word)
		}
	}
	return words
}

// A comment is the comment lines that follow each other, as one line of text.
type comment struct {
	line int // the first one
	text string
}

// commented are the extensions of files other than Go's whose comments are read, and Go's.
var commented = map[string]bool{".go": true, ".sql": true, ".js": true, ".css": true, ".html": true, ".sh": true, ".py": true, ".yml": true, ".txt": true}

// hasComments reports whether a file's comments are read: by its extension, or as it is a script or of .ci.
func hasComments(name, text string) bool {
	return commented[path.Ext(name)] || strings.HasPrefix(name, ".ci/") || strings.HasPrefix(text, "#!")
}

// marks begin or end a comment, or one of its lines.
var marks = []string{"//", "/*", "*/", "<!--", "-->", "--", "#", "*"}

// commentGroups returns the comments of a file. In a file that is not Go's they are the lines that begin
// with a mark, and the ends of lines after one that stands between spaces; in SQL after any "--".
func commentGroups(t *testing.T, name, text string) (all []comment) {
	t.Helper()
	if path.Ext(name) == ".go" {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range f.Comments {
			var words []string
			for _, c := range group.List {
				if strings.HasSuffix(c.Text, "utput:") { // an Example prints what follows
					break
				}
				words = append(words, wordsOf(c.Text)...)
			}
			all = append(all, comment{set.Position(group.Pos()).Line, strings.Join(words, " ")})
		}
		return all
	}
	last := 0 // number of the last line of a comment
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if path.Ext(name) == ".sql" {
			if _, end, ok := strings.Cut(line, "--"); ok {
				line = "--" + end
			}
		} else if m := tail.FindStringIndex(line); m != nil && !marked(line) {
			line = line[m[0]+1:]
		}
		if !marked(line) {
			continue
		}
		words := strings.Join(wordsOf(line), " ")
		if last == i && len(all) > 0 {
			all[len(all)-1].text += " " + words
		} else {
			all = append(all, comment{i + 1, words})
		}
		last = i + 1
	}
	return all
}

var tail = regexp.MustCompile(`\s(#|//|/\*|<!--)\s`)

// marked reports whether a line begins with a mark.
func marked(line string) bool {
	return slices.ContainsFunc(marks, func(mark string) bool { return strings.HasPrefix(line, mark) })
}

// wordsOf returns the words of a comment's line, without the marks.
func wordsOf(line string) []string {
	return slices.DeleteFunc(strings.Fields(strings.TrimPrefix(line, "//")), func(word string) bool { return slices.Contains(marks, word) })
}
