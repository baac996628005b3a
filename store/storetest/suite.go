// Package storetest checks that a store keeps the promises of [store.Store]. [Run] is the
// conformance suite, [Broken] returns broken stores that the suite rejects, and [Faults] makes a
// good store fail on demand. The whole test of a store is
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) store.Store { return mystore.Open(t, t.TempDir()) })
//	}
package storetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/store"
)

// A promise is one sentence of the contract, with its test.
type promise struct {
	name string // "Commit/conflict changes nothing"
	keep func(trial)
}

var promises = slices.Concat(generalPromises, viewPromises, commitPromises, fieldPromises, malformedPromises, readPromises, snapshotPromises, detailPromises, batchPromises, gatePromises, effectPromises, overduePromises, turnPromises, wakePromises)

// Run checks every promise of [store.Store] and, if the store is a [store.Waker], of that, each as a
// subtest on a store of its own. open returns an empty store, and closes it by t.Cleanup. Run does
// not sleep, and all its times are long past or far ahead, so that it finds a store that reads a
// clock.
func Run(t *testing.T, open func(t testing.TB) store.Store) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) { p.keep(trial{t, open(t)}) })
	}
}

// A Failure is one promise that a store does not keep.
type Failure struct {
	Promise string // one of [Promises]
	Message string // the call, got and want
}

// Promises returns the names of the promises that [Run] checks, in their order.
func Promises() []string {
	names := make([]string, len(promises))
	for i, p := range promises {
		names[i] = p.name
	}
	return names
}

// Check is [Run] for the named promises, or all without a name. It returns the failures instead of
// failing t. An unknown name is a failure, and so is a panic. A promise that does not apply to the
// store counts as kept.
func Check(t testing.TB, open func(t testing.TB) store.Store, names ...string) []Failure {
	var failures []Failure
	for _, name := range names {
		if !slices.Contains(Promises(), name) {
			failures = append(failures, Failure{name, "no such promise: want one of " + strings.Join(Promises(), "; ")})
		}
	}
	for _, p := range promises {
		if len(names) > 0 && !slices.Contains(names, p.name) {
			continue
		}
		r := &recorder{TB: t}
		r.run(func() { p.keep(trial{r, open(r)}) })
		for _, message := range r.messages {
			failures = append(failures, Failure{p.name, message})
		}
	}
	return failures
}

// A recorder is a testing.TB that notes failures instead of failing its parent.
type recorder struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex // guards all below
	messages []string
	cleanups []func()
}

// run calls f as testing runs a test: in a goroutine that a fatal failure ends,
// and with the cleanups after it.
func (r *recorder) run(f func()) {
	ctx, cancel := context.WithCancel(r.TB.Context())
	r.ctx = ctx
	r.contain(f)
	cancel()
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		cleanup := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		r.contain(cleanup)
	}
}

func (r *recorder) contain(f func()) {
	var done sync.WaitGroup
	done.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				r.note(fmt.Sprint("panic: ", p))
			}
		}()
		f()
	})
	done.Wait()
}

func (r *recorder) note(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, message)
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.messages) > 0
}

func (r *recorder) Context() context.Context          { return r.ctx }
func (r *recorder) Helper()                           {}
func (r *recorder) Log(...any)                        {}
func (r *recorder) Logf(string, ...any)               {}
func (r *recorder) Fail()                             { r.note("failed") }
func (r *recorder) FailNow()                          { r.note("failed"); runtime.Goexit() }
func (r *recorder) Error(args ...any)                 { r.note(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatal(args ...any)                 { r.note(fmt.Sprint(args...)); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) {
	r.note(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
func (r *recorder) Skip(...any)          { runtime.Goexit() }
func (r *recorder) Skipf(string, ...any) { runtime.Goexit() }
func (r *recorder) SkipNow()             { runtime.Goexit() }
