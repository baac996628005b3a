package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A lab is a console without a network.
type lab struct {
	eng *engine.Engine
	hosts
	site http.Handler
}

func newLab(t *testing.T) lab {
	t.Helper()
	dir := t.TempDir()
	logs, err := executor.NewFileLogs(filepath.Join(dir, "outputs"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = logs.Close() })
	root := filepath.Join(dir, "hosts")
	l := lab{
		eng:   engine.New(memstore.New(), engine.WithAuthorizer(authorize)),
		hosts: hosts{root, localexec.New(localexec.Config{Root: root, Logs: logs})},
	}
	l.site = newSite(l.eng, logs, "127.0.0.1:8080")
	return l
}

// dispatches has l do what jobs ask for until the test ends.
func (l lab) dispatches(t *testing.T) lab {
	t.Helper()
	t.Cleanup(execute(t.Context(), l.executor(l.eng)))
	return l
}

// ask sends a request as a browser on the page would. who may be empty.
func (l lab) ask(t *testing.T, who, method, path, body string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	if who != "" {
		r.AddCookie(&http.Cookie{Name: cookie, Value: who})
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	w := httptest.NewRecorder()
	l.site.ServeHTTP(w, r)
	return w.Result()
}

// await returns the job once it is in a state.
func (l lab) await(t *testing.T, job store.JobID, state step.State) store.Job {
	t.Helper()
	for r, err := range l.eng.Watch(t.Context(), job, 0, engine.WithoutProgress()) {
		if err != nil {
			t.Fatalf("job %d does not get %v: %v", job, state, err)
		}
		if r.JobTo == state {
			break
		}
	}
	found, err := l.eng.Job(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sample returns the sample job whose name begins so.
func sample(t *testing.T, ctx context.Context, eng *engine.Engine, name string) store.Job {
	t.Helper()
	jobs, err := eng.Jobs(ctx, engine.JobQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs {
		if strings.HasPrefix(job.Name, name) {
			return job
		}
	}
	t.Fatalf("no job named %s... among %d", name, len(jobs))
	return store.Job{}
}
