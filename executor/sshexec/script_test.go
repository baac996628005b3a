//go:build unix

package sshexec_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
)

func TestScript(t *testing.T) {
	for _, c := range []struct {
		name, script   string
		status         step.Status
		code           int32
		stdout, stderr string
		detail         string
	}{
		{"both streams", "echo one\necho two >&2\n", step.TargetSucceeded, 0, "one\n", "two\n", "two"},
		{"no output", "true", step.TargetSucceeded, 0, "", "", ""},
		{"exit code", "echo why >&2; exit 3", step.NonZeroExit, 3, "", "why\n", "why"},
		{"exit code alone", "exit 255", step.NonZeroExit, 255, "", "", "exit status 255"},
		{"a signal", "kill -KILL $$", step.NonZeroExit, 137, "", "", "exit status 137"},
		{"a signal to what runs it", `rm "$0"; kill -KILL $PPID; sleep 300`, step.NonZeroExit, 137, "", "", "signal KILL"},
		{"no end of line", "printf '%s' \"it's 5!\"", step.TargetSucceeded, 0, "it's 5!", "", ""},
		{"nothing to read", "cat; read x || echo end", step.TargetSucceeded, 0, "end\n", "", ""},
		{"environment", `echo $STEPGATE_JOB $STEPGATE_STEP $STEPGATE_ATTEMPT "$STEPGATE_TARGET"`, step.TargetSucceeded, 0, "7 1 1 h0\n", "", ""},
		{"home", `[ "$PWD" = "$HOME" ] && echo home`, step.TargetSucceeded, 0, "home\n", "", ""},
		{"no file of the wrapper's is open", `(echo x >&3) 2>/dev/null || echo closed`, step.TargetSucceeded, 0, "closed\n", "", ""},
		{"signals are as usual", `trap 'echo asked' TERM; kill -TERM $$`, step.TargetSucceeded, 0, "asked\n", "", ""},
		{"not in the list of processes", `ps -ef | grep -c plugh-9b7[d] || :`, step.TargetSucceeded, 0, "0\n", "", ""},
		{"a mebibyte", ": " + strings.Repeat("x", 1<<20-100) + "\necho end", step.TargetSucceeded, 0, "end\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			task := l.script(c.script)
			r := l.is(l.run(task), c.status)
			if r.ExitCode != c.code || r.Detail != c.detail {
				t.Errorf("exit code %d, detail %q; want %d, %q", r.ExitCode, r.Detail, c.code, c.detail)
			}
			l.wrote(task, c.stdout, c.stderr)
		})
	}
}

// wrote asserts what target 0 of a task has written.
func (l *lab) wrote(task *executor.Task, stdout, stderr string) {
	l.Helper()
	if got := l.output(task, 0, executor.Stdout); got != stdout {
		l.Errorf("stdout is %q, want %q", got, stdout)
	}
	if got := l.output(task, 0, executor.Stderr); got != stderr {
		l.Errorf("stderr is %q, want %q", got, stderr)
	}
}

// A process that a script leaves in the background lives on, and its output is not waited for.
func TestScriptLeavesProcesses(t *testing.T) {
	l := newLab(t)
	task := l.script(`sleep 300 & echo $!`)
	l.is(l.run(task), step.TargetSucceeded)
	pid, err := strconv.Atoi(strings.TrimSpace(l.output(task, 0, executor.Stdout)))
	l.must(err)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the process in the background: %v", err)
	}
}

// The beginning of too much output is kept, and a line says so: with a limit of the embedder's, and with
// the defaults of limit and logs, which are equal.
func TestOutputIsBounded(t *testing.T) {
	for limit, kept := range map[int64]int{1: 0, 64 + 10: 10, 0: 1<<20 - 64} {
		l := newLab(t, func(l *lab) { l.config.OutputLimit = limit })
		task := l.script(`head -c 1200000 /dev/zero | tr '\0' x`)
		l.is(l.run(task), step.TargetSucceeded)
		want := strings.Repeat("x", kept) + fmt.Sprintf("\n[output beyond %d bytes is not kept]\n", kept)
		if got := l.output(task, 0, executor.Stdout); got != want {
			t.Errorf("limit %d: %d bytes are kept, the last %q; want %d, %q", limit,
				len(got), got[max(0, len(got)-50):], len(want), want[max(0, len(want)-50):])
		}
	}
}

