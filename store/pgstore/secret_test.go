package pgstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/store/pgstore"
)

// No error contains the password of a connection string.
func TestPasswordStaysSecret(t *testing.T) {
	const password = "s3cr3t-sentinel"
	ctx := t.Context()
	for what, broken := range map[string]func(*pgx.ConnConfig){
		"dead port":      func(c *pgx.ConnConfig) { c.Host, c.Port = "127.0.0.1", 1 },
		"wrong database": func(c *pgx.ConnConfig) { c.Database = "stepgate_missing" },
		"wrong user":     func(c *pgx.ConnConfig) { c.User = "stepgate_missing" },
	} {
		t.Run(what, func(t *testing.T) {
			keeps := func(call string, err error) {
				t.Helper()
				if err == nil {
					t.Errorf("%s: got no error", call)
				}
				for _, text := range []string{fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
					if strings.Contains(text, password) {
						t.Errorf("%s tells the password: %s", call, text)
					}
				}
			}
			var down atomic.Bool
			pool := migrated(t, func(c *pgxpool.Config) {
				c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
					if down.Load() {
						c.Password, c.Fallbacks = password, nil
						broken(c)
					}
					return nil
				}
			})
			failures := 0
			eng := engine.New(open(t, pool), engine.WithObserver(engine.Observer{
				Failed: func(_ context.Context, err error) { failures++; keeps("Observer.Failed", err) },
			}))
			id := jobkit.Start(t, eng, jobkit.Asking(1))
			down.Store(true)
			pool.Reset()

			_, err := pgstore.New(ctx, pool)
			keeps("New", err)
			keeps("Migrate", pgstore.Migrate(ctx, pool))
			keeps("MigrateTo", pgstore.MigrateTo(ctx, pool, 0))
			_, err = eng.Operate(ctx, id, 1, operation.TerminateConfirmation, engine.Request{})
			keeps("Operate", err)
			_, err = eng.Create(ctx, jobkit.Asking(1), engine.Request{})
			keeps("Create", err)
			_, err = eng.History(ctx, id, 0, 1)
			keeps("History", err)
			if failures != 2 {
				t.Errorf("the observer was told of %d failures, want 2", failures)
			}
		})
	}
}
