//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/client"
	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var update = flag.Bool("update", false, "write tour.txt")

// The program fits on a page.
func TestUnder60Lines(t *testing.T) {
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n >= 60 {
		t.Errorf("main.go has %d lines, want less than 60", n)
	}
}

// A check that is at work at SIGTERM may end, its result counts, and the next start goes on with the
// next step.
func TestStopAndStart(t *testing.T) {
	arrived, release := make(chan bool, 2), make(chan bool)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- true
			<-release
		}
	}))
	defer target.Close()
	db := filepath.Join(t.TempDir(), "jobs.db")
	s := start(t, db)
	targets := []string{strings.TrimPrefix(target.URL, "http://")}
	created, err := s.ann.Create(t.Context(), engine.JobSpec{Name: "check", Scope: store.Scope{Type: "biz", ID: "2"}, Steps: []step.Spec{
		{Type: httpCheck, Name: "first", Targets: targets, Payload: "/slow"},
		{Type: httpCheck, Name: "second", Targets: targets, Payload: "/"},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ann.OperateJob(t.Context(), created.ID, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	<-arrived
	s.signal(syscall.SIGTERM)
	s.awaitRefusal()
	<-time.After(200 * time.Millisecond) // without a drain time, the check is cancelled meanwhile
	close(release)
	s.awaitEnd()

	s = start(t, db)
	history := s.awaitState(created.ID, step.Succeeded)
	if got, want := fmt.Sprint(history), "[created start_job all_succeeded all_succeeded]"; got != want {
		t.Errorf("the history is %s, want %s", got, want)
	}
	if len(arrived) != 0 {
		t.Error("the check that was at work ran twice")
	}
	s.signal(syscall.SIGINT)
	s.awaitEnd()
}

// A target that answers anything but 200, and one that does not answer, have failed, with the reason.
func TestFailedChecks(t *testing.T) {
	target := httptest.NewServer(http.NotFoundHandler())
	defer target.Close()
	s := start(t, filepath.Join(t.TempDir(), "jobs.db"))
	created, err := s.ann.Create(t.Context(), engine.JobSpec{Name: "check", Scope: store.Scope{Type: "biz", ID: "2"}, Steps: []step.Spec{
		{Type: httpCheck, Name: "check", Targets: []string{strings.TrimPrefix(target.URL, "http://"), "127.0.0.1:1"}, Payload: "/"},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ann.OperateJob(t.Context(), created.ID, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	s.awaitState(created.ID, step.Failed)
	targets, err := s.ann.Targets(t.Context(), created.ID, 1, engine.TargetQuery{Class: store.FailedTargets})
	if err != nil || len(targets) != 2 || targets[0].Detail != "404 Not Found" || !strings.Contains(targets[1].Detail, "connection refused") {
		t.Errorf("the failed targets are %+v, %v", targets, err)
	}
}

// The worker in Python runs the scripts of the service's jobs, with the token of the program.
func TestWorkerInPython(t *testing.T) {
	need(t, "python3", "sh")
	s := start(t, filepath.Join(t.TempDir(), "jobs.db"))
	worker := exec.CommandContext(t.Context(), "python3", "../worker/worker.py")
	worker.Env = append(os.Environ(), "STEPGATE_URL="+s.url, "STEPGATE_TOKEN=worker-token", "no_proxy=*")
	var out bytes.Buffer
	worker.Stdout, worker.Stderr = &out, &out
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	created, err := s.ann.Create(t.Context(), engine.JobSpec{Name: "script", Scope: store.Scope{Type: "biz", ID: "2"}, Steps: []step.Spec{
		{Type: step.Script, Name: "script", Targets: []string{"web-1", "web-2"}, Payload: `[ "$HOST" = web-1 ] || exit 3`},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ann.OperateJob(t.Context(), created.ID, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	s.awaitState(created.ID, step.Failed)
	targets, err := s.ann.Targets(t.Context(), created.ID, 1, engine.TargetQuery{})
	if err != nil || len(targets) != 2 || targets[0].Status != step.TargetSucceeded || targets[1].ExitCode != 3 {
		t.Errorf("the targets are %+v, %v", targets, err)
	}
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err != nil {
		t.Errorf("the worker ended with %v:\n%s", err, &out)
	}
}

// Without a known token no call is answered.
func TestTokens(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "jobs.db"))
	for _, header := range []string{"", "Bearer ", "Bearer ann-toke", "Basic YW5uLXRva2Vu", "Bearer ann-token2"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/jobs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("Authorization %q: status %d, want 401", header, answer.StatusCode)
		}
	}
}

// tour.txt is what the tour prints, with other numbers and times.
func TestTour(t *testing.T) {
	need(t, "sh", "curl", "grep", "sed")
	s := start(t, filepath.Join(t.TempDir(), "jobs.db"))
	out, err := tour(t, s.url)
	if err != nil {
		t.Fatalf("the tour: %v\n%s", err, out)
	}
	got := plain(s, out)
	if *update {
		if err := os.WriteFile("tour.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("tour.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the tour prints\n%s\nand tour.txt has\n%s\nrun go test -run TestTour ./examples/service -update", got, want)
	}
}

// The tour stops at an answer that it does not expect, and says where.
func TestTourStopsAtAFailure(t *testing.T) {
	need(t, "sh", "curl", "grep", "sed")
	s := start(t, filepath.Join(t.TempDir(), "jobs.db"))
	service, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(service)
	for path, want := range map[string]string{
		"/v1/jobs":                      "the tour stopped at: Create a job: a script on two hosts, a confirmation, and a check that the service does itself.\n",
		"/explain":                      "the tour stopped at: The step has failed. Ask what is legal now.\n",
		"/operate":                      "the tour stopped at: An illegal operation is refused, and the answer says what is legal.\n",
		"/events":                       "the tour stopped at: Follow the job after record 5. The stream goes on; grep ends at the second record.\n",
		"/api/v3/operate_step_instance": "the tour stopped at: A client of the reference platform confirms.\n",
	} {
		broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, path) {
				http.Error(w, "broken", http.StatusBadGateway)
				return
			}
			proxy.ServeHTTP(w, r)
		}))
		out, err := tour(t, broken.URL)
		if err == nil || !strings.HasSuffix(out, want) {
			t.Errorf("without %s the tour ends with %v and prints\n%s\nwant at its end %q", path, err, out, want)
		}
		broken.Close()
	}
	if out, err := tour(t, "http://127.0.0.1:1"); err == nil || !strings.Contains(out, "the tour stopped at: Create a job") {
		t.Errorf("without a service the tour ends with %v and prints\n%s", err, out)
	}
}

// main.go is a whole program in an embedder's own module, too.
func TestInAModuleOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	for name, edit := range map[string]func(string) string{
		"main.go": func(text string) string { return text },
		"go.sum":  func(text string) string { return text },
		"go.mod": func(text string) string {
			root, err := filepath.Abs("../..")
			if err != nil {
				t.Fatal(err)
			}
			return strings.NewReplacer("module github.com/stepgate/stepgate/examples/service", "module example.com/service", "=> ../..", "=> "+root).Replace(text)
		},
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(edit(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=readonly", "-o", "service", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("the test needs %s", tool)
			}
			t.Skipf("the test needs %s", tool)
		}
	}
}

func tour(t *testing.T, url string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "tour.sh", url)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "no_proxy=*")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// plain returns what a tour printed with what differs each time replaced.
func plain(s *service, out string) string {
	id := regexp.MustCompile(`"id":(\d+)`).FindStringSubmatch(out)
	if id == nil {
		return out
	}
	out = strings.NewReplacer(id[1], "1000", strings.TrimPrefix(s.url, "http://"), "127.0.0.1:8080").Replace(out)
	for pattern, with := range map[string]string{
		`\b1[0-9]{12}\b`: "1700000000000",
		`"request":"01[0-9a-f]{6}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"`: `"request":"018bcfe5-6800-7000-8000-000000000000"`,
		`"token":"[0-9a-f-]{36}"`: `"token":"00000000-0000-4000-8000-000000000000"`,
		`"total_time":\d+`:        `"total_time":1000`,
	} {
		out = regexp.MustCompile(pattern).ReplaceAllString(out, with)
	}
	return out
}

// A service is a program at work.
type service struct {
	*testing.T
	url   string
	ann   *client.Client
	cmd   *exec.Cmd
	log   bytes.Buffer // to be read once the program has ended
	ended chan error
}

var dir string // of the program

// program builds main.go once, and returns the path of the program.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(dir, "service")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	httpCheck.Register("http_check")
	var err error
	if dir, err = os.MkdirTemp("", "stepgate-service-"); err != nil {
		log.Fatal(err)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// start starts the program on a database and a free port, and returns when it answers.
func start(t *testing.T, db string) *service {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // another program may take the port first
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		s := &service{T: t, url: "http://" + addr, cmd: exec.Command(path, "-addr", addr, "-db", db), ended: make(chan error, 1)}
		s.cmd.Stderr = &s.log
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { s.ended <- s.cmd.Wait() }()
		if s.answers() {
			t.Cleanup(func() {
				_ = s.cmd.Process.Kill()
				<-s.ended
			})
			s.ann, err = client.New(s.url, client.WithHeader(func(_ context.Context, h http.Header) error {
				h.Set("Authorization", "Bearer ann-token")
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if text := s.log.String(); !strings.Contains(text, "address already in use") {
			t.Fatalf("the service ended at its start:\n%s", text)
		}
	}
	t.Fatal("no port stays free")
	return nil
}

// answers reports whether the program answers, and not until it does or has ended.
func (s *service) answers() bool {
	for {
		if answer, err := http.Get(s.url + "/v1/openapi.json"); err == nil {
			answer.Body.Close()
			return true
		}
		select {
		case <-s.ended:
			return false
		case <-time.After(10 * time.Millisecond): // the program says nothing when it begins to listen
		}
	}
}

func (s *service) signal(sig os.Signal) {
	s.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.Fatal(err)
	}
}

// awaitRefusal returns when the program takes no more connections.
func (s *service) awaitRefusal() {
	s.Helper()
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			c.Close()
		}
	}
}

// awaitEnd returns when the program has ended, which it must do with status 0.
func (s *service) awaitEnd() {
	s.Helper()
	err := <-s.ended
	s.ended <- err
	if err != nil {
		s.Errorf("the service ended with %v:\n%s", err, s.log.String())
	}
}

// awaitState returns the causes of a job's history once the job is in state.
func (s *service) awaitState(job store.JobID, state step.State) (causes []step.Cause) {
	s.Helper()
	for r, err := range s.ann.WatchMoves(s.Context(), job, 0) {
		if err != nil {
			s.Fatal(err)
		}
		if causes = append(causes, r.Cause); r.JobTo == state {
			break
		}
	}
	return causes
}
