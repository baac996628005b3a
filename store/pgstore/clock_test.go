package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store/pgstore"
)

// A store tells the server's time, which goes on, in one round trip.
func TestNow(t *testing.T) {
	var w wire
	pool := migrated(t, conns(1), counting(&w))
	st := open(t, pool)
	const server = `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint` // rounded
	before := ask[step.Time](t, pool, server)
	now, err := st.Now(t.Context())
	after := ask[step.Time](t, pool, server)
	if err != nil || now < before-1 || now > after {
		t.Errorf("Now: got %d and error %v, want the server's, %d to %d", now, err, before-1, after)
	}
	if trips := w.trips(t, func(ctx context.Context) error { return second(st.Now(ctx)) }); trips != 1 {
		t.Errorf("Now: %d round trips, want 1", trips)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.Now(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Now with a context that has ended: got error %v, want %v", err, context.Canceled)
	}
}

// A test moves the store's clock.
func TestWithClock(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123)
	st := open(t, migrated(t), pgstore.WithClock(func() time.Time { return at }))
	for range 2 {
		if now, err := st.Now(t.Context()); err != nil || now != step.At(at) {
			t.Errorf("Now: got %v and error %v, want %v", now, err, step.At(at))
		}
		at = at.Add(time.Hour)
	}
}

func second[T any](_ T, err error) error { return err }
