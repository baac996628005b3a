package localexec

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// pageSize is how many targets are read at once.
const pageSize = 1000

var (
	errStopped = errors.New("the attempt was told to stop")
	errOver    = errors.New("the attempt is over") // its results are stale
)

// A key names an attempt.
type key struct {
	job     store.JobID
	step    step.ID
	attempt int32
}

func keyOf(d engine.Delivery) key { return key{d.Job.ID, d.Step.ID, d.Attempt} }

// An attempt is one that runs in this process. It has two contexts: targets are worked
// on in the inner one, and reported in the outer one, so that a stopped attempt can
// still say what it came to.
type attempt struct {
	key
	stop func(cause error) // ends the inner context
	drop func(cause error) // ends both
	held *hold             // of its step, while it works
	done chan struct{}     // closed when nothing of it runs any more
	err  error             // what its handler returns; set before done is closed
}

// run carries out a run, or waits for the one that does already. If that one fails,
// because its own context has ended, this one takes over.
func (e *Executor) run(ctx context.Context, d engine.Delivery) error {
	for {
		a, reporting, working := e.enter(ctx, keyOf(d))
		if working != nil {
			err := e.carryOut(reporting, working, a, d)
			e.leave(a, err)
			return err
		}
		if err := await(ctx, a); err != nil {
			return err
		}
		if a.err == nil {
			return nil
		}
	}
}

// enter puts an attempt on the list and returns its contexts, or returns the one that
// is there and no contexts.
func (e *Executor) enter(ctx context.Context, k key) (a *attempt, reporting, working context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a, ok := e.running[k]; ok {
		return a, nil, nil
	}
	a = &attempt{key: k, done: make(chan struct{})}
	reporting, a.drop = context.WithCancelCause(ctx)
	working, a.stop = context.WithCancelCause(reporting)
	e.running[k] = a
	return a, reporting, working
}

func (e *Executor) leave(a *attempt, err error) {
	a.drop(errOver)
	e.mu.Lock()
	delete(e.running, a.key)
	e.mu.Unlock()
	a.err = err
	close(a.done)
}

// end calls how on every running attempt that which selects, and waits for them.
func (e *Executor) end(ctx context.Context, which func(key) bool, how func(*attempt)) error {
	var ending []*attempt
	e.mu.Lock()
	for k, a := range e.running {
		if which(k) {
			ending = append(ending, a)
		}
	}
	e.mu.Unlock()
	for _, a := range ending {
		how(a)
	}
	for _, a := range ending {
		if err := await(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func await(ctx context.Context, a *attempt) error {
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends every attempt up to d's, waits for one in another process to have ended, and
// reports that it has. An attempt that runs nowhere is reported all the same: nobody else
// would.
func (e *Executor) stop(ctx context.Context, d engine.Delivery) error {
	told := keyOf(d)
	err := e.end(ctx, func(k key) bool {
		return k.job == told.job && k.step == told.step && k.attempt <= told.attempt
	}, func(a *attempt) { a.stop(errStopped) })
	if err == nil {
		err = e.awaitOthers(ctx, told)
	}
	if err != nil {
		return err
	}
	err = e.report(ctx, engine.Report{
		Job: told.job, Step: told.step, Attempt: told.attempt, By: e.c.By, Outcome: step.Stopped,
	})
	if err == errOver { // it has stopped, or been skipped, already
		return nil
	}
	return err
}

// ended drops what still runs of a job that has ended, as after a deadline, for which
// there is no stop. The job may have been made to run again since: later attempts of its
// last step are left alone, and no earlier step comes back.
func (e *Executor) ended(ctx context.Context, d engine.Delivery) error {
	last := keyOf(d)
	err := e.end(ctx, func(k key) bool {
		return k.job == last.job && (k.step < last.step || k.step == last.step && k.attempt <= last.attempt)
	}, func(a *attempt) { a.drop(errOver) })
	if err == nil {
		err = e.awaitOthers(ctx, last)
	}
	if err != nil {
		return err
	}
	return notify(ctx, e.c.Ended, d)
}

// carryOut runs an attempt that is on the list, from its first question to the engine to
// its last report, once nothing of its step runs in any process.
func (e *Executor) carryOut(reporting, working context.Context, a *attempt, d engine.Delivery) error {
	err := e.end(reporting, func(k key) bool {
		return k.job == a.job && k.step == a.step && k.attempt < a.attempt
	}, func(older *attempt) { older.drop(errOver) })
	if err == nil {
		a.held, err = e.hold(working, a.key)
	}
	if err == nil {
		enough := e.watch(reporting, a, d.Seq)
		err = e.work(reporting, working, a, d)
		enough()
		a.held.release()
	}
	switch cause := context.Cause(reporting); {
	case cause == errOver, err == errOver:
		return nil
	case cause != nil:
		return cause
	case working.Err() != nil: // stopped; the handler of the stop says so
		return nil
	}
	return err
}

// work does the work of an attempt on every target that is due and has no result. Of an
// attempt that is not the step's any more, there is none.
func (e *Executor) work(reporting, working context.Context, a *attempt, d engine.Delivery) error {
	do, err := e.plan(a, d.Step)
	if bad := (*PayloadError)(nil); errors.As(err, &bad) {
		return e.report(reporting, engine.Report{
			Job: a.job, Step: a.step, Attempt: a.attempt, By: e.c.By, Outcome: step.Broke, Reason: cut(bad.Error(), 500),
		})
	}
	if err != nil {
		return err
	}
	results := make(chan engine.TargetResult, pageSize)
	var reporter sync.WaitGroup
	reporter.Go(func() { e.collect(reporting, a, results) })
	err = e.each(working, a.key, func(t store.Target) {
		started := step.At(e.c.Now())
		results <- engine.TargetResult{Target: t.Index, Result: store.Result{Status: step.TargetRunning, Started: started}}
		result, interrupted := do(working, t)
		if interrupted && context.Cause(working) != errStopped {
			return // it runs again, or its result is stale
		}
		result.Started, result.Finished, result.Detail = started, step.At(e.c.Now()), cut(result.Detail, 256)
		results <- engine.TargetResult{Target: t.Index, Result: result}
	})
	close(results)
	reporter.Wait()
	if err != nil || working.Err() != nil {
		return err
	}
	current, err := e.current(working, a.key)
	if current {
		return fmt.Errorf("localexec: step %d: every target has been run, and some have no result", a.step)
	}
	return err
}

// each calls f for every target of the attempt that is due and has no result, several
// at once, and waits for all of them.
func (e *Executor) each(ctx context.Context, k key, f func(store.Target)) error {
	var started sync.WaitGroup
	defer started.Wait()
	for from := int32(0); ; {
		if current, err := e.current(ctx, k); err != nil || !current {
			return err
		}
		due, err := e.eng.Targets(ctx, k.job, k.step, engine.TargetQuery{Class: store.UnfinishedTargets, From: from, Limit: pageSize})
		if err != nil {
			return err
		}
		for _, t := range due {
			select {
			case e.slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			started.Go(func() {
				defer func() { <-e.slots }()
				if ctx.Err() == nil {
					f(t)
				}
			})
		}
		if len(due) < pageSize {
			return nil
		}
		from = due[len(due)-1].Index + 1
	}
}

// current reports whether the step still runs in this attempt.
func (e *Executor) current(ctx context.Context, k key) (bool, error) {
	s, err := e.eng.Step(ctx, k.job, k.step)
	if errors.Is(err, operation.NoSuchJob) {
		return false, nil
	}
	return err == nil && s.State == step.Running && s.Attempt == k.attempt, err
}
