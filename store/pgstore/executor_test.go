package pgstore_test

import (
	"context"
	"testing"

	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/executortest"
	"github.com/stepgate/stepgate/store"
)

// An executor keeps its contract on the store.
func TestExecutor(t *testing.T) {
	t.Parallel()
	kit := executortest.Kit{Open: emptied(migrated(t, hasty))}
	kit.Run(t, func(ctx context.Context, p executortest.Process) error {
		work := func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
			return p.Work(ctx, executortest.Assignment{Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, Index: h.Index, Name: h.Name})
		}
		return executor.New(p.Engine, executor.Hosts(p.Type, work), executor.Lease(p.Lease), executor.Failed(p.Failed)).Run(ctx)
	})
}
