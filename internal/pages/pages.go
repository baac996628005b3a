// Package pages reads the documentation: its code blocks, the parts of it that are generated, and
// the commands that it tells readers to type. Tests hold all of them true: those of internal/repo,
// and test/docs, which runs the commands.
package pages

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Page is a file of the documentation.
type Page struct {
	Name string // from the repository's root, with slashes
	Text string
}

// Part is a file in Markdown that is no page: docs/performance.md contains it.
const Part = "bench/results/summary.md"

// Read returns the repository's pages, README.md first.
func Read(root string) ([]Page, error) {
	pages := []Page{{Name: "README.md"}}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		name, relErr := filepath.Rel(root, path)
		switch {
		case err != nil || relErr != nil:
			return errors.Join(err, relErr)
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(name, ".") && name != "." && name != ".github"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".md" || filepath.ToSlash(name) == Part:
			return nil
		}
		text, err := os.ReadFile(path)
		page := Page{filepath.ToSlash(name), string(text)}
		if page.Name == "README.md" {
			pages[0] = page
		} else {
			pages = append(pages, page)
		}
		return err
	})
	return pages, err
}

const (
	begin = "<!-- generated: "
	end   = "<!-- end -->"
)

// Generate returns the text of the page with each part that stands between
// "<!-- generated: NAME -->" and "<!-- end -->" replaced by what part returns for its name.
func (p Page) Generate(part func(name string) (string, error)) (string, error) {
	var out strings.Builder
	name := "" // of the part that the line stands in
	line := 0
	for text := range strings.Lines(p.Text) {
		line++
		at := fmt.Sprintf("%s:%d", p.Name, line)
		switch {
		case strings.HasPrefix(text, begin):
			if name != "" {
				return "", fmt.Errorf("%s: part %q begins before %q has ended", at, text, name)
			}
			name = nameOf(text)
			content, err := part(name)
			if err != nil {
				return "", fmt.Errorf("%s: %w", at, err)
			}
			out.WriteString(text + content)
		case strings.HasPrefix(text, end):
			if name == "" {
				return "", fmt.Errorf("%s: nothing ends here", at)
			}
			name = ""
			out.WriteString(text)
		case name == "":
			out.WriteString(text)
		}
	}
	if name != "" {
		return "", fmt.Errorf("%s: part %q has no %s", p.Name, name, end)
	}
	return out.String(), nil
}

func nameOf(line string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(line, begin), " -->")
	return name
}

// A Block is a fenced block of code.
type Block struct {
	Line     int // of its first fence, from 1
	Language string
	Part     string // the generated part that it stands in, or ""
	Text     string
}

// Blocks returns the fenced blocks of the page.
func (p Page) Blocks() []Block {
	var blocks []Block
	part, inside, line := "", false, 0
	for text := range strings.Lines(p.Text) {
		line++
		trimmed := strings.TrimSpace(text)
		switch {
		case strings.HasPrefix(trimmed, "```") && inside:
			inside = false
		case strings.HasPrefix(trimmed, "```"):
			inside = true
			blocks = append(blocks, Block{Line: line, Language: strings.TrimPrefix(trimmed, "```"), Part: part})
		case inside:
			blocks[len(blocks)-1].Text += text
		case strings.HasPrefix(text, begin):
			part = nameOf(text)
		case strings.HasPrefix(text, end):
			part = ""
		}
	}
	return blocks
}

// A Command is what a page tells readers to type: a line of a block in sh, or a span of code in the
// text that begins as a command does.
type Command struct {
	Line int    // of the page, from 1
	Text string // without a comment, and with single spaces
}

// Commands returns the commands of the page, in order. Generated blocks are left out: what they are
// generated from is tested where it stands.
func (p Page) Commands() []Command {
	var commands []Command
	for _, b := range p.Blocks() {
		if b.Language == "sh" && b.Part == "" {
			commands = append(commands, b.commands()...)
		}
	}
	for _, s := range p.Spans() {
		if program.MatchString(s.Text) {
			commands = append(commands, s)
		}
	}
	slices.SortStableFunc(commands, func(a, b Command) int { return a.Line - b.Line })
	return commands
}

// Spans returns the code in the page's text.
func (p Page) Spans() (all []Command) {
	prose, offsets := p.withoutBlocks(), lineOffsets(p.Text)
	for _, m := range spans.FindAllSubmatchIndex(prose, -1) {
		line, _ := slices.BinarySearch(offsets, m[2]+1)
		all = append(all, Command{line, tidy(string(prose[m[2]:m[3]]))})
	}
	return all
}

// withoutBlocks returns the text of the page with its blocks blanked.
func (p Page) withoutBlocks() []byte {
	prose, offsets := []byte(p.Text), lineOffsets(p.Text)
	for _, b := range p.Blocks() {
		last := min(b.Line+strings.Count(b.Text, "\n")+1, len(offsets)-1)
		blank(prose[offsets[b.Line-1]:offsets[last]])
	}
	return prose
}

var (
	spans   = regexp.MustCompile("`((?:[^`\n]|\n[^`\n])+)`")
	program = regexp.MustCompile(`^(\w+=\S* )*[a-z./][a-z0-9_./-]* \S`) // and its arguments
	comment = regexp.MustCompile(`(^|\s)# .*`)
	space   = regexp.MustCompile(`\s+`)
)

// commands returns those of a block: a line each, and lines that end in a backslash go on.
func (b Block) commands() []Command {
	var commands []Command
	line, begun, text := b.Line, 0, ""
	for part := range strings.Lines(b.Text) {
		line++
		if text == "" {
			begun = line
		}
		part = strings.TrimSpace(part)
		if rest, more := strings.CutSuffix(part, `\`); more {
			text += rest
			continue
		}
		if text = tidy(text + part); text != "" {
			commands = append(commands, Command{begun, text})
		}
		text = ""
	}
	return commands
}

func tidy(command string) string {
	return strings.TrimSpace(space.ReplaceAllString(comment.ReplaceAllString(command, ""), " "))
}

// lineOffsets returns where each line of a text begins, and its length at the end.
func lineOffsets(text string) []int {
	offsets := []int{0}
	for line := range strings.Lines(text) {
		offsets = append(offsets, offsets[len(offsets)-1]+len(line))
	}
	return offsets
}

func blank(text []byte) {
	for i := range text {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
}
