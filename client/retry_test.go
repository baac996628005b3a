package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

// A transport answers requests in a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, kind, body string, header ...string) *http.Response {
	w := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		w.Header.Set(header[i], header[i+1])
	}
	return w
}

func problem(status int, reason string, header ...string) *http.Response {
	return answer(status, "application/problem+json", fmt.Sprintf(`{"title":"it failed","status":%d,"reason":%q}`, status, reason), header...)
}

// newClient returns a client of a transport.
func newClient(t *testing.T, f transport, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New("http://server/under/", append([]client.Option{client.WithHTTPClient(&http.Client{Transport: f})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// attempts are the calls by whether a repetition is safe although the first request may have been
// carried out.
var attempts = map[string]struct {
	safe bool
	ask  func(context.Context, *client.Client) error
}{
	"read":    {true, func(ctx context.Context, c *client.Client) error { return second(c.Job(ctx, 1)) }},
	"list":    {true, func(ctx context.Context, c *client.Client) error { return second(c.Steps(ctx, 1, 0, 0)) }},
	"explain": {true, func(ctx context.Context, c *client.Client) error { return second(c.Explain(ctx, 1, 2)) }},
	"watch":   {true, func(ctx context.Context, c *client.Client) error { return first(c.Watch(ctx, 1, 0)) }},
	"create": {true, func(ctx context.Context, c *client.Client) error {
		return second(c.Create(ctx, spec, engine.Request{}))
	}},
	"operate": {true, func(ctx context.Context, c *client.Client) error {
		return second(c.Operate(ctx, 1, 2, operation.RetryFailed, engine.Request{}))
	}},
	"hurry": {true, func(ctx context.Context, c *client.Client) error {
		return second(c.Hurry(ctx, 1, 2, engine.Request{}))
	}},
	"dry run": {true, func(ctx context.Context, c *client.Client) error {
		return second(c.OperateJob(ctx, 1, operation.StartJob, engine.Request{DryRun: true}))
	}},
	"report":  {true, func(ctx context.Context, c *client.Client) error { return second(c.Report(ctx, report)) }},
	"renew":   {true, func(ctx context.Context, c *client.Client) error { return c.Renew(ctx, one, 0) }},
	"claim":   {false, func(ctx context.Context, c *client.Client) error { return second(c.Claim(ctx, engine.ClaimQuery{})) }},
	"settle":  {false, func(ctx context.Context, c *client.Client) error { return c.Settle(ctx, one) }},
	"fail":    {false, func(ctx context.Context, c *client.Client) error { return c.Fail(ctx, one, errors.New("e")) }},
	"release": {true, func(ctx context.Context, c *client.Client) error { return c.Release(ctx, one) }},
}

// withID are the calls that carry a request id, after which ErrUnknownOutcome names it.
var withID = map[string]bool{"create": true, "operate": true, "hurry": true}

var errBroken = errors.New("the connection broke")

// failures are all results of a request but success, and whether the client repeats it: always, if that
// is safe, or never.
var failures = map[string]struct {
	do    transport
	again string
	doubt bool // it may have been carried out
	is    func(error) bool
}{
	"no connection": {
		do:    func(*http.Request) (*http.Response, error) { return nil, &net.OpError{Op: "dial", Err: errBroken} },
		again: "always", is: func(err error) bool { return errors.Is(err, errBroken) },
	},
	"broken connection": {
		do:    func(*http.Request) (*http.Response, error) { return nil, errBroken },
		again: "safe", doubt: true, is: func(err error) bool { return errors.Is(err, errBroken) },
	},
	"no answer": {
		do: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		again: "safe", doubt: true, is: func(err error) bool { return err != nil },
	},
	"internal": {
		do:    func(*http.Request) (*http.Response, error) { return problem(500, "internal"), nil },
		again: "safe", doubt: true, is: isStatus(500, "internal"),
	},
	"a proxy without a server": {
		do:    func(*http.Request) (*http.Response, error) { return answer(502, "text/html", "<h1>oh"), nil },
		again: "safe", doubt: true, is: isStatus(502, ""),
	},
	"unknown outcome": {
		do:    func(*http.Request) (*http.Response, error) { return problem(500, "unknown_outcome"), nil },
		again: "safe", doubt: true, is: func(err error) bool { return errors.Is(err, engine.ErrUnknownOutcome) },
	},
	"busy": {
		do:    func(*http.Request) (*http.Response, error) { return problem(503, "busy", "Retry-After", "1"), nil },
		again: "always", is: isStatus(503, "busy"),
	},
	"conflict": {
		do:    func(*http.Request) (*http.Response, error) { return problem(503, "conflict", "Retry-After", "1"), nil },
		again: "always", is: func(err error) bool { return errors.Is(err, engine.ErrConflict) && isStatus(503, "conflict")(err) },
	},
	"too many streams": {
		do: func(*http.Request) (*http.Response, error) {
			return problem(429, "too_many_streams", "Retry-After", "10"), nil
		},
		again: "always", is: isStatus(429, "too_many_streams"),
	},
	"a body that stalled": {
		do:    func(*http.Request) (*http.Response, error) { return problem(408, "incomplete_body"), nil },
		again: "always", is: isStatus(408, "incomplete_body"),
	},
	"a body that stalled before a proxy": {
		do:    func(*http.Request) (*http.Response, error) { return answer(408, "text/html", "<h1>oh"), nil },
		again: "always", is: isStatus(408, ""),
	},
	"too much patience": {
		do:    func(*http.Request) (*http.Response, error) { return problem(503, "busy", "Retry-After", "31"), nil },
		again: "never", is: isStatus(503, "busy"),
	},
	"not known": {
		do:    func(*http.Request) (*http.Response, error) { return problem(401, "unauthenticated"), nil },
		again: "never", is: isStatus(401, "unauthenticated"),
	},
	"refused": {
		do:    func(*http.Request) (*http.Response, error) { return problem(409, "wrong_state"), nil },
		again: "never", is: func(err error) bool { return errors.Is(err, operation.WrongState) },
	},
	"lease lost": {
		do:    func(*http.Request) (*http.Response, error) { return problem(409, "lease_lost"), nil },
		again: "never", is: func(err error) bool { return errors.Is(err, store.ErrLeaseLost) },
	},
	"another server": {
		do:    func(*http.Request) (*http.Response, error) { return answer(404, "text/plain", "not here"), nil },
		again: "never", is: isStatus(404, ""),
	},
	"redirected": {
		do: func(r *http.Request) (*http.Response, error) {
			return answer(300, "text/plain", ""), nil
		},
		again: "never", is: isStatus(300, ""),
	},
	"a problem that is none": {
		do:    func(*http.Request) (*http.Response, error) { return answer(400, "application/problem+json", "{"), nil },
		again: "never", is: isStatus(400, ""),
	},
}

func isStatus(status int, reason string) func(error) bool {
	return func(err error) bool {
		e := (*client.StatusError)(nil)
		return errors.As(err, &e) && e.Status == status && e.Reason == reason
	}
}

// The client repeats each call that fails in each way, if the request had no effect or a repetition is
// safe, up to the configured number. The error is that of the last request, or ErrUnknownOutcome.
func TestCallsAreRepeatedIfThatIsSafe(t *testing.T) {
	const retries = 2
	for call, a := range attempts {
		for failure, f := range failures {
			t.Run(call+"/"+failure, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tries, ids := 0, map[string]bool{}
					c := newClient(t, func(r *http.Request) (*http.Response, error) {
						tries++
						if r.Body != nil {
							body, _ := io.ReadAll(r.Body)
							ids[string(body)] = true
						}
						return f.do(r)
					}, client.WithRetries(retries))
					err := a.ask(t.Context(), c)
					want := 1
					if f.again == "always" || f.again == "safe" && a.safe {
						want = 1 + retries
					}
					if tries != want || len(ids) > 1 {
						t.Errorf("%d requests with %d bodies, want %d of one", tries, len(ids), want)
					}
					if unknown := (*engine.UnknownOutcomeError)(nil); f.doubt && withID[call] && (!errors.As(err, &unknown) || unknown.Request == store.RequestID{}) {
						t.Errorf("%v: want the outcome unknown, with the id that was sent", err)
					}
					if !f.is(err) {
						t.Errorf("error: %v", err)
					}
				})
			})
		}
	}
}

// An answer is permanent if it refuses the request as such: an executor does not repeat it.
func TestPermanentAnswers(t *testing.T) {
	for status := 300; status < 600; status++ {
		c := newClient(t, func(*http.Request) (*http.Response, error) { return answer(status, "text/html", "<h1>no"), nil }, client.WithRetries(0))
		err := attempts["report"].ask(t.Context(), c)
		passing := slices.Contains([]int{401, 403, 404, 407, 408, 421, 425, 429}, status)
		var is interface{ Permanent() bool }
		if !errors.As(err, &is) || is.Permanent() != (status/100 == 4 && !passing) {
			t.Errorf("%d: %v: permanent or not is wrong", status, err)
		}
	}
}

// A call that fails and then passes has passed, with one request id that the client drew.
func TestARepetitionThatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		c := newClient(t, func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
			if len(bodies) < 3 {
				return nil, errBroken
			}
			return answer(200, "application/json; charset=utf-8", `{"job":1,"seq":2}`), nil
		})
		record, err := c.Operate(t.Context(), 1, 2, operation.RetryFailed, engine.Request{})
		if err != nil || record.Seq != 2 || len(bodies) != 3 || bodies[0] != bodies[2] || !strings.Contains(bodies[0], `"request_id"`) {
			t.Errorf("%+v, %v after %q", record, err, bodies)
		}
	})
}

