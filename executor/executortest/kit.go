// Package executortest checks that an executor keeps its contract: what [engine.Handler] says
// that one owes, and what package executor promises. [Run] has a subtest for each sentence, and
// then a hundred runs with random faults. The whole test of an executor is
//
//	func TestExecutor(t *testing.T) {
//		executortest.Run(t, func(ctx context.Context, p executortest.Process) error {
//			work := func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
//				return p.Work(ctx, executortest.Assignment{
//					Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, Index: h.Index, Name: h.Name,
//				})
//			}
//			return executor.New(p.Engine, executor.Hosts(p.Type, work), executor.Lease(p.Lease), executor.Failed(p.Failed)).Run(ctx)
//		})
//	}
//
// An executor of any make fits: one on package executor, a handler for [engine.Engine.Dispatch],
// or one that fetches its work over HTTP from a server on p.Engine.
package executortest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Start runs the executor under test in a process until ctx ends, then ends it gracefully, and
// returns nil. The executor works on two hosts at once or more, and gives a function that is at work
// when ctx ends as long as it takes to return. The kit runs several processes at once, and has some
// die: their stores answer no more, and their functions do not return before the end of the trial.
type Start func(ctx context.Context, p Process) error

// A Process is what an executor under test has of the world.
type Process struct {
	// Engine is this process's own, narrowed to Scope. The kit cuts, freezes and delays its calls of
	// the store.
	Engine *engine.Engine
	Scope  store.Scope

	Type  step.Type     // of the steps to carry out; it settles questions and ends of jobs as well
	Lease time.Duration // to claim with; 1 s or more

	// Work is called for each host that is to be worked on. It blocks, returns and panics as
	// the trial has it. Its ctx ends when the function is to return.
	Work func(ctx context.Context, a Assignment) store.Result

	// Failed is for an executor that tells its embedder of calls that failed and of lost leases. It
	// blocks as the trial has it. An executor that tells of nothing leaves it.
	Failed func(ctx context.Context, err error)
}

// An Assignment is one host of one attempt, and what the function is called with.
type Assignment struct {
	Job     store.JobID
	Step    step.ID
	Attempt int32
	Index   int32
	Name    string
}

// A Kit sets up the trials. The zero Kit plays each on a store in memory of its own, in a bubble
// of testing/synctest, where waiting takes no time. In a bubble an executor waits on channels,
// contexts and timers: one that holds a mutex meanwhile, for which another goroutine waits, hangs.
type Kit struct {
	// Open opens an empty store for the time of t. All trials then share it, each in a scope of
	// its own, and several at once; time is real. An executor that uses the network needs
	// this as well: in a bubble, time stands still while one waits for an answer.
	Open func(t testing.TB) store.Store

	// Seeds is how many runs with random faults there are, and Seed that of the first; the
	// defaults are 100 and 1. A seed rolls the same dice each time, and the schedule others.
	Seeds, Seed int
}

// Run is the zero Kit's.
func Run(t *testing.T, start Start) { Kit{}.Run(t, start) }

// Run holds the executor that start starts against each of [Promises], as a subtest.
func (k Kit) Run(t *testing.T, start Start) {
	played := k.play(t, start, k.promises())
	for i, p := range k.promises() {
		t.Run(p.name, func(t *testing.T) {
			for _, message := range played(t, i) {
				t.Error(message)
			}
		})
	}
}

// A Breach is a promise that an executor does not keep.
type Breach struct {
	Promise string // as [Promises] names it
	Message string // what it did, and what was wanted
}

// Check does what Run does for the promises of these names, or all if none is given, and returns
// the breaches instead of failing t. A name that is none of [Promises] is a breach.
func (k Kit) Check(t *testing.T, start Start, names ...string) []Breach {
	var breaches []Breach
	for _, name := range names {
		if !slices.Contains(Promises(), name) {
			breaches = append(breaches, Breach{name, "no such promise: want one of " + strings.Join(Promises(), "; ")})
		}
	}
	chosen := slices.DeleteFunc(k.promises(), func(p promise) bool { return len(names) > 0 && !slices.Contains(names, p.name) })
	played := k.play(t, start, chosen)
	for i, p := range chosen {
		for _, message := range played(t, i) {
			breaches = append(breaches, Breach{p.name, message})
		}
	}
	return breaches
}

