// Package link bounds what is asked of a PostgreSQL server: each call has a connection for
// itself, and ends in time whatever the network does.
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

// DefaultTimeout is a good deal more than a call takes, and less than a lease.
const DefaultTimeout = 10 * time.Second

// ErrTimeout: the call had no answer within its bound.
var ErrTimeout = errors.New("no answer in time")

// A Link is the way to a server: a pool with a bound on each call. It is safe for concurrent
// use and comes from [New].
type Link struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	turns   chan struct{} // of the callers that wait for a connection at once

	mu      sync.Mutex
	cleared time.Time // the last time that idle connections were thrown away. Guarded by mu
}

// A Call uses a connection, which it leaves idle, under a context that ends with its bound. It
// may be made again, on another connection or the same, if nothing came of it.
type Call func(ctx context.Context, c *pgx.Conn) error

const (
	tries = 3  // connections that one call may break
	races = 30 // answers to one call that others were faster
)

// New returns a link that ends each call after timeout. No more than half of the pool waits for
// connections at once: the pool asks one that has rested whether it is alive, and keeps the place
// of one that does not answer for 15 s.
func New(pool *pgxpool.Pool, timeout time.Duration) *Link {
	return &Link{pool: pool, timeout: timeout, turns: make(chan struct{}, max(pool.Config().MaxConns/2, 1))}
}

// Timeout returns the bound of a call.
func (l *Link) Timeout() time.Duration { return l.timeout }

// Write makes a call that may change something. An error wraps store.ErrUndone if it is known
// that the server did nothing. One that the server ends in favor of others, by a deadlock or a
// serialization failure, is made again, as is one of which nothing was sent.
func (l *Link) Write(ctx context.Context, call Call) error {
	return l.try(ctx, 1, pgconn.SafeToRetry, call)
}

// Read makes a call that changes nothing. If its connection breaks, or is silent for half of the
// bound, it is made again on another one.
func (l *Link) Read(ctx context.Context, call Call) error {
	return l.try(ctx, 2, func(error) bool { return true }, call)
}

// try makes a call on one connection after the other, each for a part of the time that is left,
// and the last for all of it.
func (l *Link) try(ctx context.Context, part time.Duration, again func(error) bool, call Call) error {
	began := time.Now()
	end := began.Add(l.timeout)
	for n := 1; ; n++ {
		if n == tries {
			part = 1
			l.clear(began) // one that breaks may be an accident, and two are an outage
		}
		broke, err := l.once(ctx, end, part, call)
		if !broke || n == tries || ctx.Err() != nil || time.Until(end) <= 0 || !again(err) {
			return err
		}
	}
}

// Take returns a connection that is the caller's from now on, outside of the pool.
func (l *Link) Take(ctx context.Context) (*pgx.Conn, error) {
	c, err := l.acquire(ctx, time.Now().Add(l.timeout))
	if err != nil {
		return nil, err
	}
	return c.Hijack(), nil
}

// once makes a call on one connection, and reports whether that broke.
func (l *Link) once(ctx context.Context, end time.Time, part time.Duration, call Call) (broke bool, err error) {
	c, err := l.acquire(ctx, end.Add(-l.timeout/4)) // a call that is cut off soon is better not made
	if err != nil {
		return false, Undone(err)
	}
	began := time.Now()
	most := end.Sub(began) / part
	bounded, stop := context.WithTimeout(ctx, most)
	defer stop()
	// A server that answers, but takes long, ends the statement and says so: the rest of the time
	// is for that.
	late := &canceling{conn: c.Conn(), done: make(chan struct{})}
	timer := time.AfterFunc(most*3/4, func() { late.cancel(bounded) })
	defer func() {
		spent := !timer.Stop()
		broke = c.Conn().IsClosed()
		l.release(c, late, spent)
		if spent && err != nil && ctx.Err() == nil {
			err = l.tooLate(began, bounded, err)
		}
	}()
	return false, known(raced(bounded, c.Conn(), call))
}

// A canceling is the request to cancel what a connection does, which arrives on another one: that
// connection is of no more use, as it may come late.
type canceling struct {
	conn *pgx.Conn
	done chan struct{}
}

func (c *canceling) cancel(ctx context.Context) {
	defer close(c.done)
	_ = c.conn.PgConn().CancelRequest(ctx)
}

// tooLate returns the error of a call that its bound has ended. If the server has not said so
// itself, it is silent, and others of its connections may be so.
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

// raced makes a call until the server does not end it in favor of others.
func raced(ctx context.Context, c *pgx.Conn, call Call) error {
	for n := 1; ; n++ {
		err := call(ctx, c)
		if !lostRace(err) || n == races || rest(ctx, rand.N(time.Duration(n)*time.Millisecond)) != nil {
			return err
		}
	}
}

// acquire returns a connection. If there is none for half of the time although some are idle, the
// one that the pool looks at is silent, and the others may be so: they are thrown away.
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

// turn waits for a turn and then for a connection.
func (l *Link) turn(ctx context.Context) (*pgxpool.Conn, error) {
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
		return l.pool.Acquire(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// clear throws idle connections away, unless that was done since some moment.
func (l *Link) clear(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cleared.Before(since) && l.pool.Stat().IdleConns() > 0 {
		l.cleared = time.Now()
		l.pool.Reset()
	}
}

// release gives a connection back, or its place if it is broken or spent. pgx closes a broken one
// in the background, and its place would be taken until the server, if it is silent, has been waited
// for. So long no place is spared.
func (l *Link) release(c *pgxpool.Conn, late *canceling, spent bool) {
	conn := c.Conn()
	if !spent && !conn.IsClosed() {
		c.Release()
		return
	}
	go func() {
		grace, stop := context.WithTimeout(context.Background(), min(l.timeout/10, time.Second))
		defer stop()
		if spent {
			select {
			case <-late.done:
			case <-grace.Done():
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

// rest waits for d or the end of ctx, whose error it returns.
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