// After a request with an unknown outcome, a refusal means that it was not carried out. A denial says
// nothing of it, because the server checks the person before the request.
func TestADenialAfterADoubtTellsNothing(t *testing.T) {
	for reason, unknown := range map[string]bool{"denied": true, "unauthenticated": true, "wrong_state": false, "stale": false} {
		synctest.Test(t, func(t *testing.T) {
			broken := false
			c := newClient(t, func(r *http.Request) (*http.Response, error) {
				if !broken {
					broken = true
					return nil, errBroken
				}
				return problem(403, reason), nil
			})
			_, err := c.Operate(t.Context(), 1, 2, operation.RetryFailed, engine.Request{})
			if errors.Is(err, engine.ErrUnknownOutcome) != unknown {
				t.Errorf("%s after a broken connection: %v", reason, err)
			}
		})
	}
}

// Pauses grow, obey Retry-After as seconds and as a date, and end with the context.
func TestPausesBetweenRepetitions(t *testing.T) {
	for name, c := range map[string]struct {
		retryAfter func() string
		least      time.Duration // of all three pauses
		most       time.Duration
	}{
		"by itself": {func() string { return "" }, 700 * time.Millisecond, 1400 * time.Millisecond},
		"seconds":   {func() string { return "2" }, 6 * time.Second, 6 * time.Second},
		"date": {func() string {
			return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat)
		}, 6 * time.Second, 9 * time.Second},
		"malformed": {func() string { return "soon" }, 700 * time.Millisecond, 1400 * time.Millisecond},
		"negative":  {func() string { return "-5" }, 700 * time.Millisecond, 1400 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			cl := newClient(t, func(*http.Request) (*http.Response, error) {
				return problem(503, "busy", "Retry-After", c.retryAfter()), nil
			})
			if err := second(cl.Job(t.Context(), 1)); err == nil {
				t.Error("no error")
			}
			if took := time.Since(begun); took < c.least || took > c.most {
				t.Errorf("%s: three pauses took %v, want %v to %v", name, took, c.least, c.most)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := newClient(t, func(*http.Request) (*http.Response, error) { return problem(503, "busy", "Retry-After", "20"), nil })
		if err := second(c.Job(ctx, 1)); !isStatus(503, "busy")(err) || time.Since(begun) != time.Second {
			t.Errorf("%v after %v, want the last error after 1s", err, time.Since(begun))
		}
	})
}

