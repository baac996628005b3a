// Package pgtest gives tests a PostgreSQL: the tests of pgstore, and those of whoever embeds
// it. [Pool] and [Schema] give a test a schema of its own on a server that many share, [Start]
// a server of its own that it can crash.
//
// What a test is told never holds a password of a connection string.
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

// patience is for what a server does within a second unless the machine is busy.
const patience = time.Minute

// Schema makes a schema on the server of [DSN] and returns a connection string whose
// connections work in it, those of other processes too. It is dropped when t ends, with all
// that is in it.
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

// Pool returns a pool whose connections work in a [Schema] of its own. It is closed when t
// ends, by when t must have given back every connection. For a pool of another kind, parse
// what Schema returns.
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
