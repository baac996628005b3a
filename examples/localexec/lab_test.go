//go:build unix

package localexec_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// A lab is real directories and processes.
type lab struct {
	*testing.T
	ctx    context.Context
	dir    string // scripts reach it as $LAB
	config localexec.Config
	d      *localexec.Directories
}

func newLab(t *testing.T, c localexec.Config) *lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	l := &lab{T: t, ctx: ctx, dir: t.TempDir()}
	c.Root, c.Sources, c.State, c.Logs = filepath.Join(l.dir, "targets"), l.dir, filepath.Join(l.dir, "state"), executor.NewMemoryLogs(0, 0)
	if c.Grace == 0 {
		c.Grace = patience
	}
	for _, name := range []string{"a", "b"} {
		l.must(os.MkdirAll(filepath.Join(c.Root, name), 0o755))
	}
	l.config, l.d = c, localexec.New(c)
	return l
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// text returns the payload of a script; in its text, $LAB is the lab's directory.
func (l *lab) text(text string) string {
	return localexec.Script{Script: "export LAB='" + l.dir + "'\n" + text}.Payload()
}

// task returns an attempt of step 1 of job 7.
func task(payload string, attempt int32) *executor.Task {
	return &executor.Task{Job: store.Job{ID: 7}, Step: store.Step{ID: 1, Payload: payload}, Attempt: attempt}
}

// begin has f work on a target in an attempt; the channel gives the result.
func (l *lab) begin(ctx context.Context, f executor.HostFunc, payload string, attempt int32, target string) <-chan store.Result {
	done := make(chan store.Result, 1)
	go func() {
		done <- f(ctx, task(payload, attempt), executor.Host{Index: int32(target[0] - 'a'), Name: target})
	}()
	return done
}

// start has a script run on a target until stop is called.
func (l *lab) start(text, target string) (done <-chan store.Result, stop func()) {
	ctx, stop := context.WithCancel(l.ctx)
	l.Cleanup(stop)
	return l.begin(ctx, l.d.Script, l.text(text), 1, target), stop
}

// result waits for a result with a status.
func (l *lab) result(done <-chan store.Result, want step.Status) store.Result {
	l.Helper()
	select {
	case r := <-done:
		if r.Status != want {
			l.Errorf("the result is %+v, want %v", r, want)
		}
		return r
	case <-l.ctx.Done():
		l.Fatalf("there is no result, want %v", want)
	}
	return store.Result{}
}

// script runs a script on a target and wants a status.
func (l *lab) script(text, target string, want step.Status) store.Result {
	l.Helper()
	return l.result(l.begin(l.ctx, l.d.Script, l.text(text), 1, target), want)
}

// copy copies files into a target and wants a status.
func (l *lab) copy(files []localexec.File, target string, want step.Status) store.Result {
	l.Helper()
	return l.result(l.begin(l.ctx, l.d.Copy, localexec.Files{Files: files}.Payload(), 1, target), want)
}

// log returns what the script of a target has written in the first attempt.
func (l *lab) log(target string, s executor.Stream) string {
	l.Helper()
	e, err := l.config.Logs.Read(l.ctx, executor.Log{Job: 7, Step: 1, Attempt: 1, Target: int32(target[0] - 'a'), Stream: s}, 0, 1<<20)
	l.must(err)
	return string(e.Data)
}

// clean wants nothing to be in State.
func (l *lab) clean() {
	l.Helper()
	if left, err := os.ReadDir(l.config.State); err != nil || len(left) > 0 {
		l.Errorf("State holds %v, %v, want nothing when nothing runs", left, err)
	}
}

func (l *lab) write(name, text string) {
	l.Helper()
	l.must(os.MkdirAll(filepath.Dir(filepath.Join(l.dir, name)), 0o755))
	l.must(os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o644))
}

// read returns what a file holds, or "" if there is none.
func (l *lab) read(name string) string {
	l.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.Fatal(err)
	}
	return string(data)
}

// A pipe is a named pipe in the lab's directory, through which scripts and the test
// wait for each other: echo WORD >$LAB/NAME, read WORD <$LAB/NAME.
type pipe struct {
	*lab
	name string
	file *os.File
	in   *bufio.Reader
}

func (l *lab) pipe(name string) *pipe {
	l.Helper()
	path := filepath.Join(l.dir, name)
	l.must(syscall.Mkfifo(path, 0o600))
	// Open for both, so that neither side waits for the other to open it.
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	l.must(err)
	l.Cleanup(func() { f.Close() })
	l.must(f.SetDeadline(time.Now().Add(patience)))
	return &pipe{l, name, f, bufio.NewReader(f)}
}

// get waits for a line that a script writes.
func (p *pipe) get() string {
	p.Helper()
	line, err := p.in.ReadString('\n')
	if err != nil {
		p.Fatalf("no script wrote to %s: %v", p.name, err)
	}
	return strings.TrimSpace(line)
}

// pid waits for a line that is a process id.
func (p *pipe) pid() int {
	p.Helper()
	pid, err := strconv.Atoi(p.get())
	p.must(err)
	return pid
}

// put lets a script that reads go on.
func (p *pipe) put() {
	p.Helper()
	_, err := fmt.Fprintln(p.file, "go")
	p.must(err)
}

// dead waits for a process to be gone, whether it has been buried or not.
func (l *lab) dead(pid int) {
	l.Helper()
	for syscall.Kill(pid, 0) == nil {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
		if l.ctx.Err() != nil {
			l.Fatalf("process %d still runs", pid)
		}
		runtime.Gosched()
	}
}
