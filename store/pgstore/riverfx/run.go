package riverfx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// Config returns the configuration of a River client that works w's jobs, for callers that create
// the client themselves. The defaults, which [Configure] adjusts:
//
//   - Queues: 64 workers for runs, 16 for stops, and 16 for questions and ends of jobs.
//   - MaxAttempts: 10, four hours of River's retries. It applies to jobs inserted later.
//   - JobTimeout: 1 min. A handler that needs longer returns river.JobSnooze in between.
//   - RescueStuckJobsAfter: 90 s; River's default is 1 h. The rescuer runs every 30 s: after a crash of its
//     process, a run is repeated within about 2 min.
//   - Logger: slog.Default.
func (w *Worker) Config() *river.Config {
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	return w.carrier.riverConfig(workers)
}

// Run works the River jobs of effects with a River client of its own, expires passed deadlines and
// reconciles until ctx ends. It then waits for the handlers, whose contexts end with ctx, and
// returns nil. It fails only if it cannot start; later failures are logged. Any number of processes
// can run workers.
func (w *Worker) Run(ctx context.Context) error {
	if w.eng == nil || w.st == nil || w.handler == nil {
		return errors.New("riverfx: a worker needs an engine, a store and a handler")
	}
	config := w.Config()
	client, err := river.NewClient(riverpgxv5.New(w.carrier.pool), config)
	if err != nil {
		return fmt.Errorf("riverfx: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return fmt.Errorf("riverfx: start: %w", err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { every(ctx, w.carrier.sweep, config.Logger, "sweep", w.eng.Sweep) })
	tasks.Go(func() { every(ctx, w.carrier.reconcile, config.Logger, "reconcile", w.Reconcile) })
	<-client.Stopped()
	tasks.Wait()
	return nil
}

// every calls f at an interval of d until ctx ends, and logs its errors.
func every(ctx context.Context, d time.Duration, log *slog.Logger, what string, f func(context.Context) (int, error)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := f(ctx); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "riverfx: "+what+" failed", slog.Any("error", err))
		}
	}
}
