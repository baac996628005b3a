package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A listener is a client of an event stream.
type listener struct {
	testing.TB
	status int
	header http.Header
	lines  *bufio.Scanner
	close  func()
}

// listen opens an event stream over a real connection.
func listen(t testing.TB, url string, header ...string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{t, resp.StatusCode, resp.Header, bufio.NewScanner(resp.Body), func() {
		cancel()
		resp.Body.Close()
	}}
	t.Cleanup(l.close)
	return l
}

// block returns the lines up to the next empty one, "" at the end of the stream.
func (l *listener) block() string {
	var lines []string
	for l.lines.Scan() && l.lines.Text() != "" {
		lines = append(lines, l.lines.Text())
	}
	return strings.Join(lines, "\n")
}

// next returns the next record, passing over beats.
func (l *listener) next() store.Record {
	l.Helper()
	for {
		text := l.block()
		if strings.HasPrefix(text, "event: beat") || strings.HasPrefix(text, "retry:") {
			continue
		}
		lines := strings.Split(text, "\n")
		var r store.Record
		if len(lines) != 3 || lines[1] != "event: record" || json.Unmarshal([]byte(strings.TrimPrefix(lines[2], "data: ")), &r) != nil {
			l.Fatalf("got the event %q", text)
		}
		if lines[0] != fmt.Sprintf("id: %d", r.Seq) {
			l.Fatalf("the event's %s, but its record is %d", lines[0], r.Seq)
		}
		return r
	}
}

// streaming serves an engine with one started job that asks.
func streaming(t *testing.T, c httpapi.Config) (eng *engine.Engine, job store.JobID, url string) {
	t.Helper()
	r := newRig(t)
	eng, job = r.eng, r.asking()
	c.Identify = asPerson
	srv := httptest.NewServer(httpapi.New(eng, c))
	t.Cleanup(srv.Close)
	return eng, job, fmt.Sprintf("%s/v1/jobs/%d/events", srv.URL, job)
}

// toggle refuses and asks again n times in turn: one record each.
func toggle(t *testing.T, eng *engine.Engine, job store.JobID, n int) {
	t.Helper()
	for i := range n {
		code := [2]operation.Code{operation.TerminateConfirmation, operation.RestartConfirmation}[i%2]
		if _, err := eng.Operate(t.Context(), job, 1, code, engine.Request{}); err != nil {
			t.Error(err)
		}
	}
}

// A stream sends the history and its tail. A client that loses it again and again, and resumes from the
// last id, loses and repeats none of 1,000 events.
func TestEventsResume(t *testing.T) {
	eng, job, url := streaming(t, httpapi.Config{})
	const n = 1000
	go toggle(t, eng, job, n-2)
	var last store.Seq
	for last < n {
		// The header wins over the query, which a browser repeats as it was.
		l := listen(t, url+"?after=0", "Last-Event-ID", strconv.Itoa(int(last)))
		if l.status != 200 || l.header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("status %d, %s", l.status, l.header)
		}
		if text := l.block(); text != "retry: 1000" {
			t.Fatalf("the stream begins with %q", text)
		}
		for range min(1+int(last)%97, n-int(last)) {
			if r := l.next(); r.Seq != last+1 || r.Job != job {
				t.Fatalf("after %d came %d of job %d", last, r.Seq, r.Job)
			}
			last++
		}
		l.close()
	}
}

// The query parameter after begins the stream of a client without a last id.
func TestEventsAfter(t *testing.T) {
	_, _, url := streaming(t, httpapi.Config{})
	if r := listen(t, url+"?after=1").next(); r.Seq != 2 {
		t.Errorf("after 1 came %d", r.Seq)
	}
}

// Without progress, records of results alone are left out.
func TestEventsWithoutProgress(t *testing.T) {
	r := newRig(t)
	job := r.running("a", "b")
	srv := httptest.NewServer(r.api)
	t.Cleanup(srv.Close)
	l := listen(t, fmt.Sprintf("%s/v1/jobs/%d/events?after=2&progress=false", srv.URL, job))
	for target := range int32(2) {
		r.report(job, target, step.TargetSucceeded)
	}
	if e := l.next(); e.Seq != 4 {
		t.Errorf("got record %d, want 4: 3 is progress", e.Seq)
	}
}

