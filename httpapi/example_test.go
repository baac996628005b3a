package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
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

// identify returns the authenticated person, and the scope of the jobs that they see.
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
	api := loggedIn(httpapi.New(eng, httpapi.Config{Identify: identify}))
	mux.Handle("/v1/", api)
	mux.Handle("/api/", api)

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
	// POST /v1/jobs/1/steps/1/operate: 409 {"type":"urn:stepgate:problem:wrong_state","title":"the operation is not legal in this state","status":409,"detail":"job 1, step 1: confirm (6) is not legal in succeeded, only in waiting; legal now: none","reason":"wrong_state","job":1,"step":1,"cause":"confirm","current":1,"version":3,"attempt":1,"step_type":"confirmation","state":"succeeded","job_state":"succeeded","legal":["comment_job"],"legal_from":["waiting"]}
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

// Tokens are callers by bearer token: here a person, and a worker that serves the scripts of one scope.
func ExampleTokens() {
	scope := store.Scope{Type: "biz", ID: "2"}
	tokens := httpapi.Tokens{
		os.Getenv("ANN_TOKEN"):    {Person: "ann", Scope: scope},
		os.Getenv("WORKER_TOKEN"): {Name: "worker-3", Executor: true, Scope: scope, Types: step.TypesOf(step.Script)},
	}
	api := httpapi.New(engine.New(memstore.New()), httpapi.Config{Identify: tokens.Identify})

	r := httptest.NewRequest("GET", "/v1/jobs", nil)
	r.Header.Set("Authorization", "Bearer ") // an empty token admits no caller, even if a variable is not set
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	fmt.Println(w.Code)
	// Output: 401
}

// A worker in any language claims a run over HTTP, reports the results and settles the claim.
func ExampleAPI_claim() {
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 1 }))
	server := httptest.NewServer(httpapi.New(eng, httpapi.Config{Identify: httpapi.Tokens{
		"worker-token": {Name: "worker-3", Executor: true, AllScopes: true},
	}.Identify}))
	defer server.Close()
	ctx := context.Background()
	_, _ = eng.Create(ctx, engine.JobSpec{Name: "restart", Steps: []step.Spec{
		{Type: step.Script, Name: "restart", Targets: []string{"web-1"}, Payload: "systemctl restart app"},
	}}, engine.Request{})
	_, _ = eng.OperateJob(ctx, 1, operation.StartJob, engine.Request{By: "ann"})

	post := func(path, body string) (answer []byte) {
		r, _ := http.NewRequestWithContext(ctx, "POST", server.URL+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer worker-token")
		r.Header.Set("Content-Type", "application/json")
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return nil
		}
		defer w.Body.Close()
		answer, _ = io.ReadAll(w.Body)
		fmt.Println("POST", path, w.StatusCode)
		return answer
	}
	var claimed struct {
		Items []struct {
			Effect  string
			Seq     int
			Attempt int
			Count   int
			Token   string
			Step    struct{ Name, Payload string }
		}
	}
	_ = json.Unmarshal(post("/v1/effects/claim", `{"effects": ["run"], "types": ["script"], "lease_ms": 60000}`), &claimed)
	for _, d := range claimed.Items {
		fmt.Println(d.Effect, d.Step.Name, "attempt", d.Attempt, "-", d.Step.Payload)
		fmt.Printf("%s", post("/v1/jobs/1/steps/1/report", `{"attempt": 1, "results": [{"target": 0, "status": "succeeded"}]}`))
		post(fmt.Sprintf("/v1/jobs/1/effects/%d/settle", d.Seq), fmt.Sprintf(`{"count": %d, "token": %q}`, d.Count, d.Token))
	}
	// Output:
	// POST /v1/effects/claim 200
	// run restart attempt 1 - systemctl restart app
	// POST /v1/jobs/1/steps/1/report 200
	// {"seq":3,"state":"succeeded","job_state":"succeeded","accepted":1,"repeated":0,"rejected":[]}
	// POST /v1/jobs/1/effects/2/settle 204
}

// A whole service: a store, an engine, an executor, the API, and a stop that ends them in order. A program
// takes ctx from signal.NotifyContext; examples/service is one.
func ExampleListenAndServe() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 1 }))
	x := executor.New(eng, executor.Drain(time.Minute), executor.Hosts(step.Script, func(context.Context, *executor.Task, executor.Host) store.Result {
		stop() // SIGTERM, while a step runs
		return store.Result{Status: step.TargetSucceeded}
	}))
	tokens := httpapi.Tokens{"ann-token": {Person: "ann", AllScopes: true}}
	_, _ = eng.Create(ctx, engine.JobSpec{Name: "restart", Steps: []step.Spec{
		{Type: step.Script, Name: "restart", Targets: []string{"web-1"}},
	}}, engine.Request{})
	_, _ = eng.OperateJob(ctx, 1, operation.StartJob, engine.Request{By: "ann"})

	api := httpapi.New(eng, httpapi.Config{Identify: tokens.Identify})
	fmt.Println("served:", httpapi.ListenAndServe(ctx, "127.0.0.1:0", api, x.Run))
	job, err := eng.Job(context.Background(), 1)
	fmt.Println("the job is", job.State, err)
	// Output:
	// served: <nil>
	// the job is succeeded <nil>
}
