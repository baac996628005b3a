package testkit

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"testing"
)

// A Letter is a member of an alphabet with wire numbers.
type Letter interface {
	~uint8 | ~uint16
	fmt.Stringer
	encoding.TextMarshaler
}

// A Text is the address of a letter, which unmarshals.
type Text[T Letter] interface {
	*T
	encoding.TextUnmarshaler
}

// read reads a letter by parse, or as text, but for the empty one, if parse is nil.
func read[T Letter, P Text[T]](s string, parse func(string) (T, error)) (v T, err error) {
	switch {
	case parse != nil:
		return parse(s)
	case s == "":
		return 0, errors.New("empty")
	}
	return v, P(&v).UnmarshalText([]byte(s))
}

// Alphabet asserts that an alphabet has exactly the letters of the wire, and that each reads and
// prints as the wire has it. A nil parse is for an alphabet that only unmarshals.
func Alphabet[T Letter, P Text[T]](t *testing.T, wire map[int]string, valid func(T) bool, parse func(string) (T, error)) {
	t.Helper()
	for i := 0; i <= 1000 && int(T(i)) == i; i++ {
		v := T(i)
		name, known := wire[i]
		if valid(v) != known {
			t.Errorf("%T(%d).Valid() = %v, want %v", v, i, !known, known)
		}
		want := v.String() // not readable if v is unknown
		if v == 0 {
			want = ""
		}
		if data, err := v.MarshalText(); string(data) != want || err != nil {
			t.Errorf("%T(%d).MarshalText() = %q, %v; want %q", v, i, data, err, want)
		}
		if known && v.String() != name {
			t.Errorf("%T(%d) prints %q, want %q", v, i, v, name)
		}
		for _, s := range []string{strconv.Itoa(i), v.String()} {
			var got T
			textErr := P(&got).UnmarshalText([]byte(s))
			if v.String() == "none" && !known {
				continue // a zero that is no letter and yet has a name
			}
			if parsed, err := read[T, P](s, parse); known != (err == nil) || known != (textErr == nil) || known && (parsed != v || got != v) {
				t.Errorf("%T %q parses to %d, %v, and unmarshals to %d, %v; want %d, known: %v", v, s, parsed, err, got, textErr, i, known)
			}
		}
	}
	for _, s := range []string{"", "no such thing", "-1", "65537", "1.0", "02", "PENDING", "script "} {
		if got, err := read[T, P](s, parse); got != 0 || err == nil {
			t.Errorf("parsing %T %q gives %d, %v; want an error", got, s, got, err)
		}
		got := T(1)
		if err := P(&got).UnmarshalText([]byte(s)); (err == nil) != (s == "") || got != 0 {
			t.Errorf("%T.UnmarshalText(%q) = %v, %d; want an error, but for the empty text of the zero", got, s, err, got)
		}
	}
}

// Spell asserts that an alphabet prints the text that it reads, and reads the text that it prints. A
// nil parse is for an alphabet that only unmarshals.
func Spell[T Letter, P Text[T]](t *testing.T, s string, valid func(T) bool, parse func(string) (T, error)) {
	t.Helper()
	v, err := read[T, P](s, parse)
	var text T
	if textErr := P(&text).UnmarshalText([]byte(s)); (textErr == nil) != (err == nil) && s != "none" && s != "" || text != v {
		t.Fatalf("%T %q: parses to %v, %v, and unmarshals to %v, %v", v, s, v, err, text, textErr)
	}
	if err != nil {
		if v != 0 {
			t.Fatalf("%T %q: %v beside %v", v, s, v, err)
		}
		return
	}
	name, err := v.MarshalText()
	back, backErr := read[T, P](v.String(), parse)
	if !valid(v) || err != nil || backErr != nil || back != v || v != 0 && string(name) != v.String() {
		t.Fatalf("%T %q: %v prints %q, %v, which reads %v, %v", v, s, v, name, err, back, backErr)
	}
}
