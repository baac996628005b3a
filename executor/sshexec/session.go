package sshexec

import (
	"context"
	"time"

	"golang.org/x/crypto/ssh"
)

// signals has the signals of RFC 4254 with their numbers, which all Unix systems share.
var signals = map[string]int32{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "SEGV": 11, "PIPE": 13, "ALRM": 14, "TERM": 15,
}

// A session is a channel of a connection to a process on the host. It has its connection for
// itself.
type session struct {
	ssh.Channel
	conn   *conn
	exited chan exit     // holds the exit of the process when it has ended
	closed chan struct{} // closed when the channel or its connection has ended
}

// An exit is the end of a process.
type exit struct {
	code   int32
	signal string // without SIG; empty if it exited
}

// exit returns the exit of the process, or false if the host has not reported it.
func (s *session) exit() (exit, bool) {
	select {
	case e := <-s.exited:
		return e, true
	default:
		return exit{}, false
	}
}

// start opens a session at a with a request: "exec" with a command, or "subsystem" with a name. It
// replaces a kept connection that turns out to be dead, over which nothing was done. The caller
// ends the session with release.
func (x *Remote) start(ctx context.Context, a Address, request, argument string) (*session, *failure) {
	if f := x.pool.enter(ctx, a); f != nil {
		return nil, f
	}
	for {
		s, f, again := x.try(ctx, a, request, argument)
		if again {
			continue
		}
		if f != nil {
			x.pool.leave(a)
		}
		return s, f
	}
}

// release closes a session and gives its connection and place back.
func (x *Remote) release(s *session) {
	_ = s.Close()
	x.pool.put(s.conn)
	x.pool.leave(s.conn.address)
}

// try is start on one connection. again reports that it was a kept one, and dead.
func (x *Remote) try(ctx context.Context, a Address, request, argument string) (s *session, f *failure, again bool) {
	c, f := x.pool.take(a)
	if f == nil && c == nil {
		c, f = x.connect(ctx, a)
	}
	if f != nil {
		return nil, f, false
	}
	unwatch := context.AfterFunc(ctx, c.close)
	limit := time.AfterFunc(x.c.Handshake, c.close)
	s, f = c.session(request, argument)
	limit.Stop()
	switch {
	case !unwatch():
		c.close()
		x.pool.put(c)
		return nil, ended(ctx), false
	case f == nil:
		return s, nil, false
	case f.fault == serverFailed && !c.alive(x.c.KeepAlive):
		f.fault = lost
	}
	c.close()
	x.pool.put(c)
	return nil, f, f.fault == lost && c.reused
}

// session opens a session and sends one request.
func (c *conn) session(request, argument string) (*session, *failure) {
	channel, requests, err := c.client.OpenChannel("session", nil)
	if err != nil {
		return nil, failed(serverFailed, "no session: %w", err)
	}
	s := &session{Channel: channel, conn: c, exited: make(chan exit, 1), closed: make(chan struct{})}
	go s.listen(requests)
	ok, err := channel.SendRequest(request, true, ssh.Marshal(struct{ Text string }{argument}))
	switch {
	case err != nil:
		return nil, failed(serverFailed, "%s: %w", request, err)
	case !ok && request == "subsystem":
		return nil, failed(serverFailed, "the host's SSH server has no subsystem %s", argument)
	case !ok:
		return nil, failed(serverFailed, "the host's SSH server runs no commands")
	}
	return s, nil
}

// listen reads the requests of the host about the process.
func (s *session) listen(requests <-chan *ssh.Request) {
	defer close(s.closed)
	for r := range requests {
		var e exit
		switch r.Type {
		case "exit-status":
			var status struct{ Code uint32 }
			if ssh.Unmarshal(r.Payload, &status) == nil {
				e.code = int32(status.Code)
			}
		case "exit-signal":
			var signal struct {
				Name       string
				CoreDumped bool
				Message    string
				Language   string
			}
			if ssh.Unmarshal(r.Payload, &signal) == nil {
				e.signal = signal.Name
			}
			e.code = 128 + signals[e.signal]
		default:
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
			continue
		}
		select {
		case s.exited <- e:
		default: // only the first counts
		}
	}
}
