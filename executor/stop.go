package executor

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
)

// whileHeld calls f with a context that ends when the lease is lost, and ends the claim: the effect
// is settled if f returns nil, released if f was cut short, and has failed otherwise.
func (p *process) whileHeld(ctx context.Context, d held, f func(context.Context) error) {
	if d.lease == nil {
		return
	}
	holding, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.lease.whenLost(cancel)
	err := f(holding)
	switch {
	case err == nil:
		d.lease.settle(ctx)
	case holding.Err() != nil:
		d.lease.release(ctx)
	default:
		d.lease.fail(ctx, err)
	}
}

// stop ends every attempt up to d's, waits for those in other processes, and reports that the
// attempt has stopped. It reports an attempt that runs in no process as well, as no other process
// would.
func (p *process) stop(ctx context.Context, d held) {
	p.whileHeld(ctx, d, func(ctx context.Context) error {
		told := keyOf(d.Delivery)
		which := func(k key) bool { return k.job == told.job && k.step == told.step && k.attempt <= told.attempt }
		if err := p.endAll(ctx, ErrStopped, told.job, d.Seq, which); err != nil {
			return err
		}
		_, err := p.report(ctx, engine.Report{Job: told.job, Step: told.step, Attempt: told.attempt, By: p.by, Outcome: step.Stopped})
		if isOver(err) { // the step has stopped, or moved on, already
			return nil
		}
		return err
	})
}

// question tells of a question.
func (p *process) question(ctx context.Context, d held) {
	p.whileHeld(ctx, d, func(ctx context.Context) error { return tellOf(ctx, p.asked, d.Delivery) })
}

// jobEnded ends the work of a job that has ended, as after a deadline, which sends no stop, and
// calls the function of Ended. The job may run again by then: later attempts of its last step go
// on, and no earlier step runs again.
func (p *process) jobEnded(ctx context.Context, d held) {
	p.whileHeld(ctx, d, func(ctx context.Context) error {
		last := keyOf(d.Delivery)
		which := func(k key) bool {
			return k.job == last.job && (k.step < last.step || k.step == last.step && k.attempt <= last.attempt)
		}
		if p.ended == nil {
			return p.endOurs(ctx, ErrOver, which)
		}
		if err := p.endAll(ctx, ErrOver, last.job, d.Seq, which); err != nil {
			return err
		}
		return tellOf(ctx, p.ended, d.Delivery)
	})
}

// tellOf calls f, if there is one, and returns its error or its panic.
func tellOf(ctx context.Context, f notice, d engine.Delivery) (err error) {
	if f == nil {
		return nil
	}
	if panicked := apart(func() { err = f(ctx, d) }); panicked != nil {
		return fmt.Errorf("%v of step %d: %w", d.Effect, d.Step.ID, panicked)
	}
	return err
}
