package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"modernc.org/sqlite"
)

// A ledger tells what a database has written.
type ledger struct {
	rows func(ctx context.Context) (float64, error) // inserted, updated and deleted so far
	log  func(ctx context.Context) (float64, error) // bytes that went to the write-ahead log so far
	disk func(ctx context.Context) (float64, error) // bytes that tables and indices take

	// tidy, if there is one, empties the log before an act, so that it does not grow for ever.
	tidy func(ctx context.Context) error

	// checkpoint, if there is one, has the server write its tables out, after which the first
	// change of each page logs the whole page.
	checkpoint func(ctx context.Context) error
}

// postgresLedger is that of the schema of a pool of whose connections none is kept by anybody.
func postgresLedger(pool *pgxpool.Pool) ledger {
	one := func(query string) func(context.Context) (float64, error) {
		return func(ctx context.Context) (n float64, err error) {
			err = pool.QueryRow(ctx, query).Scan(&n)
			return n, err
		}
	}
	rows := one(`SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::float8 FROM pg_stat_user_tables WHERE schemaname = current_schema()`)
	return ledger{
		rows: func(ctx context.Context) (float64, error) {
			if err := tell(ctx, pool); err != nil {
				return 0, err
			}
			return rows(ctx)
		},
		log: one(`SELECT (pg_current_wal_insert_lsn() - '0/0')::float8`),
		disk: one(`SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::float8 FROM pg_class
			WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`),
		checkpoint: func(ctx context.Context) error {
			_, err := pool.Exec(ctx, "CHECKPOINT")
			return err
		},
	}
}

// known opens connections to a SQLite file and knows them all. The log of the file is never
// emptied but by the ledger.
type known struct {
	driver.Connector
	path  string
	other *sql.DB // beside them

	mu  sync.Mutex // guards all below
	all []driver.Conn
}

func newKnown(path string) (*known, error) {
	const settings = "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(0)&_txlock=immediate"
	c, err := sqlite.NewConnector(path + settings)
	if err != nil {
		return nil, err
	}
	other, err := sql.Open("sqlite", path+settings)
	return &known{Connector: c, path: path, other: other}, err
}

// Connect implements driver.Connector.
func (c *known) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, conn)
	}
	return conn, err
}

// ledger returns that of the file, for when no connection is in use.
func (c *known) ledger() ledger {
	one := func(query string) func(context.Context) (float64, error) {
		return func(ctx context.Context) (n float64, err error) {
			err = c.other.QueryRowContext(ctx, query).Scan(&n)
			return n, err
		}
	}
	return ledger{
		rows: func(ctx context.Context) (sum float64, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, conn := range c.all {
				n, err := totalChanges(ctx, conn)
				if err != nil {
					return 0, err
				}
				sum += n
			}
			return sum, nil
		},
		log: func(context.Context) (float64, error) {
			info, err := os.Stat(c.path + "-wal")
			if errors.Is(err, fs.ErrNotExist) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return float64(info.Size()), nil
		},
		disk: one("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"), // as of the log as well
		tidy: func(ctx context.Context) error {
			var busy, pages, written int
			err := c.other.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &written)
			if err == nil && busy != 0 {
				err = errors.New("the log is in use")
			}
			return err
		},
	}
}

// totalChanges returns how many rows a connection has changed since it was opened.
func totalChanges(ctx context.Context, conn driver.Conn) (float64, error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, "SELECT total_changes()", nil)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	got := make([]driver.Value, 1)
	if err := rows.Next(got); err != nil {
		return 0, err
	}
	return float64(got[0].(int64)), nil
}

// tell has each connection of a pool tell what it has done: by itself it does so some time later.
// It waits for those that are still in use, though what they were used for has been answered.
func tell(ctx context.Context, pool *pgxpool.Pool) error {
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, "SELECT pg_stat_force_next_flush()"); err != nil {
			return err
		}
	}
	return nil
}
