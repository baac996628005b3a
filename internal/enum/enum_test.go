package enum_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/internal/enum"
)

type (
	narrow uint8
	wide   uint16
)

var (
	fruits = enum.New("fruit", []enum.Entry[narrow]{{Value: 3, Name: "pear", Old: "peer"}, {Value: 1, Name: "apple"}, {Value: 200, Name: "fig"}})
	tools  = enum.New("tool", []enum.Entry[narrow]{{Value: 1, Name: "saw"}, {Value: 100, Name: "file"}}, enum.Custom[narrow]())
	codes  = enum.New("code", []enum.Entry[wide]{{Value: 500, Name: "unknown"}})
)

func TestAllKeepsTheOrderOfDeclaration(t *testing.T) {
	all := fruits.All()
	if want := []narrow{3, 1, 200}; !slices.Equal(all, want) {
		t.Errorf("All() = %v, want %v", all, want)
	}
	all[0] = 9
	if got := fruits.All()[0]; got != 3 {
		t.Errorf("All() after its result was changed starts with %d, want 3", got)
	}
}

func TestEveryValueOfAnAlphabetIsKnownOrNot(t *testing.T) {
	for v := range narrow(255) {
		if got, want := fruits.Known(v), v == 1 || v == 3 || v == 200; got != want {
			t.Errorf("fruits.Known(%d) = %v, want %v", v, got, want)
		}
		if got, want := tools.Known(v), v == 1 || v == 100 || v >= 32 && v <= 63; got != want {
			t.Errorf("tools.Known(%d) = %v, want %v", v, got, want)
		}
	}
}

func TestStringNamesKnownValuesAndNumbersUnknownOnes(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{fruits.String(3), "pear"},
		{fruits.String(2), "fruit(2)"},
		{fruits.String(32), "fruit(32)"},
		{tools.String(1), "saw"},
		{tools.String(32), "custom-32"},
		{tools.String(100), "file"}, // a declared value keeps its name, wherever it lies
		{tools.String(63), "custom-63"},
		{tools.String(64), "tool(64)"},
		{codes.String(500), "unknown"},
		{codes.String(501), "code(501)"},
	} {
		if c.got != c.want {
			t.Errorf("String() = %q, want %q", c.got, c.want)
		}
	}
}

func TestTextRoundTripsForEveryKnownValue(t *testing.T) {
	for _, names := range []*enum.Names[narrow]{fruits, tools} {
		for v := range narrow(255) {
			text, err := names.MarshalText(v)
			if err != nil {
				t.Errorf("MarshalText(%d): %v", v, err)
			}
			for what, read := range map[string]func() (narrow, error){
				"Parse":         func() (narrow, error) { return names.Parse(string(text)) },
				"UnmarshalText": func() (v narrow, err error) { err = names.UnmarshalText(&v, text); return v, err },
			} {
				want := v
				known := names.Known(v) || v == 0 && what == "UnmarshalText"
				if !known {
					want = 0
				}
				if got, err := read(); got != want || known != (err == nil) {
					t.Errorf("%s(%q) = %d, %v; want %d", what, text, got, err, v)
				}
			}
		}
	}
}

// Marshalling never fails: the zero value is empty text, and an unknown value is its printed text.
func TestEveryValueMarshals(t *testing.T) {
	named := enum.New("choice", []enum.Entry[narrow]{{Value: 0, Name: "no"}, {Value: 1, Name: "yes"}})
	for _, c := range []struct {
		names *enum.Names[narrow]
		v     narrow
		want  string
	}{{fruits, 0, ""}, {tools, 0, ""}, {named, 0, ""}, {fruits, 2, "fruit(2)"}, {tools, 64, "tool(64)"}, {tools, 40, "custom-40"}, {fruits, 3, "pear"}} {
		if text, err := c.names.MarshalText(c.v); string(text) != c.want || err != nil {
			t.Errorf("MarshalText(%d) = %q, %v; want %q", c.v, text, err, c.want)
		}
	}
	for _, text := range []string{"", "no"} {
		got := narrow(1)
		if err := named.UnmarshalText(&got, []byte(text)); got != 0 || err != nil || named.String(0) != "no" {
			t.Errorf("UnmarshalText(%q) = %d, %v; want 0, which prints as no", text, got, err)
		}
	}
}

