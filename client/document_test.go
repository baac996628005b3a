package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/client"
	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// An object is a part of the document.
type object = map[string]any

// A document is the OpenAPI document, as a transport: it compares each request with its operation, and
// answers with the operation's example.
type document struct {
	t    *testing.T
	all  object
	sent map[string]bool // operations, and their parameters and fields: "claim", "claim query limit", "claim body lease_ms"
}

func readDocument(t *testing.T) *document {
	d := &document{t: t, sent: map[string]bool{}}
	if err := json.Unmarshal(httpapi.OpenAPI(), &d.all); err != nil {
		t.Fatal(err)
	}
	return d
}

// follow returns the value that v refers to.
func (d *document) follow(v any) object {
	o, _ := v.(object)
	for o["$ref"] != nil {
		at := d.all
		for name := range strings.SplitSeq(strings.TrimPrefix(o["$ref"].(string), "#/"), "/") {
			at, _ = at[name].(object)
		}
		o = at
	}
	return o
}

// operations calls f with each operation.
func (d *document) operations(f func(id, method, path string, op object)) {
	for path, operations := range d.all["paths"].(object) {
		for method, op := range operations.(object) {
			op := op.(object)
			f(op["operationId"].(string), strings.ToUpper(method), path, op)
		}
	}
}

// parameters returns the parameters of an operation in one place, with their schemas.
func (d *document) parameters(op object, in string) map[string]any {
	all := map[string]any{}
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		if p := d.follow(p); p["in"] == in {
			all[p["name"].(string)] = p["schema"]
		}
	}
	return all
}

// body returns the properties of an operation's body.
func (d *document) body(op object) object {
	content, _ := d.follow(op["requestBody"])["content"].(object)
	kind, _ := content["application/json"].(object)
	return d.follow(kind["schema"])
}

// RoundTrip compares a request with the document.
func (d *document) RoundTrip(r *http.Request) (*http.Response, error) {
	var answer *http.Response
	d.operations(func(id, method, path string, op object) {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`{\w+}`).ReplaceAllString(path, `\d+`) + "$")
		literal := strings.ReplaceAll(r.URL.Path, "/", " ")
		if r.Method != method || !pattern.MatchString(r.URL.Path) || answer != nil && strings.Contains(literal, "{") {
			return
		}
		d.sent[id] = true
		parameters := d.parameters(op, "query")
		for name, values := range r.URL.Query() {
			d.sent[id+" query "+name] = true
			if parameters[name] == nil {
				d.t.Errorf("%s: parameter %s is not described", id, name)
			}
			for _, v := range strings.Split(strings.Join(values, ","), ",") {
				d.fits(id+" query "+name, d.single(parameters[name]), v)
			}
		}
		d.holdBody(id, op, r)
		answer = d.example(op)
	})
	if answer == nil {
		return nil, fmt.Errorf("%s %s is not described", r.Method, r.URL.Path)
	}
	return answer, nil
}

func (d *document) holdBody(id string, op object, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil || len(text) == 0 {
		return
	}
	var body any
	if err := json.Unmarshal(text, &body); err != nil || r.Header.Get("Content-Type") != "application/json" {
		d.t.Errorf("%s: the body is no JSON: %v", id, err)
	}
	if limit, _ := op["x-body-limit"].(float64); len(text) > int(limit) {
		d.t.Errorf("%s: a body of %d bytes, the maximum is %v", id, len(text), limit)
	}
	d.fits(id+" body", d.body(op), body)
}

// single returns the schema of one value of a parameter.
func (d *document) single(schema any) object {
	s := d.follow(schema)
	if s["type"] == "array" {
		return d.follow(s["items"])
	}
	return s
}

// fits compares a value with a schema, and notes its properties.
func (d *document) fits(at string, schema object, value any) {
	schema = d.follow(schema)
	switch value := value.(type) {
	case object:
		properties, _ := schema["properties"].(object)
		for name, v := range value {
			d.sent[at+" "+name] = true
			if properties[name] == nil {
				d.t.Errorf("%s: the field %s is not described", at, name)
				continue
			}
			d.fits(at+" "+name, d.follow(properties[name]), v)
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := value[name.(string)]; !ok {
				d.t.Errorf("%s: the field %s is missing", at, name)
			}
		}
	case []any:
		for _, v := range value {
			d.fits(at, d.follow(schema["items"]), v)
		}
	case string:
		if words := d.words(schema); len(words) > 0 && !slices.Contains(words, value) {
			d.t.Errorf("%s: %q, want one of %v", at, value, words)
		}
	}
}

