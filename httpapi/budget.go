package httpapi

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A budget bounds the bytes or the turns that clients hold at once: all clients together by most,
// each client by mostOfOne. It is safe for concurrent use.
type budget struct {
	most, mostOfOne int64

	mu      sync.Mutex // guards all below
	held    int64
	of      map[string]int64 // by client, without zeros
	waiting []*share         // in the order of arrival
}

func newBudget(most, mostOfOne int64) *budget {
	return &budget{most: most, mostOfOne: mostOfOne, of: map[string]int64{}}
}

// A share is a part of a budget that one client holds. A nil share holds nothing.
type share struct {
	budget  *budget
	client  string
	n       int64
	granted chan struct{} // closed once the share is held
}

// take waits for a share of n for a client, or of the whole budget if n is more. A client may
// exceed mostOfOne if it holds no other share. A client waits for its own shares, and for those of
// other clients only if the budget is exhausted, in the order of arrival. take fails with errBusy
// after within, which may be 0, and with the error of ctx.
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
		b.grant() // the ones behind it may fit now
		return nil, err
	}
	return s, nil // granted at the same time
}

// grant grants the shares that fit. A share that waits for its own client's shares lets others
// pass. A share that waits for other clients does not: large shares would starve.
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

// shrink reduces s to n and gives the rest back. It is idempotent.
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

// release gives the whole share back. It is idempotent.
func (s *share) release() { s.shrink(0) }

// covers reports whether s is enough for n bytes, of which maxOperation need no share.
func (s *share) covers(n int64) bool {
	if s != nil {
		n -= s.n
		if s.n == s.budget.most { // there is no larger share
			n = 0
		}
	}
	return n <= maxOperation
}
