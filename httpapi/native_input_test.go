package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const anyToken = "0190f5b4-7d3c-4a52-9d0f-3f6f5d6c8e1a"

const anyRequest = `"request_id":"01981f5e-6d30-7c11-9a52-3f6f5d6c8e1a"`

// passing returns a path and a body that a route accepts from agent, of a job that is made
// for it. A new route needs a line here.
func (r *rig) passing(route httpapi.Route) (job store.JobID, path, body string) {
	r.Helper()
	seq := store.Seq(2)
	switch _, name, _ := strings.Cut(route.Path, "/v1/"); name {
	case "jobs":
		if route.Method == "POST" {
			body = `{"name":"n","steps":[{"type":"script","name":"s","targets":["a"],"stop_before":true,"delay_ms":1,"window":"w","total_timeout_ms":1,` +
				`"retry":{"attempts":1,"after_ms":1,"most_ms":1,"except":["failed"]},"rolling":{"batches":"1","between":{"delay_ms":1,"person":true}},` +
				`"tolerate":{"count":1}}],"start_at":1,"timeout_ms":1,"turn":{"key":"k","limit":1},"reason":"r",` + anyRequest + `}`
		}
	case "jobs/{job}/start":
		created, err := r.eng.Create(r.Context(), engine.JobSpec{Name: "job", Scope: scope, Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}}}, engine.Request{})
		if err != nil {
			r.Fatal(err)
		}
		job, body = created.Job, `{"reason":"r",`+anyRequest+`}`
	case "jobs/{job}/terminate", "jobs/{job}/hold", "jobs/{job}/comment":
		job, body = r.asking(), `{"reason":"r",`+anyRequest+`}`
	case "jobs/{job}/resume":
		job, body = r.asking(), `{"reason":"r",`+anyRequest+`}`
		if _, err := r.eng.OperateJob(r.Context(), job, operation.HoldJob, engine.Request{}); err != nil {
			r.Fatal(err)
		}
	case "jobs/{job}/seal":
		job, body = r.running("a"), `{"reason":"r",`+anyRequest+`}`
		r.report(job, 0, step.NonZeroExit)
	case "jobs/{job}/redo":
		job, body = r.running("a"), fmt.Sprintf(`{"from":1,"failed":true,"reason":"r","request_id":"%v"}`, uuid.New())
	case "jobs/{job}/steps/{step}/operate":
		job, body = r.asking(), `{"code":"confirm","reason":"r",`+anyRequest+`}`
	case "jobs/{job}/steps/{step}/report":
		job, body = r.running("a", "b"), `{"attempt":1,"results":[{"target":0,"status":"failed","detail":"d"}],"reason":"r"}`
	case "effects/claim":
		job, body = r.running("a"), `{"effects":["run"],"limit":1}`
	case "jobs/{job}/effects/{seq}/give_up", "jobs/{job}/effects/{seq}/hurry":
		job, body = r.running("a"), `{"reason":"r",`+anyRequest+`}`
	case "jobs/{job}/effects/{seq}/settle", "jobs/{job}/effects/{seq}/release":
		d := r.claimed()
		job, body = d.Job.ID, fmt.Sprintf(`{"count":1,"token":"%v"}`, d.Token)
	case "jobs/{job}/effects/{seq}/renew":
		d := r.claimed()
		job, body = d.Job.ID, fmt.Sprintf(`{"count":1,"token":"%v","lease_ms":60000}`, d.Token)
	case "jobs/{job}/effects/{seq}/fail":
		d := r.claimed()
		job, body = d.Job.ID, fmt.Sprintf(`{"count":1,"token":"%v","error":"e"}`, d.Token)
	default:
		if route.Method == "POST" {
			r.Fatalf("what does %s accept?", route.Path)
		}
		job = r.asking()
	}
	return job, strings.NewReplacer("{job}", fmt.Sprint(job), "{step}", "1", "{seq}", fmt.Sprint(seq)).Replace(route.Path), body
}

// claimed returns a running job whose effect was claimed once.
func (r *rig) claimed() engine.Delivery {
	r.Helper()
	job := r.running("a")
	for {
		claimed, err := r.eng.Claim(r.Context(), engine.ClaimQuery{})
		if err != nil || len(claimed) == 0 {
			r.Fatalf("claimed %v, %v", claimed, err)
		}
		if i := slices.IndexFunc(claimed, func(d engine.Delivery) bool { return d.Job.ID == job }); i >= 0 {
			return claimed[i]
		}
	}
}