// words returns the names that a schema admits.
func (d *document) words(schema object) (all []string) {
	values, _ := schema["enum"].([]any)
	for _, v := range values {
		if word, ok := v.(string); ok {
			all = append(all, word)
		}
	}
	alternatives, _ := schema["anyOf"].([]any)
	for _, a := range alternatives {
		all = append(all, d.words(d.follow(a))...)
	}
	return all
}

// example returns an operation's answer to an accepted request.
func (d *document) example(op object) *http.Response {
	w := &http.Response{Header: http.Header{}, Body: http.NoBody, StatusCode: http.StatusNoContent}
	for _, status := range []int{200, 201} {
		answer := d.follow(op["responses"].(object)[fmt.Sprint(status)])
		content, _ := answer["content"].(object)
		for kind, described := range content {
			w.StatusCode = status
			w.Header.Set("Content-Type", kind)
			text, _ := described.(object)["example"].(string) // of a stream
			if kind == "application/json" {
				body := described.(object)["example"]
				if body, ok := body.(object); ok {
					delete(body, "next") // one page is enough
				}
				data, _ := json.Marshal(body)
				text = string(data)
			}
			w.Body = io.NopCloser(strings.NewReader(text))
		}
	}
	return w
}

// one and request set everything that a caller can set.
var (
	one     = engine.Claimed{Job: 1, Seq: 2, Count: 3, Token: store.Token{4}}
	request = engine.Request{Because: "as planned", ID: store.RequestID{5}, IfVersion: 6, IfAttempt: 7, DryRun: true}
	spec    = engine.JobSpec{Name: "release", Scope: store.Scope{Type: "biz", ID: "2"}, Steps: []step.Spec{
		{Type: step.Script, Name: "install", Targets: []string{"a"}, IgnoreErrors: true, Timeout: time.Second, Payload: "p"},
		{Type: step.Confirmation, Name: "go?", Confirmers: []string{"ann"}, Timeout: time.Second, OnTimeout: step.ConfirmOnTimeout},
	}}
	everySpec = engine.JobSpec{Name: "release", Scope: store.Scope{Type: "biz", ID: "2"}, StartAt: 1, Timeout: time.Hour, Turn: store.Turn{Key: "k", Limit: 1}, Steps: append([]step.Spec{{
		Type: step.Script, Name: "roll", Targets: []string{"a"}, TotalTimeout: time.Minute, StopBefore: true, Delay: time.Second, Window: "night",
		Retry:    step.Retry{Attempts: 1, After: time.Second, Most: time.Minute, Except: []step.Status{step.NonZeroExit}},
		Rolling:  step.Rolling{Batches: "1 10%", Between: step.Between{Delay: time.Second, Person: true}},
		Tolerate: step.Tolerance{Count: 1, Percent: 1},
	}}, spec.Steps...)}
	report = engine.Report{Job: 1, Step: 2, Attempt: 3, By: "x", Outcome: step.Broke, Reason: "r", Results: []engine.TargetResult{{
		Target: 4, Result: store.Result{Status: step.NonZeroExit, ExitCode: 5, Started: 6, Finished: 7, Detail: "d"},
	}}}
	everyTarget = engine.TargetQuery{Class: store.FailedTargets, Attempt: 1, IfAttempt: 2, From: 3, Limit: 4}
)

// A method is a method of the Client, in a call that sets everything.
type method struct {
	name string
	call func(context.Context, *client.Client) error
}

