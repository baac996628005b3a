package memstore

import (
	"container/heap"
	"context"
	"sync"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// outbox has the unsettled effects of all jobs, in a queue for each kind, step type and scope, so that
// a claim reads no effect that it does not select.
type outbox struct {
	mu    sync.Mutex                 // guards all below and every job's effects; taken after that of a shard
	kinds [store.JobEnded + 1]byType // of questions and ends of jobs under type 0
	order uint64                     // of the effect that was queued or moved last

	settled sync.Pool // of *effect, for reuse; needs no lock
}

// byType has the queues of one kind of effects, by step type; nil for a type without any effect so
// far.
type byType []*byScope

// byScope has the queues of one kind and step type. The queue whose first effect comes first is at the
// top of waiting.
type byScope struct {
	waiting queueHeap // those that are not empty
	scopes  map[store.Scope]*queue
	latest  *queue // that an effect was added to
}

// queue has the effects of one kind, step type and scope, with the first one at the top.
type queue struct {
	effectHeap
	scope store.Scope
	of    *byScope
	index int // in the waiting ones, -1 while it is empty
}

// effect is an unsettled effect.
type effect struct {
	store.Delivery
	job   *job
	older *effect // of the same job
	newer *effect
	queue *queue
	order uint64 // among effects of the same NotBefore
	index int    // in its queue
}

// unused returns an effect to set: a settled one, or a new one.
func (o *outbox) unused() *effect {
	if e, ok := o.settled.Get().(*effect); ok {
		return e
	}
	return new(effect)
}

// add queues an effect of j for delivery. The job's shard is locked.
func (o *outbox) add(j *job, e *effect) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.order++
	e.job, e.order, e.older = j, o.order, j.newest
	if j.newest != nil {
		j.newest.newer = e
	} else {
		j.oldest = e
	}
	j.newest = e
	e.queue = o.queueOf(&e.Delivery)
	if heap.Push(e.queue, e); e.index == 0 {
		e.queue.place()
	}
}

// queueOf returns the queue that an effect waits in.
func (o *outbox) queueOf(d *store.Delivery) *queue {
	typ := step.Type(0)
	if d.Effect.ByType() {
		typ = d.Type
	}
	types := &o.kinds[d.Effect]
	for int(typ) >= len(*types) {
		*types = append(*types, nil)
	}
	s := (*types)[typ]
	if s == nil {
		s = &byScope{scopes: map[store.Scope]*queue{}}
		(*types)[typ] = s
	}
	if s.latest == nil || s.latest.scope != d.Scope {
		s.latest = s.scopes[d.Scope]
	}
	if s.latest == nil {
		s.latest = &queue{scope: d.Scope, of: s, index: -1}
		s.scopes[d.Scope] = s.latest
	}
	return s.latest
}

// keptQueues is the maximum of queues of one kind and step type with which empty ones are kept.
const keptQueues = 1024

// place moves q to its place among the waiting queues after a change of its effects.
func (q *queue) place() {
	switch waiting := &q.of.waiting; {
	case q.index < 0:
		heap.Push(waiting, q)
	case q.Len() == 0:
		heap.Remove(waiting, q.index)
		q.index = -1
		if len(q.of.scopes) > keptQueues { // else every scope would keep a queue for ever
			delete(q.of.scopes, q.scope)
			q.of.latest = nil
		}
	default:
		heap.Fix(waiting, q.index)
	}
}

// Effects implements store.Store.
func (s *Store) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	j, sh, err := s.find(ctx, scope, job)
	if err != nil {
		return nil, err
	}
	defer sh.mu.Unlock()
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	var all []store.Delivery
	for e := j.oldest; e != nil && len(all) < p.Limit; e = e.newer {
		if e.Seq > p.After {
			all = append(all, e.Delivery)
		}
	}
	return all, nil
}

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o := &s.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	var few [8]*byScope
	wanted := o.wanted(few[:0], &c)
	var claimed []store.Delivery
	for len(claimed) < c.Limit {
		e := first(wanted, c.Scope)
		if e == nil || e.NotBefore > c.Now {
			break
		}
		e.Count++
		e.Token = c.Token
		e.Held = true
		o.move(e, c.Until)
		claimed = append(claimed, e.Delivery)
	}
	return claimed, nil
}