// whole returns everything that the store holds.
func (r *rig) whole() string {
	r.Helper()
	var all []any
	jobs, err := r.eng.Jobs(r.Context(), engine.JobQuery{Limit: 10_000})
	for _, job := range jobs {
		history, err2 := r.eng.History(r.Context(), job.ID, 0, 10_000)
		effects, err3 := r.eng.Effects(r.Context(), job.ID, 0, 10_000)
		if err2 != nil || err3 != nil {
			r.Fatal(err2, err3)
		}
		all = append(all, job, history, effects)
	}
	text, err2 := json.Marshal(all)
	if err != nil || err2 != nil {
		r.Fatal(err, err2)
	}
	return string(text)
}

// A bad body is a good one with a mistake.
type bad struct {
	name string
	make func(good string, limit int64) string
}

// more adds a field to an object.
func more(field string) func(string, int64) string {
	return func(good string, _ int64) string { return strings.TrimSuffix(good, "}") + "," + field + "}" }
}

// first returns the first field of an object, and its name.
func first(good string) (name, field string) {
	var v map[string]json.RawMessage
	if err := json.Unmarshal([]byte(good), &v); err != nil {
		panic(err)
	}
	name, _, _ = strings.Cut(good[2:], `"`)
	return name, fmt.Sprintf("%q:%s", name, v[name])
}

var badBodies = []bad{
	{"no object", func(string, int64) string { return `[]` }},
	{"null", func(string, int64) string { return `null` }},
	{"cut", func(good string, _ int64) string { return good[:len(good)-1] }},
	{"a key twice", func(good string, n int64) string {
		_, field := first(good)
		return more(field)(good, n)
	}},
	{"a key twice, escaped", func(good string, n int64) string {
		name, field := first(good)
		return more(strings.Replace(field, name, fmt.Sprintf(`\u%04x`, name[0])+name[1:], 1))(good, n)
	}},
	{"an unknown field", more(`"s3cret":1`)},
	{"an unknown field of a long name", more(`"` + strings.Repeat("x", 100) + `s3cret":1`)},
	{"another case", func(good string, _ int64) string {
		name, _ := first(good)
		return strings.Replace(good, name, strings.ToUpper(name), 1)
	}},
	{"a look-alike", func(good string, n int64) string { return more(`"reaſon":"s3cret"`)(good, n) }},
	{"a second document", func(good string, _ int64) string { return good + good }},
	{"text after it", func(good string, _ int64) string { return good + "s3cret" }},
	{"must be UTF-8", func(good string, _ int64) string { return strings.Replace(good, `"`, "\"\xff", 1) }},
	{"half a character", func(good string, n int64) string { return more(`"reason":"\ud83d"`)(good, n) }},
	{"NaN", more(`"if_version":NaN`)},
	{"infinity", more(`"if_version":-Infinity`)},
	{"a leading zero", more(`"if_version":01`)},
	{"a comment", func(good string, _ int64) string { return "/* s3cret */" + good }},
	{"a comma too many", func(good string, _ int64) string { return strings.TrimSuffix(good, "}") + ",}" }},
	{"too deep", more(`"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32))},
	{"far too deep", more(`"x":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000))},
	{"too many keys", func(good string, n int64) string {
		for i := range 1_000 {
			good = more(fmt.Sprintf(`"x%d":1`, i))(good, n)
		}
		return good
	}},
	{"too many objects", more(`"x":[` + strings.Repeat("{},", 20_000) + `{}]`)},
	{"too long", func(good string, limit int64) string { return good + strings.Repeat(" ", int(limit)) }},
}

// A body with any mistake gets a 400 that repeats nothing of the body, and changes nothing. The same
// body without the mistake is accepted.
func TestBadBodies(t *testing.T) {
	for _, route := range httpapi.Routes() {
		if route.Body == 0 {
			continue
		}
		t.Run(route.Path, func(t *testing.T) {
			r := newRig(t)
			_, path, good := r.passing(route)
			bodies := slices.Concat(badBodies, misfits(t, route, good))
			before := r.whole()
			for _, b := range bodies {
				text := b.make(good, route.Body)
				w := r.ask("agent", "POST", path, text)
				var p struct{ Reason, Field, Detail string }
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
					t.Fatalf("%s: %v in %s", b.name, err, w.Body)
				}
				if w.Code != 400 || p.Reason != "invalid_input" || p.Field == "" || p.Detail == "" {
					t.Errorf("%s: %.300s: status %d, %s", b.name, text, w.Code, w.Body)
				}
				shown := strings.Replace(w.Body.String(), `unknown field \"s3cret\"`, "", 1)
				for _, secret := range []string{"s3cret", "Go ", "json:", "httpapi", "struct"} {
					if strings.Contains(shown, secret) {
						t.Errorf("%s: the answer shows %q: %s", b.name, secret, w.Body)
					}
				}
			}
			for _, header := range [][]string{{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}, {"Content-Type", ""}} {
				if w := r.askAs(path, good, header[0], header[1]); w.Code != 415 {
					t.Errorf("%s: status %d, want 415: %s", header, w.Code, w.Body)
				}
			}
			if after := r.whole(); after != before {
				t.Errorf("something was done: %s\nbefore: %s", after, before)
			}
			if w := r.ask("agent", "POST", path, good); w.Code >= 300 {
				t.Errorf("%s: status %d, want it accepted: %s", good, w.Code, w.Body)
			}
			if after := r.whole(); after == before {
				t.Error("nothing was done by the good one")
			}
		})
	}
}

