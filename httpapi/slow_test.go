package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/store"
)

// A client that does not send its announced body gets an answer once the time for the body is over, on
// routes that read a body and on those that do not, known or unknown.
func TestBodyThatNeverComes(t *testing.T) {
	r := newRig(t)
	job := r.asking()
	srv := httptest.NewServer(httpapi.New(r.eng, httpapi.Config{
		BodyTimeout: 10 * time.Millisecond,
		Identify: func(r *http.Request, c httpapi.Credentials) (httpapi.Caller, error) {
			if r.Header.Get("X-Person") == "" && c.Username == "" {
				return httpapi.Caller{}, errors.New("nobody")
			}
			return asPerson(r, c)
		},
	}))
	t.Cleanup(srv.Close)
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"nobody", "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\n", 401},
		{"no route", "POST /v1/nothing HTTP/1.1\r\n", 404},
		{"no method", "PUT /v1/jobs HTTP/1.1\r\n", 405},
		{"another kind", "POST /v1/jobs HTTP/1.1\r\nX-Person: ann\r\nContent-Type: text/plain\r\n", 415},
		{"another origin", "POST /v1/jobs HTTP/1.1\r\nX-Person: ann\r\nSec-Fetch-Site: cross-site\r\n", 403},
		{"a read", "GET /v1/jobs HTTP/1.1\r\nX-Person: ann\r\n", 200},
		{"a stream", fmt.Sprintf("GET /v1/jobs/%d/events HTTP/1.1\r\nX-Person: ann\r\n", job), 200},
		{"a creation", "POST /v1/jobs HTTP/1.1\r\nX-Person: ann\r\nContent-Type: application/json\r\n", 408},
		{"reference: no call", "POST /api/v3/nothing HTTP/1.1\r\n", 200},
		{"reference: no method", "PUT /api/v3/operate_step_instance HTTP/1.1\r\n", 200},
		{"reference: another origin", "POST /api/v3/operate_step_instance HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n", 200},
		{"reference: a read", "GET /api/v3/get_job_instance_status HTTP/1.1\r\n", 200},
		{"reference: an operation", "POST /api/v3/operate_step_instance HTTP/1.1\r\n", 200},
	} {
		for _, length := range []string{"Content-Length: 9", "Content-Length: 99999", "Transfer-Encoding: chunked"} {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%sHost: x\r\n%s\r\n\r\n", c.request, length)
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second)) // so that this ends if it fails
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, length, err)
			} else if answer.StatusCode != c.status {
				t.Errorf("%s, %s: status %d, want %d", c.name, length, answer.StatusCode, c.status)
			}
			conn.Close()
		}
	}
}

// No deadline is set between two events, because HTTP/2 ends a stream whose deadline passes. The end of
// the stream has one.
func TestStreamsRestWithoutDeadline(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	req := httptest.NewRequestWithContext(ctx, "GET", fmt.Sprintf("/v1/jobs/%d/events?after=2", r.asking()), nil)
	w := &deadlines{ResponseRecorder: httptest.NewRecorder(), flushed: cancel}
	r.api.ServeHTTP(w, req)
	if got := fmt.Sprint(w.read, w.write); got != "[false] [true false true]" {
		t.Errorf("deadlines for reading and writing: %s", got)
	}
}

// A deadlines is a connection that keeps, for each deadline set, whether it was a time or none.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []bool
	flushed     func()
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, !t.IsZero())
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, !t.IsZero())
	return nil
}

func (d *deadlines) Flush() { d.flushed() }

// A stuck is a connection whose client takes nothing, and is gone when it is told to.
type stuck struct {
	*httptest.ResponseRecorder
	first   sync.Once
	writing chan<- struct{}
	gone    <-chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	s.first.Do(func() { s.writing <- struct{}{} })
	<-s.gone
	return 0, net.ErrClosed
}

// Clients that ask for large statuses and do not read them delay only their own large statuses, and not
// small ones: each has room for two statuses of 200,000 targets.
func TestFewLargeStatuses(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	p.api = httpapi.New(p.eng, httpapi.Config{
		WriteTimeout: 10 * time.Millisecond,
		Identify: func(_ *http.Request, c httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Person: c.Username, Scope: biz}, nil
		},
	})
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	many := p.create(biz, script(names...), script(names...))
	some := p.create(biz, script(names[:2000]...)) // more than there is without a share
	few := p.create(biz, script(names[:500]...))
	url := func(person string, job store.JobID) string {
		return fmt.Sprintf("/api/v3/get_job_instance_status?bk_username=%s&bk_biz_id=1&job_instance_id=%d&return_ip_result=true", person, job)
	}

	writing, gone := make(chan struct{}), make(chan struct{})
	var clients sync.WaitGroup
	ask := func(url string) {
		w := &stuck{ResponseRecorder: httptest.NewRecorder(), writing: writing, gone: gone}
		clients.Go(func() { p.api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", url, nil)) })
		<-writing
	}
	ask(url("ann", many))
	ask(url("ann", many))
	if a := p.send("GET", url("ann", many), ""); a.Code != 1240002 || !strings.Contains(a.Message, "busy") {
		t.Errorf("a third large status for one person: %d %s, want 1240002 as the server is busy", a.Code, a.Message)
	}
	for _, person := range []string{"ann", "bob"} {
		if a := p.send("GET", url(person, few), ""); a.Code != 0 {
			t.Errorf("a small status for %s: %d %s", person, a.Code, a.Message)
		}
	}
	if a := p.send("GET", url("bob", some), ""); a.Code != 0 {
		t.Errorf("2,000 targets for another person: %d %s", a.Code, a.Message)
	}
	ask(url("bob", many))
	close(gone)
	clients.Wait()
	gone = make(chan struct{})
	ask(url("ann", many)) // it has begun: there is room again
	close(gone)
	clients.Wait()
}
