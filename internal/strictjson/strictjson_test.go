package strictjson_test

import (
	"fmt"
	"strconv"
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
	if err := strictjson.Unmarshal([]byte(`{"rows": [{"kind": 1}, {"kind": 2}], "name": "Ä\ud83d\ude00\u00c4\\ud83d"}`+"\n"), &d); err != nil || fmt.Sprint(d) != `{Ä😀Ä\ud83d [{1} {2}]}` {
		t.Errorf("got %v, %v", d, err)
	}
}

// Input that encoding/json would ignore, guess or replace is refused, with the mistake.
func TestUnmarshalRefuses(t *testing.T) {
	deep := strings.Repeat("[", strictjson.MaxDepth+1) + strings.Repeat("]", strictjson.MaxDepth+1)
	many := "{"
	for i := range strictjson.MaxKeys {
		many += fmt.Sprintf("%q: 1, ", "k"+strconv.Itoa(i))
	}
	many += `"name": "a"}`
	crowd := `{"rows": [{}` + strings.Repeat(",{}", strictjson.MaxObjects-1) + `]}`
	for text, want := range map[string]string{
		``:                                          "unexpected EOF",
		`{"name": "a"`:                              "unexpected EOF",
		`{"name" "a"}`:                              "invalid character",
		`{"name": tru}`:                             "invalid character",
		`{"name": "a"} {}`:                          "trailing data",
		`{"name": "a", "name": "b"}`:                `"name" is a duplicate`,
		`{"rows": [{"kind":1,"kind":2}]}`:           `"kind" is a duplicate`,
		`{"Name": "a"}`:                             `unknown field "Name"`,
		`{"rowſ": []}`:                              `unknown field "row\u017f"`,
		`{"other": 1}`:                              `unknown field "other"`,
		"{\"name\": \"\xff\"}":                      "must be UTF-8",
		`{"name": "\ud83d"}`:                        "byte 10 is an unpaired surrogate",
		`{"name": "\ude00\ud83d"}`:                  "byte 10 is an unpaired surrogate",
		`{"name": "\\\ud83d \ude00"}`:               "byte 12 is an unpaired surrogate",
		`{"rows": ` + deep + `}`:                    "maximum depth is 32",
		`{"name": 1}`:                               "name: must be a string",
		`{"name": {"a": 1}}`:                        "name: must be a string",
		`{"rows": [{}, {"kind": "a"}]}`:             "rows[1].kind: must be a whole number of 64 bits",
		`{"rows": [{}, {"kind":1e400}]}`:            "rows[1].kind: must be a whole number of 64 bits",
		`{"rows": [{"kind":1.5}, {}]}`:              "rows[0].kind: must be a whole number of 64 bits",
		`{"rows": [{"kind":12345678901234567890}]}`: "rows[0].kind: must be a whole number of 64 bits",
		`{"rows": [{"kind": NaN}]}`:                 "invalid character",
		`{"rows": {}}`:                              "rows: must be a list",
		`{"rows": [true]}`:                          "rows[0]: must be an object",
		`[]`:                                        "must be an object",
		` "name"`:                                   "must be an object",
		`{"` + strings.Repeat("x", 99) + `": 1}`:    `unknown field "` + strings.Repeat("x", 40) + `..."`,
		crowd:                                       "the maximum is 20000 objects",
		`{"` + strings.Repeat("x", 99) + `": {"a": 1, "a": 1}}`: strings.Repeat("x", 40) + `...: key "a" is a duplicate`,
		many: "the maximum is 1000 keys per object",
	} {
		var d doc
		if err := strictjson.Unmarshal([]byte(text), &d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Unmarshal(%.40s): got %v, want an error with %q", text, err, want)
		}
	}
}

// null is no value in a request, and one in a file.
func TestRequestRefusesNull(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                       "must not be null",
		`{"name": null}`:             "name: must not be null",
		`{"rows": [{"kind": null}]}`: "rows[0].kind: must not be null",
	} {
		var d doc
		if err := strictjson.Request([]byte(text), &d); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Request(%s): got %v, want %q", text, err, want)
		}
		if err := strictjson.Unmarshal([]byte(text), &d); err != nil {
			t.Errorf("Unmarshal(%s): %v", text, err)
		}
	}
}

// Known fields are returned unchanged, and unknown ones may have any value.
func TestFields(t *testing.T) {
	got, err := strictjson.Fields([]byte(` {"id": 1.50, "Other": {"ID": [1], "id": {"Id": null}}, "name" : "\u0041", "list":[ 1]} `), "id", "name", "list", "absent")
	if want := `map[id:1.50 list:[ 1] name:"\u0041"]`; err != nil || fmt.Sprintf("%s", got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// A mistake is refused at any depth, with the known field around it. The error repeats only names of
// known fields: the rest of the text may be secret.
func TestFieldsRefuses(t *testing.T) {
	deep := strings.Repeat("[", strictjson.MaxDepth) + strings.Repeat("]", strictjson.MaxDepth)
	for text, want := range map[string]string{
		``:                                     "unexpected EOF",
		` `:                                    "unexpected EOF",
		`null`:                                 "must be an object",
		`"s3cret"`:                             "must be an object",
		`[{"id": 1}]`:                          "must be an object",
		`s3cret`:                               "malformed JSON at or after byte 0",
		`{"id": 1`:                             "id: unexpected EOF",
		`{"id": NaN}`:                          "id: malformed JSON at or after byte 7",
		`{"id": 01}`:                           "id: malformed JSON at or after byte 8",
		`{"id": 1,}`:                           "id: malformed JSON at or after byte 9",
		`{"id": [1}`:                           "id: malformed JSON at or after byte 9",
		`{"s3cret": s3cret}`:                   "malformed JSON at or after byte 11",
		`{"id": 1} {"s3cret": 1}`:              "trailing data after the document",
		`{"id": 1}s3cret`:                      "trailing data after the document",
		`{"id": 1, "id": 1}`:                   "id: duplicate field",
		`{"id": 1, "\u0069d": 1}`:              "id: duplicate field",
		`{"id": {"s3cret": 1, "s3cret": 1}}`:   "id: duplicate key before byte 29",
		`{"s3cret": 1, "s3cret": 1}`:           "duplicate key before byte 22",
		`{"x": {"y": [{"z": 1, "z": 1}]}}`:     "duplicate key before byte 25",
		`{"id": 1, "ID": 1}`:                   "id: the field name is spelled id",
		`{"Id": 1}`:                            "id: the field name is spelled id",
		`{"taſk": 1}`:                          "task: the field name is spelled task",
		"{\"id\": \"\xff\"}":                   "the text must be UTF-8",
		"{\"x\": \"\xff\"}":                    "the text must be UTF-8",
		`{"x": "\udc00"}`:                      "the escape at byte 7 is an unpaired surrogate",
		`{"x": ` + deep + `}`:                  "the maximum depth is 32 levels",
		`{"id": ` + deep + `}`:                 "id: the maximum depth is 32 levels",
		`{"x": 1, "x` + "\x00" + `s3cret": 1}`: "malformed JSON at or after byte 9",
	} {
		got, err := strictjson.Fields([]byte(text), "id", "task")
		if err == nil || !strings.HasPrefix(err.Error(), want) || got != nil || strings.Contains(err.Error(), "3cre") {
			t.Errorf("Fields(%.60s): got %s, %v; want the error %q", text, got, err, want)
		}
	}
}