// askAs posts with one header set so.
func (r *rig) askAs(path, body, header, value string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(r.Context(), "POST", path, strings.NewReader(body))
	req.Header.Set("X-Person", "agent")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(header, value)
	w := httptest.NewRecorder()
	r.api.ServeHTTP(w, req)
	return w
}

// misfits returns bodies with a value of the wrong kind in each field that the document has
// for a route, null included.
func misfits(t *testing.T, route httpapi.Route, good string) (all []bad) {
	t.Helper()
	var document struct {
		Paths map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct{ Schema map[string]string }
				}
			}
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]map[string]any }
		}
	}
	if err := json.Unmarshal(httpapi.OpenAPI(), &document); err != nil {
		t.Fatal(err)
	}
	ref := document.Paths[route.Path].Post.RequestBody.Content["application/json"].Schema["$ref"]
	properties := document.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")].Properties
	if len(properties) == 0 {
		t.Fatalf("the document does not say what the body of %s is", route.Path)
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		values := []string{"null", `{"s3cret":1}`, "9223372036854775808", "-9223372036854775809", "1e400", "1.5", "-1"}
		if properties[name]["type"] == "string" {
			values = append(values, "true")
		} else {
			values = append(values, `"s3cret"`)
		}
		for _, value := range values {
			all = append(all, bad{name + " is " + value, func(good string, n int64) string {
				var v map[string]json.RawMessage
				if err := json.Unmarshal([]byte(good), &v); err != nil {
					t.Fatal(err)
				}
				v[name] = json.RawMessage(value)
				parts := []string{}
				for _, key := range slices.Sorted(maps.Keys(v)) {
					parts = append(parts, fmt.Sprintf("%q:%s", key, v[key]))
				}
				return "{" + strings.Join(parts, ",") + "}"
			}})
		}
	}
	return all
}

