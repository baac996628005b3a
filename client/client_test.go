package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/client"
	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// New refuses a URL that no server can have, and the error does not contain its password.
func TestNewRefusesWhatIsNoServer(t *testing.T) {
	for _, base := range []string{"", "server:8080", "/v1", "ftp://server", "http://", "http://server/?a=b", "http://server/#a", "http://ser ver", "http://:%zz@server"} {
		if c, err := client.New(base); err == nil {
			t.Errorf("%q is taken: %+v", base, c)
		}
	}
	for _, base := range []string{
		"ftp://ann:s3cret@server", "http://ann:s3cret@server/?a", "http://ann:s3cret@ser ver", "http://ann:s3cret@server:port", "http://ann:s3cret%zz@server",
		"http://ann:s3cret@server/%zz", "://ann:s3cret@server", "ann:s3cret@server", " http://ann:s3cret@server", "http://ann:s3cret@server\x7f",
		"http:ann:s3cret@server", "http://ann:s3cret/%@server", "http://ann:s3cret/@server:port",
	} {
		if _, err := client.New(base); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error shows a password, or %q is taken: %v", base, err)
		}
	}
}

// A client uses the transport with which a program has replaced the default one.
func TestAnotherDefaultTransport(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	sent := 0
	http.DefaultTransport = transport(func(*http.Request) (*http.Response, error) {
		sent++
		return answer(200, "application/json", "{}"), nil
	})
	c, err := client.New("http://server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Job(t.Context(), 1); err != nil || sent != 1 {
		t.Errorf("%v after %d requests through it", err, sent)
	}
}

// Requests go below the base, with and without a slash at its end.
func TestBase(t *testing.T) {
	for base, want := range map[string]string{
		"http://server": "/v1/jobs/1", "http://server/": "/v1/jobs/1", "http://server/a/b/": "/a/b/v1/jobs/1", "https://server:1/a%2Fb": "/a%2Fb/v1/jobs/1",
	} {
		c, err := client.New(base, nil, client.WithHTTPClient(nil), client.WithTimeout(-1), client.WithHTTPClient(&http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			if r.URL.EscapedPath() != want {
				t.Errorf("%s: %s, want %s", base, r.URL.EscapedPath(), want)
			}
			return answer(200, "application/json", "{}"), nil
		})}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Job(t.Context(), 1); err != nil {
			t.Error(err)
		}
	}
}

// The client sends nothing after an error of a header function, and with an ended context.
func TestNothingIsSent(t *testing.T) {
	sent := 0
	count := transport(func(*http.Request) (*http.Response, error) {
		sent++
		return answer(200, "application/json", "{}"), nil
	})
	errNoToken := errors.New("no token")
	c := newClient(t, count, client.WithHeader(func(context.Context, http.Header) error { return errNoToken }))
	if _, err := c.Operate(t.Context(), 1, 1, operation.Confirm, engine.Request{}); !errors.Is(err, errNoToken) || errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("without a token: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, count).Operate(ended, 1, 1, operation.Confirm, engine.Request{}); !errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("after the end of the context: %v", err)
	}
	c = newClient(t, count)
	for name, ask := range map[string]func() error{
		"actor": func() error {
			return second(c.Operate(t.Context(), 1, 1, operation.Confirm, engine.Request{By: "ann"}))
		},
		"executor": func() error {
			return second(c.OperateJob(t.Context(), 1, operation.StartJob, engine.Request{Executor: true}))
		},
		"code":       func() error { return second(c.OperateJob(t.Context(), 1, 32, engine.Request{})) },
		"dry_run":    func() error { return second(c.Create(t.Context(), spec, engine.Request{DryRun: true})) },
		"if_attempt": func() error { return second(c.Create(t.Context(), spec, engine.Request{IfAttempt: 1})) },
		"if_version": func() error { return second(c.Create(t.Context(), spec, engine.Request{IfVersion: 1})) },
		"bytes":      func() error { return second(c.Claim(t.Context(), engine.ClaimQuery{Bytes: 1})) },
		"Turn": func() error {
			return second(c.Claim(t.Context(), engine.ClaimQuery{Turn: func(context.Context) (func(), error) { return nil, nil }}))
		},
		"Cause": func() error { return c.Fail(t.Context(), one, nil) },
		"class": func() error { return second(c.Targets(t.Context(), 1, 1, engine.TargetQuery{Class: 9})) },
	} {
		refusal := (*engine.Refusal)(nil)
		if err := ask(); !errors.As(err, &refusal) || refusal.Reason != operation.InvalidInput || refusal.Field != name {
			t.Errorf("%s: %v, want a refusal of it", name, err)
		}
	}
	if sent > 0 {
		t.Errorf("%d requests were sent", sent)
	}
}

