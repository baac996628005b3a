package httpapi_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files; read the difference before you commit it")

var biz = store.Scope{Type: "biz", ID: "1"}

// A platform is an engine behind the reference calls, for a person of one scope.
type platform struct {
	testing.TB
	st  *memstore.Store
	eng *engine.Engine
	api *httpapi.API
}

// newPlatform returns a platform whose clock starts at a second and advances by one at each reading,
// and whose jobs are 100, 101 and so on.
func newPlatform(t testing.TB, caller httpapi.Caller, opts ...engine.Option) *platform {
	t.Helper()
	now, id := int64(0), store.JobID(99)
	opts = append([]engine.Option{
		engine.WithClock(func() time.Time { now++; return time.UnixMilli(1000 * now) }),
		engine.WithJobIDs(func(step.Time) store.JobID { id++; return id }),
	}, opts...)
	p := &platform{TB: t, st: memstore.New()}
	p.eng = engine.New(p.st, opts...)
	p.api = httpapi.New(p.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
		return caller, nil
	}})
	return p
}

func (p *platform) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *platform) create(scope store.Scope, steps ...step.Spec) store.JobID {
	p.Helper()
	created, err := p.eng.Create(p.Context(), engine.JobSpec{Name: "release", Scope: scope, Steps: steps}, engine.Request{})
	p.must(err)
	return created.Job
}

func (p *platform) start(job store.JobID) {
	p.Helper()
	_, err := p.eng.OperateJob(p.Context(), job, operation.StartJob, engine.Request{By: "starter"})
	p.must(err)
}

func (p *platform) history(job store.JobID) []store.Record {
	p.Helper()
	records, err := p.eng.History(p.Context(), job, 0, 10_000)
	p.must(err)
	return records
}

// An envelope is an answer as clients read it.
type envelope struct {
	Result     *bool            `json:"result"`
	Code       int              `json:"code"`
	Message    string           `json:"message"`
	Data       *json.RawMessage `json:"data"`
	Permission *json.RawMessage `json:"permission"`
	RequestID  string           `json:"request_id"`
	JobRequest string           `json:"job_request_id"`
}

// send makes a request and returns its answer, which must be a 200 of the documented form.
func (p *platform) send(method, target, body string) envelope {
	p.Helper()
	answer, _ := p.sendRaw(method, target, body)
	return answer
}

func (p *platform) sendRaw(method, target, body string) (envelope, []byte) {
	p.Helper()
	r := httptest.NewRequestWithContext(p.Context(), method, target, strings.NewReader(body))
	r.Header.Set("X-Bkapi-Request-Id", "request-1")
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r)
	return readEnvelope(p, method+" "+target+" "+body, w), w.Body.Bytes()
}

func readEnvelope(t testing.TB, call string, w *httptest.ResponseRecorder) envelope {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%.200s: status %d, Content-Type %q, want 200 and application/json", call, w.Code, w.Header().Get("Content-Type"))
	}
	var answer envelope
	var present map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(w.Body.Bytes(), &answer), json.Unmarshal(w.Body.Bytes(), &present)); err != nil {
		t.Fatalf("%.200s: %s: %v", call, w.Body, err)
	}
	for _, name := range []string{"result", "code", "message", "data", "permission", "request_id", "job_request_id"} {
		if present[name] == nil {
			t.Errorf("%.200s: %s lacks %s", call, w.Body, name)
		}
	}
	if len(present) != 7 || *answer.Result != (answer.Code == 0) || answer.Message == "" || answer.RequestID == "" || answer.RequestID != answer.JobRequest {
		t.Errorf("%.200s: %s is not of the documented form", call, w.Body)
	}
	if (answer.Code == 0) != (answer.Data != nil) || answer.Permission != nil && answer.Code != 9900403 {
		t.Errorf("%.200s: data and permission of %s", call, w.Body)
	}
	return answer
}

// body returns the body of a request for a job of the scope biz 1.
func body(job store.JobID, more string) string {
	return fmt.Sprintf(`{"bk_scope_type": "biz", "bk_scope_id": "1", "job_instance_id": %d%s}`, job, more)
}

func script(targets ...string) step.Spec {
	return step.Spec{Type: step.Script, Name: "script", Targets: targets}
}

func confirmation(confirmers ...string) step.Spec {
	s := step.Spec{Type: step.Confirmation, Name: "confirmation"}
	if len(confirmers) > 0 {
		s.Confirmers = confirmers
	}
	return s
}

var referencePaths = []string{
	"/api/v3/%s", "/api/v3/%s/", "/api/c/compapi/v2/jobv3/%s", "/api/c/compapi/v2/jobv3/%s/",
	"/api/v3/system/%s", "/api/v3/system/%s/", "/api/job/v3/job-execute/%s", "/api/job/v3/job-execute/%s/",
	"/api/c/compapi/jobv3/%s", "/api/c/compapi/jobv3/%s/", "/api/c/compapi/v2/job/%s", "/api/c/compapi/v2/job/%s/",
}

