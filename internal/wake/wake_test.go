package wake

import (
	"sync"
	"testing"

	"github.com/stepgate/stepgate/store"
)

// closed reports whether a channel is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A wake reaches the listeners of its job and those of any job, and no others.
func TestListenersAreWoken(t *testing.T) {
	for _, c := range []struct {
		name string
		wake func(*List)
		want [3]bool // of the listeners for any job, for job 1 and for job 2
	}{
		{"a wake for job 1", func(l *List) { l.Wake(1) }, [3]bool{true, true, false}},
		{"a wake for job 3", func(l *List) { l.Wake(3) }, [3]bool{true, false, false}},
		{"wakes for jobs 1 and 2", func(l *List) { l.Wake(1); l.Wake(2) }, [3]bool{true, true, true}},
		{"a wake for all", (*List).WakeAll, [3]bool{true, true, true}},
	} {
		var l List
		c.wake(&l) // without a listener
		for range 2 {
			var first, second [3]<-chan struct{} // by job
			for job := range store.JobID(3) {
				first[job], _ = l.Listen(job)
				second[job], _ = l.Listen(job)
			}
			c.wake(&l)
			for job, want := range c.want {
				if closed(first[job]) != want || closed(second[job]) != want {
					t.Errorf("%s: listeners for job %d were woken: %v and %v, want %v", c.name, job, closed(first[job]), closed(second[job]), want)
				}
			}
		}
	}
}

// A listener that has stopped is not woken, and stops no other.
func TestStopEndsOneListening(t *testing.T) {
	var l List
	gone, stop := l.Listen(1)
	there, stopLater := l.Listen(1)
	stop()
	stop()
	l.Wake(1)
	if closed(gone) || !closed(there) {
		t.Errorf("who stopped was woken: %v, who listens: %v; want the second alone", closed(gone), closed(there))
	}
	next, _ := l.Listen(1)
	stopLater() // of what was woken
	l.WakeAll()
	if !closed(next) {
		t.Error("the next listener was not woken")
	}
}

// A wake without listeners waits for no lock.
func TestAWakeThatNobodyHearsTakesNoLock(t *testing.T) {
	var l List
	_, stop := l.Listen(1)
	stop()
	l.mu.Lock()
	l.Wake(1) // would wait for ever
	l.mu.Unlock()
}

// Concurrent wakes are not lost: every listener that listens before a wake begins is woken.
func TestConcurrentUse(t *testing.T) {
	var l List
	var all sync.WaitGroup
	for job := range store.JobID(4) {
		all.Go(func() {
			for range 200 {
				changed, stop := l.Listen(job)
				l.Wake(max(job, 1))
				if !closed(changed) {
					t.Errorf("a listener for job %d was not woken", job)
				}
				stop()
				if job == 3 {
					l.WakeAll()
				}
			}
		})
	}
	all.Wait()
}
