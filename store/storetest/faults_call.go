package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var (
	_ store.Store = (*Faults)(nil)
	_ store.Waker = (*Faults)(nil)
)

// send makes a call with its faults. With an error it returns the zero T.
func send[T any](ctx context.Context, c call, do func(context.Context) (T, error)) (T, error) {
	defer c.land(c.n)
	var got, none T
	if told, err := c.meet(ctx, Fault.happensBefore); told {
		return none, err
	}
	outcome := c.between(ctx, func(ctx context.Context) (err error) {
		got, err = do(ctx)
		return err
	})
	if told, err := c.meet(ctx, Fault.happensAfter); told {
		return none, err
	}
	if outcome != nil {
		return none, outcome
	}
	return got, nil
}

// write makes a call that changes something. own copies an argument.
func write[A, T any](ctx context.Context, f *Faults, m Method, do func(context.Context, A) (T, error), sent A, own func(A) A) (T, error) {
	c := f.begin(m)
	c.again = func() func(context.Context) {
		sent := own(sent)
		return func(ctx context.Context) { _, _ = do(ctx, sent) }
	}
	return send(ctx, c, func(ctx context.Context) (T, error) { return do(ctx, sent) })
}

// read makes a call that changes nothing. own copies an answer; asked is the question.
func read[T any](ctx context.Context, f *Faults, m Method, own func(T) T, do func(context.Context) (T, error), asked ...any) (T, error) {
	c := f.begin(m)
	return send(ctx, c, func(ctx context.Context) (T, error) {
		got, err := do(ctx)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return got, err
		}
		told := c.aged(fmt.Sprintf("%s%+v", m, asked), answer{got, err})
		value, _ := told.value.(T)
		return own(value), told.err
	})
}

// itself copies a value that shares no memory.
func itself[T any](v T) T { return v }

// mute gives a call an empty result.
func mute[A any](do func(context.Context, A) error) func(context.Context, A) (struct{}, error) {
	return func(ctx context.Context, a A) (struct{}, error) { return struct{}{}, do(ctx, a) }
}

// View implements store.Store. An older view is without the record looked for if that came later.
func (f *Faults) View(ctx context.Context, q store.Query) (store.View, error) {
	var replay *store.Record
	own := func(v store.View) store.View {
		v.Targets = slices.Clone(v.Targets)
		return v
	}
	question := q
	question.Request = store.RequestID{}
	v, err := read(ctx, f, View, own, func(ctx context.Context) (store.View, error) {
		v, err := f.inner.View(ctx, q)
		replay, v.Replay = v.Replay, nil
		return v, err
	}, question)
	if replay != nil && replay.Seq <= v.Job.Version {
		v.Replay = replay
	}
	return v, err
}

// Created implements store.Store.
func (f *Faults) Created(ctx context.Context, scope store.Scope, r store.RequestID) (store.Record, error) {
	return read(ctx, f, Created, itself, func(ctx context.Context) (store.Record, error) { return f.inner.Created(ctx, scope, r) }, scope, r)
}

// Commit implements store.Store.
func (f *Faults) Commit(ctx context.Context, c store.Change) error {
	_, err := write(ctx, f, Commit, mute(f.inner.Commit), c, store.Change.Clone)
	return err
}

// Jobs implements store.Store.
func (f *Faults) Jobs(ctx context.Context, q store.JobFilter) ([]store.Job, error) {
	return read(ctx, f, Jobs, slices.Clone, func(ctx context.Context) ([]store.Job, error) { return f.inner.Jobs(ctx, q) }, q)
}

// Counts implements store.Store.
func (f *Faults) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	return read(ctx, f, Counts, maps.Clone, func(ctx context.Context) (map[step.State]int, error) { return f.inner.Counts(ctx, scope, most) }, scope, most)
}

// Snapshot implements store.Store.
func (f *Faults) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	own := func(s store.Snapshot) store.Snapshot {
		s.Steps, s.Targets = slices.Clone(s.Steps), slices.Clone(s.Targets)
		return s
	}
	return read(ctx, f, Snapshot, own, func(ctx context.Context) (store.Snapshot, error) { return f.inner.Snapshot(ctx, q) }, q)
}

// Steps implements store.Store.
func (f *Faults) Steps(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	return read(ctx, f, Steps, slices.Clone, func(ctx context.Context) ([]store.Step, error) { return f.inner.Steps(ctx, scope, id, p) }, scope, id, p)
}

// Targets implements store.Store.
func (f *Faults) Targets(ctx context.Context, q store.TargetFilter) ([]store.Target, error) {
	return read(ctx, f, Targets, slices.Clone, func(ctx context.Context) ([]store.Target, error) { return f.inner.Targets(ctx, q) }, q)
}

// History implements store.Store.
func (f *Faults) History(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	return read(ctx, f, History, slices.Clone, func(ctx context.Context) ([]store.Record, error) { return f.inner.History(ctx, scope, id, p) }, scope, id, p)
}

// Details implements store.Store.
func (f *Faults) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	return read(ctx, f, Details, itself, func(ctx context.Context) (store.Details, error) { return f.inner.Details(ctx, q) }, q)
}

// Effects implements store.Store.
func (f *Faults) Effects(ctx context.Context, scope store.Scope, id store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return read(ctx, f, Effects, slices.Clone, func(ctx context.Context) ([]store.Delivery, error) { return f.inner.Effects(ctx, scope, id, p) }, scope, id, p)
}

// Claim implements store.Store.
func (f *Faults) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	return write(ctx, f, Claim, f.inner.Claim, c, func(c store.Claim) store.Claim {
		c.Effects = slices.Clone(c.Effects)
		return c
	})
}

// Defer implements store.Store.
func (f *Faults) Defer(ctx context.Context, d store.Delivery) error {
	_, err := write(ctx, f, Defer, mute(f.inner.Defer), d, itself)
	return err
}

// Settle implements store.Store.
func (f *Faults) Settle(ctx context.Context, d store.Delivery) error {
	_, err := write(ctx, f, Settle, mute(f.inner.Settle), d, itself)
	return err
}

// Overdue implements store.Store.
func (f *Faults) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return read(ctx, f, Overdue, slices.Clone, func(ctx context.Context) ([]store.Overdue, error) { return f.inner.Overdue(ctx, scope, now, limit) }, scope, limit)
}

// Wake implements store.Waker. On a store that is no Waker the channel is nil, and so never closed.
func (f *Faults) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	if w, ok := f.inner.(store.Waker); ok {
		return w.Wake(job)
	}
	return nil, func() {}
}
