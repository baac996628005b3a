package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
)

const renewAgain = time.Second // after a renewal that failed

// A lease is a claim that this process holds and renews, see [engine.RenewEvery]. It is lost when
// the source refuses a renewal, and when the last successful renewal is older than the lease: then
// another process may carry out the effect. In the second case renewals go on: one that passes keeps
// other processes from beginning until the functions here have ended.
type lease struct {
	x       *Executor
	claimed engine.Claimed
	key     key // for errors, with the effect
	effect  store.Effect
	stop    context.CancelFunc
	stopped chan struct{} // closed when no renewal is under way any more
	gone    chan struct{} // closed when it is lost

	mu     sync.Mutex // guards all below
	ends   time.Time
	err    error           // why it is lost
	onLost func(err error) // called once it is lost
}

// hold begins to renew the claim of d, whose lease began at since. If the claim is so old that it
// must be renewed first, and that fails, hold returns nil.
func (x *Executor) hold(ctx context.Context, d engine.Delivery, since time.Time) *lease {
	l := &lease{
		x: x, claimed: d.Claimed(), key: keyOf(d), effect: d.Effect,
		stopped: make(chan struct{}), gone: make(chan struct{}), ends: since.Add(x.lease),
	}
	if time.Since(since) > x.lease/2 {
		last, cancel := lastly(ctx, callWait)
		defer cancel()
		if err := l.renew(last, engine.RenewEvery(x.lease)); err != nil {
			x.failed(ctx, err)
			return nil
		}
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.keep(ctx)
	return l
}

// whenLost calls f when l is lost, or at once if it is lost already.
func (l *lease) whenLost(f func(err error)) {
	l.mu.Lock()
	l.onLost = f
	err := l.err
	l.mu.Unlock()
	if err != nil {
		f(err)
	}
}

// renew renews l from now on.
func (l *lease) renew(ctx context.Context, bound time.Duration) error {
	now := time.Now()
	err := within(ctx, min(bound, callWait), func(ctx context.Context) error {
		return l.x.src.Renew(ctx, l.claimed, l.x.lease)
	})
	if err != nil {
		return l.error("renew", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = now.Add(l.x.lease)
	return nil
}

// keep renews l until ctx ends.
func (l *lease) keep(ctx context.Context) {
	defer close(l.stopped)
	every := engine.RenewEvery(l.x.lease)
	next := l.end().Add(every - l.x.lease)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var failed error // the last renewal, if it did not pass
	for {
		wait := time.Until(next)
		if !l.isLost() {
			wait = min(wait, time.Until(l.end()))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		left := time.Until(l.end())
		if left <= 0 {
			l.lose(ctx, l.ranOut(failed))
			left = every
		}
		if time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(every)
		if failed = l.renew(ctx, min(left, every)); failed != nil && ctx.Err() == nil {
			if errors.Is(failed, store.ErrLeaseLost) {
				l.lose(ctx, failed)
				return
			}
			l.x.failed(ctx, failed)
			next = time.Now().Add(min(every, renewAgain))
		}
	}
}

// ranOut returns the error of a lease that has run out, with the cause if the last renewal failed.
func (l *lease) ranOut(cause error) error {
	err := fmt.Errorf("%w: no renewal has passed for %v", store.ErrLeaseLost, l.x.lease)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return l.error("renew", err)
}

// error returns err with the effect and the call that failed.
func (l *lease) error(what string, err error) error {
	return l.key.error(fmt.Sprintf("%s the %v effect", what, l.effect), err)
}

func (l *lease) end() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends
}

func (l *lease) isLost() bool { return isClosed(l.gone) }

// lose tells, the first time, that l is lost.
func (l *lease) lose(ctx context.Context, err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	f := l.onLost
	l.mu.Unlock()
	close(l.gone)
	if f != nil {
		f(err)
	}
	l.x.failed(ctx, err)
}

// abandon leaves the claim to a later one.
func (l *lease) abandon() {
	l.stop()
	<-l.stopped
}

// settle, release and fail end the claim. They try until its lease has run out, or ctx has ended.
// fail tells of the cause.
func (l *lease) settle(ctx context.Context) {
	l.giveBack(ctx, "settle", func(ctx context.Context) error { return l.x.src.Settle(ctx, l.claimed) })
}

func (l *lease) release(ctx context.Context) {
	l.giveBack(ctx, "release", func(ctx context.Context) error { return l.x.src.Release(ctx, l.claimed) })
}

func (l *lease) fail(ctx context.Context, cause error) {
	l.x.failed(ctx, l.error("carry out", cause))
	l.giveBack(ctx, "fail", func(ctx context.Context) error { return l.x.src.Fail(ctx, l.claimed, cause) })
}

func (l *lease) giveBack(ctx context.Context, how string, f func(context.Context) error) {
	l.abandon()
	left := max(time.Until(l.end()), lastWords) // it is tried once at least
	ctx, cancel := lastly(ctx, left)
	defer cancel()
	err := l.x.again(ctx, l.key, fmt.Sprintf("%s the %v effect", how, l.effect), f)
	if err != nil && !errors.Is(err, store.ErrLeaseLost) && isAnswer(err) {
		l.x.failed(ctx, l.error(how, err))
	}
}

// lastly returns a context that ends after d, and 2 s after ctx at the latest.
func lastly(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	unhook := context.AfterFunc(ctx, func() {
		if pause(last, lastWords) == nil {
			cancel()
		}
	})
	return last, func() {
		unhook()
		cancel()
	}
}
