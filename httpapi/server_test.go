package httpapi_test

import (
	"context"
	"encoding/json"
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
