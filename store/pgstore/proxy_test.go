package pgstore_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A proxy stands between a pool and its server, and can cut the server off at a given
// message.
type proxy struct {
	t        testing.TB
	listener net.Listener
	tasks    sync.WaitGroup

	mu    sync.Mutex // guards all below
	next  outage
	seen  int  // messages with the mark of the last outage
	away  bool // new connections are refused
	links []*link
}

// An outage is how a server goes away.
type outage struct {
	mark   string // at the first message that has this in it; "" is never
	passes bool   // the message reaches the server, and its answer is lost
	stays  bool   // until the proxy is told otherwise; else it is back at once
}

// A link is a connection through a proxy.
type link struct {
	client, server net.Conn
	doomed         bool // its next answer is lost. Guarded by the proxy
	silent         bool // it stays open, and what is sent on it is lost. Guarded by the proxy
}

// newProxy returns a proxy, which ends with t.
func newProxy(t testing.TB) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: listener}
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		p.cut()
		p.tasks.Wait()
	})
	return p
}

// between leads a pool through p, unencrypted, as p looks into what it says.
func (p *proxy) between(c *pgxpool.Config) {
	network, address := pgconn.NetworkAddress(c.ConnConfig.Host, c.ConnConfig.Port)
	p.tasks.Go(func() { p.serve(network, address) })
	c.ConnConfig.TLSConfig, c.ConnConfig.Fallbacks = nil, nil
	c.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, p.listener.Addr().Network(), p.listener.Addr().String())
	}
}

// takeAway makes the server go away.
func (p *proxy) takeAway(o outage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.seen = o, 0
}

// back makes the server come back, and returns the number of messages with the mark.
func (p *proxy) back() (seen int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
	return p.seen
}

func (p *proxy) serve(network, address string) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(network, address)
		if err != nil {
			p.t.Errorf("proxy: %v", err)
			_ = client.Close()
			return
		}
		l := &link{client: client, server: server}
		if !p.admit(l) {
			l.close()
			continue
		}
		p.tasks.Go(func() { p.relay(l, l.server, l.client, p.sent) })
		p.tasks.Go(func() { p.relay(l, l.client, l.server, p.answered) })
	}
}

func (p *proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links = append(p.links, l)
	return !p.away
}

// relay passes on what may pass, until the link ends.
func (p *proxy) relay(l *link, to, from net.Conn, passes func(l *link, data []byte) bool) {
	defer l.close()
	buffer := make([]byte, 1<<20) // more than a message of these tests
	for {
		n, err := from.Read(buffer)
		if err != nil || !passes(l, buffer[:n]) {
			return
		}
		if p.swallows(l) {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// silence makes the existing links drop all messages, and returns their number. Later links work.
func (p *proxy) silence() (links int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.silent = true
	}
	return len(p.links)
}

func (p *proxy) swallows(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.silent
}

// sent reports whether what a client sends may pass.
func (p *proxy) sent(l *link, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.next
	if o.mark == "" || !bytes.Contains(data, []byte(o.mark)) {
		return true
	}
	if p.seen++; p.seen > 1 {
		return true
	}
	l.doomed, p.away = true, o.stays
	return o.passes
}

// answered reports whether what the server sends may pass.
func (p *proxy) answered(l *link, _ []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !l.doomed
}

// cut ends all links.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.close()
	}
}

// close ends l. Closing what is closed is harmless.
func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}
