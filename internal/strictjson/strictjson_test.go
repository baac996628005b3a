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

// What encoding/json would ignore, guess or replace is refused, with what is wrong.
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
		`{"name": "a"} {}`:                          "more after the end",
		`{"name": "a", "name": "b"}`:                `"name" stands twice`,
		`{"rows": [{"kind":1,"kind":2}]}`:           `"kind" stands twice`,
		`{"Name": "a"}`:                             `unknown field "Name"`,
		`{"rowſ": []}`:                              `unknown field "row\u017f"`,
		`{"other": 1}`:                              `unknown field "other"`,
		"{\"name\": \"\xff\"}":                      "not UTF-8",
		`{"name": "\ud83d"}`:                        "byte 10 is half a character",
		`{"name": "\ude00\ud83d"}`:                  "byte 10 is half a character",
		`{"name": "\\\ud83d \ude00"}`:               "byte 12 is half a character",
		`{"rows": ` + deep + `}`:                    "more than 32 deep",
		`{"name": 1}`:                               "name: a string is asked for",
		`{"name": {"a": 1}}`:                        "name: a string is asked for",
		`{"rows": [{}, {"kind": "a"}]}`:             "rows[1].kind: a whole number of 64 bits is asked for",
		`{"rows": [{}, {"kind":1e400}]}`:            "rows[1].kind: a whole number of 64 bits is asked for",
		`{"rows": [{"kind":1.5}, {}]}`:              "rows[0].kind: a whole number of 64 bits is asked for",
		`{"rows": [{"kind":12345678901234567890}]}`: "rows[0].kind: a whole number of 64 bits is asked for",
		`{"rows": [{"kind": NaN}]}`:                 "invalid character",
		`{"rows": {}}`:                              "rows: a list is asked for",
		`{"rows": [true]}`:                          "rows[0]: an object is asked for",
		`[]`:                                        "an object is asked for",
		` "name"`:                                   "an object is asked for",
		`{"` + strings.Repeat("x", 99) + `": 1}`:    `unknown field "` + strings.Repeat("x", 40) + `..."`,
		crowd:                                       "more than 20000 objects",
		`{"` + strings.Repeat("x", 99) + `": {"a": 1, "a": 1}}`: strings.Repeat("x", 40) + `...: key "a" stands twice`,
		many: "more than 1000 keys",
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
		`null`:                       "null is no value here",
		`{"name": null}`:             "name: null is no value here",
		`{"rows": [{"kind": null}]}`: "rows[0].kind: null is no value here",
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

// Known fields come back as they stand, and the others may be what they like.
func TestFields(t *testing.T) {
	got, err := strictjson.Fields([]byte(` {"id": 1.50, "Other": {"ID": [1], "id": {"Id": null}}, "name" : "\u0041", "list":[ 1]} `), "id", "name", "list", "absent")
	if want := `map[id:1.50 list:[ 1] name:"\u0041"]`; err != nil || fmt.Sprintf("%s", got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// What is refused is refused at any depth, with the known field that it is in. Nothing but
// the names of known fields is told of the text, which may be secret.
func TestFieldsRefuses(t *testing.T) {
	deep := strings.Repeat("[", strictjson.MaxDepth) + strings.Repeat("]", strictjson.MaxDepth)
	for text, want := range map[string]string{
		``:                                     "unexpected EOF",
		` `:                                    "unexpected EOF",
		`null`:                                 "an object is asked for",
		`"s3cret"`:                             "an object is asked for",
		`[{"id": 1}]`:                          "an object is asked for",
		`s3cret`:                               "this is not well-formed JSON, at or after byte 0",
		`{"id": 1`:                             "id: unexpected EOF",
		`{"id": NaN}`:                          "id: this is not well-formed JSON, at or after byte 7",
		`{"id": 01}`:                           "id: this is not well-formed JSON, at or after byte 8",
		`{"id": 1,}`:                           "id: this is not well-formed JSON, at or after byte 9",
		`{"id": [1}`:                           "id: this is not well-formed JSON, at or after byte 9",
		`{"s3cret": s3cret}`:                   "this is not well-formed JSON, at or after byte 11",
		`{"id": 1} {"s3cret": 1}`:              "there is more after the end of the document",
		`{"id": 1}s3cret`:                      "there is more after the end of the document",
		`{"id": 1, "id": 1}`:                   "id: it stands twice",
		`{"id": 1, "\u0069d": 1}`:              "id: it stands twice",
		`{"id": {"s3cret": 1, "s3cret": 1}}`:   "id: a key stands twice, the second time before byte 29",
		`{"s3cret": 1, "s3cret": 1}`:           "a key stands twice, the second time before byte 22",
		`{"x": {"y": [{"z": 1, "z": 1}]}}`:     "a key stands twice, the second time before byte 25",
		`{"id": 1, "ID": 1}`:                   "id: the field is written id",
		`{"Id": 1}`:                            "id: the field is written id",
		`{"taſk": 1}`:                          "task: the field is written task",
		"{\"id\": \"\xff\"}":                   "the text is not UTF-8",
		"{\"x\": \"\xff\"}":                    "the text is not UTF-8",
		`{"x": "\udc00"}`:                      "the escape at byte 7 is half a character",
		`{"x": ` + deep + `}`:                  "objects and lists lie more than 32 deep in each other",
		`{"id": ` + deep + `}`:                 "id: objects and lists lie more than 32 deep in each other",
		`{"x": 1, "x` + "\x00" + `s3cret": 1}`: "this is not well-formed JSON, at or after byte 9",
	} {
		got, err := strictjson.Fields([]byte(text), "id", "task")
		if err == nil || !strings.HasPrefix(err.Error(), want) || got != nil || strings.Contains(err.Error(), "3cre") {
			t.Errorf("Fields(%.60s): got %s, %v; want the error %q", text, got, err, want)
		}
	}
}
