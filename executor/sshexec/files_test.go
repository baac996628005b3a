//go:build unix

package sshexec_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/sshexec"
	"github.com/stepgate/stepgate/step"
)

// source writes a file that steps can copy.
func (l *lab) source(name, text string) {
	l.Helper()
	name = filepath.Join(l.config.Sources, name)
	l.must(os.MkdirAll(filepath.Dir(name), 0o700))
	l.must(os.WriteFile(name, []byte(text), 0o600))
}

// holds asserts what a file of the host holds, and its permissions and those of its folder.
func (l *lab) holds(name, text string, mode, folder fs.FileMode) {
	l.Helper()
	if got := l.read(name); got != text {
		l.Errorf("%s holds %.40q, want %.40q", name, got, text)
	}
	for path, want := range map[string]fs.FileMode{name: mode, filepath.Dir(name): folder} {
		info, err := os.Stat(l.path(path))
		l.must(err)
		if got := info.Mode().Perm(); got != want {
			l.Errorf("%s has the mode %o, want %o", path, got, want)
		}
	}
}

// names returns what is in a folder of the host.
func (l *lab) names(dir string) string {
	l.Helper()
	entries, err := os.ReadDir(l.path(dir))
	l.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestFiles(t *testing.T) {
	l := newLab(t)
	large := strings.Repeat("0123456789abcdef", 1<<16) + "end" // more than one write
	l.source("app/app.ini", "of a source")
	l.source("large", large)
	l.must(os.Mkdir(l.path("old"), 0o750))
	l.must(os.WriteFile(l.path("old/file"), []byte("old"), 0o644))
	task := l.files(
		sshexec.File{Content: new("content"), To: l.path("own/content")},
		sshexec.File{From: "app/app.ini", To: l.path("open/deep/app.ini"), Mode: "0644"},
		sshexec.File{From: "large", To: l.path("own/large"), Mode: "700"},
		sshexec.File{Content: new(""), To: l.path("own/empty"), Mode: "400"},
		sshexec.File{Content: new("new"), To: l.path("old/file")},
	)
	l.is(l.run(task), step.TargetSucceeded)
	l.holds("own/content", "content", 0o600, 0o700)
	l.holds("open/deep/app.ini", "of a source", 0o644, 0o755)
	l.holds("own/large", large, 0o700, 0o700)
	l.holds("own/empty", "", 0o400, 0o700)
	l.holds("old/file", "new", 0o600, 0o750)
	for dir, want := range map[string]string{"own": "content empty large", "old": "file", "open/deep": "app.ini"} {
		if got := l.names(dir); got != want {
			t.Errorf("%s holds %q, want %q", dir, got, want)
		}
	}
	if got, want := strings.Count(l.output(task, 0, executor.Stdout), " bytes\n"), 5; got != want {
		t.Errorf("the log has %d lines, want %d", got, want)
	}
	l.is(l.run(task), step.TargetSucceeded) // the same again, over a file that none may write

	home, err := os.UserHomeDir()
	l.must(err)
	name := filepath.Base(l.dir) + ".stepgate-test"
	t.Cleanup(func() { _ = os.Remove(filepath.Join(home, name)) })
	l.is(l.run(l.files(sshexec.File{Content: new("at home"), To: name})), step.TargetSucceeded)
	if text, err := os.ReadFile(filepath.Join(home, name)); string(text) != "at home" {
		t.Errorf("%s in the account's home holds %q, %v", name, text, err)
	}
}

// Each failure of a file has a status. The files before it are copied, and those after it are not.
func TestFilesThatFail(t *testing.T) {
	l := newLab(t, func(l *lab) { l.config.FileLimit = 100 })
	l.source("folder/file", "text")
	l.source("large", strings.Repeat("x", 101))
	l.must(syscall.Mkfifo(filepath.Join(l.config.Sources, "pipe"), 0o600))
	l.must(os.Symlink("/etc/passwd", filepath.Join(l.config.Sources, "outside")))
	l.must(os.WriteFile(l.path("file"), nil, 0o600))
	l.must(os.Mkdir(l.path("folder"), 0o700))
	for _, c := range []struct {
		name string
		file sshexec.File
		want step.Status
	}{
		{"no source", sshexec.File{From: "nothing", To: l.path("to")}, step.SourceMissing},
		{"a folder", sshexec.File{From: "folder", To: l.path("to")}, step.FetchFailed},
		{"a pipe", sshexec.File{From: "pipe", To: l.path("to")}, step.FetchFailed},
		{"out of the sources", sshexec.File{From: "outside", To: l.path("to")}, step.FetchFailed},
		{"too large a source", sshexec.File{From: "large", To: l.path("to")}, step.TooLarge},
		{"too large a content", sshexec.File{Content: new(strings.Repeat("x", 101)), To: l.path("to")}, step.TooLarge},
		{"a file in the way", sshexec.File{Content: new("text"), To: l.path("file/to")}, step.CopyFailed},
		{"a folder in its place", sshexec.File{Content: new("text"), To: l.path("folder")}, step.CopyFailed},
		{"a file system that takes none", sshexec.File{Content: new("text"), To: "/proc/nothing/to"}, step.CopyFailed},
	} {
		before, after := l.path("before"), l.path("after")
		r := l.is(l.run(l.files(sshexec.File{Content: new("1"), To: before}, c.file, sshexec.File{Content: new("2"), To: after})), c.want)
		if r.Detail == "" {
			t.Errorf("%s: no detail says why", c.name)
		}
		if err := os.Remove(before); err != nil {
			t.Errorf("%s: the file before it: %v", c.name, err)
		}
		for _, gone := range []string{after, l.path("to")} {
			if _, err := os.Stat(gone); err == nil {
				t.Errorf("%s: %s is there", c.name, gone)
			}
		}
	}
	if names := l.names("."); strings.Contains(names, ".stepgate") {
		t.Errorf("temporary files were left: %s", names)
	}
}

// A connection that dies in mid-transfer leaves nothing under the file's name, and the next attempt
// removes what was begun.
func TestFilesDieWithTheirConnection(t *testing.T) {
	for name, kill := range map[string]func(*wires){"cut": (*wires).cut, "silent": (*wires).freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := wires{after: 1 << 20}
			wire.broken = func() { kill(&wire) }
			l := newLab(t, func(l *lab) { l.config.Dial, l.config.KeepAlive = wire.dial, 2*time.Second })
			large := strings.Repeat("x", 4<<20)
			l.source("large", large)
			l.must(os.Mkdir(l.path("new"), 0o700))
			task := l.files(sshexec.File{From: "large", To: l.path("new/large")})
			r := l.is(l.run(task), step.TransferError)
			if !strings.Contains(r.Detail, "the connection died") {
				t.Errorf("detail %q, want that the connection died", r.Detail)
			}
			if names := l.names("new"); !strings.HasPrefix(names, ".stepgate-7-1-0-0-") || strings.Contains(names, " ") {
				t.Errorf("the folder holds %q, want what was begun alone", names)
			}
			task.Attempt++
			l.is(l.run(task), step.TargetSucceeded)
			if names := l.names("new"); names != "large" || l.read("new/large") != large {
				t.Errorf("the folder holds %q, want the file alone", names)
			}
		})
	}
}

