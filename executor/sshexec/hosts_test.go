//go:build unix

package sshexec_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/sshexec"
	"github.com/stepgate/stepgate/step"
)

// listen starts a server on this machine that does with its connections what the test says.
func listen(t *testing.T, serve func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// at has all targets at one port of this machine.
func at(l *lab, port int) {
	l.config.Address = func(_ context.Context, target string) (address, error) {
		return address{Host: "127.0.0.1", Port: port, HostKeyAlias: target}, nil
	}
}

// logInOnly takes any log-in on a connection, and answers nothing after it.
func logInOnly(host ssh.Signer) func(net.Conn) {
	return func(c net.Conn) {
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(host)
		_, _, _, err := ssh.NewServerConn(c, config)
		if err != nil {
			_ = c.Close()
		}
	}
}

// Each way not to reach a host has its status, for scripts and for files.
func TestUnreachableHosts(t *testing.T) {
	for _, c := range []struct {
		name, host     string
		change         func(*lab)
		scripts, files step.Status
		detail         string
	}{
		{"that hang", "h0", func(l *lab) {
			l.config.Handshake = 100 * time.Millisecond
			at(l, listen(l.T, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
		}, step.NotDelivered, step.NotDelivered, "no SSH handshake with"},
		{"that refuse", "h0", func(l *lab) {
			c, err := net.Listen("tcp", "127.0.0.1:0")
			l.must(err)
			at(l, c.Addr().(*net.TCPAddr).Port)
			l.must(c.Close())
		}, step.NotDelivered, step.NotDelivered, "refused"},
		{"that are too far away", "h0", func(l *lab) {
			l.config.Connect = time.Millisecond
			l.config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}, step.NotDelivered, step.NotDelivered, "deadline exceeded"},
		{"that speak something else", "h0", func(l *lab) {
			at(l, listen(l.T, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); _ = c.Close() }))
		}, step.AgentError, step.FileAgentError, "handshake failed"},
		{"that hang up", "h0", func(l *lab) {
			at(l, listen(l.T, func(c net.Conn) { _ = c.Close() }))
		}, step.AgentError, step.FileAgentError, "handshake failed"},
		{"whose key has changed", "h0", func(l *lab) {
			l.must(os.WriteFile(l.path("known_hosts"), nil, 0o600))
			l.know(newKey(l.T).PublicKey(), "h0")
		}, step.AgentError, step.FileAgentError, "key mismatch"},
		{"whose key was revoked", "h0", func(l *lab) {
			l.must(os.WriteFile(l.path("known_hosts"), fmt.Appendf(nil, "%[1]s\n@revoked %[1]s\n", strings.TrimSpace(l.read("known_hosts"))), 0o600))
		}, step.AgentError, step.FileAgentError, "revoked"},
		{"that are unknown", "stranger", nil, step.InvalidTarget, step.InvalidTarget, "not in known_hosts"},
		{"of no such name", "h0", func(l *lab) {
			l.config.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}}
			}
		}, step.InvalidTarget, step.InvalidTarget, "no such host"},
		{"without an address", "h0", func(l *lab) {
			l.config.Address = func(context.Context, string) (address, error) { return address{}, errors.New("not in the inventory") }
		}, step.InvalidTarget, step.InvalidTarget, "not in the inventory"},
		{"with a malformed address", "h0", func(l *lab) {
			l.config.Address = func(context.Context, string) (address, error) { return address{Host: "-oProxyCommand=x"}, nil }
		}, step.InvalidTarget, step.InvalidTarget, "want a name or an IP address"},
		{"without an account", "h0", func(l *lab) { l.config.User = "" }, step.NoSuchUser, step.NoSuchUser, "no account"},
		{"that do not know the key", "h0", func(l *lab) {
			l.must(os.WriteFile(l.path("key"), newKey(l.T).private, 0o600))
		}, step.BadPassword, step.BadPassword, "unable to authenticate"},
		{"that are shown too many keys", "h0", func(l *lab) {
			l.config.KeyFiles = nil
			for i := range 8 {
				name := l.path(fmt.Sprint("other", i))
				l.must(os.WriteFile(name, newKey(l.T).private, 0o600))
				l.config.KeyFiles = append(l.config.KeyFiles, name)
			}
		}, step.BadPassword, step.BadPassword, "authentication"},
		{"without the agent", "h0", func(l *lab) {
			l.config.KeyFiles, l.config.Agent = nil, l.path("nothing")
		}, step.NotDelivered, step.NotDelivered, "agent"},
		{"that answer nothing after the log-in", "h0", func(l *lab) {
			l.config.Handshake = 5 * time.Second
			at(l, listen(l.T, logInOnly(newKnownKey(l))))
		}, step.AgentError, step.TransferError, "no session"},
		{"that run nothing", "h0", func(l *lab) {
			l.sshd.stop()
			l.sshd = startSSHD(l, "MaxSessions 0", newKnownKey(l))
		}, step.AgentError, step.FileAgentError, "no session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(l *lab) {
				if c.change != nil {
					c.change(l)
				}
			})
			for _, w := range []struct {
				task *executor.Task
				want step.Status
			}{
				{l.script("echo ran"), c.scripts},
				{l.files(sshexec.File{Content: new("text"), To: l.path("to")}), c.files},
			} {
				r := l.is(l.runOn(t.Context(), w.task, 0, c.host), w.want)
				if !strings.Contains(r.Detail, c.detail) {
					t.Errorf("detail %q, want %q in it", r.Detail, c.detail)
				}
			}
		})
	}
}