// methods are the methods of the Client by the operation that they call. A new operation needs a
// line here, and a method.
var methods = map[string][]method{
	"openapi": {{"OpenAPI", func(ctx context.Context, c *client.Client) error { return second(c.OpenAPI(ctx)) }}},
	"rules":   {{"Rules", func(ctx context.Context, c *client.Client) error { return second(c.Rules(ctx)) }}},
	"listJobs": {{"Jobs", func(ctx context.Context, c *client.Client) error {
		return second(c.Jobs(ctx, engine.JobQuery{States: step.StatesOf(step.Failed, step.Waiting), Name: "n", Newest: true, After: 1, Limit: 1}))
	}}},
	"createJob": {{"Create", func(ctx context.Context, c *client.Client) error {
		return second(c.Create(ctx, everySpec, engine.Request{Because: "r", ID: store.RequestID{1}}))
	}}},
	"countJobs": {{"Counts", func(ctx context.Context, c *client.Client) error { return second(c.Counts(ctx, 10)) }}},
	"getJob":    {{"Job", func(ctx context.Context, c *client.Client) error { return second(c.Job(ctx, 1)) }}},
	"startJob": {{"OperateJob", func(ctx context.Context, c *client.Client) error {
		return second(c.OperateJob(ctx, 1, operation.StartJob, request))
	}}},
	"terminateJob": {{"OperateJob", func(ctx context.Context, c *client.Client) error {
		return second(c.OperateJob(ctx, 1, operation.TerminateJob, request))
	}}},
	"holdJob": {{"OperateJob", func(ctx context.Context, c *client.Client) error {
		return second(c.OperateJob(ctx, 1, operation.HoldJob, request))
	}}},
	"resumeJob": {{"OperateJob", func(ctx context.Context, c *client.Client) error {
		return second(c.OperateJob(ctx, 1, operation.ResumeJob, request))
	}}},
	"diagnoseJob": {{"Diagnose", func(ctx context.Context, c *client.Client) error { return second(c.Diagnose(ctx, 1)) }}},
	"redoJob": {{"Redo", func(ctx context.Context, c *client.Client) error {
		return second(c.Redo(ctx, 1, engine.Redo{From: 2, Failed: true}, engine.Request{Because: "r", ID: store.RequestID{1}}))
	}}},
	"sealJob": {{"OperateJob", func(ctx context.Context, c *client.Client) error {
		return second(c.OperateJob(ctx, 1, operation.SealJob, request))
	}}},
	"commentJob": {{"OperateJob", func(ctx context.Context, c *client.Client) error {
		return second(c.OperateJob(ctx, 1, operation.CommentJob, request))
	}}},
	"listBatches": {{"Batches", func(ctx context.Context, c *client.Client) error { return second(c.Batches(ctx, 1, 2)) }}},
	"planBatches": {{"PlanBatches", func(ctx context.Context, c *client.Client) error { return second(c.PlanBatches(ctx, "1 10%", 100)) }}},
	"listSteps":   {{"Steps", func(ctx context.Context, c *client.Client) error { return second(c.Steps(ctx, 1, 1, 1)) }}},
	"getStep":     {{"Step", func(ctx context.Context, c *client.Client) error { return second(c.Step(ctx, 1, 2)) }}},
	"explain":     {{"Explain", func(ctx context.Context, c *client.Client) error { return second(c.Explain(ctx, 1, 2)) }}},
	"operate": {{"Operate", func(ctx context.Context, c *client.Client) error {
		return second(c.Operate(ctx, 1, 2, operation.RetryFailed, request))
	}}},
	"listTargets": {
		{"Targets", func(ctx context.Context, c *client.Client) error { return second(c.Targets(ctx, 1, 2, everyTarget)) }},
		{"TargetsByStatus", func(ctx context.Context, c *client.Client) error {
			_, _, err := c.TargetsByStatus(ctx, 1, 2, everyTarget, step.NonZeroExit, step.TargetSucceeded)
			return err
		}},
	},
	"report":  {{"Report", func(ctx context.Context, c *client.Client) error { return second(c.Report(ctx, report)) }}},
	"history": {{"History", func(ctx context.Context, c *client.Client) error { return second(c.History(ctx, 1, 1, 1)) }}},
	"events": {
		{"Watch", func(ctx context.Context, c *client.Client) error { return first(c.Watch(ctx, 1, 1)) }},
		{"WatchMoves", func(ctx context.Context, c *client.Client) error { return first(c.WatchMoves(ctx, 1, 1)) }},
	},
	"listEffects": {{"Effects", func(ctx context.Context, c *client.Client) error { return second(c.Effects(ctx, 1, 1, 1)) }}},
	"claim": {{"Claim", func(ctx context.Context, c *client.Client) error {
		return second(c.Claim(ctx, engine.ClaimQuery{
			Effects: []store.Effect{store.RunTargets, store.StopAttempt, store.AskConfirmers, store.JobEnded},
			Types:   step.TypesOf(step.Script, step.SQL), Lease: time.Minute, Limit: 10, Wait: time.Second,
		}))
	}}},
	"giveUpEffect": {{"GiveUp", func(ctx context.Context, c *client.Client) error { return second(c.GiveUp(ctx, 1, 2, request)) }}},
	"hurryEffect":  {{"Hurry", func(ctx context.Context, c *client.Client) error { return second(c.Hurry(ctx, 1, 2, request)) }}},
	"release":      {{"Release", func(ctx context.Context, c *client.Client) error { return c.Release(ctx, one) }}},
	"settle":       {{"Settle", func(ctx context.Context, c *client.Client) error { return c.Settle(ctx, one) }}},
	"renew":        {{"Renew", func(ctx context.Context, c *client.Client) error { return c.Renew(ctx, one, time.Minute) }}},
	"fail":         {{"Fail", func(ctx context.Context, c *client.Client) error { return c.Fail(ctx, one, errors.New("e")) }}},
}