// Files that another target of the step has begun, on the same host under another name, stay.
func TestFilesOfOtherTargets(t *testing.T) {
	l := newLab(t)
	l.must(os.Mkdir(l.path("new"), 0o700))
	for _, name := range []string{"new/.stepgate-7-1-0-0-begun", "new/.stepgate-7-1-1-0-begun", "new/.stepgate-7-1-10-0-begun"} {
		l.must(os.WriteFile(l.path(name), nil, 0o600))
	}
	task := l.files(sshexec.File{Content: new("text"), To: l.path("new/file")})
	task.Attempt++
	l.is(l.runOn(t.Context(), task, 1, "h1"), step.TargetSucceeded)
	if got, want := l.names("new"), ".stepgate-7-1-0-0-begun .stepgate-7-1-10-0-begun file"; got != want {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

// A transfer that is stopped, or late, removes what it has begun.
func TestFilesThatAreStopped(t *testing.T) {
	for _, c := range []struct {
		name string
		ctx  func(context.Context) (context.Context, func())
		want step.Status
	}{
		{"stopped", func(ctx context.Context) (context.Context, func()) { return context.WithCancel(ctx) }, step.TargetTerminated},
		{"late", newDeadline, step.FileTimedOut},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, end := c.ctx(t.Context())
			wire := wires{after: 1 << 20, broken: end}
			l := newLab(t, func(l *lab) { l.config.Dial = wire.dial })
			l.source("large", strings.Repeat("x", 4<<20))
			l.must(os.Mkdir(l.path("new"), 0o700))
			l.is(l.runOn(ctx, l.files(sshexec.File{From: "large", To: l.path("new/large")}), 0, "h0"), c.want)
			if names := l.names("new"); names != "" {
				t.Errorf("the folder holds %q, want nothing", names)
			}
			l.is(l.run(l.script("true")), step.TargetSucceeded) // over the same connection
			if n := wire.dialled(); n != 1 {
				t.Errorf("%d connections were opened, want 1", n)
			}
		})
	}

	// A host that answers nothing any more is left after Grace.
	wire := wires{after: 1 << 20}
	ctx, stop := context.WithCancel(t.Context())
	wire.broken = func() {
		wire.freeze()
		stop()
	}
	l := newLab(t, func(l *lab) { l.config.Dial, l.config.Grace = wire.dial, 100*time.Millisecond })
	l.source("large", strings.Repeat("x", 4<<20))
	l.is(l.runOn(ctx, l.files(sshexec.File{From: "large", To: l.path("large")}), 0, "h0"), step.TargetTerminated)
}
