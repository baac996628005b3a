package memstore

import (
	"container/list"
	"sync"

	"github.com/stepgate/stepgate/store"
)

// turns has the jobs that have a turn or wait for one, by scope and key.
type turns struct {
	mu     sync.Mutex // guards all below; taken after that of a shard, and before that of the moments
	keys   map[turnKey]*turnKeeper
	places map[store.JobID]*place
}

type turnKey struct {
	scope store.Scope
	key   string
}

// turnKeeper has the jobs of one key. Without any, it goes.
type turnKeeper struct {
	holders int32
	waiting list.List // of *place, in the order in which they came
}

// place is that of a job that has a turn, or waits for one.
type place struct {
	limit   int32
	waiting *list.Element // in the keeper's list; nil for a job that has a turn
	due     due           // of a job that waits: its current step, and the moment at which a turn became free for it, or 0
}

// turnOf returns the key and the limit of a job, and whether it has them.
func turnOf(job *store.Job) (key turnKey, limit int32, some bool) {
	if job.Policy == nil || job.Policy.Turn.Key == "" {
		return key, 0, false
	}
	return turnKey{job.Scope, job.Policy.Turn.Key}, job.Policy.Turn.Limit, true
}

// free reports whether a job would get a turn.
func (t *turns) free(job *store.Job) bool {
	key, limit, some := turnOf(job)
	if !some {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keys[key].free(t.places[job.ID], limit)
}

// free reports whether a job with this place, or nil for none, and this limit would get a turn.
func (k *turnKeeper) free(p *place, limit int32) bool {
	if k == nil {
		return true
	}
	others, first := k.holders, k.waiting.Front()
	if p != nil && p.waiting == nil {
		others--
	}
	return others < limit && (first == nil || p != nil && first == p.waiting)
}

// commit applies a checked change to j, under the lock of j's shard. It is ErrConflict, and nothing is
// done, if what the change does about a turn does not hold.
func (s *Store) commit(j *job, c *store.Change) error {
	key, limit, some := turnOf(&c.Job)
	if !some {
		s.apply(j, c)
		return nil
	}
	t := &s.turns
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.places[c.Job.ID]
	free := t.keys[key].free(p, limit)
	if c.Turn == store.TakeTurn && !free || c.Turn == store.WaitTurn && free {
		return store.ErrConflict
	}
	s.apply(j, c)
	if c.Turn != store.NoTurn {
		t.move(key, limit, c, &s.moments)
		p = t.places[c.Job.ID]
	}
	if p != nil && p.waiting != nil {
		s.moments.mu.Lock() // p may be among them
		defer s.moments.mu.Unlock()
		p.due.Step, p.due.Attempt = c.Job.Current, j.steps[c.Job.Current-1].attempt
	}
	return nil
}

// move takes the job of c from its place, if it has one, to the place that c gives it, and wakes the
// first job that waits if a turn is free for it.
func (t *turns) move(key turnKey, limit int32, c *store.Change, m *moments) {
	keeper := t.keys[key]
	if keeper == nil {
		keeper = &turnKeeper{}
		t.keys[key] = keeper
	}
	if p := t.places[c.Job.ID]; p != nil {
		if p.waiting == nil {
			keeper.holders--
		} else {
			keeper.waiting.Remove(p.waiting)
		}
		if p.due.Due != 0 {
			m.remove(&p.due)
		}
		delete(t.places, c.Job.ID)
	}
	p := &place{limit: limit}
	p.due.Job, p.due.scope = c.Job.ID, c.Job.Scope
	switch c.Turn {
	case store.TakeTurn:
		keeper.holders++
		t.places[c.Job.ID] = p
	case store.WaitTurn:
		p.waiting = keeper.waiting.PushBack(p)
		t.places[c.Job.ID] = p
	}
	switch first := keeper.waiting.Front(); {
	case first != nil:
		if p := first.Value.(*place); p.due.Due == 0 && keeper.holders < p.limit {
			p.due.Due = c.Job.Updated
			m.add(&p.due)
		}
	case keeper.holders == 0:
		delete(t.keys, key)
	}
}