// A host without sftp runs scripts and takes no files.
func TestWithoutSFTP(t *testing.T) {
	l := newLab(t, func(l *lab) {
		l.sshd.stop()
		l.sshd = startSSHD(l, "", newKnownKey(l))
	})
	l.is(l.run(l.script("true")), step.TargetSucceeded)
	r := l.is(l.run(l.files(sshexec.File{Content: new("text"), To: l.path("to")})), step.FileAgentError)
	if want := "the host's SSH server has no subsystem sftp"; r.Detail != want {
		t.Errorf("detail %q, want %q", r.Detail, want)
	}

	silent := newLab(t, func(l *lab) {
		l.sshd.stop()
		l.sshd = startSSHD(l, "Subsystem sftp cat >/dev/null", newKnownKey(l))
		l.config.Handshake = 5 * time.Second
	})
	r = silent.is(silent.run(silent.files(sshexec.File{Content: new("text"), To: l.path("to")})), step.FileAgentError)
	if want := "no answer from sftp within 5s"; r.Detail != want {
		t.Errorf("detail %q, want %q", r.Detail, want)
	}

	broken := newLab(t, func(l *lab) {
		l.sshd.stop()
		l.sshd = startSSHD(l, "Subsystem sftp /nonexistent/sftp-server", newKnownKey(l))
	})
	broken.is(broken.run(broken.files(sshexec.File{Content: new("text"), To: l.path("to")})), step.FileAgentError)
}

// Work that is stopped, or late, before it begins says so, and waits for nothing.
func TestNotBegun(t *testing.T) {
	l := newLab(t, func(l *lab) {
		at(l, listen(l.T, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })) // hangs
		l.config.InAll, l.config.PerHost = 1, 1
	})
	script, files := l.script("true"), l.files(sshexec.File{Content: new("text"), To: "to"})
	first, end := context.WithCancel(t.Context())
	var blocker sync.WaitGroup
	blocker.Go(func() { l.runOn(first, script, 0, "h0") })
	for _, host := range []string{"h0", "h1"} { // one waits for its host, one for any
		stopped, stop := context.WithCancel(t.Context())
		stop()
		l.is(l.runOn(stopped, script, 0, host), step.TargetTerminated)
		l.is(l.runOn(stopped, files, 0, host), step.TargetTerminated)
		late, pass := newDeadline(t.Context())
		pass()
		l.is(l.runOn(late, script, 0, host), step.ScriptTimedOut)
		l.is(l.runOn(late, files, 0, host), step.FileTimedOut)
	}
	end()
	blocker.Wait()
}