// A stream sends beats as events, with and without records between them.
func TestEventsBeat(t *testing.T) {
	began := time.Now()
	eng, job, url := streaming(t, httpapi.Config{Heartbeat: time.Millisecond})
	l := listen(t, url)
	l.block() // retry
	go toggle(t, eng, job, 100)
	for beats, records := 0, 0; beats < 3 || records < 100; {
		lines := strings.Split(l.block(), "\n")
		if lines[0] != "event: beat" {
			records++
			continue
		}
		var data struct{ At *step.Time }
		if len(lines) != 2 || json.Unmarshal([]byte(strings.TrimPrefix(lines[1], "data: ")), &data) != nil || data.At == nil {
			t.Fatalf("got the event %q, want a beat with data {\"at\": ...}", lines)
		}
		if at := data.At.Std(); at.Before(began.Add(-time.Millisecond)) || at.After(time.Now()) {
			t.Errorf("a beat at %v, want between %v and now", at, began)
		}
		beats++
	}
}

// A stream ends after its time, so that a caller who has lost rights also loses streams.
func TestEventsEnd(t *testing.T) {
	_, _, url := streaming(t, httpapi.Config{StreamFor: time.Millisecond})
	l := listen(t, url+"?after=2")
	l.block() // retry
	if text := l.block(); text != "" || l.lines.Err() != nil {
		t.Errorf("got %q, %v, want the end of the stream", text, l.lines.Err())
	}
}

// For a cursor ahead of the history the stream sends an event with the last record, and ends. It does
// the same when the history falls behind the cursor. The event's empty id makes a client that merely
// reconnects begin again.
func TestEventsAheadOfTheHistory(t *testing.T) {
	_, _, url := streaming(t, httpapi.Config{})
	for _, l := range []*listener{listen(t, url+"?after=3"), listen(t, url, "Last-Event-ID", "50"), listen(t, url+"?after=1", "Last-Event-ID", "9223372036854775807")} {
		l.block() // retry
		if text := l.block(); l.status != 200 || text != "id\nevent: reset\ndata: {\"last\":2}" {
			t.Errorf("status %d, %q, want a reset to record 2", l.status, text)
		}
		if text := l.block(); text != "" || l.lines.Err() != nil {
			t.Errorf("after the reset came %q, %v, want the end of the stream", text, l.lines.Err())
		}
	}
}

// A Last-Event-ID is a sequence number; an empty one is none, and the stream begins where the
// query says, or at the first record.
func TestEventsEmptyLastEventID(t *testing.T) {
	_, _, url := streaming(t, httpapi.Config{})
	if r := listen(t, url, "Last-Event-ID", "").next(); r.Seq != 1 {
		t.Errorf("with an empty Last-Event-ID came %d", r.Seq)
	}
	if r := listen(t, url+"?after=1", "Last-Event-ID", "").next(); r.Seq != 2 {
		t.Errorf("with an empty Last-Event-ID after 1 came %d", r.Seq)
	}
	for _, id := range []string{"x", "-1", "01", "1 2", "9223372036854775808"} {
		if l := listen(t, url, "Last-Event-ID", id); l.status != 400 {
			t.Errorf("Last-Event-ID %q: status %d", id, l.status)
		}
	}
}

// An unwrapped is a ResponseWriter of a middleware that hides what it wraps.
type unwrapped struct{ http.ResponseWriter }

// A stream through a middleware that hides Flush is an error. Through a middleware with Unwrap events
// arrive.
func TestEventsNeedFlush(t *testing.T) {
	r := newRig(t)
	path := fmt.Sprintf("/v1/jobs/%d/events", r.asking())
	serve := func(wrap func(http.ResponseWriter) http.ResponseWriter) *listener {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.api.ServeHTTP(wrap(w), req) }))
		t.Cleanup(srv.Close)
		return listen(t, srv.URL+path)
	}
	l := serve(func(w http.ResponseWriter) http.ResponseWriter { return unwrapped{w} })
	if text := l.block(); l.status != 500 || !strings.Contains(text, `"reason":"internal"`) || !strings.Contains(text, "Unwrap") {
		t.Errorf("status %d, %s; want 500 and why", l.status, text)
	}
	l = serve(func(w http.ResponseWriter) http.ResponseWriter { return unwrappable{unwrapped{w}, w} })
	if rec := l.next(); l.status != 200 || rec.Seq != 1 {
		t.Errorf("status %d, record %d; want the first one", l.status, rec.Seq)
	}
}