// Every call has all paths that clients use, with and without a slash at the end.
func TestReferencePaths(t *testing.T) {
	for _, path := range referencePaths {
		p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
		job := p.create(biz, confirmation(), confirmation())
		at := func(call string) string { return fmt.Sprintf(path, call) }
		for _, c := range []struct{ method, target, body, data string }{
			{"POST", at("operate_job_instance"), body(job, `, "operation_code": 2`), `{"job_instance_id":100}`},
			{"POST", at("operate_step_instance"), body(job, `, "step_instance_id": 1, "operation_code": 6`), `{"step_instance_id":1,"job_instance_id":100}`},
			{"POST", at("get_job_instance_status"), body(job, ""), `{"finished":false,`},
			{"GET", at("get_job_instance_status") + "?bk_scope_type=biz&bk_scope_id=1&job_instance_id=100", "", `{"finished":false,`},
			{"POST", at("get_step_instance_status"), body(job, `, "step_instance_id": 2, "batch": null`), `{"step_instance_id":2,`},
			{"GET", at("get_step_instance_status") + "?bk_scope_type=biz&bk_scope_id=1&job_instance_id=100&step_instance_id=1&batch=0", "", `{"step_instance_id":1,`},
		} {
			answer := p.send(c.method, c.target, c.body)
			if answer.Code != 0 || answer.Message != "success" || !strings.HasPrefix(string(*answer.Data), c.data) {
				t.Errorf("%s %s: %+v, want data %s", c.method, c.target, answer, c.data)
			}
		}
		for i, r := range p.history(job)[1:] {
			if r.Actor != "ann" || r.Reason != "" {
				t.Errorf("%s: record %d is by %q because %q, want it by ann without a reason", path, i+2, r.Actor, r.Reason)
			}
		}
	}
}

// The answer to an unknown path or a wrong method has the form of the calls and lists the existing
// ones. It repeats nothing of the request.
func TestReferenceIsNotThere(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", AllScopes: true})
	const noCall = "path: unknown call, want one of get_job_instance_status, get_step_instance_status, operate_job_instance, operate_step_instance"
	for _, c := range []struct{ method, path, message, allow string }{
		{"POST", "/api/", noCall, ""},
		{"POST", "/api/v3/", noCall, ""},
		{"GET", "/api/v3/execute_job_plan", noCall, ""},
		{"POST", "/api/v3/get_job_instance_ip_log/", noCall, ""},
		{"POST", "/api/v3/operate_step_instance//", noCall, ""},
		{"POST", "/api/v3//operate_step_instance", noCall, ""},
		{"POST", "/api/v3/../v3/operate_step_instance", noCall, ""},
		{"POST", "/api/v3/system/system/operate_step_instance", noCall, ""},
		{"POST", "/api/v3/Operate_step_instance", noCall, ""},
		{"POST", "/api/v2/operate_step_instance", noCall, ""},
		{"POST", "/api/c/compapi/v2/jobv3/v3/operate_step_instance", noCall, ""},
		{"GET", "/api/v3/operate_step_instance", "method: operate_step_instance takes POST", "POST"},
		{"PUT", "/api/c/compapi/v2/jobv3/operate_job_instance/", "method: operate_job_instance takes POST", "POST"},
		{"HEAD", "/api/v3/get_job_instance_status", "method: get_job_instance_status takes GET or POST", "GET, POST"},
		{"DELETE", "/api/v3/get_job_instance_status/", "method: get_job_instance_status takes GET or POST", "GET, POST"},
	} {
		for name, h := range map[string]http.Handler{"API": p.api, "Reference": p.api.Reference()} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader("{}")))
			answer := readEnvelope(t, c.method+" "+c.path, w)
			if answer.Code != 1241002 || answer.Message != c.message || w.Header().Get("Allow") != c.allow {
				t.Errorf("%s: %s %s: %d %q, Allow %q; want 1241002 %q, %q",
					name, c.method, c.path, answer.Code, answer.Message, w.Header().Get("Allow"), c.message, c.allow)
			}
		}
	}
}

// An unknown caller and a page of another origin learn nothing, not even whether the request was
// well-formed.
func TestReferenceNotKnown(t *testing.T) {
	known := httpapi.Caller{Person: "ann", Scope: biz}
	for name, c := range map[string]struct {
		identify httpapi.Identify
		origin   string
		message  string
	}{
		"nobody says who":    {nil, "", "permission denied"},
		"the caller is zero": {func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return httpapi.Caller{}, nil }, "", "permission denied"},
		"an error and a caller": {func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return known, errors.New("s3cret: expired")
		}, "", "permission denied"},
		"another origin": {func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return known, nil }, "https://elsewhere.example", "permission denied: pages of other origins may not write"},
	} {
		p := newPlatform(t, known)
		p.api = httpapi.New(p.eng, httpapi.Config{Identify: c.identify})
		job := p.create(biz, confirmation())
		for _, text := range []string{body(job, `, "operation_code": 2`), body(job, `, "operation_code": 99`), body(999, `, "operation_code": 2`), `{}`} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/operate_job_instance", strings.NewReader(text))
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w := httptest.NewRecorder()
			p.api.ServeHTTP(w, r)
			if answer := readEnvelope(t, name, w); answer.Code != 9900403 || answer.Message != c.message || answer.Permission != nil {
				t.Errorf("%s: %s, want 9900403 and %q alone", name, w.Body, c.message)
			}
		}
		if n := len(p.history(job)); n != 1 {
			t.Errorf("%s: %d records, want 1", name, n)
		}
	}
}

