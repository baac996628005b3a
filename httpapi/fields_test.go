package httpapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// renamed are the fields whose name on the wire is not that of their tag, and internal those that
// are not on the wire, with the reason.
var (
	renamed = map[string]string{
		"Step.timeout_ns":         "timeout_ms", // durations are milliseconds on the wire
		"JobPolicy.timeout_ns":    "timeout_ms",
		"Policy.delay_ns":         "delay_ms",
		"Policy.total_timeout_ns": "total_timeout_ms",
		"Retry.after_ns":          "after_ms",
		"Retry.most_ns":           "most_ms",
		"Between.delay_ns":        "delay_ms",
	}
	internal = map[string]string{}
)

// Every field of a header, step, batch, target and record is in its wire form and in the OpenAPI document.
func TestEveryFieldIsOnTheWire(t *testing.T) {
	d := readDocument(t)
	for name, row := range map[string]struct{ stored, wire any }{
		"Job":       {store.Job{}, wireJob{}},
		"JobPolicy": {store.JobPolicy{}, wireJobPolicy{}},
		"Step":      {store.Step{}, wholeStep(&store.Step{})},
		"Policy":    {step.Policy{}, wirePolicy{}},
		"Retry":     {step.Retry{}, wireRetry{}},
		"Rolling":   {step.Rolling{}, wireRolling{}},
		"Between":   {step.Between{}, wireBetween{}},
		"Batch":     {store.Batch{}, store.Batch{}},
		"Target":    {store.Target{}, store.Target{}},
		"Record":    {store.Record{}, store.Record{}},
	} {
		properties, _ := d.at("#/components/schemas/" + name)["properties"].(object)
		wire := tags(reflect.Indirect(reflect.ValueOf(row.wire)).Type())
		for tag := range tags(reflect.TypeOf(row.stored)) {
			field := name + "." + tag
			if internal[field] != "" {
				continue
			}
			if to := renamed[field]; to != "" {
				tag = to
			}
			if !wire[tag] {
				t.Errorf("%s has no %q on the wire: add it, or say in internal why not", field, tag)
			}
			if properties[tag] == nil {
				t.Errorf("the document's %s has no %q: describe it, or say in internal why not", name, tag)
			}
		}
		if _, err := json.Marshal(row.wire); err != nil {
			t.Error(err)
		}
	}
}

// tags returns the names of a struct's fields as they are marshalled; a field without a tag is
// one by its own name.
func tags(of reflect.Type) map[string]bool {
	all := map[string]bool{}
	for i := range of.NumField() {
		f := of.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			for inner := range tags(f.Type) {
				all[inner] = true
			}
		case tag == "":
			all[f.Name] = true
		default:
			all[tag] = true
		}
	}
	return all
}
