package engine

import (
	"context"
	"iter"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// pollEvery is how often a watcher or a dispatcher looks when the store cannot wake it.
const pollEvery = 200 * time.Millisecond

// A WatchOption sets up [Engine.Watch]. Of two that set the same thing the later one holds.
type WatchOption func(*watch)

type watch struct {
	quiet bool
	poll  time.Duration
}

// WithoutProgress leaves out the records of results alone, which neither change a state nor start
// an attempt.
func WithoutProgress() WatchOption { return func(w *watch) { w.quiet = true } }

// WatchPoll sets the interval between looks for new records; the default is 200 ms. A store that
// is a [store.Waker] also wakes the watcher for most of them.
func WatchPoll(every time.Duration) WatchOption {
	return func(w *watch) {
		if every > 0 {
			w.poll = every
		}
	}
}

// Watch returns the records of a job whose sequence numbers are greater than after, and then each
// new record: every record once, in order. The sequence ends with the error of ctx when ctx ends,
// with the first error of the store, or with [ErrAhead] if the job has no record with the number
// after. A new Watch from the last number seen loses and repeats no record. The end of the job does
// not end the sequence, as a person may make the job run again.
func (e *Engine) Watch(ctx context.Context, job store.JobID, after store.Seq, opts ...WatchOption) iter.Seq2[store.Record, error] {
	w := watch{poll: pollEvery}
	for _, o := range opts {
		if o != nil {
			o(&w)
		}
	}
	return func(yield func(store.Record, error) bool) {
		for seq := after; ; {
			records, err := e.tail(ctx, job, seq, w.poll)
			if err != nil {
				yield(store.Record{}, err)
				return
			}
			for _, r := range records {
				seq = r.Seq
				if (!w.quiet || r.Cause != step.Results) && !yield(r, nil) {
					return
				}
			}
		}
	}
}

// tail returns records after a sequence number. If there are none yet, it waits for a
// commit, and for poll at the latest, and may return none.
func (e *Engine) tail(ctx context.Context, job store.JobID, after store.Seq, poll time.Duration) ([]store.Record, error) {
	// Listen first and read then, so that no commit falls between.
	changed, stop := e.wake(job)
	defer stop()
	records, err := e.History(ctx, job, after, defaultLimit)
	if err == nil && len(records) == 0 {
		err = pause(ctx, changed, poll)
	}
	return records, err
}

// wake listens for commits to a job, or to any job if it is 0. If the store cannot wake, the
// channel is nil.
func (e *Engine) wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	if e.waker != nil {
		return e.waker.Wake(job)
	}
	return nil, func() {}
}
