package executor

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
)

// whileHeld calls f with a context that ends when the lease is lost, and gives the lease back: it
// is settled if f returns nil, and else has failed, unless f was cut short.
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

// stop ends every attempt up to d's, waits for one in another process to have ended, and reports
// that it has. An attempt that runs nowhere is reported all the same: no other would.
func (p *process) stop(ctx context.Context, d held) {
	p.whileHeld(ctx, d, func(ctx context.Context) error {
		told := keyOf(d.Delivery)
		which := func(k key) bool { return k.job == told.job && k.step == told.step && k.attempt <= told.attempt }
		if err := p.endAll(ctx, ErrStopped, told.job, d.Seq, which); err != nil {
			return err
		}
		_, err := p.report(ctx, engine.Report{Job: told.job, Step: told.step, Attempt: told.attempt, By: p.by, Outcome: step.Stopped})
		if isOver(err) { // it has stopped, or moved on, already
			return nil
		}
		return err
	})
}

// question tells of a question.
func (p *process) question(ctx context.Context, d held) {
	p.whileHeld(ctx, d, func(ctx context.Context) error { return tellOf(ctx, p.asked, d.Delivery) })
}

// jobEnded ends what still runs of a job that has ended, as after a deadline, for which there is no
// stop, and tells of the end. The job may have been made to run again since: later attempts of its
// last step are left alone, and no earlier step comes back.
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
