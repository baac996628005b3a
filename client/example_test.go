package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
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

// bearer is an option that sends a token with each request.
func bearer(token string) client.Option {
	return client.WithHeader(func(_ context.Context, h http.Header) error {
		h.Set("Authorization", "Bearer "+token)
		return nil
	})
}

// newServer serves an engine to ann, a person, and to a worker.
func newServer(eng *engine.Engine) *httptest.Server {
	scope := store.Scope{Type: "biz", ID: "2"}
	return httptest.NewServer(httpapi.New(eng, httpapi.Config{Identify: httpapi.Tokens{
		"ann-token":    {Person: "ann", Scope: scope},
		"worker-token": {Name: "worker-3", Scope: scope, Executor: true},
	}.Identify}))
}

// runScript stands for what a worker does on a host.
func runScript(_ context.Context, _ *executor.Task, h executor.Host) store.Result {
	if h.Name == "web-2" {
		return store.Result{Status: step.NonZeroExit, ExitCode: 3, Detail: "disk full"}
	}
	return store.Result{Status: step.TargetSucceeded}
}

// A worker on another host is an executor on a client. It needs no engine and no store.
func Example() {
	server := newServer(engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 1 })))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The worker.
	worker, err := client.New(server.URL, bearer("worker-token"))
	if err != nil {
		log.Fatal(err)
	}
	x := executor.New(worker, executor.Hosts(step.Script, runScript))
	go x.Run(ctx) // until ctx ends; then it releases the rest

	// A person, elsewhere.
	ann, _ := client.New(server.URL, bearer("ann-token"))
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

// A worker without an executor claims an effect, reports the results, and settles the claim. After that,
// or when another worker has the lease, the claim counts no more.
func ExampleClient_Claim() {
	server := newServer(engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 1 })))
	defer server.Close()
	ctx := context.Background()
	ann, _ := client.New(server.URL, bearer("ann-token"))
	job, _ := ann.Create(ctx, engine.JobSpec{Name: "restart", Steps: []step.Spec{
		{Type: step.Script, Name: "restart", Targets: []string{"web-1"}, Payload: "systemctl restart app"},
	}}, engine.Request{})
	ann.OperateJob(ctx, job.ID, operation.StartJob, engine.Request{})

	worker, _ := client.New(server.URL, bearer("worker-token"))
	claimed, err := worker.Claim(ctx, engine.ClaimQuery{
		Effects: []store.Effect{store.RunTargets}, Types: step.TypesOf(step.Script), Lease: time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range claimed {
		fmt.Println(d.Effect, d.Step.Name, "attempt", d.Attempt, "for", d.By, "-", d.Step.Payload)
		fmt.Println("renew:", worker.Renew(ctx, d.Claimed(), time.Minute)) // before the lease runs out
		receipt, err := worker.Report(ctx, engine.Report{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt, Results: []engine.TargetResult{
			{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
		}})
		fmt.Println("report:", receipt.Accepted, "accepted, the job is", receipt.JobState, err)
		fmt.Println("settle:", worker.Settle(ctx, d.Claimed()))
		fmt.Println("again:", errors.Is(worker.Settle(ctx, d.Claimed()), store.ErrLeaseLost))
	}
	// Output:
	// run restart attempt 1 for ann - systemctl restart app
	// renew: <nil>
	// report: 1 accepted, the job is succeeded <nil>
	// settle: <nil>
	// again: true
}
