//go:build unix

// Package worker_test runs the worker in Python against a server.
package worker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var scope = store.Scope{Type: "biz", ID: "2"}

// A site is a server, and a pipe to which scripts write the names of their hosts.
type site struct {
	*testing.T
	eng    *engine.Engine
	url    string
	python string
	refuse atomic.Pointer[func(*http.Request) bool] // requests that get no answer of the API
	spoil  atomic.Pointer[http.HandlerFunc]         // what answers in its place; nil for 503
	fifo   string
	names  chan string // that scripts wrote; closed once no script holds the pipe
}

func newSite(t *testing.T) *site {
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("the worker needs python3")
	}
	if err != nil {
		t.Skip("the worker needs python3")
	}
	itself, err := exec.Command(python, "-c", "import sys; print(sys.executable)").Output() // and no shim, which needs PATH
	if err != nil {
		t.Fatal(err)
	}
	python = strings.TrimSpace(string(itself))
	t.Logf("with %s", python)
	s := &site{T: t, python: python, eng: engine.New(memstore.New()).In(scope)}
	s.setRefuse(func(*http.Request) bool { return false })
	api := httpapi.New(s.eng, httpapi.Config{Identify: func(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" {
			return httpapi.Caller{}, errors.New("unknown")
		}
		return httpapi.Caller{Scope: scope, Executor: true, Types: step.TypesOf(step.Script)}, nil
	}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (*s.refuse.Load())(r) {
			if spoil := s.spoil.Load(); spoil != nil {
				(*spoil)(w, r)
				return
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.pipe()
	return s
}

func (s *site) setRefuse(f func(*http.Request) bool) { s.refuse.Store(&f) }

// pipe makes a pipe, and reads it until its writers are gone.
func (s *site) pipe() {
	s.Helper()
	s.fifo = filepath.Join(s.TempDir(), "hosts")
	if err := syscall.Mkfifo(s.fifo, 0o600); err != nil {
		s.Fatal(err)
	}
	s.names = make(chan string, 100)
	go s.read(s.names)
}

func (s *site) read(names chan<- string) {
	defer close(names)
	f, err := os.Open(s.fifo) // waits for a writer
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		names <- lines.Text()
	}
}

// endless is a script that writes its host's name and runs until it is killed, or until a file is
// there as it begins.
const endless = `exec 9>"$FIFO"; echo "$HOST" >&9; [ -e "$FIFO.done" ] || exec sleep 1000`

// start starts a worker, which the end of the test kills.
func (s *site) start(token, lease string, env ...string) *exec.Cmd {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), s.python, "worker.py")
	cmd.Env = append(os.Environ(), "STEPGATE_URL="+s.url, "STEPGATE_TOKEN="+token, "STEPGATE_LEASE="+lease, "FIFO="+s.fifo, "no_proxy=*")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = logger{s.T}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		release, err := os.OpenFile(s.fifo, os.O_RDWR, 0) // a reader that still waits for a writer
		if err == nil {
			_ = release.Close()
		}
	})
	return cmd
}

type logger struct{ *testing.T }

func (l logger) Write(p []byte) (int, error) {
	l.Logf("worker: %s", p)
	return len(p), nil
}

// job starts a job of one step.
func (s *site) job(typ step.Type, payload string, hosts ...string) store.JobID {
	s.Helper()
	created, err := s.eng.Create(s.Context(), engine.JobSpec{Name: "j", Steps: []step.Spec{{Type: typ, Name: "s", Targets: hosts, Payload: payload}}}, engine.Request{})
	if err != nil {
		s.Fatal(err)
	}
	if _, err := s.eng.OperateJob(s.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		s.Fatal(err)
	}
	return created.Job
}

// begun waits until scripts have begun on hosts.
func (s *site) begun(n int) {
	s.Helper()
	for range n {
		if _, ok := <-s.names; !ok {
			s.Fatal("no script holds the pipe")
		}
	}
}

// killed waits until no script is left.
func (s *site) killed() {
	for range s.names {
	}
}

// ended waits for the end of a job that comes after a record, and returns the history from there on.
func (s *site) ended(job store.JobID, after store.Seq) (records []store.Record) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	for r, err := range s.eng.Watch(ctx, job, after) {
		if err != nil {
			s.Fatalf("%v after %+v", err, records)
		}
		if records = append(records, r); r.JobTo.Finished() {
			return records
		}
	}
	return nil
}

