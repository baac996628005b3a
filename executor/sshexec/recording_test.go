package sshexec

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// slowLogs take a time for each append.
type slowLogs struct {
	executor.Logs
	each time.Duration
}

func (s slowLogs) Append(ctx context.Context, l executor.Log, p []byte) error {
	time.Sleep(s.each)
	return s.Logs.Append(ctx, l, p)
}

// written is a channel with output that has arrived.
type written struct {
	ssh.Channel
	stdout, stderr io.Reader
}

func (w *written) Read(p []byte) (int, error) { return w.stdout.Read(p) }
func (w *written) CloseWrite() error          { return nil }

func (w *written) Stderr() io.ReadWriter {
	return struct {
		io.Reader
		io.Writer
	}{w.stderr, nil}
}

// heldOpen is a stream that others hold open at its end.
type heldOpen struct{ held chan struct{} }

func (h heldOpen) Read([]byte) (int, error) {
	<-h.held
	return 0, io.EOF
}

// A recorded script has exited, and has written 60,000 bytes and its reason.
type recorded struct {
	x    *Remote
	s    *session
	r    *recording
	logs executor.Logs
}

func record(each time.Duration, code int32, held chan struct{}) *recorded {
	logs := executor.NewMemoryLogs(0, 0)
	x := &Remote{c: Config{Logs: slowLogs{logs, each}, OutputLimit: 1 << 20}}
	w := &written{stdout: strings.NewReader("mark\n" + strings.Repeat("x", 60_000)), stderr: strings.NewReader("why\n")}
	if held != nil {
		w.stdout, w.stderr = io.MultiReader(w.stdout, heldOpen{held}), io.MultiReader(w.stderr, heldOpen{held})
	}
	s := &session{Channel: w, exited: make(chan exit, 1), closed: make(chan struct{})}
	s.exited <- exit{code: code}
	r := x.record(s, task, executor.Host{Name: "h0"}, "mark")
	synctest.Wait() // until appends are under way
	return &recorded{x, s, r, logs}
}

var task = &executor.Task{Job: store.Job{ID: 7}, Step: store.Step{ID: 1}, Attempt: 1}

// kept returns how many bytes of standard output are.
func (r *recorded) kept(t *testing.T) int64 {
	t.Helper()
	e, err := r.logs.Read(t.Context(), log(task, executor.Host{}, executor.Stdout), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e.Kept
}

// Logs that are slow get all output before the result, also while a process in the background
// holds the streams open.
func TestSlowLogs(t *testing.T) {
	for name, held := range map[string]chan struct{}{"ended": nil, "held open": make(chan struct{})} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if held != nil {
					held = make(chan struct{}) // one of the bubble
					defer close(held)
				}
				r := record(3*time.Second, 3, held)
				missing := r.r.drain(nil)
				if kept := r.kept(t); missing != nil || kept != 60_000 {
					t.Errorf("drain = %v, and %d bytes are kept; want nil, 60000", missing, kept)
				}
			})
		})
	}
}

// A script that has ended by itself has not been stopped, though its stop comes at the same moment.
func TestExitAtTheMomentOfAStop(t *testing.T) {
	for code, want := range map[int32]step.Status{0: step.TargetSucceeded, 3: step.NonZeroExit} {
		for range 50 { // of two ready channels a select takes any
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				stop()
				r := record(100*time.Millisecond, code, nil)
				got := r.x.await(ctx, r.s, r.r)
				if kept := r.kept(t); got.Status != want || got.Detail != "why" || kept != 60_000 {
					t.Fatalf("%v, detail %q, %d bytes are kept; want %v, why, 60000", got.Status, got.Detail, kept, want)
				}
			})
		}
	}
}
