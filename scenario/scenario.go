package scenario

import (
	"slices"
	"strconv"
	"strings"
)

// A Scenario is a parsed file. [Parse] makes one; playing does not change it.
type Scenario struct {
	Name     string    // of the file, for messages
	actions  []action  // in their order
	comments []comment // and empty lines

	source []string // the lines as they were read, with their ends
}

// An action is a command and its expected outcome.
type action struct {
	Line    int  // where it begins, from 1
	Between bool // it runs while the next other action is decided, before its commit
	Command command
	Want    []clause // empty: it must be accepted
}

// A clause is one expectation.
type clause struct {
	Line  int    // where it stands
	Key   string // "" for an entry of a list; [fill] for "?"
	Value string
}

// fill is the key of a clause that golden mode replaces.
const fill = "?"

// A comment is a line that the player ignores: it begins with #, or is empty.
type comment struct {
	Line int
	Text string
}

// String returns the scenario in its canonical form: one blank between words, quotes only where
// they are needed, names instead of numbers. The result parses to an equal scenario, line by line.
func (s *Scenario) String() string {
	lines := map[int]string{}
	for _, c := range s.comments {
		lines[c.Line] = c.Text
	}
	for i := range s.actions {
		for n, text := range s.actions[i].lines(s.actions[i].Want) {
			lines[n] = text
		}
	}
	var b strings.Builder
	for n := 1; n <= len(lines); n++ {
		b.WriteString(lines[n] + "\n")
	}
	return b.String()
}

// line returns a line of the file, trimmed.
func (s *Scenario) line(n int) string {
	if n < 1 || n > len(s.source) {
		return ""
	}
	return strings.Trim(s.source[n-1], blanks+"\r\n")
}

// lines returns the lines of an action with want as its clauses.
func (a *action) lines(want []clause) map[int]string {
	head := a.Command.String()
	if a.Between {
		head = "in between, " + head
	}
	lines := map[int]string{}
	if job, ok := a.Command.(*creation); ok {
		for i, spec := range job.Steps {
			lines[a.Line+1+i] = indent + specText(spec)
		}
	}
	_, looks := a.Command.(*look)
	if looks {
		head += ":"
	}
	lines[a.Line] = head
	for i, c := range want {
		text := c.String()
		if looks && i == 0 && c.Key == "state" {
			text = single(c.Value)
		}
		switch was, ok := lines[c.Line]; {
		case !ok:
			lines[c.Line] = indent + text
		case c.Line == a.Line && i == 0:
			lines[c.Line] = was + " " + text
		default:
			lines[c.Line] = was + ", " + text
		}
	}
	return lines
}

const indent = "  "

// String returns the clause as in a file.
func (c clause) String() string {
	switch c.Key {
	case "":
		return entry(c.Value)
	case fill:
		return fill
	case "says":
		return "says " + strconv.Quote(c.Value)
	case confirmers:
		if tokens, m := lex(c.Value); m == nil && parseNames(tokens) == c.Value {
			return c.Key + " " + c.Value
		}
	}
	return c.Key + " " + bare(c.Value)
}

// entry returns a value of a list, quoted if it could be read as something else.
func entry(value string) string {
	text := bare(value)
	if first, _, _ := strings.Cut(text, " "); first == refused || text == unknownOutcome || text == fill {
		return strconv.Quote(value)
	}
	return text
}

// single returns the value of a state without its key, quoted if it could be read as something
// else.
func single(value string) string {
	text := name(value)
	if text == refused || text == fill {
		return strconv.Quote(value)
	}
	return text
}

const (
	refused        = "refused"
	unknownOutcome = "unknown outcome"
)

// layout gives the clauses of an actual outcome their lines: a look has them on its own line if
// there is room, any other action below it.
func (a *action) layout(want []clause) []clause {
	const width = 100
	want = slices.Clone(want)
	line, used := a.Line+1, 0
	if job, ok := a.Command.(*creation); ok {
		line += len(job.Steps)
	}
	if _, ok := a.Command.(*look); ok {
		for i := range want {
			want[i].Line = a.Line
		}
		if len(a.lines(want)[a.Line]) <= width {
			return want
		}
	}
	for i := range want {
		n := len(want[i].String()) + len(", ")
		if used > 0 && len(indent)+used+n-len(", ") > width {
			line, used = line+1, 0
		}
		want[i].Line = line
		used += n
	}
	return want
}
