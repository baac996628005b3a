package storetest

import (
	"sync"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var wakePromises = []promise{
	{"Wake/closes after a commit to the job", wakeJob},
	{"Wake/of job 0 closes after a commit to any job", wakeAny},
	{"Wake/closes for every listener and again for the next", wakeEvery},
	{"Wake/stop may be called at any time, twice, by several", wakeStop},
}

// patience is the maximum wait for an event that must come; with a good store the suite does not wait
// that long.
const patience = 3 * time.Second

// waker returns the store as a Waker, or ends the trial as kept if it is none.
func (x trial) waker() store.Waker {
	x.Helper()
	w, ok := x.Store.(store.Waker)
	if !ok {
		x.Skip("the store is no store.Waker")
	}
	return w
}

// woken waits for a channel to be closed.
func (x trial) woken(changed <-chan struct{}, when string) {
	x.Helper()
	select {
	case <-changed:
	case <-time.After(patience):
		x.Fatalf("Wake, %s: the channel is open after %v, want it closed", when, patience)
	}
}

func wakeJob(x trial) {
	w := x.waker()
	changed, stop := w.Wake(1)
	defer stop()
	j := x.create(create(1, teamA, t0, script("a", 1)))
	x.woken(changed, "after the job was created")
	for _, c := range []func() store.Change{
		func() store.Change { return start(j.view(1), t0) },
		func() store.Change { return j.report(t0, all(step.TargetRunning, 0, 1)) },
	} {
		changed, stop := w.Wake(1)
		x.do(j, c())
		x.woken(changed, "after a commit to the job")
		stop()
	}
}

func wakeAny(x trial) {
	w := x.waker()
	for id := range store.JobID(3) {
		changed, stop := w.Wake(0)
		j := x.create(create(id+1, teamA, t0, script("a", 1)))
		x.woken(changed, "after a job was created")
		stop()
		changed, stop = w.Wake(0)
		x.do(j, start(j.view(1), t0))
		x.woken(changed, "after a commit to a job")
		stop()
	}
}

func wakeEvery(x trial) {
	w := x.waker()
	j := x.started(1, teamA, t0, script("a", 1))
	for range 3 {
		var all []<-chan struct{}
		for i := range 6 {
			changed, stop := w.Wake(store.JobID(i % 2))
			defer stop()
			all = append(all, changed)
		}
		x.do(j, j.report(t0, map[int32]step.Status{0: step.TargetRunning}))
		for _, changed := range all {
			x.woken(changed, "one of six listeners")
		}
	}
}

func wakeStop(x trial) {
	w := x.waker()
	j := x.started(1, teamA, t0, script("a", 1))
	for range 3 {
		_, before := w.Wake(1)
		before()
		before()
		changed, after := w.Wake(1)
		_, during := w.Wake(0)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(during)
		}
		x.do(j, j.report(t0, all(step.TargetRunning, 0, 1)))
		wg.Wait()
		x.woken(changed, "after others have stopped")
		after()
		after()
	}
}
