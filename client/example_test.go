package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/stepgate/stepgate/client"
	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// bearer has each request carry a token.
func bearer(token string) client.Option {
	return client.WithHeader(func(_ context.Context, h http.Header) error {
		h.Set("Authorization", "Bearer "+token)
		return nil
	})
}

// newServer serves an engine to ann, a person, and to a worker for scripts that is an executor and
// no person.
func newServer(eng *engine.Engine) *httptest.Server {
	return httptest.NewServer(httpapi.New(eng, httpapi.Config{Identify: func(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
		scope := store.Scope{Type: "biz", ID: "2"}
		switch r.Header.Get("Authorization") {
		case "Bearer ann's":
			return httpapi.Caller{Person: "ann", Scope: scope}, nil
		case "Bearer worker's":
			return httpapi.Caller{Scope: scope, Executor: true}, nil
		}
		return httpapi.Caller{}, errors.New("unknown token")
	}}))
}

// A worker on another host is an executor on a client. It needs no engine and no store.
func Example() {
	server := newServer(engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 1 })))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The worker.
	worker, _ := client.New(server.URL, bearer("worker's"))
	x := executor.New(worker, executor.Hosts(step.Script, func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		if h.Name == "web-2" {
			return store.Result{Status: step.NonZeroExit, ExitCode: 3, Detail: "disk full"}
		}
		return store.Result{Status: step.TargetSucceeded}
	}))
	go x.Run(ctx)

	// A person, elsewhere.
	ann, _ := client.New(server.URL, bearer("ann's"))
	job, _ := ann.Create(ctx, engine.JobSpec{Name: "restart", Steps: []step.Spec{
		{Type: step.Script, Name: "restart", Targets: []string{"web-1", "web-2"}},
	}}, engine.Request{})
	ann.OperateJob(ctx, job.ID, operation.StartJob, engine.Request{Because: "as planned"})
	for r, err := range ann.WatchMoves(ctx, job.ID, 0) {
		if err != nil || r.JobTo.Finished() {
			fmt.Println("the job is", r.JobTo, err)
			break
		}
	}
	targets, err := ann.Targets(ctx, job.ID, 1, engine.TargetQuery{Class: store.FailedTargets})
	for _, t := range targets {
		fmt.Printf("%s: %v, exit code %d: %s\n", t.Name, t.Status, t.ExitCode, t.Detail)
	}
	fmt.Println(err)

	// The worker is no person, and ann is no executor.
	_, err = worker.Operate(ctx, job.ID, 1, operation.RetryFailed, engine.Request{})
	fmt.Println(err)
	_, err = ann.Claim(ctx, engine.ClaimQuery{})
	fmt.Println(err)
	// Output:
	// the job is failed <nil>
	// web-2: non_zero_exit, exit code 3: disk full
	// <nil>
	// job 1, step 1: retry_failed (2) denied to the anonymous actor: an executor claims and reports; this is for a person
	// claim: the server answers 403 not_executor: the caller is not an executor
}
