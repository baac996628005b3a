package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The sizes and times of reports: results are sent together, but none waits long.
const (
	flushEvery = 200 * time.Millisecond
	flushAt    = 1000             // finished results
	endAt      = 256              // finished results, while 128 hosts are left and no more than have finished
	pendingMax = 4000             // maximum of finished results that wait; then no function begins
	pollEvery  = 2 * time.Second  // between looks at a step while no report is sent
	lastWords  = 2 * time.Second  // for finished results once the drain time is over
	lostWords  = 30 * time.Second // and once the lease is lost
)

// The maximum size of a report. Many proxies take 1 MiB of JSON, in which quotes in details are
// escaped.
const (
	reportBytes = 512 << 10
	resultBytes = 144 // of a result, at most, without its detail

	_ uint = engine.MaxResults - reportBytes/resultBytes // not negative
)

// reports are the results of an attempt on their way to the source.
type reports struct {
	wake chan struct{} // told when a report is due at once
	done chan struct{} // closed when all are taken, or dropped

	mu      sync.Mutex // guards all below
	pending batch
	since   time.Time           // of the oldest of pending
	sending bool                // a report is under way
	urgent  bool                // pending must be sent at once
	closed  bool                // no further results come
	broken  bool                // the last report is that the attempt broke
	reason  string              // why it broke
	begun   map[int32]step.Time // start times of the hosts that functions work on
	taken   chan struct{}       // closed, and replaced, when a report was answered
}

func newReports() reports {
	return reports{wake: make(chan struct{}, 1), done: make(chan struct{}), taken: make(chan struct{}), begun: map[int32]step.Time{}}
}

// begins notes that the work on a host begins.
func (a *attempt) begins(h Host, at time.Time) {
	a.out.mu.Lock()
	a.out.begun[h.Index] = step.At(at)
	a.out.mu.Unlock()
	a.progress(h, "")
}

// progress reports a host as running, if there is room.
func (a *attempt) progress(h Host, detail string) {
	out := &a.out
	out.mu.Lock()
	defer out.mu.Unlock()
	if _, known := out.pending.at[h.Index]; known || len(out.pending.results) < pendingMax {
		started := cmp.Or(out.begun[h.Index], step.At(a.task.began))
		a.add(engine.TargetResult{Target: h.Index, Result: store.Result{Status: step.TargetRunning, Started: started, Detail: detail}})
	}
}

// began returns the time at which the work on a host began.
func (a *attempt) began(h Host) time.Time {
	a.out.mu.Lock()
	defer a.out.mu.Unlock()
	return cmp.Or(a.out.begun[h.Index], step.At(a.task.began)).Std()
}

// result reports the result of a host. After a lost lease, and after the drain time, only a
// success counts.
func (a *attempt) result(h Host, r store.Result) {
	counts := !a.isGone() || r.Status.Success()
	a.out.mu.Lock()
	defer a.out.mu.Unlock()
	delete(a.out.begun, h.Index)
	if !counts {
		return
	}
	a.add(engine.TargetResult{Target: h.Index, Result: r})
}

// add adds r to the waiting results. a.out is locked. Towards the end of a step, half of the results
// are sent while functions work on the other half, so that the last report is short.
func (a *attempt) add(r engine.TargetResult) {
	out := &a.out
	before := len(out.pending.results)
	if out.closed || isClosed(out.done) || !out.pending.add(r) {
		return
	}
	if before == 0 {
		out.since = time.Now()
	}
	if out.pending.finished >= endAt && out.pending.finished%16 == 0 {
		left := a.share.left()
		out.urgent = out.urgent || endAt/2 <= left && left <= out.pending.finished
	}
	if before == 0 || out.pending.finished == flushAt || out.urgent {
		tell(out.wake)
	}
	if out.pending.finished == pendingMax {
		a.share.setFull(true)
	}
}

// awaitRoom waits while too many results wait, and reports whether there is room. It reports false
// when enough is closed, and after a break, as the results are then sent at the end.
func (a *attempt) awaitRoom(enough <-chan struct{}) bool {
	for {
		a.out.mu.Lock()
		full, broken, taken := a.out.pending.finished >= pendingMax && !a.out.closed, a.out.broken, a.out.taken
		a.out.mu.Unlock()
		if !full || broken {
			return !full
		}
		select {
		case <-taken:
		case <-enough:
			return false
		case <-a.out.done:
			return false
		}
	}
}