// A job on 200 hosts takes no more connections than there may be. One host hangs, one refuses, one
// has another key and one dies in mid-transfer: each has its own status, and the others what they
// need.
func TestManyHosts(t *testing.T) {
	hosts, inAll := int32(200), 8
	if testing.Short() {
		hosts = 40
	}
	var wire wires
	var ports map[string]int
	l := newLab(t, func(l *lab) {
		ports = badHosts(l)
		l.config.InAll, l.config.Dial, l.config.Handshake = inAll, wire.dial, 10*time.Second
		l.config.Address = func(_ context.Context, target string) (address, error) {
			port, bad := ports[target]
			if !bad {
				port = l.sshd.port()
			}
			return address{Host: "127.0.0.1", Port: port, HostKeyAlias: target}, nil
		}
	})
	l.source("large", strings.Repeat("x", 256<<10))
	eng := l.serve(executor.AtOnce(2 * inAll))
	bad := map[int32]string{3: "hangs", 5: "refuses", 8: "changed", 13: "dies"}
	var names []string
	for i := range hosts {
		names = append(names, cmp.Or(bad[i], fmt.Sprint("h", i)))
	}
	want := map[string][2]step.Status{
		"hangs": {step.NotDelivered, step.NotDelivered}, "refuses": {step.NotDelivered, step.NotDelivered},
		"changed": {step.FileAgentError, step.AgentError}, "dies": {step.TransferError, step.TargetSucceeded},
	}
	for i, spec := range []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: names, Payload: sshexec.Files{Files: []sshexec.File{{From: "large", To: l.path("to")}}}.Payload()},
		{Type: step.Script, Name: "run", Targets: names, Payload: sshexec.Script{Script: `echo "$STEPGATE_TARGET"`}.Payload()},
	} {
		job := l.start(eng, spec)
		l.ends(eng, job, step.Failed)
		targets, err := eng.Targets(t.Context(), job, 1, engine.TargetQuery{Limit: int(hosts)})
		l.must(err)
		for _, target := range targets {
			status := step.TargetSucceeded
			if bad, ok := want[target.Name]; ok {
				status = bad[i]
			}
			if target.Status != status {
				t.Errorf("%s of %s: %v, want %v: %s", spec.Name, target.Name, target.Status, status, target.Detail)
			}
			e, err := l.logs.Read(t.Context(), executor.Log{Job: job, Step: 1, Attempt: 1, Target: target.Index, Stream: executor.Stdout}, 0, 100)
			if output := target.Name + "\n"; spec.Type == step.Script && status.Success() && string(e.Data) != output {
				t.Errorf("%s wrote %q, %v; want %q", target.Name, e.Data, err, output)
			}
		}
		if len(targets) != len(names) {
			t.Errorf("%s has %d targets, want %d", spec.Name, len(targets), len(names))
		}
	}
	if wire.most > inAll {
		t.Errorf("%d connections were open at once, want at most %d", wire.most, inAll)
	}
}

// badHosts returns the ports of a host that hangs, of one that refuses, of one that has another key
// than known_hosts, and of one that dies after 100 KiB.
func badHosts(l *lab) map[string]int {
	l.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	l.must(closed.Close())
	good := l.read("known_hosts")
	l.must(os.WriteFile(l.path("known_hosts"), nil, 0o600))
	l.know(newKey(l.T).PublicKey(), "changed")
	l.must(os.WriteFile(l.path("known_hosts"), []byte(l.read("known_hosts")+strings.Replace(good, "h*", "h*,refuses,dies,hangs", 1)), 0o600))
	return map[string]int{
		"hangs":   listen(l.T, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }),
		"refuses": closed.Addr().(*net.TCPAddr).Port,
		"changed": l.sshd.port(),
		"dies": listen(l.T, func(c net.Conn) {
			defer c.Close()
			server, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", l.sshd.port()))
			if err != nil {
				return
			}
			defer server.Close()
			go func() { _, _ = io.Copy(c, server) }()
			_, _ = io.CopyN(server, c, 100<<10)
		}),
	}
}

// Work on one host waits for a connection of that host, and leaves places to others.
func TestConnectionsAreBounded(t *testing.T) {
	var wire wires
	l := newLab(t, func(l *lab) { l.config.PerHost, l.config.InAll, l.config.Dial = 2, 3, wire.dial })
	up, gate := l.pipe("up"), l.pipe("gate")
	_ = gate
	task := l.script(`echo up >$LAB/up; read go <$LAB/gate`)
	var work sync.WaitGroup
	for i := range int32(5) {
		work.Go(func() { l.is(l.runOn(t.Context(), task, i, "h0"), step.TargetSucceeded) })
	}
	up()
	up()
	l.is(l.runOn(t.Context(), l.script("true"), 9, "h1"), step.TargetSucceeded) // has the third place
	if open := wire.open(); open != 3 {
		t.Errorf("%d connections are open, want 2 to h0 and 1 to h1", open)
	}
	for range 3 {
		l.must(os.WriteFile(l.path("gate"), []byte("go\n"), 0))
		up()
	}
	for range 2 {
		l.must(os.WriteFile(l.path("gate"), []byte("go\n"), 0))
	}
	work.Wait()
	if n := wire.dialled(); n != 3 {
		t.Errorf("%d connections were opened, want 3", n)
	}
}

