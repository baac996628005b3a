package executortest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor/executortest"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// by returns an executor by hand, an engine.Handler, with one flaw, or none.
func by(f flaw) executortest.Start {
	return func(ctx context.Context, p executortest.Process) error {
		h := &handler{p: p, flaw: f, places: make(chan struct{}, 16), stops: make(chan struct{}, 1), running: map[key]*attempt{}}
		if f != leavesFunctions {
			defer h.left.Wait()
		}
		if f == neverRenews {
			return h.fetch(ctx)
		}
		if f == servesAllTypes {
			return p.Engine.Dispatch(ctx, h.handle, engine.Lease(p.Lease))
		}
		return p.Engine.Dispatch(ctx, h.handle, engine.Lease(p.Lease), engine.Types(p.Type))
	}
}

var (
	errStopped = errors.New("the attempt is told to stop")
	errOver    = errors.New("the attempt is over")
)

type key struct {
	job      store.JobID
	step     step.ID
	attempt  int32
	delivery int32 // 0, but for the flaw runsTwice
}

// An attempt runs in this process. Functions have the context working, reports have reporting.
type attempt struct {
	key
	working, reporting context.Context
	stop, drop         context.CancelCauseFunc // end working, and both
	done               chan struct{}           // closed once nothing of it runs
	err                error                   // what its run came to; set before done is closed
}

type handler struct {
	p      executortest.Process
	flaw   flaw
	places chan struct{} // one for each function at work
	left   sync.WaitGroup
	stops  chan struct{} // holds a token for a stop, for the flaw stopsOneByOne

	mu      sync.Mutex // guards all below
	running map[key]*attempt
}

// fetch claims effects, and never renews their leases.
func (h *handler) fetch(ctx context.Context) error {
	for ctx.Err() == nil {
		due, err := h.p.Engine.Claim(ctx, engine.ClaimQuery{Types: step.TypesOf(h.p.Type), Lease: h.p.Lease, Wait: time.Second})
		if err != nil && ctx.Err() == nil {
			_ = pause(ctx, time.Second)
		}
		for _, d := range due {
			h.left.Go(func() {
				if h.handle(ctx, d) == nil {
					_ = h.p.Engine.Settle(ctx, d.Claimed())
				}
			})
		}
	}
	return nil
}

func (h *handler) handle(ctx context.Context, d engine.Delivery) error {
	switch d.Effect {
	case store.RunTargets:
		if h.flaw == settlesBefore {
			h.left.Go(func() { _ = h.run(context.WithoutCancel(ctx), d) })
			return nil
		}
		return h.run(ctx, d)
	case store.StopAttempt:
		return h.stop(ctx, d)
	case store.JobEnded:
		return h.ended(ctx, d)
	}
	if h.flaw == refusesQuestions {
		return errors.New("a question")
	}
	return nil
}

