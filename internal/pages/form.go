package pages

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// languages are those of fenced blocks. A block in another one needs a check of its own first.
var languages = []string{"go", "sh", "text", "json", "mermaid"}

// tags are the HTML of the pages. The text between them is read like other text.
var tags = []string{"<details>", "</details>", "<summary>", "</summary>", "<!-- end -->"}

// Repository is where the repository stands on the web.
const Repository = "https://github.com/stepgate/stepgate"

var (
	indented   = regexp.MustCompile(`^(    |\t)|^ *([-*+]|\d+[.)])(     |\t)`)
	definition = regexp.MustCompile(`^[\s>*+\-\d.)]*\[[^\]]+\]:`)
	bare       = regexp.MustCompile(`\b(go (build|get|install|mod|run|test|vet|work)|bash|npm|python3|sh) [.\w-]*[./]\w|\$ \w`)
	typed      = regexp.MustCompile(`^\s*([$#%>] |(bash|curl|docker|git|go|make|npm|python3|sh|sudo|\.{1,2}/\S+|\.ci/\S+|scripts/\S+) \S)`)
	linkOrNot  = regexp.MustCompile(`\](\([^()\s]+\)|\(|\[)`)
	tag        = regexp.MustCompile(`<[a-zA-Z/!][^>\n]*>?`)
	paragraph  = regexp.MustCompile(`^\s*(\||[-*+] |\d+[.)] |#|$)`)
)

// Mistakes returns what on the page has a form in which the other checks do not see a block, a command
// or a link.
func (p Page) Mistakes() []string {
	var found []string
	wrong := func(line int, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s:%d: ", p.Name, line)+fmt.Sprintf(format, args...))
	}
	inside, first, ticks := false, 1, 0
	for i, line := range strings.Split(p.Text, "\n") {
		at := i + 1
		fence, begins := strings.CutPrefix(line, "```")
		ends := strings.HasPrefix(strings.TrimSpace(line), "```") // as Blocks reads it
		switch {
		case inside && ends && line != "```":
			wrong(at, "a fence in a block")
		case !inside && begins && !slices.Contains(languages, fence):
			wrong(at, "a block in %q: want one of %q", fence, languages)
		}
		if inside || begins {
			inside = inside != ends
			continue
		}
		if paragraph.MatchString(line) {
			if ticks%2 != 0 {
				wrong(first, "a backtick without another one in its paragraph, item or row")
			}
			first, ticks = at, 0
		}
		ticks += strings.Count(line, "`")
		switch {
		case strings.Contains(line, "``") || strings.Contains(line, "~~~") || strings.Contains(line, "\\`"):
			wrong(at, "want ``` at the beginning of a line for a block, and ` for code in the text")
		case indented.MatchString(line):
			wrong(at, "an indented block: want ```")
		case definition.MatchString(line):
			wrong(at, "a link by reference: want [text](target)")
		}
	}
	if inside || ticks%2 != 0 {
		wrong(strings.Count(p.Text, "\n"), "the last block, or code in the text, does not end")
	}
	p.blockMistakes(wrong)
	for i, line := range strings.Split(p.Prose(), "\n") {
		for _, m := range tag.FindAllString(line, -1) {
			if !slices.Contains(tags, m) && !strings.HasPrefix(m, "<!-- generated") {
				wrong(i+1, "%s: want Markdown, or one of %q", m, tags)
			}
		}
		if m := bare.FindString(line); !strings.HasPrefix(line, "<!-- generated") && m != "" {
			wrong(i+1, "a command outside code: %s", m)
		}
		for _, m := range linkOrNot.FindAllStringSubmatch(line, -1) {
			if len(m[1]) == 1 {
				wrong(i+1, "a link that is not of the form [text](target)")
			}
		}
	}
	return found
}

// blockMistakes finds commands in blocks that are not sh, and what is no JSON.
func (p Page) blockMistakes(wrong func(line int, format string, args ...any)) {
	for _, b := range p.Blocks() {
		if b.Part != "" {
			continue // as its source has it
		}
		if b.Language == "json" && !json.Valid([]byte(b.Text)) {
			wrong(b.Line, "this is no JSON")
		}
		for i, line := range strings.Split(b.Text, "\n") {
			if b.Language == "text" && typed.MatchString(line) {
				wrong(b.Line+1+i, "a command in a block of text: want sh, and no prompt")
			}
		}
	}
}

// Prose returns the page with its blocks and the code in its text blanked.
func (p Page) Prose() string {
	prose := p.withoutBlocks()
	for _, m := range spans.FindAllIndex(prose, -1) {
		blank(prose[m[0]:m[1]])
	}
	return string(prose)
}

// Links returns the targets of the page's links, and of its addresses of this repository on the web as
// paths from the root, which begin with a slash. Other addresses are left out.
func (p Page) Links() (targets []string) {
	prose := p.Prose()
	for _, m := range link.FindAllStringSubmatch(prose, -1) {
		if !strings.Contains(m[1], "://") {
			targets = append(targets, m[1])
		}
	}
	for _, m := range own.FindAllStringSubmatch(prose, -1) {
		path, _, _ := strings.Cut(m[1], "#") // in a package: a name, which the documentation of Go has
		targets = append(targets, "/"+strings.TrimPrefix(path, "/"))
	}
	for _, m := range forge.FindAllStringSubmatch(prose, -1) {
		switch path := files.FindStringSubmatch(m[1]); {
		case path != nil:
			targets = append(targets, "/"+path[1])
		case !slices.Contains(notFiles, m[1]):
			targets = append(targets, Repository+m[1])
		}
	}
	return targets
}

var (
	link  = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	own   = regexp.MustCompile(`https?://pkg\.go\.dev/github\.com/stepgate/stepgate(?:@[^/\s)]+)?([^\s)"]*)`)
	forge = regexp.MustCompile(`https?://(?:www\.|raw\.)?github(?:usercontent)?\.com/stepgate/stepgate([^\s)"]*)`)
	files = regexp.MustCompile(`^/(?:blob|tree|raw|edit)/[^/]+/(.*)$`)

	notFiles = []string{"", "/security/advisories/new", "/actions/workflows/ci.yml", "/actions/workflows/ci.yml/badge.svg"}
)
