package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/client"
	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// events answers with a stream of these parts, and then calls end.
func events(end func(r *http.Request) error, parts ...string) transport {
	return func(r *http.Request) (*http.Response, error) {
		w := answer(200, "text/event-stream", "")
		reader, writer := io.Pipe()
		w.Body = reader
		go func() {
			for _, text := range parts {
				if _, err := io.WriteString(writer, text); err != nil {
					return
				}
			}
			_ = writer.CloseWithError(end(r))
		}()
		return w, nil
	}
}

func ends(*http.Request) error { return nil }

// hangs never ends by itself, as a stream over a dead connection.
func hangs(r *http.Request) error {
	<-r.Context().Done()
	return r.Context().Err()
}

func event(seq int) string {
	return fmt.Sprintf("id: %d\nevent: record\ndata: {\"job\":1,\"seq\":%d}\n\n", seq, seq)
}

// seqs reads a watch to its end.
func seqs(all func(func(store.Record, error) bool)) (seen []store.Seq, err error) {
	for r, failed := range all {
		if err = failed; err != nil {
			break
		}
		seen = append(seen, r.Seq)
	}
	return seen, err
}

// A watch resumes when its stream ends, whatever parts the events are cut into, and yields each record
// once.
func TestWatchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cursors []string
		streams := []transport{
			events(ends, "retry: 1000\n\n", event(3)+event(4)),
			events(ends, event(4), event(5)[:9], event(5)[9:]), // again, and in two parts
			func(*http.Request) (*http.Response, error) { return nil, errBroken },
			events(ends, ": a comment\r\n\r\nevent: beat\r\ndata: {\"at\":1}\r\n\r\n", strings.ReplaceAll(event(6), "\n", "\r\n")),
			events(ends, "event: news\ndata: {}\n\n", "data: {\n", "\n"),
			events(ends, event(7), event(8)[:20]), // cut short
			events(ends, event(8), "id\nevent: reset\ndata: {\"last\":2}\n\n"),
		}
		c := newClient(t, func(r *http.Request) (*http.Response, error) {
			cursors = append(cursors, r.URL.Query().Get("after"))
			next := streams[0]
			streams = streams[1:]
			return next(r)
		}, client.WithRetries(1))
		seen, err := seqs(c.Watch(t.Context(), 1, 2))
		if !slices.Equal(seen, []store.Seq{3, 4, 5, 6, 7, 8}) {
			t.Errorf("records %v", seen)
		}
		if want := []string{"2", "4", "5", "5", "6", "6", "7"}; !slices.Equal(cursors, want) {
			t.Errorf("streams after %v, want %v", cursors, want)
		}
		if ahead := (*engine.AheadError)(nil); !errors.As(err, &ahead) || *ahead != (engine.AheadError{Job: 1, After: 8, Last: 2}) {
			t.Errorf("a reset is %v", err)
		}
	})
}

// A watch reopens a silent stream, but not one with a slow reader.
func TestWatchNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		c := newClient(t, func(r *http.Request) (*http.Response, error) {
			opened++
			return events(hangs, event(opened))(r)
		})
		begun := time.Now()
		for r, err := range c.Watch(t.Context(), 1, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Seq == 3 {
				break
			}
			time.Sleep(time.Hour) // a slow reader
		}
		// Two hours of reading, and twice a minute of silence and a pause.
		if took := time.Since(begun); opened != 3 || took < 2*time.Hour+2*time.Minute || took > 2*time.Hour+2*time.Minute+time.Second {
			t.Errorf("%d streams in %v", opened, took)
		}
	})
}

// A watch ends with its context and with its reader, and leaves no stream behind.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := newClient(t, events(hangs, event(1)))
		if seen, err := seqs(c.Watch(ctx, 1, 0)); !errors.Is(err, context.DeadlineExceeded) || len(seen) != 1 {
			t.Errorf("%v, %v, want one record and the end of the context", seen, err)
		}
		for range c.Watch(t.Context(), 1, 0) {
			break
		}
	})
}

