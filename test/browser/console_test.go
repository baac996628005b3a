package browser

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// patience bounds each wait for something that should come at once.
const patience = time.Minute

// folder holds what the tests of this process share; see TestMain.
var folder string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if folder, err = os.MkdirTemp("", "stepgate-browser-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(folder)
		status := m.Run()
		if begun != nil {
			if err := begun.end(); err != nil {
				fmt.Fprintf(os.Stderr, "browser: the end of Chromium: %v\n", err)
				return 1
			}
		}
		return status
	}())
}

// build compiles the console, once a process.
var build = sync.OnceValues(func() (string, error) {
	program := filepath.Join(folder, "console")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = filepath.FromSlash("../../examples/console")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, said)
	}
	return program, nil
})

// A console is a running console with a memory store of its own.
type console struct {
	url string // without a slash at the end
	cmd *exec.Cmd
	end func() // it, once
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// run starts a console on a free port and returns once the console has printed the address. The
// console is told to end with t, and must then exit with status 0.
func run(t *testing.T, args ...string) *console {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := kept(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("browser: %v", err)
	}
	var said lockedBuffer
	cmd.Dir, cmd.Stderr = t.TempDir(), &said
	word, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		defer close(found)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintf(&said, "%s\n", lines.Bytes())
			if url := address.FindString(lines.Text()); url != "" {
				select {
				case found <- url:
				default:
				}
			}
		}
	}()
	end := sync.OnceFunc(func() {
		late := time.AfterFunc(patience, func() { _ = kill(cmd) })
		defer late.Stop()
		_ = word.Close()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the console was told to end: %v", err)
		}
		if t.Failed() {
			t.Logf("the console said:\n%s", &said)
		}
	})
	t.Cleanup(end)
	select {
	case url, ok := <-found:
		if !ok {
			t.Fatal("the console ended before it said its address")
		}
		return &console{url, cmd, end}
	case <-time.After(patience):
		t.Fatalf("the console says no address")
		return nil
	}
}

// A lockedBuffer is a buffer that two goroutines may write to.
type lockedBuffer struct {
	mu  sync.Mutex // guards all below
	all bytes.Buffer
}

var _ io.Writer = (*lockedBuffer)(nil)

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
