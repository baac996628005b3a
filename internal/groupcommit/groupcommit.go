// Package groupcommit commits changes in groups: the changes that come while one group is on its
// way to the disk become the next, so that many callers share the cost of one flush. A single caller
// does not wait.
package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrNotBegun: the change left the queue before its group began. Nothing was done.
	ErrNotBegun = errors.New("not begun")

	// ErrAside is run's answer to a change that it has left out of a group, as the others would
	// wait for it: the change is carried out again, alone and beside its lane. Aside must be set.
	ErrAside = errors.New("left out of its group")
)

// Lanes commit changes in groups. A lane waits for one group at a time, and not for those that it
// has set aside. Lanes are independent of each other, and all changes of one key use one lane. [New]
// makes Lanes; the fields are set before the first use.
type Lanes[C any] struct {
	// Repeat lets a group hold several changes of one key.
	Repeat bool

	// Patience is the maximum time that the queue of a lane waits for the group that is under way;
	// 0 means no maximum. Then the lane sets the group aside: the next group begins beside it. A
	// lane sets at most Aside groups aside, and without Repeat no other group holds their keys.
	Patience time.Duration
	Aside    int

	// Queue is the maximum time that a change queues; 0 means no maximum.
	Queue time.Duration

	run   func(ctx context.Context, group []C) []error
	keep  func(C) C
	most  int
	lanes []lane[C]
}

// lane is the queue for the changes of some keys.
type lane[C any] struct {
	mu    sync.Mutex // guards all below
	last  int        // number of the group that has begun last
	turn  int        // number of the group that the lane waits for; 0 for none
	keys  []int64    // of that group
	aside []aside
	queue []*waiter[C]
	timer *time.Timer // ends the patience with turn; nil if no change queues for its end
}

// aside is a group that is under way beside its lane.
type aside struct {
	turn int
	keys []int64
}

// waiter is a change that waits for its group, and then for its answer.
type waiter[C any] struct {
	key    int64
	change C
	answer chan error // capacity 1, so that a group does not wait for a caller who has left

	// Guarded by the lane.
	group *group // it belongs to; nil while it queues
	alone bool   // it was left out of a group
	late  bool   // it has queued for the maximum time
	left  bool   // its caller does not wait any more
}

// group is the state that the waiters of a group share while it is under way.
type group struct {
	waiting atomic.Int64 // callers who have not left
	cancel  context.CancelFunc
}

// begun is a group that has begun.
type begun[C any] struct {
	ctx     context.Context
	turn    int
	waiters []*waiter[C]
}

// New returns a number of lanes whose groups have at most most changes. run carries out a group and
// returns an answer for each change, in their order; it owns the slice until it returns. keep
// returns a deep copy of a change; it is called for a change that queues, as its caller may leave
// before the answer comes.
func New[C any](lanes, most int, keep func(C) C, run func(ctx context.Context, group []C) []error) *Lanes[C] {
	return &Lanes[C]{run: run, keep: keep, most: max(most, 1), lanes: make([]lane[C], max(lanes, 1))}
}

// Do carries out c and returns run's answer for it. If the lane of key is idle, run is called at
// once, with c alone, under ctx. Otherwise c queues: if ctx ends before its group has begun, nothing
// is done, and the error is an ErrNotBegun as well; if ctx ends later, the group goes on, and the
// outcome of c is unknown. A group that every caller has left is cancelled. No group holds two
// changes of one key, other than 0, unless Repeat is set. If c was carried out at once, a panic of
// run is the caller's; in a group it is the error of all changes.
func (l *Lanes[C]) Do(ctx context.Context, key int64, c C) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ln := l.lane(key)
	turn, w := l.enter(ln, key, c)
	if w == nil {
		defer func() { l.start(ln, l.leave(ln, turn)) }() // even if run panics
		return l.run(ctx, []C{c})[0]
	}
	return l.wait(ctx, ln, w)
}

// wait waits for the answer of a change that queues.
func (l *Lanes[C]) wait(ctx context.Context, ln *lane[C], w *waiter[C]) error {
	var over <-chan time.Time
	if l.Queue > 0 {
		timer := time.NewTimer(l.Queue)
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case err := <-w.answer:
			return err
		case <-ctx.Done():
			if ln.giveUp(w) {
				return fmt.Errorf("%w: %w", ErrNotBegun, ctx.Err())
			}
			return ctx.Err()
		case <-over:
			if ln.withdraw(w) {
				return ErrNotBegun
			}
			over = nil
		}
	}
}

func (l *Lanes[C]) lane(key int64) *lane[C] {
	const spread = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio: neighbours part
	return &l.lanes[uint64(key)*spread>>32%uint64(len(l.lanes))]
}

// enter takes an idle lane, for a group of the number turn, or queues c in a busy one. It copies c
// outside of the lock, as c may be large.
func (l *Lanes[C]) enter(ln *lane[C], key int64, c C) (turn int, w *waiter[C]) {
	if turn = l.take(ln, key); turn != 0 {
		return turn, nil
	}
	w = &waiter[C]{key: key, change: l.keep(c), answer: make(chan error, 1)}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if l.idle(ln, key) { // by now
		return ln.begin(key), nil
	}
	ln.queue = append(ln.queue, w)
	l.watch(ln)
	return 0, w
}

// take takes the lane if it is idle; 0 means that it is not.
func (l *Lanes[C]) take(ln *lane[C], key int64) (turn int) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if !l.idle(ln, key) {
		return 0
	}
	return ln.begin(key)
}

// idle reports whether a change of key can be carried out at once. The lane is locked.
func (l *Lanes[C]) idle(ln *lane[C], key int64) bool {
	return ln.turn == 0 && (l.Repeat || key == 0 ||
		!slices.ContainsFunc(ln.aside, func(a aside) bool { return slices.Contains(a.keys, key) }) &&
			!slices.ContainsFunc(ln.queue, func(w *waiter[C]) bool { return w.key == key }))
}

