package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/store"
)

const (
	clockEvery = 30 * time.Second // between readings of the store's clock
	clockRetry = time.Second      // after a reading that failed
	clockWait  = 5 * time.Second  // bound of a reading, with the wait for another call's
	clockStep  = time.Second      // between wall and monotonic time: the host's clock was set, or the host slept
)

// A clock is the time that an engine goes by: the host's, corrected to the store's where
// the store is a [store.Clock].
type clock struct {
	host  func() time.Time // WithClock's
	store store.Clock      // nil: the host's time stands
	turn  chan struct{}    // held by the one call that reads the store's clock
	last  atomic.Pointer[reading]
}

// A reading says what the store's clock told.
type reading struct {
	host  time.Time // when the answer came, by the host's clock
	store time.Time // the answer
	next  time.Time // when another reading is due, by the host's clock
}

func newClock(host func() time.Time, s store.Store) *clock {
	c := &clock{host: host, turn: make(chan struct{}, 1)}
	c.store, _ = s.(store.Clock)
	return c
}

// now returns the engine's time: the last reading plus the time since, which is monotonic if the
// host's clock is. It is behind the store's time by the network delay of the answer, and never
// ahead of it.
func (c *clock) now() time.Time {
	host := c.host()
	if r := c.last.Load(); r != nil {
		return r.at(host)
	}
	return host
}

// sync reads the store's clock if there is no reading yet or another one is due. One call
// reads; the others use the last reading unless the host's clock was set since. If the store does
// not answer, the last reading stays; without one, sync returns the error.
func (c *clock) sync(ctx context.Context) error {
	if c.store == nil {
		return nil
	}
	last := c.last.Load()
	if host := c.host(); last != nil && host.Before(last.next) && !last.broken(host) {
		return nil
	}
	err := within(ctx, clockWait, func(ctx context.Context) error { return c.read(ctx, last) })
	switch {
	case err == nil:
		return nil
	case last == nil:
		return fmt.Errorf("read the store's clock: %w", err)
	case ctx.Err() == nil:
		host := c.host()
		c.last.CompareAndSwap(last, &reading{host: host, store: last.at(host), next: host.Add(clockRetry)})
	}
	return nil
}

// read replaces last by a new reading, unless another call does.
func (c *clock) read(ctx context.Context, last *reading) error {
	select {
	case c.turn <- struct{}{}:
	default:
		if host := c.host(); last != nil && host.Sub(last.next) < clockEvery && !last.broken(host) {
			return nil
		}
		select {
		case c.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-c.turn }()
	if c.last.Load() != last {
		return nil
	}
	now, err := c.store.Now(ctx)
	if err == nil {
		host := c.host()
		c.last.Store(&reading{host: host, store: now.Std(), next: host.Add(clockEvery)})
	}
	return err
}

// at returns the store's time at a moment of the host's clock. It does not run backwards.
func (r *reading) at(host time.Time) time.Time { return r.store.Add(max(host.Sub(r.host), 0)) }

// broken reports whether the host's clock was set since r, or the host slept: r is then void.
func (r *reading) broken(host time.Time) bool {
	elapsed := host.Sub(r.host)
	wall := host.Round(0).Sub(r.host.Round(0)) // Round takes monotonic time away
	return elapsed < 0 || (wall-elapsed).Abs() >= clockStep
}
