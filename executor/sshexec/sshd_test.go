//go:build unix

package sshexec_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An sshd is an OpenSSH server that has a process for each connection, as inetd starts them.
type sshd struct {
	l        *lab
	program  string
	config   string
	listener net.Listener
	serving  sync.WaitGroup
	open     atomic.Int32 // connections
}

// findSSHD finds sshd, or skips the test.
func findSSHD(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if path, err := exec.LookPath(name); err == nil {
			path, err = filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no sshd: install openssh-server")
	}
	t.Skip("there is no sshd: install openssh-server")
	return ""
}

var configs atomic.Int32

// startSSHD starts a server with more lines of configuration and these host keys.
func startSSHD(l *lab, lines string, hosts ...key) *sshd {
	l.Helper()
	s := &sshd{l: l, program: findSSHD(l.T)}
	if os.Getuid() == 0 {
		l.must(os.MkdirAll("/run/sshd", 0o755)) // where it leaves its privileges
	}
	name := l.path(fmt.Sprint("sshd", configs.Add(1)))
	config := lines + "\n"
	for i, host := range hosts {
		file := fmt.Sprintf("%s.key%d", name, i)
		l.must(os.WriteFile(file, host.private, 0o600))
		config += "HostKey " + file + "\n"
	}
	s.config = name + ".conf"
	// With SHLVL, bash takes itself for a shell in a shell and reads no ~/.bashrc, which may print.
	l.must(os.WriteFile(s.config, fmt.Appendf(nil, `%sAuthorizedKeysFile %s
SetEnv LAB=%s TMPDIR=%s SHLVL=1
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin yes
PrintMotd no
LogLevel ERROR
`, config, l.path("authorized"), l.dir, l.path("tmp")), 0o600))
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	s.serving.Go(s.serve)
	return s
}

func (s *sshd) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *sshd) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.open.Add(1)
		s.serving.Go(func() {
			defer s.open.Add(-1)
			s.handle(c)
		})
	}
}

// handle has a process serve one connection.
func (s *sshd) handle(c net.Conn) {
	file, err := c.(*net.TCPConn).File()
	_ = c.Close()
	if err != nil {
		s.l.Error(err)
		return
	}
	cmd := exec.Command(s.program, "-i", "-f", s.config, "-E", s.config+".log")
	cmd.Stdin, cmd.Stdout = file, file
	err = cmd.Start()
	_ = file.Close()
	if err != nil {
		s.l.Error(err)
		return
	}
	_ = cmd.Wait() // 255 when the connection was cut
}

// stop ends the server once all its connections have ended.
func (s *sshd) stop() {
	s.l.Helper()
	_ = s.listener.Close()
	done := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(enough):
		s.l.Errorf("%d connections are open %v after the end", s.open.Load(), enough)
	}
	if text, err := os.ReadFile(s.config + ".log"); s.l.Failed() && err == nil {
		s.l.Logf("sshd says:\n%s", text)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.l.Error(err)
	}
}
