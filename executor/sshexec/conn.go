package sshexec

import (
	"container/list"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// A conn is an SSH connection to a host.
type conn struct {
	address Address
	client  *ssh.Client
	reused  bool          // kept before this use: it may be dead
	dead    chan struct{} // closed when it has ended
	closing atomic.Bool
	closed  chan struct{} // closed when close is over

	kept   *list.Element // in pool.idle; nil in use. Guarded by pool.mu
	expiry *time.Timer   // closes a kept connection. Guarded by pool.mu
}

// connect opens a connection and logs in.
func (x *Remote) connect(ctx context.Context, a Address) (*conn, *failure) {
	config, f := x.clientConfig(a)
	if f != nil {
		return nil, f
	}
	var checked atomic.Pointer[error] // the result of the check of the host's key; nil before
	check := config.HostKeyCallback
	config.HostKeyCallback = func(name string, remote net.Addr, key ssh.PublicKey) error {
		err := check(name, remote, key)
		checked.Store(&err)
		return err
	}
	raw, f := x.dial(ctx, a)
	if f != nil {
		return nil, f
	}
	client, err := handshake(ctx, x.c.Handshake, raw, a.keyName(), config)
	key := checked.Load()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ended(ctx)
	case key != nil && *key != nil:
		return nil, failed(wrongKey, "the host's key: %w", *key)
	case errors.Is(err, errNoHandshake):
		return nil, failed(unreachable, "no SSH handshake with %s within %v", a.hostPort(), x.c.Handshake)
	case err != nil:
		return nil, handshakeFailure(a, err, key != nil)
	}
	opened := &conn{address: a, client: client, dead: make(chan struct{}), closed: make(chan struct{})}
	go opened.watch(x.pool)
	go opened.keepAlive(x.c.KeepAlive)
	if !x.pool.opened(opened) {
		opened.close()
		return nil, failed(unreachable, "sshexec: closed")
	}
	return opened, nil
}

// errNoHandshake is the error of a handshake that took too long.
var errNoHandshake = errors.New("no handshake in time")

// handshake logs in over raw within a time. It does not wait longer for an agent or another
// function of the configuration: it then closes raw and returns.
func handshake(ctx context.Context, within time.Duration, raw net.Conn, name string, config *ssh.ClientConfig) (*ssh.Client, error) {
	type answer struct {
		client *ssh.Client
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		c, channels, requests, err := ssh.NewClientConn(raw, name, config)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		answers <- answer{client: ssh.NewClient(c, channels, requests)}
	}()
	limit := time.NewTimer(within)
	defer limit.Stop()
	err := errNoHandshake
	select {
	case a := <-answers:
		return a.client, a.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-limit.C:
	}
	go raw.Close()
	return nil, err
}

// clientConfig returns the configuration to log in at a, with the accepted host keys.
func (x *Remote) clientConfig(a Address) (*ssh.ClientConfig, *failure) {
	config := &ssh.ClientConfig{User: a.User, Auth: x.auth, HostKeyCallback: x.c.HostKeyCallback}
	if x.keys == nil {
		return config, nil
	}
	keys, err := x.keys.current()
	if err != nil {
		return nil, failed(noCredentials, "known_hosts: %w", err)
	}
	config.HostKeyCallback = keys.check
	config.HostKeyAlgorithms, err = keys.algorithms(a.keyName())
	switch {
	case errors.Is(err, errUnknownHost):
		return nil, failed(unknownHost, "%w", err)
	case err != nil:
		return nil, failed(noCredentials, "%w", err)
	}
	return config, nil
}

// dial opens a TCP connection to a within Config.Connect.
func (x *Remote) dial(ctx context.Context, a Address) (net.Conn, *failure) {
	bounded, cancel := context.WithTimeout(ctx, x.c.Connect)
	defer cancel()
	raw, err := x.c.Dial(bounded, "tcp", a.hostPort())
	missing := (*net.DNSError)(nil)
	switch {
	case err == nil:
		return raw, nil
	case ctx.Err() != nil:
		return nil, ended(ctx)
	case errors.As(err, &missing) && missing.IsNotFound:
		return nil, failed(noAddress, "%w", err)
	}
	return nil, failed(unreachable, "%w", err)
}

// handshakeFailure returns the failure of a handshake; accepted reports whether the host's key was
// accepted before. It compares texts, as package ssh has no error types.
func handshakeFailure(a Address, err error, accepted bool) *failure {
	here := (*credentialsError)(nil)
	switch text := err.Error(); {
	case errors.As(err, &here):
		return failed(noCredentials, "agent: %w", err)
	case accepted && (strings.Contains(text, "unable to authenticate") || strings.Contains(text, "authentication")):
		return failed(refused, "log-in as %s refused: %w", a.User, err)
	}
	return failed(serverFailed, "%w", err)
}

// watch waits until the connection has ended and takes it out of the pool.
func (c *conn) watch(p *pool) {
	_ = c.client.Wait()
	close(c.dead)
	p.died(c)
}

// keepAlive asks the host for a sign of life at an interval, and closes the connection if none
// comes.
func (c *conn) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !c.alive(every) {
				c.close()
				return
			}
		case <-c.dead:
			return
		}
	}
}

// alive reports whether the host answers in time.
func (c *conn) alive(within time.Duration) bool {
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil) // a refusal is an answer too
		answered <- err
	}()
	select {
	case err := <-answered:
		return err == nil
	case <-time.After(within):
		return false
	}
}

// ended reports whether c has ended or is closing.
func (c *conn) ended() bool {
	select {
	case <-c.dead:
		return true
	default:
		return c.closing.Load()
	}
}

// closeTimeout bounds the wait for the end of a connection: through a stalled bastion, it never
// comes.
const closeTimeout = time.Second

// close ends the connection at once, and returns when it has ended or after closeTimeout. Its users
// get errors. The caller must not hold the pool's lock.
func (c *conn) close() {
	if c.closing.CompareAndSwap(false, true) {
		go func() {
			_ = c.client.Close()
			close(c.closed)
		}()
	}
	select {
	case <-c.closed:
	case <-time.After(closeTimeout):
	}
}