// Each request has a timeout. That of a claim is longer by its wait.
func TestRequestsAreBounded(t *testing.T) {
	silent := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	for name, c := range map[string]struct {
		ask  func(context.Context, *client.Client) error
		want time.Duration
	}{
		"read":  {attempts["read"].ask, 7 * time.Second},
		"claim": {attempts["claim"].ask, 7 * time.Second},
		"claim that waits": {func(ctx context.Context, c *client.Client) error {
			return second(c.Claim(ctx, engine.ClaimQuery{Wait: time.Minute}))
		}, 67 * time.Second},
		"watch": {attempts["watch"].ask, 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			err := c.ask(t.Context(), newClient(t, silent, client.WithTimeout(7*time.Second), client.WithRetries(0)))
			if took := time.Since(begun); err == nil || took != c.want {
				t.Errorf("%s: %v after %v, want an error after %v", name, err, took, c.want)
			}
		})
	}
}

// A claim under way when its context ends still returns its effects, unlike any other call. It waits for
// the answer as long as the server may wait, within a bound.
func TestAClaimOutlivesItsContext(t *testing.T) {
	for name, c := range map[string]struct {
		wait, answers time.Duration
		took          time.Duration
		claimed       int
	}{
		"answered":            {wait: 4 * time.Second, answers: 3 * time.Second, took: 3 * time.Second, claimed: 1},
		"answered late":       {wait: 4 * time.Second, answers: 4900 * time.Millisecond, took: 4900 * time.Millisecond, claimed: 1},
		"not answered":        {wait: 4 * time.Second, answers: time.Hour, took: 5 * time.Second},
		"not waiting":         {wait: 0, answers: time.Hour, took: 2 * time.Second},
		"waiting for minutes": {wait: time.Minute, answers: time.Hour, took: 7 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			cl := newClient(t, func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(c.answers):
					return answer(200, "application/json", `{"items":[{"seq":1}]}`), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun := time.Now()
			claimed, err := cl.Claim(ctx, engine.ClaimQuery{Wait: c.wait})
			if took := time.Since(begun); len(claimed) != c.claimed || took != c.took {
				t.Errorf("%s: %d claimed after %v, want %d after %v", name, len(claimed), took, c.claimed, c.took)
			}
			if (err == nil) != (c.claimed > 0) || err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := cl.Claim(ctx, engine.ClaimQuery{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != c.took {
				t.Errorf("%s: another claim: %v after %v", name, err, time.Since(begun))
			}
		})
	}
}

// An executor that ends behind a proxy which hides aborted requests from the server keeps no lease: its
// run is due at once.
func TestAnExecutorBehindAProxyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * 365 * 24 * time.Hour) // ids of jobs begin in 2024
		eng := engine.New(memstore.New()).In(spec.Scope)
		api := httpapi.New(eng, httpapi.Config{Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Executor: true, Scope: spec.Scope}, nil
		}})
		proxied := newClient(t, func(r *http.Request) (*http.Response, error) {
			answered := make(chan *http.Response, 1)
			go func() {
				w := httptest.NewRecorder()
				http.StripPrefix("/under", api).ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
				answered <- w.Result()
			}()
			select {
			case w := <-answered:
				return w, nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		created, err := eng.Create(t.Context(), engine.JobSpec{Name: "j", Steps: []step.Spec{{Type: step.Script, Name: "s", Targets: []string{"a"}}}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		defer end()
		x := executor.New(proxied, executor.AtOnce(2), executor.Failed(func(_ context.Context, err error) { t.Log(err) }), executor.Hosts(step.Script, func(ctx context.Context, _ *executor.Task, _ executor.Host) store.Result {
			time.Sleep(time.Second) // meanwhile the next claim waits
			end()
			<-ctx.Done()
			return store.Result{Status: step.TargetTerminated}
		}))
		if err := x.Run(ctx); err != nil || context.Cause(ctx) != context.Canceled {
			t.Fatalf("%v, and the function was called: %v", err, context.Cause(ctx))
		}
		synctest.Wait()
		left, err := eng.Effects(t.Context(), created.Job, 0, 0)
		if err != nil || len(left) != 1 || left[0].NotBefore > step.At(time.Now()) || left[0].Failures != 0 {
			t.Errorf("effects are %+v, %v, want the run, due at once", left, err)
		}
	})
}

// Answers that are no JSON, or too long, are errors.
func TestAnswersThatCannotBeRead(t *testing.T) {
	for name, w := range map[string]func() *http.Response{
		"a page":         func() *http.Response { return answer(200, "text/html", "<h1>sign in") },
		"half an answer": func() *http.Response { return answer(200, "application/json", `{"id":1`) },
		"another answer": func() *http.Response { return answer(200, "application/json", `[1]`) },
		"a long answer": func() *http.Response {
			return answer(200, "application/json", `{"name":"`+strings.Repeat("x", 1000)+`"}`)
		},
	} {
		c := newClient(t, func(*http.Request) (*http.Response, error) { return w(), nil }, client.WithRetries(0), client.WithMost(1000))
		if job, err := c.Job(t.Context(), 1); err == nil {
			t.Errorf("%s is taken for %+v", name, job)
		}
	}
}