// begin makes the lane wait for a new group, and returns its number. The lane is locked.
func (ln *lane[C]) begin(keys ...int64) int {
	ln.last++
	ln.turn, ln.keys = ln.last, append(ln.keys[:0], keys...)
	return ln.turn
}

// watch sets the time at which the group that others queue for is set aside. The lane is locked.
func (l *Lanes[C]) watch(ln *lane[C]) {
	if l.Patience > 0 && ln.turn != 0 && ln.timer == nil && len(ln.queue) > 0 {
		turn := ln.turn
		ln.timer = time.AfterFunc(l.Patience, func() { l.start(ln, l.pass(ln, turn)) })
	}
}

// pass sets a group aside if the lane still waits for it and changes queue, and returns the groups
// that begin.
func (l *Lanes[C]) pass(ln *lane[C], turn int) []begun[C] {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.turn != turn {
		return nil
	}
	ln.timer = nil
	if len(ln.queue) == 0 || len(ln.aside) >= l.Aside {
		return nil // until another change queues, or a group aside ends
	}
	ln.aside = append(ln.aside, aside{turn, slices.Clone(ln.keys)})
	ln.turn = 0
	return l.next(ln)
}

// leave ends a group and returns the groups that begin.
func (l *Lanes[C]) leave(ln *lane[C], turn int) []begun[C] {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.turn == turn {
		ln.turn = 0
		if ln.timer != nil {
			ln.timer.Stop()
			ln.timer = nil
		}
	} else {
		ln.aside = slices.DeleteFunc(ln.aside, func(a aside) bool { return a.turn == turn })
	}
	return l.next(ln)
}

// next returns the groups that can begin: one, if the lane waits for none, and the changes that were
// left out of a group. The lane is locked.
func (l *Lanes[C]) next(ln *lane[C]) (all []begun[C]) {
	if len(ln.queue) == 0 {
		ln.queue = nil
		return nil
	}
	held := map[int64]bool{} // keys of groups that are under way, or begin before
	for _, a := range ln.aside {
		for _, key := range a.keys {
			held[key] = true
		}
	}
	var group, left []*waiter[C]
	for _, w := range ln.queue {
		waits := held[w.key] && w.key != 0 && !l.Repeat
		switch {
		case w.alone && !waits && len(ln.aside) < l.Aside:
			ln.last++
			ln.aside = append(ln.aside, aside{ln.last, []int64{w.key}})
			all = append(all, begin(ln.last, []*waiter[C]{w}))
		case w.alone || waits || ln.turn != 0 || len(group) == l.most:
			left = append(left, w)
		default:
			group = append(group, w)
		}
		held[w.key] = true
	}
	ln.queue = left
	if len(group) > 0 {
		keys := make([]int64, len(group))
		for i, w := range group {
			keys[i] = w.key
		}
		all = append(all, begin(ln.begin(keys...), group))
	}
	l.watch(ln)
	return all
}

// begin returns a group that begins. The lane of waiters is locked.
func begin[C any](turn int, waiters []*waiter[C]) begun[C] {
	ctx, cancel := context.WithCancel(context.Background())
	g := &group{cancel: cancel}
	g.waiting.Store(int64(len(waiters)))
	for _, w := range waiters {
		w.group = g
	}
	return begun[C]{ctx, turn, waiters}
}

// start carries out groups in the background, and the groups that follow them.
func (l *Lanes[C]) start(ln *lane[C], all []begun[C]) {
	for _, b := range all {
		go func() {
			defer func() { l.start(ln, l.leave(ln, b.turn)) }() // however run ends
			l.carryOut(ln, b)
		}()
	}
}

// carryOut runs a group and answers its callers, even if run panics or ends its goroutine.
func (l *Lanes[C]) carryOut(ln *lane[C], b begun[C]) {
	defer b.waiters[0].group.cancel()
	changes := make([]C, len(b.waiters))
	for i, w := range b.waiters {
		changes[i] = w.change
	}
	errs := slices.Repeat([]error{errors.New("the goroutine of the group was ended")}, len(changes))
	defer func() {
		if p := recover(); p != nil {
			errs = slices.Repeat([]error{fmt.Errorf("panic: %v", p)}, len(changes))
		}
		for i, w := range b.waiters {
			err := errs[i]
			if err == ErrAside {
				if ln.again(w) {
					continue
				}
				err = ErrNotBegun
			}
			w.answer <- err
		}
	}()
	errs = l.run(b.ctx, changes)
}

// again queues a change that was left out of its group, for a group of its own. It reports false if
// the caller has left, the change has queued too long, or it was alone already.
func (ln *lane[C]) again(w *waiter[C]) bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if w.left || w.late || w.alone {
		return false
	}
	w.group, w.alone = nil, true
	ln.queue = append(ln.queue, w)
	return true
}

// giveUp removes w from the queue and reports true, or leaves its group if that is under way.
func (ln *lane[C]) giveUp(w *waiter[C]) bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if w.group == nil {
		ln.drop(w)
		return true
	}
	w.left = true
	if w.group.waiting.Add(-1) == 0 {
		w.group.cancel()
	}
	return false
}

// withdraw removes w from the queue and reports true, or keeps it from queueing again.
func (ln *lane[C]) withdraw(w *waiter[C]) bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if w.group == nil {
		ln.drop(w)
		return true
	}
	w.late = true
	return false
}

// drop removes w from the queue. The lane is locked.
func (ln *lane[C]) drop(w *waiter[C]) {
	ln.queue = slices.DeleteFunc(ln.queue, func(other *waiter[C]) bool { return other == w })
}
