package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stepgate/stepgate/httpapi"
)

// An object is a part of the document.
type object = map[string]any

const location = "https://stepgate.example/openapi.json"

// A document is the served document, with the parts that occurred in traffic.
type document struct {
	testing.TB
	all      object
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
	seen     map[string]bool // pointers to properties, and statuses and reasons of operations
}

func newDocument(t testing.TB) *document {
	t.Helper()
	all, err := jsonschema.UnmarshalJSON(bytes.NewReader(httpapi.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{
		TB: t, all: all.(object), compiler: jsonschema.NewCompiler(),
		compiled: map[string]*jsonschema.Schema{}, seen: map[string]bool{},
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(location, all); err != nil {
		t.Fatal(err)
	}
	return d
}

// at returns the value at a pointer ("/components/schemas/Job"), and its pointer after references
// were followed.
func (d *document) at(pointer string) (object, string) {
	d.Helper()
	v := d.all
	for name := range strings.SplitSeq(pointer[1:], "/") {
		next, ok := v[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)].(object)
		if !ok {
			d.Fatalf("the document has nothing at %s", pointer)
		}
		v = next
	}
	if ref, ok := v["$ref"].(string); ok {
		return d.at(ref[1:])
	}
	return v, pointer
}

// schema returns the schema at a pointer.
func (d *document) schema(pointer string) *jsonschema.Schema {
	d.Helper()
	if d.compiled[pointer] == nil {
		s, err := d.compiler.Compile(location + "#" + pointer)
		if err != nil {
			d.Fatal(err)
		}
		d.compiled[pointer] = s
	}
	return d.compiled[pointer]
}

// see marks the properties of a value in the schema at a pointer.
func (d *document) see(pointer string, value any) {
	s, pointer := d.at(pointer)
	if parts, ok := s["allOf"].([]any); ok {
		ref := parts[0].(object)["$ref"].(string)
		d.see(ref[1:], value)
		return
	}
	switch value := value.(type) {
	case object:
		properties, _ := s["properties"].(object)
		for name, v := range value {
			if _, ok := properties[name]; ok {
				at := pointer + "/properties/" + name
				d.seen[at] = true
				d.see(at, v)
			}
		}
	case []any:
		for _, v := range value {
			if _, ok := s["items"]; ok {
				d.see(pointer+"/items", v)
			}
		}
	}
}

// An operation is one of the document.
type operation struct {
	method, path string
	pointer      string
	object
}

func (d *document) operations() (all []operation) {
	paths := d.all["paths"].(object)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[path].(object))) {
			pointer := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method
			op, _ := d.at(pointer)
			all = append(all, operation{strings.ToUpper(method), path, pointer, op})
		}
	}
	return all
}

// find returns the operation of a request, if the document has it.
func (d *document) find(method, path string) (operation, bool) {
	parts := strings.Split(path, "/")
	for _, op := range d.operations() {
		template := strings.Split(op.path, "/")
		if op.method == method && slices.EqualFunc(template, parts, func(t, p string) bool { return t == p || strings.HasPrefix(t, "{") }) {
			return op, true
		}
	}
	return operation{}, false
}

// example returns the first body that an operation shows, "" for none.
func (d *document) example(op operation) string {
	if op.object["requestBody"] == nil {
		return ""
	}
	content, _ := d.at(op.pointer + "/requestBody/content/application~1json")
	v := content["example"]
	if all, ok := content["examples"].(object); ok {
		v = all[slices.Sorted(maps.Keys(all))[0]].(object)["value"]
	}
	text, err := json.Marshal(v)
	if err != nil {
		d.Fatal(err)
	}
	return string(text)
}

// check compares an answer with the document, and marks the parts that occur in it.
func (d *document) check(req *http.Request, sent string, resp *http.Response, body []byte) {
	d.Helper()
	call := req.Method + " " + req.URL.RequestURI() + " " + sent
	op, ok := d.find(req.Method, req.URL.Path)
	if !ok || resp.StatusCode == http.StatusMethodNotAllowed {
		d.checkProblem(call, "/components/schemas/Problem", resp, body)
		return
	}
	status := strconv.Itoa(resp.StatusCode)
	answers := op.object["responses"].(object)
	if answers[status] == nil {
		d.Errorf("%.200s: status %s is not described: %s", call, status, body)
		return
	}
	answer, at := d.at(op.pointer + "/responses/" + status)
	d.seen[op.pointer+" "+status] = true
	headers, _ := answer["headers"].(object)
	for _, name := range []string{"ETag", "Location", "Retry-After"} {
		var header object
		var schema string
		if headers[name] != nil {
			header, schema = d.at(at + "/headers/" + name)
		}
		switch given := resp.Header.Get(name); {
		case given == "" && header["required"] == true && !strings.Contains(sent, "dry_run"), given != "" && header == nil:
			d.Errorf("%.200s: header %s is %q, described: %v", call, name, given, header)
		case given != "":
			if err := d.schema(schema + "/schema").Validate(given); err != nil {
				d.Errorf("%.200s: header %s: %v", call, name, err)
			}
		}
	}
	content, ok := answer["content"].(object)
	if !ok {
		if len(body) > 0 {
			d.Errorf("%.200s: %s has a body: %s", call, status, body)
		}
		return
	}
	kind := resp.Header.Get("Content-Type")
	if content[kind] == nil {
		d.Errorf("%.200s: Content-Type %s is not described", call, kind)
		return
	}
	schema := at + "/content/" + strings.ReplaceAll(kind, "/", "~1") + "/schema"
	switch kind {
	case "application/problem+json":
		d.checkProblem(call, schema, resp, body)
	case "application/json":
		d.checkBody(call, schema, body)
	}
}