// unsent are parameters that the Client has no use for, with the reason.
var unsent = map[string]string{
	"If-Match":      "if_version says the same",
	"Last-Event-ID": "after says the same",
}

func second[T any](_ T, err error) error { return err }

func first(all func(func(store.Record, error) bool)) (err error) {
	for _, err = range all {
		break
	}
	return err
}

// Each operation of the document is called by a method of the Client, with everything that the
// document lists for it and nothing else, and every method calls one.
func TestClientCallsWhatTheDocumentDescribes(t *testing.T) {
	d := readDocument(t)
	c, err := client.New("http://server", client.WithHTTPClient(&http.Client{Transport: d}), client.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(methods)
	d.operations(func(id, _, path string, op object) {
		calls, ok := methods[id]
		if !ok {
			t.Errorf("the document describes %s (%s): add a method of the Client that calls it, and a line here", id, path)
		}
		delete(left, id)
		d.sent = map[string]bool{}
		for _, m := range calls {
			if err := m.call(t.Context(), c); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
		listed := []string{id}
		for name := range d.parameters(op, "query") {
			listed = append(listed, id+" query "+name)
		}
		for name := range d.parameters(op, "header") {
			if unsent[name] == "" {
				t.Errorf("%s: no method sends the header %s", id, name)
			}
		}
		properties, _ := d.body(op)["properties"].(object)
		for name := range properties {
			listed = append(listed, id+" body "+name)
		}
		for _, what := range listed {
			if !d.sent[what] {
				t.Errorf("no method sends: %s", what)
			}
		}
		for what := range d.sent {
			if name, _, _ := strings.Cut(what, " "); name != id {
				t.Errorf("the methods for %s send %s", id, what)
			}
		}
	})
	for id := range left {
		t.Errorf("the document describes no %s", id)
	}
	var called []string
	for _, all := range methods {
		for _, m := range all {
			called = append(called, m.name)
		}
	}
	for m := range reflect.TypeFor[*client.Client]().Methods() {
		if !slices.Contains(called, m.Name) {
			t.Errorf("%s calls no operation of the document", m.Name)
		}
	}
}

// A request that the document does not describe fails the test.
func TestTheDocumentFindsOutWhatItDoesNotDescribe(t *testing.T) {
	for name, r := range map[string]struct{ method, target, body string }{
		"path":          {"GET", "/v1/nothing", ""},
		"method":        {"POST", "/v1/rules", ""},
		"parameter":     {"GET", "/v1/jobs?page=1", ""},
		"word":          {"GET", "/v1/jobs?state=lost", ""},
		"field":         {"POST", "/v1/effects/claim", `{"most":1}`},
		"nested field":  {"POST", "/v1/jobs", `{"name":"n","steps":[{"type":"script","name":"s","host":"a"}]}`},
		"missing field": {"POST", "/v1/jobs/1/effects/2/settle", `{"count":1}`},
		"nested word":   {"POST", "/v1/effects/claim", `{"effects":["walk"]}`},
	} {
		inner := &testing.T{}
		d := readDocument(t)
		d.t = inner
		req, err := http.NewRequestWithContext(t.Context(), r.method, "http://server"+r.target, bytes.NewReader([]byte(r.body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if _, err := d.RoundTrip(req); err == nil && !inner.Failed() {
			t.Errorf("an unknown %s passes: %s %s %s", name, r.method, r.target, r.body)
		}
	}
}
