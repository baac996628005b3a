package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The names of workers. The first worker finishes the first target of each step, and works on the
// others until it ends.
const (
	firstWorker  = "first"
	secondWorker = "second"
)

// work carries out the steps of jobs until a SIGTERM, and notes each target that it begins.
func (a assignment) work(ctx context.Context, st store.Store) error {
	notes, err := os.OpenFile(a.Ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer notes.Close()
	opts := []executor.Option{executor.By(a.Worker), executor.Hosts(step.Script, func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		fmt.Fprintln(notes, a.Worker, t.Job.ID, h.Index, time.Now().UnixNano())
		if a.Worker == firstWorker && h.Index > 0 {
			<-ctx.Done()
			return store.Result{Status: step.ScriptTerminated}
		}
		return store.Result{Status: step.TargetSucceeded}
	})}
	if a.Lease > 0 {
		opts = append(opts, executor.Lease(a.Lease))
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	fmt.Println("ready")
	return executor.New(engine.New(st), opts...).Run(ctx)
}

// A note says that a worker has begun a target.
type note struct {
	worker string
	job    store.JobID
	target int32
	at     time.Time
}

// readNotes reads the notes of workers, in order.
func readNotes(path string) (notes []note, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range bytes.Lines(text) {
		n, at := note{}, int64(0)
		if _, err := fmt.Sscanln(string(line), &n.worker, &n.job, &n.target, &at); err != nil {
			return nil, fmt.Errorf("a worker has noted %q: %w", line, err)
		}
		n.at = time.Unix(0, at)
		notes = append(notes, n)
	}
	return notes, err
}
