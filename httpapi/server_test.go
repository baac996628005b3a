package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/httpapi"
)

// Shutdown ends event streams and claims that wait, and is over; a claim that waits answers that
// nothing came up. Nothing else is cut short.
func TestShutdownEndsStreamsAndClaims(t *testing.T) {
	r := newRig(t)
	job := r.asking()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	waiting, during := make(chan struct{}, 2), make(chan struct{})
	server := httpapi.NewServer("", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		waiting <- struct{}{}
		if req.URL.Path == "/v1/jobs" {
			<-during // and only then is carried out
		}
		r.api.ServeHTTP(w, req)
	}))
	go func() { _ = server.Serve(l) }()
	url := "http://" + l.Addr().String()

	var clients sync.WaitGroup
	post := func(path, body string) {
		clients.Go(func() {
			req, err := http.NewRequest("POST", url+path, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("X-Person", "agent")
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			var answer struct{ Items []any }
			if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode/100 != 2 || len(answer.Items) != 0 {
				t.Errorf("%s: status %d, %v, %v", path, resp.StatusCode, answer, err)
			}
		})
		<-waiting
	}
	stream := listen(t, fmt.Sprintf("%s/v1/jobs/%d/events?after=2", url, job))
	<-waiting
	stream.block() // retry
	post("/v1/effects/claim", `{"effects":["run"],"wait_ms":60000}`)
	post("/v1/jobs", `{"name":"n","steps":[{"type":"confirmation","name":"go?"}]}`)
	server.RegisterOnShutdown(func() { close(during) })

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // less than the claim waits
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	clients.Wait()
	if text := stream.block(); text != "" || stream.lines.Err() != nil {
		t.Errorf("the stream ended with %q, %v", text, stream.lines.Err())
	}
}

// freeAddr returns an address on which no program listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ListenAndServe answers the request that has begun and waits for the tasks, and then is over without
// an error.
func TestListenAndServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began, finish, answer := make(chan bool), make(chan bool), make(chan bool)
	addr := freeAddr(t)
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began <- true
		<-answer
	})
	tasks := make(chan string, 1)
	ended := make(chan error, 1)
	listening := make(chan bool)
	go func() {
		ended <- httpapi.ListenAndServe(ctx, addr, h, func(ctx context.Context) error {
			close(listening) // tasks begin once it listens
			<-ctx.Done()
			tasks <- "ended"
			<-finish
			return nil
		})
	}()
	<-listening
	answered := make(chan error, 1)
	go func() {
		got, err := http.Get("http://" + addr)
		if err == nil {
			got.Body.Close()
		}
		answered <- err
	}()
	<-began
	cancel()
	if got := <-tasks; got != "ended" {
		t.Errorf("the task has %s", got)
	}
	for _, what := range []struct {
		name string
		end  chan bool
	}{{"task", finish}, {"request", answer}} {
		select {
		case err := <-ended:
			t.Fatalf("ListenAndServe returned %v before the %s ended", err, what.name)
		case <-time.After(50 * time.Millisecond): // it is too early for all that follows
		}
		close(what.end)
	}
	if err := <-ended; err != nil {
		t.Errorf("ListenAndServe = %v", err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the request that had begun: %v", err)
	}
}

// A task that fails ends the server and the other tasks; one that returns nil ends nothing.
func TestListenAndServeEndsWithAFailedTask(t *testing.T) {
	broken := errors.New("broken")
	first := make(chan bool)
	err := httpapi.ListenAndServe(t.Context(), freeAddr(t), http.NotFoundHandler(),
		func(context.Context) error { close(first); return nil },
		func(context.Context) error { <-first; return broken },
		func(ctx context.Context) error { <-ctx.Done(); return nil })
	if !errors.Is(err, broken) {
		t.Errorf("ListenAndServe = %v, want the task's error", err)
	}
}

// Without its address ListenAndServe runs no task.
func TestListenAndServeNeedsItsAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = httpapi.ListenAndServe(t.Context(), l.Addr().String(), http.NotFoundHandler(), func(context.Context) error {
		t.Error("a task runs")
		return nil
	})
	if err == nil {
		t.Error("ListenAndServe on an address in use = nil")
	}
}
