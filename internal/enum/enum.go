// Package enum gives the library's small integer alphabets their stable text
// names: one table per alphabet serves String, text marshalling and parsing.
package enum

import (
	"fmt"
	"strconv"
	"strings"
)

// Value is what an alphabet is made of: a wire number.
type Value interface{ ~uint8 | ~uint16 }

// Entry is one named value.
type Entry[T Value] struct {
	Value T
	Name  string
}

// Names is the table of one alphabet. It is immutable and safe for concurrent use.
type Names[T Value] struct {
	noun     string // what a value is called in an error: "step type"
	entries  []Entry[T]
	byValue  map[T]string
	byName   map[string]T
	custom   bool // values CustomMin to CustomMax are legal without an entry
	expected string
}

// The values that an open alphabet leaves to embedders; see [Open].
const (
	CustomMin = 32
	CustomMax = 63
)

const customPrefix = "custom-"

// New returns the table of a closed alphabet: what is not an entry is unknown.
// It panics on a duplicate value or name, as it is meant for package variables.
func New[T Value](noun string, entries ...Entry[T]) *Names[T] {
	n := &Names[T]{noun: noun, entries: entries, byValue: map[T]string{}, byName: map[string]T{}}
	var all []string
	for _, e := range entries {
		if _, dup := n.byValue[e.Value]; dup {
			panic(fmt.Sprintf("enum: %s %d declared twice", noun, e.Value))
		}
		if _, dup := n.byName[e.Name]; dup {
			panic(fmt.Sprintf("enum: %s %q declared twice", noun, e.Name))
		}
		n.byValue[e.Value] = e.Name
		n.byName[e.Name] = e.Value
		all = append(all, fmt.Sprintf("%s (%d)", e.Name, e.Value))
	}
	n.expected = strings.Join(all, ", ")
	return n
}

// Open returns the table of an alphabet in which the values 32 to 63 belong to
// embedders. They are always known, and read and print as "custom-32".
func Open[T Value](noun string, entries ...Entry[T]) *Names[T] {
	n := New(noun, entries...)
	n.custom = true
	n.expected += fmt.Sprintf(", %s%d to %s%d", customPrefix, CustomMin, customPrefix, CustomMax)
	return n
}

// Known reports whether v belongs to the alphabet.
func (n *Names[T]) Known(v T) bool {
	_, ok := n.byValue[v]
	return ok || n.isCustom(v)
}

func (n *Names[T]) isCustom(v T) bool { return n.custom && v >= CustomMin && v <= CustomMax }

// All returns the declared values in the order of their declaration.
func (n *Names[T]) All() []T {
	all := make([]T, len(n.entries))
	for i, e := range n.entries {
		all[i] = e.Value
	}
	return all
}

// String returns the name of v, or for an unknown value something like "state(8)".
func (n *Names[T]) String(v T) string {
	if name, ok := n.byValue[v]; ok {
		return name
	}
	if n.isCustom(v) {
		return customPrefix + strconv.Itoa(int(v))
	}
	return n.noun + "(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText returns what v marshals as: String, but the empty text for a zero value
// without a name. It never fails, so that all values can be logged and shown.
func (n *Names[T]) MarshalText(v T) ([]byte, error) {
	if n.isNone(v) {
		return []byte{}, nil
	}
	return []byte(n.String(v)), nil
}

// UnmarshalText reads what MarshalText writes of a known value or of the zero value, and
// what Parse reads.
func (n *Names[T]) UnmarshalText(text []byte) (T, error) {
	if len(text) == 0 && n.isNone(0) {
		return 0, nil
	}
	return n.Parse(string(text))
}

// isNone reports whether v is the zero value, and that stands for none.
func (n *Names[T]) isNone(v T) bool { return v == 0 && !n.Known(0) }

// Parse reads a name or a number; anything unknown is an [UnknownError].
func (n *Names[T]) Parse(s string) (T, error) {
	if v, ok := n.byName[s]; ok {
		return v, nil
	}
	digits := s
	if n.custom {
		digits = strings.TrimPrefix(s, customPrefix)
	}
	if i, err := strconv.ParseUint(digits, 10, 16); err == nil && strconv.FormatUint(i, 10) == digits {
		v := T(i)
		if uint64(v) == i && n.Known(v) && (digits == s || n.isCustom(v)) {
			return v, nil
		}
	}
	return 0, n.unknown(s)
}

func (n *Names[T]) unknown(got string) error {
	return &UnknownError{Noun: n.noun, Got: got, Want: n.expected}
}

// UnknownError reports a name or number that its alphabet does not have.
type UnknownError struct {
	Noun string // "state", "step type", ...
	Got  string
	Want string // every value there is, for a person to read
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown %s %s: want one of %s", e.Noun, strconv.QuoteToASCII(truncate(e.Got)), e.Want)
}

func truncate(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