// Promises returns the names of all that [Run] checks, in its order.
func Promises() []string {
	var names []string
	for _, p := range (Kit{}).promises() {
		names = append(names, p.name)
	}
	return names
}

// A promise is one sentence of the contract, and how an executor shows that it keeps it.
type promise struct {
	name  string // "Stop/ends what runs"
	keep  func(*trial)
	times int   // how often it is tried in a bubble, for races between goroutines; 0 is once
	seeds []int // one trial for each; 0 rolls no dice
}

// promises returns all promises, with the seeds of k.
func (k Kit) promises() []promise {
	all := slices.Concat(runPromises, stopPromises, endPromises, leasePromises, crashPromises, shutdownPromises)
	for i, p := range all {
		all[i].seeds = []int{0}
		if k.Open == nil {
			all[i].seeds = make([]int, max(p.times, 1))
		}
	}
	faults := promise{name: "Faults/every job ends, and each success is taken once", keep: (*trial).faults}
	first, n := max(k.Seed, 1), k.Seeds
	if n <= 0 {
		n = 100
	}
	for i := range n {
		faults.seeds = append(faults.seeds, first+i)
	}
	return append(all, faults)
}

// play returns how to get the failures of the i-th promise.
func (k Kit) play(t *testing.T, start Start, promises []promise) func(t *testing.T, i int) []string {
	if k.Open != nil {
		return playShared(t, start, k.Open(t), promises)
	}
	return func(t *testing.T, i int) []string { return playAlone(t, start, promises[i]) }
}

// playAlone plays the trials of a promise one after the other, each on a store in memory, up to the
// first that fails.
func playAlone(t *testing.T, start Start, p promise) (failures []string) {
	for _, seed := range p.seeds {
		synctest.Test(t, func(t *testing.T) {
			x := newTrial(start, memstore.New(), bubbleTime, seed)
			failures = x.play(p.keep)
			if x.stuck { // the bubble panics at its end
				t.Error(failures)
			}
		})
		if len(failures) > 0 {
			break
		}
	}
	return failures
}

// atOnce is how many trials share a store at once: they wait most of their time.
const atOnce = 32

// playShared begins to play all trials on one store, and returns how to await those of the i-th
// promise.
func playShared(t *testing.T, start Start, s store.Store, promises []promise) func(t *testing.T, i int) []string {
	var (
		places = make(chan struct{}, atOnce)
		done   = make([]sync.WaitGroup, len(promises))
		found  = make([][]string, len(promises))
		mu     sync.Mutex // guards found
	)
	one := func(i, seed int) {
		failures := newTrial(start, s, realTime, seed).play(promises[i].keep)
		mu.Lock()
		found[i] = append(found[i], failures...)
		mu.Unlock()
		<-places
		done[i].Done()
	}
	for i, p := range promises {
		done[i].Add(len(p.seeds))
	}
	go func() {
		for i, p := range promises {
			for _, seed := range p.seeds {
				places <- struct{}{}
				go one(i, seed)
			}
		}
	}()
	t.Cleanup(func() { // before the store is closed
		for i := range done {
			done[i].Wait()
		}
	})
	return func(_ *testing.T, i int) []string {
		done[i].Wait()
		return found[i]
	}
}

// A tempo is how long trials wait.
type tempo struct {
	patience time.Duration // for what must come
	look     time.Duration // between two looks at the store
	pause    time.Duration // for what must not come; shorter than a third of a long lease
	long     time.Duration // a lease that no trial waits out
	short    time.Duration // one that it does
	alone    bool          // a trial has its store for itself
}

var (
	bubbleTime = tempo{
		patience: 3 * time.Minute, look: 20 * time.Millisecond, pause: 3 * time.Second,
		long: 30 * time.Second, short: 3 * time.Second, alone: true,
	}
	realTime = tempo{
		patience: 2 * time.Minute, look: 50 * time.Millisecond, pause: 300 * time.Millisecond,
		long: 30 * time.Second, short: 2 * time.Second,
	}
)
