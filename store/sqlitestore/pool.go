package sqlitestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/store"
)

// ErrClosed is the error of calls on a closed [Store]: nothing was done. It matches store.ErrUndone.
var ErrClosed = fmt.Errorf("sqlitestore: the store is closed: %w", store.ErrUndone)

// pool lends connections, each to one caller at a time.
type pool struct {
	free   chan *conn // the connections that are not lent
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

// idle takes a connection if one is free.
func (p pool) idle() (*conn, bool) {
	select {
	case c := <-p.free:
		return c, true
	default:
		return nil, false
	}
}

func (p pool) put(c *conn) { p.free <- c }

// close waits until every connection is given back and ends it. It must be called once only.
func (p pool) close() error {
	close(p.closed)
	var errs []error
	for range cap(p.free) {
		errs = append(errs, (<-p.free).end())
	}
	return errors.Join(errs...)
}
