package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/store/pgstore"
)

const (
	variable = "STEPGATE_PG_DSN"
	patience = 30 * time.Second // maximum time of short statements
)

// A setting is the configuration of every process of a cluster.
type setting struct {
	DSN     string
	Schema  string // of the database
	Dir     string // directory of targets and logs
	Seed    uint64
	Jobs    int
	Workers int
}

// prepare creates a schema and a directory for a cluster; remove removes them.
func prepare(ctx context.Context, o options) (s setting, remove func() error, err error) {
	s = setting{DSN: o.dsn, Schema: fmt.Sprintf("stepgate_cluster_%016x", rand.Uint64()), Seed: o.seed, Jobs: o.jobs, Workers: o.workers}
	if s.Dir, err = os.MkdirTemp("", "cluster"); err != nil {
		return s, nil, err
	}
	for _, host := range hosts {
		err = errors.Join(err, os.MkdirAll(filepath.Join(s.targets(), host), 0o700))
	}
	if err == nil {
		err = s.execute(ctx, "CREATE SCHEMA "+s.Schema)
	}
	if err != nil {
		return s, nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return s, func() error {
		return errors.Join(s.execute(context.Background(), "DROP SCHEMA "+s.Schema+" CASCADE"), os.RemoveAll(s.Dir))
	}, nil
}

func (s setting) targets() string { return filepath.Join(s.Dir, "targets") }

// execute runs one statement on a connection of its own.
func (s setting) execute(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config, err := s.parse()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// parse reads the connection string. The error has no details: they may have a password.
func (s setting) parse() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(s.DSN)
	if err != nil {
		return nil, errors.New("the DSN is not a valid connection string, want one such as postgres://user@127.0.0.1:5432/database")
	}
	config.ConnConfig.RuntimeParams["search_path"] = s.Schema
	return config, nil
}

// open migrates and opens the store. closeAll does not wait for connections with an interrupted
// statement, which pgx may need 15 s to close.
func (s setting) open(ctx context.Context) (st *pgstore.Store, closeAll func(), err error) {
	config, err := s.parse()
	if err != nil {
		return nil, nil, err
	}
	config.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	if err = pgstore.Migrate(ctx, pool); err == nil {
		st, err = pgstore.New(ctx, pool)
	}
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return st, func() { st.Close(); go pool.Close() }, nil
}
