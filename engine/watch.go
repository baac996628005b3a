package engine

import (
	"context"
	"iter"
	"time"

	"github.com/stepgate/stepgate/store"
)

// pollEvery is how often a watcher or a dispatcher looks when the store cannot wake it.
const pollEvery = 200 * time.Millisecond

// A WatchOption sets up a [Engine.Watch].
type WatchOption func(*watch)

type watch struct {
	quiet bool
	poll  time.Duration
}

// WithoutProgress leaves out records that neither change a state nor start an attempt:
// reports of results alone.
func WithoutProgress() WatchOption { return func(w *watch) { w.quiet = true } }

// WatchPoll sets how often a store without a [store.Waker] is asked; the default is
// 200 ms.
func WatchPoll(every time.Duration) WatchOption {
	return func(w *watch) {
		if every > 0 {
			w.poll = every
		}
	}
}

// Watch returns the history of a job that comes after the sequence number after, and
// then its tail as it grows: every record once, in order. The sequence ends when ctx
// does, with ctx's error, or at the first error of the store. Going on from the last
// sequence number seen loses and repeats nothing. It does not end with the job, which
// a person may make run again.
func (e *Engine) Watch(ctx context.Context, job store.JobID, after store.Seq, opts ...WatchOption) iter.Seq2[store.Record, error] {
	w := watch{poll: pollEvery}
	for _, o := range opts {
		o(&w)
	}
	return func(yield func(store.Record, error) bool) {
		for seq := after; ; {
			// Listen first and read then, so that no commit falls between.
			changed, stop := e.wake(job)
			records, err := e.History(ctx, job, seq, defaultLimit)
			if err != nil {
				stop()
				yield(store.Record{}, err)
				return
			}
			for _, r := range records {
				seq = r.Seq
				if (w.quiet && !r.Moves()) || yield(r, nil) {
					continue
				}
				stop()
				return
			}
			if len(records) == 0 {
				wait(ctx, changed, w.poll)
			}
			stop()
		}
	}
}

// wake listens for commits to a job, 0 meaning any; where the store cannot, the channel
// is nil.
func (e *Engine) wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	if w, ok := e.store.(store.Waker); ok {
		return w.Wake(job)
	}
	return nil, func() {}
}

// wait returns when changed is closed or ctx ends; without changed, after poll at the
// latest.
func wait(ctx context.Context, changed <-chan struct{}, poll time.Duration) {
	if changed != nil {
		select {
		case <-changed:
		case <-ctx.Done():
		}
		return
	}
	_ = sleep(ctx, poll) // ctx's end shows at the next read
}
