//go:build unix

package docs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stepgate/stepgate/internal/pages"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
)

const (
	root  = "../.."
	bound = 5 * time.Minute // of a command, most of it to compile
)

// Each command exits with the expected status, prints the expected text, and leaves the repository
// unchanged.
func TestCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("what it runs are programs of their own: the run without -short has them")
	}
	folder, files := fresh(t)
	for _, r := range pages.RunHere {
		t.Run(r.Command, func(t *testing.T) {
			status, output := run(t, folder, r)
			if status != r.Status {
				t.Errorf("exit status %d, want %d", status, r.Status)
			}
			if !regexp.MustCompile(r.Prints).MatchString(output) {
				t.Errorf("the output does not match %q", r.Prints)
			}
			if changed := changed(t, folder, files); len(changed) > 0 {
				t.Errorf("it changes files of the repository: %v", changed)
			}
			if t.Failed() {
				t.Logf("it prints\n%s", output)
			}
		})
	}
}

// run runs a command and returns its exit status and its output. A command that serves is interrupted,
// as by Ctrl-C, once it has printed the expected text.
func run(t *testing.T, folder string, r pages.Ran) (status int, output string) {
	t.Helper()
	command := strings.NewReplacer(r.Replace...).Replace(r.Command)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	// An interrupt is for the command; the shell waits for it and passes its status on.
	cmd := exec.CommandContext(ctx, "sh", "-c", "trap : INT; "+command)
	cmd.Dir = folder
	cmd.Env = os.Environ()
	if strings.Contains(command, "$DSN") {
		cmd.Env = append(cmd.Env, "DSN="+pgtest.DSN(t))
	}
	printed := &printed{want: regexp.MustCompile(r.Prints), came: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = printed, printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	group := func(s syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, s) }
	cmd.Cancel = func() error { return group(syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	defer close(ended)
	if r.Serves {
		go func() {
			select {
			case <-printed.came:
				_ = group(syscall.SIGINT) // it may have ended
			case <-ended:
			}
		}()
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		t.Errorf("it did not end within %v: %v", bound, err)
	}
	return cmd.ProcessState.ExitCode(), printed.String()
}

// A printed is the output of a command.
type printed struct {
	want *regexp.Regexp

	mu   sync.Mutex // guards all below
	text bytes.Buffer
	came chan struct{} // closed when the output matches want; nil then
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	if p.came != nil && p.want.Match(p.text.Bytes()) {
		close(p.came)
		p.came = nil
	}
	return len(b), nil
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// fresh returns a folder with a copy of the files that git tracks or would track, and the copied texts
// by name.
func fresh(t *testing.T) (folder string, files map[string]string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skipf("no clone: %v", err)
	}
	list := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	folder, files = t.TempDir(), map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		from, to := filepath.Join(root, name), filepath.Join(folder, name)
		info, err := os.Lstat(from)
		if os.IsNotExist(err) {
			continue // deleted and not yet committed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return folder, files
}

// changed returns the files that are not as they were copied.
func changed(t *testing.T, folder string, files map[string]string) (names []string) {
	t.Helper()
	for name, text := range files {
		if now, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(now) != text {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names))
}
