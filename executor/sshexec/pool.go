package sshexec

import (
	"container/list"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// A pool keeps unused connections and bounds the number of all connections. A connection serves one
// target at a time.
type pool struct {
	perHost int
	inAll   int
	keep    time.Duration
	all     chan struct{} // holds one for each connection in use

	mu     sync.Mutex // guards all below
	hosts  map[Address]*host
	idle   list.List      // of *conn, the last used one in front
	using  map[*conn]bool // the connections in use
	places int            // taken of all: connections in use or being dialled
	closed bool
}

// A host is an address with connections in use, or with callers that wait for one.
type host struct {
	places chan struct{} // holds one for each connection in use
	users  int           // callers that use a place or wait for one
}

func newPool(perHost, inAll int, keep time.Duration) *pool {
	return &pool{
		perHost: perHost, inAll: inAll, keep: keep, all: make(chan struct{}, inAll),
		hosts: map[Address]*host{}, using: map[*conn]bool{},
	}
}

// enter waits for a place for a connection to a. The caller gives it back with leave.
func (p *pool) enter(ctx context.Context, a Address) *failure {
	h := p.host(a)
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		p.forget(a)
		return ended(ctx)
	}
	select {
	case p.all <- struct{}{}:
	case <-ctx.Done():
		<-h.places
		p.forget(a)
		return ended(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places++
	return nil
}

func (p *pool) leave(a Address) {
	p.mu.Lock()
	p.places--
	h := p.hosts[a]
	p.mu.Unlock()
	<-p.all
	<-h.places
	p.forget(a)
}

func (p *pool) host(a Address) *host {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.hosts[a]
	if !ok {
		h = &host{places: make(chan struct{}, p.perHost)}
		p.hosts[a] = h
	}
	h.users++
	return h
}

func (p *pool) forget(a Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[a]; h.users > 1 {
		h.users--
	} else {
		delete(p.hosts, a)
	}
}

// take returns a kept connection to a, or nil: the caller, which has a place, may then open one. If
// there are too many connections for that, take closes the one unused for the longest time.
func (p *pool) take(a Address) (*conn, *failure) {
	c, oldest, f := p.find(a)
	if oldest != nil {
		oldest.close()
	}
	return c, f
}

// find takes a kept connection to a off the list, or the oldest one, which the caller must close.
func (p *pool) find(a Address) (c, oldest *conn, f *failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, failed(unreachable, "sshexec: closed")
	}
	for e := p.idle.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); c.address == a {
			p.remove(c)
			p.using[c] = true
			c.reused = true
			return c, nil, nil
		}
	}
	if p.idle.Len()+p.places > p.inAll {
		oldest = p.idle.Back().Value.(*conn)
		p.remove(oldest)
	}
	return nil, oldest, nil
}

// opened adds a new connection. It returns false if the pool is closed.
func (p *pool) opened(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.using[c] = true
	}
	return !p.closed
}

// put keeps a connection for the next caller, or closes it if it has ended.
func (p *pool) put(c *conn) {
	if !p.list(c) {
		c.close()
	}
}

// list adds a connection that is no longer in use to the kept ones. It returns false if the
// connection has ended or the pool is closed.
func (p *pool) list(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.using, c)
	if p.closed || c.ended() {
		return false
	}
	c.kept = p.idle.PushFront(c)
	kept := c.kept
	c.expiry = time.AfterFunc(p.keep, func() { p.expire(c, kept) })
	return true
}

// expire closes a connection that was not used since it was kept.
func (p *pool) expire(c *conn, kept *list.Element) {
	p.mu.Lock()
	due := kept != nil && c.kept == kept
	if due {
		p.remove(c)
	}
	p.mu.Unlock()
	if due {
		c.close()
	}
}

// died removes a connection that has ended from the kept ones.
func (p *pool) died(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.kept != nil {
		p.remove(c)
	}
}

// remove takes c off the list of kept connections.
func (p *pool) remove(c *conn) {
	p.idle.Remove(c.kept)
	c.kept = nil
	c.expiry.Stop()
}

// close closes all connections, in use or not.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	all := slices.Collect(maps.Keys(p.using))
	for e := p.idle.Front(); e != nil; e = p.idle.Front() {
		c := e.Value.(*conn)
		p.remove(c)
		all = append(all, c)
	}
	p.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range all {
		closing.Go(c.close)
	}
	closing.Wait()
}
