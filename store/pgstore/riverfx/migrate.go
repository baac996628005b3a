package riverfx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

// Migrate migrates River's own tables, in the current schema of pool's connections, to the version
// of this package, as River's command-line tool does. It is idempotent, and any number of processes
// may call it at once: one migrates, the others wait. It needs two connections of pool. With a ctx
// without a deadline it fails after 10 minutes.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if _, ok := ctx.Deadline(); !ok {
		bounded, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		ctx = bounded
	}
	if err := migrate(ctx, pool); err != nil {
		return fmt.Errorf("riverfx: migrate: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if pool.Config().MaxConns < 2 {
		return errors.New("the pool has one connection, want two or more")
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	// River migrates in several transactions without a lock. A transaction beside them holds one
	// until its end.
	lock, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), link.DefaultTimeout)
		defer cancel()
		_ = lock.Rollback(end)
	}()
	if _, err := lock.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('stepgate.river.' || current_schema(), 0))`); err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}
