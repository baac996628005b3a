// Package executortest checks that an executor keeps its contract: the duties of
// [engine.Handler], and the promises of package executor. [Run] has a subtest for each sentence,
// and then a hundred runs with random faults. The whole test of an executor is
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
// The executor can be one on package executor, a handler for [engine.Engine.Dispatch], or one that
// fetches its work over HTTP from a server on p.Engine.
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
// returns nil. The executor works on at least two hosts at once. When ctx ends, it waits for running
// functions, however long they take. The kit runs several processes at once, and kills some: their
// stores do not answer any more, and their functions do not return before the end of the trial.
type Start func(ctx context.Context, p Process) error

// A Process is the environment of an executor under test.
type Process struct {
	// Engine is this process's own, narrowed to Scope. The kit cuts, freezes and delays its calls of
	// the store.
	Engine *engine.Engine
	Scope  store.Scope

	Type  step.Type     // of the steps to carry out; the executor settles questions and ends of jobs as well
	Lease time.Duration // to claim with; 1 s or more

	// Work is the function of the executor, for one host. It blocks, returns or panics, as the
	// trial decides. The executor ends its ctx when the function must return.
	Work func(ctx context.Context, a Assignment) store.Result

	// Failed is for an executor that tells its embedder of failed calls and lost leases. It
	// blocks if the trial decides so. Other executors ignore it.
	Failed func(ctx context.Context, err error)
}

// An Assignment is one host of one attempt, the argument of [Process].Work.
type Assignment struct {
	Job     store.JobID // of the step
	Step    step.ID     // of the attempt
	Attempt int32       // from 1
	Index   int32       // of the host in the step's definition, from 0
	Name    string      // of the host
}

// A Kit sets up the trials. The zero Kit plays each trial on a store in memory of its own, in a
// bubble of testing/synctest, where waiting takes no time. In a bubble an executor must wait on
// channels, contexts and timers: it hangs if it waits while it holds a mutex that another goroutine
// needs.
type Kit struct {
	// Open opens an empty store, which is closed with t. All trials then share it, several at
	// once, each in a scope of its own; time is real. An executor that uses the network needs
	// Open as well: in a bubble, time stands still during a network call.
	Open func(t testing.TB) store.Store

	// Seeds is the number of runs with random faults, and Seed the seed of the first; the
	// defaults are 100 and 1. A seed fixes the faults, but not the schedule of goroutines.
	Seeds, Seed int
}

// Run runs the zero [Kit].
func Run(t *testing.T, start Start) { Kit{}.Run(t, start) }

// Run tests the executor that start starts against each of [Promises], as a subtest.
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
	Promise string // one of [Promises]
	Message string // got and want
}

// Check is [Kit.Run] for the named promises, or all without a name. It returns the breaches instead
// of failing t. An unknown name is a breach.
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

// Promises returns the names of the promises that [Run] checks, in their order.
func Promises() []string {
	var names []string
	for _, p := range (Kit{}).promises() {
		names = append(names, p.name)
	}
	return names
}

// A promise is one sentence of the contract, with its trial.
type promise struct {
	name  string // "Stop/ends what runs"
	keep  func(*trial)
	times int   // number of trials in a bubble, for races between goroutines; 0 is one
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

// play returns a function that returns the failures of the i-th promise.
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

// atOnce is the number of trials that share a store at once: they wait most of their time.
const atOnce = 32

// playShared begins to play all trials on one store, and returns a function that awaits the trials of
// the i-th promise.
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

// A tempo has the times of trials.
type tempo struct {
	patience time.Duration // maximum wait for an event that must come
	look     time.Duration // between two looks at the store
	pause    time.Duration // wait for an event that must not come; shorter than a third of a long lease
	long     time.Duration // a lease that no trial waits out
	short    time.Duration // a lease that a trial waits out
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
