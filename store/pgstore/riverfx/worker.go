package riverfx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// A Handler carries out one effect. It must be safe for concurrent use, and owes what an
// engine.Handler owes. What it returns says how to go on:
//
//   - nil settles the effect. The report that comes with it, if any, is committed together
//     with that and with the completion of the River job. Whatever Job, Step and Attempt it
//     names, it is a report on the effect's. One that nobody wants to know any more is dropped.
//     More than engine.MaxResults results come in several: all but the last with a snooze.
//     A stop whose step is still terminating then is delivered again after [StopEvery].
//   - river.JobSnooze has it delivered again after a while, and is no failure: the attempt goes
//     on. The report that comes with it is committed by itself.
//   - river.JobCancel gives up at once.
//   - Any other error or a panic is a failure. River has it delivered again, and gives up
//     after the last of [river.Config.MaxAttempts]. Engine.Effects tells of it until then.
//
// When River gives up on a run or a stop, the step becomes what it becomes when an executor
// breaks: abnormal, or terminated if it was terminating.
//
// ctx ends with the timeout of the River job, which is a failure, or with the worker, which is
// none.
type Handler func(ctx context.Context, d engine.Delivery) (*engine.Report, error)

// SelfReporting makes a Handler of one that sends its reports itself, as one for
// Engine.Dispatch does.
func SelfReporting(h engine.Handler) Handler {
	return func(ctx context.Context, d engine.Delivery) (*engine.Report, error) { return nil, h(ctx, d) }
}

// A Worker carries out effects. It comes from [Carrier.Worker] and implements river.Worker, so
// that a River client of the caller's can work its jobs as well; whoever does that calls
// Engine.Sweep and [Worker.Reconcile] from time to time.
type Worker struct {
	river.WorkerDefaults[Reference]
	carrier *Carrier
	eng     *engine.Engine
	st      *pgstore.Store
	handler Handler
}

// Worker returns a worker that has h carry out the effects of all jobs in st. eng is an engine
// on st that is not narrowed to a scope.
func (c *Carrier) Worker(eng *engine.Engine, st *pgstore.Store, h Handler) *Worker {
	return &Worker{carrier: c, eng: eng, st: st, handler: h}
}

// NextRetry implements river.Worker. Stops, which are delivered again and again, rest no
// longer than if they had not failed: 1 s after the first failure, doubled with each further
// one up to [StopEvery]. All else rests as the client's policy has it.
func (w *Worker) NextRetry(job *river.Job[Reference]) time.Time {
	if job.Queue != StopQueue {
		return time.Time{}
	}
	return time.Now().Add(min(time.Second<<min(len(job.Errors), 20), w.carrier.stop))
}

// keepWithin is how long it may take to keep what came of a run, even if its context has ended.
const keepWithin = 30 * time.Second

// Work implements river.Worker.
func (w *Worker) Work(ctx context.Context, job *river.Job[Reference]) error {
	d, err := w.st.Take(ctx, job.Args.Job, job.Args.Seq)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // it was settled, by another run or by Reconcile
	case err != nil && cutShort(ctx):
		return river.JobSnooze(0)
	case err != nil:
		return err
	}
	report, err := w.carryOut(ctx, d)
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
	defer cancel()
	var snooze *river.JobSnoozeError
	switch {
	case err == nil:
		err = w.conclude(kept, job, d, report)
	case errors.As(err, &snooze):
		err = w.goOn(kept, d, report, snooze.Duration)
	}
	switch {
	case err == nil, errors.As(err, &snooze):
		return err
	case errors.Is(err, store.ErrLeaseLost):
		// A later run has it. River cannot tell the two apart: an error would have it start
		// yet another beside that one, which loses its lease in turn, and so on. Should the
		// later one fail, Reconcile finds an effect without a River job.
		return nil
	case cutShort(ctx):
		return river.JobSnooze(0) // which takes no attempt; River knows if it was cancelled
	}
	return w.failed(kept, job, d, err)
}

