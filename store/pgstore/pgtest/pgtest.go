// Package pgtest gives tests of pgstore and of programs on it a PostgreSQL server. [Pool] and
// [Schema] give a test a schema of its own on a shared server, [Start] gives it a server of its own
// that it can crash.
//
// No message contains the password of a connection string.
package pgtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/internal/pgkit"
)

// patience bounds actions of a server that take less than a second on an idle machine.
const patience = time.Minute

// Schema creates a schema on the server of [DSN] and returns a connection string for it, which
// other processes can use too. The schema and its content are dropped when t ends.
func Schema(t testing.TB) string {
	t.Helper()
	dsn := DSN(t)
	name := fmt.Sprintf("stepgate_test_%016x", rand.Uint64())
	if err := run(dsn, "create schema "+name); err != nil {
		t.Fatalf("pgtest: create a schema: %v", err)
	}
	t.Cleanup(func() {
		if err := run(dsn, "drop schema "+name+" cascade"); err != nil {
			t.Errorf("pgtest: drop the schema of the test: %v", err)
		}
	})
	return pgkit.Within(dsn, name)
}

// Pool returns a pool in a new [Schema]. It is closed when t ends; by then t must have released
// every connection. For a pool with another configuration, parse the result of Schema.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), Schema(t))
	if err != nil {
		t.Fatalf("pgtest: open a pool: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// run executes one statement on a connection of its own.
func run(dsn, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}