// Fields in lists are named with their place.
func TestFieldsAreNamed(t *testing.T) {
	r := newRig(t)
	job := r.running("a")
	report := fmt.Sprintf("/v1/jobs/%d/steps/1/report", job)
	operate := fmt.Sprintf("/v1/jobs/%d/steps/1/operate", job)
	for _, c := range []struct{ path, body, field, detail string }{
		{"/v1/jobs", `{"name":"n"}`, "steps", "none"},
		{"/v1/jobs", `{"steps":[]}`, "name", "empty"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":"script","name":"s","targets":["a"]},{"name":"s"}]}`, "steps[1].type", "no step type: want one of script (1)"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":"s3cret","name":"s"}]}`, "steps[0].type", "unknown step type: want one of script (1)"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":"1","name":"s"}]}`, "steps[0].type", "unknown step type"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":true,"name":"s"}]}`, "steps[0].type", "unknown step type"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":40,"name":"s"}]}`, "steps[0].type", "unknown step type 40"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["s3cret","s3cret"]}]}`, "steps[0].targets[1]", "the same name as targets[0]"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a",1]}]}`, "steps[0].targets[1]", "must be a string"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","timeout_ms":-1}]}`, "steps[0].timeout_ms", "must be 0 to 9223372036854"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","timeout_ms":9223372036855}]}`, "steps[0].timeout_ms", "must be 0 to 9223372036854"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","on_timeout":"confirm"}]}`, "steps[0].on_timeout", "confirm needs a timeout"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","on_timeout":"s3cret"}]}`, "steps[0].on_timeout", "unknown timeout decision"},
		{"/v1/jobs", `{"name":"n","timeout_ms":-1,"steps":[{"type":3,"name":"s"}]}`, "timeout_ms", "must be 0 to 9223372036854"},
		{"/v1/jobs", `{"name":"n","start_at":-1,"steps":[{"type":3,"name":"s"}]}`, "start_at", "want Unix milliseconds"},
		{"/v1/jobs", `{"name":"n","turn":{"limit":1},"steps":[{"type":3,"name":"s"}]}`, "turn.key", "missing"},
		{"/v1/jobs", `{"name":"n","turn":{},"steps":[{"type":3,"name":"s"}]}`, "turn.key", "missing"},
		{"/v1/jobs", `{"name":"n","turn":{"key":"k"},"steps":[{"type":3,"name":"s"}]}`, "turn.limit", "want at least 1"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","delay_ms":-1}]}`, "steps[0].delay_ms", "must be 0 to"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","total_timeout_ms":9223372036855}]}`, "steps[0].total_timeout_ms", "must be 0 to"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","window":" "}]}`, "steps[0].window", "white space"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":3,"name":"s","retry":{"attempts":1}}]}`, "steps[0].retry", "confirmation"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"retry":{}}]}`, "steps[0].retry.attempts", "missing"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"retry":{"attempts":1001}}]}`, "steps[0].retry.attempts", "want 1 to 1000"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"retry":{"attempts":1,"after_ms":-1}}]}`, "steps[0].retry.after_ms", "must be 0 to"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"retry":{"attempts":1,"after_ms":2,"most_ms":1}}]}`, "steps[0].retry.most_ms", "less than the first wait"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"retry":{"attempts":1,"except":["failed","s3cret"]}}]}`, "steps[0].retry.except[1]", "unknown target status"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"retry":{"attempts":1,"except":[9]}}]}`, "steps[0].retry.except", "statuses of failure"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"rolling":{}}]}`, "steps[0].rolling.batches", "missing"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"rolling":{"batches":"0"}}]}`, "steps[0].rolling.batches", "part 1"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"rolling":{"batches":"1","between":{"delay_ms":-1}}}]}`, "steps[0].rolling.between.delay_ms", "must be 0 to"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"tolerate":{"percent":101}}]}`, "steps[0].tolerate.percent", "want 1 to 100"},
		{"/v1/jobs", `{"name":"n","steps":[{"type":1,"name":"s","targets":["a"],"tolerate":{"count":1},"ignore_errors":true}]}`, "steps[0].tolerate", "ignores all errors"},
		{"/v1/jobs", `{"name":"n","scope":{"type":"biz","id":"3"},"steps":[{"type":3,"name":"s"}]}`, "scope", "omit it"},
		{"/v1/jobs", `{"name":"n","request_id":"s3cret","steps":[{"type":3,"name":"s"}]}`, "request_id", "a UUID"},
		{"/v1/jobs", `{"name":"n","request_id":"00000000-0000-0000-0000-000000000000","steps":[{"type":3,"name":"s"}]}`, "request_id", "stands for no request"},
		{"/v1/jobs", `{"name":"n","request_id":"{01981f5e-6d30-7c11-9a52-3f6f5d6c8e1a}","steps":[{"type":3,"name":"s"}]}`, "request_id", "a UUID"},
		{operate, `{}`, "code", "no operation code: want one of retry_failed (2)"},
		{operate, `{"code":"s3cret"}`, "code", "unknown operation code: want one of retry_failed (2)"},
		{operate, `{"code":5}`, "code", "unknown operation code"},
		{operate, `{"code":"retry_failed","if_version":0}`, "if_version", "count from 1"},
		{operate, `{"code":"retry_failed","if_attempt":0}`, "if_attempt", "count from 1"},
		{operate, `{"code":"retry_failed","if_version":-1}`, "if_version", "count from 1"},
		{operate, `{"code":"retry_failed","if_attempt":-1}`, "if_attempt", "count from 1"},
		{operate, `{"code":"retry_failed","request_id":"00000000-0000-0000-0000-000000000000"}`, "request_id", "stands for no request"},
		{operate, `{"code":"retry_failed","reason":"` + strings.Repeat("x", 2001) + `"}`, "reason", "2001 characters: the maximum is 2000"},
		{report, `{"attempt":1}`, "results", "no results and no outcome"},
		{report, `{"attempt":1,"results":[{"target":0,"status":9},{"status":9}]}`, "results[1].target", "missing"},
		{report, `{"attempt":1,"results":[{"target":0}]}`, "results[0].status", "no target status"},
		{report, `{"attempt":1,"results":[{"target":7,"status":9}]}`, "results[0].target", "only 0 to 0"},
		{report, `{"attempt":1,"results":[{"target":0,"status":9,"detail":"` + strings.Repeat("x", 257) + `"}]}`, "results[0].detail", "257 characters"},
		{report, `{"attempt":1,"outcome":"expired"}`, "outcome", "an executor reports"},
		{report, `{"results":[{"target":0,"status":9}]}`, "attempt", "count from 1"},
		{"/v1/effects/claim", `{"effects":["run","none"]}`, "effects[1]", "not delivered"},
		{"/v1/effects/claim", `{"limit":101}`, "limit", "1 to 100"},
		{"/v1/effects/claim", `{"lease_ms":10}`, "lease_ms", "1s to 1h"},
		{"/v1/effects/claim", `{"wait_ms":60001}`, "wait_ms", "0 to 1m"},
		{fmt.Sprintf("/v1/jobs/%d/effects/2/settle", job), `{"token":"` + anyToken + `"}`, "count", "count from 1"},
		{fmt.Sprintf("/v1/jobs/%d/effects/2/settle", job), `{"count":1}`, "token", "the token of the delivery"},
		{fmt.Sprintf("/v1/jobs/%d/effects/2/renew", job), `{"count":1,"token":"1"}`, "token", "the token of the delivery"},
		{fmt.Sprintf("/v1/jobs/%d/effects/2/fail", job), `{"count":1,"token":"urn:uuid:` + anyToken + `","error":"e"}`, "token", "the token of the delivery"},
		{fmt.Sprintf("/v1/jobs/%d/effects/0/settle", job), `{"count":1,"token":"` + anyToken + `"}`, "seq", "count from 1"},
		{fmt.Sprintf("/v1/jobs/%d/effects/2/fail", job), `{"count":1}`, "error", "missing"},
	} {
		v := r.want(400, "agent", "POST", c.path, c.body)
		detail, _ := v["detail"].(string)
		if v["field"] != c.field || !strings.Contains(detail, c.detail) || strings.Contains(fmt.Sprint(v), "s3cret") {
			t.Errorf("%s %.200s: field %v, detail %v; want %s and %q", c.path, c.body, v["field"], detail, c.field, c.detail)
		}
	}
}

