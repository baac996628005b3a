// Package link bounds the calls to a PostgreSQL server: each call has a connection for itself and
// ends in time, also when the network fails.
package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/store"
)

// DefaultTimeout is the default bound of a call: far longer than a call takes, and shorter than a
// lease.
const DefaultTimeout = 10 * time.Second

// ErrTimeout is the error of a call without an answer within its bound.
var ErrTimeout = errors.New("no answer in time")

// A Link is a pool with a bound on each call. It is safe for concurrent use. [New] returns one.
type Link struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	turns   chan struct{} // held by the callers that wait for a connection

	mu      sync.Mutex
	cleared time.Time // when idle connections were last discarded. Guarded by mu
}

// A Call uses a connection and leaves it idle. ctx ends with the bound of the call. A Link may
// repeat it, on the same connection or another one, if nothing was done.
type Call func(ctx context.Context, c *pgx.Conn) error

const (
	tries = 3  // connections of one call, if they break
	races = 30 // repetitions of one call that loses to others
)

// New returns a link that ends each call after timeout. At most half as many callers as the pool
// has connections wait for one at once: the pool pings a connection that was idle, and keeps the
// place of one that does not answer for 15 s.
func New(pool *pgxpool.Pool, timeout time.Duration) *Link {
	return &Link{pool: pool, timeout: timeout, turns: make(chan struct{}, max(pool.Config().MaxConns/2, 1))}
}

// Timeout returns the bound of a call.
func (l *Link) Timeout() time.Duration { return l.timeout }

// Write makes a call that may write. Its error wraps store.ErrUndone if the server certainly did
// nothing. Write repeats a call that the server ends in favor of others, by a deadlock or a
// serialization failure, and a call of which nothing was sent.
func (l *Link) Write(ctx context.Context, call Call) error {
	return l.try(ctx, 1, pgconn.SafeToRetry, call)
}

// Read makes a call that only reads. If its connection breaks, or is silent for half of the bound,
// Read repeats the call on another connection.
func (l *Link) Read(ctx context.Context, call Call) error {
	return l.try(ctx, 2, func(error) bool { return true }, call)
}

// try makes a call on up to tries connections. Each gets the remaining time divided by part, the
// last one all of it.
func (l *Link) try(ctx context.Context, part time.Duration, again func(error) bool, call Call) error {
	began := time.Now()
	end := began.Add(l.timeout)
	for n := 1; ; n++ {
		if n == tries {
			part = 1
			l.clear(began) // one broken connection may be an accident, two are an outage
		}
		broke, err := l.once(ctx, end, part, call)
		if !broke || n == tries || ctx.Err() != nil || time.Until(end) <= 0 || !again(err) {
			return err
		}
	}
}

// Take returns a connection outside the pool, which the caller owns and closes.
func (l *Link) Take(ctx context.Context) (*pgx.Conn, error) {
	c, err := l.acquire(ctx, time.Now().Add(l.timeout))
	if err != nil {
		return nil, err
	}
	return c.Hijack(), nil
}

// once makes a call on one connection, and reports whether the connection broke.
func (l *Link) once(ctx context.Context, end time.Time, part time.Duration, call Call) (broke bool, err error) {
	c, err := l.acquire(ctx, end.Add(-l.timeout/4)) // too late for a call: it would only be cut off
	if err != nil {
		return false, Undone(err)
	}
	began := time.Now()
	most := end.Sub(began) / part
	bounded, stop := context.WithTimeout(ctx, most)
	defer stop()
	// After three quarters of the time the server is asked to cancel the statement. The rest is for
	// its answer.
	late := &canceling{conn: c.Conn(), done: make(chan struct{})}
	timer := time.AfterFunc(most*3/4, func() { late.cancel(bounded) })
	defer func() {
		spent := !timer.Stop()
		broke = c.Conn().IsClosed()
		switch {
		case spent:
			l.release(c, true, late.done)
		case readsOnly(err): // the others of the pool lead to the same server
			l.clear(began)
			l.release(c, true, nil)
		default:
			l.release(c, false, nil)
		}
		if spent && err != nil && ctx.Err() == nil {
			err = l.tooLate(began, bounded, err)
		}
	}()
	return false, known(raced(bounded, c.Conn(), call))
}

