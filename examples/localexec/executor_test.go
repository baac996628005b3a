//go:build unix

package localexec_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func TestScript(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.dispatch()
	job := l.start(l.script(`
		pwd >where
		echo $STEPGATE_JOB $STEPGATE_STEP $STEPGATE_ATTEMPT $STEPGATE_TARGET
		cat
		echo first problem >&2
		echo "last	$STEPGATE_TARGET problem" >&2
		echo >&2
		[ $STEPGATE_TARGET = a ] || exit 3`, "a", "b"))
	s := l.untilState(job, 1, step.Failed)
	if s.Succeeded != 1 || s.Failed() != 1 {
		t.Errorf("%d succeeded, %d failed, want one each", s.Succeeded, s.Failed())
	}
	l.is(job, 1, 0, step.TargetSucceeded)
	got := l.is(job, 1, 1, step.NonZeroExit)
	if got.ExitCode != 3 || got.Detail != "last b problem" || got.Started == 0 || got.Finished < got.Started {
		t.Errorf("target b: %+v, want exit code 3, the last line of stderr and the times", got.Result)
	}
	if where := strings.TrimSpace(l.read("targets/b/where")); where != filepath.Join(l.dir, "targets", "b") {
		t.Errorf("the script ran in %s", where)
	}
	out, err := l.x.Output(job, 1, 1, 1)
	l.must(err)
	if want := fmt.Sprintf("%d 1 1 b\n", job); string(out.Stdout) != want {
		t.Errorf("stdout = %q, want %q", out.Stdout, want)
	}
	if want := "first problem\nlast\tb problem\n\n"; string(out.Stderr) != want {
		t.Errorf("stderr = %q, want %q", out.Stderr, want)
	}
	if _, err := l.x.Output(job, 1, 2, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Output of an attempt that never ran: %v, want os.ErrNotExist", err)
	}
}

func TestRetryFailedRunsOnlyWhatFailed(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.dispatch()
	job := l.start(l.script(`
		echo ran >>$LAB/ran.$STEPGATE_TARGET
		[ $STEPGATE_TARGET = a ] || [ $STEPGATE_ATTEMPT = 2 ]`, "a", "b"))
	l.untilState(job, 1, step.Failed)
	l.operate(job, 1, operation.RetryFailed)
	l.untilState(job, 1, step.Succeeded)
	l.lines("ran.a", 1)
	l.lines("ran.b", 2)
	l.is(job, 1, 0, step.SucceededEarlier)
	l.is(job, 1, 1, step.TargetSucceeded)
}

func TestScriptThatDiesOfASignal(t *testing.T) {
	l := newLab(t, localexec.Config{})
	job := l.start(l.script(`kill -KILL $$`, "a"))
	l.settles(l.run(job, 1))
	if got := l.is(job, 1, 0, step.NonZeroExit); got.ExitCode != 137 || got.Detail != "signal: killed" {
		t.Errorf("exit code %d, %q, want 137, as in a shell", got.ExitCode, got.Detail)
	}
}

func TestBackgroundProcess(t *testing.T) {
	l := newLab(t, localexec.Config{})
	up := l.pipe("up")
	job := l.start(l.script(`sleep 300 & echo $! >$LAB/up`, "a"))
	run := l.run(job, 1)
	child := up.pid()
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	l.settles(run)
	l.is(job, 1, 0, step.TargetSucceeded)
	if err := syscall.Kill(child, 0); err != nil {
		t.Errorf("the background process is gone: %v", err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	l := newLab(t, localexec.Config{OutputLimit: 1000})
	job := l.start(l.script(`
		i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done
		echo the end >&2; exit 1`, "a"))
	l.settles(l.run(job, 1))
	out, err := l.x.Output(job, 1, 1, 0)
	l.must(err)
	if len(out.Stdout) != 1000 {
		t.Errorf("%d bytes of output are kept, want 1000", len(out.Stdout))
	}
	if got := l.is(job, 1, 0, step.NonZeroExit); got.Detail != "the end" {
		t.Errorf("detail = %q, want the end", got.Detail)
	}
}

func TestDetailCanBeReported(t *testing.T) {
	l := newLab(t, localexec.Config{})
	job := l.start(l.script(`
		i=0; while [ $i -lt 400 ]; do printf '\303\244\377\000\033' >&2; i=$((i+1)); done; exit 1`, "a"))
	l.settles(l.run(job, 1))
	if got := l.is(job, 1, 0, step.NonZeroExit); len([]rune(got.Detail)) != 256 || !strings.HasSuffix(got.Detail, "ä?...") {
		t.Errorf("detail = %q, want 256 printable characters", got.Detail)
	}
}

func TestParallel(t *testing.T) {
	l := newLab(t, localexec.Config{Parallel: 3})
	l.must(os.Mkdir(filepath.Join(l.dir, "now"), 0o755))
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("many/%d", i))
		l.must(os.MkdirAll(filepath.Join(l.dir, "targets", names[i]), 0o755))
	}
	job := l.start(l.script(`
		n=$LAB/now/${STEPGATE_TARGET#many/}
		: >$n; set -- $LAB/now/*; echo $# >>$LAB/counts; rm $n`, names...))
	l.settles(l.run(job, 1))
	l.untilState(job, 1, step.Succeeded)
	l.lines("counts", 20)
	for line := range strings.Lines(l.read("counts")) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err != nil || n > 3 {
			t.Errorf("%s scripts at once, want 3 at most", strings.TrimSpace(line))
		}
	}
}

