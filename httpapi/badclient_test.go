package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
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

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/httpapi"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

// serveEnv makes the test binary serve instead of test.
const serveEnv = "STEPGATE_SERVE_BAD_CLIENTS"

// Clients that send too much, too deep or too slowly, or open streams without end, make the server
// grow by at most 64 MiB, and double the p99 of a good client at most. The server is a process of its
// own. Other tests check its answers to bad clients.
func TestBadClients(t *testing.T) {
	if os.Getenv(serveEnv) != "" {
		serveBadClients(t)
		return
	}
	if testing.Short() || raceDetector() {
		t.Skip("takes a while, and measures time and memory")
	}
	const tries = 3 // other work of the machine makes good clients wait
	var ratio float64
	for range tries {
		var grown uint64
		grown, ratio = badClients(t)
		if grown > 64<<20 {
			t.Fatalf("the server grew by %d MiB, 64 are the most", grown>>20)
		}
		if ratio <= 2 {
			return
		}
	}
	t.Errorf("beside bad clients a good one's p99 is %.1f times what it is without them, 2 are the most; %d tries", ratio, tries)
}

// A yard is a server process with its clients.
type yard struct {
	testing.TB
	addr string
	job  store.JobID // that a good client operates on
	idle store.JobID // that the streams watch
	good *http.Client
}

// badClients returns the growth of a server with bad clients, and the p99 of a good client divided by
// its p99 without them.
func badClients(t *testing.T) (grown uint64, ratio float64) {
	y := newYard(t)
	var quiet, loud []time.Duration
	for range 3 {
		quiet = append(quiet, y.p99())
	}
	before := y.peak()
	stop := y.misbehave()
	for range 6 {
		loud = append(loud, y.p99())
	}
	after := y.peak()
	stop()
	for range 3 {
		quiet = append(quiet, y.p99())
	}
	grown = max(after, before) - before
	ratio = float64(median(loud)) / float64(median(quiet))
	t.Logf("bad clients: the server grew by %d MiB from %d, a good client's p99 went from %v to %v, %.2f times",
		grown>>20, before>>20, median(quiet), median(loud), ratio)
	return grown, ratio
}

// raceDetector reports whether this is built with the race detector.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// newYard starts a server, which ends with the test.
func newYard(t *testing.T) *yard {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), exe, "-test.run=^TestBadClients$", "-test.v=false")
	server.Env = append(os.Environ(), serveEnv+"=1")
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe() // it ends when this does
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
	y := &yard{TB: t, good: &http.Client{}}
	if _, err := fmt.Fscanln(stdout, &y.addr, &y.job, &y.idle); err != nil {
		t.Fatal("the server did not say where it is:", err)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return y
}