// Connections are kept for the next work on their host, and closed when there is none.
func TestConnectionsAreKept(t *testing.T) {
	var wire wires
	l := newLab(t, func(l *lab) { l.config.Dial = wire.dial })
	for range 3 {
		l.is(l.run(l.script("true")), step.TargetSucceeded)
		l.is(l.run(l.files(sshexec.File{Content: new("text"), To: l.path("to")})), step.TargetSucceeded)
	}
	if n := wire.dialled(); n != 1 {
		t.Errorf("%d connections were opened for work after work, want 1", n)
	}

	var short wires
	l = newLab(t, func(l *lab) { l.config.Dial, l.config.Idle = short.dial, time.Millisecond })
	l.is(l.run(l.script("true")), step.TargetSucceeded)
	l.eventually("an idle connection is open", func() bool { return short.open() == 0 })
}

// A kept connection that has died, seen or unseen, is replaced.
func TestDeadConnectionsAreReplaced(t *testing.T) {
	for name, kill := range map[string]func(*wires){"cut": (*wires).cut, "silent": (*wires).freeze} {
		t.Run(name, func(t *testing.T) {
			var wire wires
			l := newLab(t, func(l *lab) { l.config.Dial, l.config.KeepAlive = wire.dial, 2*time.Second })
			l.is(l.run(l.script("true")), step.TargetSucceeded)
			kill(&wire)
			l.is(l.run(l.script("true")), step.TargetSucceeded)
			if n := wire.dialled(); n != 2 {
				t.Errorf("%d connections were opened, want 2", n)
			}
		})
	}
}

// The least recently used connection makes room for one to another host.
func TestConnectionsMakeRoom(t *testing.T) {
	var wire wires
	l := newLab(t, func(l *lab) { l.config.Dial, l.config.InAll = wire.dial, 2 })
	for i, c := range []struct {
		host    string
		dialled int
	}{{"h0", 1}, {"h1", 2}, {"h0", 2}, {"h2", 3}, {"h0", 3}, {"h1", 4}} {
		l.is(l.runOn(t.Context(), l.script("true"), 0, c.host), step.TargetSucceeded)
		if n := wire.dialled(); n != c.dialled {
			t.Errorf("%d connections were opened after work %d, want %d", n, i+1, c.dialled)
		}
		if n := wire.open(); n > 2 {
			t.Errorf("%d connections are open, want at most 2", n)
		}
	}
}

// A host proves itself with a key of a type that is known, though it has others.
func TestHostWithSeveralKeys(t *testing.T) {
	for _, known := range []int{0, 1} {
		l := newLab(t, func(l *lab) {
			keys := []key{newKey(t), newECDSAKey(t)}
			l.must(os.WriteFile(l.path("known_hosts"), nil, 0o600))
			l.know(keys[known].PublicKey(), "h0")
			l.sshd.stop()
			l.sshd = startSSHD(l, "", keys...)
		})
		l.is(l.run(l.script("true")), step.TargetSucceeded)
	}
}

// known_hosts is read again when it changes, and a file that is gone lets nothing pass.
func TestKnownHostsChange(t *testing.T) {
	l := newLab(t)
	before := l.read("known_hosts")
	l.is(l.runOn(t.Context(), l.script("true"), 0, "stranger"), step.InvalidTarget)
	l.must(os.WriteFile(l.path("known_hosts"), []byte(before+strings.Replace(before, "h*", "stranger", 1)), 0o600))
	l.is(l.runOn(t.Context(), l.script("true"), 0, "stranger"), step.TargetSucceeded)
	l.must(os.Remove(l.path("known_hosts")))
	l.is(l.runOn(t.Context(), l.script("true"), 0, "h1"), step.NotDelivered)
}

