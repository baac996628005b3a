package executor

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A key names an attempt.
type key struct {
	job     store.JobID
	step    step.ID
	attempt int32
}

func keyOf(d engine.Delivery) key { return key{d.Job.ID, d.Step.ID, d.Attempt} }

// error returns err with the attempt and the call that failed.
func (k key) error(what string, err error) error {
	return fmt.Errorf("job %d, step %d, attempt %d: %s: %w", k.job, k.step, k.attempt, what, err)
}

// An attempt is an attempt of a step that this process carries out. Its functions have one context
// and its reports another, so that a stopped attempt can still report results.
type attempt struct {
	key
	seq   store.Seq // of the record that asked for it
	p     *process
	share *share
	task  *Task
	out   reports
	stop  func(cause error) // ends the context of functions; the first cause stands
	drop  func(cause error) // ends the context of reports
	gone  chan struct{}     // closed when the attempt is over, its lease is lost, or the drain time is over
	idle  chan struct{}     // closed when its functions have returned, and no more begin
	done  chan struct{}     // closed when the attempt has left the list

	sawStop atomic.Bool // the stop came by a look at the step, and not by an effect

	mu      sync.Mutex // guards all below
	lease   *lease
	ended   bool  // functions were told to end: no later delivery adopts the attempt
	over    bool  // its step has finished, or moved on
	isGoing bool  // gone is closed
	failure error // the cause if its effect has failed
}

// enter puts the attempt of d on the list of running attempts, and returns it with its contexts,
// which end with it. If the attempt is on the list already, it goes on under the lease of d, and
// enter returns nothing; or, if it is ending, enter returns it as other, to wait for.
func (p *process) enter(ctx context.Context, d held, s *share) (a *attempt, working, reporting context.Context, other *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := keyOf(d.Delivery)
	if other, ok := p.attempts[k]; ok {
		if other.adopt(d.lease) {
			return nil, nil, nil, nil
		}
		return nil, nil, nil, other
	}
	a = &attempt{
		key: k, seq: d.Seq, p: p, share: s, out: newReports(), lease: d.lease,
		gone: make(chan struct{}), idle: make(chan struct{}), done: make(chan struct{}),
	}
	a.task = &Task{
		Job: d.Job, Step: d.Step, Attempt: d.Attempt, Run: d.Run, Delivery: d.Count,
		By: d.By, Because: d.Because, Cause: d.Cause,
		a: a, began: time.Now(),
	}
	working, a.stop = context.WithCancelCause(context.WithoutCancel(ctx)) // end ends it, after gone
	reporting, a.drop = context.WithCancelCause(context.WithoutCancel(ctx))
	p.attempts[k] = a
	return a, working, reporting, nil
}

// running returns the attempt of k in this process, or nil.
func (p *process) running(k key) *attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempts[k]
}

// leave takes a off the list.
func (a *attempt) leave() {
	a.stop(ErrOver)
	a.drop(ErrOver)
	a.p.mu.Lock()
	delete(a.p.attempts, a.key)
	a.p.mu.Unlock()
	close(a.done)
}

// adopt reports whether a goes on under a later lease of the same effect. The older one is dropped.
func (a *attempt) adopt(l *lease) bool {
	a.mu.Lock()
	if a.ended {
		a.mu.Unlock()
		return false
	}
	older := l
	if l.claimed.Count > a.lease.claimed.Count {
		older, a.lease = a.lease, l
	}
	a.mu.Unlock()
	l.whenLost(func(err error) { a.lose(l, err) })
	older.stop()
	return true
}

// lose ends a if l is its lease.
func (a *attempt) lose(l *lease, err error) {
	a.mu.Lock()
	current := a.lease == l
	a.mu.Unlock()
	if current {
		a.end(err)
	}
}

// end ends the functions of a. After ErrStopped their results are reported, after ErrOver none,
// and after a lost lease or the drain time only successes.
func (a *attempt) end(cause error) {
	a.mu.Lock()
	a.ended = true
	a.over = a.over || cause == ErrOver
	gone := cause != ErrStopped && !a.isGoing
	a.isGoing = a.isGoing || gone
	a.mu.Unlock()
	if gone { // before a function can return because of it
		close(a.gone)
	}
	a.stop(cause)
	if cause == ErrOver {
		a.drop(cause)
	}
}

