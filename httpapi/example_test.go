package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The embedder's own authentication, which knows one token.
func loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer ann's" {
			r = r.WithContext(context.WithValue(r.Context(), personKey{}, "ann"))
		}
		next.ServeHTTP(w, r)
	})
}

type personKey struct{}

// identify tells the API whom the authentication has found, and which jobs she sees.
func identify(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
	person, ok := r.Context().Value(personKey{}).(string)
	if !ok {
		return httpapi.Caller{}, errors.New("not logged in")
	}
	return httpapi.Caller{Person: person, Scope: store.Scope{Type: "biz", ID: "2"}}, nil
}

// The API is mounted under the embedder's own authentication.
func ExampleNew() {
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 1 }))
	mux := http.NewServeMux()
	mux.Handle("/v1/", loggedIn(httpapi.New(eng, httpapi.Config{Identify: identify})))

	ask := func(token, method, path, body string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		text := w.Body.String()
		if w.Code < 300 {
			text = "ETag " + w.Header().Get("ETag") + "\n"
		}
		fmt.Print(method, " ", path, ": ", w.Code, " ", text)
	}
	ask("", "GET", "/v1/jobs/1", "")
	ask("Bearer ann's", "POST", "/v1/jobs", `{"name": "release", "steps": [{"type": "confirmation", "name": "go?"}]}`)
	ask("Bearer ann's", "POST", "/v1/jobs/1/start", `{"reason": "as planned"}`)
	ask("Bearer ann's", "POST", "/v1/jobs/1/steps/1/operate", `{"code": "confirm"}`)
	ask("Bearer ann's", "POST", "/v1/jobs/1/steps/1/operate", `{"code": "confirm"}`)
	// Output:
	// GET /v1/jobs/1: 401 {"type":"urn:stepgate:problem:unauthenticated","title":"the caller is unknown","status":401,"reason":"unauthenticated"}
	// POST /v1/jobs: 201 ETag "1"
	// POST /v1/jobs/1/start: 200 ETag "2"
	// POST /v1/jobs/1/steps/1/operate: 200 ETag "3"
	// POST /v1/jobs/1/steps/1/operate: 409 {"type":"urn:stepgate:problem:wrong_state","title":"the operation is not legal in this state","status":409,"detail":"job 1, step 1: confirm (6) is not legal in succeeded, only in waiting; legal now: none","reason":"wrong_state","job":1,"step":1,"cause":"confirm","current":1,"version":3,"attempt":1,"step_type":"confirmation","state":"succeeded","job_state":"succeeded","legal":[],"legal_from":["waiting"]}
}

// A worker's token admits it to the scripts of one business, and to nothing else.
func ExampleCaller() {
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 1 }))
	scope := store.Scope{Type: "biz", ID: "2"}
	api := httpapi.New(eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
		return httpapi.Caller{Scope: scope, Executor: true, Types: step.TypesOf(step.Script)}, nil
	}})
	ctx := context.Background()
	_, _ = eng.Create(ctx, engine.JobSpec{Name: "release", Scope: scope, Steps: []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: []string{"web-1"}},
	}}, engine.Request{})
	_, _ = eng.OperateJob(ctx, 1, operation.StartJob, engine.Request{})

	ask := func(path, body string) {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	ask("/v1/effects/claim", `{}`)
	ask("/v1/effects/claim", `{"types": ["file_transfer"]}`)
	ask("/v1/jobs/1/steps/1/report", `{"attempt": 1, "outcome": "stopped"}`)
	ask("/v1/jobs/1/terminate", `{}`)
	// Output:
	// 200 {"items":[]}
	// 403 {"type":"urn:stepgate:problem:type_not_served","title":"the executor does not serve steps of this type","status":403,"detail":"it serves runs and stops of: script","reason":"type_not_served"}
	// 403 {"type":"urn:stepgate:problem:type_not_served","title":"the executor does not serve steps of this type","status":403,"detail":"it serves runs and stops of: script","reason":"type_not_served"}
	// 403 {"type":"urn:stepgate:problem:denied","title":"the person lacks the permission","status":403,"detail":"an executor claims and reports; this is for a person","reason":"denied","job":1,"step":1,"cause":"terminate_job"}
}
