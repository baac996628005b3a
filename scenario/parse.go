package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A SyntaxError is a line that cannot be read.
type SyntaxError struct {
	File string // the scenario's name
	Line int    // from 1
	Text string // of the line
	Got  string // the part that cannot be read
	Want string // the forms that are valid in its place
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d: %s: got %s, want %s", e.File, e.Line, e.Text, e.Got, e.Want)
}

// mistake is a [SyntaxError] without its line.
type mistake struct{ got, want string }

// Parse reads a scenario; errors call it name. The error joins a *[SyntaxError] for every mistake,
// in the order of their lines. Parse checks the syntax alone: [Play] finds out whether a job or a
// step exists, and whether a code applies to it.
func Parse(name string, data []byte) (*Scenario, error) {
	p := &parser{Scenario: &Scenario{Name: name, source: slices.Collect(strings.Lines(string(data)))}}
	for n := 0; n < len(p.source); {
		first := n
		for n++; n < len(p.source) && isBelow(p.source[n]); n++ {
		}
		p.block(first+1, n)
	}
	if p.awaits != 0 {
		p.fail(p.awaits, &mistake{"no action after it", "one that changes something, in whose way it gets"})
	}
	if len(p.mistakes) > 0 {
		return nil, p.errors()
	}
	slices.SortFunc(p.comments, func(a, b comment) int { return a.Line - b.Line })
	return p.Scenario, nil
}

// isBelow reports whether a line belongs to the one before it.
func isBelow(line string) bool {
	return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
}

type parser struct {
	*Scenario
	mistakes []*SyntaxError
	awaits   int // the line of an "in between" that has no action after it yet; or 0
}

func (p *parser) fail(line int, m *mistake) {
	p.mistakes = append(p.mistakes, &SyntaxError{File: p.Name, Line: line, Text: cut(p.line(line)), Got: cut(m.got), Want: cut(m.want)})
}

// cut returns the beginning of a text that is too long for a message.
func cut(text string) string {
	const width = 1000
	if len(text) <= width {
		return text
	}
	return strings.ToValidUTF8(text[:width], "") + "..."
}

func (p *parser) errors() error {
	slices.SortStableFunc(p.mistakes, func(a, b *SyntaxError) int { return a.Line - b.Line })
	all := make([]error, len(p.mistakes))
	for i, m := range p.mistakes {
		all[i] = m
	}
	return errors.Join(all...)
}

// A row is a line below an action.
type row struct {
	line   int
	tokens []token
}

// block reads the lines first to last: one at the margin, and those below it.
func (p *parser) block(first, last int) {
	text := p.line(first)
	blank := text == "" || text[0] == '#'
	if isBelow(p.source[first-1]) && text != "" {
		p.fail(first, &mistake{"an indented line", "one at the margin, as it belongs to no action"})
		return
	}
	var rows []row
	for n := first + 1; n <= last; n++ {
		switch text := p.line(n); {
		case text == "":
			p.comments = append(p.comments, comment{Line: n})
			blank = true // a row after an empty line belongs to no action
		case text[0] == '#':
			p.fail(n, &mistake{"an indented comment", "it at the margin"})
		case blank:
			p.fail(n, &mistake{"an indented line", "one at the margin, as it belongs to no action"})
		default:
			tokens, m := lex(text)
			if m != nil {
				p.fail(n, m)
				continue
			}
			rows = append(rows, row{n, tokens})
		}
	}
	if text == "" || text[0] == '#' {
		if !utf8.ValidString(text) {
			p.fail(first, &mistake{"bytes that are not UTF-8", "a text in UTF-8"})
		}
		p.comments = append(p.comments, comment{first, text})
		return
	}
	tokens, m := lex(text)
	if m == nil {
		m = p.action(first, tokens, rows)
	}
	if m != nil {
		p.fail(first, m)
		p.awaits = 0 // it may be the awaited action
	}
}

// action reads an action whose command can be read, with the lines below it.
func (p *parser) action(line int, tokens []token, rows []row) *mistake {
	a := action{Line: line}
	if len(tokens) > 2 && phrase(tokens[:2]) == "in between" && tokens[2].kind == comma {
		a.Between, tokens = true, tokens[3:]
	}
	command, rest, m := parseCommand(tokens)
	if m != nil {
		return m
	}
	a.Command = command
	if m := p.order(&a); m != nil {
		p.fail(line, m)
	}
	switch c := command.(type) {
	case *creation:
		rows = p.steps(c, rows)
	case *look:
		if len(rest) > 0 || len(rows) == 0 {
			rows = slices.Insert(rows, 0, row{line, rest})
		}
	}
	a.Want = p.wanted(command, rows)
	p.actions = append(p.actions, a)
	return nil
}

