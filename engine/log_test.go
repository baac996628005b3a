package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Every value of a record, a receipt or a refusal can be logged and marshalled, zero values and values
// of later versions included.
func TestEverythingIsLogged(t *testing.T) {
	logged := []any{
		store.Record{}, store.Delivery{}, store.Job{}, store.Step{}, store.Target{}, store.Record{}, engine.ReportReceipt{},
		engine.Rejection{}, &engine.Refusal{}, engine.Explanation{}, engine.Delivery{}, engine.Access{}, step.Spec{}, operation.Table{},
		store.Record{Cause: 99, From: 99, To: 8, Effect: 99},
		&engine.Refusal{Reason: 99, Type: 99, State: 99, Legal: step.CausesOf(1, 250)},
		store.Target{Result: store.Result{Status: 999}},
		step.State(0), step.Type(0), step.Cause(0), step.Do(0), step.Status(0), step.Decision(0), operation.Code(0), operation.JobCode(0),
		operation.Guard(0), operation.Reason(0), store.Effect(0),
		step.State(99), step.Type(99), step.Cause(99), step.Cause(250), step.Do(99), step.Status(999), step.Decision(99), operation.Code(99), operation.JobCode(99),
		operation.Guard(99), operation.Reason(99), store.Effect(99),
	}
	for _, v := range logged {
		if data, err := json.Marshal(v); err != nil {
			t.Errorf("json.Marshal(%T %v) = %s, %v", v, v, data, err)
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", v)
		if text := out.String(); strings.Contains(text, "!ERROR") || strings.Contains(text, "PANIC") {
			t.Errorf("%T %v is logged as %s", v, v, text)
		}
	}
	// A zero value that has no name reads back.
	for _, v := range []any{
		new(step.State), new(step.Type), new(step.Cause), new(step.Do), new(step.Decision), new(operation.Guard), new(store.Effect), new(operation.Code), new(operation.JobCode), new(operation.Reason),
	} {
		data, err := json.Marshal(v)
		if err = errors.Join(err, json.Unmarshal(data, v)); string(data) != `""` || err != nil {
			t.Errorf("the zero %T marshals to %s and reads back with %v, want empty text", v, data, err)
		}
	}
}
