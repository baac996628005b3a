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

// A Handler carries out one effect. It must be safe for concurrent use, and must keep the contract
// of engine.Handler. Its error determines what follows:
//
//   - nil settles the effect. The report, if any, is committed in one transaction with that and with
//     the completion of the River job. Its Job, Step and Attempt are replaced by those of the
//     effect. A report on an attempt that is over is dropped. More than engine.MaxResults results need several
//     reports: all but the last with river.JobSnooze. A stop is delivered again after [StopEvery] if its
//     step is still terminating.
//   - river.JobSnooze delivers the effect again after its duration, and is no failure: the attempt
//     continues. The report, if any, is committed by itself.
//   - river.JobCancel gives the effect up at once.
//   - Any other error, and a panic, is a failure. River delivers the effect again, and gives it up
//     after [river.Config.MaxAttempts] failures. Until then Engine.Effects returns the last error.
//
// When River gives up a run or a stop, the attempt ends as broke: the step becomes abnormal, or
// terminated if it was terminating.
//
// ctx ends with the timeout of the River job, which is a failure, and with the worker, which is no
// failure.
type Handler func(ctx context.Context, d engine.Delivery) (*engine.Report, error)

// SelfReporting returns a Handler for h, which sends its reports itself as with Engine.Dispatch.
func SelfReporting(h engine.Handler) Handler {
	return func(ctx context.Context, d engine.Delivery) (*engine.Report, error) { return nil, h(ctx, d) }
}

// A Worker carries out effects. [Carrier.Worker] returns one. It is safe for concurrent use. It
// implements river.Worker: a River client of yours can work its jobs in place of [Worker.Run]. Your
// program must then call Engine.Sweep and [Worker.Reconcile] at regular intervals.
type Worker struct {
	river.WorkerDefaults[Reference]
	carrier *Carrier
	eng     *engine.Engine
	st      *pgstore.Store
	handler Handler
}

// Worker returns a worker that carries out the effects of all jobs in st with h. eng must be an
// engine on st that is not narrowed to a scope.
func (c *Carrier) Worker(eng *engine.Engine, st *pgstore.Store, h Handler) *Worker {
	return &Worker{carrier: c, eng: eng, st: st, handler: h}
}

// NextRetry implements river.Worker. The back-off of a stop is 1 s after the first failure, doubled
// with each further failure in a row up to [StopEvery]. Other effects follow the retry policy of
// the client.
func (w *Worker) NextRetry(job *river.Job[Reference]) time.Time {
	if job.Queue != StopQueue {
		return time.Time{}
	}
	return time.Now().Add(min(time.Second<<min(len(job.Errors), 20), w.carrier.stop))
}

// keepWithin bounds the commit of a run's result, which also happens if its context has ended.
const keepWithin = 30 * time.Second

// Work implements river.Worker: it carries out the effect of job.
func (w *Worker) Work(ctx context.Context, job *river.Job[Reference]) error {
	d, err := w.st.Take(ctx, job.Args.Job, job.Args.Seq)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // settled by another run or by Reconcile
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
		// A later run has the effect. River cannot tell the two runs apart: after an error it
		// would start a third run, the second would lose its lease, and so on. If the later run
		// fails, Reconcile finds an effect without a River job.
		return nil
	case cutShort(ctx):
		return river.JobSnooze(0) // counts no attempt; River knows whether the job was cancelled
	}
	return w.failed(kept, job, d, err)
}

// cutShort reports whether the context of a run has ended for another reason than its timeout: the
// run has not failed then.
func cutShort(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// carryOut calls the handler, unless the effect is obsolete.
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
		r = nil // an empty report
	}
	return r, err
}

// call calls the handler, and returns a panic as an error.
func (w *Worker) call(ctx context.Context, d engine.Delivery) (report *engine.Report, err error) {
	defer func() {
		if p := recover(); p != nil {
			report, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return w.handler(ctx, d)
}

// conclude commits the report of a run, completes its River job and settles its effect, in one
// transaction. It settles a stop only when the step is no longer terminating.
func (w *Worker) conclude(ctx context.Context, job *river.Job[Reference], d store.Delivery, r *engine.Report) error {
	stop := d.Effect == store.StopAttempt
	if r != nil && stop && r.Outcome == 0 { // the attempt is not over
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

// goOn commits the report of an unfinished run. It returns the error that makes River deliver the
// effect again after the given time.
func (w *Worker) goOn(ctx context.Context, d store.Delivery, r *engine.Report, after time.Duration) error {
	d.Held, d.Failures, d.LastError = false, 0, ""
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

// report reports on the attempt of an effect. It drops a stale report.
func (w *Worker) report(ctx context.Context, d store.Delivery, r engine.Report) error {
	r.Job, r.Step, r.Attempt = d.Job, d.Step, d.Attempt
	_, err := w.eng.Report(ctx, r)
	if errors.Is(err, operation.Stale) {
		return nil
	}
	return err
}

// reportWith reports on the attempt of an effect, settles the effect and calls also, in one
// transaction. It returns false, and does nothing, if the report is stale or has no news.
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

// failed records a failure in the effect, for Engine.Effects, and gives the effect up after the
// last one. It returns the error for River.
func (w *Worker) failed(ctx context.Context, job *river.Job[Reference], d store.Delivery, err error) error {
	err = plainError{err}
	d.Held, d.Failures, d.LastError = false, d.Failures+1, brief(err.Error())
	noted := w.st.Defer(ctx, d)
	if errors.Is(noted, store.ErrLeaseLost) {
		return nil // a later run has the effect
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

// A plainError is an error with a text that PostgreSQL stores: UTF-8 without NUL. With another text
// River could not record the end of the job, and the job would stay running.
type plainError struct{ error }

func (e plainError) Error() string {
	return strings.ReplaceAll(strings.ToValidUTF8(e.error.Error(), "\uFFFD"), "\x00", "\uFFFD")
}

func (e plainError) Unwrap() error { return e.error }
