package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is a connection of the store's own, used by one caller at a time.
type conn struct {
	*sql.Conn
	patience time.Duration           // maximum wait for other writers
	prepared [len(queries)]*sql.Stmt // each from its first use on
}

// mostWAL is the size to which SQLite truncates the WAL file when it restarts the WAL, which it
// does when no reader needs its content: 8 MiB. A store writes half as much between two
// checkpoints.
const mostWAL = "8388608"

// background is the context of every statement within a transaction: a transaction is not
// interrupted. It also costs less: for any other context the driver starts a goroutine.
var background = context.Background()

// take takes a connection out of db and sets it up as the package promises. A writing connection
// has no busy timeout in SQLite, which no context could end: it waits for other writers in wait.
func take(ctx context.Context, db *sql.DB, patience time.Duration, writes bool) (*conn, error) {
	taken, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("take a connection: %w", err)
	}
	c := &conn{Conn: taken, patience: patience}
	timeout := patience
	if writes {
		timeout = 0
	}
	if err := c.setUp(ctx, timeout); err != nil {
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

// setUp sets the pragmas that the store relies on, and verifies them.
func (c *conn) setUp(ctx context.Context, timeout time.Duration) error {
	milliseconds := strconv.FormatInt(timeout.Milliseconds(), 10)
	for _, p := range []struct{ name, set, want, otherwise string }{
		{"busy_timeout", milliseconds, milliseconds, ""},
		{"journal_mode", "WAL", "wal", ": the database must be a file, and on a local disk"},
		{"synchronous", "FULL", "2", ""},
		{"foreign_keys", "ON", "1", ""},
		{"journal_size_limit", mostWAL, mostWAL, ""},
	} {
		var got string
		err := c.wait(ctx, func() error { // the busy timeout does not cover another connection that turns WAL on
			_, err := c.ExecContext(ctx, "PRAGMA "+p.name+" = "+p.set)
			return err
		})
		if err == nil {
			err = c.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got)
		}
		if err != nil {
			return fmt.Errorf("PRAGMA %s = %s: %w", p.name, p.set, err)
		}
		if got != p.want {
			return fmt.Errorf("%s is %s after it was set, want %s%s", p.name, got, p.want, p.otherwise)
		}
	}
	var text any
	const date = "2006-01-02" // with _texttotime the driver reads this text as a time, also as the name of a target
	if err := c.QueryRowContext(ctx, "SELECT '"+date+"'").Scan(&text); err != nil || text != date {
		return fmt.Errorf("the text %q reads as %v (%T), want a text: remove _texttotime from the DSN", date, text, text)
	}
	return nil
}

// wait calls f until it does not fail with SQLITE_BUSY, at intervals that grow to 20 ms. It stops
// when the connection's patience is over or ctx ends.
func (c *conn) wait(ctx context.Context, f func() error) error {
	end := time.Now().Add(c.patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := f()
		if code(err)&0xff != sqlite3.SQLITE_BUSY || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end closes the connection and its statements: database/sql never reuses a connection with the
// store's settings. SQLite keeps the file open until every statement is closed.
func (c *conn) end() error {
	var errs []error
	for _, s := range c.prepared {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if err := c.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stmt returns a query prepared on c.
func (c *conn) stmt(q query) (*sql.Stmt, error) {
	if c.prepared[q] == nil {
		s, err := c.PrepareContext(background, queries[q])
		if err != nil {
			return nil, fmt.Errorf("prepare %s: %w", queries[q], err)
		}
		c.prepared[q] = s
	}
	return c.prepared[q], nil
}

// exec runs a statement and returns the number of rows changed.
func (c *conn) exec(q query, args ...any) (int64, error) {
	s, err := c.stmt(q)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(background, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// do runs a statement and ignores the number of rows.
func (c *conn) do(q query, args ...any) error {
	_, err := c.exec(q, args...)
	return err
}

// scanner is a row of a result.
type scanner interface{ Scan(into ...any) error }

// list runs a query and returns its rows; scan reads one row.
func list[T any](c *conn, scan func(scanner, *T) error, q query, args ...any) (all []T, err error) {
	s, err := c.stmt(q)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(background, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var row T
		if err := scan(rows, &row); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// code returns the extended error code of a SQLite error, 0 for any other error.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
