//go:build unix

package sshexec

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The wrapper reaches the host on one line in single quotes.
func TestWrapperIsOneLine(t *testing.T) {
	line := oneLine(wrapper)
	for _, bad := range []string{"'", "\n", "\t", "#", `\\`} {
		if i := strings.Index(line, bad); i >= 0 {
			t.Errorf("the wrapper has a %q: %s", bad, line[i:min(len(line), i+20)])
		}
	}
}

// shells are those that are /bin/sh somewhere.
var shells = [][]string{{"/bin/sh"}, {"dash"}, {"bash", "--posix"}, {"busybox", "sh"}}

// target is what its name is for scripts: %b and what expands it drop nothing of it.
const target = "a b\\c\\\\ %s\n\n"

// eachShell calls f for each shell of this machine, with setsid, with perl in its place, and with
// neither.
func eachShell(t *testing.T, f func(t *testing.T, w *wrapped)) {
	tools := []string{"mktemp", "head", "wc", "rm", "sleep", "ps", "grep", "cat", "sh"}
	for _, shell := range shells {
		path, err := exec.LookPath(shell[0])
		if err != nil {
			continue
		}
		shell = append([]string{path}, shell[1:]...)
		for _, group := range []string{"setsid", "perl", ""} {
			t.Run(strings.Join(shell, " ")+" with "+group, func(t *testing.T) {
				t.Parallel()
				w := &wrapped{T: t, shell: shell, path: t.TempDir(), dir: t.TempDir(), group: group != ""}
				for _, tool := range append(tools, group) {
					path, err := exec.LookPath(tool)
					if tool != "" && err != nil {
						t.Skipf("there is no %s", tool)
					}
					if err := os.Symlink(path, filepath.Join(w.path, tool)); tool != "" && err != nil {
						t.Fatal(err)
					}
				}
				f(t, w)
			})
		}
	}
}

// wrapped is a wrapper that runs here, without SSH.
type wrapped struct {
	*testing.T
	shell     []string
	path, dir string
	group     bool // the script has a process group of its own
	cmd       *exec.Cmd
	stdin     io.WriteCloser
	out, errs bytes.Buffer
}

// start runs a script, of which the wrapper is told that it has size bytes.
func (w *wrapped) start(script string, size int) {
	w.Helper()
	args := append(w.shell[1:], "-c", oneLine(wrapper), "stepgate", "mark", strconv.Itoa(size), "2", "STEPGATE_TARGET="+strings.ReplaceAll(escape(target), "'", ""))
	w.cmd = exec.Command(w.shell[0], args...)
	w.cmd.Env = []string{"PATH=" + w.path, "TMPDIR=" + w.dir, "LAB=" + w.dir}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.errs
	var err error
	if w.stdin, err = w.cmd.StdinPipe(); err == nil {
		err = w.cmd.Start()
	}
	if err == nil {
		_, err = io.WriteString(w.stdin, script)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// ends waits for the end of the wrapper, and asserts its exit code and what was written.
func (w *wrapped) ends(code int, stdout, stderr string) {
	w.Helper()
	err := w.cmd.Wait()
	if exited := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exited) {
		w.Fatal(err)
	}
	if got := w.cmd.ProcessState.ExitCode(); got != code {
		w.Errorf("exit code %d, want %d", got, code)
	}
	if w.out.String() != stdout || w.errs.String() != stderr {
		w.Errorf("stdout %q, stderr %q; want %q, %q", &w.out, &w.errs, stdout, stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, "stepgate.*")); len(left) > 0 {
		w.Errorf("left behind: %v", left)
	}
}

func TestWrapperRunsAScript(t *testing.T) {
	eachShell(t, func(t *testing.T, w *wrapped) {
		script := `printf "%s|" "$STEPGATE_TARGET"; echo two >&2; cat; exit 3`
		w.start(script, len(script))
		w.ends(3, "mark\n"+target+"|", "two\n")
	})
}

func TestWrapperRunsNoHalfScript(t *testing.T) {
	eachShell(t, func(t *testing.T, w *wrapped) {
		w.start("echo one", 100)
		_ = w.stdin.Close()
		w.ends(1, "", "the script did not arrive whole\n")
	})
}

func TestWrapperStopsAScript(t *testing.T) {
	eachShell(t, func(t *testing.T, w *wrapped) {
		pipe := filepath.Join(w.dir, "up")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		up, err := os.OpenFile(pipe, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer up.Close()
		script := `trap 'echo asked; exit 4' TERM
			sh -c 'trap "" TERM; echo $$ >$LAB/up; exec sleep 300' >/dev/null 2>&1 &
			while :; do wait; done`
		w.start(script, len(script))
		line := make([]byte, 20)
		if err := up.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := up.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		child, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
		if err != nil {
			t.Fatal(err)
		}
		_ = w.stdin.Close()
		w.ends(4, "mark\nasked\n", "")
		defer syscall.Kill(child, syscall.SIGKILL)
		if !w.group {
			return // it is left alone
		}
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		zombie := err == nil && bytes.Contains(stat, []byte(") Z "))
		if syscall.Kill(child, 0) == nil && !zombie {
			t.Errorf("the child %d, which ignores SIGTERM, runs after the end of the wrapper", child)
		}
	})
}