// The last line of standard error is the detail, though it is not kept.
func TestDetailBeyondTheLimit(t *testing.T) {
	l := newLab(t, func(l *lab) { l.config.OutputLimit = 1 })
	task := l.script(`echo one >&2; echo why >&2; exit 1`)
	if r := l.is(l.run(task), step.NonZeroExit); r.Detail != "why" {
		t.Errorf("detail %q, want why", r.Detail)
	}
	l.wrote(task, "", "\n[output beyond 0 bytes is not kept]\n")
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name, script string
		grace        time.Duration
		code         int32
		stdout       string
	}{
		{"a script and its children", `sh -c 'echo $$ >$LAB/up; exec sleep 300' & wait`, 0, 143, ""},
		{"asked first", `trap 'echo asked; exit 4' TERM; sh -c 'echo $$ >$LAB/up; exec sleep 300' & wait`, 0, 4, "asked\n"},
		{"killed after Grace", `trap 'echo deaf' TERM
			sh -c 'trap "" TERM; echo $$ >$LAB/up; while :; do sleep 300; done' &
			while :; do wait; done`, 200 * time.Millisecond, 137, "deaf\n"},
		{"children that outlive their script", `sh -c 'trap "" TERM; echo $$ >$LAB/up; while :; do sleep 300; done' >$LAB/nothing 2>&1 & wait`,
			200 * time.Millisecond, 143, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(l *lab) { l.config.Grace = c.grace })
			up := l.pipe("up")
			ctx, stop := context.WithCancel(t.Context())
			var child string
			go func() {
				child = up()
				stop()
			}()
			task := l.script(c.script)
			r := l.is(l.runOn(ctx, task, 0, "h0"), step.ScriptTerminated)
			l.dead(child)
			if r.ExitCode != c.code {
				t.Errorf("exit code %d, want %d", r.ExitCode, c.code)
			}
			l.wrote(task, c.stdout, "")
		})
	}
}

// A deadline stops a script as well, and the result says that it was late.
func TestDeadline(t *testing.T) {
	l := newLab(t)
	up := l.pipe("up")
	ctx, pass := newDeadline(t.Context())
	go func() {
		up()
		pass()
	}()
	r := l.is(l.runOn(ctx, l.script(`echo up >$LAB/up; exec sleep 300`), 0, "h0"), step.ScriptTimedOut)
	if r.ExitCode != 143 {
		t.Errorf("exit code %d, want 143", r.ExitCode)
	}
}

// newDeadline returns a context, and what has its deadline pass.
func newDeadline(ctx context.Context) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	return ctx, func() { end(context.DeadlineExceeded) }
}

// A host that loses its connection ends the script, though the process that started it is gone.
func TestScriptDiesWithItsConnection(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"one that obeys", `sh -c 'echo $$ >$LAB/up; exec sleep 300' & wait`},
		{"one that ignores SIGTERM", `trap "" TERM; echo $$ >$LAB/up; while :; do sleep 300; done`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var wire wires
			l := newLab(t, func(l *lab) { l.config.Dial, l.config.Grace = wire.dial, 200*time.Millisecond })
			up := l.pipe("up")
			var child string
			go func() {
				child = up()
				wire.cut()
			}()
			r := l.is(l.run(l.script(c.script)), step.AgentError)
			if want := "the connection died, the outcome is unknown"; r.Detail != want {
				t.Errorf("detail %q, want %q", r.Detail, want)
			}
			l.dead(child)
		})
	}
}

// The keep-alive finds a host that stops answering, while a script runs and while it is stopped.
func TestSilentHost(t *testing.T) {
	t.Run("while a script runs", func(t *testing.T) {
		t.Parallel()
		var wire wires
		l := newLab(t, func(l *lab) { l.config.Dial, l.config.KeepAlive = wire.dial, 2*time.Second })
		up := l.pipe("up")
		go func() {
			up()
			wire.freeze()
		}()
		l.is(l.run(l.script(`echo up >$LAB/up; exec sleep 300`)), step.AgentError)
	})
	t.Run("while it is stopped", func(t *testing.T) {
		t.Parallel()
		var wire wires
		l := newLab(t, func(l *lab) { l.config.Dial, l.config.KeepAlive = wire.dial, 2*time.Second })
		up := l.pipe("up")
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			up()
			wire.freeze()
			stop()
		}()
		l.is(l.runOn(ctx, l.script(`echo up >$LAB/up; exec sleep 300`), 0, "h0"), step.TerminateFailed)
	})
}

