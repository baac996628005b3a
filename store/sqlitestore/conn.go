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

// conn is a connection that the store has taken for itself, used by one caller at a time.
type conn struct {
	*sql.Conn
	patience time.Duration           // how long it waits for others who write
	prepared [len(queries)]*sql.Stmt // as they are first used
}

// mostWAL is how many bytes the WAL keeps once it starts over, which it does when no reader
// needs what is in it. Between two checkpoints a store writes half as much.
const mostWAL = "8388608"

// background is the context of all that is done within a transaction: what is under way is
// not interrupted. It costs less, too: for any other the driver starts a goroutine.
var background = context.Background()

// take takes a connection out of db and has it do what the package promises. One that writes
// waits for others by itself, see wait, and has no busy timeout in SQLite, which no context
// would end.
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

// setUp sets what the store relies on, and verifies it.
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
		err := c.wait(ctx, func() error { // SQLite does not, where another connection turns WAL on
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
			return fmt.Errorf("%s is %s and cannot be set, want %s%s", p.name, got, p.want, p.otherwise)
		}
	}
	var text any
	const date = "2006-01-02" // what a DSN may have the driver take for a time, as the name of a target for instance
	if err := c.QueryRowContext(ctx, "SELECT '"+date+"'").Scan(&text); err != nil || text != date {
		return fmt.Errorf("the text %q reads as %v (%T), want it as it is: leave _texttotime out of the DSN", date, text, text)
	}
	return nil
}

// wait calls f again and again, at intervals that grow to 20 ms, while others keep it from
// what it does, until the connection's patience or ctx ends.
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

// end closes the connection for good, so that nobody gets it with settings that are not his.
// SQLite keeps the file open until every statement is closed.
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

// stmt returns a query as it is prepared on c.
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

// exec runs a statement and returns how many rows it changed.
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

// do runs a statement whose count of rows says nothing.
func (c *conn) do(q query, args ...any) error {
	_, err := c.exec(q, args...)
	return err
}

// scanner is a row of a result.
type scanner interface{ Scan(into ...any) error }

// list runs a query and returns its rows, as scan reads them.
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

// code returns SQLite's extended code of an error, 0 if it is none of SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