// Parameters are as strict as bodies.
func TestBadParameters(t *testing.T) {
	r := newRig(t)
	job := r.running("a")
	at := func(more string) string { return fmt.Sprintf("/v1/jobs/%d%s", job, more) }
	for target, field := range map[string]string{
		"/v1/jobs?limit=10001":                       "limit",
		"/v1/jobs?limit=-1":                          "limit",
		"/v1/jobs?limit=1.0":                         "limit",
		"/v1/jobs?limit=4294967297":                  "limit",
		"/v1/jobs?limit=":                            "limit",
		"/v1/jobs?limit=1&limit=1":                   "limit",
		"/v1/jobs?after=9223372036854775808":         "after",
		"/v1/jobs?after=01":                          "after",
		"/v1/jobs?newest=yes":                        "newest",
		"/v1/jobs?newest=True":                       "newest",
		"/v1/jobs?state=s3cret":                      "state",
		"/v1/jobs?state=":                            "state",
		"/v1/jobs?state=failed,":                     "state",
		"/v1/jobs?state=8":                           "state",
		"/v1/jobs?s3cret" + strings.Repeat("x", 100): "query",
		"/v1/jobs?State=failed":                      "query",
		"/v1/jobs?limit=1;after=2":                   "query",
		"/v1/jobs?%zz":                               "query",
		"/v1/openapi.json?x=1":                       "query",
		"/v1/jobs/0":                                 "job",
		"/v1/jobs/x":                                 "job",
		"/v1/jobs/9007199254740992":                  "job",
		"/v1/jobs/99999999999999999999":              "job",
		at("/steps/0"):                               "step",
		at("/steps/+1"):                              "step",
		at("/steps/1/targets?class=s3cret"):          "class",
		at("/steps/1/targets?class=0"):               "class",
		at("/steps/1/targets?status=s3cret"):         "status",
		at("/steps/1/targets?status=succeeded,none"): "status",
		at("/steps/1/targets?attempt=2147483648"):    "attempt",
		at("/steps/1/targets?if_attempt=x"):          "if_attempt",
		at("/steps/1/targets?from=-1"):               "from",
		at("/steps?after=x"):                         "after",
		at("/history?after=-1"):                      "after",
		at("/events?after=x"):                        "after",
		at("/events?progress=1"):                     "progress",
	} {
		v := r.want(400, "ann", "GET", target, "")
		if v["reason"] != "invalid_input" || v["field"] != field {
			t.Errorf("%s: %v, want field %s", target, v, field)
		}
	}
	for _, last := range []string{"x", "-1", "1.0"} {
		if v := r.want(400, "ann", "GET", at("/events"), "", "Last-Event-ID", last); v["field"] != "Last-Event-ID" {
			t.Errorf("Last-Event-ID %q: %v", last, v)
		}
	}
}