func TestTargetsStayBelowRoot(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.must(os.Mkdir(filepath.Join(l.dir, "outside"), 0o755))
	l.must(os.Symlink("../outside", filepath.Join(l.dir, "targets", "link")))
	names := []string{"../outside", filepath.Join(l.dir, "outside"), ".", "a/..", "link", "missing", "a/../../outside"}
	script := l.script(`echo ran >>$LAB/ran`, names...)
	files := l.files([]localexec.File{{Content: new("x"), To: "x"}}, names...)
	script.IgnoreErrors = true
	l.dispatch()
	job := l.start(script, files)
	l.untilState(job, 2, step.Failed)
	for i := range names {
		l.is(job, 1, int32(i), step.InvalidTarget)
		l.is(job, 2, int32(i), step.InvalidTarget)
	}
	l.lines("ran", 0)
	if got := l.read("outside/x"); got != "" {
		t.Errorf("outside/x holds %q", got)
	}
}

func TestFiles(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.write("source/app", "#!/bin/sh\necho app\n")
	l.write("targets/a/conf/app.ini", "old and longer\n")
	l.dispatch()
	job := l.start(l.files([]localexec.File{
		{From: "source/app", To: "bin/app", Mode: "755"},
		{From: "source/app", To: "app.bak", Mode: "0400"},
		{Content: new("key = 1\n"), To: "conf/app.ini"},
		{Content: new(""), To: "empty"},
	}, "a", "b"))
	l.untilState(job, 1, step.Succeeded)
	for _, want := range []struct {
		name, text string
		mode       os.FileMode
	}{
		{"bin/app", "#!/bin/sh\necho app\n", 0o755},
		{"app.bak", "#!/bin/sh\necho app\n", 0o400},
		{"conf/app.ini", "key = 1\n", 0o600},
		{"empty", "", 0o600},
	} {
		for _, target := range []string{"a", "b"} {
			name := filepath.Join("targets", target, want.name)
			if got := l.read(name); got != want.text {
				t.Errorf("%s holds %q, want %q", name, got, want.text)
			}
			if info, err := os.Stat(filepath.Join(l.dir, name)); err != nil || info.Mode() != want.mode {
				t.Errorf("%s has mode %v, %v, want %v", name, info.Mode(), err, want.mode)
			}
		}
	}
	l.noTemporaries()
}

// noTemporaries wants no temporary file in any target.
func (l *lab) noTemporaries() {
	l.Helper()
	l.must(filepath.WalkDir(filepath.Join(l.dir, "targets"), func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), "stepgate") {
			l.Errorf("%s was left behind", path)
		}
		return err
	}))
}

