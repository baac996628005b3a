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

// Config configures a [Remote]. Required are one of KnownHosts and HostKeyCallback, and at least
// one of KeyFiles, Agent and Auth. Every other zero field selects its default.
type Config struct {
	// Address returns the address of a target; the default is [ParseAddress]. Its error makes the
	// target InvalidTarget. It is called for each target of each attempt, concurrently, and must
	// return when ctx ends.
	Address func(ctx context.Context, target string) (Address, error)
	User    string // the account if an address has none; without both the result is NoSuchUser

	KeyFiles []string         // private keys without a passphrase, read by New
	Agent    string           // path of the socket of an SSH agent, such as $SSH_AUTH_SOCK
	Auth     []ssh.AuthMethod // further methods, such as ssh.Password; public keys only without KeyFiles and Agent

	// KnownHosts are files in the format of OpenSSH's known_hosts, read again when they change. The
	// Remote accepts keys of a host only of the types in the files, and does not connect to a host
	// without an entry.
	KnownHosts []string
	// HostKeyCallback checks the keys of hosts in place of KnownHosts; setting both is an error.
	HostKeyCallback ssh.HostKeyCallback

	// Dial connects to a host, for example through a bastion; the default is [net.Dialer]. It must
	// return when ctx ends. Only HostKeyCallback sees the remote address of its connections.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Sources string        // the folder of the files of From; without it, a payload with From is invalid
	Logs    executor.Logs // stores output; nil drops it

	// OutputLimit is the maximum number of bytes in Logs for both streams of a target together. The
	// last 64 are for a line that reports dropped output. The default is 1 MiB.
	OutputLimit int64
	FileLimit   int64 // maximum size of a file in bytes; a larger one is TooLarge; default 1 GiB

	PerHost int // maximum connections per address; default 2
	InAll   int // maximum connections in total, kept ones included; default 64

	Connect   time.Duration // maximum time to open a TCP connection; default 10 s
	Handshake time.Duration // maximum time for key exchange and log-in together, and for the start of a session; default 20 s
	Idle      time.Duration // time for which an unused connection is kept; default 1 min
	KeepAlive time.Duration // interval between two signs of life, and maximum wait for the answer; default 15 s
	Grace     time.Duration // time between SIGTERM and SIGKILL, and for the clean-up of a stopped transfer; default 5 s
}

// A ConfigError reports an invalid field of a [Config].
type ConfigError struct {
	Field string // name of the field
	Err   error  // the fault, with the accepted values
}

// Error names the field and the fault.
func (e *ConfigError) Error() string { return fmt.Sprintf("sshexec: %s: %v", e.Field, e.Err) }

// Unwrap returns e.Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// A Remote runs scripts and copies files on hosts over SSH. It is safe for concurrent use. [New]
// returns one, and the caller closes it.
type Remote struct {
	c        Config
	keys     *knownHosts // nil with Config.HostKeyCallback
	auth     []ssh.AuthMethod
	pool     *pool
	payloads payloads
	closing  sync.Once
}

// New returns a Remote. It reads the key files and known_hosts, and opens no connection. Its error
// is a [*ConfigError].
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
			return nil, &ConfigError{limit.field, fmt.Errorf("%d: want 0 for the default, or more", limit.value)}
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
		return nil, &ConfigError{"HostKeyCallback", fmt.Errorf("KnownHosts are set too: want one of the two")}
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
		_ = root.Close() // only checks that the folder exists
	}
	x.pool = newPool(c.PerHost, c.InAll, c.Idle)
	return x, nil
}

// fill sets the defaults.
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

// Close closes all connections, also those in use: their hosts then stop the scripts. Later work is
// NotDelivered. It is idempotent, and its error is always nil.
func (x *Remote) Close() error {
	x.closing.Do(x.pool.close)
	return nil
}
