package storetest

import (
	"context"
	"errors"
	"math"
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

// Faults is a list of faults and what has happened of them. The zero value has
// none. It is safe for concurrent use.
type Faults struct {
	mu      sync.Mutex // guards all below, and what the wrapped stores remember
	waiting []*waiting
	calls   map[Method]int
	late    []late // in the order in which they were sent
}

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

// Clear removes all faults, those that have not happened yet too. Calls that are still to
// arrive do so all the same.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = nil
}

// Land has every call arrive that is still to do so, in the order in which they were sent,
// and returns how many there were. What they come to nobody is told.
func (f *Faults) Land() int { return f.land(math.MaxInt) }

// Calls returns how often a method was called, whatever became of it; [Any] counts all.
// The second arrival of a call is no call.
func (f *Faults) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

// Wrap returns a store that does what s does but for the faults. It is a
// [store.Waker] if s is one. Several stores may share a list, as several processes
// do a database: their calls are counted together.
func (f *Faults) Wrap(s store.Store) store.Store {
	remembered := memory{}
	return wrap(s, func(ctx context.Context, c *call) error { return f.call(ctx, c, remembered) })
}

func (f *Faults) call(ctx context.Context, c *call, remembered memory) error {
	happening, n := f.happening(c.method)
	defer f.land(n)
	if told, err := f.before(ctx, c, happening, n); told {
		return err
	}
	outcome := c.do(ctx)
	if err := f.after(ctx, c, happening, n); err != nil {
		return err
	}
	if c.question == "" || outcome != nil && !errors.Is(outcome, store.ErrNotFound) {
		return outcome
	}
	for _, fault := range happening {
		if fault.Kind != Stale {
			continue
		}
		old, ok := f.recall(remembered, c, fault.Lag)
		if !ok || !c.change(old) {
			continue
		}
		if outcome = old.err; fault.Do != nil {
			fault.Do()
		}
		if fault.Err != nil {
			return fault.Err
		}
	}
	f.remember(remembered, c, outcome)
	return outcome
}

// happening counts a call and returns what happens to it, and its number.
func (f *Faults) happening(m Method) ([]Fault, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[Method]int{}
	}
	f.calls[m]++
	f.calls[Any]++
	var now []Fault
	for _, w := range f.waiting {
		if w.Method != m && w.Method != Any {
			continue
		}
		w.calls++
		if w.calls == w.Call || w.Forever && w.calls > w.Call {
			now = append(now, w.Fault)
		}
	}
	return now, f.calls[Any]
}

// before lets the faults happen that do before a call is made, in the order in which they
// were added, up to the first that settles what the caller is told.
func (f *Faults) before(ctx context.Context, c *call, faults []Fault, n int) (told bool, err error) {
	for _, fault := range faults {
		if fault.Kind == Stale || fault.After && fault.Kind != Delay {
			continue
		}
		if fault.Do != nil {
			fault.Do()
		}
		switch fault.Kind {
		case Duplicate:
			if c.again != nil {
				c.again()(ctx)
			}
		case Delay:
			f.putOff(ctx, c, n+fault.Lag)
			return true, fault.Err
		}
		if fault.Err != nil {
			return true, fault.Err
		}
	}
	return false, nil
}

// after does so for those that happen once the call has been made, up to the first that
// fails it.
func (f *Faults) after(ctx context.Context, c *call, faults []Fault, n int) error {
	for _, fault := range faults {
		if !fault.After || fault.Kind != Fail && fault.Kind != Duplicate {
			continue
		}
		if fault.Do != nil {
			fault.Do()
		}
		if fault.Kind == Duplicate {
			f.putOff(ctx, c, n+fault.Lag)
		}
		if fault.Err != nil {
			return fault.Err
		}
	}
	return nil
}

// putOff has a call arrive after another one, whatever becomes of ctx. A read that nobody
// waits for is not made.
func (f *Faults) putOff(ctx context.Context, c *call, due int) {
	if c.again == nil {
		return
	}
	again, ctx := c.again(), context.WithoutCancel(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late = append(f.late, late{due, func() { again(ctx) }})
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