// Identify gets the credentials of the header, or else of the body or the query, and a request
// without them.
func TestReferenceCredentials(t *testing.T) {
	all := httpapi.Credentials{AppCode: "S3a", AppSecret: "S3b", Username: "S3c", Token: "S3d", AccessToken: "S3e"}
	const (
		none   = ""
		header = `{"bk_app_code": "S3a", "bk_app_secret": "S3b", "bk_username": "S3c", "bk_token": "S3\u0064", "access_token": "S3e", "bk_ticket": "S3f"}`
		fields = `, "bk_app_code": "S3a", "bk_app_secret": "S3b", "bk_username": "S3c", "bk_token": "S3\u0064", "access_token": "S3e"`
		query  = "&bk_app_code=S3a&bk_app_secret=S3b&bk_token=S3%64&bk_username=S3c&access_token=S3e"
	)
	for name, c := range map[string]struct {
		header, body, query string
		want                httpapi.Credentials
	}{
		"header of a POST":               {header, "", none, all},
		"header of a GET":                {header, none, "&x=1", all},
		"body":                           {none, fields, none, all},
		"body, and an empty header":      {" ", fields, none, all},
		"query":                          {none, none, query, all},
		"query of a POST":                {none, `, "x": 1`, query, httpapi.Credentials{}},
		"none":                           {none, `, "bk_token": null, "access_token": ""`, none, httpapi.Credentials{}},
		"header, and others in the body": {`{"bk_app_code": "S3a", "bk_app_secret": "S3b", "bk_token": null}`, `, "bk_token": "S3x", "bk_username": 7`, none, httpapi.Credentials{AppCode: "S3a", AppSecret: "S3b"}},
		"header, and others in a query":  {`{"bk_username": "S3c"}`, none, "&bk_token=S3x", httpapi.Credentials{Username: "S3c"}},
		"header with none":               {`{}`, fields, none, httpapi.Credentials{}},
	} {
		p := newPlatform(t, httpapi.Caller{})
		job := p.create(biz, confirmation())
		asked := false
		p.api = httpapi.New(p.eng, httpapi.Config{Identify: func(r *http.Request, given httpapi.Credentials) (httpapi.Caller, error) {
			asked = true
			if given != c.want {
				t.Errorf("%s: Identify is given other credentials than were sent", name)
			}
			if all := fmt.Sprint(r, r.URL, r.Form, r.Header); strings.Contains(all, "S3") {
				t.Errorf("%s: the request holds credentials: %s", name, all)
			}
			if r.Method == "GET" && r.URL.Query().Get("job_instance_id") != "100" || r.Header.Get("X-Other") != "kept" {
				t.Errorf("%s: the request lacks a part that is no credential: %s %v", name, r.URL, r.Header)
			}
			return httpapi.Caller{Person: "ann", Scope: biz}, nil
		}})
		method, target, text := "POST", "/api/v3/get_job_instance_status?"+c.query, body(job, c.body)
		if c.body == none && c.query != none {
			method, target, text = "GET", target+"&bk_scope_type=biz&bk_scope_id=1&job_instance_id=100", ""
		}
		r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(text))
		r.Header.Set("X-Other", "kept")
		if c.header != none {
			r.Header.Set("X-Bkapi-Authorization", strings.TrimSpace(c.header))
		}
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		if answer := readEnvelope(t, name, w); answer.Code != 0 || !asked {
			t.Errorf("%s: %+v, want success", name, answer)
		}
	}
}