// p99 operates a thousand times and returns the duration of the tenth slowest.
func (y *yard) p99() time.Duration {
	y.Helper()
	const n = 1000
	url := fmt.Sprintf("http://%s/v1/jobs/%d/steps/1/operate", y.addr, y.job)
	took := make([]time.Duration, n)
	for i := range took {
		code := [2]operation.Code{operation.TerminateConfirmation, operation.RestartConfirmation}[i%2]
		began := time.Now()
		post(y, y.good, url, fmt.Appendf(nil, `{"code": %d}`, code))
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[n*99/100]
}

// peak returns the maximum of the server's memory since the last call.
func (y *yard) peak() (bytes uint64) {
	y.Helper()
	answer, err := y.good.Get("http://" + y.addr + "/peak")
	if err != nil {
		y.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&bytes); err != nil {
		y.Fatal(err)
	}
	return bytes
}

// misbehave starts bad clients, which work until it is told to stop. It returns once the streams are
// open and the server has answered or cut off each other kind at least once.
func (y *yard) misbehave() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	var seen sync.WaitGroup // every client, once
	// again repeats a misdeed, on a new connection each time.
	again := func(every time.Duration, bad func(net.Conn) error) {
		seen.Add(1)
		clients.Go(func() {
			once := sync.OnceFunc(seen.Done)
			defer once()
			tick := time.NewTicker(every)
			defer tick.Stop()
			for ctx.Err() == nil {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", y.addr)
				if err == nil {
					end := context.AfterFunc(ctx, func() { conn.Close() })
					err = bad(conn)
					end()
					conn.Close()
				}
				if err != nil && ctx.Err() == nil {
					y.Error(err)
				}
				once()
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	operate := fmt.Sprintf("/v1/jobs/%d/steps/1/operate", y.job)
	huge := bytes.Repeat([]byte(" "), 10<<20)
	deep := bytes.Repeat([]byte("["), maxJob)
	for _, path := range []string{operate, "/v1/jobs", "/api/v3/operate_step_instance/"} {
		again(100*time.Millisecond, func(c net.Conn) error { return shove(c, path, true, huge) })
		again(100*time.Millisecond, func(c net.Conn) error { return shove(c, path, false, huge) })
	}
	again(200*time.Millisecond, func(c net.Conn) error { return shove(c, "/v1/jobs", false, deep) })
	again(50*time.Millisecond, func(c net.Conn) error { return shove(c, operate, false, deep[:maxOperation]) })
	for range 50 {
		again(time.Second, func(c net.Conn) error { return trickle(c, operate, maxOperation, 0) })
	}
	for range 50 {
		again(time.Second, func(c net.Conn) error { return trickle(c, "/v1/jobs", maxJob, 1<<20) })
	}
	var open atomic.Int32
	var streams sync.WaitGroup
	for i := range 1000 {
		streams.Go(func() {
			conn, err := net.Dial("tcp", y.addr)
			if err != nil {
				y.Error(err)
				return
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			fmt.Fprintf(conn, "GET /v1/jobs/%d/events HTTP/1.1\r\nHost: %s\r\nX-Person: p%d\r\n\r\n", y.idle, y.addr, i%50)
			status, err := bufio.NewReader(conn).ReadString('\n')
			switch {
			case err != nil:
				y.Errorf("stream %d: %v", i, err)
			case strings.Contains(status, "200"):
				open.Add(1)
			case !strings.Contains(status, "429"):
				y.Errorf("stream %d: %s", i, status)
			}
		})
	}
	streams.Wait()
	if n := open.Load(); n != 256 {
		y.Errorf("%d event streams are open, want 256", n)
	}
	seen.Wait()
	return func() {
		cancel()
		clients.Wait()
	}
}

// The limits of bodies: see body.go.
const (
	maxOperation = 64 << 10
	maxJob       = 4 << 20
)

// shove sends a body at full speed, in chunks or with its length declared. The server must refuse it or
// cut it off.
func shove(c net.Conn, path string, chunked bool, body []byte) error {
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n", path)
	if chunked {
		fmt.Fprintf(c, "Transfer-Encoding: chunked\r\n\r\n")
		for chunk := range slices.Chunk(body, 256<<10) {
			if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(chunk), chunk); err != nil {
				break
			}
		}
		fmt.Fprintf(c, "0\r\n\r\n")
	} else {
		fmt.Fprintf(c, "Content-Length: %d\r\n\r\n", len(body))
		_, _ = c.Write(body)
	}
	return turnedAway(c)
}

// trickle sends part of a body at once and the rest byte by byte, ten per second, until the server
// ends it.
func trickle(c net.Conn, path string, length, atOnce int) error {
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, length)
	_, _ = c.Write(make([]byte, atOnce))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	gone := make(chan error, 1)
	go func() { gone <- turnedAway(c) }()
	for {
		select {
		case err := <-gone:
			return err
		case <-tick.C:
			_, _ = c.Write([]byte(" "))
		}
	}
}

// turnedAway wants the answer to a request that was not served.
func turnedAway(c net.Conn) error {
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil // cut off
	}
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if served := answer.StatusCode == http.StatusOK && !bytes.Contains(text, []byte("1241002")); served || answer.StatusCode >= 500 && answer.StatusCode != http.StatusServiceUnavailable {
		return fmt.Errorf("answered with %d %s", answer.StatusCode, text)
	}
	return nil
}

// serveBadClients serves until its standard input ends, and prints its address.
func serveBadClients(t *testing.T) {
	eng, job := asking(t)
	idle, err := eng.Job(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	other, err := eng.Create(t.Context(), askingSpec(idle.Scope), engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
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
	mux := http.NewServeMux()
	mux.Handle("/", httpapi.New(eng, httpapi.Config{
		Identify: func(r *http.Request, _ httpapi.Credentials) (httpapi.Caller, error) {
			return httpapi.Caller{Person: r.Header.Get("X-Person"), AllScopes: true}, nil
		},
		BodyTimeout: 2 * time.Second,
	}))
	mux.HandleFunc("GET /peak", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, peak.Swap(held()))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httpapi.NewServer("", mux)
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	fmt.Println(listener.Addr(), job, other.Job)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// held returns the resident memory of this process in bytes.
func held() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