// run carries out a run, or waits for the one that does. If that fails, as its lease is lost, this
// one takes over.
func (h *handler) run(ctx context.Context, d engine.Delivery) error {
	for {
		a, entered := h.enter(ctx, d)
		if entered {
			a.err = h.carryOut(a, d)
			h.leave(a)
			return a.err
		}
		if h.flaw == secondGivesBack {
			select {
			case <-a.done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if <-a.done; a.err == nil { // even if ctx ends: this delivery has the lease
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (h *handler) enter(ctx context.Context, d engine.Delivery) (*attempt, bool) {
	k := key{job: d.Job.ID, step: d.Step.ID, attempt: d.Attempt}
	if h.flaw == runsTwice {
		k.delivery = d.Count
	}
	held := ctx
	if h.flaw == keepsLostLease || h.flaw == tellsFirst {
		ctx = context.WithoutCancel(ctx)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.running[k]; a != nil {
		return a, false
	}
	a := &attempt{key: k, done: make(chan struct{})}
	a.reporting, a.drop = context.WithCancelCause(ctx)
	a.working, a.stop = context.WithCancelCause(a.reporting)
	if h.flaw != keepsLostLease {
		context.AfterFunc(held, func() { // in a goroutine of its own, as Failed may block
			h.p.Failed(ctx, context.Cause(held))
			a.drop(context.Cause(held))
		})
	}
	if h.flaw == forgetsLost {
		context.AfterFunc(a.reporting, func() { h.leave(a) })
	}
	if h.flaw != entersLate {
		h.running[k] = a
	}
	return a, true
}

func (h *handler) leave(a *attempt) {
	a.drop(errOver)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[a.key] == a || h.flaw == entersLate {
		delete(h.running, a.key)
		close(a.done)
	}
}

// end calls how on each attempt that which selects, and waits until they have ended.
func (h *handler) end(ctx context.Context, which func(key) bool, how func(*attempt)) error {
	var ending []*attempt
	h.mu.Lock()
	for k, a := range h.running {
		if which(k) {
			ending = append(ending, a)
		}
	}
	h.mu.Unlock()
	for _, a := range ending {
		how(a)
	}
	for _, a := range ending {
		select {
		case <-a.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (h *handler) stop(ctx context.Context, d engine.Delivery) error {
	if h.flaw == stopsOneByOne {
		h.stops <- struct{}{}
		defer func() { <-h.stops }()
	}
	if h.flaw == blocksStops {
		select {
		case h.places <- struct{}{}:
			defer func() { <-h.places }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if h.flaw == ignoresStops || h.flaw == leavesForeignStops && !h.runs(d) {
		return nil
	}
	stopping, cancel := context.WithCancel(ctx)
	defer cancel()
	if h.flaw == stopsEarly {
		cancel()
	}
	err := h.end(stopping, func(k key) bool {
		if h.flaw == stopsOnlyItsOwn {
			return k.job == d.Job.ID && k.attempt == d.Attempt
		}
		return k.job == d.Job.ID && k.step == d.Step.ID && k.attempt <= d.Attempt
	}, func(a *attempt) { a.stop(errStopped) })
	if err == nil && h.flaw != waitsForNoOther {
		err = h.awaitOthers(stopping, d, d.Attempt)
	}
	if err != nil && h.flaw != stopsEarly {
		return err
	}
	err = h.report(ctx, engine.Report{Job: d.Job.ID, Step: d.Step.ID, Attempt: d.Attempt, Outcome: step.Stopped})
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// awaitOthers returns when no process has a lease of a run of d's step up to an attempt: see watch.
func (h *handler) awaitOthers(ctx context.Context, d engine.Delivery, upTo int32) error {
	for {
		effects, err := h.p.Engine.Effects(ctx, d.Job.ID, 0, 1000)
		now := step.At(time.Now())
		if err != nil || !slices.ContainsFunc(effects, func(e store.Delivery) bool {
			return e.Effect == store.RunTargets && e.Held && e.Step == d.Step.ID && e.Attempt <= upTo && now < e.NotBefore
		}) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (h *handler) runs(d engine.Delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running[key{job: d.Job.ID, step: d.Step.ID, attempt: d.Attempt}] != nil
}

func (h *handler) ended(ctx context.Context, d engine.Delivery) error {
	return h.end(ctx, func(k key) bool {
		if h.flaw == ignoresEnds {
			return false
		}
		return k.job == d.Job.ID && (k.step < d.Step.ID || k.step == d.Step.ID && k.attempt <= d.Attempt || h.flaw == endsLaterAttempts)
	}, func(a *attempt) { a.drop(errOver) })
}

// carryOut runs an attempt that has been entered.
func (h *handler) carryOut(a *attempt, d engine.Delivery) error {
	err := h.end(a.reporting, func(k key) bool {
		return k.job == a.job && k.step == a.step && k.attempt < a.attempt && h.flaw != startsBeside
	}, func(earlier *attempt) { earlier.drop(errOver) })
	if err == nil && a.attempt > 1 && h.flaw != waitsForNoOther && h.flaw != startsBeside {
		err = h.awaitOthers(a.reporting, d, a.attempt-1)
	}
	if err == nil {
		enough := h.watch(a)
		err = h.work(a, d)
		enough()
	}
	switch cause := context.Cause(a.reporting); {
	case errors.Is(cause, errOver), errors.Is(err, errOver):
		return nil
	case cause != nil && h.flaw == settlesAtShutdown:
		return nil
	case cause != nil:
		return cause
	case a.working.Err() != nil: // stopped: the handler of the stop reports it
		return nil
	}
	return err
}

// watch ends an attempt whose step has moved on, until enough is called: the stop may go to another
// process.
func (h *handler) watch(a *attempt) (enough func()) {
	ctx, cancel := context.WithCancel(a.reporting)
	var watching sync.WaitGroup
	watching.Go(func() {
		for pause(ctx, time.Second) == nil {
			s, err := h.p.Engine.Step(ctx, a.job, a.step)
			switch {
			case err != nil || h.flaw == entersLate || h.flaw == stopsOneByOne || h.flaw == ignoresStops || h.flaw == ignoresEnds || h.flaw == startsBeside || h.flaw == reportsOldAttempt:
			case h.flaw == hearsNoOther || h.flaw == stopsOnlyItsOwn || s.State == step.Running && s.Attempt == a.attempt:
			case s.State == step.Terminating && s.Attempt == a.attempt:
				a.stop(errStopped)
			default:
				a.drop(errOver)
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// current reports whether the step still runs in an attempt.
func (h *handler) current(a *attempt) (bool, error) {
	s, err := h.p.Engine.Step(a.working, a.job, a.step)
	return h.flaw == asksNothing || err == nil && s.State == step.Running && s.Attempt == a.attempt, err
}

const page = 1000

// work calls the function for each host that is due and has no result.
func (h *handler) work(a *attempt, d engine.Delivery) error {
	results := make(chan engine.TargetResult, page)
	var reporter, functions sync.WaitGroup
	reporter.Go(func() { h.collect(a, results) })
	defer reporter.Wait()
	defer close(results)
	defer func() {
		if h.flaw == leavesFunctions {
			for pause(a.working, time.Second) == nil {
			}
			return
		}
		functions.Wait()
	}()
	for from := h.first(a, d); ; {
		if current, err := h.current(a); err != nil || !current {
			return err
		}
		class := store.UnfinishedTargets
		if h.flaw == runsAllBatches && d.Run.End > 0 {
			class = store.AllTargets
		}
		switch h.flaw {
		case runsEveryHost:
			class = store.AllTargets
		case runsFailedAgain:
			class = store.DueTargets
		}
		due, err := h.p.Engine.Targets(a.working, a.job, a.step, h.query(a, class, from))
		if h.flaw == entersLate {
			h.mu.Lock()
			h.running[a.key] = a
			h.mu.Unlock()
		}
		if errors.Is(err, operation.Stale) {
			return errOver
		}
		if err != nil {
			return err
		}
		for _, t := range due {
			select {
			case h.places <- struct{}{}:
			case <-a.working.Done():
				return nil
			}
			functions.Go(func() {
				defer func() { <-h.places }()
				if a.working.Err() == nil {
					h.call(a, t, results)
				}
				if h.flaw == callsTwice {
					_ = h.contain(a, t)
				}
			})
		}
		if len(due) < page || h.flaw == readsOnePage {
			return nil
		}
		from = due[len(due)-1].Index + 1
	}
}

func (h *handler) query(a *attempt, class store.Class, from int32) engine.TargetQuery {
	q := engine.TargetQuery{Class: class, From: from, Limit: page, IfAttempt: a.attempt}
	if h.flaw == asksNothing || h.flaw == readsUnfenced {
		q.IfAttempt = 0
	}
	return q
}

func (h *handler) first(a *attempt, d engine.Delivery) int32 {
	if h.flaw == forgetsAHost && d.Count > 1 {
		left, _ := h.p.Engine.Targets(a.working, a.job, a.step, engine.TargetQuery{Class: store.UnfinishedTargets, Limit: 1})
		for _, t := range left {
			return t.Index + 1
		}
	}
	return 0
}

// call calls the function for a host.
func (h *handler) call(a *attempt, t store.Target, results chan<- engine.TargetResult) {
	result := h.contain(a, t)
	ended := context.Cause(a.working)
	if ended != nil && !errors.Is(ended, errStopped) && !result.Status.Success() && h.flaw != reportsInterrupted {
		return // the host runs again elsewhere, or its result is stale
	}
	switch {
	case h.flaw == dropsAfterStop && ended != nil, h.flaw == dropsAtShutdown && ended != nil && !errors.Is(ended, errStopped), h.flaw == leavesFunctions && ended != nil:
		return
	case h.flaw == reportsLess:
		result.ExitCode, result.Detail = 0, ""
	case h.flaw == failsPlainly && !result.Status.Success() && result.Status != step.TargetTerminated:
		result = store.Result{Status: step.TargetFailed}
	}
	results <- engine.TargetResult{Target: t.Index, Result: result}
}

// contain calls the function in a goroutine of its own, which the function may end.
func (h *handler) contain(a *attempt, t store.Target) store.Result {
	done := make(chan store.Result, 1)
	go func() {
		result, returned := store.Result{Status: step.TargetFailed, Detail: "the function ended its goroutine"}, false
		defer func() {
			if v := recover(); v != nil {
				result = store.Result{Status: step.TargetFailed, Detail: fmt.Sprint(v)}
				if h.flaw == panicsSucceed {
					result.Status = step.TargetSucceeded
				}
			} else if !returned && h.flaw == losesGoroutines {
				<-a.working.Done()
			}
			done <- result
		}()
		result = h.p.Work(a.working, executortest.Assignment{Job: a.job, Step: a.step, Attempt: a.attempt, Index: t.Index, Name: t.Name})
		returned = true
		if !result.Status.Finished() && h.flaw != reportsNoStatus {
			result = store.Result{Status: step.TargetFailed, Detail: "no result"}
		}
	}()
	return <-done
}

// collect reports results together, until there are no more.
func (h *handler) collect(a *attempt, results <-chan engine.TargetResult) {
	var pending []engine.TargetResult
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for more := true; more; {
		select {
		case r, ok := <-results:
			if more = ok; ok {
				pending = append(pending, r)
			}
			if more && len(pending) < page {
				continue
			}
		case <-tick.C:
		}
		if len(pending) > 0 && a.reporting.Err() == nil && h.flush(a.reporting, a, pending) {
			pending = nil
		}
	}
	if cause := context.Cause(a.reporting); len(pending) > 0 && cause != nil && (!errors.Is(cause, errOver) || h.flaw == reportsOldAttempt) && h.flaw != losesAtShutdown {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.reporting), 2*time.Second)
		defer cancel()
		h.flush(ctx, a, pending)
	}
}

// flush reports results, and reports whether they are done with.
func (h *handler) flush(ctx context.Context, a *attempt, results []engine.TargetResult) bool {
	r := engine.Report{Job: a.job, Step: a.step, Attempt: a.attempt, Results: results}
	if h.flaw == reportsOldAttempt {
		if s, err := h.p.Engine.Step(ctx, a.job, a.step); err == nil {
			r.Attempt = s.Attempt
		}
	}
	err := h.report(ctx, r)
	if err != nil && ctx.Err() != nil && h.flaw != dropsFailedReports {
		return false
	}
	if err != nil && h.flaw != dropsFailedReports {
		a.drop(err)
	}
	return true
}

// report reports until the engine has answered. It is errOver if the attempt is not the step's any
// more.
func (h *handler) report(ctx context.Context, r engine.Report) error {
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
		_, err := h.p.Engine.Report(ctx, r)
		refusal := (*engine.Refusal)(nil)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, operation.Stale), errors.Is(err, operation.NoSuchJob), h.flaw == settlesRefused && errors.As(err, &refusal):
			return errOver
		case errors.As(err, &refusal), ctx.Err() != nil, h.flaw == dropsFailedReports:
			return err
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