func (s *site) targets(job store.JobID) string {
	s.Helper()
	targets, err := s.eng.Targets(s.Context(), job, 1, engine.TargetQuery{Limit: 10_000})
	if err != nil {
		s.Fatal(err)
	}
	var all []string
	for _, t := range targets {
		all = append(all, fmt.Sprintf("%s %v %d", t.Name, t.Status, t.ExitCode))
	}
	return strings.Join(all, ", ")
}

func (s *site) effects(job store.JobID) []store.Delivery {
	s.Helper()
	all, err := s.eng.Effects(s.Context(), job, 0, 0)
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// A worker runs the script on each host and reports results together; a retry runs what failed. It
// takes no step of another type.
func TestWorkerRunsScripts(t *testing.T) {
	s := newSite(t)
	other := s.job(step.FileTransfer, "", "a")
	s.start("a", "14")
	job := s.job(step.Script, `[ "$HOST" != b ] || [ -e "$FIFO.done" ] || exit 3`, "a", "b", "c")
	s.ended(job, 0)
	if got := s.targets(job); got != "a succeeded 0, b non_zero_exit 3, c succeeded 0" {
		t.Errorf("targets: %s", got)
	}
	if err := os.WriteFile(s.fifo+".done", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	retried, err := s.eng.Operate(t.Context(), job, 1, operation.RetryFailed, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	s.ended(job, retried.Seq)
	if got := s.targets(job); got != "a succeeded_earlier 0, b succeeded 0, c succeeded_earlier 0" {
		t.Errorf("targets after a retry: %s", got)
	}
	var hosts []string
	for i := range 100 {
		hosts = append(hosts, fmt.Sprint("h", i))
	}
	job = s.job(step.Script, "true", hosts...)
	if records := s.ended(job, 0); len(records) > len(hosts)/2 {
		t.Errorf("%d records for %d hosts: results are reported one by one", len(records), len(hosts))
	}
	if left := s.effects(other); len(left) != 1 || left[0].Count != 0 {
		t.Errorf("the worker for scripts took %+v", left)
	}
}

// A stop kills what runs, and the step is terminated.
func TestWorkerStops(t *testing.T) {
	s := newSite(t)
	s.start("a", "3600")
	job := s.job(step.Script, endless, "a", "b")
	s.begun(2)
	if _, err := s.eng.OperateJob(t.Context(), job, operation.TerminateJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	s.killed()
	if last := s.ended(job, 0); last[len(last)-1].To != step.Terminated {
		t.Errorf("the history ends with %+v", last[len(last)-1])
	}
	if got := s.targets(job); got != "a terminated -9, b terminated -9" {
		t.Errorf("targets: %s", got)
	}
}

// A stop that another worker takes ends what this one runs.
func TestWorkerNoticesAStopThatGoesElsewhere(t *testing.T) {
	s := newSite(t)
	job := s.job(step.Script, endless, "a")
	var claims atomic.Int32 // of a: only the first one, which takes the run, is answered
	s.setRefuse(func(r *http.Request) bool {
		return r.URL.Path == "/v1/effects/claim" && r.Header.Get("Authorization") == "Bearer a" && claims.Add(1) > 1
	})
	s.start("a", "3")
	s.begun(1)
	s.start("b", "3")
	if _, err := s.eng.OperateJob(t.Context(), job, operation.TerminateJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	s.killed()
	s.ended(job, 0)
}

// A stop does not wait for the back-off of a run, which no worker has: 256 s after nine failures.
func TestWorkerStopsWhatBacksOff(t *testing.T) {
	s := newSite(t)
	job := s.job(step.Script, endless, "a")
	for range 9 {
		if _, err := s.eng.Hurry(t.Context(), job, 2, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		due, err := s.eng.Claim(t.Context(), engine.ClaimQuery{})
		if err != nil || len(due) != 1 {
			t.Fatalf("Claim: %+v, %v, want the run", due, err)
		}
		if err := s.eng.Fail(t.Context(), due[0].Claimed(), errors.New("no worker")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.eng.OperateJob(t.Context(), job, operation.TerminateJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	s.start("a", "3600")
	if last := s.ended(job, 0); last[len(last)-1].To != step.Terminated {
		t.Errorf("the history ends with %+v", last[len(last)-1])
	}
}

// A worker that cannot renew its lease kills what runs, and reports nothing of it; the run comes again.
func TestWorkerStopsWithoutItsLease(t *testing.T) {
	s := newSite(t)
	s.start("a", "3")
	job := s.job(step.Script, endless, "a")
	s.begun(1)
	s.setRefuse(func(*http.Request) bool { return true })
	s.killed()
	if got := s.targets(job); got != "a waiting 0" {
		t.Errorf("without a lease the worker reported: %s", got)
	}
	if err := os.WriteFile(s.fifo+".done", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := make(chan string, 100)
	go s.read(again)
	s.setRefuse(func(*http.Request) bool { return false })
	s.ended(job, 0)
	for range again {
	}
	if got := s.targets(job); got != "a succeeded 0" {
		t.Errorf("targets: %s", got)
	}
}

// At SIGTERM a worker gives its run back, and another one takes it at once, long before its lease
// would have run out.
func TestWorkerReleasesAtSIGTERM(t *testing.T) {
	s := newSite(t)
	first := s.start("a", "3600")
	job := s.job(step.Script, endless, "a")
	s.begun(1)
	if err := os.WriteFile(s.fifo+".done", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.killed()
	if err := first.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if left := s.effects(job); len(left) != 1 || left[0].Failures != 0 || left[0].NotBefore > step.At(time.Now()) {
		t.Errorf("the run was not given back: %+v", left)
	}
	again := make(chan string, 100)
	go s.read(again)
	s.start("b", "3600")
	s.ended(job, 0)
	for range again {
	}
	if got := s.targets(job); got != "a succeeded 0" {
		t.Errorf("targets: %s", got)
	}
}

// A script may be longer than an argument of a process.
func TestWorkerRunsALongScript(t *testing.T) {
	s := newSite(t)
	s.start("a", "14")
	job := s.job(step.Script, "exit 3 # "+strings.Repeat("x", 200<<10), "a", "b")
	s.ended(job, 0)
	if got := s.targets(job); got != "a non_zero_exit 3, b non_zero_exit 3" {
		t.Errorf("targets: %s", got)
	}
}

// A host on which no process can be started has failed, and the others are reported too.
func TestWorkerThatCannotStartAProcess(t *testing.T) {
	s := newSite(t)
	s.start("a", "14", "PATH="+t.TempDir())
	job := s.job(step.Script, "true", "a", "b")
	s.ended(job, 0)
	if got := s.targets(job); got != "a script_failed 0, b script_failed 0" {
		t.Errorf("targets: %s", got)
	}
}

// Pages, half answers and redirects in the place of the API's answers end no thread of the worker,
// and its token goes to no other host.
func TestWorkerOutlivesOtherAnswers(t *testing.T) {
	s := newSite(t)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	job := s.job(step.Script, "true", "a")
	answers := map[string]http.HandlerFunc{ // by the end of a path
		"claim":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<h1>sign in") },
		"1":       func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"targets": func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"report": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
		},
		"settle": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[1]") },
	}
	var mu sync.Mutex // guards seen
	seen := map[string]bool{}
	s.setRefuse(func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		last := path.Base(r.URL.Path)
		first := !seen[last] && answers[last] != nil
		seen[last] = true
		return first
	})
	spoil := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answers[path.Base(r.URL.Path)](w, r) })
	s.spoil.Store(&spoil)
	s.start("a", "14")
	s.ended(job, 0)
	if got := s.targets(job); got != "a succeeded 0" {
		t.Errorf("targets: %s", got)
	}
}

// A report that a proxy refuses for its size fails the run.
func TestWorkerGivesUpWhatIsRefusedForGood(t *testing.T) {
	s := newSite(t)
	failed := make(chan struct{}, 100)
	s.setRefuse(func(r *http.Request) bool {
		if path.Base(r.URL.Path) == "fail" {
			failed <- struct{}{}
		}
		return path.Base(r.URL.Path) == "report"
	})
	spoil := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	s.spoil.Store(&spoil)
	s.start("a", "14")
	s.job(step.Script, "true", "a")
	select {
	case <-failed:
	case <-time.After(time.Minute):
		t.Error("the run has not failed")
	}
}