// cutShort reports whether a run has lost its context otherwise than by taking too long, so
// that it has not failed.
func cutShort(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// carryOut calls the handler, unless nobody needs the effect any more.
func (w *Worker) carryOut(ctx context.Context, d store.Delivery) (*engine.Report, error) {
	view, err := w.st.View(ctx, store.Query{Job: d.Job, Step: d.Step})
	if err != nil || engine.Obsolete(d, view.Step) {
		return nil, err
	}
	var details store.Details
	if engine.NeedsDetails(d.Effect) {
		if details, err = w.st.Details(ctx, store.DetailQuery{Job: d.Job, Step: d.Step}); err != nil {
			return nil, err
		}
	}
	r, err := w.call(ctx, engine.NewDelivery(d, view, details))
	if r != nil && len(r.Results) == 0 && r.Outcome == 0 {
		r = nil // it says nothing
	}
	return r, err
}

// call calls the handler and returns a panic as an error.
func (w *Worker) call(ctx context.Context, d engine.Delivery) (report *engine.Report, err error) {
	defer func() {
		if p := recover(); p != nil {
			report, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return w.handler(ctx, d)
}

// conclude reports what a run came to, completes its River job and settles its effect, in one
// transaction. A stop is settled once its step has left terminating.
func (w *Worker) conclude(ctx context.Context, job *river.Job[Reference], d store.Delivery, r *engine.Report) error {
	stop := d.Effect == store.StopAttempt
	if r != nil && stop && r.Outcome == 0 { // it does not say that the attempt is over
		if err := w.report(ctx, d, *r); err != nil {
			return err
		}
		r = nil
	}
	if r != nil {
		ended, err := w.reportWith(ctx, d, *r, func(ctx context.Context, tx pgx.Tx) error {
			_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
			return err
		})
		if err != nil || ended {
			return err
		}
	}
	if stop {
		d.Delivered = true
		view, err := w.st.View(ctx, store.Query{Job: d.Job, Step: d.Step})
		if err != nil {
			return err
		}
		if !engine.Obsolete(d, view.Step) {
			return w.goOn(ctx, d, nil, w.carrier.stop)
		}
	}
	return w.st.Settle(ctx, d)
}

// goOn keeps what a run says that is not done yet, and has it delivered again after a while.
// It returns what tells River so.
func (w *Worker) goOn(ctx context.Context, d store.Delivery, r *engine.Report, after time.Duration) error {
	d.Failures, d.LastError = 0, ""
	if err := w.st.Defer(ctx, d); err != nil {
		return err
	}
	if r != nil {
		if err := w.report(ctx, d, *r); err != nil {
			return err
		}
	}
	return river.JobSnooze(after)
}

// report reports on the attempt of an effect. A report that comes too late is dropped.
func (w *Worker) report(ctx context.Context, d store.Delivery, r engine.Report) error {
	r.Job, r.Step, r.Attempt = d.Job, d.Step, d.Attempt
	_, err := w.eng.Report(ctx, r)
	if errors.Is(err, operation.Stale) {
		return nil
	}
	return err
}

// reportWith reports on the attempt of an effect, settles the effect and does also, in one
// transaction. It returns whether it did: it does nothing if the report comes too late or says
// nothing new.
func (w *Worker) reportWith(ctx context.Context, d store.Delivery, r engine.Report, also func(context.Context, pgx.Tx) error) (bool, error) {
	r.Job, r.Step, r.Attempt = d.Job, d.Step, d.Attempt
	ctx = pgstore.Alongside(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := pgstore.SettleTx(ctx, tx, d); err != nil {
			return err
		}
		return also(ctx, tx)
	})
	receipt, err := w.eng.Report(ctx, r)
	if errors.Is(err, operation.Stale) {
		return false, nil
	}
	return receipt.Seq != 0, err
}

// failed notes a failure for whoever looks at the job's effects and, if it is the last one,
// gives up. It returns what tells River so.
func (w *Worker) failed(ctx context.Context, job *river.Job[Reference], d store.Delivery, err error) error {
	err = plainError{err}
	d.Failures, d.LastError = d.Failures+1, brief(err.Error())
	noted := w.st.Defer(ctx, d)
	if errors.Is(noted, store.ErrLeaseLost) {
		return nil // a later run has it
	}
	var cancelled *river.JobCancelError
	switch {
	case errors.As(err, &cancelled):
		noted = w.giveUp(ctx, d, ending{job.ID, "cancelled", job.Attempt, err.Error()})
	case job.Attempt >= job.MaxAttempts:
		noted = w.giveUp(ctx, d, ending{job.ID, "discarded", job.Attempt, err.Error()})
	}
	return errors.Join(err, noted)
}

// A plainError is an error whose text a database takes: UTF-8 and without NUL. A River job with
// another one would stay running, as River could not note how it ended.
type plainError struct{ error }

func (e plainError) Error() string {
	return strings.ReplaceAll(strings.ToValidUTF8(e.error.Error(), "\uFFFD"), "\x00", "\uFFFD")
}

func (e plainError) Unwrap() error { return e.error }
