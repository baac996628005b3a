package model

import (
	_ "embed"
	"encoding"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Documented returns the documented rules, from the book legality.txt. The caller owns the result.
func Documented() *Rules { return documented().Clone() }

//go:embed legality.txt
var legality string

var documented = sync.OnceValue(func() *Rules {
	r, err := parse(legality)
	if err != nil {
		panic(err)
	}
	return r
})

// parse reads a book; legality.txt explains its form. An error names the line, and the column or
// the keyword.
func parse(book string) (*Rules, error) {
	b := &parser{rules: newRules()}
	n := 0
	for line := range strings.Lines(book) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := b.line(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("book: line %d: %w", n, err)
		}
	}
	if err := b.closeTypes(); err != nil {
		return nil, fmt.Errorf("book: line %d: %w", n, err)
	}
	return b.rules, nil
}

// A parser has the state of a parse.
type parser struct {
	rules *Rules
	known []step.Type  // with an "on"
	types []step.Type  // of the latest "on"; none for the whole job
	job   bool         // there was an "on job"
	left  []step.State // that it has not named yet
	in    []step.State // of the latest "in"
	rows  int          // below it
}

func (b *parser) line(first string, others []string) (err error) {
	switch first {
	case "on":
		if err := b.closeTypes(); err != nil {
			return err
		}
		return b.openTypes(others)
	case "in":
		b.in, err = b.open("in", others)
		return err
	case "nothing":
		if len(others) == 0 || others[0] != "in" {
			return fmt.Errorf("nothing: want nothing in, and states")
		}
		_, err = b.open("nothing in", others[1:])
		return err
	}
	return b.row(first, others)
}

func (b *parser) openTypes(names []string) (err error) {
	if len(names) == 1 && names[0] == "job" {
		if b.job {
			return fmt.Errorf("on: job stands twice")
		}
		b.job, b.types, b.left = true, nil, slices.Clone(states)
		return nil
	}
	if b.types, err = words[step.Type]("on", names); err != nil {
		return err
	}
	for _, t := range b.types {
		if slices.Contains(b.known, t) {
			return fmt.Errorf("on: %v stands twice", t)
		}
		b.known = append(b.known, t)
	}
	b.left = slices.Clone(states)
	return nil
}

// open begins the rows of states, none of which the types had before.
func (b *parser) open(keyword string, names []string) ([]step.State, error) {
	if err := b.closeStates(); err != nil {
		return nil, err
	}
	in, err := words[step.State](keyword, names)
	for _, s := range in {
		at := slices.Index(b.left, s)
		if at < 0 {
			return nil, fmt.Errorf("%s: %v stands twice, or above the first on", keyword, s)
		}
		b.left = slices.Delete(b.left, at, at+1)
	}
	return in, err
}

func (b *parser) row(first string, others []string) error {
	if len(b.in) == 0 || len(others) < 2 || len(others) > 3 {
		return fmt.Errorf("row of %s: want in above it, and in it cause, to, do, and perhaps guard", first)
	}
	cause, err := word[step.Cause]("cause", first)
	if err != nil {
		return err
	}
	var to step.State // none: no state moves
	if others[0] != "-" {
		if to, err = word[step.State]("to", others[0]); err != nil {
			return err
		}
	}
	do, err := word[step.Do]("do", others[1])
	if err != nil {
		return err
	}
	guard := operation.Free
	if len(others) == 3 {
		if guard, err = word[operation.Guard]("guard", others[2]); err != nil {
			return err
		}
	}
	for _, s := range b.in {
		if len(b.types) > 0 {
			continue
		}
		if _, twice := b.rules.OnWhole(s, cause); twice || to != 0 {
			return fmt.Errorf("cause: %v stands twice in %v, or moves a state of the whole job", cause, s)
		}
		b.rules.AllowWhole(s, cause, do, guard)
	}
	for _, t := range b.types {
		for _, s := range b.in {
			if _, twice := b.rules.Move(t, s, cause); twice {
				return fmt.Errorf("cause: %v stands twice in %v", cause, s)
			}
			b.rules.Allow(t, s, cause, to, do, guard)
		}
	}
	b.rows++
	return nil
}

// closeStates ends the rows of the latest "in", of which there must be some.
func (b *parser) closeStates() error {
	if len(b.in) > 0 && b.rows == 0 {
		return fmt.Errorf("in: no row for %v above, want nothing in", b.in)
	}
	b.in, b.rows = nil, 0
	return nil
}

// closeTypes ends the rows of the latest "on", which must have named every state.
func (b *parser) closeTypes() error {
	if len(b.left) > 0 {
		if len(b.types) == 0 {
			return fmt.Errorf("on: job above lacks the states %v", b.left)
		}
		return fmt.Errorf("on: %v above lack the states %v", b.types, b.left)
	}
	return b.closeStates()
}

// words reads one name at least.
func words[T name, P text[T]](keyword string, names []string) ([]T, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: want one name or more", keyword)
	}
	var all []T
	for _, name := range names {
		v, err := word[T, P](keyword, name)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// word reads the name of a value, and neither its number nor an old name.
func word[T name, P text[T]](column, word string) (v T, err error) {
	if err = P(&v).UnmarshalText([]byte(word)); err == nil && v.String() != word {
		err = fmt.Errorf("%q is %v, want its name", word, v)
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", column, err)
	}
	return v, nil
}

type name interface {
	~uint8
	fmt.Stringer
}

type text[T name] interface {
	*T
	encoding.TextUnmarshaler
}
