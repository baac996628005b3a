package crowd

import (
	"context"
	"sync"

	"github.com/stepgate/stepgate/store"
)

// A Meeting is reports of one job that meet: the first is held in a call of the store, and with it
// the turn of the job, until all others wait in line behind it. They call an engine on a [Store].
type Meeting struct {
	First  func(context.Context)   // reports with this context, in a turn of its own
	Others []func(context.Context) // report with this context; called in turn, in a goroutine each
	Ready  func()                  // if not nil, called before the first goes on
}

// Hold lets the reports meet, and returns the number of those that waited, once all are answered. A
// report waits unless it is refused before it comes to the line.
func (m Meeting) Hold(ctx context.Context) (waited int) {
	h := &held{Meeting: m, ctx: Calling(ctx)}
	m.First(context.WithValue(store.Alone(h.ctx), heldKey{}, h))
	h.gather(false) // if the first was refused before it came to the store
	h.calls.Wait()
	return h.waited
}

// held is a meeting under way.
type held struct {
	Meeting
	ctx    context.Context
	once   sync.Once
	calls  sync.WaitGroup
	waited int
}

type heldKey struct{}

// gather returns when the others wait, behind the first if that has the turn, or are answered.
func (h *held) gather(turn bool) {
	h.once.Do(func() {
		for _, report := range h.Others {
			w := &waiting{Context: h.ctx, waits: make(chan struct{})}
			answered := make(chan struct{})
			h.calls.Go(func() {
				defer close(answered)
				report(w)
			})
			select {
			case <-w.waits:
				if turn {
					h.waited++
				}
			case <-answered:
			}
		}
		if h.Ready != nil {
			h.Ready()
		}
	})
}

// waiting is the context of a report that must wait in line: a caller in line first reads the end of
// its context.
type waiting struct {
	context.Context
	once  sync.Once
	waits chan struct{} // closed: the report waits
}

func (w *waiting) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}

type callingKey struct{}

// Calling marks the context of a caller, so that a [Store] knows the commits that callers share: an
// engine makes them under a context of its own.
func Calling(ctx context.Context) context.Context { return context.WithValue(ctx, callingKey{}, true) }

// A Store is a store on which reports meet. Each context that an engine on it is called with must
// come from [Calling] or from a [Meeting].
type Store struct {
	store.Store

	// Shared carries out a commit that reports share. Each record is of another report; a report
	// that changes nothing has none.
	Shared func(context.Context, store.Change) error
}

// View implements [store.Store].
func (s *Store) View(ctx context.Context, q store.Query) (store.View, error) {
	arrive(ctx)
	return s.Store.View(ctx, q)
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, c store.Change) error {
	arrive(ctx)
	if ctx.Value(callingKey{}) == nil {
		return s.Shared(ctx, c)
	}
	return s.Store.Commit(ctx, c)
}

// arrive holds a call of the first report of a meeting.
func arrive(ctx context.Context) {
	if h, ok := ctx.Value(heldKey{}).(*held); ok {
		h.gather(true)
	}
}
