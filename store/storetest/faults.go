package storetest

import (
	"context"
	"math"
	"reflect"
	"slices"
	"sync"

	"github.com/stepgate/stepgate/store"
)

// A Method names a method of [store.Store].
type Method string

const (
	// View and the others are the methods of [store.Store].
	View     Method = "View"
	Created  Method = "Created"
	Commit   Method = "Commit"
	Jobs     Method = "Jobs"
	Counts   Method = "Counts"
	Snapshot Method = "Snapshot"
	Steps    Method = "Steps"
	Targets  Method = "Targets"
	History  Method = "History"
	Details  Method = "Details"
	Effects  Method = "Effects"
	Claim    Method = "Claim"
	Defer    Method = "Defer"
	Settle   Method = "Settle"
	Overdue  Method = "Overdue"

	Any Method = "any" // in a Fault: every method
)

// Methods returns every method, in the order of the interface, without Any.
func Methods() []Method {
	return []Method{View, Created, Commit, Jobs, Counts, Snapshot, Steps, Targets, History, Details, Effects, Claim, Defer, Settle, Overdue}
}

// A Kind is the kind of a [Fault].
type Kind uint8

const (
	// Fail makes the call return Err without reaching the store; with After, the call takes
	// effect first.
	Fail Kind = 0

	// Duplicate makes the call twice, like a client that repeats a call without an answer. The
	// caller gets the second outcome; with After, the caller gets the first outcome, and the
	// second call arrives Lag calls later.
	//
	// Without After, a Commit that took effect returns a conflict, which breaks the promise of
	// [store.ErrConflict].
	Duplicate Kind = 1

	// Delay makes the call return Err at once, and arrive Lag calls later. Calls in between
	// take effect first, so that calls change places.
	Delay Kind = 2

	// Stale makes a read return its answer of Lag answers ago to the same question, or the
	// oldest of the last eight answers. Two questions are the same whatever the request of a
	// View and the time of an Overdue are. The fault does not happen if the old answer equals
	// the true one, nor to a Claim, which is no read.
	//
	// A stale read breaks the promise that reads see every commit before them. It is otherwise
	// sound: it shows the state of one moment, with the record of a request as of then.
	Stale Kind = 3
)

// A Fault changes one call of a method, or all calls from one on. The zero Fault changes no call.
type Fault struct {
	Method  Method // of the call
	Call    int    // number of the call since the fault was added, from 1; 0 means 1
	Forever bool   // every later call as well
	Kind    Kind   // of the fault
	After   bool   // of a Fail or a Duplicate: after the call took effect

	// Lag is the number of calls, of any method, before a Duplicate with After or a Delay
	// arrives; 0 means at the return of the call itself. For a Stale it is the number of
	// answers ago; 0 means 1.
	Lag int

	// Err is the error that the call returns instead of its own outcome. If it is nil, a Fail
	// does not change the outcome and only calls Do, and a Delay returns no error before its
	// call has arrived, which no good store does.
	Err error

	// Do, if not nil, is called when the fault happens, under no lock. It may use the store,
	// for example to commit a competitor's change.
	Do func()
}

// happensBefore reports whether f happens before its call is made.
func (f Fault) happensBefore() bool { return f.Kind == Delay || f.Kind != Stale && !f.After }

// happensAfter reports whether f happens once its call has been made.
func (f Fault) happensAfter() bool { return f.After && (f.Kind == Fail || f.Kind == Duplicate) }

// happen calls Do.
func (f Fault) happen() {
	if f.Do != nil {
		f.Do()
	}
}

// Faults is a store on another store, with a list of faults. It is a [store.Waker], and no
// [store.Clock]. It is safe for concurrent use. [NewFaults] makes one.
type Faults struct {
	inner   store.Store
	between caller // between each call and inner

	mu      sync.Mutex // guards all below
	waiting []*waiting
	calls   map[Method]int
	late    []late              // in the order in which they were sent
	told    map[string][]answer // the last answers to each question, the latest one last
}

// A caller stands between a call and a store: it makes the call, or does not, and returns the
// outcome.
type caller func(ctx context.Context, do func(context.Context) error) error

// waiting is a fault with the number of calls of its method so far.
type waiting struct {
	Fault
	calls int
}