type unwrappable struct {
	unwrapped
	inner http.ResponseWriter
}

func (u unwrappable) Unwrap() http.ResponseWriter { return u.inner }

// The headers arrive before the first event, and a job that does not exist has no stream.
func TestEventsOpen(t *testing.T) {
	_, job, url := streaming(t, httpapi.Config{})
	if l := listen(t, url+"?after=2"); l.status != 200 {
		t.Errorf("status %d", l.status)
	}
	for header, url := range map[string]string{"2": strings.Replace(url, fmt.Sprint(job), "5", 1), "3": url} {
		if l := listen(t, url, "X-Scope", header); l.status != 404 || l.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s in scope %s: status %d, %v", url, header, l.status, l.header)
		}
	}
}

// The streams of one person are bounded, and those of all persons. A stream that ends makes room.
func TestEventsLimits(t *testing.T) {
	_, _, url := streaming(t, httpapi.Config{Streams: 3, StreamsPerPerson: 2})
	first := listen(t, url, "X-Person", "ann")
	listen(t, url, "X-Person", "ann")
	if l := listen(t, url, "X-Person", "ann"); l.status != 429 || l.header.Get("Retry-After") == "" {
		t.Errorf("ann's third: status %d, %v", l.status, l.header)
	}
	listen(t, url, "X-Person", "bob")
	if l := listen(t, url, "X-Person", "bob"); l.status != 429 {
		t.Errorf("the fourth of all: status %d", l.status)
	}
	first.close()
	for l := listen(t, url, "X-Person", "bob"); l.status != 200; l = listen(t, url, "X-Person", "bob") { // until the server has seen it go
	}
}

// A failing store ends the stream, which does not contain the error. Config.Failed receives it.
func TestEventsEndWithTheStore(t *testing.T) {
	failing := &failing{Store: memstore.New()}
	eng := engine.New(failing)
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "ask", Scope: scope, Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	var f failures
	srv := httptest.NewServer(httpapi.New(eng, httpapi.Config{Identify: asPerson, Failed: f.failed}))
	t.Cleanup(srv.Close)
	l := listen(t, fmt.Sprintf("%s/v1/jobs/%d/events", srv.URL, created.Job))
	l.next()
	failing.history.Store(true)
	toggleStart(t, eng, created.Job)
	if text := l.block(); text != "" {
		t.Errorf("got %q after the failure", text)
	}
	if err := l.lines.Err(); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	if errs := f.taken(); len(errs) != 1 || !errors.Is(errs[0], errSecret) {
		t.Errorf("Failed received %v, want the error of the store", errs)
	}
}

func toggleStart(t *testing.T, eng *engine.Engine, job store.JobID) {
	t.Helper()
	if _, err := eng.OperateJob(t.Context(), job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
}

// A slow is a client that takes some writes in time and then no more.
type slow struct {
	*httptest.ResponseRecorder
	takes     int
	deadlines int  // that were set for writing
	unbounded bool // a write had none
	armed     bool
}

func (s *slow) SetWriteDeadline(t time.Time) error {
	s.armed = !t.IsZero()
	if s.armed {
		s.deadlines++
	}
	return nil
}

func (s *slow) SetReadDeadline(time.Time) error { return nil }

func (s *slow) Write(text []byte) (int, error) {
	s.unbounded = s.unbounded || !s.armed
	if s.takes--; s.takes < 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return s.ResponseRecorder.Write(text)
}

// Every event has a write deadline of its own. The API disconnects a client that misses one.
func TestEventsLeaveSlowClients(t *testing.T) {
	r := newRig(t)
	job := r.asking()
	toggle(t, r.eng, job, 8)
	w := &slow{ResponseRecorder: httptest.NewRecorder(), takes: 4}
	req := httptest.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("/v1/jobs/%d/events", job), nil)
	req.Header.Set("X-Person", "ann")
	r.api.ServeHTTP(w, req)
	if events := strings.Count(w.Body.String(), "event: record"); events != 3 || w.unbounded || w.deadlines < 5 {
		t.Errorf("%d events, %d deadlines, a write without one: %v; want 3 events and 5 deadlines", events, w.deadlines, w.unbounded)
	}
}
