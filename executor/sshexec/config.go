package sshexec

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/stepgate/stepgate/executor"
)

// Config is what a [Remote] needs. KnownHosts and one of KeyFiles, Agent and Auth have no default.
type Config struct {
	// Address says where a target is. An error is the result InvalidTarget. The default is
	// [ParseAddress]. It is called for each target of each attempt, and must return when ctx ends.
	Address func(ctx context.Context, target string) (Address, error)
	User    string // the account where an address names none; without it the result is NoSuchUser

	KeyFiles []string         // private keys without a passphrase, read by New
	Agent    string           // the socket of an SSH agent, such as $SSH_AUTH_SOCK
	Auth     []ssh.AuthMethod // tried after both, as ssh.Password is; public keys only if there are neither

	// KnownHosts are files as OpenSSH's, read again when they change. A host is asked for keys
	// of the types only that they have for it. One that they do not have is not connected to.
	KnownHosts []string
	// HostKeyCallback checks the keys of hosts in place of KnownHosts.
	HostKeyCallback ssh.HostKeyCallback

	// Dial connects to a host, as through a bastion; the default is that of [net.Dialer]. It must
	// return when ctx ends. Addresses of its connections are for HostKeyCallback alone.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Sources string        // the folder below which files with From are; without it they are malformed
	Logs    executor.Logs // keeps output; nil for none

	// OutputLimit is how many bytes one target's streams together keep in Logs, 64 of them for a
	// line that says that the rest was dropped; 0 stands for 1 MiB.
	OutputLimit int64
	FileLimit   int64 // bytes of a file that is copied, above it the result is TooLarge; 0 stands for 1 GiB

	PerHost int // connections per address; 0 stands for 2
	InAll   int // connections in all, those that are kept included; 0 stands for 64

	Connect   time.Duration // bound of a TCP connection's opening; 0 stands for 10 s
	Handshake time.Duration // bound of key exchange and log-in together, and of a session's start; 0 stands for 20 s
	Idle      time.Duration // for which an unused connection is kept; 0 stands for 1 min
	KeepAlive time.Duration // between two signs of life, and the bound of an answer; 0 stands for 15 s
	Grace     time.Duration // between SIGTERM and SIGKILL, and for a transfer that is stopped; 0 stands for 5 s
}

// A ConfigError says what is wrong with a [Config].
type ConfigError struct {
	Field string
	Err   error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("sshexec: %s: %v", e.Field, e.Err) }

// Unwrap returns e.Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// A Remote does the work of steps on hosts over SSH. It is safe for concurrent use.
type Remote struct {
	c        Config
	keys     *knownHosts // nil if Config.HostKeyCallback checks
	auth     []ssh.AuthMethod
	pool     *pool
	payloads payloads
	closing  sync.Once
}

// New returns a Remote. It reads key files and known_hosts, and connects to nothing. The error is
// a [*ConfigError].
func New(c Config) (*Remote, error) {
	for _, limit := range []struct {
		field string
		value int64
	}{
		{"OutputLimit", c.OutputLimit}, {"FileLimit", c.FileLimit}, {"PerHost", int64(c.PerHost)}, {"InAll", int64(c.InAll)},
		{"Connect", int64(c.Connect)}, {"Handshake", int64(c.Handshake)}, {"Idle", int64(c.Idle)},
		{"KeepAlive", int64(c.KeepAlive)}, {"Grace", int64(c.Grace)},
	} {
		if limit.value < 0 {
			return nil, &ConfigError{limit.field, fmt.Errorf("%d: want more than 0, or 0 for the default", limit.value)}
		}
	}
	c.fill()
	x := &Remote{c: c}
	var err error
	if x.auth, err = c.auth(); err != nil {
		return nil, err
	}
	switch {
	case c.HostKeyCallback != nil && len(c.KnownHosts) > 0:
		return nil, &ConfigError{"HostKeyCallback", fmt.Errorf("there are KnownHosts too: want one of the two")}
	case c.HostKeyCallback == nil:
		if x.keys, err = openKnownHosts(c.KnownHosts); err != nil {
			return nil, &ConfigError{"KnownHosts", err}
		}
	}
	if c.Sources != "" {
		root, err := os.OpenRoot(c.Sources)
		if err != nil {
			return nil, &ConfigError{"Sources", err}
		}
		_ = root.Close() // it was opened to see that it is there
	}
	x.pool = newPool(c.PerHost, c.InAll, c.Idle)
	return x, nil
}

// fill puts the defaults in.
func (c *Config) fill() {
	if c.Address == nil {
		c.Address = func(_ context.Context, target string) (Address, error) { return ParseAddress(target) }
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	set(&c.OutputLimit, 1<<20)
	set(&c.FileLimit, 1<<30)
	set(&c.PerHost, 2)
	set(&c.InAll, 64)
	set(&c.Connect, 10*time.Second)
	set(&c.Handshake, 20*time.Second)
	set(&c.Idle, time.Minute)
	set(&c.KeepAlive, 15*time.Second)
	set(&c.Grace, 5*time.Second)
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Close closes all connections, those in use included, whose scripts their hosts then stop. Work
// that comes later is not delivered. It is idempotent, and the error is always nil.
func (x *Remote) Close() error {
	x.closing.Do(x.pool.close)
	return nil
}
