package executor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store"
)

const (
	callWait     = 30 * time.Second      // bound of a call of the source
	backoffFirst = 20 * time.Millisecond // after a call that failed, doubled with each further one
	backoffMost  = time.Second
)

// within calls f with a context that ends after d at the latest. If f fails because of that, the
// error says so.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := f(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("no answer within %v: %w", d, err)
	}
	return err
}

// again calls f until it succeeds, until its error is an answer, or until ctx ends: then the error
// is the cause. It tells of each failure, with the name what of the call for k.
func (x *Executor) again(ctx context.Context, k key, what string, f func(context.Context) error) error {
	for delay := backoffFirst; ; delay = min(2*delay, backoffMost) {
		err := within(ctx, callWait, f)
		switch {
		case err == nil, isAnswer(err):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		x.failed(ctx, k.error(what, err))
		if pause(ctx, delay) != nil {
			return context.Cause(ctx)
		}
	}
}

// isAnswer reports whether a repetition of a call that failed with err would fail again: see
// [Source].
func isAnswer(err error) bool {
	var (
		refusal *engine.Refusal
		other   interface{ Permanent() bool }
	)
	return errors.As(err, &refusal) || errors.Is(err, store.ErrLeaseLost) || errors.As(err, &other) && other.Permanent()
}

// isOver reports whether err says that the attempt is over.
func isOver(err error) bool {
	return errors.Is(err, operation.Stale) || errors.Is(err, operation.NoSuchJob) || errors.Is(err, operation.NoSuchStep)
}

// pause waits for d or the end of ctx, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apart calls f in a goroutine of its own, which f may end, and waits for it. It returns f's panic,
// or nil.
func apart(f func()) (err *panicked) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		defer func() {
			if !returned {
				err = newPanicked(recover())
			}
		}()
		f()
		returned = true
	}()
	<-done
	return err
}

// panicked is a panic of a function.
type panicked struct {
	value any // nil: it ended its goroutine
	stack []byte
}

func newPanicked(value any) *panicked { return &panicked{value, debug.Stack()} }

// Error returns several lines: the panic, and the stack.
func (p *panicked) Error() string { return fmt.Sprintf("%s\n%s", p.brief(), p.stack) }

func (p *panicked) brief() string {
	if p.value == nil {
		return "the function ended its goroutine"
	}
	return fmt.Sprintf("panic: %v", p.value)
}
