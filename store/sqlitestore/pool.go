package sqlitestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/store"
)

// ErrClosed is the error of every method of a closed [Store].
var ErrClosed = fmt.Errorf("sqlitestore: the store is closed: %w", store.ErrUndone)

// pool hands out connections, each to one caller at a time.
type pool struct {
	free   chan *conn // all that are not handed out
	closed chan struct{}
}

func newPool(conns []*conn) pool {
	p := pool{make(chan *conn, len(conns)), make(chan struct{})}
	for _, c := range conns {
		p.free <- c
	}
	return p
}

// take waits for a connection.
func (p pool) take(ctx context.Context) (*conn, error) {
	select {
	case <-p.closed:
		return nil, ErrClosed
	default:
	}
	select {
	case c := <-p.free:
		return c, nil
	case <-p.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// idle takes a connection if there is one to be had at once.
func (p pool) idle() (*conn, bool) {
	select {
	case c := <-p.free:
		return c, true
	default:
		return nil, false
	}
}

func (p pool) put(c *conn) { p.free <- c }

// close waits for every connection to be given back, and ends them. It may be called once.
func (p pool) close() error {
	close(p.closed)
	var errs []error
	for range cap(p.free) {
		errs = append(errs, (<-p.free).end())
	}
	return errors.Join(errs...)
}
