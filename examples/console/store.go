package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// openStore opens the store of -store and migrates it.
func openStore(ctx context.Context, name string) (store.Store, func() error, error) {
	kind, at, _ := strings.Cut(name, ":")
	switch {
	case name == "memory":
		return memstore.New(), func() error { return nil }, nil
	case kind == "sqlite" && at != "":
		s, err := sqlitestore.Open(at)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	case kind == "postgres" && at != "":
		if strings.HasPrefix(at, "//") { // the whole value is a DSN in the form of a URL
			at = name
		}
		return openPostgres(ctx, at)
	}
	return nil, nil, fmt.Errorf("-store %q: want memory, sqlite:FILE or postgres:DSN", storeName(name))
}

func openPostgres(ctx context.Context, dsn string) (store.Store, func() error, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, nil, err
	}
	if err := pgstore.Migrate(ctx, pool); err != nil {
		pool.Close()
		return nil, nil, err
	}
	s, err := pgstore.New(ctx, pool)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return s, func() error {
		s.Close()
		pool.Close()
		return nil
	}, nil
}

// storeName returns the printable part of -store: a DSN may have a password.
func storeName(name string) string {
	if kind, _, ok := strings.Cut(name, ":"); ok && kind != "sqlite" {
		return kind
	}
	return name
}
