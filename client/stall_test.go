package client_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
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

// A stall is the body of a request on a link that freezes until the server has answered.
type stall struct {
	head     io.Reader
	answered chan struct{}
}

func (s *stall) Read(p []byte) (int, error) {
	if n, err := s.head.Read(p); err == nil {
		return n, nil
	}
	<-s.answered
	return 0, io.ErrUnexpectedEOF
}

func (s *stall) Close() error { return nil }

// A report whose body stalls for longer than the server waits is sent again: its results count, no
// function is interrupted, and no host runs again.
func TestAReportThatStallsIsSentAgain(t *testing.T) {
	eng := engine.New(memstore.New())
	server := httptest.NewServer(httpapi.New(eng, httpapi.Config{
		BodyTimeout: 100 * time.Millisecond,
		Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Name: "worker", Scope: spec.Scope, Executor: true}, nil
		},
	}))
	t.Cleanup(server.Close)
	var stalled, calls atomic.Int32
	link := transport(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/report") && stalled.Add(1) <= 2 {
			s := &stall{strings.NewReader("{"), make(chan struct{})}
			defer close(s.answered)
			r.Body = s
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	src, err := client.New(server.URL, client.WithHTTPClient(&http.Client{Transport: link}), client.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x := executor.New(src,
		executor.Hosts(step.Script, func(context.Context, *executor.Task, executor.Host) store.Result {
			calls.Add(1)
			return store.Result{Status: step.TargetSucceeded}
		}),
		executor.Ended(func(context.Context, engine.Delivery) error {
			cancel()
			return nil
		}))
	job := engine.JobSpec{Scope: spec.Scope, Name: "stalled", Steps: []step.Spec{{Type: step.Script, Name: "s", Targets: []string{"a"}}}}
	created, err := eng.Create(ctx, job, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	if err := x.Run(ctx); err != nil {
		t.Fatal(err)
	}
	j, err := eng.Job(t.Context(), created.Job)
	if err != nil || j.State != step.Succeeded || stalled.Load() < 3 || calls.Load() != 1 {
		t.Errorf("after %d reports, of which two stalled, the job is %v, %v, and the function was called %d times; want it succeeded after one call",
			stalled.Load(), j.State, err, calls.Load())
	}
}