// order checks that an action can stand in its place.
func (p *parser) order(a *action) *mistake {
	_, crashes := a.Command.(*crash)
	switch c := a.Command.(type) {
	case *creation, *crash, *restart, *turnTo:
		if a.Between {
			return &mistake{c.String(), "what can happen while another action is decided: an operation, a report, sweep, deliver, deny, allow, wait, window or expect"}
		}
	}
	switch {
	case a.Between && p.awaits == 0:
		p.awaits = a.Line
	case a.Between || crashes:
	case p.awaits != 0:
		was := p.awaits
		p.awaits = 0
		if !a.Command.shape().commits {
			return &mistake{a.Command.String(), fmt.Sprintf("an action that changes something, as line %d comes in between", was)}
		}
	}
	return nil
}

// wanted reads the expected outcome of a command.
func (p *parser) wanted(c command, rows []row) []clause {
	var all []clause
	could := c.shape()
	if len(rows) > 0 && !could.list && could.fields == nil {
		p.fail(rows[0].line, &mistake{"an indented line", fmt.Sprintf("none below %q, which has no outcome", c)})
		return nil
	}
	for _, r := range rows {
		var m *mistake
		if all, m = could.row(c, r, all); m != nil {
			p.fail(r.line, m)
		}
	}
	for i := range all {
		if all[i].isCause(c) {
			if cause, ok := parseWord(all[i].Value); ok {
				all[i].Value = cause.String() // which may have had another name
			}
		}
	}
	return all
}

// isCause reports whether the value of a clause of c is the name of a cause.
func (cl clause) isCause(c command) bool {
	look, looks := c.(*look)
	switch {
	case !looks:
		return cl.Key == "cause"
	case look.At == oneRecord:
		return cl.Key == "cause" || cl.Key == "state"
	}
	return look.At == theHistory && cl.Key == ""
}

// row appends the clauses of a line to those before it.
func (s shape) row(c command, r row, all []clause) ([]clause, *mistake) {
	parts, m := clauses(r.tokens)
	if m != nil {
		return all, m
	}
	for _, part := range parts {
		clause, m := s.clause(part, all)
		if m != nil {
			return all, m
		}
		if clause.Key == alone {
			if _, looks := c.(*look); !looks || len(all) > 0 {
				return all, &mistake{fmt.Sprintf("%q alone", clause.Value), "a key and a value: " + s.keys(all)}
			}
			clause.Key = "state"
		}
		clause.Line = r.line
		all = append(all, clause)
	}
	return all, nil
}

const alone = "\x00alone" // the key of a value without one

// clause reads one clause that comes after others.
func (s shape) clause(tokens []token, before []clause) (clause, *mistake) {
	text := phrase(tokens)
	first := len(before) == 0
	switch isWord := tokens[0].kind == word; {
	case len(before) > 0 && before[0].Key == fill || isWord && text == fill && !first:
		return clause{}, &mistake{fmt.Sprintf("%q", text), `"?" alone, which golden mode replaces`}
	case isWord && text == fill:
		return clause{Key: fill}, nil
	case isWord && tokens[0].text == refused && first && s.refusable:
		if len(tokens) != 2 {
			return clause{}, &mistake{fmt.Sprintf("%q", text), "refused and its reason: " + allReasons()}
		}
		if m := checkReason(tokens[1].text); m != nil {
			return clause{}, m
		}
		return clause{Key: refused, Value: tokens[1].text}, nil
	case isWord && text == unknownOutcome && first && s.commits:
		return clause{Key: "unknown", Value: "outcome"}, nil
	case s.list && (first || before[0].Key == ""):
		return clause{Value: text}, nil
	case len(tokens) == 1:
		return clause{Key: alone, Value: text}, nil
	}
	key, value := tokens[0].text, tokens[1:]
	if _, ok := s.known(before)[key]; !ok || tokens[0].kind != word {
		return clause{}, &mistake{fmt.Sprintf("%q", text), s.keys(before)}
	}
	if value[0].kind == colon {
		return clause{}, got(tokens, "KEY VALUE, without a colon")
	}
	if key != "says" && slices.ContainsFunc(before, func(c clause) bool { return c.Key == key }) {
		return clause{}, &mistake{fmt.Sprintf("%s a second time", key), "it once"}
	}
	if key == confirmers {
		return clause{Key: key, Value: parseNames(value)}, nil
	}
	return clause{Key: key, Value: phrase(value)}, nil
}

// known returns the keys that are valid after some clauses.
func (s shape) known(before []clause) facts {
	switch {
	case len(before) > 0 && before[0].Key == refused:
		return ofRefusal
	case len(before) > 0 && before[0].Key == "unknown":
		return ofUnknown
	}
	return s.fields
}

// keys lists in words the keys that are valid after some clauses.
func (s shape) keys(before []clause) string {
	var known []string
	for key := range s.known(before) {
		if key != refused && key != "unknown" {
			known = append(known, key)
		}
	}
	slices.Sort(known)
	text := "one of " + strings.Join(known, ", ")
	if len(before) > 0 {
		return text
	}
	if s.refusable {
		text += "; or refused"
	}
	if s.commits {
		text += ", or unknown outcome"
	}
	return text
}