func TestFilesThatFail(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.must(os.MkdirAll(filepath.Join(l.dir, "targets/a/taken/by"), 0o755))
	l.write("targets/a/file", "a file\n")
	l.must(os.Symlink("../..", filepath.Join(l.dir, "targets/a/out")))
	l.pipe("pipe")
	outside := t.TempDir()
	l.must(os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	l.must(os.Symlink(outside, filepath.Join(l.dir, "elsewhere")))
	l.must(os.Symlink(filepath.Join(outside, "secret"), filepath.Join(l.dir, "link")))
	for _, c := range []struct {
		what string
		file localexec.File
		want step.Status
	}{
		{"no source", localexec.File{From: "missing", To: "x"}, step.SourceMissing},
		{"source is a directory", localexec.File{From: "targets", To: "x"}, step.FetchFailed},
		{"source is a link out of the sources", localexec.File{From: "link", To: "x"}, step.FetchFailed},
		{"source lies behind a link out of the sources", localexec.File{From: "elsewhere/secret", To: "x"}, step.FetchFailed},
		{"source is a pipe", localexec.File{From: "pipe", To: "x"}, step.FetchFailed},
		{"a directory is in the way", localexec.File{Content: new("x"), To: "taken"}, step.CopyFailed},
		{"a file is in the way of a directory", localexec.File{Content: new("x"), To: "file/x"}, step.CopyFailed},
		{"a link leads out of the target", localexec.File{Content: new("x"), To: "out/x"}, step.CopyFailed},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := &lab{T: t, ctx: l.ctx, dir: l.dir, eng: l.eng, x: l.x}
			job := l.start(l.files([]localexec.File{c.file, {Content: new("x"), To: "never"}}, "a"))
			l.settles(l.run(job, 1))
			if got := l.is(job, 1, 0, c.want); got.Detail == "" {
				t.Error("no detail says why")
			}
			l.noTemporaries()
			if _, err := os.Stat(filepath.Join(l.dir, "targets/a/never")); err == nil {
				t.Error("the files after it were copied")
			}
		})
	}
}

func TestTemporaryOfACrashIsOverwritten(t *testing.T) {
	l := newLab(t, localexec.Config{})
	job := l.start(l.files([]localexec.File{{Content: new("new"), To: "x"}}, "a"))
	left := filepath.Join(l.dir, "targets/a", fmt.Sprintf(".stepgate-%d-1-0", job))
	l.must(os.WriteFile(left, []byte("half a fi"), 0o400))
	l.settles(l.run(job, 1))
	if got := l.read("targets/a/x"); got != "new" {
		t.Errorf("x holds %q, want new", got)
	}
	l.noTemporaries()
}

func TestPayloadThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		of            step.Type
		payload, want string
	}{
		{step.Script, ``, `payload: EOF: want something like {"script":""}`},
		{step.Script, `{"script": 1}`, `payload: json: cannot unmarshal number into Go struct field Script.script of type string: want something like {"script":""}`},
		{step.Script, `{"script": "true", "user": "root"}`, `payload: json: unknown field "user": want something like {"script":"true"}`},
		{step.Script, `{"script": "true"} {}`, `payload: data after the end: want something like {"script":"true"}`},
		{step.Script, `{"script": " "}`, `payload: script: empty: want the text of a shell script`},
		{step.Script, `{"script": "a\u0000b"}`, `payload: script: holds a NUL character: want a text without one`},
		{step.FileTransfer, `{}`, `payload: files: none: want at least one file`},
		{step.FileTransfer, `{"files":[{"to":"x"}]}`, `payload: files[0].from: empty, and so is content: want one of the two`},
		{step.FileTransfer, `{"files":[{"to":"x","from":"x","content":""}]}`, `payload: files[0].from: not empty, and content is there too: want one of the two`},
		{step.FileTransfer, `{"files":[{"to":"x","from":"\u0000"}]}`, `payload: files[0].from: holds a NUL character: want a path without one`},
		{step.FileTransfer, `{"files":[{"to":"x","from":"/etc/passwd"}]}`, `payload: files[0].from: "/etc/passwd": want the path of a file below the sources, such as app/app.ini`},
		{step.FileTransfer, `{"files":[{"to":"x","from":"a/../../x"}]}`, `payload: files[0].from: "a/../../x": want the path of a file below the sources, such as app/app.ini`},
		{step.FileTransfer, `{"files":[{"to":"../x","content":""}]}`, `payload: files[0].to: "../x": want the path of a file within the target, such as conf/app.ini`},
		{step.FileTransfer, `{"files":[{"to":"x","content":""},{"to":"./x","content":""}]}`, `payload: files[1].to: "./x" is written by files[0] already`},
		{step.FileTransfer, `{"files":[{"to":"x","content":"","mode":"888"}]}`, `payload: files[0].mode: "888": want permissions in octal, such as 0644`},
		{step.FileTransfer, `{"files":[{"to":"x","content":"","mode":"4755"}]}`, `payload: files[0].mode: "4755": want permissions in octal, such as 0644`},
		{step.SQL, `{"sql":"select 1"}`, `payload: sql steps are not supported by localexec, only script and file_transfer`},
	} {
		t.Run(c.want, func(t *testing.T) {
			l := newLab(t, localexec.Config{})
			job := l.start(step.Spec{Type: c.of, Name: "x", Targets: []string{"a"}, Payload: c.payload})
			l.settles(l.run(job, 1))
			l.untilState(job, 1, step.Abnormal)
			history, err := l.eng.History(l.ctx, job, 0, 0)
			l.must(err)
			if last := history[len(history)-1]; last.Reason != c.want || last.Actor != "localexec" {
				t.Errorf("reported by %s: %q, want %q", last.Actor, last.Reason, c.want)
			}
		})
	}
}