// Close ends running scripts.
func TestClose(t *testing.T) {
	l := newLab(t)
	up := l.pipe("up")
	go func() {
		up()
		l.must(l.x.Close())
	}()
	l.is(l.run(l.script(`echo up >$LAB/up; exec sleep 300`)), step.AgentError)
	r := l.is(l.run(l.script(`echo up >$LAB/up; exec sleep 300`)), step.NotDelivered)
	if want := "sshexec: closed"; r.Detail != want {
		t.Errorf("detail %q, want %q", r.Detail, want)
	}
}

// A failure of the account's shell before the script is not taken for the script's.
func TestScriptThatDoesNotBegin(t *testing.T) {
	l := newLab(t, func(l *lab) {
		l.sshd.stop()
		l.sshd = startSSHD(l, "ForceCommand echo welcome; echo not today >&2; exit 1", newKnownKey(l))
	})
	task := l.script("echo ran")
	r := l.is(l.run(task), step.ScriptFailed)
	if r.ExitCode != 1 || r.Detail != "not today" {
		t.Errorf("exit code %d, detail %q; want 1, not today", r.ExitCode, r.Detail)
	}
	l.wrote(task, "", "not today\n")

	noisy := newLab(t, func(l *lab) {
		l.sshd.stop()
		l.sshd = startSSHD(l, `ForceCommand echo welcome; echo stepgate; eval "$SSH_ORIGINAL_COMMAND"`, newKnownKey(l))
	})
	noisy.is(noisy.run(task), step.TargetSucceeded)
	noisy.wrote(task, "ran\n", "")
}

// Any shell of an account runs the script by /bin/sh, and interprets no part of a target's name.
func TestAnyShell(t *testing.T) {
	for _, shell := range []string{"sh", "dash", "bash", "zsh", "ksh", "csh", "tcsh", "fish", "busybox sh"} {
		if _, err := exec.LookPath(strings.Fields(shell)[0]); err != nil {
			continue
		}
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(l *lab) {
				l.sshd.stop()
				l.sshd = startSSHD(l, fmt.Sprintf(`ForceCommand %s -c "$SSH_ORIGINAL_COMMAND"`, shell), newKnownKey(l))
				l.config.Address = func(context.Context, string) (addr address, err error) {
					return address{Host: "127.0.0.1", Port: l.sshd.port(), HostKeyAlias: "h0"}, nil
				}
			})
			for i, name := range []string{
				"h0", `it's "h0" $(exit 1); \`, "ä~*{a,b} %s &",
				`\'; touch $LAB/injected; '`, // an escape in fish
				`!#; touch $LAB/injected; '`, // history in csh
				"\ntouch $LAB/injected\n",    // the end of a command in csh, in quotes as well
			} {
				task := l.script(`printf "%s|" "$STEPGATE_TARGET"; exit 3`)
				l.is(l.runOn(t.Context(), task, int32(i), name), step.NonZeroExit)
				if got, want := l.output(task, int32(i), executor.Stdout), name+"|"; got != want {
					t.Errorf("the name is %q, want %q", got, want)
				}
			}
			if _, err := os.Stat(l.path("injected")); err == nil {
				t.Error("the account's shell ran a part of a name")
			}
		})
	}
}

// Without logs the result is the same.
func TestWithoutLogs(t *testing.T) {
	l := newLab(t, func(l *lab) { l.config.Logs = nil })
	if r := l.is(l.run(l.script("echo one; echo two >&2")), step.TargetSucceeded); r.Detail != "two" {
		t.Errorf("detail %q, want two", r.Detail)
	}
}

// Logs that fail fail no script, and the result says that output is missing.
func TestLogsThatFail(t *testing.T) {
	l := newLab(t, func(l *lab) { l.config.Logs = noLogs{l.logs} })
	for script, want := range map[string]string{"echo one": "", "echo one; echo two >&2": "two; "} {
		want += "output is missing: the disk is full"
		if r := l.is(l.run(l.script(script)), step.TargetSucceeded); r.Detail != want {
			t.Errorf("detail %q, want %q", r.Detail, want)
		}
	}
}

type noLogs struct{ executor.Logs }

func (noLogs) Append(context.Context, executor.Log, []byte) error {
	return fmt.Errorf("the disk is full")
}
