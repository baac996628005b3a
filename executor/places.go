package executor

import (
	"math"
	"sync"
)

const (
	pageSize  = 1000 // targets read at once
	mostAside = 256  // steps beyond the places that wait for something else: a host, an older attempt, a report
)

// places are what functions take while they work. Their number is bounded in all, for each step, and
// for each host name.
type places struct {
	atOnce  int
	perStep int           // 0 for no bound
	perHost int           // 0 for no bound
	room    chan struct{} // told when a step more can be claimed

	mu     sync.Mutex // guards all below, and every share
	free   int
	closed bool           // no function begins any more
	busy   map[string]int // functions at work by host name, if that is bounded
	shares []*share
	turn   int // where the search for the next host begins
}

// A share is the part that one step has in the places. A step with one function for all its hosts
// has one host without a name.
type share struct {
	p    *places
	news chan struct{} // told when few hosts wait and more come, and when no function is at work

	work    func(h Host) // called with each host; set once, before the first is added
	waiting []Host
	more    bool // another page of hosts is to come, or what one function has to say of many
	atWork  int
	aside   bool // it waits for something else, and needs no place
	stuck   bool // the names of all that wait are at their bound
	full    bool // too many of its results wait to be reported
}

func newPlaces(c *config) *places {
	p := &places{atOnce: c.atOnce, perStep: c.perStep, perHost: c.perHost, free: c.atOnce, room: make(chan struct{}, 1)}
	if p.perHost > 0 {
		p.busy = map[string]int{}
	}
	return p
}

// tell leaves word in a channel of one place.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// spare returns how many steps more can be claimed: one for each place that no step claimed
// before can use.
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

// close has no function begin any more.
func (p *places) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// leave takes s off. None of its functions is at work.
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

// setAside says whether s waits for something else than a place.
func (s *share) setAside(aside bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.aside = aside
	tell(s.p.room)
}

// setFull says whether the results of s have to be reported before another function begins.
func (s *share) setFull(full bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.full = full
	s.p.fill()
}

// add has work called with each of hosts as places fall free. more says that more are to be added.
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

// few reports whether so few hosts wait that more should be read: as many as can be held up by
// their names, or half a page.
func (s *share) few() bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.isFew()
}

func (s *share) isFew() bool { return len(s.waiting) <= max(pageSize/2, s.p.atOnce) }

// left returns how many hosts wait or are worked on, or a very large number if more are to be added.
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

// one works on a host, and returns the next one for the same place. A function may end its
// goroutine: then the place is given to another.
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

// next takes a host off the share that has the fewest functions at work and can use a place; of
// several, each has its turn.
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

// first returns which host of s is the next, or -1. As the targets of a step have different names,
// it looks at one host more than there are functions at work, at most.
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
