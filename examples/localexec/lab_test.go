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
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// A lab is an engine and an executor with real directories and processes.
type lab struct {
	*testing.T
	ctx    context.Context
	dir    string // scripts reach it as $LAB
	config localexec.Config
	store  *flaky
	eng    *engine.Engine
	x      *localexec.Executor
	ahead  atomic.Int64 // of the engine's clock, in nanoseconds
}

func newLab(t *testing.T, c localexec.Config) *lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	l := &lab{T: t, ctx: ctx, dir: t.TempDir(), store: &flaky{Store: memstore.New()}}
	c.Root, c.Sources, c.Logs = filepath.Join(l.dir, "targets"), l.dir, filepath.Join(l.dir, "logs")
	if c.Grace == 0 {
		c.Grace = patience
	}
	for _, name := range []string{"a", "b"} {
		l.must(os.MkdirAll(filepath.Join(c.Root, name), 0o755))
	}
	l.config = c
	l.eng = engine.New(l.store, engine.WithClock(func() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }))
	l.x = localexec.New(l.eng, c)
	return l
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// script returns a script step; in its text, $LAB is the lab's directory.
func (l *lab) script(text string, targets ...string) step.Spec {
	return step.Spec{
		Type: step.Script, Name: "script", Targets: targets,
		Payload: localexec.Script{Script: "export LAB='" + l.dir + "'\n" + text}.Payload(),
	}
}

func (l *lab) files(files []localexec.File, targets ...string) step.Spec {
	return step.Spec{Type: step.FileTransfer, Name: "files", Targets: targets, Payload: localexec.Files{Files: files}.Payload()}
}

// start creates and starts a job.
func (l *lab) start(steps ...step.Spec) store.JobID {
	l.Helper()
	created, err := l.eng.Create(l.ctx, engine.JobSpec{Name: l.Name(), Steps: steps}, engine.Request{})
	l.must(err)
	_, err = l.eng.OperateJob(l.ctx, created.Job, operation.StartJob, engine.Request{})
	l.must(err)
	return created.Job
}

func (l *lab) operate(job store.JobID, id step.ID, code operation.Code) {
	l.Helper()
	_, err := l.eng.Operate(l.ctx, job, id, code, engine.Request{})
	l.must(err)
}

func (l *lab) terminate(job store.JobID) {
	l.Helper()
	_, err := l.eng.OperateJob(l.ctx, job, operation.TerminateJob, engine.Request{})
	l.must(err)
}

// breakDown has somebody else report the step abnormal, behind the executor's back.
func (l *lab) breakDown(job store.JobID, attempt int32) {
	l.Helper()
	_, err := l.eng.Report(l.ctx, engine.Report{Job: job, Step: 1, Attempt: attempt, Outcome: step.Broke})
	l.must(err)
}

// dispatch runs the dispatcher until the test ends.
func (l *lab) dispatch() {
	ctx, cancel := context.WithCancel(l.ctx)
	var running sync.WaitGroup
	running.Go(func() {
		err := l.eng.Dispatch(ctx, l.x.Handle, engine.SweepEvery(10*time.Millisecond), engine.Backoff(time.Millisecond, time.Second))
		if err != nil {
			l.Errorf("Dispatch: %v", err)
		}
	})
	l.Cleanup(func() { cancel(); running.Wait() })
}

// handle delivers one effect by hand; the channel gives what the handler returned.
func (l *lab) handle(ctx context.Context, x *localexec.Executor, effect store.Effect, job store.JobID, attempt int32) <-chan error {
	l.Helper()
	j, err := l.eng.Job(l.ctx, job)
	l.must(err)
	s, err := l.eng.Step(l.ctx, job, 1)
	l.must(err)
	returned := make(chan error, 1)
	go func() {
		returned <- x.Handle(ctx, engine.Delivery{Effect: effect, Job: j, Step: s, Attempt: attempt, Ended: j.State})
	}()
	return returned
}

func (l *lab) run(job store.JobID, attempt int32) <-chan error {
	l.Helper()
	return l.handle(l.ctx, l.x, store.RunTargets, job, attempt)
}

func (l *lab) stop(job store.JobID, attempt int32) <-chan error {
	l.Helper()
	return l.handle(l.ctx, l.x, store.StopAttempt, job, attempt)
}

// settles waits for a handler and wants nil of it.
func (l *lab) settles(returned <-chan error) {
	l.Helper()
	select {
	case err := <-returned:
		if err != nil {
			l.Fatalf("Handle = %v, want nil", err)
		}
	case <-l.ctx.Done():
		l.Fatal("Handle did not return")
	}
}

// until waits until the step satisfies ok.
func (l *lab) until(job store.JobID, id step.ID, what string, ok func(store.Step) bool) store.Step {
	l.Helper()
	for _, err := range l.eng.Watch(l.ctx, job, 0) {
		if err != nil {
			break
		}
		s, err := l.eng.Step(l.ctx, job, id)
		l.must(err)
		if ok(s) {
			return s
		}
	}
	s, _ := l.eng.Step(context.Background(), job, id)
	l.Fatalf("step %d never was %s, but is %v in attempt %d with %d unfinished", id, what, s.State, s.Attempt, s.Unfinished)
	return s
}

func (l *lab) untilState(job store.JobID, id step.ID, state step.State) store.Step {
	l.Helper()
	return l.until(job, id, state.String(), func(s store.Step) bool { return s.State == state })
}

func (l *lab) target(job store.JobID, id step.ID, index int32) store.Target {
	l.Helper()
	targets, err := l.eng.Targets(l.ctx, job, id, engine.TargetQuery{From: index, Limit: 1})
	l.must(err)
	return targets[0]
}

// is wants a status of a target.
func (l *lab) is(job store.JobID, id step.ID, index int32, want step.Status) store.Target {
	l.Helper()
	got := l.target(job, id, index)
	if got.Status != want {
		l.Errorf("step %d, target %s: %v, exit code %d, %q, want %v", id, got.Name, got.Status, got.ExitCode, got.Detail, want)
	}
	return got
}

// idle wants nothing to be on the executor's list.
func (l *lab) idle() {
	l.Helper()
	if n := l.x.Running(); n != 0 {
		l.Errorf("%d attempts are on the list, want none", n)
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

// lines wants a file to have so many lines.
func (l *lab) lines(name string, want int) {
	l.Helper()
	if text := l.read(name); strings.Count(text, "\n") != want {
		l.Errorf("%s has %d lines, want %d: %q", name, strings.Count(text, "\n"), want, text)
	}
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

// A flaky store fails commits while it is told to.
type flaky struct {
	store.Store
	fail atomic.Int32 // commits that are yet to fail
}

func (f *flaky) Commit(ctx context.Context, c store.Change) error {
	if f.fail.Add(-1) >= 0 {
		return errors.New("the store is away")
	}
	return f.Store.Commit(ctx, c)
}
