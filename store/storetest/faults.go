package storetest

import (
	"context"
	"sync"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Method names a method of [store.Store].
type Method string

// The methods of [store.Store], by their names.
const (
	View    Method = "View"
	Created Method = "Created"
	Commit  Method = "Commit"
	Jobs    Method = "Jobs"
	Steps   Method = "Steps"
	Targets Method = "Targets"
	History Method = "History"
	Effects Method = "Effects"
	Claim   Method = "Claim"
	Defer   Method = "Defer"
	Settle  Method = "Settle"
	Overdue Method = "Overdue"
)

// Methods returns every method in the order of the interface.
func Methods() []Method {
	return []Method{View, Created, Commit, Jobs, Steps, Targets, History, Effects, Claim, Defer, Settle, Overdue}
}

// A Fault is what becomes of one call of a method, or of all from one on. Its zero
// value happens to no call.
type Fault struct {
	Method  Method // whose call it happens to
	Call    int    // which one, of those since the fault was added, from 1; 0 is read as 1
	Forever bool   // to every later call too, not to that one alone
	After   bool   // when the call has been made: it took effect, and nobody is told

	// Err is what the call returns instead of its own outcome. nil leaves the
	// outcome alone: the fault is there for Do.
	Err error

	// Do, if not nil, is called as the fault happens, under no lock. It may use
	// the store, for example to commit what a competitor would have.
	Do func()
}

// Faults is a list of faults and what has happened of them. The zero value has
// none. It is safe for concurrent use.
type Faults struct {
	mu      sync.Mutex // guards all below
	waiting []*waiting
	calls   map[Method]int
}

// waiting is a fault and how many calls of its method there were.
type waiting struct {
	Fault
	calls int
}

// NewFaults returns a list of the given faults.
func NewFaults(faults ...Fault) *Faults {
	f := &Faults{}
	f.Add(faults...)
	return f
}

// Add adds faults. Their calls are counted from now.
func (f *Faults) Add(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range faults {
		fault.Call = max(fault.Call, 1)
		f.waiting = append(f.waiting, &waiting{Fault: fault})
	}
}

// Clear removes all faults, those that have not happened yet too.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = nil
}

// Calls returns how often a method was called, whatever became of it.
func (f *Faults) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

// Wrap returns a store that does what s does but for the faults. It is a
// [store.Waker] if s is one. Several stores may share a list, as several processes
// do a database: their calls are counted together.
func (f *Faults) Wrap(s store.Store) store.Store { return intercept(s, f.call) }

func (f *Faults) call(ctx context.Context, m Method, do func(context.Context) error) error {
	happening := f.happening(m)
	err := happen(happening, false)
	if err != nil {
		return err
	}
	outcome := do(ctx)
	if err := happen(happening, true); err != nil {
		return err
	}
	return outcome
}

// happening counts a call and returns what happens to it.
func (f *Faults) happening(m Method) []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[Method]int{}
	}
	f.calls[m]++
	var now []Fault
	for _, w := range f.waiting {
		if w.Method != m {
			continue
		}
		w.calls++
		if w.calls == w.Call || w.Forever && w.calls > w.Call {
			now = append(now, w.Fault)
		}
	}
	return now
}

// happen lets the faults of one moment happen, in the order in which they were
// added, up to the first that fails the call.
func happen(faults []Fault, after bool) error {
	for _, fault := range faults {
		if fault.After != after {
			continue
		}
		if fault.Do != nil {
			fault.Do()
		}
		if fault.Err != nil {
			return fault.Err
		}
	}
	return nil
}

// A caller stands between a call and the store: it makes the call, or does not,
// and says what comes of it.
type caller func(ctx context.Context, m Method, do func(context.Context) error) error

// intercept returns s with every call going through c.
func intercept(s store.Store, c caller) store.Store {
	if w, ok := s.(store.Waker); ok {
		return struct {
			store.Store
			store.Waker
		}{intercepted{s, c}, w}
	}
	return intercepted{s, c}
}

type intercepted struct {
	inner store.Store
	call  caller
}

// reading makes a call that returns a T; with an error it returns no T.
func reading[T any](ctx context.Context, c caller, m Method, do func(context.Context) (T, error)) (T, error) {
	var got, none T
	err := c(ctx, m, func(ctx context.Context) (err error) {
		got, err = do(ctx)
		return err
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

func (s intercepted) View(ctx context.Context, q store.Query) (store.View, error) {
	return reading(ctx, s.call, View, func(ctx context.Context) (store.View, error) { return s.inner.View(ctx, q) })
}

func (s intercepted) Created(ctx context.Context, scope store.Scope, r store.Request) (store.Record, error) {
	return reading(ctx, s.call, Created, func(ctx context.Context) (store.Record, error) { return s.inner.Created(ctx, scope, r) })
}

func (s intercepted) Commit(ctx context.Context, c store.Change) error {
	return s.call(ctx, Commit, func(ctx context.Context) error { return s.inner.Commit(ctx, c) })
}

func (s intercepted) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	return reading(ctx, s.call, Jobs, func(ctx context.Context) ([]store.Job, error) { return s.inner.Jobs(ctx, f) })
}

func (s intercepted) Steps(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	return reading(ctx, s.call, Steps, func(ctx context.Context) ([]store.Step, error) { return s.inner.Steps(ctx, scope, id, p) })
}

func (s intercepted) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	return reading(ctx, s.call, Targets, func(ctx context.Context) ([]store.Target, error) { return s.inner.Targets(ctx, f) })
}

func (s intercepted) History(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	return reading(ctx, s.call, History, func(ctx context.Context) ([]store.Record, error) { return s.inner.History(ctx, scope, id, p) })
}

func (s intercepted) Effects(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return reading(ctx, s.call, Effects, func(ctx context.Context) ([]store.Delivery, error) { return s.inner.Effects(ctx, scope, id, p) })
}

func (s intercepted) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	return reading(ctx, s.call, Claim, func(ctx context.Context) ([]store.Delivery, error) { return s.inner.Claim(ctx, c) })
}

func (s intercepted) Defer(ctx context.Context, d store.Delivery, until step.Time, lastError string) error {
	return s.call(ctx, Defer, func(ctx context.Context) error { return s.inner.Defer(ctx, d, until, lastError) })
}

func (s intercepted) Settle(ctx context.Context, d store.Delivery) error {
	return s.call(ctx, Settle, func(ctx context.Context) error { return s.inner.Settle(ctx, d) })
}

func (s intercepted) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return reading(ctx, s.call, Overdue, func(ctx context.Context) ([]store.Overdue, error) { return s.inner.Overdue(ctx, scope, now, limit) })
}
