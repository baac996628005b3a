package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/internal/pgkit"
)

// variable names a PostgreSQL if no flag does.
const variable = "STEPGATE_PG_DSN"

// findServer returns given if it is not empty, or else the address of a server that was installed in
// the usual way. A schema can be created on the server.
func findServer(ctx context.Context, given string) (string, error) {
	if given != "" {
		if _, err := pgx.ParseConfig(given); err != nil {
			return "", errors.New("what was given is not a connection string") // and may hold a password
		}
		if err := usable(ctx, given); err != nil {
			return "", err
		}
		return given, nil
	}
	users := []string{"postgres"}
	if u, err := user.Current(); err == nil {
		users = append(users, u.Username)
	}
	for _, name := range users {
		dsn := fmt.Sprintf("host=127.0.0.1 port=5432 user='%s' dbname=postgres sslmode=disable connect_timeout=2", name)
		if usable(ctx, dsn) == nil {
			return dsn, nil
		}
	}
	return "", errors.New("none answers on 127.0.0.1:5432, and neither -dsn nor " + variable + " names one")
}

// usable returns nil if a schema can be made on the server.
func usable(ctx context.Context, dsn string) error {
	name := newSchema()
	if err := execute(ctx, dsn, "CREATE SCHEMA "+name); err != nil {
		return err
	}
	return execute(ctx, dsn, "DROP SCHEMA "+name)
}

// newSchema returns a name that shows the owner of a schema that is left behind.
func newSchema() string { return fmt.Sprintf("stepgate_bench_%d_%016x", os.Getpid(), rand.Uint64()) }

// schema creates a schema on the server of the run. It returns its name, a connection string whose
// connections work in it, and a function that drops it with its content.
func (r *run) schema(ctx context.Context) (name, dsn string, drop func() error, err error) {
	name = newSchema()
	if err := execute(ctx, r.dsn, "CREATE SCHEMA "+name); err != nil {
		return "", "", nil, err
	}
	drop = func() error {
		return execute(context.WithoutCancel(ctx), r.dsn, "DROP SCHEMA "+name+" CASCADE")
	}
	return name, pgkit.Within(r.dsn, name), drop, nil
}

// pool creates a schema and returns a pool of at most conns connections that work in it, and a
// function that closes the pool and drops the schema.
func (r *run) pool(ctx context.Context, conns int) (pool *pgxpool.Pool, remove func() error, err error) {
	_, dsn, drop, err := r.schema(ctx)
	if err != nil {
		return nil, nil, err
	}
	pool, err = connect(ctx, dsn, conns)
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return pool, func() error { pool.Close(); return drop() }, nil
}

// connect returns a pool of at most conns connections, without encryption, which would distort the
// comparison.
func connect(ctx context.Context, dsn string, conns int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(conns)
	config.ConnConfig.TLSConfig, config.ConnConfig.Fallbacks = nil, nil
	return pgxpool.NewWithConfig(ctx, config)
}

// execute executes statements on a connection of their own.
func execute(ctx context.Context, dsn, statements string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statements)
	return err
}

// server returns the version of the run's PostgreSQL, and its settings for durability.
func server(ctx context.Context, r *run) string {
	if r.dsn == "" {
		return "none answered"
	}
	conn, err := pgx.Connect(ctx, r.dsn)
	if err != nil {
		return unknown
	}
	defer func() { _ = conn.Close(ctx) }()
	said := make([]string, 0, 6)
	for _, setting := range []string{"server_version", "synchronous_commit", "fsync", "wal_sync_method", "full_page_writes", "shared_buffers"} {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&value); err != nil {
			value = unknown
		}
		said = append(said, setting+" "+value)
	}
	return strings.TrimPrefix(strings.Join(said, ", "), "server_version ")
}
