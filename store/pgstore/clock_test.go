package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
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

// Engines on hosts whose clocks are a minute off go by the server's clock: they take nothing that
// another one holds, end nothing early, and their records and leases have the server's time.
func TestEnginesGoByTheServersClock(t *testing.T) {
	dsn, pool := shared(t)
	right := engine.New(open(t, pool))
	asks := asking(1)
	asks.Steps[0].Timeout = 30 * time.Second
	held := start(t, right, engine.JobSpec{Name: "job", Steps: []step.Spec{runs(1)}})
	asked := start(t, right, asks)
	claimed, err := right.Claim(t.Context(), engine.ClaimQuery{})
	if err != nil || len(claimed) != 2 {
		t.Fatalf("Claim: %+v, %v, want the run and the question", claimed, err)
	}
	for _, off := range []time.Duration{-time.Minute, time.Minute} {
		wrong := engine.New(open(t, connect(t, dsn)), engine.WithClock(func() time.Time { return time.Now().Add(off) }))
		if got, err := wrong.Claim(t.Context(), engine.ClaimQuery{}); err != nil || len(got) > 0 {
			t.Errorf("Claim with a clock off by %v: %+v, %v, want nothing", off, got, err)
		}
		if n, err := wrong.Sweep(t.Context()); err != nil || n > 0 {
			t.Errorf("Sweep with a clock off by %v: %d, %v, want 0", off, n, err)
		}
		if codes, err := wrong.Allowed(t.Context(), asked, 1); err != nil || !codes.Has(operation.Confirm) {
			t.Errorf("Allowed with a clock off by %v: %v, %v, want confirm", off, codes, err)
		}
		const server = `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
		for _, d := range claimed {
			before := ask[step.Time](t, pool, server)
			if err := wrong.Renew(t.Context(), d.Claimed(), time.Minute); err != nil {
				t.Fatal(err)
			}
			w, err := right.Effects(t.Context(), d.Job.ID, 0, 1)
			after := ask[step.Time](t, pool, server)
			const behind = 5_000 // by the way of an answer, at most the bound of a reading
			if err != nil || w[0].NotBefore < before.Add(time.Minute)-behind || w[0].NotBefore > after.Add(time.Minute) {
				t.Errorf("renewed with a clock off by %v: %+v, %v, want a minute from %v to %v", off, w, err, before, after)
			}
		}
		created, err := wrong.Create(t.Context(), asks)
		if err != nil {
			t.Fatal(err)
		}
		if now := ask[step.Time](t, pool, server); created.Created > now || created.Created < now-5_000 {
			t.Errorf("created with a clock off by %v at %v, want %v", off, created.Created, now)
		}
	}
	if err := right.Settle(t.Context(), claimed[0].Claimed()); err != nil {
		t.Errorf("Settle of what job %d or %d asked for: %v, want that it was not taken", held, asked, err)
	}
}

func second[T any](_ T, err error) error { return err }
