package localexec

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A hold keeps other processes, and other executors of this one, from working on a step:
// a locked file. It ends with the process that has it and the guards of its scripts.
type hold struct{ file *os.File }

// hold waits until no other executor holds the step. It is errOver if a later attempt has begun
// meanwhile: the executor that runs that one has ended this one.
func (e *Executor) hold(ctx context.Context, k key) (*hold, error) {
	name := filepath.Join(e.c.Logs, strconv.FormatInt(int64(k.job), 10), strconv.FormatInt(int64(k.step), 10)+".lock")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for delay := peekFirst; ; delay = min(2*delay, peekMost) {
		locked, err := tryLock(file)
		if locked {
			return &hold{file}, nil
		}
		if err == nil {
			err = e.overtaken(ctx, k)
		}
		if err == nil {
			err = pause(ctx, delay)
		}
		if err != nil {
			_ = file.Close()
			return nil, err
		}
	}
}

// release lets others work on the step. What a script has left in the background does not
// keep it held.
func (h *hold) release() {
	_ = unlock(h.file) // closing does as much, unless a guard is slow to go
	_ = h.file.Close()
}

// overtaken is errOver if the step has come to a later attempt than k.
func (e *Executor) overtaken(ctx context.Context, k key) error {
	s, err := e.eng.Step(ctx, k.job, k.step)
	if errors.Is(err, operation.NoSuchJob) || err == nil && s.Attempt > k.attempt {
		return errOver
	}
	return err
}

// awaitOthers returns when no other process works on k or an earlier attempt: whichever does
// sees at the engine that it is to end.
func (e *Executor) awaitOthers(ctx context.Context, k key) error {
	held, err := e.hold(ctx, k)
	if err == errOver {
		return nil
	}
	if err == nil {
		held.release()
	}
	return err
}

// watch has a heed what becomes of its job until enough is called: the effect that ends it
// may go to another process. after is the record that asked for a.
func (e *Executor) watch(ctx context.Context, a *attempt, after store.Seq) (enough func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for on := true; on; on = pause(ctx, backoffMost) == nil {
			for r, err := range e.eng.Watch(ctx, a.job, after, engine.WithoutProgress()) {
				if err != nil {
					break
				}
				after = r.Seq
				a.heed(r)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// heed does what a record of a's job asks of a.
func (a *attempt) heed(r store.Record) {
	switch {
	case r.Step != a.step, r.Attempt < a.attempt: // it is about another one
	case r.Attempt == a.attempt && r.To == step.Running: // a has begun
	case isReport(r) && r.Unfinished == 0: // a ends by itself: these were its last results
	case r.Attempt == a.attempt && r.To == step.Terminating:
		a.stop(errStopped)
	default:
		a.drop(errOver)
	}
}

// isReport reports whether r tells of a report: of results alone, or of an event that is no
// deadline.
func isReport(r store.Record) bool {
	return r.Cause == step.Results || r.Cause.IsEvent() && r.Cause != step.Expired
}
