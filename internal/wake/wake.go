// Package wake tells listeners of commits, for the engine and for stores that are a store.Waker.
package wake

import (
	"sync"
	"sync/atomic"

	"github.com/stepgate/stepgate/store"
)

// A List is a list of listeners for commits. The zero List is empty. It is safe for concurrent use
// and calls no listener, so that a store may wake under its own locks.
type List struct {
	listening atomic.Int32 // number of listeners: a commit without any takes no lock
	mu        sync.Mutex   // guards all below
	channels  map[store.JobID]map[chan struct{}]bool
}

// Listen is the Wake of a [store.Waker]: changed is closed at the first wake for the job that
// begins after Listen has returned; job 0 means any. stop ends the listening, and is idempotent.
func (l *List) Listen(job store.JobID) (changed <-chan struct{}, stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.channels == nil {
		l.channels = map[store.JobID]map[chan struct{}]bool{}
	}
	if l.channels[job] == nil {
		l.channels[job] = map[chan struct{}]bool{}
	}
	c := make(chan struct{})
	l.channels[job][c] = true
	l.listening.Add(1)
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.forget(job, c)
	}
}

// Wake tells all listeners for a job, or for any. A store calls it once readers see the commit.
func (l *List) Wake(job store.JobID) {
	if l.listening.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake(job)
	l.wake(0)
}

// WakeAll tells all listeners. It is for a store that may have missed commits of other processes to
// unknown jobs.
func (l *List) WakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for job := range l.channels {
		l.wake(job)
	}
}

// wake closes the channels of the listeners for exactly this job. l is locked.
func (l *List) wake(job store.JobID) {
	for c := range l.channels[job] {
		close(c)
		l.forget(job, c)
	}
}

// forget ends the listening on c, if it has not ended yet. l is locked.
func (l *List) forget(job store.JobID, c chan struct{}) {
	if !l.channels[job][c] {
		return
	}
	delete(l.channels[job], c)
	if len(l.channels[job]) == 0 {
		delete(l.channels, job)
	}
	l.listening.Add(-1)
}
