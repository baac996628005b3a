package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"modernc.org/sqlite"
)

// A ledger measures the writes of a database.
type ledger struct {
	rows func(ctx context.Context) (float64, error) // inserted, updated and deleted so far
	log  func(ctx context.Context) (float64, error) // bytes that went to the write-ahead log so far
	disk func(ctx context.Context) (float64, error) // bytes that tables and indices take

	// tidy, if not nil, restarts the log before an act, so that it does not grow for ever.
	tidy func(ctx context.Context) error

	// checkpoint, if not nil, makes the server write its tables out. The first change of each page
	// after that logs the whole page.
	checkpoint func(ctx context.Context) error
}

// postgresLedger is the ledger of the schema of a pool, which has no other users.
func postgresLedger(pool *pgxpool.Pool) ledger {
	one := func(query string) func(context.Context) (float64, error) {
		return func(ctx context.Context) (n float64, err error) {
			if err := quiet(ctx, pool); err != nil {
				return 0, err
			}
			err = pool.QueryRow(ctx, query).Scan(&n)
			return n, err
		}
	}
	rows := one(`SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::float8 FROM pg_stat_user_tables WHERE schemaname = current_schema()`)
	return ledger{
		rows: func(ctx context.Context) (float64, error) {
			if err := quiet(ctx, pool); err != nil {
				return 0, err
			}
			for _, conn := range pool.AcquireAllIdle(ctx) { // each reports its statistics on request, or some time later
				_, err := conn.Exec(ctx, "SELECT pg_stat_force_next_flush()")
				conn.Release()
				if err != nil {
					return 0, err
				}
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

// quiet returns when no connection of a pool has been in use for a while: a store notifies others
// after a commit, on any connection.
func quiet(ctx context.Context, pool *pgxpool.Pool) error {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for calm := 0; calm < 4; calm++ {
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if pool.Stat().AcquiredConns() > 0 {
			calm = -1
		}
	}
	return nil
}

// known opens connections to a SQLite file and keeps a list of them.
type known struct {
	driver.Connector
	other  *sql.DB // beside them
	page   float64 // bytes of one
	tidied int     // times

	mu  sync.Mutex // guards all below
	all []driver.Conn
}

// newKnown returns a known for the file at path, with the settings of a sqlitestore.
func newKnown(path string) (*known, error) {
	dsn := path + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	other, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	k := &known{Connector: c, other: other}
	if err := other.QueryRow("PRAGMA page_size").Scan(&k.page); err != nil {
		return nil, err
	}
	_, err = k.checkpoint(context.Background(), "RESTART") // a connection's first checkpoint can find the log busy without a user
	return k, err
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

// ledger returns the file's ledger, for times when no connection is in use.
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
		log: func(ctx context.Context) (float64, error) {
			frames, err := c.checkpoint(ctx, "NOOP")
			return frames * (frameHeader + c.page), err
		},
		disk: one("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"), // as of the log as well
		tidy: func(ctx context.Context) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, conn := range c.all { // from now on only this checkpoint writes the log back
				if _, err := conn.(driver.ExecerContext).ExecContext(ctx, "PRAGMA wal_autocheckpoint = 0", nil); err != nil {
					return err
				}
			}
			if _, err := c.checkpoint(ctx, "RESTART"); err != nil {
				return err
			}
			c.tidied++
			// The first write restarts the log: this one, and not the act.
			_, err := c.other.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", c.tidied))
			return err
		},
	}
}

const frameHeader = 24 // bytes, of each page in the log

// checkpoint does one of SQLite's checkpoints and returns the number of pages in the log since its
// restart.
func (c *known) checkpoint(ctx context.Context, mode string) (frames float64, err error) {
	var busy, written int
	err = c.other.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &frames, &written)
	if err == nil && busy != 0 {
		err = fmt.Errorf("checkpoint %s: the log is in use", mode)
	}
	return frames, err
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