func TestReportsAreTriedAgain(t *testing.T) {
	var failures atomic.Int32
	l := newLab(t, localexec.Config{Failed: func(context.Context, error) { failures.Add(1) }})
	job := l.start(l.script(`echo ran >>$LAB/ran`, "a"))
	l.store.fail.Store(7) // the engine tries three times by itself
	l.settles(l.run(job, 1))
	l.untilState(job, 1, step.Succeeded)
	l.lines("ran", 1)
	if got := failures.Load(); got != 2 {
		t.Errorf("Failed was told %d times, want 2", got)
	}
}

func TestReportsHoldManyResults(t *testing.T) {
	l := newLab(t, localexec.Config{})
	const targets = 2500
	names := make([]string, targets)
	results := make([]engine.TargetResult, 0, 2*targets)
	for i := range names {
		names[i] = strconv.Itoa(i)
		for _, status := range []step.Status{step.TargetRunning, step.TargetSucceeded} {
			results = append(results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: status}})
		}
	}
	job := l.start(l.script(`true`, names...))
	l.x.Collect(l.ctx, job, 1, 1, results)
	l.untilState(job, 1, step.Succeeded)
	history, err := l.eng.History(l.ctx, job, 2, 0) // created, started
	l.must(err)
	for i, r := range history {
		if last := i == len(history)-1; r.Results > 1000 {
			t.Errorf("a report holds %d results, want 1000 at most", r.Results)
		} else if r.Results < 1000 && !last {
			t.Logf("a report holds only %d results: a slow machine, or a mistake", r.Results)
		}
	}
}

func TestEndedJobRunsNothing(t *testing.T) {
	var ended atomic.Int32
	done, asked := make(chan step.State, 10), make(chan bool, 10)
	l := newLab(t, localexec.Config{
		Asked: func(context.Context, engine.Delivery) error { asked <- true; return nil },
		Ended: func(_ context.Context, d engine.Delivery) error {
			if ended.Add(1) == 1 {
				return errors.New("not now") // comes again
			}
			done <- d.Ended
			return nil
		},
	})
	up := l.pipe("up")
	// A deadline makes a step abnormal, and there is no stop for that.
	spec := l.script(`echo $$ >$LAB/up; exec sleep 300`, "a")
	spec.Timeout = 20 * time.Second
	l.dispatch()
	job := l.start(spec)
	pid := up.pid()
	// From here on it has nothing to report, and so learns nothing from the engine.
	l.until(job, 1, "reported as running", func(store.Step) bool { return l.target(job, 1, 0).Status == step.TargetRunning })
	l.ahead.Store(int64(21 * time.Second))
	select {
	case state := <-done:
		if state != step.Abnormal || ended.Load() != 2 {
			t.Errorf("the job ended %v at the %d. delivery, want abnormal at the second", state, ended.Load())
		}
	case <-l.ctx.Done():
		t.Fatal("the end of the job was not told")
	}
	l.dead(pid)
	l.idle()

	l.start(step.Spec{Type: step.Confirmation, Name: "ok?"})
	select {
	case <-asked:
	case <-l.ctx.Done():
		t.Error("the confirmers were not asked")
	}
}

func TestJobEndedLeavesALaterAttemptAlone(t *testing.T) {
	l := newLab(t, localexec.Config{})
	up, gate := l.pipe("up"), l.pipe("gate")
	job := l.start(l.script(`echo up >$LAB/up; read x <$LAB/gate`, "a"))
	l.breakDown(job, 1)
	l.operate(job, 1, operation.RetryFailed)
	second := l.run(job, 2)
	up.get()
	l.settles(l.handle(l.ctx, l.x, store.JobEnded, job, 1)) // of the first attempt, late
	gate.put()
	l.settles(second)
	l.untilState(job, 1, step.Succeeded)
}

func TestUnknownEffect(t *testing.T) {
	l := newLab(t, localexec.Config{})
	if err := l.x.Handle(l.ctx, engine.Delivery{Effect: 99}); err == nil {
		t.Error("Handle of an unknown effect = nil: it would be settled undone")
	}
}
