// Package enum gives the library's small integer alphabets their stable text
// names: one table per alphabet serves String, text marshalling and parsing.
package enum

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Value is the constraint on the members of an alphabet: a wire number.
type Value interface{ ~uint8 | ~uint16 }

// Entry is one named value.
type Entry[T Value] struct {
	Value T
	Name  string
	Old   string // a name of earlier versions, which is still read; "" for none
}

// A Range is a range of values that belong to embedders. They are always known, print as Prefix and
// a number until [Names.Register] names them, and are read in both forms.
type Range[T Value] struct {
	Prefix      string
	First, Last T
	Base        T // the value of the number 0 in the text
}

// Names is the table of one alphabet. It is safe for concurrent use.
type Names[T Value] struct {
	noun    string // for a value in an error: "step type"
	entries []Entry[T]
	byValue map[T]string
	byName  map[string]T
	ranges  []Range[T]

	register   sync.Mutex
	registered atomic.Pointer[registered[T]] // replaced, never changed
}

// registered has the names of embedders.
type registered[T Value] struct {
	byValue map[T]string
	byName  map[string]T
}

// The values that an open alphabet leaves to embedders; see [Open].
const (
	CustomMin = 32
	CustomMax = 63
)

// New returns the table of an alphabet: a value that is neither an entry nor in a range is unknown.
// It panics on a duplicate value or name, as it is meant for package variables.
func New[T Value](noun string, entries []Entry[T], ranges ...Range[T]) *Names[T] {
	n := &Names[T]{noun: noun, entries: entries, ranges: ranges, byValue: map[T]string{}, byName: map[string]T{}}
	n.registered.Store(&registered[T]{})
	for _, e := range entries {
		if _, dup := n.byValue[e.Value]; dup {
			panic(fmt.Sprintf("enum: %s %d declared twice", noun, e.Value))
		}
		n.byValue[e.Value] = e.Name
		for _, name := range []string{e.Name, e.Old} {
			if _, dup := n.byName[name]; dup {
				panic(fmt.Sprintf("enum: %s %q declared twice", noun, name))
			}
			if name != "" {
				n.byName[name] = e.Value
			}
		}
	}
	return n
}

// Custom is the range of an alphabet that leaves 32 to 63 to embedders, as "custom-32".
func Custom[T Value]() Range[T] {
	return Range[T]{Prefix: "custom-", First: CustomMin, Last: CustomMax}
}

// Register names v, a value that belongs to embedders. It panics if v does not belong to them, if v
// has another name, if the name belongs to another value, or if it is not a word of small letters,
// digits and underscores that begins with a letter. Register is idempotent.
func (n *Names[T]) Register(v T, name string) {
	n.register.Lock()
	defer n.register.Unlock()
	known := n.registered.Load()
	was, named := known.byValue[v]
	other, taken := n.byName[name]
	if !taken {
		other, taken = known.byName[name]
	}
	switch {
	case named && was == name:
		return
	case n.rangeOf(v) == nil:
		panic(fmt.Sprintf("%s %d does not belong to embedders", n.noun, v))
	case !isWord(name):
		panic(fmt.Sprintf("%s %d: the name %q is not a word of a-z, 0-9 and _", n.noun, v, name))
	case named:
		panic(fmt.Sprintf("%s %d is named %s and cannot be named %s", n.noun, v, was, name))
	case taken:
		panic(fmt.Sprintf("%s %d: the name %s stands for %d", n.noun, v, name, other))
	}
	next := &registered[T]{byValue: maps.Clone(known.byValue), byName: maps.Clone(known.byName)}
	if next.byValue == nil {
		next.byValue, next.byName = map[T]string{}, map[string]T{}
	}
	next.byValue[v], next.byName[name] = name, v
	n.registered.Store(next)
}

// isWord reports whether name is a word that no number or custom name can be taken for.
func isWord(name string) bool {
	for i, c := range name {
		if letter := c >= 'a' && c <= 'z'; !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != ""
}

// Known reports whether v belongs to the alphabet.
func (n *Names[T]) Known(v T) bool {
	_, ok := n.byValue[v]
	return ok || n.rangeOf(v) != nil
}

// rangeOf returns the range of embedders that v lies in, or nil.
func (n *Names[T]) rangeOf(v T) *Range[T] {
	for i := range n.ranges {
		if r := &n.ranges[i]; v >= r.First && v <= r.Last {
			return r
		}
	}
	return nil
}

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
	if name, ok := n.registered.Load().byValue[v]; ok {
		return name
	}
	if r := n.rangeOf(v); r != nil {
		return r.Prefix + strconv.Itoa(int(v-r.Base))
	}
	return n.noun + "(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText returns String of v, or empty text for the zero value. It never fails, so that all
// values can be logged and shown.
func (n *Names[T]) MarshalText(v T) ([]byte, error) {
	if v == 0 {
		return []byte{}, nil
	}
	return []byte(n.String(v)), nil
}

// UnmarshalText accepts what Parse accepts, and empty text for the zero value. v is zero after an
// error.
func (n *Names[T]) UnmarshalText(v *T, text []byte) (err error) {
	if *v = 0; len(text) > 0 {
		*v, err = n.Parse(string(text))
	}
	return err
}

// Parse reads a name or a number; anything unknown is an [UnknownError].
func (n *Names[T]) Parse(s string) (T, error) {
	if v, ok := n.byName[s]; ok {
		return v, nil
	}
	if v, ok := n.registered.Load().byName[s]; ok {
		return v, nil
	}
	if i, ok := number(s); ok && uint64(T(i)) == i && n.Known(T(i)) {
		return T(i), nil
	}
	for i := range n.ranges {
		r := &n.ranges[i]
		digits, ok := strings.CutPrefix(s, r.Prefix)
		if !ok {
			continue
		}
		if i, ok := number(digits); ok && i >= uint64(r.First-r.Base) && i <= uint64(r.Last-r.Base) {
			return r.Base + T(i), nil
		}
	}
	return 0, n.unknown(s)
}

// number reads a decimal number in its canonical form.
func number(s string) (uint64, bool) {
	i, err := strconv.ParseUint(s, 10, 16)
	return i, err == nil && strconv.FormatUint(i, 10) == s
}

func (n *Names[T]) unknown(got string) error {
	var want []string
	for _, e := range n.entries {
		want = append(want, fmt.Sprintf("%s (%d)", e.Name, e.Value))
	}
	for _, r := range n.ranges {
		want = append(want, fmt.Sprintf("%s%d to %s%d", r.Prefix, r.First-r.Base, r.Prefix, r.Last-r.Base))
	}
	return Unknown(n.noun, got, want...)
}

// Unknown returns the error of a text that is none of want.
func Unknown(noun, got string, want ...string) error {
	return &UnknownError{Noun: noun, Got: got, Want: strings.Join(want, ", ")}
}

// UnknownError reports a name or number that its alphabet does not have.
type UnknownError struct {
	Noun string // "state", "step type", ...
	Got  string
	Want string // every value, for people
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
