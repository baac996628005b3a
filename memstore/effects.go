package memstore

import (
	"container/heap"
	"context"
	"sync"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// queue is the unsettled effects of all jobs, one heap per kind.
type queue struct {
	mu    sync.Mutex // guards all below and every job's effects; taken after that of a shard
	kinds [store.JobEnded + 1]effectHeap
	order uint64

	settled sync.Pool // of *effect, to be used again; needs no lock
}

// effect is one that is not settled.
type effect struct {
	store.Delivery
	job   *job
	older *effect // of the same job
	newer *effect
	order uint64 // among effects of the same NotBefore
	index int    // in its heap
}

// add queues an effect for delivery. The job's shard is locked.
func (q *queue) add(j *job, d store.Delivery) {
	e, ok := q.settled.Get().(*effect)
	if !ok {
		e = new(effect)
	}
	e.Delivery, e.job = d, j
	q.mu.Lock()
	defer q.mu.Unlock()
	q.order++
	e.order, e.older = q.order, j.newest
	if j.newest != nil {
		j.newest.newer = e
	} else {
		j.oldest = e
	}
	j.newest = e
	heap.Push(&q.kinds[e.Effect], e)
}

// Effects implements store.Store.
func (s *Store) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	j, sh, err := s.find(ctx, scope, job)
	if err != nil {
		return nil, err
	}
	defer sh.mu.Unlock()
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
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
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	var claimed []store.Delivery
	var passedOver []*effect // of other scopes
	for len(claimed) < c.Limit {
		h := q.first(c.Effects)
		if h == nil || (*h)[0].NotBefore > c.Now {
			break
		}
		if e := (*h)[0]; c.Scope.Holds(e.Scope) {
			e.Count++
			e.Token = c.Token
			q.move(e, c.Until)
			claimed = append(claimed, e.Delivery)
		} else {
			passedOver = append(passedOver, heap.Pop(h).(*effect))
		}
	}
	for _, e := range passedOver {
		heap.Push(&q.kinds[e.Effect], e)
	}
	return claimed, nil
}

// first returns the heap, of those of some kinds, whose first effect comes first; nil if
// all are empty.
func (q *queue) first(kinds []store.Effect) *effectHeap {
	var first *effectHeap
	for _, kind := range kinds {
		if int(kind) >= len(q.kinds) {
			continue
		}
		if h := &q.kinds[kind]; len(*h) > 0 && (first == nil || before((*h)[0], (*first)[0])) {
			first = h
		}
	}
	return first
}

// move gives e another time.
func (q *queue) move(e *effect, to step.Time) {
	q.order++
	e.NotBefore, e.order = to, q.order
	heap.Fix(&q.kinds[e.Effect], e.index)
}

// Defer implements store.Store.
func (s *Store) Defer(ctx context.Context, d store.Delivery) error {
	return s.claimed(ctx, d, func(e *effect) {
		e.Failures, e.Delivered, e.LastError = d.Failures, d.Delivered, d.LastError
		s.queue.move(e, d.NotBefore)
	})
}

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, d store.Delivery) error {
	return s.claimed(ctx, d, func(e *effect) {
		q := &s.queue
		heap.Remove(&q.kinds[e.Effect], e.index)
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
		q.settled.Put(e)
	})
}

// claimed runs f, under the queue's lock, on the effect that d has claimed.
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
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
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

// Wake implements store.Waker.
func (s *Store) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	return s.listeners.Listen(job)
}
