package crash

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A tally is a file to which processes append what their handlers run: one line for each call, with the
// job, the number of the claim and the process.
type tally string

// count appends a line in one write, which no other process divides.
func (t tally) count(job store.JobID, claim int32) error {
	f, err := os.OpenFile(string(t), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d %d %d\n", job, claim, os.Getpid())
	return errors.Join(err, f.Close())
}

// A call is one that a handler got.
type call struct {
	job     store.JobID
	claim   int32 // its number
	process int   // of the handler
}

// calls returns what was appended so far.
func (t tally) calls() (all []call, err error) {
	data, err := os.ReadFile(string(t))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		var c call
		if _, err := fmt.Sscanf(line, "%d %d %d\n", &c.job, &c.claim, &c.process); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// open lets the handlers of all processes end.
func (t tally) open() error { return os.WriteFile(string(t)+".open", nil, 0o600) }

// await waits until the handlers may end.
func (t tally) await(ctx context.Context) error {
	for {
		if _, err := os.Stat(string(t) + ".open"); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if rest(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// dispatchTurns runs the steps of jobs, each of one target, as one of many processes.
func dispatchTurns(ctx context.Context, st store.Store, t tally, lease time.Duration) error {
	e := engine.New(st)
	fmt.Println("ready")
	return e.Dispatch(ctx, func(ctx context.Context, d engine.Delivery) error {
		err := t.count(d.Job.ID, d.Count)
		if err == nil {
			err = t.await(ctx)
		}
		if err != nil {
			return err
		}
		_, err = e.Report(ctx, engine.Report{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt, Results: []engine.TargetResult{
			{Result: store.Result{Status: step.TargetSucceeded}},
		}})
		if errors.Is(err, operation.Stale) {
			return nil
		}
		return err
	}, engine.Effects(store.RunTargets), engine.Lease(lease), engine.SweepEvery(100*time.Millisecond))
}
