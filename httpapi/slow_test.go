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
	"github.com/stepgate/stepgate/step"
)

// Whoever does not send the body that he has announced is answered all the same, or cut off,
// when the time for it is over: whether the body was asked for or not, and before anybody
// knows who he is.
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
		{"an operation", fmt.Sprintf("POST /v1/jobs/%d/terminate HTTP/1.1\r\nX-Person: ann\r\nContent-Type: application/json\r\n", job), 400},
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

// Between two events no deadline is in force, as HTTP/2 ends a stream by one that passes; the
// end of the stream has one.
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

// A deadlines is a connection that keeps whether deadlines that were set are ones, or none.
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

// A stuck is a connection whose client takes nothing until it is told to.
type stuck struct {
	*httptest.ResponseRecorder
	first   sync.Once
	writing chan<- struct{}
	takes   <-chan struct{}
}

func (s *stuck) Write(text []byte) (int, error) {
	s.first.Do(func() { s.writing <- struct{}{} })
	<-s.takes
	return s.ResponseRecorder.Write(text)
}

// Clients that ask for large statuses and do not take them cost others time and not the
// server's memory: beyond four nobody is told of many targets at once.
func TestFewLargeStatuses(t *testing.T) {
	p := newPlatform(t, httpapi.Caller{Person: "ann", Scope: biz})
	p.api = httpapi.New(p.eng, httpapi.Config{
		WriteTimeout: 10 * time.Millisecond,
		Identify: func(*http.Request, httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Person: "ann", Scope: biz}, nil
		},
	})
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprint("host-", i)
	}
	job := p.create(biz, step.Spec{Type: step.Script, Name: "many", Targets: names})
	url := fmt.Sprintf("/api/v3/get_job_instance_status?bk_scope_type=biz&bk_scope_id=1&job_instance_id=%d", job)
	large := url + "&return_ip_result=true"

	writing, takes := make(chan struct{}), make(chan struct{})
	answers := make([]*httptest.ResponseRecorder, 4)
	var clients sync.WaitGroup
	for i := range answers {
		answers[i] = httptest.NewRecorder()
		clients.Go(func() {
			p.api.ServeHTTP(&stuck{ResponseRecorder: answers[i], writing: writing, takes: takes}, httptest.NewRequestWithContext(t.Context(), "GET", large, nil))
		})
		<-writing
	}
	if a := p.send("GET", large, ""); a.Code != 1240002 || !strings.Contains(a.Message, "busy") {
		t.Errorf("a fifth large status: %d %s, want 1240002 as the server is busy", a.Code, a.Message)
	}
	if a := p.send("GET", url, ""); a.Code != 0 {
		t.Errorf("a small status: %d %s", a.Code, a.Message)
	}
	close(takes)
	clients.Wait()
	for _, w := range answers {
		if a := readEnvelope(t, large, w); a.Code != 0 {
			t.Errorf("a large status that is taken late: %d %s", a.Code, a.Message)
		}
	}
	if a := p.send("GET", large, ""); a.Code != 0 {
		t.Errorf("a large status after that: %d %s", a.Code, a.Message)
	}
}
