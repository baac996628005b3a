package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stepgate/stepgate/httpapi"
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
		{"reference: no call", "POST /api/v3/nothing HTTP/1.1\r\n", 404},
		{"reference: no method", "PUT /api/v3/operate_step_instance HTTP/1.1\r\n", 405},
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