func TestParseTakesNamesAndPlainNumbersOnly(t *testing.T) {
	for s, want := range map[string]narrow{"pear": 3, "peer": 3, "3": 3, "apple": 1, "1": 1, "200": 200} {
		if got, err := fruits.Parse(s); got != want || err != nil {
			t.Errorf("fruits.Parse(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for s, want := range map[string]narrow{"saw": 1, "custom-32": 32, "32": 32, "63": 63, "custom-50": 50} {
		if got, err := tools.Parse(s); got != want || err != nil {
			t.Errorf("tools.Parse(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", " ", "pears", "Pear", " pear", "2", "03", "+3", "-3", "3.0", "0x3", "3 ", "259", "65536", "65539",
		"99999999999999999999", "custom-3", "custom-32", "fruit(3)", "\x00", "\xff",
	} {
		if got, err := fruits.Parse(s); got != 0 || err == nil {
			t.Errorf("fruits.Parse(%q) = %d, %v; want an error", s, got, err)
		}
	}
	for _, s := range []string{"custom-1", "custom-31", "custom-64", "custom-032", "custom-", "custom--32", "custom-+32", "Custom-32", "custom-custom-32", "64", "320"} {
		if got, err := tools.Parse(s); got != 0 || err == nil {
			t.Errorf("tools.Parse(%q) = %d, %v; want an error", s, got, err)
		}
	}
}

func TestUnknownErrorsNameTheNounWhatWasGivenAndWhatThereIs(t *testing.T) {
	_, err := fruits.Parse("plum")
	if want := `unknown fruit "plum": want one of pear (3), apple (1), fig (200)`; err == nil || err.Error() != want {
		t.Errorf("fruits.Parse(plum): %v, want %s", err, want)
	}
	err = tools.UnmarshalText(new(narrow), []byte("9"))
	if want := `unknown tool "9": want one of saw (1), file (100), custom-32 to custom-63`; err == nil || err.Error() != want {
		t.Errorf("tools.UnmarshalText(9): %v, want %s", err, want)
	}
	var unknown *enum.UnknownError
	if !errors.As(err, &unknown) || unknown.Noun != "tool" || unknown.Got != "9" {
		t.Errorf("tools.UnmarshalText(9): %#v, want an UnknownError of tool 9", err)
	}
}

func TestUnknownErrorsStayShortAndPrintable(t *testing.T) {
	_, err := fruits.Parse(strings.Repeat("x", 1_000_000))
	if want := `unknown fruit "` + strings.Repeat("x", 64) + `..."`; err == nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 200 {
		t.Errorf("Parse(a million x): %.300v, want %s...", err, want)
	}
	_, err = fruits.Parse("a\x1b[31m\x00é")
	if want := `unknown fruit "a\x1b[31m\x00\u00e9"`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Parse(control characters): %v, want %s", err, want)
	}
}

func TestNewRefusesADuplicate(t *testing.T) {
	for want, entries := range map[string][]enum.Entry[narrow]{
		`enum: fruit 1 declared twice`:       {{Value: 1, Name: "apple"}, {Value: 1, Name: "pear"}},
		`enum: fruit "apple" declared twice`: {{Value: 1, Name: "apple"}, {Value: 2, Name: "pear", Old: "apple"}},
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("New panics with %v, want %s", got, want)
				}
			}()
			enum.New("fruit", entries)
		}()
	}
}

// An embedder's value with a name prints as that name, and is still read by its number and its plain
// name.
func TestARegisteredNameIsReadAndPrinted(t *testing.T) {
	pets := enum.New("pet", []enum.Entry[narrow]{{Value: 1, Name: "cat"}},
		enum.Range[narrow]{Prefix: "own-", First: 160, Last: 191, Base: 128}, enum.Custom[narrow]())
	pets.Register(162, "ferret")
	pets.Register(162, "ferret") // twice is once
	if got := pets.String(162); got != "ferret" {
		t.Errorf("String(162) = %q, want ferret", got)
	}
	for text, want := range map[string]narrow{"ferret": 162, "162": 162, "own-34": 162, "own-35": 163, "custom-34": 34} {
		if got, err := pets.Parse(text); got != want || err != nil {
			t.Errorf("Parse(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for want, register := range map[string]func(){
		"pet 162 is named ferret and cannot be named newt":           func() { pets.Register(162, "newt") },
		"pet 163: the name ferret stands for 162":                    func() { pets.Register(163, "ferret") },
		"pet 163: the name cat stands for 1":                         func() { pets.Register(163, "cat") },
		"pet 1 does not belong to embedders":                         func() { pets.Register(1, "kitten") },
		"pet 192 does not belong to embedders":                       func() { pets.Register(192, "dog") },
		`pet 163: the name "" is not a word of a-z, 0-9 and _`:       func() { pets.Register(163, "") },
		`pet 163: the name "own-36" is not a word of a-z, 0-9 and _`: func() { pets.Register(163, "own-36") },
		`pet 163: the name "7up" is not a word of a-z, 0-9 and _`:    func() { pets.Register(163, "7up") },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("Register panics with %v, want %s", got, want)
				}
			}()
			register()
		}()
	}
	if got := pets.String(163); got != "own-35" {
		t.Errorf("String(163) after refused names = %q, want own-35", got)
	}
}