// An If-Match is *, or one ETag. It must agree with the version in the body. A call that takes no
// condition refuses it.
func TestConditions(t *testing.T) {
	for _, given := range [][]string{
		{`17`}, {`"2", "3"`}, {`"2"`, `"3"`}, {`"0"`}, {`"02"`}, {`"-2"`}, {``}, {`"`}, {`""`}, {`"x"`}, {`*, "2"`}, {`"9223372036854775808"`},
	} {
		r := newRig(t)
		var header []string
		for _, v := range given {
			header = append(header, "If-Match", v)
		}
		path := fmt.Sprintf("/v1/jobs/%d/steps/1/operate", r.asking())
		before := r.whole()
		if v := r.want(400, "ann", "POST", path, `{"code":"confirm"}`, header...); v["field"] != "If-Match" {
			t.Errorf("If-Match %q: %v", given, v)
		}
		if r.whole() != before {
			t.Errorf("If-Match %q: something was done", given)
		}
	}
	r := newRig(t)
	path := func() string { return fmt.Sprintf("/v1/jobs/%d/steps/1/operate", r.asking()) }
	r.want(200, "ann", "POST", path(), `{"code":"confirm"}`, "If-Match", `*`)
	r.want(200, "ann", "POST", path(), `{"code":"confirm","if_version":2}`, "If-Match", `*`)
	r.want(200, "ann", "POST", path(), `{"code":"confirm","if_version":2}`, "If-Match", `"2"`)
	r.want(412, "ann", "POST", path(), `{"code":"confirm"}`, "If-Match", `"1"`)
	r.want(412, "ann", "POST", path(), `{"code":"confirm"}`, "If-Match", `"3"`)
	if v := r.want(400, "ann", "POST", path(), `{"code":"confirm","if_version":1}`, "If-Match", `"2"`); v["field"] != "if_version" {
		t.Errorf("two versions: %v", v)
	}
	r.want(200, "ann", "POST", path(), `{"code":"confirm","if_attempt":1}`)
	if v := r.want(409, "ann", "POST", path(), `{"code":"confirm","if_attempt":2}`); v["reason"] != "stale" {
		t.Errorf("another attempt: %v", v)
	}
	for _, route := range httpapi.Routes() {
		if route.Method != "POST" || route.Conditional {
			continue
		}
		_, path, body := r.passing(route)
		if v := r.want(400, "agent", "POST", path, body, "If-Match", `"2"`); v["field"] != "If-Match" {
			t.Errorf("%s: %v", route.Path, v)
		}
	}
}

// A job of another scope and a job that never existed have the same answer, byte for byte and header
// for header, on every route, whatever else the request contains.
func TestWrongScopeIsNoSuchJob(t *testing.T) {
	asked := 0
	for _, route := range httpapi.Routes() {
		if !strings.Contains(route.Path, "{job}") {
			continue
		}
		r := newRig(t)
		job, path, body := r.passing(route)
		before := r.whole()
		never := strings.Replace(path, fmt.Sprint(job), "77", 1)
		for _, c := range []struct {
			body   string
			header []string
		}{
			{body, nil},
			{body, []string{"If-Match", `"1"`}},
			{`{"dry_run":true}`, nil},
			{`{"s3cret":true}`, nil},
			{`{"if_version":99}`, nil},
		} {
			if route.Method == "GET" && c.body != body {
				continue
			}
			header := append(c.header, "X-Scope", "3")
			there, not := r.ask("agent", route.Method, path, c.body, header...), r.ask("agent", route.Method, never, c.body, header...)
			if there.Code != not.Code || there.Body.String() != not.Body.String() || !reflect.DeepEqual(there.Header(), not.Header()) {
				t.Errorf("%s %s %s: status %d, %v, %s; a job that never was: %d, %v, %s",
					route.Method, path, c.body, there.Code, there.Header(), there.Body, not.Code, not.Header(), not.Body)
			}
			if c.body == body && c.header == nil {
				if there.Code != http.StatusNotFound || !strings.Contains(there.Body.String(), `"no_such_job"`) {
					t.Errorf("%s %s: status %d, %s", route.Method, path, there.Code, there.Body)
				}
				asked++
			}
		}
		if after := r.whole(); after != before {
			t.Errorf("%s: something was done: %s", path, after)
		}
		if strings.HasSuffix(path, "/events") { // which would not end
			continue
		}
		if w := r.ask("agent", route.Method, path, body); w.Code >= 300 {
			t.Errorf("%s %s in its own scope: status %d, %s", route.Method, path, w.Code, w.Body)
		}
	}
	if asked < 15 {
		t.Errorf("%d routes, and there are more", asked)
	}
}

