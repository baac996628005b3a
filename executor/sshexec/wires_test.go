//go:build unix

package sshexec_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/stepgate/stepgate/executor/sshexec"
)

type address = sshexec.Address

// newKnownKey returns a key of hosts that known_hosts has.
func newKnownKey(l *lab) key {
	k := newKey(l.T)
	l.know(k.PublicKey(), "h*")
	return k
}

// wires are connections that break when they are told to. The zero wires break by themselves never.
type wires struct {
	after  int64  // bytes that are sent before broken is called
	broken func() // on the goroutine that sends; nil for none

	mu    sync.Mutex // guards all and most
	all   []*wire
	most  int // that were open at once
	sent  atomic.Int64
	ended atomic.Int32 // connections that were closed
}

type wire struct {
	net.Conn
	ws     *wires
	frozen chan struct{} // closed when nothing passes any more
	closed chan struct{}
	once   sync.Once
}

func (ws *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, ws: ws, frozen: make(chan struct{}), closed: make(chan struct{})}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.all = append(ws.all, w)
	ws.most = max(ws.most, len(ws.all)-int(ws.ended.Load()))
	return w, nil
}

// cut ends all connections.
func (ws *wires) cut() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.all {
		_ = w.Conn.Close()
	}
}

// freeze has all connections pass nothing on any more.
func (ws *wires) freeze() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.all {
		select {
		case <-w.frozen:
		default:
			close(w.frozen)
		}
	}
}

func (ws *wires) dialled() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.all)
}

func (ws *wires) open() int { return ws.dialled() - int(ws.ended.Load()) }

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	select {
	case <-w.frozen:
		<-w.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (w *wire) Write(p []byte) (int, error) {
	select {
	case <-w.frozen:
		return len(p), nil // lost on the way
	default:
	}
	before := w.ws.sent.Add(int64(len(p))) - int64(len(p))
	if w.ws.broken != nil && before < w.ws.after && before+int64(len(p)) >= w.ws.after {
		w.ws.broken()
	}
	return w.Conn.Write(p)
}

func (w *wire) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.ws.ended.Add(1)
	})
	return w.Conn.Close()
}
