//go:build unix

package sshexec_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/sshexec"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// enough bounds what a test waits for. Nothing takes as long unless it is wrong.
const enough = time.Minute

// A lab is an OpenSSH server on this machine, whose host has any number of names, and a Remote that
// knows them. The end of its test checks that nothing was left on the host.
type lab struct {
	*testing.T
	dir    string // LAB in the environment of scripts; "tmp" in it is their TMPDIR
	sshd   *sshd
	logs   *executor.MemoryLogs
	config sshexec.Config
	x      *sshexec.Remote
}

// newLab starts a server with one host key, and has change called on the configuration.
func newLab(t *testing.T, change ...func(*lab)) *lab {
	t.Helper()
	l := &lab{T: t, dir: t.TempDir(), logs: executor.NewMemoryLogs(0, 0)}
	l.must(os.Mkdir(l.path("tmp"), 0o700))
	l.must(os.Mkdir(l.path("sources"), 0o700))
	host := newKey(t)
	key := newKey(t)
	l.must(os.WriteFile(l.path("key"), key.private, 0o600))
	l.must(os.WriteFile(l.path("authorized"), ssh.MarshalAuthorizedKey(key.PublicKey()), 0o600))
	l.know(host.PublicKey(), "h*")
	l.sshd = startSSHD(l, "Subsystem sftp internal-sftp", host)
	me, err := user.Current()
	l.must(err)
	l.config = sshexec.Config{
		User: me.Username, KeyFiles: []string{l.path("key")}, KnownHosts: []string{l.path("known_hosts")},
		Logs: l.logs, Sources: l.path("sources"),
		Address: func(_ context.Context, target string) (sshexec.Address, error) {
			return sshexec.Address{Host: "127.0.0.1", Port: l.sshd.port(), HostKeyAlias: target}, nil
		},
	}
	for _, f := range change {
		f(l)
	}
	l.x, err = sshexec.New(l.config)
	l.must(err)
	t.Cleanup(func() {
		l.must(l.x.Close())
		l.sshd.stop()
		l.clean()
	})
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// know adds a line to known_hosts.
func (l *lab) know(key ssh.PublicKey, names ...string) {
	l.Helper()
	f, err := os.OpenFile(l.path("known_hosts"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	l.must(err)
	_, err = fmt.Fprintln(f, knownhosts.Line(names, key))
	l.must(errors.Join(err, f.Close()))
}

// read returns what a file of the lab holds.
func (l *lab) read(name string) string {
	l.Helper()
	text, err := os.ReadFile(l.path(name))
	l.must(err)
	return string(text)
}

// pipe makes a named pipe, and returns the next line that a script writes into it.
func (l *lab) pipe(name string) (line func() string) {
	l.Helper()
	l.must(syscall.Mkfifo(l.path(name), 0o600))
	f, err := os.OpenFile(l.path(name), os.O_RDWR, 0) // which waits for no other end
	l.must(err)
	l.Cleanup(func() { _ = f.Close() })
	lines := bufio.NewReader(f)
	return func() string {
		l.Helper()
		l.must(f.SetReadDeadline(time.Now().Add(enough)))
		line, err := lines.ReadString('\n')
		if err != nil {
			l.Errorf("nothing was written into %s: %v", name, err)
		}
		return strings.TrimSpace(line)
	}
}

// task returns the first attempt of a step.
func (l *lab) task(typ step.Type, payload string) *executor.Task {
	return &executor.Task{
		Job: store.Job{ID: 7}, Step: store.Step{ID: 1, Type: typ, Payload: payload}, Attempt: 1, Delivery: 1,
	}
}

func (l *lab) script(text string) *executor.Task {
	return l.task(step.Script, sshexec.Script{Script: text}.Payload())
}

func (l *lab) files(files ...sshexec.File) *executor.Task {
	return l.task(step.FileTransfer, sshexec.Files{Files: files}.Payload())
}

// run runs a task on host h0.
func (l *lab) run(task *executor.Task) store.Result { return l.runOn(l.Context(), task, 0, "h0") }

func (l *lab) runOn(ctx context.Context, task *executor.Task, index int32, name string) store.Result {
	l.Helper()
	type answer struct{ r store.Result }
	answers := make(chan answer, 1)
	work := l.x.Script
	if task.Step.Type == step.FileTransfer {
		work = l.x.Files
	}
	go func() { answers <- answer{work(ctx, task, executor.Host{Index: index, Name: name})} }()
	select {
	case a := <-answers:
		return a.r
	case <-time.After(enough):
		stacks := make([]byte, 1<<20)
		l.Fatalf("no result of %s within %v\n%s", name, enough, stacks[:runtime.Stack(stacks, true)])
	}
	panic("unreachable")
}

// is asserts the status of a result.
func (l *lab) is(r store.Result, want step.Status) store.Result {
	l.Helper()
	if r.Status != want {
		l.Errorf("%v, exit code %d: %s; want %v", r.Status, r.ExitCode, r.Detail, want)
	}
	return r
}

// output returns what target index of a task wrote.
func (l *lab) output(task *executor.Task, index int32, s executor.Stream) string {
	l.Helper()
	e, err := l.logs.Read(l.Context(), executor.Log{
		Job: task.Job.ID, Step: task.Step.ID, Attempt: task.Attempt, Target: index, Stream: s,
	}, 0, 1<<30)
	l.must(err)
	return string(e.Data)
}

// dead waits for a process to be gone, or a zombie that a container's init does not bury.
func (l *lab) dead(pid string) {
	l.Helper()
	n, err := strconv.Atoi(pid)
	l.must(err)
	l.eventually(fmt.Sprintf("process %d runs", n), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
		if err == nil {
			return zombie(stat)
		}
		return syscall.Kill(n, 0) != nil
	})
}

func zombie(stat []byte) bool {
	after := stat[bytes.LastIndexByte(stat, ')')+1:]
	return bytes.HasPrefix(after, []byte(" Z")) || bytes.HasPrefix(after, []byte(" X"))
}

// eventually waits for what another process does without a word.
func (l *lab) eventually(what string, holds func() bool) {
	l.Helper()
	for end := time.Now().Add(enough); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.Errorf("%s after %v", what, enough)
			return
		}
	}
}

// clean asserts that no script is left on the host, neither as a file nor, on Linux, as a process.
func (l *lab) clean() {
	l.Helper()
	l.eventually("there are scripts in "+l.path("tmp"), func() bool {
		entries, err := os.ReadDir(l.path("tmp"))
		return err == nil && len(entries) == 0
	})
	var left string
	l.eventually("there are processes of scripts: "+left, func() bool {
		left = l.processes()
		return left == ""
	})
}

// processes returns the processes that have the lab in their environment.
func (l *lab) processes() string {
	var left []string
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		environ, err := os.ReadFile(name)
		if err == nil && bytes.Contains(environ, []byte("LAB="+l.dir+"\x00")) {
			left = append(left, strings.Split(name, "/")[2])
		}
	}
	return strings.Join(left, " ")
}

// A key is one of a host or a person.
type key struct {
	ssh.Signer
	private []byte
}

func newKey(t *testing.T) key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyOf(t, private)
}

func newECDSAKey(t *testing.T) key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyOf(t, private)
}

func keyOf(t *testing.T, private crypto.Signer) key {
	t.Helper()
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return key{signer, pem.EncodeToMemory(block)}
}
