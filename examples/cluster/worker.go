package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/store"
)

const (
	// apart is the maximum difference between the clocks of workers. A lease is longer, by the time
	// of its renewal: otherwise the worker with the fastest clock would take runs under a lease.
	apart = 2 * time.Second
	lease = 5 * time.Second

	places = 8 // targets of a worker at once
)

// clock returns the clock of a worker, which is up to half of apart ahead or behind.
func (s setting) clock(worker int) func() time.Time {
	ahead := -apart / 2
	if s.Workers > 1 {
		ahead += apart * time.Duration(worker) / time.Duration(s.Workers-1)
	}
	return func() time.Time { return time.Now().Add(ahead) }
}

// work carries out effects until ctx ends.
func work(ctx context.Context, st store.Store, s setting, n int, t teller) error {
	eng := engine.New(st, engine.WithClock(s.clock(n)), engine.WithObserver(t.observer()))
	logs, err := executor.NewFileLogs(filepath.Join(s.Dir, "logs"), 0)
	if err != nil {
		return err
	}
	defer logs.Close()
	d := localexec.New(localexec.Config{Root: s.targets(), Logs: logs, Grace: time.Second})
	return executor.New(claims{eng, t}, append(d.Options(),
		executor.By(fmt.Sprint("worker ", n)), executor.AtOnce(places), executor.Lease(lease))...).Run(ctx)
}

// claims reports the effects that a worker claims.
type claims struct {
	*engine.Engine
	teller
}

// Claim implements executor.Source.
func (c claims) Claim(ctx context.Context, q engine.ClaimQuery) ([]engine.Delivery, error) {
	claimed, err := c.Engine.Claim(ctx, q)
	for _, d := range claimed {
		if d.Count == 1 {
			c.tell(delivered)
		} else {
			c.tell(redelivered)
		}
	}
	return claimed, err
}