// late is a call that has not arrived yet.
type late struct {
	due int // the call, of those of all methods, after which it does
	do  func()
}

// An answer is the answer to a read.
type answer struct {
	value any
	err   error // nil or ErrNotFound, or the error of a fault
}

const remembers = 8 // answers to one question

// NewFaults returns a store on s with the given faults.
func NewFaults(s store.Store, faults ...Fault) *Faults {
	f := &Faults{inner: s, calls: map[Method]int{}, told: map[string][]answer{}}
	f.between = func(ctx context.Context, do func(context.Context) error) error { return do(ctx) }
	f.Add(faults...)
	return f
}

// Add adds faults. Their calls are counted from now on.
func (f *Faults) Add(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range faults {
		fault.Call = max(fault.Call, 1)
		f.waiting = append(f.waiting, &waiting{Fault: fault})
	}
}

// Clear removes all faults, also those that have not happened yet. Calls that have not arrived yet
// still arrive.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = nil
}

// Land makes every delayed call arrive, in the order in which they were sent, and returns their
// number. Their outcomes are dropped.
func (f *Faults) Land() int { return f.land(math.MaxInt) }

// Calls returns the number of calls of a method, whatever their outcome; [Any] counts all. The
// second arrival of a call does not count.
func (f *Faults) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

// A call is one call on its way to the store.
type call struct {
	*Faults
	n      int     // of the calls of all methods
	faults []Fault // that happen to it

	// again returns a function that makes the call once more, with copies of the arguments, and
	// drops the outcome. It is nil for a read, which would leave no trace.
	again func() func(context.Context)
}

// begin counts a call and looks up its faults.
func (f *Faults) begin(m Method) call {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[m]++
	f.calls[Any]++
	c := call{Faults: f, n: f.calls[Any]}
	for _, w := range f.waiting {
		if w.Method != m && w.Method != Any {
			continue
		}
		w.calls++
		if w.calls == w.Call || w.Forever && w.calls > w.Call {
			c.faults = append(c.faults, w.Fault)
		}
	}
	return c
}

// meet lets the faults of one moment happen, in the order in which they were added, up to the
// first that decides on the caller's outcome.
func (c call) meet(ctx context.Context, moment func(Fault) bool) (told bool, err error) {
	for _, fault := range c.faults {
		if !moment(fault) {
			continue
		}
		fault.happen()
		switch {
		case fault.Kind == Fail || c.again == nil:
		case fault.Kind == Duplicate && !fault.After:
			c.again()(ctx)
		default:
			c.putOff(ctx, fault.Lag)
		}
		if fault.Err != nil || fault.Kind == Delay {
			return true, fault.Err
		}
	}
	return false, nil
}

// putOff makes the call arrive after lag more calls, even if ctx has ended by then.
func (c call) putOff(ctx context.Context, lag int) {
	again, ctx := c.again(), context.WithoutCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, late{c.n + lag, func() { again(ctx) }})
}

// land makes the calls arrive that are due after call n, and returns their number.
func (f *Faults) land(n int) (landed int) {
	for ; ; landed++ {
		f.mu.Lock()
		i := slices.IndexFunc(f.late, func(l late) bool { return l.due <= n })
		if i < 0 {
			f.mu.Unlock()
			return landed
		}
		next := f.late[i]
		f.late = slices.Delete(f.late, i, i+1)
		f.mu.Unlock()
		next.do()
	}
}

// aged returns the answer to a read: the true one, or an older one if a fault says so.
func (c call) aged(question string, now answer) answer {
	for _, fault := range c.faults {
		old, ok := c.recall(question, fault.Lag)
		if fault.Kind != Stale || !ok || reflect.DeepEqual(old, now) {
			continue
		}
		fault.happen()
		if now = old; fault.Err != nil {
			return answer{err: fault.Err}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	told := append(c.told[question], now)
	c.told[question] = told[max(len(told)-remembers, 0):]
	return now
}

// recall returns the answer that a question got lag answers ago.
func (c call) recall(question string, lag int) (old answer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.told[question]
	if len(told) == 0 {
		return answer{}, false
	}
	return told[max(len(told)-max(lag, 1), 0)], true
}
