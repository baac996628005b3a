package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// beginRun takes a share of the places for a run.
func (p *process) beginRun() func(context.Context, held) {
	s := p.places.join()
	return func(ctx context.Context, d held) {
		defer s.leave()
		if d.lease != nil {
			p.runOnce(ctx, d, s)
		}
	}
}

// runOnce carries out a run. A run that comes again while its attempt runs gives the attempt the new
// lease. A run that comes while the attempt ends waits, and then works on the hosts that are left.
// No run is released to another process while its functions are at work here, not even at the end of
// Run.
func (p *process) runOnce(ctx context.Context, d held, s *share) {
	for !p.isClosing() {
		a, working, reporting, other := p.enter(ctx, d, s)
		switch {
		case a != nil:
			d.lease.whenLost(func(err error) { a.lose(d.lease, err) })
			a.carryOut(ctx, working, reporting)
			return
		case other == nil:
			return
		}
		s.setAside(true)
		select {
		case <-other.done:
		case <-d.lease.gone:
			d.lease.release(ctx)
			return
		}
		s.setAside(false)
	}
	if other := p.running(keyOf(d.Delivery)); other != nil {
		if other.adopt(d.lease) {
			return
		}
		select {
		case <-other.done:
		case <-d.lease.gone:
		}
	}
	d.lease.release(ctx)
}

// carryOut carries out an attempt that is on the list, and ends its claim.
func (a *attempt) carryOut(ctx, working, reporting context.Context) {
	defer a.leave()
	defer context.AfterFunc(ctx, func() { a.end(ErrShutdown) })()
	feeding, stop := context.WithCancelCause(working)
	defer stop(nil)
	go func() { // other processes work on the rest of the hosts
		select {
		case <-a.p.closing:
			stop(ErrShutdown)
		case <-feeding.Done():
		}
	}()
	current, err := a.prepare(feeding)
	if current {
		go a.report(reporting)
		go a.boundReports(ctx)
		err = a.work(feeding, working, reporting)
		a.share.setAside(true)
		a.closeReports()
		<-a.out.done
		if err == nil && working.Err() == nil {
			a.look(reporting)
		}
	}
	a.giveBack(ctx, context.Cause(working) == ErrStopped, err)
}

// prepare ends older attempts, and reports whether the step still runs in this one: a stop that was
// carried out before a was on the list shows there, and a later one finds a on the list.
func (a *attempt) prepare(ctx context.Context) (bool, error) {
	if a.attempt > 1 {
		a.share.setAside(true)
		older := func(k key) bool { return k.job == a.job && k.step == a.step && k.attempt < a.attempt }
		if err := a.p.endAll(ctx, ErrOver, a.job, a.seq, older); err != nil {
			return false, err
		}
		a.share.setAside(false)
	}
	var s store.Step
	err := a.p.again(ctx, a.key, "read the step", func(ctx context.Context) (err error) {
		s, err = a.p.src.Step(ctx, a.job, a.step)
		return err
	})
	if isOver(err) || err == nil && (s.Attempt != a.attempt || s.State != step.Running) {
		a.end(ErrOver)
		return false, nil
	}
	return err == nil, err
}

// work works on the due hosts of an attempt without a result, until none is left or feeding has
// ended, and waits for its functions.
func (a *attempt) work(feeding, working, reporting context.Context) error {
	doing, cancel := working, context.CancelFunc(func() {})
	if deadline := a.task.deadline(); deadline != 0 {
		doing, cancel = context.WithDeadline(working, deadline.Std())
	}
	defer cancel()
	feeding, stop := context.WithCancelCause(feeding)
	defer context.AfterFunc(doing, func() { stop(context.Cause(doing)) })()
	defer stop(nil)
	err := a.workOn(feeding, doing, reporting)
	if doing.Err() != nil && working.Err() == nil { // the deadline has passed: by the engine's clock, too?
		a.share.setAside(true)
		select {
		case <-working.Done():
		case <-a.p.closing:
		}
	}
	return err
}

// workOn calls the function of the step's type.
func (a *attempt) workOn(feeding, doing, reporting context.Context) error {
	if f := a.p.hosts[a.task.Step.Type]; f != nil {
		a.share.work = func(h Host) { a.host(doing, f, h) }
		return a.eachHost(feeding)
	}
	f := a.p.steps[a.task.Step.Type]
	if f == nil { // the source does not select by type
		return fmt.Errorf("executor: no function for %v steps", a.task.Step.Type)
	}
	var result store.Result // without a status until f has returned
	a.share.work = func(Host) { a.whole(doing, f, &result) }
	a.share.add([]Host{{Index: -1}}, true)
	err := a.awaitIdle(feeding)
	if a.isBroken() || !result.Status.Finished() || a.isGone() && !result.Status.Success() {
		return err
	}
	return a.rest(reporting, result)
}

