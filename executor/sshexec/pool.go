package sshexec

import (
	"container/list"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// A pool keeps the connections that are not in use, and bounds all. A connection serves one target
// at a time.
type pool struct {
	perHost int
	inAll   int
	keep    time.Duration
	all     chan struct{} // holds one for each connection in use

	mu     sync.Mutex // guards all below
	hosts  map[Address]*host
	idle   list.List // of *conn; the one that was used last is in front
	using  map[*conn]bool
	places int // taken of all: connections in use, and those that are dialled
	closed bool
}

// A host is an address that is used or waited for.
type host struct {
	places chan struct{} // holds one for each connection in use
	users  int           // that use or wait
}

func newPool(perHost, inAll int, keep time.Duration) *pool {
	return &pool{
		perHost: perHost, inAll: inAll, keep: keep, all: make(chan struct{}, inAll),
		hosts: map[Address]*host{}, using: map[*conn]bool{},
	}
}

// enter waits for a place for a connection to a. leave gives it back.
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

// take returns a kept connection to a, or nil. Then the caller, who has a place, may open one: for
// that the connection that was not used for the longest time is closed if there is no room.
func (p *pool) take(a Address) (*conn, *failure) {
	c, oldest, f := p.find(a)
	if oldest != nil {
		oldest.close()
	}
	return c, f
}

// find takes a kept connection to a, or one to be closed in its place, off the list.
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

// opened has a new connection known. It is false if the pool was closed meanwhile.
func (p *pool) opened(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.using[c] = true
	}
	return !p.closed
}

// put keeps a connection for the next one who needs it, unless it has ended.
func (p *pool) put(c *conn) {
	if !p.list(c) {
		c.close()
	}
}

// list puts a connection that is not in use any more on the list of those that are kept. It is
// false if there is no use for it.
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

// expire closes a connection that has not been used since it was kept.
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

// died has a connection that has ended not kept any more.
func (p *pool) died(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.kept != nil {
		p.remove(c)
	}
}

// remove takes c off the list of those that are kept.
func (p *pool) remove(c *conn) {
	p.idle.Remove(c.kept)
	c.kept = nil
	c.expiry.Stop()
}

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
