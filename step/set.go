package step

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"math/bits"
	"strings"
)

// Element is the constraint on the members of a [Set].
type Element interface {
	~uint8
	String() string // the stable name
}

// A Set is an immutable set of small values: states, step types, causes. It is a plain
// comparable value of four words; the zero Set is empty.
type Set[T Element] struct{ a, b, c, d uint64 } // no array, which the compiler keeps in no registers

// SetOf returns the set of the given values.
func SetOf[T Element](values ...T) Set[T] {
	var s Set[T]
	for _, v := range values {
		s = s.With(v)
	}
	return s
}

// word returns the word that holds v.
func (s *Set[T]) word(v T) *uint64 {
	switch v >> 6 {
	case 0:
		return &s.a
	case 1:
		return &s.b
	case 2:
		return &s.c
	}
	return &s.d
}

// words returns all words.
func (s Set[T]) words() [4]uint64 { return [...]uint64{s.a, s.b, s.c, s.d} }

// Has reports whether v is in s.
func (s Set[T]) Has(v T) bool { return *s.word(v)&(1<<(v&63)) != 0 }

// With returns the set of the members of s, and v. It does not change s.
func (s Set[T]) With(v T) Set[T] {
	*s.word(v) |= 1 << (v & 63)
	return s
}

// Without returns the set of the members of s other than v. It does not change s.
func (s Set[T]) Without(v T) Set[T] {
	*s.word(v) &^= 1 << (v & 63)
	return s
}

// Union returns the set of values that are in s or in t.
func (s Set[T]) Union(t Set[T]) Set[T] { return Set[T]{s.a | t.a, s.b | t.b, s.c | t.c, s.d | t.d} }

// Minus returns the set of values that are in s and not in t.
func (s Set[T]) Minus(t Set[T]) Set[T] {
	return Set[T]{s.a &^ t.a, s.b &^ t.b, s.c &^ t.c, s.d &^ t.d}
}

// Intersect returns the values that both have.
func (s Set[T]) Intersect(t Set[T]) Set[T] { return Set[T]{s.a & t.a, s.b & t.b, s.c & t.c, s.d & t.d} }

// Len returns the number of members.
func (s Set[T]) Len() int {
	return bits.OnesCount64(s.a) + bits.OnesCount64(s.b) + bits.OnesCount64(s.c) + bits.OnesCount64(s.d)
}

// Empty reports whether s has no member.
func (s Set[T]) Empty() bool { return s == Set[T]{} }

// All returns the members in ascending order.
func (s Set[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i, left := range s.words() {
			for ; left != 0; left &= left - 1 {
				if !yield(T(i<<6 | bits.TrailingZeros64(left))) {
					return
				}
			}
		}
	}
}

// String returns the members' names in ascending order, "failed, abnormal", or
// "none" for the empty set.
func (s Set[T]) String() string {
	if s.Empty() {
		return "none"
	}
	var b strings.Builder
	for v := range s.All() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(v.String())
	}
	return b.String()
}

// MarshalJSON writes an array of the members as they marshal, in ascending order.
func (s Set[T]) MarshalJSON() ([]byte, error) {
	members := make([]T, 0, s.Len())
	for v := range s.All() {
		members = append(members, v)
	}
	return json.Marshal(members)
}

// UnmarshalJSON reads the output of MarshalJSON: an array of members' names.
func (s *Set[T]) UnmarshalJSON(data []byte) error {
	var members []*T // not []T, which would take a string for base64 and null for 0
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	if bytes.Contains(data, []byte(`""`)) { // what unmarshals as a zero value is no name
		return errors.New("empty text is not a member of a set")
	}
	var set Set[T]
	for _, v := range members {
		if v == nil {
			return errors.New("null is not a member of a set")
		}
		set = set.With(*v)
	}
	*s = set
	return nil
}