// A step that does not exist has an answer of its own for callers that see the job.
func TestNoSuchStep(t *testing.T) {
	r := newRig(t)
	for _, route := range httpapi.Routes() {
		if strings.Contains(route.Path, "{step}") {
			_, path, body := r.passing(route)
			if v := r.want(404, "agent", route.Method, strings.Replace(path, "/steps/1", "/steps/9", 1), body); v["reason"] != "no_such_step" || v["step"] != nil {
				t.Errorf("%s: %v", path, v)
			}
		}
	}
}

// Executors' calls are for executors, and refused to other callers.
func TestExecutorsAlone(t *testing.T) {
	r := newRig(t)
	for _, route := range httpapi.Routes() {
		if !route.Executor {
			continue
		}
		_, path, body := r.passing(route)
		before := r.whole()
		if v := r.want(403, "ann", "POST", path, body); v["reason"] != "not_executor" {
			t.Errorf("%s: %v", path, v)
		}
		if r.whole() != before {
			t.Errorf("%s: something was done", path)
		}
	}
}

// A page of another origin cannot write, on any route.
func TestCrossOrigin(t *testing.T) {
	r := newRig(t)
	for _, route := range httpapi.Routes() {
		if route.Method != "POST" {
			continue
		}
		_, path, body := r.passing(route)
		before := r.whole()
		for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
			if v := r.want(403, "agent", "POST", path, body, header[0], header[1]); v["reason"] != "cross_origin" {
				t.Errorf("%s: %v", path, v)
			}
		}
		if r.whole() != before {
			t.Errorf("%s: something was done", path)
		}
	}
}