// wanted appends the queues of the kinds and step types that c selects.
func (o *outbox) wanted(all []*byScope, c *store.Claim) []*byScope {
	for _, kind := range c.Effects {
		if int(kind) >= len(o.kinds) {
			continue
		}
		for typ, s := range o.kinds[kind] {
			if s != nil && (!kind.ByType() || c.Types.Empty() || c.Types.Has(step.Type(typ))) {
				all = append(all, s)
			}
		}
	}
	return all
}

// first returns the effect that comes first in the queues of a scope; nil if all are empty.
func first(wanted []*byScope, scope store.Scope) (first *effect) {
	for _, s := range wanted {
		if q := s.queue(scope); q != nil && q.Len() > 0 && (first == nil || before(q.effectHeap[0], first)) {
			first = q.effectHeap[0]
		}
	}
	return first
}

// queue returns the queue of a scope or, for the zero Scope, the queue whose first effect comes first;
// nil without one.
func (s *byScope) queue(scope store.Scope) *queue {
	switch {
	case scope != store.Scope{}:
		return s.scopes[scope]
	case len(s.waiting) > 0:
		return s.waiting[0]
	}
	return nil
}

// move gives e another time.
func (o *outbox) move(e *effect, to step.Time) {
	o.order++
	e.NotBefore, e.order = to, o.order
	heap.Fix(e.queue, e.index)
	e.queue.place()
}

// Defer implements store.Store.
func (s *Store) Defer(ctx context.Context, d store.Delivery) error {
	return s.claimed(ctx, d, func(e *effect) {
		e.Held = d.Held
		e.Failures, e.Delivered, e.LastError = d.Failures, d.Delivered, d.LastError
		s.outbox.move(e, d.NotBefore)
	})
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, d store.Delivery) error {
	return s.claimed(ctx, d, func(e *effect) {
		q := e.queue
		heap.Remove(q, e.index)
		q.place()
		if e.older != nil {
			e.older.newer = e.newer
		} else {
			e.job.oldest = e.newer
		}
		if e.newer != nil {
			e.newer.older = e.older
		} else {
			e.job.newest = e.older
		}
		*e = effect{}
		s.outbox.settled.Put(e)
	})
}

// claimed runs f, under the outbox's lock, on the effect of the claim d.
func (s *Store) claimed(ctx context.Context, d store.Delivery, f func(*effect)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := s.shard(d.Job)
	sh.mu.Lock()
	j := sh.jobs[d.Job]
	sh.mu.Unlock()
	if j == nil {
		return store.ErrLeaseLost
	}
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	for e := j.oldest; e != nil; e = e.newer { // the oldest are mostly settled first
		if e.Seq == d.Seq {
			if e.Count != d.Count || e.Token != d.Token {
				break
			}
			f(e)
			return nil
		}
	}
	return store.ErrLeaseLost
}

// effectHeap has the effect that may be delivered first at its top.
type effectHeap []*effect

func before(a, b *effect) bool {
	if a.NotBefore != b.NotBefore {
		return a.NotBefore < b.NotBefore
	}
	return a.order < b.order
}

func (h effectHeap) Len() int           { return len(h) }
func (h effectHeap) Less(a, b int) bool { return before(h[a], h[b]) }
func (h effectHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a, b
}
func (h *effectHeap) Push(x any) {
	e := x.(*effect)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *effectHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// queueHeap has the queue whose first effect may be delivered first at its top.
type queueHeap []*queue

func (h queueHeap) Len() int           { return len(h) }
func (h queueHeap) Less(a, b int) bool { return before(h[a].effectHeap[0], h[b].effectHeap[0]) }
func (h queueHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a, b
}
func (h *queueHeap) Push(x any) {
	q := x.(*queue)
	q.index = len(*h)
	*h = append(*h, q)
}
func (h *queueHeap) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return q
}

// Wake implements store.Waker.
func (s *Store) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	return s.listeners.Listen(job)
}
