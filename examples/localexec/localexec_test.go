//go:build unix

package localexec_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

func TestScript(t *testing.T) {
	l := newLab(t, localexec.Config{})
	const text = `
		pwd >where
		echo $STEPGATE_JOB $STEPGATE_STEP $STEPGATE_ATTEMPT $STEPGATE_TARGET
		cat
		echo first problem >&2
		echo "last	$STEPGATE_TARGET problem" >&2
		echo >&2
		[ $STEPGATE_TARGET = a ] || exit 3`
	l.script(text, "a", step.TargetSucceeded)
	if got := l.script(text, "b", step.NonZeroExit); got.ExitCode != 3 || got.Detail != "last\tb problem" {
		t.Errorf("target b: %+v, want exit code 3 and the last line of stderr", got)
	}
	if where := strings.TrimSpace(l.read("targets/b/where")); where != filepath.Join(l.dir, "targets", "b") {
		t.Errorf("the script ran in %s", where)
	}
	if got := l.log("b", executor.Stdout); got != "7 1 1 b\n" {
		t.Errorf("stdout = %q, want job, step, attempt and target", got)
	}
	if got := l.log("b", executor.Stderr); got != "first problem\nlast\tb problem\n\n" {
		t.Errorf("stderr = %q, want all of it", got)
	}
	l.clean()
}

func TestScriptThatDiesOfASignal(t *testing.T) {
	l := newLab(t, localexec.Config{})
	if got := l.script(`kill -KILL $$`, "a", step.NonZeroExit); got.ExitCode != 137 || got.Detail != "signal: killed" {
		t.Errorf("exit code %d, %q, want 137, as in a shell", got.ExitCode, got.Detail)
	}
}

// Without Logs the last line of stderr is still told.
func TestWithoutLogs(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.config.Logs = nil
	l.d = localexec.New(l.config)
	if got := l.script(`echo gone; echo why >&2; exit 1`, "a", step.NonZeroExit); got.Detail != "why" {
		t.Errorf("detail = %q, want the last line", got.Detail)
	}
}

func TestTargetsStayBelowRoot(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.must(os.Mkdir(filepath.Join(l.dir, "outside"), 0o755))
	l.must(os.Symlink("../outside", filepath.Join(l.dir, "targets", "link")))
	for _, name := range []string{"../outside", filepath.Join(l.dir, "outside"), ".", "a/..", "link", "missing", "a/../../outside"} {
		h := executor.Host{Name: name}
		r := l.d.Script(l.ctx, task(l.text(`echo ran >>$LAB/ran`), 1), h)
		c := l.d.Copy(l.ctx, task(localexec.Files{Files: []localexec.File{{Content: new("x"), To: "x"}}}.Payload(), 1), h)
		if r.Status != step.InvalidTarget || c.Status != step.InvalidTarget {
			t.Errorf("target %s: script %+v, copy %+v, want invalid_target", name, r, c)
		}
	}
	if ran, x := l.read("ran"), l.read("outside/x"); ran != "" || x != "" {
		t.Errorf("a script ran (%q), or outside/x holds %q", ran, x)
	}
}

func TestFiles(t *testing.T) {
	l := newLab(t, localexec.Config{})
	l.write("source/app", "#!/bin/sh\necho app\n")
	l.write("targets/a/conf/app.ini", "old and longer\n")
	for _, target := range []string{"a", "b"} {
		l.copy([]localexec.File{
			{From: "source/app", To: "bin/app", Mode: "755"},
			{From: "source/app", To: "app.bak", Mode: "0400"},
			{Content: new("key = 1\n"), To: "conf/app.ini"},
			{Content: new(""), To: "empty"},
		}, target, step.TargetSucceeded)
	}
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
		{"it leads out of the sources", localexec.File{From: "../secret", To: "x"}, step.FetchFailed},
		{"it leads out of the target", localexec.File{Content: new("x"), To: "../b/x"}, step.CopyFailed},
		{"it is the target", localexec.File{Content: new("x"), To: "."}, step.CopyFailed},
		{"it has no name", localexec.File{Content: new("x")}, step.CopyFailed},
		{"a path is absolute", localexec.File{From: filepath.Join(l.dir, "targets/a/file"), To: "x"}, step.FetchFailed},
		{"a path holds a NUL character", localexec.File{From: "a\x00b", To: "x"}, step.FetchFailed},
		{"permissions are decimal", localexec.File{Content: new("x"), To: "x", Mode: "888"}, step.CopyFailed},
		{"permissions are more than that", localexec.File{Content: new("x"), To: "x", Mode: "4755"}, step.CopyFailed},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := &lab{T: t, ctx: l.ctx, dir: l.dir, config: l.config, d: l.d}
			if got := l.copy([]localexec.File{c.file, {Content: new("x"), To: "never"}}, "a", c.want); got.Detail == "" {
				t.Error("no detail says why")
			}
			l.noTemporaries()
			if _, err := os.Stat(filepath.Join(l.dir, "targets/a/never")); err == nil {
				t.Error("the files after it were copied")
			}
		})
	}
}

