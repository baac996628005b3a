package strictjson_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/internal/strictjson"
)

type doc struct {
	Name string `json:"name"`
	Rows []struct {
		Kind int `json:"kind"`
	} `json:"rows"`
}

func TestUnmarshal(t *testing.T) {
	var d doc
	if err := strictjson.Unmarshal([]byte(`{"rows": [{"kind": 1}, {"kind": 2}], "name": "Ä"}`+"\n"), &d); err != nil || fmt.Sprint(d) != "{Ä [{1} {2}]}" {
		t.Errorf("got %v, %v", d, err)
	}
}

// What encoding/json would ignore, guess or replace is refused, with what is wrong.
func TestUnmarshalRefuses(t *testing.T) {
	deep := strings.Repeat("[", strictjson.MaxDepth+1) + strings.Repeat("]", strictjson.MaxDepth+1)
	for text, want := range map[string]string{
		``:                                "unexpected EOF",
		`{"name": "a"`:                    "unexpected EOF",
		`{"name" "a"}`:                    "invalid character",
		`{"name": tru}`:                   "invalid character",
		`{"name": "a"} {}`:                "more after the end",
		`{"name": "a", "name": "b"}`:      `"name" stands twice`,
		`{"rows": [{"kind":1,"kind":2}]}`: `"kind" stands twice`,
		`{"Name": "a"}`:                   `unknown field "Name"`,
		`{"rowſ": []}`:                    `unknown field "rowſ"`,
		`{"other": 1}`:                    `unknown field "other"`,
		"{\"name\": \"\xff\"}":            "not UTF-8",
		`{"rows": ` + deep + `}`:          "more than 32 deep",
		`{"name": 1}`:                     "cannot unmarshal",
	} {
		var d doc
		if err := strictjson.Unmarshal([]byte(text), &d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Unmarshal(%.40s): got %v, want an error with %q", text, err, want)
		}
	}
}
