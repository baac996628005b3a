// Package groupcommit commits changes in groups: whatever comes while one group is on its
// way to the disk becomes the next, so that many callers share the price of one flush, and
// one caller alone pays nothing for it.
package groupcommit

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Lanes commit changes in groups. A lane has one group under way. Lanes are independent of
// each other, and changes of one key keep to one lane. It comes from [New].
type Lanes[C any] struct {
	// Repeat lets a group hold several changes of one key. It is set before the first use.
	Repeat bool

	run   func(ctx context.Context, group []C) []error
	keep  func(C) C
	most  int
	lanes []lane[C]
}

// lane is where the changes of some keys queue.
type lane[C any] struct {
	mu    sync.Mutex // guards all below
	busy  bool       // a group is under way
	queue []*waiter[C]
}

// waiter is a change that waits for its group, and then for its answer.
type waiter[C any] struct {
	key    int64
	change C
	answer chan error // of one; so that nobody waits for a caller who has left
	group  *group     // it belongs to; nil while it queues. Guarded by the lane
}

// group is what the waiters of a group that is under way have in common.
type group struct {
	waiting atomic.Int64 // callers who have not left
	cancel  context.CancelFunc
}

// New returns so many lanes, each with at most so many changes in a group, which run carries
// out: it returns an answer for each change, in their order. The slice is run's until it
// returns. keep returns a change in memory of its own; it is called for one that has to
// queue, as its caller may leave before its answer comes.
func New[C any](lanes, most int, keep func(C) C, run func(ctx context.Context, group []C) []error) *Lanes[C] {
	return &Lanes[C]{run: run, keep: keep, most: max(most, 1), lanes: make([]lane[C], max(lanes, 1))}
}

// Do has c carried out and returns run's answer for it. Where nothing is under way in the
// lane of key, it is at once, alone, and under ctx. Else it queues: if ctx ends before its
// group has begun, nothing is done; if ctx ends later, the group goes on, and what comes of
// c is unknown. A group that every caller has left is cancelled. No group holds two changes
// of one key, other than 0, unless Repeat is set.
func (l *Lanes[C]) Do(ctx context.Context, key int64, c C) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ln := l.lane(key)
	w := ln.enter(key, c, l.keep)
	if w == nil {
		defer l.leave(ln) // even if run panics
		return l.run(ctx, []C{c})[0]
	}
	select {
	case err := <-w.answer:
		return err
	case <-ctx.Done():
		ln.giveUp(w)
		return ctx.Err()
	}
}

func (l *Lanes[C]) lane(key int64) *lane[C] {
	const spread = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio: neighbours part
	return &l.lanes[uint64(key)*spread>>32%uint64(len(l.lanes))]
}

// enter takes an idle lane and returns nil, or has c queue in a busy one. What queues is kept
// outside of the lock, as it may be large.
func (ln *lane[C]) enter(key int64, c C, keep func(C) C) *waiter[C] {
	if ln.take() {
		return nil
	}
	w := &waiter[C]{key: key, change: keep(c), answer: make(chan error, 1)}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if !ln.busy { // by now
		ln.busy = true
		return nil
	}
	ln.queue = append(ln.queue, w)
	return w
}

// take takes the lane if it is idle.
func (ln *lane[C]) take() bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	idle := !ln.busy
	ln.busy = true
	return idle
}

// giveUp takes w out of the queue or, if its group is under way, leaves that.
func (ln *lane[C]) giveUp(w *waiter[C]) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if w.group == nil {
		ln.queue = slices.DeleteFunc(ln.queue, func(other *waiter[C]) bool { return other == w })
		return
	}
	if w.group.waiting.Add(-1) == 0 {
		w.group.cancel()
	}
}

// leave gives a lane up that has no queue, and has the queue carried out of one that has.
func (l *Lanes[C]) leave(ln *lane[C]) {
	ctx, waiters := ln.next(l.most, l.Repeat)
	if waiters == nil {
		return
	}
	go func() {
		for waiters != nil {
			l.carryOut(ctx, waiters)
			ctx, waiters = ln.next(l.most, l.Repeat)
		}
	}()
}

// next takes the next group out of the queue. If there is none, the lane is idle from now on.
func (ln *lane[C]) next(most int, repeat bool) (context.Context, []*waiter[C]) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if len(ln.queue) == 0 {
		ln.busy, ln.queue = false, nil
		return nil, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &group{cancel: cancel}
	taken := map[int64]bool{}
	var waiters, left []*waiter[C]
	for _, w := range ln.queue {
		if len(waiters) == most || !repeat && w.key != 0 && taken[w.key] {
			left = append(left, w)
			continue
		}
		taken[w.key] = true
		w.group = g
		waiters = append(waiters, w)
	}
	g.waiting.Store(int64(len(waiters)))
	ln.queue = left
	return ctx, waiters
}

// carryOut runs a group and answers its callers.
func (l *Lanes[C]) carryOut(ctx context.Context, waiters []*waiter[C]) {
	defer waiters[0].group.cancel()
	changes := make([]C, len(waiters))
	for i, w := range waiters {
		changes[i] = w.change
	}
	for i, err := range l.run(ctx, changes) {
		waiters[i].answer <- err
	}
}