// Paths that do not exist, and methods that a path does not take.
func TestNoSuchRoute(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/jobs", "/v1/jobs/", "/v1/jobs/1/", "/v1//jobs", "/v1/jobs/1/nothing", "/v1/./jobs", "/v1/jobs/../jobs"} {
		if v := r.want(404, "ann", "GET", path, ""); v["reason"] != "no_such_route" {
			t.Errorf("%s: %v", path, v)
		}
	}
	for _, route := range httpapi.Routes() {
		_, path, _ := r.passing(route)
		for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			w := r.ask("ann", method, path, "")
			if w.Code != 405 || !strings.Contains(w.Header().Get("Allow"), route.Method) {
				t.Errorf("%s %s: status %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

// A repetition with the same request id gets the same receipt, and another one is refused.
func TestRequestID(t *testing.T) {
	r := newRig(t)
	path := fmt.Sprintf("/v1/jobs/%d/steps/1/operate", r.asking())
	text := `{"code":"confirm","reason":"s3cret",` + anyRequest + `}`
	once, again := r.ask("ann", "POST", path, text), r.ask("ann", "POST", path, text)
	if once.Code != 200 || again.Code != 200 || once.Body.String() != again.Body.String() || once.Header().Get("ETag") != `"3"` {
		t.Errorf("%d, ETag %s, %s and then %d, %s", once.Code, once.Header().Get("ETag"), once.Body, again.Code, again.Body)
	}
	if v := r.want(422, "ann", "POST", path, `{"code":"confirm",`+anyRequest+`}`); v["reason"] != "request_reused" || strings.Contains(fmt.Sprint(v), "s3cret") {
		t.Errorf("another one: %v", v)
	}
	create := `{"name":"n","steps":[{"type":3,"name":"s"}],` + anyRequest + `}`
	one, two := r.want(201, "ann", "POST", "/v1/jobs", create), r.want(201, "ann", "POST", "/v1/jobs", create)
	if one["id"] != two["id"] {
		t.Errorf("two jobs: %v and %v", one, two)
	}
	if v := r.want(422, "ann", "POST", "/v1/jobs", strings.Replace(create, `"n"`, `"m"`, 1)); v["reason"] != "request_reused" {
		t.Errorf("another job: %v", v)
	}
}

// No answer contains the error of a failing store.
func TestStoreFailures(t *testing.T) {
	r := newRig(t)
	f := &failing{Store: r.st}
	r.api = httpapi.New(engine.New(f), httpapi.Config{Identify: asPerson})
	job := r.asking()
	operate, get := fmt.Sprintf("/v1/jobs/%d/steps/1/operate", job), fmt.Sprintf("/v1/jobs/%d", job)
	f.commit.Store(true)
	v := r.want(500, "ann", "POST", operate, `{"code":"confirm",`+anyRequest+`}`)
	if v["reason"] != "unknown_outcome" || v["request_id"] != anyRequest[len(anyRequest)-37:len(anyRequest)-1] || strings.Contains(fmt.Sprint(v), "s3cret") {
		t.Errorf("a commit that fails: %v", v)
	}
	report := fmt.Sprintf("/v1/jobs/%d/steps/1/report", r.running("a"))
	v = r.want(500, "agent", "POST", report, `{"attempt":1,"results":[{"target":0,"status":"succeeded"}]}`)
	if _, told := v["request_id"]; v["reason"] != "unknown_outcome" || told {
		t.Errorf("a report whose commit fails: %v, want no request id, which no report takes", v)
	}
	f.view.Store(true)
	if v := r.want(500, "ann", "GET", get, ""); v["reason"] != "internal" || len(v) != 4 {
		t.Errorf("a read that fails: %v", v)
	}
}

// An executor claims, renews, fails, settles and reports. It can do none of these after it has lost
// the lease.
func TestExecutorStory(t *testing.T) {
	r := newRig(t)
	job := r.running("a", "b")
	claim := func() map[string]any {
		t.Helper()
		items := r.want(200, "agent", "POST", "/v1/effects/claim", `{"effects":["run"],"lease_ms":1000}`)["items"].([]any)
		if len(items) == 0 {
			return nil
		}
		return items[0].(map[string]any)
	}
	d := claim()
	if d["effect"] != "run" || d["count"] != 1.0 || d["step"].(map[string]any)["payload"] != "" || d["job"].(map[string]any)["id"] != float64(job) {
		t.Fatalf("claimed %v", d)
	}
	if d := claim(); d != nil {
		t.Errorf("claimed twice: %v", d)
	}
	at := fmt.Sprintf("/v1/jobs/%d/effects/%v", job, d["seq"])
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/renew", `{"count":1,"token":"{token}"}`, 204},
		{"/renew", `{"count":2,"token":"{token}"}`, 409},
		{"/renew", `{"count":1,"token":"` + anyToken + `"}`, 409}, // another executor's guess
		{"/fail", `{"count":1,"token":"` + anyToken + `","error":"e"}`, 409},
		{"/release", `{"count":1,"token":"` + anyToken + `"}`, 409},
		{"/settle", `{"count":1,"token":"00000000-0000-0000-0000-000000000000"}`, 409},
		{"/fail", `{"count":1,"token":"{token}","error":"no agent"}`, 204},
		{"/release", `{"count":1,"token":"{token}"}`, 204},
		{"/settle", `{"count":1,"token":"{token}"}`, 204},
		{"/settle", `{"count":1,"token":"{token}"}`, 409},
	} {
		c.body = strings.ReplaceAll(c.body, "{token}", d["token"].(string))
		w := r.ask("agent", "POST", at+c.path, c.body)
		if w.Code != c.status || w.Code == 204 && w.Body.Len() > 0 || w.Code == 409 && !strings.Contains(w.Body.String(), "lease_lost") {
			t.Errorf("%s %s: status %d, %s", c.path, c.body, w.Code, w.Body)
		}
	}
	report := fmt.Sprintf("/v1/jobs/%d/steps/1/report", job)
	results := `{"attempt":1,"results":[{"target":0,"status":"succeeded","started":1,"finished":2},{"target":1,"status":104,"exit_code":3,"detail":"full"}]}`
	if v := r.want(200, "agent", "POST", report, results); v["state"] != "failed" || v["accepted"] != 2.0 || len(v["rejected"].([]any)) != 0 {
		t.Errorf("report: %v", v)
	}
	if v := r.want(200, "agent", "POST", report, results); v["repeated"] != 2.0 || v["accepted"] != 0.0 {
		t.Errorf("report again: %v", v)
	}
	v := r.want(200, "ann", "GET", fmt.Sprintf("/v1/jobs/%d/steps/1/targets?status=non_zero_exit", job), "")
	if item := v["items"].([]any)[0].(map[string]any); item["name"] != "b" || item["exit_code"] != 3.0 || item["detail"] != "full" {
		t.Errorf("targets: %v", v)
	}
	history, err := r.eng.History(t.Context(), job, 2, 1)
	if err != nil || history[0].Actor != "agent" {
		t.Errorf("the report is of %v, %v", history, err)
	}
}
