package httpapi_test

import (
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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

// authorize admits operators to every request, and other people to confirmations, which their confirmers decide.
func authorize(operators ...string) func(context.Context, engine.Access) error {
	return func(_ context.Context, a engine.Access) error {
		confirms := a.Cause == operation.Confirm.Cause() || a.Cause == operation.TerminateConfirmation.Cause()
		if confirms || slices.Contains(operators, a.Actor) {
			return nil
		}
		return engine.Public("for operators only") // the client reads this text
	}
}

// observer logs requests, and counts them by cause or by the reason of a refusal.
func observer(log *slog.Logger, counts *expvar.Map) engine.Observer {
	return engine.Observer{
		Accepted: func(ctx context.Context, r store.Record, took time.Duration) {
			counts.Add("accepted "+r.Cause.String(), 1)
			counts.AddFloat("seconds", took.Seconds())
			log.InfoContext(ctx, "accepted", "job", r.Job, "step", r.Step, "cause", r.Cause, "by", r.Actor, "state", r.JobTo)
		},
		Refused: func(ctx context.Context, r *engine.Refusal, _ time.Duration) {
			counts.Add("refused "+r.Reason.String(), 1)
			log.WarnContext(ctx, "refused", "reason", r.Reason, "by", r.Actor, "error", r)
		},
		Failed: func(ctx context.Context, err error) {
			counts.Add("failed", 1)
			log.ErrorContext(ctx, "failed", "error", err)
		},
	}
}

// readTokens reads the callers by token from a JSON file, which only the service's account can read:
// {"TOKEN": {"Person": "ann", "AllScopes": true}, "TOKEN": {"Executor": true, "Scope": {"type": "biz", "id": "2"}}}.
func readTokens(file string) (tokens httpapi.Tokens, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields() // a misspelled limit would be none
	err = d.Decode(&tokens)
	return tokens, err
}

// A service authorizes people, and logs and counts requests and failures of all parts.
func ExampleConfig() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // without times and ids, which differ each time
			if a.Key == slog.TimeKey || a.Key == "job" {
				return slog.Attr{}
			}
			return a
		},
	}))
	counts := new(expvar.Map) // a service has expvar.NewMap("stepgate")
	st := memstore.New()
	run := func(context.Context, *executor.Task, executor.Host) store.Result {
		return store.Result{Status: step.TargetSucceeded}
	}
	file := filepath.Join(os.TempDir(), "stepgate-example-tokens.json")
	defer os.Remove(file)
	_ = os.WriteFile(file, []byte(`{
		"ann's": {"Person": "ann", "AllScopes": true},
		"bob's": {"Person": "bob", "Scope": {"type": "biz", "id": "2"}},
		"eve's": {"Person": "eve"}
	}`), 0o600)
	tokens, err := readTokens(file)
	if err != nil {
		fmt.Println(err)
		return
	}

	eng := engine.New(st, engine.WithAuthorizer(authorize("ann")), engine.WithObserver(observer(log, counts)))
	x := executor.New(eng, executor.Hosts(step.Script, run), executor.Failed(func(ctx context.Context, err error) {
		log.ErrorContext(ctx, "executor", "error", err)
	}))
	api := httpapi.New(eng, httpapi.Config{
		Identify: tokens.Identify,
		Failed: func(r *http.Request, err error) {
			log.ErrorContext(r.Context(), "http", "path", r.URL.Path, "error", err)
		},
	})

	go x.Run(ctx) // a service leaves this to ListenAndServe
	for _, token := range []string{"ann's", "bob's", "eve's"} {
		r := httptest.NewRequestWithContext(ctx, "POST", "/v1/jobs", strings.NewReader(`{"name": "n", "steps": [{"type": "confirmation", "name": "go?"}]}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		fmt.Println(token, w.Code)
	}
	fmt.Println("accepted:", counts.Get("accepted created"), "refused:", counts.Get("refused denied"))
	// Output:
	// level=INFO msg=accepted step=0 cause=created by=ann state=pending
	// ann's 201
	// level=WARN msg=refused reason=denied by=bob error="job: creation denied to bob: for operators only"
	// bob's 403
	// level=ERROR msg=http path=/v1/jobs error="Identify returned a Caller without AllScopes and without a Scope of a type and an id"
	// eve's 500
	// accepted: 1 refused: 1
}
