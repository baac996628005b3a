package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// wishes are the operations that people choose from in each state, likelier ones more often; 0 is
// none. After mostAttempts, or if the choice is not legal, they choose end.
var wishes = map[step.State]struct {
	first []step.Cause
	end   step.Cause
}{
	step.Failed:                 {[]step.Cause{operation.RetryFailed.Cause(), operation.RetryFailed.Cause(), operation.RetryAll.Cause(), operation.IgnoreError.Cause()}, operation.IgnoreError.Cause()},
	step.Abnormal:               {[]step.Cause{operation.RetryFailed.Cause(), operation.RetryFailed.Cause(), operation.RetryAll.Cause(), operation.IgnoreError.Cause()}, operation.IgnoreError.Cause()},
	step.Terminated:             {[]step.Cause{operation.RetryFailed.Cause(), operation.RetryAll.Cause(), operation.NextStep.Cause(), operation.ForcedSkip.Cause()}, operation.NextStep.Cause()},
	step.Terminating:            {[]step.Cause{0, 0, operation.ForcedSkip.Cause()}, 0},
	step.Waiting:                {[]step.Cause{0, operation.Confirm.Cause(), operation.Confirm.Cause(), operation.TerminateConfirmation.Cause()}, operation.Confirm.Cause()},
	step.ConfirmationTerminated: {[]step.Cause{operation.RestartConfirmation.Cause()}, operation.RestartConfirmation.Cause()},
}

// choose returns the next operation on a job with the current step s, 0 for none.
func choose(d player.Dice, s store.Step, legal step.Causes) step.Cause {
	wish, ok := wishes[s.State]
	switch {
	case s.State == step.Pending:
		return operation.StartJob.Cause()
	case s.State == step.Running && s.Name == endless && s.Attempt == 1, s.State == step.Waiting && player.OneIn(d, 10, "terminate"):
		return operation.TerminateJob.Cause()
	case !ok: // the step waits for no person
		return 0
	case s.Attempt >= mostAttempts:
		return wish.end
	}
	first := player.Of(d, "wish", wish.first)
	forever := first == 0 && s.State == step.Waiting && s.Timeout == 0
	if forever || first != 0 && !legal.Has(first) {
		return wish.end
	}
	return first
}

// turn operates on a job with the current step s. Mostly one person does a legal operation.
// Sometimes two people operate at once, one repeats an operation, or one is not a confirmer.
func (o *operator) turn(ctx context.Context, d player.Dice, job store.Job, s store.Step) error {
	one := player.Ask{Job: job.ID, Step: s.ID, Request: engine.Request{By: confirmers[0], ID: player.ID(d), IfVersion: job.Moved}}
	legal, err := o.eng.Allowed(ctx, job.ID, s.ID, engine.Request{By: one.By})
	if one.Cause = choose(d, s, legal); err != nil || one.Cause == 0 {
		return err
	}
	select {
	case <-time.After(time.Duration(d.Below(300, "thinks")) * time.Millisecond): // people need time
	case <-ctx.Done():
		return ctx.Err()
	}
	two := one
	two.By, two.ID = confirmers[1], player.ID(d)
	if s.State == step.Waiting && one.Cause.OfStep() && player.OneIn(d, 3, "meddles") {
		if err := o.meddle(ctx, two); err != nil {
			return err
		}
	}
	if player.OneIn(d, 3, "race") {
		return o.race(ctx, one, two)
	}
	record, err := o.send(ctx, one)
	if err == nil && player.OneIn(d, 3, "again") {
		var again store.Record
		if again, err = o.send(ctx, one); err == nil && again != record {
			return fmt.Errorf("%v was answered with %+v, and its repetition with %+v", one, record, again)
		}
		o.tell(repeated)
	}
	if player.Refused(err) { // the deadline passed first
		return nil
	}
	return err
}

// meddle lets an outsider try an operation for confirmers.
func (o *operator) meddle(ctx context.Context, a player.Ask) error {
	a.By = outsider
	_, err := o.send(ctx, a)
	switch {
	case err == nil:
		return fmt.Errorf("step %d is for %v, and %s was accepted", a.Step, confirmers, outsider)
	case player.Refused(err):
		return nil
	}
	return err
}

// race makes two people operate at once on the same version. At most one may be accepted.
func (o *operator) race(ctx context.Context, one, two player.Ask) error {
	var errs [2]error
	var both sync.WaitGroup
	for i, a := range []player.Ask{one, two} {
		both.Go(func() { _, errs[i] = o.send(ctx, a) })
	}
	both.Wait()
	for _, err := range errs {
		if err != nil && !player.Refused(err) {
			return err
		}
	}
	if errs[0] == nil && errs[1] == nil {
		return fmt.Errorf("%v and %v were both accepted", one, two)
	}
	return nil
}

// send repeats an operation until its outcome is known.
func (o *operator) send(ctx context.Context, a player.Ask) (store.Record, error) {
	for {
		record, err := a.Send(ctx, o.eng)
		if ctx.Err() != nil || !errors.Is(err, engine.ErrUnknownOutcome) && !errors.Is(err, engine.ErrConflict) {
			return record, err
		}
	}
}
