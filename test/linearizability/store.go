package linearizability

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/stepgate/stepgate/store"
)

// pace is a store that lets others come in between whatever an engine does with it. A store
// in memory answers before the schedule has a chance to.
type pace struct{ store.Store }

func (p pace) View(ctx context.Context, q store.Query) (store.View, error) {
	rest()
	defer rest()
	return p.Store.View(ctx, q)
}

func (p pace) Commit(ctx context.Context, c store.Change) error {
	rest()
	defer rest()
	return p.Store.Commit(ctx, c)
}

// errFault is what a flaky store fails with.
var errFault = errors.New("the connection is lost")

// flaky is a store that loses its connection now and then: before a commit, after it, or
// when it is asked what came of it.
type flaky struct{ store.Store }

func (f flaky) View(ctx context.Context, q store.Query) (store.View, error) {
	if rand.IntN(5) == 0 {
		return store.View{}, errFault
	}
	return f.Store.View(ctx, q)
}

func (f flaky) Commit(ctx context.Context, c store.Change) error {
	switch rand.IntN(8) {
	case 0:
		return errFault
	case 1:
		return errors.Join(f.Store.Commit(ctx, c), errFault)
	}
	return f.Store.Commit(ctx, c)
}

// unwrap returns what is below a flaky store.
func unwrap(s store.Store) store.Store {
	if f, ok := s.(flaky); ok {
		return f.Store
	}
	return s
}