// A list is read to its limit, though the server's pages end before, and no further.
func TestListsAreReadToTheirLimit(t *testing.T) {
	for limit, want := range map[int]int{0: 100, 1: 1, 7: 7, 8: 8, 250: 250, 400: 300} {
		const all, most = 300, 7 // rows that there are, and on one page
		c := newClient(t, func(r *http.Request) (*http.Response, error) {
			after, asked := 0, 100
			_, _ = fmt.Sscan(r.URL.Query().Get("after"), &after)
			_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &asked)
			var rows []string
			for seq := after + 1; seq <= all && len(rows) < min(most, asked); seq++ {
				rows = append(rows, fmt.Sprintf(`{"seq":%d}`, seq))
			}
			next := ""
			if last := after + len(rows); last < all {
				next = fmt.Sprintf(`,"next":%d`, last)
			}
			return answer(200, "application/json", `{"items":[`+strings.Join(rows, ",")+`]`+next+`}`), nil
		})
		records, err := c.History(t.Context(), 1, 0, limit)
		if err != nil || len(records) != want || records[want-1].Seq != store.Seq(want) {
			t.Errorf("limit %d: %d records, %v; want %d", limit, len(records), err, want)
		}
	}
	stuck := newClient(t, func(*http.Request) (*http.Response, error) {
		return answer(200, "application/json", `{"items":[],"next":5}`), nil
	})
	if _, err := stuck.Steps(t.Context(), 1, 5, 0); err == nil {
		t.Error("a page that says that the next one is itself is followed for ever")
	}
}