// The API refuses a malformed header of credentials before it calls Identify, and the refusal quotes
// nothing.
func TestReferenceRefusesCredentials(t *testing.T) {
	p := waiting(t)
	for _, c := range []struct{ header, message string }{
		{`S3CRET`, "malformed JSON at or after byte 0"},
		{`{"bk_token": "S3CRET`, "bk_token: unexpected EOF"},
		{`{"bk_token": S3CRET}`, "bk_token: malformed JSON at or after byte 13"},
		{`{"bk_token": "S3CRET"} x`, "trailing data after the document"},
		{`{"bk_token": "S3CRET", "bk_token": "S3CRET"}`, "bk_token: duplicate field"},
		{`{"BK_TOKEN": "S3CRET"}`, "bk_token: the field name is spelled bk_token"},
		{`["S3CRET"]`, "must be an object"},
		{`null`, "must be an object"},
		{`"S3CRET"`, "must be an object"},
		{"{\"bk_token\": \"S3CRET\xff\"}", "the text must be UTF-8"},
		{`{"bk_token": ["S3CRET"]}`, "bk_token: must be a string"},
		{`{"bk_app_code": 7}`, "bk_app_code: must be a string"},
		{`{"access_token": true}`, "access_token: must be a string"},
		{`{"other": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "the maximum depth is 32 levels"},
	} {
		for call, good := range goodForms {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/"+call, strings.NewReader(good.String()))
			r.Header.Set("X-Bkapi-Authorization", c.header)
			w := httptest.NewRecorder()
			p.api.ServeHTTP(w, r)
			if answer := readEnvelope(t, c.header, w); answer.Code != 1241002 || answer.Message != "X-Bkapi-Authorization: "+c.message {
				t.Errorf("%s: %d %q, want 1241002 and %q", c.header, answer.Code, answer.Message, c.message)
			}
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/operate_step_instance", strings.NewReader(goodForms["operate_step_instance"].String()))
	r.Header["X-Bkapi-Authorization"] = []string{`{}`, `{}`}
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r)
	if answer := readEnvelope(t, "two headers", w); answer.Message != "X-Bkapi-Authorization: duplicate" {
		t.Errorf("two headers: %+v", answer)
	}
	if n := len(p.history(100)); n != 2 {
		t.Errorf("%d records, want 2: nothing is done", n)
	}
}

// The scope fields count if either says anything; else bk_biz_id does, as a business set from
// 8000000 to 9999999 and as a business otherwise. The answer names the bk_biz_id that alone
// means the scope, or null.
func TestReferenceBusiness(t *testing.T) {
	const both = `"biz" (a business) or "biz_set" (a business set)`
	number := "bk_biz_id: must be a whole number from 1 to 9223372036854775807, or a string of its digits"
	for _, c := range []struct {
		fields  string // a JSON object's
		scope   store.Scope
		told    string // the bk_biz_id of the answer
		message string // instead, of a refusal
	}{
		{`"bk_biz_id": 2`, store.Scope{Type: "biz", ID: "2"}, "2", ""},
		{`"bk_biz_id": "2"`, store.Scope{Type: "biz", ID: "2"}, "2", ""},
		{`"bk_biz_id": "02"`, store.Scope{Type: "biz", ID: "2"}, "2", ""},
		{`"bk_biz_id": 7999999`, store.Scope{Type: "biz", ID: "7999999"}, "7999999", ""},
		{`"bk_biz_id": 8000000`, store.Scope{Type: "biz_set", ID: "8000000"}, "8000000", ""},
		{`"bk_biz_id": "9999999"`, store.Scope{Type: "biz_set", ID: "9999999"}, "9999999", ""},
		{`"bk_biz_id": 10000000`, store.Scope{Type: "biz", ID: "10000000"}, "10000000", ""},
		{`"bk_biz_id": 9223372036854775807`, store.Scope{Type: "biz", ID: "9223372036854775807"}, "9223372036854775807", ""},
		{`"bk_biz_id": 2, "bk_scope_type": null, "bk_scope_id": null`, store.Scope{Type: "biz", ID: "2"}, "2", ""},
		{`"bk_biz_id": 2, "bk_scope_type": "", "bk_scope_id": ""`, store.Scope{Type: "biz", ID: "2"}, "2", ""},
		{`"bk_biz_id": 7, "bk_scope_type": "biz", "bk_scope_id": "2"`, store.Scope{Type: "biz", ID: "2"}, "2", ""},
		{`"bk_biz_id": {}, "bk_scope_type": "biz", "bk_scope_id": "2"`, store.Scope{Type: "biz", ID: "2"}, "2", ""},
		{`"bk_biz_id": null, "bk_scope_type": "biz_set", "bk_scope_id": 8000000`, store.Scope{Type: "biz_set", ID: "8000000"}, "8000000", ""},
		{`"bk_scope_type": "biz_set", "bk_scope_id": "2"`, store.Scope{Type: "biz_set", ID: "2"}, "null", ""},
		{`"bk_scope_type": "biz", "bk_scope_id": "8000000"`, store.Scope{Type: "biz", ID: "8000000"}, "null", ""},
		{`"bk_scope_type": "biz", "bk_scope_id": "02"`, store.Scope{Type: "biz", ID: "02"}, "null", ""},
		{`"bk_scope_type": "biz", "bk_scope_id": "team"`, store.Scope{Type: "biz", ID: "team"}, "null", ""},

		{`"bk_biz_id": 2, "bk_scope_type": "biz"`, store.Scope{}, "", "bk_scope_id: missing, must be the id of the business or the business set, as a string or a whole number from 1"},
		{`"bk_biz_id": 2, "bk_scope_id": "2"`, store.Scope{}, "", "bk_scope_type: missing, must be " + both},
		{`"bk_biz_id": 2, "bk_scope_type": "app", "bk_scope_id": ""`, store.Scope{}, "", "bk_scope_type: must be " + both},
		{`"bk_biz_id": 0`, store.Scope{}, "", number},
		{`"bk_biz_id": -2`, store.Scope{}, "", number},
		{`"bk_biz_id": 2.0`, store.Scope{}, "", number},
		{`"bk_biz_id": "two"`, store.Scope{}, "", number},
		{`"bk_biz_id": [2]`, store.Scope{}, "", number},
		{`"bk_biz_id": null`, store.Scope{}, "", "bk_scope_type: missing, must be " + both + ", or bk_biz_id instead of the scope"},
		{`"bk_biz_id": ""`, store.Scope{}, "", "bk_scope_type: missing, must be " + both + ", or bk_biz_id instead of the scope"},
		{`"bk_biz_id": 2, "bk_biz_id": 2`, store.Scope{}, "", "body: bk_biz_id: duplicate field"},
		{`"BK_BIZ_ID": 2`, store.Scope{}, "", "body: bk_biz_id: the field name is spelled bk_biz_id"},
	} {
		p := newPlatform(t, httpapi.Caller{Person: "ann", AllScopes: true})
		p.create(c.scope, confirmation(), confirmation())
		for _, call := range []struct{ name, more string }{
			{"get_job_instance_status", ""}, {"operate_job_instance", `"operation_code": 2`}, {"operate_step_instance", `"step_instance_id": 1, "operation_code": 6`},
		} {
			text := "{" + c.fields + `, "job_instance_id": 100`
			if call.more != "" {
				text += ", " + call.more
			}
			answer := p.send("POST", "/api/v3/"+call.name, text+"}")
			if c.message != "" && (answer.Code != 1241002 || answer.Message != c.message) || c.message == "" && answer.Code != 0 {
				t.Errorf("%s of %s: %+v, want %q", call.name, c.fields, answer, cmp.Or(c.message, "success"))
			}
			if told := fmt.Sprintf(`"bk_biz_id":%s,`, c.told); call.more == "" && answer.Data != nil && !strings.Contains(string(*answer.Data), told) {
				t.Errorf("%s: %s, want it with %s", c.fields, *answer.Data, told)
			}
		}
	}
	p := newPlatform(t, httpapi.Caller{Person: "ann", AllScopes: true})
	p.create(store.Scope{Type: "biz", ID: "2"}, confirmation())
	if answer := p.send("GET", "/api/v3/get_job_instance_status/?bk_biz_id=2&bk_scope_type=&job_instance_id=100", ""); answer.Code != 0 {
		t.Errorf("bk_biz_id in a query: %+v", answer)
	}
}

// The answer has the client's request id if it is well-formed, or else a new one.
func TestReferenceRequestID(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	long := strings.Repeat("x", 64)
	made := map[string]bool{}
	for _, c := range []struct{ bkapi, plain, want string }{
		{"a-B_9", "", "a-B_9"}, {"", "plain", "plain"}, {"first", "second", "first"}, {"no good", "second", "second"}, {long, "", long},
		{long + "x", "", ""}, {"", "", ""}, {"a b", "ä", ""}, {"<script>", "a\nb", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v3/get_job_instance_status", nil)
		r.Header.Set("X-Bkapi-Request-Id", c.bkapi)
		r.Header.Set("X-Request-Id", c.plain)
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		got := readEnvelope(t, c.bkapi, w).RequestID
		if c.want != "" && got != c.want || c.want == "" && (len(got) != 36 || made[got]) {
			t.Errorf("request id of %q, %q: %q, want %q or a new one", c.bkapi, c.plain, got, c.want)
		}
		made[got] = true
	}
}

// The request id is no idempotency key: clients send one id for several requests.
func TestReferenceRequestIDIsNotTheEngines(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	job := p.create(biz, confirmation(), confirmation())
	p.start(job)
	for _, id := range []int{1, 2} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/operate_step_instance",
			strings.NewReader(body(job, fmt.Sprintf(`, "step_instance_id": %d, "operation_code": 6`, id))))
		r.Header.Set("X-Request-Id", "0197c4f0-0000-7000-8000-000000000001")
		w := httptest.NewRecorder()
		p.api.ServeHTTP(w, r)
		if answer := readEnvelope(t, "confirm", w); answer.Code != 0 || answer.RequestID != r.Header.Get("X-Request-Id") {
			t.Errorf("step %d: %+v, want it confirmed", id, answer)
		}
	}
}

// A job of a scope that the caller does not see, or of another scope than the request names, has the
// same answer as a job that never existed, byte for byte, on every call.
func TestReferenceWrongScopeIsNoSuchJob(t *testing.T) {
	other := store.Scope{Type: "biz", ID: "2"}
	set := store.Scope{Type: "biz_set", ID: "1"}
	calls := []struct{ method, target, more string }{
		{"POST", "/api/v3/operate_job_instance", `, "operation_code": 2`},
		{"POST", "/api/v3/operate_job_instance", `, "operation_code": 1`},
		{"POST", "/api/v3/operate_step_instance", `, "step_instance_id": 1, "operation_code": 6`},
		{"POST", "/api/v3/operate_step_instance", `, "step_instance_id": 9, "operation_code": 2`},
		{"POST", "/api/v3/get_job_instance_status", ``},
		{"POST", "/api/v3/get_job_instance_status", `, "return_ip_result": true`},
		{"GET", "/api/v3/get_job_instance_status", ``},
	}
	for _, caller := range []httpapi.Caller{{Person: "ann", Scope: biz}, {Person: "ann", AllScopes: true}} {
		p := newPlatform(t, caller)
		jobs := []store.JobID{p.create(biz, confirmation()), p.create(other, confirmation()), p.create(set, confirmation())}
		ask := func(c struct{ method, target, more string }, in store.Scope, job store.JobID) (envelope, []byte) {
			if c.method == "GET" {
				return p.sendRaw("GET", fmt.Sprintf("%s?bk_scope_type=%s&bk_scope_id=%s&job_instance_id=%d", c.target, in.Type, in.ID, job), "")
			}
			return p.sendRaw("POST", c.target, fmt.Sprintf(`{"bk_scope_type": %q, "bk_scope_id": %q, "job_instance_id": %d%s}`, in.Type, in.ID, job, c.more))
		}
		for _, c := range calls {
			answer, never := ask(c, biz, 12345)
			if answer.Code != 1244006 {
				t.Fatalf("%s %s: a job that never was: %s, want 1244006", c.method, c.target, never)
			}
			for i, in := range []store.Scope{biz, other, set} {
				for k, job := range jobs {
					if i == k && (caller.AllScopes || i == 0) {
						continue // it is there
					}
					if _, got := ask(c, in, job); !bytes.Equal(got, never) {
						t.Errorf("%s %s%s of job %d in %v:\n got %swant %s", c.method, c.target, c.more, job, in, got, never)
					}
				}
			}
		}
		for _, job := range jobs {
			if n := len(p.history(job)); n != 1 {
				t.Errorf("job %d has %d records, want 1", job, n)
			}
		}
	}
}

// checkGolden compares text with a file of testdata.
func checkGolden(t testing.TB, name, text string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is not what comes; -update writes it.\n got %s\nwant %s", path, text, want)
	}
}

// The documented request, word for word, and the documented answer.
func TestReferenceDocument(t *testing.T) {
	request, err := os.ReadFile("testdata/operate_step_instance.request.json")
	if err != nil {
		t.Fatal(err)
	}
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	steps := make([]step.Spec, 200)
	for i := range steps {
		steps[i] = confirmation()
	}
	steps[199] = script("10.0.0.1", "10.0.0.2")
	job := p.create(biz, steps...)
	p.start(job)
	for i := range 199 {
		_, err := p.eng.Operate(t.Context(), job, step.ID(i+1), operation.Confirm, engine.Request{})
		p.must(err)
	}
	_, err = p.eng.Report(t.Context(), engine.Report{Job: job, Step: 200, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetSucceeded}}, {Target: 1, Result: store.Result{Status: step.NonZeroExit}},
	}})
	p.must(err)
	_, got := p.sendRaw("POST", "/api/v3/operate_step_instance/", string(request))
	checkGolden(t, "operate_step_instance.response.json", indented(t, got))
	if s, err := p.eng.Step(t.Context(), job, 200); s.State != step.Running || s.Attempt != 2 || s.Unfinished != 1 || err != nil {
		t.Errorf("step 200 is %v in attempt %d with %d targets left, %v; want 1 target to run in attempt 2", s.State, s.Attempt, s.Unfinished, err)
	}
	var answer, documented map[string]any
	p.must(json.Unmarshal(got, &answer))
	p.must(json.Unmarshal([]byte(`{"result": true, "code": 0, "message": "success", "data": {"step_instance_id": 200, "job_instance_id": 100}}`), &documented))
	for name, want := range documented {
		if fmt.Sprint(answer[name]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, and documented as %v", name, answer[name], want)
		}
	}
}

func indented(t testing.TB, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The status in every kind of state: numbers, milliseconds, and null for absent values.
func TestReferenceStatus(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	const status = "/api/v3/get_job_instance_status"
	job := p.create(biz, confirmation("ann"), script("101", "3:10.0.0.2", "10.0.0.3", "web-4"), step.Spec{Type: step.FileTransfer, Name: "copy", Targets: []string{"10.0.0.5"}})
	var story strings.Builder
	tell := func(what, more string) {
		t.Helper()
		_, got := p.sendRaw("POST", status, body(job, more))
		fmt.Fprintf(&story, "# %s\n%s\n", what, indented(t, got))
	}
	all := `, "return_ip_result": true`
	tell("created, without targets", "")
	tell("created", all)
	p.start(job)
	_, err := p.eng.Operate(t.Context(), job, 1, operation.TerminateConfirmation, engine.Request{By: "ann"})
	p.must(err)
	_, err = p.eng.Operate(t.Context(), job, 1, operation.RestartConfirmation, engine.Request{})
	p.must(err)
	_, err = p.eng.Operate(t.Context(), job, 1, operation.Confirm, engine.Request{By: "ann"})
	p.must(err)
	report := func(outcome step.Cause, results ...engine.TargetResult) {
		t.Helper()
		s, err := p.eng.Step(t.Context(), job, 2)
		p.must(err)
		_, err = p.eng.Report(t.Context(), engine.Report{Job: job, Step: 2, Attempt: s.Attempt, Outcome: outcome, Results: results})
		p.must(err)
	}
	report(0,
		engine.TargetResult{Target: 0, Result: store.Result{Status: step.TargetSucceeded, Started: 7000, Finished: 7250, Detail: "v1.2"}},
		engine.TargetResult{Target: 1, Result: store.Result{Status: step.NonZeroExit, ExitCode: 3, Started: 7000, Finished: 7900}},
		engine.TargetResult{Target: 2, Result: store.Result{Status: step.TargetRunning, Started: 7100}},
	)
	tell("running", all)
	report(step.Broke)
	tell("abnormal: two targets have no result", all)
	_, err = p.eng.Operate(t.Context(), job, 2, operation.RetryFailed, engine.Request{})
	p.must(err)
	report(0,
		engine.TargetResult{Target: 1, Result: store.Result{Status: step.TargetSucceeded, Started: 12000, Finished: 12001}},
		engine.TargetResult{Target: 2, Result: store.Result{Status: step.ScriptTerminated, ExitCode: -9, Started: 12000, Finished: 12001}},
		engine.TargetResult{Target: 3, Result: store.Result{Status: step.NotDelivered}},
	)
	tell("failed in the second attempt", all)
	_, err = p.eng.Operate(t.Context(), job, 2, operation.IgnoreError, engine.Request{})
	p.must(err)
	_, err = p.eng.OperateJob(t.Context(), job, operation.TerminateJob, engine.Request{})
	p.must(err)
	_, err = p.eng.Operate(t.Context(), job, 3, operation.ForcedSkip, engine.Request{})
	p.must(err)
	tell("ended", all)
	checkGolden(t, "get_job_instance_status.txt", story.String())

	_, posted := p.sendRaw("POST", status, body(job, all))
	_, got := p.sendRaw("GET", status+"?bk_scope_type=biz&bk_scope_id=1&job_instance_id=100&return_ip_result=true", "")
	if !bytes.Equal(got, posted) {
		t.Errorf("GET answers\n%s\nPOST\n%s", got, posted)
	}
}

// The answer has a target as Config.Host returns it.
func TestReferenceHost(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", AllScopes: true})
	p.api = httpapi.New(p.eng, httpapi.Config{
		Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{AllScopes: true}, nil
		},
		Host: func(target string) httpapi.Host { return httpapi.Host{ID: 7, CloudID: 8, IP: "ip of " + target} },
	})
	job := p.create(biz, script("a"))
	answer := p.send("POST", "/api/v3/get_job_instance_status", body(job, `, "return_ip_result": true`))
	if want := `"step_ip_result_list":[{"bk_host_id":7,"ip":"ip of a","bk_cloud_id":8,`; !strings.Contains(string(*answer.Data), want) {
		t.Errorf("data %s, want it with %s", *answer.Data, want)
	}
}

// A status has at most 200,000 targets, of all steps together. With one more it names the call that
// lists them. A status costs one snapshot, and two if it is large.
func TestReferenceStatusOfManyTargets(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	p := newPlatform(t, httpapi.Caller{})
	p.eng = engine.New(faults)
	p.api = httpapi.New(p.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
		return httpapi.Caller{Scope: biz}, nil
	}})
	names := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprint(i + 1)
		}
		return list
	}
	status := func(job store.JobID, more string, snapshots int) envelope {
		t.Helper()
		before := faults.Calls(storetest.Snapshot)
		answer := p.send("POST", "/api/v3/get_job_instance_status", body(job, more))
		if n := faults.Calls(storetest.Snapshot) - before; n != snapshots {
			t.Errorf("job %d%s: %d snapshots, want %d", job, more, n, snapshots)
		}
		return answer
	}
	const all = `, "return_ip_result": 1`
	few := p.create(biz, script(names(500)...), script(names(499)...))
	if answer := status(few, all, 1); answer.Code != 0 || strings.Count(string(*answer.Data), `"ip":`) != 999 {
		t.Errorf("999 targets: %.300v", answer)
	}
	fifty := names(50_000)
	most := p.create(biz, script(fifty...), confirmation(), script(fifty...), script(fifty...), script(fifty...))
	before := faults.Calls(storetest.Snapshot)
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/get_job_instance_status", strings.NewReader(body(most, all))))
	var told []int // how many targets each step has; of so much text, decoding would take longer than all else
	for part := range strings.SplitSeq(w.Body.String(), `"step_ip_result_list":[`) {
		told = append(told, strings.Count(part, `{"bk_host_id":`))
	}
	if n := faults.Calls(storetest.Snapshot) - before; n != 2 || !strings.HasPrefix(w.Body.String(), `{"result":true,`) || !slices.Equal(told, []int{0, 50_000, 0, 50_000, 50_000, 50_000}) {
		t.Errorf("200,000 targets: %d snapshots, steps with %v targets: %.200s", n, told, w.Body)
	}
	more := p.create(biz, script(fifty...), script(fifty...), script(fifty...), script(fifty...), script("a"))
	answer := status(more, all, 1)
	if want := fmt.Sprintf("return_ip_result: the job has 200001 targets, the maximum is 200000: read them in pages with GET /v1/jobs/%d/steps/{step}/targets", more); answer.Code != 1241002 || answer.Message != want {
		t.Errorf("200,001 targets: %+v, want 1241002 and %q", answer, want)
	}
	if answer = status(more, "", 1); answer.Code != 0 {
		t.Errorf("200,001 targets that are not asked for: %+v", answer)
	}
}

// Header, steps and targets show one moment, however fast the job moves. A client polls jobs of 20
// steps of 5 targets, whose steps end one after another without a pause, until it has 500 answers. No
// poll is refused.
func TestReferenceStatusIsOfOneMoment(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Scope: biz})
	answers, enough := 0, 500
	if testing.Short() {
		enough = 50
	}
	for answers < enough {
		steps := make([]step.Spec, 20)
		for i := range steps {
			steps[i] = script("a", "b", "c", "d", "e")
		}
		job := p.create(biz, steps...)
		p.start(job)
		ended := make(chan error, 1)
		go func() { ended <- p.run(job, 20, 5) }()
		for running := true; running; answers++ {
			select {
			case err := <-ended:
				p.must(err)
				running = false
			default:
			}
			answer := p.send("POST", "/api/v3/get_job_instance_status", body(job, `, "return_ip_result": true`))
			if answer.Code != 0 {
				t.Fatalf("answer %d: %d %q", answers, answer.Code, answer.Message)
			}
			if err := ofOneMoment(*answer.Data, 5); err != nil {
				t.Fatalf("answer %d: %v in %s", answers, err, *answer.Data)
			}
		}
	}
}

// run reports the success of each target of a job, step by step.
func (p *platform) run(job store.JobID, steps, targets int) error {
	for id := range steps {
		r := engine.Report{Job: job, Step: step.ID(id + 1), Attempt: 1}
		for i := range targets {
			r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: step.TargetSucceeded}})
		}
		if _, err := p.eng.Report(p.Context(), r); err != nil {
			return err
		}
	}
	return nil
}

// ofOneMoment returns why a status cannot show one moment of a job whose steps succeed one after
// another, all targets of a step at once.
func ofOneMoment(data []byte, targets int) error {
	const succeeded, running, pending = 3, 2, 1
	var job struct {
		Finished bool
		Job      struct{ Status int } `json:"job_instance"`
		Steps    []struct {
			Status  int
			Targets []struct{ Status int } `json:"step_ip_result_list"`
		} `json:"step_instance_list"`
	}
	if err := json.Unmarshal(data, &job); err != nil {
		return err
	}
	at := 0
	for at < len(job.Steps) && job.Steps[at].Status == succeeded {
		at++
	}
	if want := map[bool]int{true: succeeded, false: running}[at == len(job.Steps)]; job.Job.Status != want || job.Finished != (want == succeeded) {
		return fmt.Errorf("the job is %d with %d of %d steps succeeded", job.Job.Status, at, len(job.Steps))
	}
	for i, s := range job.Steps {
		wantStep, wantTarget := pending, 5
		switch {
		case i < at:
			wantStep, wantTarget = succeeded, 9
		case i == at:
			wantStep = running
		}
		if s.Status != wantStep || len(s.Targets) != targets {
			return fmt.Errorf("step %d is %d with %d targets, after %d steps that succeeded", i+1, s.Status, len(s.Targets), at)
		}
		for k, t := range s.Targets {
			if t.Status != wantTarget {
				return fmt.Errorf("target %d of step %d is %d, and the step is %d", k, i+1, t.Status, s.Status)
			}
		}
	}
	return nil
}

// down is a failing store, whose errors are not for clients.
type down struct {
	store.Store
	view, commit error
}

func (d *down) View(ctx context.Context, q store.Query) (store.View, error) {
	if d.view != nil {
		return store.View{}, d.view
	}
	return d.Store.View(ctx, q)
}

func (d *down) Commit(ctx context.Context, c store.Change) error {
	if d.commit != nil {
		return d.commit
	}
	return d.Store.Commit(ctx, c)
}

// The answer to a failure says what the client can do, and does not contain the error.
func TestReferenceFailures(t *testing.T) {
	for _, c := range []struct {
		down    down
		message string
	}{
		{down{view: errors.New("s3cret")}, "the server failed, nothing was done: repeat the request later"},
		{down{commit: store.ErrConflict}, "concurrent changes of the job, nothing was done: repeat the request"},
		{down{commit: errors.New("s3cret")}, "the outcome is unknown: read the job's status before you repeat the request"},
	} {
		st := &down{Store: memstore.New()}
		p := newPlatform(t, httpapi.Caller{})
		p.eng = engine.New(st)
		p.api = httpapi.New(p.eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Scope: biz}, nil
		}})
		job := p.create(biz, confirmation())
		st.view, st.commit = c.down.view, c.down.commit
		answer := p.send("POST", "/api/v3/operate_job_instance", body(job, `, "operation_code": 2`))
		if answer.Code != 1240002 || answer.Message != c.message {
			t.Errorf("%+v, want 1240002 and %q", answer, c.message)
		}
	}
}
