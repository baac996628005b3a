// Package schema declares the columns of the tables of SQL stores, each once: its name, its type,
// and its field in a row. Lists of columns, arguments and scan destinations come from it. The
// migrations of both stores create these columns, under these names.
package schema

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
)

// A Type is the type of a column's values.
type Type uint8

const (
	Int64 Type = iota + 1
	Int32
	Int16
	Bool
	Text
	UUID // NULL for the zero one
	List // of names, as a JSON array; NULL for no list
	Bits // a set of targets
	Data // a JSON object as a text; empty for none
)

// IsNumber reports whether a column of the type has [Column.Int].
func (t Type) IsNumber() bool { return t <= Bool }

// A When says when a column is written.
type When uint8

const (
	Key     When = iota + 1 // with its row, as a part of the key
	Created                 // with its row
	Changed                 // with its row, and at each change of that
)

// A Column is one column of a table whose rows are of type R. Of Int, Text, UUID, List and Bits it
// has the one for its type, which returns its value; that of Data is Text.
type Column[R any] struct {
	Name string
	Type Type
	When When
	Long bool // it may be long, and a store may keep it apart

	Int  func(*R) int64 // of a Bool 0 or 1
	Text func(*R) string
	UUID func(*R) uuid.UUID
	List func(*R) step.Names
	Bits func(*R) (set targetset.Bits, size int32)

	// Dest returns the scan destination in a row: a pointer to a number of a basic type, a bool,
	// a string, a [uuid.UUID], a [step.Names] or a [targetset.Bits], and for Data a [sql.Scanner].
	Dest func(*R) any
}

// A Table is the list of columns of a table, in a fixed order.
type Table[R any] []Column[R]

// At returns the columns that are written at any of some times.
func (t Table[R]) At(when ...When) Table[R] {
	return t.filter(func(c Column[R]) bool { return slices.Contains(when, c.When) })
}

// Without returns the columns without those of some names.
func (t Table[R]) Without(names ...string) Table[R] {
	return t.filter(func(c Column[R]) bool { return !slices.Contains(names, c.Name) })
}

// Only returns the columns of some names.
func (t Table[R]) Only(names ...string) Table[R] {
	return t.filter(func(c Column[R]) bool { return slices.Contains(names, c.Name) })
}

// Long returns the columns that may be long, or the others.
func (t Table[R]) Long(long bool) Table[R] {
	return t.filter(func(c Column[R]) bool { return c.Long == long })
}

func (t Table[R]) filter(keep func(Column[R]) bool) Table[R] {
	var kept Table[R]
	for _, c := range t {
		if keep(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

// List returns a text for each column, separated by commas.
func (t Table[R]) List(text func(c Column[R]) string) string {
	list := make([]string, len(t))
	for i, c := range t {
		list[i] = text(c)
	}
	return strings.Join(list, ", ")
}

// Names returns the names of the columns, each behind a prefix.
func (t Table[R]) Names(prefix string) string {
	return t.List(func(c Column[R]) string { return prefix + c.Name })
}

// Dests appends the scan destinations in a row, in the order of the columns.
func (t Table[R]) Dests(into []any, row *R) []any {
	into = slices.Grow(into, len(t))
	for i := range t {
		into = append(into, t[i].Dest(row))
	}
	return into
}

// number declares a column of numbers.
func number[R any, N int64 | int32 | uint8 | uint16](name string, typ Type, when When, field func(*R) *N) Column[R] {
	return Column[R]{
		Name: name, Type: typ, When: when,
		Int: func(r *R) int64 { return int64(*field(r)) }, Dest: func(r *R) any { return field(r) },
	}
}

func truth[R any](name string, when When, field func(*R) *bool) Column[R] {
	return Column[R]{
		Name: name, Type: Bool, When: when,
		Int: func(r *R) int64 {
			if *field(r) {
				return 1
			}
			return 0
		},
		Dest: func(r *R) any { return field(r) },
	}
}

func text[R any](name string, when When, field func(*R) *string) Column[R] {
	return Column[R]{
		Name: name, Type: Text, When: when,
		Text: func(r *R) string { return *field(r) }, Dest: func(r *R) any { return field(r) },
	}
}

func id[R any](name string, when When, field func(*R) *uuid.UUID) Column[R] {
	return Column[R]{
		Name: name, Type: UUID, When: when,
		UUID: func(r *R) uuid.UUID { return *field(r) }, Dest: func(r *R) any { return field(r) },
	}
}

func list[R any](name string, when When, field func(*R) *step.Names) Column[R] {
	return Column[R]{
		Name: name, Type: List, When: when,
		List: func(r *R) step.Names { return *field(r) }, Dest: func(r *R) any { return field(r) },
	}
}

func bits[R any](name string, when When, field func(*R) *targetset.Bits, size func(*R) int32) Column[R] {
	return Column[R]{
		Name: name, Type: Bits, When: when,
		Bits: func(r *R) (targetset.Bits, int32) { return *field(r), size(r) }, Dest: func(r *R) any { return field(r) },
	}
}

// long marks a column that may be long.
func long[R any](c Column[R]) Column[R] {
	c.Long = true
	return c
}
