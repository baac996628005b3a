package openapi

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A faulty is a store that fails on demand.
type faulty struct {
	*memstore.Store
	down  atomic.Bool  // every call fails
	torn  atomic.Bool  // every commit fails with its outcome unknown
	raced atomic.Bool  // every commit loses a race
	moves atomic.Bool  // the job moves between any two looks at it
	looks atomic.Int64 // while it does

	stuck atomic.Pointer[gate] // a commit stays here
	slow  atomic.Pointer[gate] // a read of steps or a claim stays here
}

// A gate keeps who comes until it is opened.
type gate struct{ come, open chan struct{} }

var errDown = errors.New("the store is down")

func (f *faulty) fail() error {
	if f.down.Load() {
		return errDown
	}
	return nil
}

// wait waits at a gate, once.
func wait(at *atomic.Pointer[gate]) {
	if g := at.Swap(nil); g != nil {
		close(g.come)
		<-g.open
	}
}

func (f *faulty) View(ctx context.Context, q store.Query) (store.View, error) {
	wait(&f.slow)
	if err := f.fail(); err != nil {
		return store.View{}, err
	}
	v, err := f.Store.View(ctx, q)
	if f.moves.Load() {
		v.Job.Moved += store.Seq(f.looks.Add(1))
	}
	return v, err
}

func (f *faulty) Commit(ctx context.Context, c store.Change) error {
	wait(&f.stuck)
	switch {
	case f.torn.Load() || f.down.Load():
		return errDown
	case f.raced.Load():
		return store.ErrConflict
	}
	return f.Store.Commit(ctx, c)
}

func (f *faulty) Jobs(ctx context.Context, q store.JobFilter) ([]store.Job, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Jobs(ctx, q)
}

func (f *faulty) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Counts(ctx, scope, most)
}

func (f *faulty) Steps(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	wait(&f.slow)
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Steps(ctx, scope, job, p)
}

func (f *faulty) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	if err := f.fail(); err != nil {
		return store.Details{}, err
	}
	return f.Store.Details(ctx, q)
}

func (f *faulty) History(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.History(ctx, scope, job, p)
}

func (f *faulty) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Effects(ctx, scope, job, p)
}

func (f *faulty) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	wait(&f.slow)
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Store.Claim(ctx, c)
}
