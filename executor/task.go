package executor

import (
	"context"
	"iter"
	"time"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A Task is one attempt of one step in this process. Its methods are safe for concurrent use. They
// do nothing after the attempt is over here, and on a Task that no executor has made.
type Task struct {
	Job      store.Job  // when the run was claimed
	Step     store.Step // when the run was claimed, with its payload
	Attempt  int32      // number of the attempt in its step, from 1
	Run      store.Run  // which targets the attempt covers
	Delivery int32      // number of the delivery of the run, from 1: above 1 an earlier process may have died

	// The person who asked for the attempt, their reason, and the operation or event.
	By, Because string
	Cause       step.Cause

	a     *attempt // nil: no executor has made it
	began time.Time
}

// deadline returns the first deadline of the attempt, its step and its job, or 0.
func (t *Task) deadline() (first step.Time) {
	for _, moment := range [...]step.Time{t.Step.Deadline, t.Step.Expires, t.Job.Deadline} {
		if moment != 0 && (first == 0 || moment < first) {
			first = moment
		}
	}
	return first
}

// Progress reports a host as running, with a text for people, cut to 256 characters on one line. It
// does not wait: reports are sent together, the latest of a host replaces earlier ones, and a report
// is dropped while too many results wait.
func (t *Task) Progress(h Host, detail string) {
	if t.a == nil || !t.knows(h) {
		return
	}
	t.a.progress(h, oneLine(detail, maxDetail))
}

// Report reports a host's result. The first result of a host stands. Results are sent together, and
// Report does not wait for the engine unless 4,000 results wait to be sent. [HostFunc] says which
// results count after the context of the function has ended.
func (t *Task) Report(h Host, r store.Result) {
	if t.a == nil || !t.knows(h) {
		return
	}
	if t.a.awaitRoom(t.a.gone) {
		t.a.result(h, complete(r, t.a.began(h)))
	}
}

// knows reports whether the step has h in its batch, and tells of a failure if not.
func (t *Task) knows(h Host) bool {
	first, end := t.Run.Window(t.Step.Total)
	if first <= h.Index && h.Index < end {
		return true
	}
	refusal := invalid("Host", "the attempt has no target %d, only %d to %d", h.Index, first, end-1)
	t.a.p.failed(context.Background(), t.a.key.error("report", refusal))
	return false
}

// Hosts returns the hosts that the attempt covers and that have no result in it, which it reads in
// pages of 1,000. It first sends the results that were reported before. The sequence ends with an
// error at the end of ctx, and with [ErrOver] once the attempt is over.
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

// Break ends the attempt whatever the results of its hosts are: the step becomes abnormal, with the
// first 500 characters of the reason, and the contexts of its functions end with [ErrOver]. Results
// of hosts are still reported, except those after the first 4,000 that wait, and the result that a
// [StepFunc] returns. The first Break counts.
func (t *Task) Break(reason string) {
	if t.a != nil {
		t.a.breakOff(oneLine(reason, maxReason))
	}
}