// flush sends the waiting results at once, and waits until the source has taken them.
func (a *attempt) flush(ctx context.Context) error {
	out := &a.out
	for {
		out.mu.Lock()
		left, taken := len(out.pending.results) > 0 && !out.broken || out.sending, out.taken
		if out.urgent = left; left {
			tell(out.wake)
		}
		out.mu.Unlock()
		if !left {
			return nil
		}
		select {
		case <-taken:
		case <-out.done:
			return ErrOver
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// breakOff makes the last report end the attempt as broken.
func (a *attempt) breakOff(reason string) {
	a.out.mu.Lock()
	again := a.out.broken || a.out.closed
	if !again {
		a.out.broken, a.out.reason = true, reason
	}
	a.out.mu.Unlock()
	if !again {
		a.stop(ErrOver)
	}
}

func (a *attempt) isBroken() bool {
	a.out.mu.Lock()
	defer a.out.mu.Unlock()
	return a.out.broken
}

// closeReports sends the waiting results at once; no further results come.
func (a *attempt) closeReports() {
	a.out.mu.Lock()
	defer a.out.mu.Unlock()
	a.out.closed = true
	tell(a.out.wake)
}

// report sends results until they are closed and taken, or ctx ends. While there are none, it reads
// the state of the step.
func (a *attempt) report(ctx context.Context) {
	defer close(a.out.done)
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	for look := time.Now().Add(pollEvery); ctx.Err() == nil; {
		now := time.Now()
		results, outcome, due, over := a.take(now)
		switch {
		case over:
			return
		case len(results) > 0 || outcome != 0:
			a.send(ctx, results, outcome)
			look = time.Now().Add(pollEvery)
			continue
		case !now.Before(look):
			a.look(ctx)
			look = time.Now().Add(pollEvery)
			continue
		case due.IsZero() || look.Before(due):
			due = look
		}
		timer.Reset(time.Until(due))
		select {
		case <-a.out.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// boundReports ends the reports, once no function is at work, 30 s after the lease is lost and 2 s
// after the end of ctx, the drain time. Hosts whose results were not taken by then run again.
func (a *attempt) boundReports(ctx context.Context) {
	for _, c := range []<-chan struct{}{a.idle, a.gone} {
		select {
		case <-c:
		case <-a.out.done:
			return
		}
	}
	bounded, cancel := lastly(ctx, lostWords)
	defer cancel()
	select {
	case <-bounded.Done():
		a.drop(context.DeadlineExceeded)
	case <-a.out.done:
	}
}

// take takes the results for a report now, with the outcome of the attempt if it broke and these
// are the last. If there are none, due is the time of the next report, and over says whether all
// were taken.
func (a *attempt) take(now time.Time) (results []engine.TargetResult, outcome step.Cause, due time.Time, over bool) {
	out := &a.out
	out.mu.Lock()
	defer out.mu.Unlock()
	out.sending = false
	close(out.taken)
	out.taken = make(chan struct{})
	switch {
	case out.broken && !out.closed: // they could end the attempt before it breaks
		return nil, 0, time.Time{}, false
	case len(out.pending.results) == 0 && !out.broken:
		return nil, 0, time.Time{}, out.closed
	case !out.closed && !out.urgent && out.pending.finished < flushAt && now.Before(out.since.Add(flushEvery)):
		return nil, 0, out.since.Add(flushEvery), false
	}
	if out.broken { // with progress alone in the last report, those before it could end the attempt
		out.pending.dropProgress()
	}
	results = out.pending.take()
	if out.broken && len(out.pending.results) == 0 {
		out.broken, outcome = false, step.Broke
	}
	out.since, out.sending, out.urgent = now, true, false
	if out.pending.finished < pendingMax {
		a.share.setFull(false)
	}
	return results, outcome, time.Time{}, false
}

// send reports until the source has answered, and acts on the answer.
func (a *attempt) send(ctx context.Context, results []engine.TargetResult, outcome step.Cause) {
	r := engine.Report{Job: a.job, Step: a.step, Attempt: a.attempt, By: a.p.by, Results: results, Outcome: outcome}
	if outcome != 0 {
		r.Reason = a.out.reason
	}
	receipt, err := a.p.report(ctx, r)
	switch {
	case err == nil:
		a.saw(receipt.State)
	case isOver(err):
		a.end(ErrOver)
	case ctx.Err() == nil:
		a.giveUp(fmt.Errorf("report of %d results: %w", len(results), err))
	}
}

// report sends a report until the source has answered. If the engine refuses the length of the
// reason, it sends the report without one.
func (p *process) report(ctx context.Context, r engine.Report) (receipt engine.ReportReceipt, err error) {
	send := func(ctx context.Context) (err error) {
		receipt, err = p.src.Report(ctx, r)
		return err
	}
	err = p.again(ctx, key{r.Job, r.Step, r.Attempt}, "report", send)
	if refusal := (*engine.Refusal)(nil); r.Reason != "" && errors.As(err, &refusal) && refusal.Reason == operation.InvalidInput {
		r.Reason = ""
		err = p.again(ctx, key{r.Job, r.Step, r.Attempt}, "report", send)
	}
	return receipt, err
}

// look reads the state of the step, and acts on it. A failure changes nothing.
func (a *attempt) look(ctx context.Context) {
	var s store.Step
	err := within(ctx, callWait, func(ctx context.Context) (err error) {
		s, err = a.p.src.Step(ctx, a.job, a.step)
		return err
	})
	switch {
	case isOver(err), err == nil && s.Attempt != a.attempt:
		a.end(ErrOver)
	case err == nil:
		a.saw(s.State)
	case ctx.Err() == nil:
		a.p.failed(ctx, a.key.error("read the step", err))
	}
}

// saw acts on the state of the step in this attempt, as the effect of the change may go to another
// process.
func (a *attempt) saw(in step.State) {
	switch in {
	case 0, step.Running:
	case step.Terminating:
		a.sawStop.Store(true)
		a.end(ErrStopped)
	default:
		a.end(ErrOver)
	}
}
