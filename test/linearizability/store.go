package linearizability

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/stepgate/stepgate/store"
)

// pace is a store that yields to other goroutines in each call. A store in memory would answer before
// the scheduler switches.
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

// errFault is the error of a flaky store.
var errFault = errors.New("the connection is lost")

// flaky is a store that loses its connection now and then: before a commit, after it, or when it is
// asked for the outcome.
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

// unwrap returns the store below a flaky one.
func unwrap(s store.Store) store.Store {
	if f, ok := s.(flaky); ok {
		return f.Store
	}
	return s
}
