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

// The methods of [store.Store], by their names.
const (
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

	Any Method = "any" // in a fault: whichever method is called
)

// Methods returns every method in the order of the interface.
func Methods() []Method {
	return []Method{View, Created, Commit, Jobs, Counts, Snapshot, Steps, Targets, History, Details, Effects, Claim, Defer, Settle, Overdue}
}

// A Kind says what a [Fault] does to its call.
type Kind uint8

const (
	// Fail: the call returns Err. It is not made; with After it is, and takes effect.
	Fail Kind = 0

	// Duplicate: the call is made twice, as by a client that sends again what it has
	// no answer to. The caller is told what the second came to. With After it is
	// told what the first came to, and the second arrives Lag calls later.
	//
	// A conflict that is told of a Commit which took effect the first time breaks the
	// promise of [store.ErrConflict]: only with After is the store still one.
	Duplicate Kind = 1

	// Delay: the call returns Err at once, and arrives Lag calls later. What is
	// called meanwhile takes effect first, so that calls change places.
	Delay Kind = 2

	// Stale: a read answers what it answered to the same question Lag answers ago, or the
	// oldest of the last eight answers if there are fewer. It is the same question
	// whatever request a View looks for, and whatever the time of an Overdue. The fault
	// does not happen if that is no other answer than the true one, nor to a Claim,
	// which is no read.
	//
	// A stale read breaks the promise that reads see every commit before them. It is
	// otherwise sound: it shows what there was at one moment, the record of a
	// request that is looked for included.
	Stale Kind = 3
)

// A Fault is what becomes of one call of a method, or of all from one on. Its zero
// value happens to no call.
type Fault struct {
	Method  Method // whose call it happens to
	Call    int    // which one, of those since the fault was added, from 1; 0 is read as 1
	Forever bool   // to every later call too, not to that one alone
	Kind    Kind   // what happens to it
	After   bool   // of a Fail or a Duplicate: when the call has been made

	// Lag is how far a call is put off: a Duplicate with After or a Delay until so
	// many more calls, of whatever method, have been made; 0 is as soon as the call
	// itself has returned. Of a Stale it is how many answers ago, 0 being read as 1.
	Lag int

	// Err is what the call returns instead of its own outcome. nil leaves the
	// outcome alone, and a Delay says that all is well: a Fail is then there for its Do,
	// and a Delay acknowledges what is not done yet, as no good store does.
	Err error

	// Do, if not nil, is called as the fault happens, under no lock. It may use
	// the store, for example to commit what a competitor would have.
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

// Faults is a store with a list of faults: it does what the store below it does, but for them. It
// is a [store.Waker], and no [store.Clock]. It is safe for concurrent use.
type Faults struct {
	inner   store.Store
	between caller // between each call and inner

	mu      sync.Mutex // guards all below
	waiting []*waiting
	calls   map[Method]int
	late    []late              // in the order in which they were sent
	told    map[string][]answer // the last answers to each question, the latest one last
}

// A caller stands between a call and a store: it makes the call, or does not, and says what came
// of it.
type caller func(ctx context.Context, do func(context.Context) error) error

// waiting is a fault and how many calls of its method there were.
type waiting struct {
	Fault
	calls int
}

// late is a call that is still to arrive.
type late struct {
	due int // the call, of those of all methods, after which it does
	do  func()
}

// An answer is what a read was told.
type answer struct {
	value any
	err   error // nil or ErrNotFound, or the error of a fault
}

const remembers = 8 // answers to one question

// NewFaults returns s with the given faults.
func NewFaults(s store.Store, faults ...Fault) *Faults {
	f := &Faults{inner: s, calls: map[Method]int{}, told: map[string][]answer{}}
	f.between = func(ctx context.Context, do func(context.Context) error) error { return do(ctx) }
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

// Clear removes all faults, those that have not happened yet too. Calls that are still to
// arrive do so all the same.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = nil
}

// Land has every call arrive that is still to do so, in the order in which they were sent,
// and returns how many there were. Their outcomes are told to no caller.
func (f *Faults) Land() int { return f.land(math.MaxInt) }

// Calls returns how often a method was called, whatever became of it; [Any] counts all.
// The second arrival of a call is no call.
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

	// again returns how to make it once more, with arguments that are its own and an outcome that
	// is told to no caller. nil for a read: it would leave no trace.
	again func() func(context.Context)
}

// begin counts a call and looks up what happens to it.
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
// first that settles what the caller is told.
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

// putOff has the call arrive after so many more, whether or not ctx has ended by then.
func (c call) putOff(ctx context.Context, lag int) {
	again, ctx := c.again(), context.WithoutCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, late{c.n + lag, func() { again(ctx) }})
}

// land has the calls arrive that are due after call n, and returns how many.
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

// aged returns what a read is told: the true answer now, or an older one if a fault has it so.
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

// recall returns the answer that a question got so many answers ago.
func (c call) recall(question string, lag int) (old answer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.told[question]
	if len(told) == 0 {
		return answer{}, false
	}
	return told[max(len(told)-max(lag, 1), 0)], true
}