// Targets by status come page by page.
func TestTargetsByStatus(t *testing.T) {
	eng := newEngine()
	c := as(t, serve(t, eng, httpapi.Config{}), "worker")
	job, err := c.Create(t.Context(), engine.JobSpec{Name: "n", Steps: []step.Spec{{Type: step.Script, Name: "s", Targets: []string{"a", "b", "c", "d", "e"}}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.OperateJob(t.Context(), job.ID, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	r := engine.Report{Job: job.ID, Step: 1, Attempt: 1, By: "x"}
	for i, status := range []step.Status{step.TargetSucceeded, step.NonZeroExit, step.TargetSucceeded, step.NonZeroExit, step.TargetTimedOut} {
		r.Results = append(r.Results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
	}
	if _, err := c.Report(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var names []string
	for from, pages := int32(0), 0; ; pages++ {
		found, next, err := c.TargetsByStatus(t.Context(), job.ID, 1, engine.TargetQuery{From: from, Limit: 2}, step.NonZeroExit, step.TargetTimedOut)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range found {
			names = append(names, target.Name)
		}
		if from = next; next == 0 {
			if pages != 2 {
				t.Errorf("%d pages more than one, want 2", pages)
			}
			break
		}
	}
	if got := strings.Join(names, ""); got != "bde" {
		t.Errorf("failed targets: %s, want bde", got)
	}
	history, err := c.History(t.Context(), job.ID, 2, 0)
	if err != nil || len(history) != 1 || history[0].Actor != "worker" {
		t.Errorf("%+v, %v: want the reporter as the server knows it", history, err)
	}
}

// A claim that waits ends with the work that it waits for, and with its context.
func TestClaimWaits(t *testing.T) {
	eng := newEngine()
	c := as(t, serve(t, eng, httpapi.Config{}), "worker")
	claimed := make(chan error, 1)
	go func() {
		all, err := c.Claim(t.Context(), engine.ClaimQuery{Wait: time.Minute, Effects: []store.Effect{store.RunTargets}})
		if err == nil && (len(all) != 1 || all[0].Run != store.FirstRun || all[0].Step.Payload != "p" || all[0].Step.Timeout != time.Second) {
			err = fmt.Errorf("claimed %+v", all)
		}
		claimed <- err
	}()
	created, err := eng.In(scope).Create(t.Context(), engine.JobSpec{Name: "n", Steps: spec.Steps[:1]}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	if err := <-claimed; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if all, err := c.Claim(ctx, engine.ClaimQuery{Wait: time.Minute, Effects: []store.Effect{store.StopAttempt}}); !errors.Is(err, context.Canceled) {
		t.Errorf("claimed %v, %v; want the end of the context", all, err)
	}
}

// The text of a failure is cut to the server's limit, and never empty.
func TestFailSendsWords(t *testing.T) {
	eng := newEngine()
	c := as(t, serve(t, eng, httpapi.Config{}), "worker")
	for _, words := range []string{"", strings.Repeat("\x01", 1<<20), strings.Repeat("ü", 1<<20)} {
		created, err := eng.In(scope).Create(t.Context(), engine.JobSpec{Name: "n", Steps: spec.Steps[:1]}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		claimed, err := eng.Claim(t.Context(), engine.ClaimQuery{})
		if err != nil || len(claimed) != 1 {
			t.Fatalf("claimed %v, %v", claimed, err)
		}
		if err := c.Fail(t.Context(), claimed[0].Claimed(), errors.New(words)); err != nil {
			t.Errorf("%.10q: %v", words, err)
		}
		effects, err := c.Effects(t.Context(), created.Job, 0, 0)
		if err != nil || len(effects) != 1 || effects[0].LastError == "" {
			t.Errorf("%.10q: the effects are %.1000q, %v", words, fmt.Sprint(effects), err)
		}
	}
}

// An executor for the steps of one type, whose token admits it to no others, works without a failure,
// and leaves the rest of the job to others.
func TestAnExecutorOfOneType(t *testing.T) {
	eng := newEngine()
	server := httptest.NewServer(httpapi.New(eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
		return httpapi.Caller{Name: "worker-3", Scope: scope, Executor: true, Types: step.TypesOf(step.Script)}, nil
	}}))
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- executor.New(c, executor.RunsOnly(), executor.Hosts(step.Script, func(context.Context, *executor.Task, executor.Host) store.Result {
			return store.Result{Status: step.TargetSucceeded}
		}), executor.Failed(func(_ context.Context, err error) { t.Error(err) })).Run(ctx)
	}()
	in := eng.In(scope)
	created, err := in.Create(t.Context(), engine.JobSpec{Name: "n", Steps: []step.Spec{
		{Type: step.Script, Name: "s", Targets: []string{"a"}}, {Type: step.FileTransfer, Name: "c", Targets: []string{"a"}},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	for r, err := range in.Watch(t.Context(), created.Job, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Entered == 2 {
			if r.Actor != "worker-3" {
				t.Errorf("the history names %q", r.Actor)
			}
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	left, err := in.Effects(t.Context(), created.Job, 0, 0)
	if err != nil || len(left) != 1 || left[0].Type != step.FileTransfer || left[0].Count != 0 {
		t.Errorf("left: %+v, %v; want the run of the second step, never claimed", left, err)
	}
}

// A duration crosses the wire in whole milliseconds, rounded up; the longest comes back as the longest.
func TestTheLongestDurationsAreReadBack(t *testing.T) {
	eng := newEngine()
	c := as(t, serve(t, eng, httpapi.Config{}), "ann")
	for _, d := range []time.Duration{1, time.Millisecond, math.MaxInt64 - 1e6, math.MaxInt64} {
		created, err := eng.In(scope).Create(t.Context(), engine.JobSpec{Name: "n", Timeout: d, Steps: []step.Spec{
			{Type: step.Script, Name: "s", Targets: []string{"a"}, Timeout: d, TotalTimeout: d, Delay: d},
		}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		j, err := c.Job(t.Context(), created.Job)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Step(t.Context(), created.Job, 1)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string]time.Duration{"job": j.Policy.Timeout, "timeout": s.Timeout, "total": s.Policy.TotalTimeout, "delay": s.Policy.Delay} {
			if got < d || got-d > time.Millisecond {
				t.Errorf("%s %v is read back as %v", name, d, got)
			}
		}
	}
}