// giveUp ends a, and makes its effect fail with err.
func (a *attempt) giveUp(err error) {
	a.mu.Lock()
	if a.failure == nil {
		a.failure = err
	}
	a.mu.Unlock()
	a.end(ErrOver)
}

func (a *attempt) isGone() bool { return isClosed(a.gone) }

// endAll ends every attempt that which selects, of a record before the given one, and waits until
// no process holds one of them, or ctx has ended.
func (p *process) endAll(ctx context.Context, cause error, job store.JobID, before store.Seq, which func(key) bool) error {
	if err := p.endOurs(ctx, cause, which); err != nil {
		return err
	}
	return p.awaitOthers(ctx, job, before, which)
}

// endOurs ends every attempt in this process that which selects, and waits for them.
func (p *process) endOurs(ctx context.Context, cause error, which func(key) bool) error {
	var ending []*attempt
	p.mu.Lock()
	for k, a := range p.attempts {
		if which(k) {
			ending = append(ending, a)
		}
	}
	p.mu.Unlock()
	for _, a := range ending {
		a.end(cause)
	}
	for _, a := range ending {
		select {
		case <-a.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

const (
	othersFirst = 50 * time.Millisecond // between looks at the runs of other processes, doubled each time
	othersMost  = time.Second
	clockSkew   = 5 * time.Second // maximum between this process and the engine
)

// awaitOthers returns when no process holds a run that which selects, of a record of the job before
// the given one. Each process notices within 2 s that its attempt must end; a process that has died
// loses its lease.
func (p *process) awaitOthers(ctx context.Context, job store.JobID, before store.Seq, which func(key) bool) error {
	for delay := othersFirst; ; delay = min(2*delay, othersMost) {
		found, err := p.isHeld(ctx, job, before, which)
		if err != nil || !found {
			return err
		}
		if pause(ctx, delay) != nil {
			return context.Cause(ctx)
		}
	}
}

// isHeld reports whether a process holds a run that which selects, of a record of the job before the
// given one.
func (p *process) isHeld(ctx context.Context, job store.JobID, before store.Seq, which func(key) bool) (bool, error) {
	const limit = 100
	for after := store.Seq(0); ; {
		var page []store.Delivery
		err := p.again(ctx, key{job: job}, "read effects", func(ctx context.Context) (err error) {
			page, err = p.src.Effects(ctx, job, after, limit)
			return err
		})
		if err != nil {
			return false, err
		}
		for _, d := range page {
			if d.Seq >= before {
				return false, nil
			}
			held := d.Held && d.NotBefore > step.At(time.Now().Add(-clockSkew))
			if held && d.Effect == store.RunTargets && which(key{d.Job, d.Step, d.Attempt}) {
				return true, nil
			}
			after = d.Seq
		}
		if len(page) < limit {
			return false, nil
		}
	}
}

// page reads the next hosts of the attempt that have no result in it.
func (a *attempt) page(ctx context.Context, from int32) ([]Host, error) {
	if isClosed(a.done) {
		return nil, ErrOver
	}
	var page []store.Target
	err := a.p.again(ctx, a.key, "read targets", func(ctx context.Context) (err error) {
		page, err = a.p.src.Targets(ctx, a.job, a.step, engine.TargetQuery{
			Class: store.UnfinishedTargets, From: from, Limit: pageSize, IfAttempt: a.attempt,
		})
		return err
	})
	if isOver(err) {
		a.end(ErrOver)
		return nil, ErrOver
	}
	if err != nil {
		return nil, err
	}
	hosts := make([]Host, len(page))
	for i, t := range page {
		hosts[i] = Host{Index: t.Index, Name: t.Name}
	}
	return hosts, nil
}

// errNoResult is a failure that only a mistake in this package or the source can cause.
func (a *attempt) errNoResult() error {
	return fmt.Errorf("executor: step %d: every host was worked on, and the step still runs", a.step)
}
