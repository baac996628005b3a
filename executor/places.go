package executor

import (
	"math"
	"sync"
)

const (
	pageSize  = 1000 // targets read at once
	mostAside = 256  // maximum of claimed steps that use no place: they wait for a host, an older attempt or a report
)

// places are the slots of running functions. Their number is bounded in all, for each step, and for
// each host name.
type places struct {
	atOnce  int
	perStep int           // 0 for no bound
	perHost int           // 0 for no bound
	room    chan struct{} // told when another step can be claimed

	mu     sync.Mutex // guards all below, and every share
	free   int
	closed bool           // no further function begins
	busy   map[string]int // functions at work by host name, if that is bounded
	shares []*share
	turn   int // the share at which the search for the next host begins
}

// A share is the part of the places that one step uses. A step with one function for all its hosts
// has one host without a name.
type share struct {
	p    *places
	news chan struct{} // told when few hosts wait and more come, and when no function is at work

	work    func(h Host) // called with each host; set once, before the first is added
	waiting []Host
	more    bool // another page of hosts follows, or the function works on many hosts
	atWork  int
	aside   bool // the step waits for something else, and needs no place
	stuck   bool // the names of all its waiting hosts are at their bound
	full    bool // too many of its results wait to be reported
}

func newPlaces(c *config) *places {
	p := &places{atOnce: c.atOnce, perStep: c.perStep, perHost: c.perHost, free: c.atOnce, room: make(chan struct{}, 1)}
	if p.perHost > 0 {
		p.busy = map[string]int{}
	}
	return p
}

// tell sends to a channel of capacity 1, unless it is full.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// spare returns the number of steps that can be claimed: one for each place that no claimed step
// can use.
func (p *places) spare() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	users := 0
	for _, s := range p.shares {
		if !s.aside && !s.stuck {
			users++
		}
	}
	return min(p.atOnce-users, p.atOnce+mostAside-len(p.shares))
}

// join returns the share of a step that was claimed.
func (p *places) join() *share {
	s := &share{p: p, news: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shares = append(p.shares, s)
	return s
}

// close keeps further functions from beginning.
func (p *places) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// leave removes s, none of whose functions is at work.
func (s *share) leave() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for i, other := range s.p.shares {
		if other == s {
			s.p.shares = append(s.p.shares[:i], s.p.shares[i+1:]...)
			break
		}
	}
	tell(s.p.room)
}

// setAside sets whether s waits for something else than a place.
func (s *share) setAside(aside bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.aside = aside
	tell(s.p.room)
}

// setFull sets whether results of s must be reported before another function begins.
func (s *share) setFull(full bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.full = full
	s.p.fill()
}

// add calls work with each of hosts as places fall free. more says that another add follows.
func (s *share) add(hosts []Host, more bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.more, s.waiting = more, append(s.waiting, hosts...)
	s.p.fill()
}

// drop forgets the hosts that wait.
func (s *share) drop() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.waiting, s.stuck = nil, false
}

// few reports whether more hosts should be read, as fewer wait than half a page, or than can be
// held up by their names.
func (s *share) few() bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.isFew()
}

func (s *share) isFew() bool { return len(s.waiting) <= max(pageSize/2, s.p.atOnce) }

// left returns the number of hosts that wait or are worked on, or a very large number if more
// follow.
func (s *share) left() int {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.more {
		return math.MaxInt
	}
	return len(s.waiting) + s.atWork
}

// idle reports whether no host waits and no function is at work.
func (s *share) idle() bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return len(s.waiting) == 0 && s.atWork == 0
}

// fill begins functions while there are places and hosts for them. p is locked, as for next, first
// and done.
func (p *places) fill() {
	for p.free > 0 {
		s, h, ok := p.next()
		if !ok {
			return
		}
		p.free--
		go p.serve(s, h)
	}
}

// serve works on h, and then on one host after the other while there is any.
func (p *places) serve(s *share, h Host) {
	for ok := true; ok; {
		s, h, ok = p.one(s, h)
	}
}

// one works on a host, and returns the next host for the same place. If a function ends its
// goroutine, the place goes to another one.
func (p *places) one(s *share, h Host) (next *share, host Host, ok bool) {
	returned := false
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done(s, h)
		if returned {
			next, host, ok = p.next()
		}
		if !ok {
			p.free++
		}
		p.fill()
	}()
	s.work(h)
	returned = true
	return
}

func (p *places) done(s *share, h Host) {
	s.atWork--
	if p.busy != nil {
		if p.busy[h.Name]--; p.busy[h.Name] <= 0 {
			delete(p.busy, h.Name)
		}
	}
	if s.atWork == 0 {
		tell(s.news)
	}
}

// next takes a host off the share with the fewest running functions that can use a place. Shares
// with equally few take turns.
func (p *places) next() (best *share, h Host, ok bool) {
	if p.closed {
		return nil, Host{}, false
	}
	at, from := 0, 0
	for i := range p.shares {
		n := (p.turn + i) % len(p.shares)
		s := p.shares[n]
		if best != nil && s.atWork >= best.atWork {
			continue
		}
		if i := p.first(s); i >= 0 {
			best, at, from = s, i, n
		}
	}
	if best == nil {
		return nil, Host{}, false
	}
	p.turn = from + 1
	h = best.waiting[at]
	copy(best.waiting[1:at+1], best.waiting[:at])
	best.waiting = best.waiting[1:]
	best.atWork++
	if p.busy != nil {
		p.busy[h.Name]++
	}
	if best.more && best.isFew() {
		tell(best.news)
	}
	return best, h, true
}

// first returns the index of the next host of s, or -1. As the targets of a step have different
// names, it reads at most one host more than there are running functions.
func (p *places) first(s *share) int {
	if len(s.waiting) == 0 || s.full || p.perStep > 0 && s.atWork >= p.perStep {
		return -1
	}
	if p.busy == nil {
		return 0
	}
	for i, h := range s.waiting {
		if h.Name == "" || p.busy[h.Name] < p.perHost {
			s.stuck = false
			return i
		}
	}
	if s.atWork == 0 && !s.stuck {
		s.stuck = true
		tell(p.room)
	}
	return -1
}
