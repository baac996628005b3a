package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// failures are the errors that Config.Failed received.
type failures struct {
	mu   sync.Mutex // guards all below
	errs []error
	last *http.Request
}

func (f *failures) failed(r *http.Request, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs, f.last = append(f.errs, err), r
}

// taken returns the errors since the last call.
func (f *failures) taken() []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := f.errs
	f.errs = nil
	return errs
}

// A Caller that contradicts itself is a failure of the server: the client learns nothing of it, and
// Config.Failed the reason. The zero Caller is unknown, and no failure.
func TestACallerThatContradictsItself(t *testing.T) {
	r := newRig(t)
	path := fmt.Sprintf("/v1/jobs/%d", r.asking())
	for want, callers := range map[string][]httpapi.Caller{
		"Identify returned a Caller without AllScopes and without a Scope of a type and an id": {
			{Person: "ann"}, {Name: "worker", Executor: true}, {Person: "ann", Scope: store.Scope{Type: "biz"}}, {Person: "ann", Scope: store.Scope{ID: "2"}},
		},
		"Identify returned a Caller with AllScopes and with a Scope": {{Person: "ann", Scope: scope, AllScopes: true}},
		"Identify returned a Caller with Types and without Executor": {{Person: "ann", Scope: scope, Types: step.TypesOf(step.Script)}},
		"": {{}},
	} {
		for _, c := range callers {
			var f failures
			r.api = httpapi.New(r.eng, httpapi.Config{Failed: f.failed, Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) { return c, nil }})
			native := r.ask("", "GET", path, "")
			body := httptest.NewRecorder()
			r.api.ServeHTTP(body, httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/get_job_instance_status", strings.NewReader(`{}`)))
			got := fmt.Sprint(f.taken())
			if want == "" {
				if native.Code != 401 || !strings.Contains(body.Body.String(), `"code":9900403`) || got != "[]" {
					t.Errorf("the zero Caller: %d, %s, Failed received %s; want 401, 9900403 and nothing", native.Code, body.Body, got)
				}
				continue
			}
			if native.Code != 500 || strings.Contains(native.Body.String(), "detail") || !strings.Contains(body.Body.String(), `"code":1240002,"message":"the server failed,`) {
				t.Errorf("%+v: the client gets %d, %s and %s; want 500 without a detail, and 1240002", c, native.Code, native.Body, body.Body)
			}
			if got != fmt.Sprintf("[%s %[1]s]", want) {
				t.Errorf("%+v: Failed received %s, want %q of each call", c, got, want)
			}
		}
	}
}

// Config.Failed receives the errors of the store, which no client sees, and no refusal. It receives none
// for a client that has left.
func TestFailedReceivesTheErrorsOfTheStore(t *testing.T) {
	r, f := newRig(t), failures{}
	st := &failing{Store: r.st}
	r.api = httpapi.New(engine.New(st), httpapi.Config{Identify: asPerson, Failed: f.failed})
	job := r.asking()
	path := fmt.Sprintf("/v1/jobs/%d", job)
	r.want(409, "ann", "POST", path+"/start", "")
	r.want(404, "ann", "GET", "/v1/jobs/1", "")
	if errs := f.taken(); len(errs) > 0 {
		t.Errorf("refusals: Failed received %v", errs)
	}

	secret := func(what string) {
		t.Helper()
		if errs := f.taken(); len(errs) != 1 || !errors.Is(errs[0], errSecret) {
			t.Errorf("%s: Failed received %v, want the error of the store", what, errs)
		}
	}
	reference := func() {
		t.Helper()
		body := fmt.Sprintf(`{"bk_scope_type":"biz","bk_scope_id":"2","job_instance_id":%d,"step_instance_id":1,"operation_code":6}`, job)
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v3/operate_step_instance", strings.NewReader(body))
		req.Header.Set("X-Person", "ann")
		req.Header.Set("X-Bkapi-Authorization", `{"bk_token": "s3cret"}`)
		r.api.ServeHTTP(httptest.NewRecorder(), req)
	}
	st.commit.Store(true)
	r.want(500, "ann", "POST", path+"/steps/1/operate", `{"code":"confirm"}`)
	secret("a commit")
	reference()
	secret("a commit of a reference call")
	st.view.Store(true)
	r.want(500, "ann", "GET", path, "")
	secret("a read")
	reference()
	secret("a read of a reference call")
	if len(f.last.Header.Values("X-Bkapi-Authorization")) > 0 || f.last.Header.Get("X-Person") != "ann" {
		t.Errorf("the request of a reference call has the header %v, want it without the credentials", f.last.Header)
	}

	left, leave := context.WithCancel(t.Context())
	leave()
	req := httptest.NewRequestWithContext(left, "GET", path, nil)
	req.Header.Set("X-Person", "ann")
	r.api.ServeHTTP(httptest.NewRecorder(), req)
	if errs := f.taken(); len(errs) > 0 {
		t.Errorf("a client that has left: Failed received %v", errs)
	}
}
