package storetest

import "github.com/stepgate/stepgate/store"

// WithoutClock returns s without its [store.Clock], so that an engine on it uses only the clock of
// its options, for tests that move that clock.
func WithoutClock(s store.Store) store.Store {
	if _, tells := s.(store.Clock); !tells {
		return s
	}
	if waker, wakes := s.(store.Waker); wakes {
		return struct {
			store.Store
			store.Waker
		}{s, waker}
	}
	return struct{ store.Store }{s}
}
