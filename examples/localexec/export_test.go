package localexec

import (
	"context"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Running returns how many attempts e has on its list.
func (e *Executor) Running() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.running)
}

// Collect reports results as those of one attempt.
func (e *Executor) Collect(ctx context.Context, job store.JobID, id step.ID, attempt int32, results []engine.TargetResult) {
	in := make(chan engine.TargetResult, len(results))
	for _, r := range results {
		in <- r
	}
	close(in)
	a, reporting, _ := e.enter(ctx, key{job, id, attempt})
	e.collect(reporting, a, in)
	e.leave(a, nil)
}
