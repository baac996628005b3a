package httpapi

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A budget bounds what the server holds for its clients at once, in bytes or in turns: for all
// of them, and for each. It is safe for concurrent use.
type budget struct {
	most, mostOfOne int64

	mu      sync.Mutex // guards all below
	held    int64
	of      map[string]int64 // by client, those that hold something
	waiting []*share         // in the order in which they came
}

func newBudget(most, mostOfOne int64) *budget {
	return &budget{most: most, mostOfOne: mostOfOne, of: map[string]int64{}}
}

// A share is what a budget holds for one client. A nil share holds nothing.
type share struct {
	budget  *budget
	client  string
	n       int64
	granted chan struct{} // closed once the share is held
}

// take waits for a share of n of a client, or of all there is if n is more. A share of more than a
// client can have is its only one.
// Clients wait for what they hold themselves, and for others only if the budget is exhausted,
// in the order in which they came. It fails with errBusy if that takes longer than within, and
// with ctx's error; 0 does not wait.
func (b *budget) take(ctx context.Context, client string, n int64, within time.Duration) (*share, error) {
	s := &share{b, client, min(n, b.most), make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, s)
	b.grant()
	b.mu.Unlock()
	select {
	case <-s.granted:
		return s, nil
	default:
	}
	var err error
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-s.granted:
		return s, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errBusy
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, s); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.grant() // those behind it
		return nil, err
	}
	return s, nil // it came at the same time
}

// grant grants what fits. A client that waits for what it holds itself lets others pass; one
// that waits for others does not, or the large would starve.
func (b *budget) grant() {
	left := b.waiting[:0]
	exhausted := false
	for _, s := range b.waiting {
		own := b.of[s.client] == 0 || b.of[s.client]+s.n <= b.mostOfOne
		exhausted = exhausted || own && b.held+s.n > b.most
		if !own || exhausted {
			left = append(left, s)
			continue
		}
		b.held += s.n
		b.of[s.client] += s.n
		close(s.granted)
	}
	clear(b.waiting[len(left):])
	b.waiting = left
}

// shrink gives back all but n of what s holds.
func (s *share) shrink(n int64) {
	if s == nil || n >= s.n {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= s.n - n
	if b.of[s.client] -= s.n - n; b.of[s.client] == 0 {
		delete(b.of, s.client)
	}
	s.n = n
	b.grant()
}

// release gives back all that s holds. It is idempotent.
func (s *share) release() { s.shrink(0) }

// covers reports whether s, or what every client has without one, is enough for n bytes.
func (s *share) covers(n int64) bool {
	if s != nil {
		n -= s.n
		if s.n == s.budget.most { // there is no more
			n = 0
		}
	}
	return n <= maxOperation
}
