package storetest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A call is one call on its way to a store.
type call struct {
	method Method
	do     func(context.Context) error // makes it

	// again returns how to make it once more, with an outcome that nobody is told and
	// arguments that are its own. nil for a read: it would leave no trace.
	again func() func(context.Context)

	// Of a read: what is asked for, and what is answered. "" and nil for the others.
	question string
	answer   func() any            // a copy of what do has got
	change   func(old answer) bool // into an older one; false if that is the same
}

// An answer is what a read was told.
type answer struct {
	value any
	err   error // nil or ErrNotFound
}

// memory is the last answers to each question, the latest one last.
type memory map[string][]answer

const remembers = 8 // answers to one question

func (f *Faults) recall(m memory, c *call, lag int) (answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answers := m[c.question]
	if len(answers) == 0 {
		return answer{}, false
	}
	return answers[max(len(answers)-max(lag, 1), 0)], true
}

func (f *Faults) remember(m memory, c *call, outcome error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answers := append(m[c.question], answer{c.answer(), outcome})
	m[c.question] = answers[max(len(answers)-remembers, 0):]
}

// A caller stands between a call and the store: it makes the call, or does not,
// and says what comes of it.
type caller func(ctx context.Context, m Method, do func(context.Context) error) error

// intercept returns s with every call going through c.
func intercept(s store.Store, c caller) store.Store {
	return wrap(s, func(ctx context.Context, call *call) error { return c(ctx, call.method, call.do) })
}

// wrap returns s with every call going through f.
func wrap(s store.Store, f func(context.Context, *call) error) store.Store {
	waker, wakes := s.(store.Waker)
	clock, tells := s.(store.Clock)
	switch w := (wrapped{s, f}); {
	case wakes && tells:
		return struct {
			store.Store
			store.Waker
			store.Clock
		}{w, waker, clock}
	case wakes:
		return struct {
			store.Store
			store.Waker
		}{w, waker}
	case tells:
		return struct {
			store.Store
			store.Clock
		}{w, clock}
	default:
		return w
	}
}

type wrapped struct {
	inner store.Store
	call  func(context.Context, *call) error
}

// reading makes a call that returns a T and changes nothing; with an error it returns no
// T. copied copies what would share memory. What is asked for follows.
func reading[T any](ctx context.Context, s wrapped, m Method, copied func(T) T, do func(context.Context) (T, error), asked ...any) (T, error) {
	var got, none T
	err := s.call(ctx, &call{
		method:   m,
		do:       func(ctx context.Context) (err error) { got, err = do(ctx); return err },
		question: fmt.Sprintf("%s%+v", m, asked),
		answer:   func() any { return copied(got) },
		change: func(old answer) bool {
			value := copied(old.value.(T))
			if view, ok := any(&value).(*store.View); ok { // records stay as they are: the true answer's is that of then
				view.Replay = seenBy(*view, any(got).(store.View).Replay)
			}
			same := reflect.DeepEqual(value, got)
			got = value
			return !same
		},
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

// seenBy returns a record if it was there already at the moment that v shows.
func seenBy(v store.View, r *store.Record) *store.Record {
	if r != nil && r.Seq > v.Job.Version {
		return nil
	}
	return r
}

// changing makes a call that changes something.
func changing(ctx context.Context, s wrapped, m Method, do func(context.Context) error, again func() func(context.Context)) error {
	return s.call(ctx, &call{method: m, do: do, again: again})
}

// itself copies what shares no memory.
func itself[T any](v T) T { return v }

func (s wrapped) View(ctx context.Context, q store.Query) (store.View, error) {
	copied := func(v store.View) store.View {
		v.Targets, v.Replay = slices.Clone(v.Targets), nil // see change
		return v
	}
	whoever := q
	whoever.Request = store.RequestID{} // see change
	return reading(ctx, s, View, copied, func(ctx context.Context) (store.View, error) { return s.inner.View(ctx, q) }, whoever)
}

func (s wrapped) Created(ctx context.Context, scope store.Scope, r store.RequestID) (store.Record, error) {
	return reading(ctx, s, Created, itself, func(ctx context.Context) (store.Record, error) { return s.inner.Created(ctx, scope, r) }, scope, r)
}

func (s wrapped) Commit(ctx context.Context, c store.Change) error {
	return changing(ctx, s, Commit, func(ctx context.Context) error { return s.inner.Commit(ctx, c) }, func() func(context.Context) {
		c := c.Clone()
		return func(ctx context.Context) { _ = s.inner.Commit(ctx, c) }
	})
}

func (s wrapped) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	return reading(ctx, s, Jobs, slices.Clone, func(ctx context.Context) ([]store.Job, error) { return s.inner.Jobs(ctx, f) }, f)
}

func (s wrapped) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	return reading(ctx, s, Counts, maps.Clone, func(ctx context.Context) (map[step.State]int, error) { return s.inner.Counts(ctx, scope, most) }, scope, most)
}

func (s wrapped) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	copied := func(x store.Snapshot) store.Snapshot {
		x.Steps, x.Targets = slices.Clone(x.Steps), slices.Clone(x.Targets)
		return x
	}
	return reading(ctx, s, Snapshot, copied, func(ctx context.Context) (store.Snapshot, error) { return s.inner.Snapshot(ctx, q) }, q)
}

func (s wrapped) Steps(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	return reading(ctx, s, Steps, slices.Clone, func(ctx context.Context) ([]store.Step, error) { return s.inner.Steps(ctx, scope, id, p) }, scope, id, p)
}

func (s wrapped) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	return reading(ctx, s, Targets, slices.Clone, func(ctx context.Context) ([]store.Target, error) { return s.inner.Targets(ctx, f) }, f)
}

func (s wrapped) History(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	return reading(ctx, s, History, slices.Clone, func(ctx context.Context) ([]store.Record, error) { return s.inner.History(ctx, scope, id, p) }, scope, id, p)
}

func (s wrapped) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	return reading(ctx, s, Details, itself, func(ctx context.Context) (store.Details, error) { return s.inner.Details(ctx, q) }, q)
}

func (s wrapped) Effects(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return reading(ctx, s, Effects, slices.Clone, func(ctx context.Context) ([]store.Delivery, error) { return s.inner.Effects(ctx, scope, id, p) }, scope, id, p)
}

func (s wrapped) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	var claimed []store.Delivery
	err := changing(ctx, s, Claim, func(ctx context.Context) (err error) { claimed, err = s.inner.Claim(ctx, c); return err }, func() func(context.Context) {
		c := c
		c.Effects = slices.Clone(c.Effects)
		return func(ctx context.Context) { _, _ = s.inner.Claim(ctx, c) }
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

func (s wrapped) Defer(ctx context.Context, d store.Delivery) error {
	do := func(ctx context.Context) error { return s.inner.Defer(ctx, d) }
	return changing(ctx, s, Defer, do, func() func(context.Context) { return func(ctx context.Context) { _ = do(ctx) } })
}

func (s wrapped) Settle(ctx context.Context, d store.Delivery) error {
	do := func(ctx context.Context) error { return s.inner.Settle(ctx, d) }
	return changing(ctx, s, Settle, do, func() func(context.Context) { return func(ctx context.Context) { _ = do(ctx) } })
}

func (s wrapped) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return reading(ctx, s, Overdue, slices.Clone, func(ctx context.Context) ([]store.Overdue, error) { return s.inner.Overdue(ctx, scope, now, limit) }, scope, limit)
}