// An answer that is no stream of events is an error.
func TestWatchRefusesWhatIsNoStream(t *testing.T) {
	long := "event: record\ndata: " + strings.Repeat("x", 1<<20) + "\n\n"
	lines := "event: record\n" + strings.Repeat("data: "+strings.Repeat("x", 1<<10)+"\n", 2<<10) + "\n"
	for name, f := range map[string]transport{
		"a page":            func(*http.Request) (*http.Response, error) { return answer(200, "text/html", "<h1>"), nil },
		"a malformed event": events(ends, "event: record\ndata: {\n\n"),
		"a malformed reset": events(ends, "event: reset\ndata: {\n\n"),
		"a long event":      events(ends, long),
		"many lines":        events(ends, lines),
	} {
		synctest.Test(t, func(t *testing.T) {
			seen, err := seqs(newClient(t, f, client.WithRetries(0)).Watch(t.Context(), 1, 0))
			if err == nil || len(seen) > 0 {
				t.Errorf("%s: %v, %v", name, seen, err)
			}
		})
	}
}

// A watch over streams that the server ends after a moment yields each record once, and with WatchMoves
// only the moves.
func TestWatchOfAServer(t *testing.T) {
	eng := newEngine()
	c := as(t, serve(t, eng, httpapi.Config{StreamFor: time.Millisecond}), "ann")
	created, err := eng.In(scope).Create(t.Context(), engine.JobSpec{Name: "n", Steps: []step.Spec{{Type: step.Script, Name: "s", Targets: []string{"a", "b", "c"}}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	watch := func(all func(func(store.Record, error) bool), last step.Cause) <-chan []step.Cause {
		seen := make(chan []step.Cause, 1)
		go func() {
			var causes []step.Cause
			for r, err := range all {
				if err != nil {
					t.Error(err)
					break
				}
				if causes = append(causes, r.Cause); r.Cause == last {
					break
				}
			}
			seen <- causes
		}()
		return seen
	}
	all, moves := watch(c.Watch(t.Context(), created.Job, 0), step.AllSucceeded), watch(c.WatchMoves(t.Context(), created.Job, 0), step.AllSucceeded)
	if _, err := c.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	for target := range int32(3) {
		if _, err := eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: []engine.TargetResult{{Target: target, Result: store.Result{Status: step.TargetSucceeded}}}}); err != nil {
			t.Fatal(err)
		}
	}
	start := operation.StartJob.Cause()
	if got, want := <-all, []step.Cause{step.Created, start, step.Results, step.Results, step.AllSucceeded}; !slices.Equal(got, want) {
		t.Errorf("Watch: %v, want %v", got, want)
	}
	if got, want := <-moves, []step.Cause{step.Created, start, step.AllSucceeded}; !slices.Equal(got, want) {
		t.Errorf("WatchMoves: %v, want %v", got, want)
	}
	if _, err := seqs(c.Watch(t.Context(), created.Job, 99)); !errors.Is(err, engine.ErrAhead) {
		t.Errorf("after a record that is not there: %v", err)
	}
	if _, err := seqs(c.Watch(t.Context(), 99, 0)); !errors.Is(err, operation.NoSuchJob) {
		t.Errorf("of a job that is not there: %v", err)
	}
}

// A watch of any stream ends with an error, and its records ascend.
func FuzzWatch(f *testing.F) {
	f.Add([]byte(event(1) + event(2)))
	f.Add([]byte("retry: 1\n\nevent: beat\ndata: {\"at\":1}\n\n" + strings.ReplaceAll(event(3), "\n", "\r\n")))
	f.Add([]byte("id\nevent: reset\ndata: {\"last\":2}\n\n"))
	f.Add([]byte("data\n\ndata:\n\n:\n\nevent: record\ndata: {}\ndata: {\n\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) { watchOnce(t, sent) })
	})
}

// watchOnce watches a server that sends one stream and then answers no more.
func watchOnce(t *testing.T, sent []byte) {
	opened := 0
	c := newClient(t, func(*http.Request) (*http.Response, error) {
		if opened++; opened > 1 {
			return nil, errBroken
		}
		return answer(200, "text/event-stream", string(sent)), nil
	}, client.WithRetries(0))
	last := store.Seq(0)
	var err error
	for r, failed := range c.Watch(t.Context(), 1, 0) {
		if err = failed; err != nil {
			break
		}
		if r.Seq <= last {
			t.Errorf("record %d after %d", r.Seq, last)
		}
		last = r.Seq
	}
	if err == nil || opened > 2 {
		t.Errorf("a watch of %q ended with %v after %d streams", sent, err, opened)
	}
}
