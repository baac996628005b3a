package executor

import (
	"context"
	"iter"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Task is one attempt of one step in this process. Its methods are safe for concurrent use; once
// the attempt is over here, and on a Task that no executor has made, they do nothing.
type Task struct {
	Job      store.Job  // as it stood when the run was claimed
	Step     store.Step // as it stood then, with its payload
	Attempt  int32      // number of the attempt in its step, from 1 on
	Run      store.Run  // which targets the attempt covers
	Delivery int32      // of the run, from 1 on: above 1 an earlier process may have died

	// Who asked for the attempt, why, and by which operation or event.
	By, Because string
	Cause       step.Cause

	a     *attempt // nil: no executor has made it
	began time.Time
}

// Progress reports a host as running, with a word for the operator: 256 characters on one line. It
// does not wait: reports are sent together, the latest of a host replaces those before, and one is
// dropped while too many results wait.
func (t *Task) Progress(h Host, detail string) {
	if t.a == nil || !t.knows(h) {
		return
	}
	t.a.progress(h, oneLine(detail, maxDetail))
}

// Report reports a host's result. The first result of a host stands. Report does not wait for the
// engine, but while 4,000 results wait to be reported; reports are sent together. What counts after
// the context of the function has ended: see [HostFunc].
func (t *Task) Report(h Host, r store.Result) {
	if t.a == nil || !t.knows(h) {
		return
	}
	if t.a.awaitRoom(t.a.gone) {
		t.a.result(h, complete(r, t.a.began(h)))
	}
}

// knows reports whether the step has h, and tells if not.
func (t *Task) knows(h Host) bool {
	if h.Index >= 0 && h.Index < t.Step.Total {
		return true
	}
	refusal := invalid("Host", "the step has no target %d, only 0 to %d", h.Index, t.Step.Total-1)
	t.a.p.failed(context.Background(), t.a.key.error("report", refusal))
	return false
}

// Hosts reads, by pages of 1,000, the hosts that the attempt covers and that have no result in it.
// First it has what was reported before sent. The sequence ends with an error at the end of ctx,
// and with [ErrOver] once the attempt is over.
func (t *Task) Hosts(ctx context.Context) iter.Seq2[Host, error] {
	return func(yield func(Host, error) bool) {
		if t.a == nil {
			return
		}
		if err := t.a.flush(ctx); err != nil {
			yield(Host{}, err)
			return
		}
		for from := int32(0); ; {
			page, err := t.a.page(ctx, from)
			if err != nil {
				yield(Host{}, err)
				return
			}
			for _, h := range page {
				if !yield(h, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			from = page[len(page)-1].Index + 1
		}
	}
}

// Break ends the attempt whatever the results of its hosts are: the step is abnormal, with the reason,
// of which 500 characters are kept, and the contexts of its functions end with [ErrOver]. Results of
// hosts are reported, too, but for those after the first 4,000 that wait, and for those that a
// [StepFunc] returns. The first Break counts.
func (t *Task) Break(reason string) {
	if t.a != nil {
		t.a.breakOff(oneLine(reason, maxReason))
	}
}
