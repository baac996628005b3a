package enginetest

import (
	"context"
	"errors"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

// Promise 1: a repeated request gets its first answer, the same id with another request is refused,
// and nothing changes.
func (w *sequence) repeat(j *tracked) {
	defer func(strict bool) { w.strict = strict }(w.strict)
	w.strict = false
	e, r := w.engine(), player.Of(w, "request", j.requests)
	if record, err := r.Send(context.Background(), e); err != nil || record != r.record {
		w.Fatalf("promise 1: %v again: got %+v, %v, want the record %+v", r, record, err, r.record)
	}
	r.By = "eve"
	if record, err := r.Send(context.Background(), e); !errors.Is(err, operation.RequestReused) {
		w.Fatalf("promise 1: %v, which was another caller's: got %+v, %v, want a refusal as reused", r, record, err)
	}
	w.after(j, answer{})
}

// Promise 4: a report of an old attempt changes nothing.
func (w *sequence) reportLate(j *tracked) {
	r := w.newReport(&j.last)
	current := r.Attempt
	r.Attempt = int32(1 + w.Below(int(current)-1, "attempt"))
	w.sent[r.By] = r
	_, err := w.engine().Report(context.Background(), r)
	if !errors.Is(err, operation.Stale) {
		w.Fatalf("promise 4: a report of attempt %d while it is attempt %d: got %v, want a refusal as stale", r.Attempt, current, err)
	}
	w.after(j, answer{err: err})
}

// Promise 4: a report that is sent again changes nothing.
func (w *sequence) reportTwice(j *tracked) {
	r := j.reports[len(j.reports)-1]
	if s := j.last.Steps[r.Step-1]; r.Outcome != 0 || s.Attempt != r.Attempt {
		return
	}
	receipt, err := w.engine().Report(context.Background(), r)
	if err == nil && (receipt.Accepted != 0 || receipt.Seq != 0) || err != nil && !errors.Is(err, operation.Stale) {
		// A target that is reported running and then finished in one report is
		// contradicted, not changed, by the repetition.
		w.Fatalf("promise 4: the report %+v again: got %+v, %v, want nothing accepted or a refusal as stale", r, receipt, err)
	}
	w.after(j, answer{err: err})
}

var errOnPurpose = errors.New("failed on purpose")

// deliver delivers the due effects; every third effect fails the first time.
func (w *sequence) deliver() {
	_, err := w.engine().Deliver(context.Background(), func(_ context.Context, d engine.Delivery) error {
		if d.Seq%3 == 0 && d.Count == 1 {
			return errOnPurpose
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.delivered[d.Job.ID] == nil {
			w.delivered[d.Job.ID] = map[store.Seq]bool{}
		}
		w.delivered[d.Job.ID][d.Seq] = true
		return nil
	})
	if err != nil && !errors.Is(err, errOnPurpose) {
		w.Fatalf("Deliver: %v", err)
	}
	for _, j := range w.jobs {
		w.after(j, answer{})
	}
}
