package openapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
)

// Schema and API refuse the same bodies: every example with an extra field, without a required field,
// or with a field of a wrong kind, at every depth.
func TestMutantsAreRefusedByBoth(t *testing.T) {
	d := newDocument(t)
	api := httpapi.New(engine.New(memstore.New()), httpapi.Config{
		Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Person: "agent", AllScopes: true, Executor: true}, nil
		},
	})
	n := 0
	for _, op := range d.operations() {
		for _, good := range d.examples(op) {
			schema := op.pointer + "/requestBody/content/application~1json/schema"
			_, at := d.at(schema)
			for _, mutant := range d.mutants(at, good) {
				text, err := json.Marshal(mutant)
				if err != nil {
					t.Fatal(err)
				}
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				n++
				if err := d.schema(schema).Validate(v); err == nil {
					t.Errorf("%s: the schema takes %s", op.path, text)
				}
				path := strings.NewReplacer("{job}", "1", "{step}", "1", "{seq}", "1").Replace(op.path)
				r := httptest.NewRequestWithContext(t.Context(), op.method, path, bytes.NewReader(text))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				api.ServeHTTP(w, r)
				var p struct{ Reason string }
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Reason != "invalid_input" {
					t.Errorf("%s: %s: status %d, %s", op.path, text, w.Code, w.Body)
				}
			}
		}
	}
	if n < 400 {
		t.Errorf("%d mutants, and there are more", n)
	}
}

// examples returns every body that an operation shows.
func (d *document) examples(op operation) (all []any) {
	if op.object["requestBody"] == nil {
		return nil
	}
	content, _ := d.at(op.pointer + "/requestBody/content/application~1json")
	if v, ok := content["example"]; ok {
		all = append(all, v)
	}
	named, _ := content["examples"].(object)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		all = append(all, named[name].(object)["value"])
	}
	return all
}

// mutants returns copies of v, which fits the schema at a pointer, with one mistake each.
func (d *document) mutants(pointer string, v any) (all []any) {
	schema, pointer := d.at(pointer)
	switch v := v.(type) {
	case object:
		properties := schema["properties"].(object)
		with := func(name string, value any) {
			clone := maps.Clone(v)
			clone[name] = value
			all = append(all, clone)
		}
		with("nonsense", true)
		with("Name", "n")
		required, _ := schema["required"].([]any)
		for _, name := range required {
			clone := maps.Clone(v)
			delete(clone, name.(string))
			all = append(all, clone)
		}
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			at := pointer + "/properties/" + name
			for _, wrong := range d.wrong(at) {
				with(name, wrong)
			}
			if value, ok := v[name]; ok {
				for _, mutant := range d.mutants(at, value) {
					with(name, mutant)
				}
			}
		}
	case []any:
		for i := range v {
			for _, mutant := range d.mutants(pointer+"/items", v[i]) {
				clone := slices.Clone(v)
				clone[i] = mutant
				all = append(all, clone)
			}
		}
	}
	return all
}

// wrong returns values that the schema at a pointer refuses.
func (d *document) wrong(pointer string) []any {
	schema, _ := d.at(pointer)
	all := []any{nil, object{}, 1.5, json.Number("1e400")}
	switch schema["type"] {
	case "string":
		all = append(all, 7, true, []any{"x"})
		if schema["pattern"] != nil {
			all = append(all, "x")
		}
		if most, ok := schema["maxLength"].(json.Number); ok {
			n, _ := most.Int64()
			all = append(all, strings.Repeat("x", int(n)+1))
		}
		if schema["minLength"] != nil {
			all = append(all, "")
		}
	case "integer":
		all = append(all, "7", true, []any{7}, json.Number("9223372036854775808"))
		for bound, step := range map[string]int64{"minimum": -1, "maximum": 1} {
			if limit, ok := schema[bound].(json.Number); ok {
				n, _ := new(big.Int).SetString(limit.String(), 10)
				all = append(all, json.Number(n.Add(n, big.NewInt(step)).String()))
			}
		}
	case "boolean":
		all = append(all, 0, "true", []any{})
	case "array":
		all = append(all, "x", 7, []any{nil}, []any{[]any{}})
	case "object":
		all = append(all, "x", 7, []any{})
		return all[:1:1] // an empty object without its required fields is another mutant
	default: // an alphabet
		all = append(all, "nonsense", "7", 999, -1, true, []any{})
	}
	return all
}
