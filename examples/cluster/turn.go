package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// wishes are what people want to do about a step, likelier things more often; 0 leaves it
// alone. In the end, or if a wish is not legal, they get on with it.
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

// A click is one operation that somebody asks for, however often it is sent.
type click struct {
	by    string
	id    store.RequestID
	cause step.Cause // the operation's; 0 for none
	seen  store.Seq  // the version that the choice was made on
}

// choose sets what is done about a job whose current step is s, and reports whether
// anything is.
func (c *click) choose(r *rand.Rand, s store.Step, legal step.Causes) bool {
	switch wish, ok := wishes[s.State]; {
	case s.State == step.Pending:
		c.cause = operation.StartJob.Cause()
	case s.State == step.Running && s.Name == endless && s.Attempt == 1, s.State == step.Waiting && r.IntN(10) == 0:
		c.cause = operation.TerminateJob.Cause()
	case !ok: // it is not a person's turn
	case s.Attempt >= mostAttempts:
		c.cause = wish.end
	default:
		c.cause = wish.first[r.IntN(len(wish.first))]
		forever := c.cause == 0 && s.State == step.Waiting && s.Timeout == 0
		if forever || c.cause != 0 && !legal.Has(c.cause) {
			c.cause = wish.end
		}
	}
	return c.cause != 0
}

// turn does what people do about a job that they see with s under way: mostly one of them
// what is legal, but two may do it at once, one may do it twice, and one may have no say.
func (o *operator) turn(ctx context.Context, r *rand.Rand, job store.Job, s store.Step) error {
	one := click{by: confirmers[0], id: draw(r), seen: job.Moved}
	legal, err := o.eng.Allowed(ctx, job.ID, s.ID, engine.Request{By: one.by})
	if err != nil || !one.choose(r, s, legal) {
		return err
	}
	select {
	case <-time.After(time.Duration(r.IntN(300)) * time.Millisecond): // people think
	case <-ctx.Done():
		return ctx.Err()
	}
	two := one
	two.by, two.id = confirmers[1], draw(r)
	if s.State == step.Waiting && one.cause.OfStep() && r.IntN(3) == 0 {
		if err := o.meddle(ctx, job.ID, s.ID, two); err != nil {
			return err
		}
	}
	if r.IntN(3) == 0 {
		return o.race(ctx, job.ID, s.ID, one, two)
	}
	record, err := o.send(ctx, job.ID, s.ID, one)
	if err == nil && r.IntN(3) == 0 {
		var again store.Record
		if again, err = o.send(ctx, job.ID, s.ID, one); err == nil && again != record {
			return fmt.Errorf("request %v was answered with %+v, and then with %+v", one.id, record, again)
		}
		o.tell(repeated)
	}
	if isRefused(err) { // the deadline was faster
		return nil
	}
	return err
}

// meddle has an outsider do what is for the confirmers.
func (o *operator) meddle(ctx context.Context, job store.JobID, id step.ID, c click) error {
	c.by = outsider
	_, err := o.send(ctx, job, id, c)
	switch {
	case err == nil:
		return fmt.Errorf("step %d is for %v, and %s had a say in it", id, confirmers, outsider)
	case isRefused(err):
		return nil
	}
	return err
}

// race has two people do the same at once, on what both of them see. At most one can have it.
func (o *operator) race(ctx context.Context, job store.JobID, id step.ID, one, two click) error {
	var errs [2]error
	var both sync.WaitGroup
	for i, c := range []click{one, two} {
		both.Go(func() { _, errs[i] = o.send(ctx, job, id, c) })
	}
	both.Wait()
	for _, err := range errs {
		if err != nil && !isRefused(err) {
			return err
		}
	}
	if errs[0] == nil && errs[1] == nil {
		return fmt.Errorf("requests %v and %v were both accepted on version %d", one.id, two.id, one.seen)
	}
	return nil
}

// send asks for an operation until it is known what came of it.
func (o *operator) send(ctx context.Context, job store.JobID, id step.ID, c click) (record store.Record, err error) {
	r := engine.Request{By: c.by, ID: c.id, IfVersion: c.seen}
	for {
		if c.cause.OfJob() {
			record, err = o.eng.OperateJob(ctx, job, operation.JobCode(c.cause.Code()), r)
		} else {
			record, err = o.eng.Operate(ctx, job, id, operation.Code(c.cause.Code()), r)
		}
		if ctx.Err() != nil || !errors.Is(err, engine.ErrUnknownOutcome) && !errors.Is(err, engine.ErrConflict) {
			return record, err
		}
	}
}

func isRefused(err error) bool {
	var refusal *engine.Refusal
	return errors.As(err, &refusal)
}