// eachHost works on every due host without a result, several at once, and waits for those that have
// begun.
func (a *attempt) eachHost(ctx context.Context) (err error) {
	for from, more := int32(0), true; more && err == nil; {
		var page []Host
		if page, err = a.page(ctx, from); err != nil {
			break
		}
		if more = len(page) == pageSize; more {
			from = page[pageSize-1].Index + 1
		}
		a.share.add(page, more)
		for more && err == nil && !a.share.few() {
			err = a.await(ctx)
		}
	}
	if idle := a.awaitIdle(ctx); err == nil {
		err = idle
	}
	return err
}

// awaitIdle returns when the work on every host is over or, after ctx has ended, when no function is
// at work: then the error is the cause.
func (a *attempt) awaitIdle(ctx context.Context) (err error) {
	for err == nil && !a.share.idle() {
		err = a.await(ctx)
	}
	a.share.drop()
	for !a.share.idle() {
		<-a.share.news
	}
	close(a.idle)
	return err
}

// await waits for news of the share, or for the end of ctx, whose cause it returns.
func (a *attempt) await(ctx context.Context) error {
	select {
	case <-a.share.news:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// host calls f for one host, and reports the result, also that of a panic.
func (a *attempt) host(ctx context.Context, f HostFunc, h Host) {
	if ctx.Err() != nil {
		return
	}
	started := time.Now()
	a.begins(h, started)
	var r store.Result
	returned := false
	defer func() {
		if !returned {
			r = a.panicked(ctx, newPanicked(recover()), fmt.Sprintf("host %q", h.Name))
		}
		a.result(h, complete(r, started))
	}()
	r = f(ctx, a.task, h)
	returned = true
}

// whole calls f for a step, and sets r to its result, also that of a panic.
func (a *attempt) whole(ctx context.Context, f StepFunc, r *store.Result) {
	if ctx.Err() != nil {
		return
	}
	started := time.Now()
	returned := false
	defer func() {
		if !returned {
			*r = a.panicked(ctx, newPanicked(recover()), "step")
		}
		*r = complete(*r, started)
	}()
	*r = f(ctx, a.task)
	returned = true
}

// panicked tells of a panic of the function for what, and returns the result for its hosts.
func (a *attempt) panicked(ctx context.Context, err *panicked, what string) store.Result {
	a.p.failed(ctx, a.key.error("function of the "+what, err))
	return store.Result{Status: step.TargetFailed, Detail: err.brief()}
}

// rest reports r for every host without a result.
func (a *attempt) rest(ctx context.Context, r store.Result) error {
	if err := a.flush(ctx); err != nil {
		return err
	}
	for from := int32(0); ; {
		page, err := a.page(ctx, from)
		if err != nil {
			return err
		}
		for _, h := range page {
			if !a.awaitRoom(ctx.Done()) {
				return context.Cause(ctx)
			}
			a.result(h, r)
		}
		if len(page) < pageSize {
			return nil
		}
		from = page[pageSize-1].Index + 1
	}
}

// giveBack ends the claim of an attempt whose work here is over: the effect is settled if the step
// does not need it any more, has failed, or is due again at once for the hosts that are left.
func (a *attempt) giveBack(ctx context.Context, stopped bool, err error) {
	a.mu.Lock()
	a.ended = true
	l, over, failure := a.lease, a.over, a.failure
	a.mu.Unlock()
	switch {
	case failure != nil:
		l.fail(ctx, failure)
	case over:
		l.settle(ctx)
	case stopped:
		a.stopUnasked(ctx)
		l.settle(ctx)
	case a.isGone(), a.p.isClosing():
		l.release(ctx)
	case err != nil:
		l.fail(ctx, err)
	default:
		l.fail(ctx, a.errNoResult())
	}
}

// stopUnasked reports that the attempt has stopped, if the step is terminating and no stop came
// here, as the effect may be settled.
func (a *attempt) stopUnasked(ctx context.Context) {
	if !a.sawStop.Load() {
		return
	}
	ctx, cancel := lastly(ctx, callWait)
	defer cancel()
	_, err := a.p.report(ctx, engine.Report{Job: a.job, Step: a.step, Attempt: a.attempt, By: a.p.by, Outcome: step.Stopped})
	if err != nil && !errors.Is(err, operation.Stale) {
		a.p.failed(ctx, a.key.error("report the stop", err))
	}
}
