package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A client over its share waits, and delays no other. If the budget is exhausted, all wait in their
// order, small requests included. A wait is bounded, and ends with its context.
func TestBudgetIsPerClientBeforeItIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, 4)
		got := map[string]*share{}
		var mu sync.Mutex
		want := func(name string, n int64) {
			go func() {
				s, err := b.take(t.Context(), name[:1], n, time.Hour)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got[name] = s
			}()
			synctest.Wait()
		}
		holds := func(names ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for _, name := range names {
				if got[name] == nil {
					t.Errorf("%s waits", name)
				}
			}
			if len(got) != len(names) {
				t.Errorf("%d hold something, want %v", len(got), names)
			}
		}
		want("a1", 3)
		want("a2", 2) // beyond a's share
		want("b1", 4)
		want("c1", 2)
		holds("a1", "b1", "c1")
		if _, err := b.take(t.Context(), "d", 2, 0); err != errBusy {
			t.Errorf("more than is left, at once: %v", err)
		}
		want("d1", 3) // beyond what is left
		want("e1", 1) // fits, but came later
		began := time.Now()
		if _, err := b.take(t.Context(), "f", 1, time.Minute); err != errBusy || time.Since(began) != time.Minute {
			t.Errorf("behind the others: %v after %v", err, time.Since(began))
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := b.take(ended, "f", 1, time.Minute); err != context.Canceled {
			t.Errorf("with a context that has ended: %v", err)
		}
		holds("a1", "b1", "c1")
		got["b1"].shrink(2)
		holds("a1", "b1", "c1", "d1")
		a1 := got["a1"] // read before others are woken, who write to the map
		a1.release()
		a1.release() // is idempotent
		holds("a1", "b1", "c1", "d1", "a2", "e1")
		for _, s := range got {
			s.release()
		}
		if all, err := b.take(t.Context(), "g", 1<<40, 0); err != nil || all.n != 10 || !all.covers(1<<40) {
			t.Errorf("more than there is: %+v, %v; want all", all, err)
		}
		(*share)(nil).release()
	})
}

// An answer that waits for its share is dropped first, and read again once it has the share.
func TestAdmitHoldsNothingForThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom()
		stalled, err := r.answers.take(t.Context(), "ann", 4<<20, 0)
		if err != nil {
			t.Fatal(err)
		}
		reads := 0
		read := func() (string, int64, error) { reads++; return "rows", 2 << 20, nil }
		var admitted *share
		go func() {
			var v string
			if v, admitted, err = admit(t.Context(), r, "ann", time.Hour, "large", read); v != "rows" || err != nil {
				t.Errorf("admitted %q, %v", v, err)
			}
		}()
		synctest.Wait()
		if reads != 1 || r.reading.held != 0 || r.answers.held != stalled.n {
			t.Errorf("while it waits: %d reads, %d turns and %d bytes are held", reads, r.reading.held, r.answers.held)
		}
		if _, s, err := admit(t.Context(), r, "bob", 0, "large", read); err != nil || s.n != 2<<20 {
			t.Errorf("another client: %+v, %v", s, err)
		} else {
			s.release()
		}
		if _, s, err := admit(t.Context(), r, "ann", 0, "small", func() (string, int64, error) { return "", maxOperation, nil }); err != nil || s != nil {
			t.Errorf("a small answer: %+v, %v", s, err)
		}
		if _, _, err := admit(t.Context(), r, "ann", time.Second, "large", read); err != errBusy {
			t.Errorf("a large one that waits too long: %v", err)
		}
		if _, _, err := admit(t.Context(), r, "ann", 0, "broken", func() (string, int64, error) { return "", 0, io.ErrNoProgress }); err != io.ErrNoProgress {
			t.Errorf("a read that fails: %v", err)
		}
		stalled.release()
		synctest.Wait()
		if reads != 3 || admitted == nil || r.reading.held != 0 {
			t.Errorf("%d reads, and it holds %+v", reads, admitted)
		}
	})
}

// A trickle is a body that stops after its beginning, until it is told to end.
type trickle struct {
	left int
	come chan<- struct{} // told once all that comes has come
	end  <-chan struct{}
}

func (b *trickle) Read(text []byte) (int, error) {
	if b.left == 0 {
		b.come <- struct{}{}
		<-b.end
		return 0, io.ErrUnexpectedEOF
	}
	n := min(b.left, len(text))
	b.left -= n
	clear(text[:n])
	return n, nil
}

func (b *trickle) Close() error { return nil }

// Slow bodies of some persons delay no report of an executor and no creation of another person: the
// server serves these while it still waits for all slow bodies.
func TestSlowBodiesKeepNobodyOut(t *testing.T) {
	eng := engine.New(memstore.New())
	api := New(eng, Config{Identify: func(r *http.Request, _ Credentials) (Caller, error) {
		person := r.Header.Get("X-Person")
		return Caller{Person: person, AllScopes: true, Executor: person == ""}, nil
	}})
	const targets = 3000
	names := make([]string, targets)
	var results []string
	for i := range names {
		names[i] = fmt.Sprint("10.0.0.", i)
		results = append(results, fmt.Sprintf(`{"target":%d,"status":"succeeded","started":1,"finished":2}`, i))
	}
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "n", Steps: []step.Spec{{Type: step.Script, Name: "s", Targets: names}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	send := func(person, path string, length int64, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "POST", path, body)
		r.ContentLength = length
		r.Header.Set("X-Person", person)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		return w
	}
	come, end := make(chan struct{}, 24), make(chan struct{})
	var slow sync.WaitGroup
	var ended atomic.Int32
	for i := range 24 {
		slow.Go(func() {
			send(fmt.Sprint("p", i%3), "/v1/jobs", 4_000_000, &trickle{left: 70 << 10, come: come, end: end})
			ended.Add(1)
		})
	}
	<-come // two hold what they can
	<-come
	report := `{"attempt":1,"results":[` + strings.Join(results, ",") + `]}`
	path := fmt.Sprintf("/v1/jobs/%d/steps/1/report", created.Job)
	if w := send("", path, int64(len(report)), strings.NewReader(report)); w.Code != 200 || len(report) < 158_000 {
		t.Errorf("a report of %d bytes: status %d, %s", len(report), w.Code, w.Body)
	}
	creation := `{"name":"n","steps":[{"type":"confirmation","name":"go?"}]}` + strings.Repeat(" ", 100<<10)
	if w := send("ann", "/v1/jobs", int64(len(creation)), strings.NewReader(creation)); w.Code != 201 {
		t.Errorf("another person's creation: status %d, %s", w.Code, w.Body)
	}
	if n := ended.Load(); n > 0 {
		t.Errorf("%d of the slow bodies have ended before", n)
	}
	close(end)
	slow.Wait()
	(&call{api: api}).unheld(t)
}
