package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/store"
)

const (
	// apart is how far the clocks of workers differ. A lease is longer, by what its renewal
	// takes: otherwise the worker that is ahead would take what others are at.
	apart = 2 * time.Second
	lease = 5 * time.Second

	runs = 4 // that a worker carries out at once
)

// clock returns the clock of a worker, which is up to half of apart ahead or behind.
func (s setting) clock(worker int) func() time.Time {
	ahead := -apart / 2
	if s.Workers > 1 {
		ahead += apart * time.Duration(worker) / time.Duration(s.Workers-1)
	}
	return func() time.Time { return time.Now().Add(ahead) }
}

// work carries out what jobs ask for until ctx ends.
func work(ctx context.Context, st store.Store, s setting, n int, t teller) error {
	eng := engine.New(st, engine.WithClock(s.clock(n)), engine.WithObserver(t.observer()))
	x := localexec.New(eng, localexec.Config{
		Root: s.targets(), Logs: filepath.Join(s.Dir, "logs"), By: fmt.Sprint("worker ", n), Grace: time.Second,
	})
	return eng.Dispatch(ctx, func(ctx context.Context, d engine.Delivery) error {
		if d.Count == 1 {
			t.tell(delivered)
		} else {
			t.tell(redelivered)
		}
		return x.Handle(ctx, d)
	}, engine.Lease(lease), engine.Runs(runs), engine.SweepEvery(200*time.Millisecond), engine.Backoff(200*time.Millisecond, 2*time.Second))
}
