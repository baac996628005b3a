package readers

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/test/stores"
)

// serveEnv names a store: the test binary then serves it.
const serveEnv = "STEPGATE_SERVE_READERS"

const (
	clients = 200
	most    = 64 << 20 // bytes by which the server may grow
	payload = 4 << 20
	effects = 60
)

// Clients that ask for large answers and do not read them make the server grow by at most 64 MiB,
// whether they are one person or many. The server is a process of its own.
func TestReadersThatDoNotRead(t *testing.T) {
	if kind := os.Getenv(serveEnv); kind != "" {
		serve(t, kind)
		return
	}
	if info, _ := debug.ReadBuildInfo(); testing.Short() || slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("takes a while, and measures memory")
	}
	for _, kind := range stores.Each() {
		t.Run(kind.Name, func(t *testing.T) {
			s := start(t, kind.Name)
			at := func(job store.JobID, rest string) string { return fmt.Sprintf("GET /v1/jobs/%d%s", job, rest) }
			creation := fmt.Sprintf(`{"name":"replayed","request_id":%q,"steps":[{"type":"script","name":"s","targets":["a"],"payload":%q}]}`,
				replayed, strings.Repeat("x", payload/5))
			for _, c := range []struct {
				name, request, body string
				n                   int
			}{
				{"a step", at(s.Large, "/steps/1"), "", clients},
				{"what a person may do", at(s.Asked, "/steps/1/explain"), "", clients},
				{"steps", at(s.Asked, "/steps?limit=1000"), "", clients},
				{"targets", at(s.Wide, "/steps/1/targets?limit=10000"), "", clients},
				{"history", at(s.Wide, "/history?limit=10000"), "", clients},
				{"a creation that is replayed", "POST /v1/jobs", creation, clients / 10},
				{"claims", "POST /v1/effects/claim", `{"limit":60,"effects":["run"]}`, effects},
			} {
				for _, persons := range []int{1, c.n} {
					if grown := s.ask(c.request, c.body, c.n, persons); grown > most {
						t.Errorf("%s, asked for by %d clients of %d persons: the server grew by %d MiB, want %d at most", c.name, c.n, persons, grown>>20, most>>20)
					} else {
						t.Logf("%s, asked for by %d clients of %d persons: the server grew by %d MiB", c.name, c.n, persons, grown>>20)
					}
				}
			}
		})
	}
}

var replayed = uuid.MustParse("01981f5e-6d30-7c11-9a52-3f6f5d6c8e1a")

// A site is where a server is, and what jobs it has.
type site struct {
	*testing.T         `json:"-"`
	Addr               string
	Large, Asked, Wide store.JobID // of a large payload, of many confirmers, of many targets and records
}

// start starts a server, which ends with the test.
func start(t *testing.T, kind string) *site {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), exe, "-test.run=^TestReadersThatDoNotRead$", "-test.v=false")
	server.Env = append(os.Environ(), serveEnv+"="+kind)
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe() // the server ends with it
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = server.Wait()
	})
	s := &site{T: t}
	if err := json.NewDecoder(stdout).Decode(s); err != nil {
		text, _ := io.ReadAll(stdout)
		if failed := server.Wait(); failed != nil {
			t.Fatalf("the server did not start: %v: %v\n%s", failed, err, text)
		}
		t.Skip("there is no store of this kind here")
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return s
}

// ask makes n clients send a request and read nothing until the server has disconnected them. It
// returns the maximum growth of the server's memory in bytes.
func (s *site) ask(request, body string, n, persons int) uint64 {
	s.Helper()
	before := s.get("/peak")
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	var sent sync.WaitGroup
	for i := range n {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			s.Fatal(err)
		}
		conns = append(conns, conn)
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		sent.Go(func() {
			head := fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nX-Person: p%d\r\n", request, i%persons)
			if body != "" {
				head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
			}
			_, _ = io.WriteString(conn, head+"\r\n"+body)
		})
	}
	after := s.get(fmt.Sprintf("/served?n=%d", n))
	sent.Wait()
	return max(after, before) - before
}

// get returns the number that the server answers.
func (s *site) get(path string) (n uint64) {
	s.Helper()
	answer, err := http.Get("http://" + s.Addr + path)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&n); err != nil {
		s.Fatal(err)
	}
	return n
}

// serve serves until standard input ends, and prints its site. It collects garbage early: with the
// default, the collector adds 60 MiB of garbage to a heap of 60 MiB, and the test measures what
// readers hold.
func serve(t *testing.T, kind string) {
	debug.SetGCPercent(40)
	all := stores.Each()
	st := all[slices.IndexFunc(all, func(k stores.Named) bool { return k.Name == kind })].Open(t)
	limits := engine.DefaultLimits()
	limits.Payload = payload
	eng := engine.New(st, engine.WithLimits(limits))
	s := site{}
	create := func(spec step.Spec) store.JobID {
		created, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Scope: store.Scope{Type: "biz", ID: "2"}, Steps: []step.Spec{spec}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		return created.Job
	}
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprint("host-", i))
		}
		return names
	}
	large := step.Spec{Type: step.Script, Name: "s", Targets: many(1), Payload: strings.Repeat("\u2028", payload/3)}
	for range 2 * effects { // a round of claims leases as many as there are clients
		s.Large = create(large)
	}
	s.Asked = create(step.Spec{Type: step.Confirmation, Name: "ask", Confirmers: many(300_000)})
	s.Wide = create(step.Spec{Type: step.Script, Name: "s", Targets: many(10_000)})
	for i := range int32(1000) {
		if _, err := eng.Report(t.Context(), engine.Report{Job: s.Wide, Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: i, Result: store.Result{Status: step.TargetSucceeded}},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	once := engine.Request{ID: replayed}
	if _, err := eng.Create(t.Context(), engine.JobSpec{Name: "replayed", Scope: store.Scope{Type: "biz", ID: "2"}, Steps: []step.Spec{
		{Type: step.Script, Name: "s", Targets: []string{"a"}, Payload: strings.Repeat("x", payload/5)},
	}}, once); err != nil {
		t.Fatal(err)
	}

	served := make(chan struct{}, 10_000)
	var peak atomic.Uint64
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak.Store(max(peak.Load(), held()))
			case <-done:
				return
			}
		}
	}()
	api := httpapi.New(eng, httpapi.Config{
		Identify: func(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Person: r.Header.Get("X-Person"), AllScopes: true, Executor: strings.HasPrefix(r.URL.Path, "/v1/effects")}, nil
		},
		WriteTimeout: 2 * time.Second,
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		api.ServeHTTP(w, r)
		served <- struct{}{}
	})
	mux.HandleFunc("/peak", func(w http.ResponseWriter, _ *http.Request) {
		debug.FreeOSMemory()
		peak.Store(held())
		fmt.Fprintln(w, peak.Load())
	})
	mux.HandleFunc("/served", func(w http.ResponseWriter, r *http.Request) {
		var n int
		_, _ = fmt.Sscan(r.URL.Query().Get("n"), &n)
		for range n {
			<-served
		}
		fmt.Fprintln(w, peak.Load())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httpapi.NewServer("", mux)
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	s.Addr = listener.Addr().String()
	_ = json.NewEncoder(os.Stdout).Encode(s)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// held returns the resident memory of this process in bytes.
func held() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
