package executor

import (
	"context"
	"fmt"
	"time"
)

const maxUntold = 256 // failures that wait while the function of Failed is at work

// A failure waits for the function of [Failed].
type failure struct {
	ctx context.Context
	err error
}

// failed queues a failure for the function of [Failed], and does not wait, so that leases are renewed
// and functions are ended while that function is at work.
func (x *Executor) failed(ctx context.Context, err error) {
	if x.told == nil {
		return
	}
	select {
	case x.untold <- failure{context.WithoutCancel(ctx), err}:
	default:
		x.dropped.Add(1)
	}
}

// tellFailures tells of failures, one after the other, until stop is called. stop waits for the
// function of [Failed], and drops what it has not been told after 2 s.
func (x *Executor) tellFailures() (stop func()) {
	if x.told == nil {
		return func() {}
	}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for !isClosed(end) {
			select {
			case f := <-x.untold:
				x.tell(f)
			case <-end:
			}
		}
		x.tellRest(time.Now().Add(lastWords))
	}()
	return func() {
		close(end)
		<-done
	}
}

func (x *Executor) tellRest(last time.Time) {
	for {
		select {
		case f := <-x.untold:
			if time.Now().Before(last) {
				x.tell(f)
			}
		default:
			return
		}
	}
}

// tell tells of a failure, and of how many were dropped. It contains a panic of the function.
func (x *Executor) tell(f failure) {
	_ = apart(func() { x.told(f.ctx, f.err) })
	if n := x.dropped.Swap(0); n > 0 {
		_ = apart(func() { x.told(f.ctx, fmt.Errorf("executor: %d failures more came while Failed was at work", n)) })
	}
}
