package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

var _ store.Clock = (*Store)(nil)

// WithClock replaces the server's clock in tests that move time; nil keeps the server's. Give the
// engines the same function with engine.WithClock. Every process that shares the schema must use
// the same clock.
func WithClock(now func() time.Time) Option { return func(c *config) { c.now = now } }

// Now implements store.Clock: it returns the server's clock_timestamp in whole milliseconds, in
// one round trip.
func (s *Store) Now(ctx context.Context) (step.Time, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if s.now != nil {
		return step.At(s.now()), nil
	}
	var now step.Time
	err := s.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, nowSQL).Scan((*int64)(&now))
	})
	return now, failed("now", err)
}

const nowSQL = `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
