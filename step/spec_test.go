package step_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/step"
)

func TestNamesShareNoMemoryWithTheirSource(t *testing.T) {
	list := []string{"ann", "bob"}
	names := step.NamesOf(list)
	list[0] = "mallory"
	if !names.Has("ann") || names.Has("mallory") {
		t.Errorf("NamesOf(list) after list was changed = %v, want [ann bob]", names)
	}
}

// No list and an empty list differ: the first admits every authorised person, the
// second no one.
func TestNoListDiffersFromAnEmptyOne(t *testing.T) {
	none, empty, one := step.NamesOf(nil), step.NamesOf([]string{}), step.NamesOf([]string{"ann"})
	for _, c := range []struct {
		names  step.Names
		set    bool
		length int
		text   string
		json   string
	}{
		{none, false, 0, "[]", "null"},
		{step.Names{}, false, 0, "[]", "null"},
		{empty, true, 0, "[]", "[]"},
		{one, true, 1, "[ann]", `["ann"]`},
	} {
		if c.names.IsSet() != c.set || c.names.Len() != c.length || c.names.String() != c.text || c.names.Has("") || len(slices.Collect(c.names.All())) != c.length {
			t.Errorf("%v: IsSet() = %v, Len() = %d; want %v, %d, %s", c.names, c.names.IsSet(), c.names.Len(), c.set, c.length, c.text)
		}
		data, err := json.Marshal(c.names)
		if string(data) != c.json || err != nil {
			t.Errorf("json.Marshal(%v) = %s, %v; want %s", c.names, data, err, c.json)
		}
		back := step.NamesOf([]string{"left over"})
		if err := json.Unmarshal(data, &back); err != nil || !back.Equal(c.names) {
			t.Errorf("json.Unmarshal(%s) = %v (a list: %v), %v; want %v (a list: %v)", data, back, back.IsSet(), err, c.names, c.set)
		}
	}
	if none.Equal(empty) || !one.Equal(step.NamesOf([]string{"ann"})) || one.Equal(empty) {
		t.Error("Equal: want no list, an empty list and [ann] to be three different things")
	}
	if err := json.Unmarshal([]byte(`{"ann":1}`), &one); err == nil {
		t.Error("json.Unmarshal of an object into Names = nil, want an error")
	}
}

func TestASpecRoundTripsThroughJSON(t *testing.T) {
	for _, spec := range []step.Spec{
		{Type: step.Script, Name: "copy", Targets: []string{"a"}, IgnoreErrors: true, Timeout: 5, Payload: "echo"},
		{Type: step.Confirmation, Name: "ask", Confirmers: []string{"ann"}, OnTimeout: step.ConfirmOnTimeout},
		{Type: step.Confirmation, Name: "ask nobody", Confirmers: []string{}}, // no list would admit everybody
	} {
		data, err := json.Marshal(spec)
		if err != nil {
			t.Fatalf("json.Marshal(%+v): %v", spec, err)
		}
		var back step.Spec
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatalf("json.Unmarshal(%s): %v", data, err)
		}
		if !reflect.DeepEqual(back, spec) {
			t.Errorf("%+v came back from %s as %+v", spec, data, back)
		}
	}
}

// Names read as a []string does, however they are spelled.
func TestNamesReadAsAList(t *testing.T) {
	for _, text := range []string{
		`null`, `[]`, `["a"]`, `[ "a" , "b" ]`, `["a","b",""]`, `["\u0061","\"","\\"]`, `["ä","\u2028","�"]`, "[\"\xff\"]", "[\n\"a\"\n]",
		`["a",]`, `["a" "b"]`, `["a"`, `["a`, `["a"]]`, `"a"`, `[1]`, `["a",null]`, ``,
	} {
		var want []string
		wantErr := json.Unmarshal([]byte(text), &want)
		got := step.NamesOf([]string{"before"})
		gotErr := got.UnmarshalJSON([]byte(text))
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !got.Equal(step.NamesOf(want)) {
			t.Errorf("%q reads as %v, %v; want %v, %v", text, got, gotErr, want, wantErr)
		}
	}
}