func (d *document) checkBody(call, schema string, body []byte) {
	d.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		d.Errorf("%.200s: %v in %s", call, err, body)
		return
	}
	if err := d.schema(schema).Validate(v); err != nil {
		d.Errorf("%.200s: %#v in %s", call, err, body)
	}
	d.see(schema, v)
}

func (d *document) checkProblem(call, schema string, resp *http.Response, body []byte) {
	d.Helper()
	d.checkBody(call, schema, body)
	var p struct {
		Status int
		Type   string
		Reason string
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Status != resp.StatusCode || p.Type != "urn:stepgate:problem:"+p.Reason {
		d.Errorf("%.200s: status %d, %s, %v", call, resp.StatusCode, body, err)
	}
	d.seen["reason "+p.Reason] = true
	d.seen[schema+" "+p.Reason] = true
}

// checkRequest compares an accepted request with the document, and marks the parts that occur in it.
func (d *document) checkRequest(req *http.Request, sent string) {
	d.Helper()
	op, ok := d.find(req.Method, req.URL.Path)
	if !ok {
		return
	}
	if sent != "" {
		d.checkBody("the request "+sent, op.pointer+"/requestBody/content/application~1json/schema", []byte(sent))
	}
	parameters, _ := op.object["parameters"].([]any)
	for i := range parameters {
		p := parameters[i].(object)
		if ref, ok := p["$ref"].(string); ok {
			p, _ = d.at(ref[1:])
		}
		name, in := p["name"].(string), p["in"].(string)
		var given []string
		switch in {
		case "query":
			given = req.URL.Query()[name]
		case "header":
			given = req.Header.Values(name)
		case "path":
			template, parts := strings.Split(op.path, "/"), strings.Split(req.URL.Path, "/")
			given = parts[slices.Index(template, "{"+name+"}"):][:1]
		}
		if len(given) == 0 {
			continue
		}
		d.seen[op.pointer+" "+in+" "+name] = true
		schema := d.inline(p["schema"].(object))
		if err := schema.Validate(d.read(p["schema"].(object), given[0])); err != nil {
			d.Errorf("%s %s: parameter %s: %v", req.Method, req.URL, name, err)
		}
	}
}

// inline compiles the schema of a parameter.
func (d *document) inline(s object) *jsonschema.Schema {
	d.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		d.Fatal(err)
	}
	key := string(text)
	if d.compiled[key] == nil {
		whole, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.ReplaceAll(key, `"#/`, `"`+location+`#/`)))
		if err != nil {
			d.Fatal(err)
		}
		at := fmt.Sprintf("https://stepgate.example/inline/%d", len(d.compiled))
		if err := d.compiler.AddResource(at, whole); err != nil {
			d.Fatal(err)
		}
		if d.compiled[key], err = d.compiler.Compile(at); err != nil {
			d.Fatal(err)
		}
	}
	return d.compiled[key]
}

// read parses the text of a parameter by its schema.
func (d *document) read(s object, text string) any {
	if ref, ok := s["$ref"].(string); ok {
		s, _ = d.at(ref[1:])
	}
	number := func(text string) any {
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			return json.Number(text)
		}
		return text
	}
	switch s["type"] {
	case "integer":
		return number(text)
	case "boolean":
		return map[string]any{"true": true, "false": false}[text]
	case "array":
		var all []any
		for one := range strings.SplitSeq(text, ",") {
			all = append(all, number(one))
		}
		return all
	}
	return text
}

// The document is one of OpenAPI 3.1, by the schema that the OpenAPI Initiative publishes
// (https://spec.openapis.org/oas/3.1/schema/2022-10-07), and its schemas are schemas.
func TestDocumentIsOpenAPI(t *testing.T) {
	d := newDocument(t)
	published, err := jsonschema.NewCompiler().Compile("testdata/oas-3.1-schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := published.Validate(d.all); err != nil {
		t.Errorf("%#v", err)
	}
	for name := range d.all["components"].(object)["schemas"].(object) {
		d.schema("/components/schemas/" + name)
	}
	d.all["info"].(object)["titel"] = "Stepgate"
	if err := published.Validate(d.all); err == nil {
		t.Error("a field that OpenAPI does not have is not found")
	}
}

// Every example fits its schema.
func TestExamplesFit(t *testing.T) {
	d := newDocument(t)
	n := 0
	var walk func(pointer string, v any)
	walk = func(pointer string, v any) {
		switch v := v.(type) {
		case object:
			var examples []any
			if e, ok := v["example"]; ok {
				examples = append(examples, e)
			}
			all, _ := v["examples"].(object)
			for _, name := range slices.Sorted(maps.Keys(all)) {
				examples = append(examples, all[name].(object)["value"])
			}
			for _, e := range examples {
				n++
				if err := d.inline(v["schema"].(object)).Validate(e); err != nil {
					t.Errorf("%s: the example %v: %v", pointer, e, err)
				}
			}
			for name, part := range v {
				if name != "example" && name != "examples" {
					walk(pointer+"/"+strings.ReplaceAll(name, "/", "~1"), part)
				}
			}
		case []any:
			for i, part := range v {
				walk(pointer+"/"+strconv.Itoa(i), part)
			}
		}
	}
	walk("", d.all)
	if n < 30 {
		t.Errorf("%d examples", n)
	}
}