// A canceling is a request to cancel the statement of a connection. The request travels on another
// connection and may arrive late: conn must not be used again.
type canceling struct {
	conn *pgx.Conn
	done chan struct{}
}

func (c *canceling) cancel(ctx context.Context) {
	defer close(c.done)
	_ = c.conn.PgConn().CancelRequest(ctx)
}

// tooLate returns the error of a call that its bound has ended. If the server did not cancel it,
// the server is silent, and the idle connections may be dead too: tooLate discards them.
func (l *Link) tooLate(began time.Time, bounded context.Context, err error) error {
	const canceled = "57014"
	took := time.Since(began).Round(time.Millisecond)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == canceled:
		return Undone(fmt.Errorf("%w: canceled after %v: %w", ErrTimeout, took, err))
	case bounded.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		l.clear(began)
		late := fmt.Errorf("%w: the server is silent for %v", ErrTimeout, took)
		if errors.Is(err, store.ErrUndone) {
			return Undone(late)
		}
		return late
	}
	return err
}

// raced repeats a call that the server ends in favor of others.
func raced(ctx context.Context, c *pgx.Conn, call Call) error {
	for n := 1; ; n++ {
		err := call(ctx, c)
		if !lostRace(err) || n == races || rest(ctx, rand.N(time.Duration(n)*time.Millisecond)) != nil {
			return err
		}
	}
}

// acquire returns a connection. If it gets none for half of the time although some are idle, the
// one that the pool pings is silent and the others may be dead too: acquire discards them.
func (l *Link) acquire(ctx context.Context, end time.Time) (*pgxpool.Conn, error) {
	began := time.Now()
	first, stop := context.WithDeadline(ctx, began.Add(end.Sub(began)/2))
	defer stop()
	c, err := l.turn(first)
	if err == nil || first.Err() == nil || ctx.Err() != nil {
		return c, err
	}
	l.clear(began)
	second, stop := context.WithDeadline(ctx, end)
	defer stop()
	c, err = l.turn(second)
	if err != nil && second.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: the pool has no connection for %v", ErrTimeout, time.Since(began).Round(time.Millisecond))
	}
	return c, err
}

// turn waits for a turn, and then for a connection.
func (l *Link) turn(ctx context.Context) (*pgxpool.Conn, error) {
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
		return l.pool.Acquire(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// clear discards the idle connections, unless that was done after since.
func (l *Link) clear(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cleared.Before(since) && l.pool.Stat().IdleConns() > 0 {
		l.cleared = time.Now()
		l.pool.Reset()
	}
}

// readsOnly reports whether err means that the server takes no writes: it was the primary before a
// failover, or is not the primary yet. A connection to it serves reads and would stay in the pool.
func readsOnly(err error) bool {
	const readOnlyTransaction = "25006"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == readOnlyTransaction
}

// release gives a connection back to the pool, or only its place if the connection is broken, or if
// closed says to close it, after late. pgx closes a broken connection in the background and holds
// its place while it waits for the server; release waits for that for a tenth of the timeout, at
// most 1 s.
func (l *Link) release(c *pgxpool.Conn, closed bool, late <-chan struct{}) {
	conn := c.Conn()
	if !closed && !conn.IsClosed() {
		c.Release()
		return
	}
	go func() {
		grace, stop := context.WithTimeout(context.Background(), min(l.timeout/10, time.Second))
		defer stop()
		if closed {
			if late != nil {
				select {
				case <-late:
				case <-grace.Done():
				}
			}
			_ = conn.Close(grace)
		}
		select {
		case <-conn.PgConn().CleanupDone():
			c.Release()
		case <-grace.Done():
			c.Hijack()
		}
	}()
}

// rest waits for d, or until ctx ends and returns its error.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
