// Package storetest checks that a store keeps the promises of [store.Store]: [Run]
// is the conformance suite, [Broken] the stores that prove that it bites, and
// [Faults] makes a good store fail on demand. The whole test of a store is
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

// A promise is one sentence of the contract and what a store must do to keep it.
type promise struct {
	name string // "Commit/conflict changes nothing"
	keep func(trial)
}

var promises = slices.Concat(generalPromises, viewPromises, commitPromises, fieldPromises, malformedPromises, readPromises, snapshotPromises, detailPromises, effectPromises, overduePromises, wakePromises)

// Run checks every promise of [store.Store] and, where the store has it, of
// [store.Waker], each as a subtest on a store of its own. open returns a fresh,
// empty store that is closed with its t. Nothing in it sleeps, and all times are
// long past or far ahead, so that a store which reads a clock is found out.
func Run(t *testing.T, open func(t testing.TB) store.Store) {
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) { p.keep(trial{t, open(t)}) })
	}
}

// A Failure is one promise that a store does not keep.
type Failure struct {
	Promise string // as [Promises] names it
	Message string // the call, what came of it and what was wanted
}

// Promises returns the names of all that [Run] checks, in its order.
func Promises() []string {
	names := make([]string, len(promises))
	for i, p := range promises {
		names[i] = p.name
	}
	return names
}

// Check does what [Run] does and returns the failures instead of failing t: all
// promises, or the named ones. A name that is none of [Promises] is a failure; a
// promise that panics fails, and one that does not apply to the store is kept.
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
