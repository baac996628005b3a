package browser

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// A proxy is a connection between browser and console that a test can cut. A cut proxy resets new
// connections, and keeps its port, so that no other program answers there.
type proxy struct {
	url    string
	port   net.Listener
	served sync.WaitGroup

	mu     sync.Mutex // guards all below
	target string
	down   bool
	deaf   bool              // requests pass, and answers are cut off
	conns  map[net.Conn]bool // both ends of each connection
	cuts   int               // connections that were cut while they were open
}

// newProxy starts a proxy in front of a console; it ends with t.
func newProxy(t *testing.T, c *console) *proxy {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{
		url: "http://" + port.Addr().String(), target: c.url[len("http://"):],
		port: port, conns: map[net.Conn]bool{},
	}
	p.served.Go(p.accept)
	t.Cleanup(func() {
		_ = port.Close()
		p.cut()
		p.served.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.port.Accept()
		if err != nil {
			return
		}
		p.served.Go(func() { p.serve(client) })
	}
}

// serve carries one connection until either end closes it, or it is cut.
func (p *proxy) serve(client net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		reset(client)
		return
	}
	if !p.enter(client, server) {
		reset(client)
		reset(server)
		return
	}
	defer p.leave(client, server)
	var both sync.WaitGroup
	both.Go(func() { carry(server, client) })
	both.Go(func() { carry(answers{client, p}, server) })
	both.Wait()
}

// carry copies one direction. The end of it ends the other one too.
func carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// answers are the way from the console to the browser.
type answers struct {
	net.Conn
	p *proxy
}

func (a answers) Write(b []byte) (int, error) {
	a.p.mu.Lock()
	deaf := a.p.deaf
	a.p.mu.Unlock()
	if deaf {
		reset(a.Conn)
		return 0, net.ErrClosed
	}
	return a.Conn.Write(b)
}

func (p *proxy) enter(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *proxy) leave(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
		_ = c.Close()
	}
}

// cut resets every connection, requests and answers under way included, and all new ones until
// mend.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	p.cuts += len(p.conns) / 2
	for c := range p.conns {
		reset(c)
	}
}

// deafen lets requests through, and none of their answers, until mend.
func (p *proxy) deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.deaf = false, false
}

// lead makes connections from now on reach another console.
func (p *proxy) lead(to *console) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = to.url[len("http://"):]
}

// severed returns how many open connections have been cut so far.
func (p *proxy) severed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// reset closes a connection with a TCP reset, which drops the data under way.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// A cut proxy resets open and new connections, and works again once mended.
func TestProxy(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	p := newProxy(t, &console{url: "http://" + echo.Addr().String()})
	says := func(c net.Conn) error {
		if _, err := c.Write([]byte("?")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.port.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	open := dial()
	defer open.Close()
	if err := says(open); err != nil {
		t.Fatalf("before the cut: %v", err)
	}
	p.cut()
	if err := says(open); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("an open connection, cut: %v, want a reset", err)
	}
	if late, err := net.Dial("tcp", p.port.Addr().String()); err == nil {
		defer late.Close()
		if err := says(late); err == nil {
			t.Error("a new connection while cut answers")
		}
	}
	p.mend()
	p.deafen()
	asking := dial()
	defer asking.Close()
	if err := says(asking); err == nil {
		t.Error("a deaf proxy lets an answer through")
	}
	p.mend()
	again := dial()
	defer again.Close()
	if err := says(again); err != nil {
		t.Errorf("mended: %v", err)
	}
	if got := p.severed(); got != 1 {
		t.Errorf("%d connections were cut, want 1", got)
	}
}