// That of another target, whose directory holds this one, stays.
func TestTemporaryOfACrashIsOverwritten(t *testing.T) {
	l := newLab(t, localexec.Config{})
	const own, others = "targets/b/.stepgate-7-1-1-0", "targets/b/.stepgate-7-1-0-0"
	l.write(own, "half a fi")
	l.write(others, "half a fi")
	l.copy([]localexec.File{{Content: new("new"), To: "x"}}, "b", step.TargetSucceeded)
	if got := l.read("targets/b/x"); got != "new" {
		t.Errorf("x holds %q, want new", got)
	}
	l.must(os.Remove(filepath.Join(l.dir, others)))
	l.noTemporaries()
}

// A stop ends a copy, and leaves nothing of it.
func TestStopEndsACopy(t *testing.T) {
	l := newLab(t, localexec.Config{})
	ctx, stop := context.WithCancel(l.ctx)
	stop()
	l.result(l.begin(ctx, l.d.Copy, localexec.Files{Files: []localexec.File{{Content: new("x"), To: "x"}}}.Payload(), 1, "a"), step.TargetTerminated)
	if got := l.read("targets/a/x"); got != "" {
		t.Errorf("x holds %q", got)
	}
	l.noTemporaries()
}

// execute runs steps of one target with an executor, which also scripts steps of another type, and
// returns how the job ends and why.
func execute(t *testing.T, l *lab, steps ...step.Spec) (step.State, string) {
	t.Helper()
	eng := engine.New(memstore.New())
	ctx, cancel := context.WithCancel(l.ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := executor.New(eng, append(l.d.Options(), executor.Hosts(step.SQL, l.d.Script))...).Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	defer running.Wait()
	defer cancel()
	created, err := eng.Create(l.ctx, engine.JobSpec{Name: t.Name(), Steps: steps}, engine.Request{})
	l.must(err)
	_, err = eng.OperateJob(l.ctx, created.Job, operation.StartJob, engine.Request{})
	l.must(err)
	for r, err := range eng.Watch(l.ctx, created.Job, 0, engine.WithoutProgress()) {
		l.must(err)
		if r.JobTo.Finished() {
			return r.JobTo, fmt.Sprintf("%s: %s", r.Actor, r.Reason)
		}
	}
	t.Fatal("the job has not ended")
	return 0, ""
}

// A payload that cannot be read breaks the step, and says what would have been right.
func TestPayloadThatCannotBeRead(t *testing.T) {
	const wants = "payload: files: want at least one, each with either from or content"
	for _, c := range []struct {
		of            step.Type
		payload, want string
	}{
		{step.Script, ``, `payload: EOF: want something like {"script":"uptime"}`},
		{step.Script, `{"script": 1}`, `payload: json: cannot unmarshal number into Go struct field Script.script of type string: want something like {"script":"uptime"}`},
		{step.Script, `{"script": "true", "user": "root"}`, `payload: json: unknown field "user": want something like {"script":"uptime"}`},
		{step.FileTransfer, `{"files": [{"content": "secret", "to": "x", "mod": "0644"}]}`,
			`payload: json: unknown field "mod": want something like {"files":[{"from":"app.ini","to":"etc/app.ini"}]}`},
		{step.Script, `{"script": "true"} {}`, `payload: data after the end: want something like {"script":"uptime"}`},
		{step.Script, `{"script": " "}`, `payload: script: want the text of a shell script, without NUL characters`},
		{step.Script, `{"script": "a\u0000b"}`, `payload: script: want the text of a shell script, without NUL characters`},
		{step.FileTransfer, `{}`, wants},
		{step.FileTransfer, `{"files":[{"to":"x"}]}`, wants},
		{step.FileTransfer, `{"files":[{"to":"x","from":"x","content":""}]}`, wants},
	} {
		t.Run(c.payload, func(t *testing.T) {
			l := newLab(t, localexec.Config{})
			state, why := execute(t, l, step.Spec{Type: c.of, Name: "x", Targets: []string{"a"}, Payload: c.payload})
			if want := "localexec: " + c.want; state != step.Abnormal || why != want {
				t.Errorf("the job is %v by %s, want abnormal by %s", state, why, want)
			}
		})
	}
}

// Steps of any type can have the two functions.
func TestOtherTypes(t *testing.T) {
	l := newLab(t, localexec.Config{})
	state, why := execute(t, l, step.Spec{Type: step.SQL, Name: "x", Targets: []string{"a"}, Payload: l.text(`echo ran >>$LAB/ran`)})
	if got := l.read("ran"); state != step.Succeeded || got != "ran\n" {
		t.Errorf("the job is %v (%s), and %q ran", state, why, got)
	}
}