// An authority in known_hosts vouches for the hosts that it has signed.
func TestHostWithACertificate(t *testing.T) {
	authority := newKey(t)
	for name, want := range map[string]step.Status{"h0": step.TargetSucceeded, "h1": step.AgentError} {
		l := newLab(t, func(l *lab) {
			host := newKey(t)
			cert := &ssh.Certificate{
				Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"h0"}, ValidBefore: ssh.CertTimeInfinity,
			}
			l.must(cert.SignCert(rand.Reader, authority))
			l.must(os.WriteFile(l.path("cert"), ssh.MarshalAuthorizedKey(cert), 0o600))
			l.must(os.WriteFile(l.path("known_hosts"), fmt.Appendf(nil, "@cert-authority h* %s", ssh.MarshalAuthorizedKey(authority.PublicKey())), 0o600))
			l.sshd.stop()
			l.sshd = startSSHD(l, "HostCertificate "+l.path("cert"), host)
		})
		l.is(l.runOn(t.Context(), l.script("true"), 0, name), want)
	}
}

// named is a connection whose other end has no address, or one that is no host and port.
type named struct {
	net.Conn
	remote net.Addr
}

func (n named) RemoteAddr() net.Addr { return n.remote }

// A bastion's connections have addresses of any kind: known_hosts is asked for the host's name.
func TestDialThroughABastion(t *testing.T) {
	for name, remote := range map[string]net.Addr{"a socket": &net.UnixAddr{Name: "@", Net: "unix"}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(l *lab) {
				l.config.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, addr)
					return named{c, remote}, err
				}
			})
			l.is(l.run(l.script("true")), step.TargetSucceeded)
		})
	}
}

// A callback of the embedder's checks keys in place of known_hosts.
func TestHostKeyCallback(t *testing.T) {
	var asked string
	l := newLab(t, func(l *lab) {
		l.config.KnownHosts = nil
		l.config.HostKeyCallback = func(name string, _ net.Addr, _ ssh.PublicKey) error {
			asked = name
			return nil
		}
	})
	l.is(l.runOn(t.Context(), l.script("true"), 0, "anything"), step.TargetSucceeded)
	if asked != "anything:22" {
		t.Errorf("the callback was asked for %q", asked)
	}
}

// An agent that holds the key logs in, also after it was started anew.
func TestAgent(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent") // sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l := newLab(t, func(l *lab) { l.config.KeyFiles, l.config.Agent = nil, socket })
	raw, err := ssh.ParseRawPrivateKey([]byte(l.read("key")))
	l.must(err)
	keyring := agent.NewKeyring()
	l.must(keyring.Add(agent.AddedKey{PrivateKey: raw}))
	for i := range 2 {
		end := serveAgent(l, socket, keyring)
		l.is(l.runOn(t.Context(), l.script("true"), 0, fmt.Sprint("h", i)), step.TargetSucceeded)
		end()
	}
}

// A stop ends the wait for a log-in whose credentials do not come.
func TestStopWhileCredentialsAreWaitedFor(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	l := newLab(t, func(l *lab) {
		l.config.KeyFiles = nil
		l.config.Auth = []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			stop()
			<-never
			return nil, errors.New("none")
		})}
	})
	l.is(l.runOn(ctx, l.script("true"), 0, "h0"), step.TargetTerminated)
}

// refusingAgent has keys, and signs nothing with them.
type refusingAgent struct{ agent.ExtendedAgent }

func (refusingAgent) SignWithFlags(ssh.PublicKey, []byte, agent.SignatureFlags) (*ssh.Signature, error) {
	return nil, errors.New("refused")
}

// An agent that does not sign is no fault of the host's.
func TestAgentThatDoesNotSign(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l := newLab(t, func(l *lab) { l.config.KeyFiles, l.config.Agent = nil, socket })
	raw, err := ssh.ParseRawPrivateKey([]byte(l.read("key")))
	l.must(err)
	keyring := agent.NewKeyring().(agent.ExtendedAgent)
	l.must(keyring.Add(agent.AddedKey{PrivateKey: raw}))
	end := serveAgent(l, socket, refusingAgent{keyring})
	defer end()
	l.is(l.run(l.script("true")), step.NotDelivered)
}

// serveAgent serves an agent until end is called.
func serveAgent(l *lab, socket string, keyring agent.Agent) (end func()) {
	l.Helper()
	server, err := net.Listen("unix", socket)
	l.must(err)
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			go func() { _ = agent.ServeAgent(keyring, c) }()
		}
	}()
	return func() {
		_ = server.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	}
}
