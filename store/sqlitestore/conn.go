package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is a connection that the store has taken for itself, used by one caller at a time.
type conn struct {
	*sql.Conn
	prepared [len(queries)]*sql.Stmt // as they are first used
}

// background is the context of all that is done within a transaction: what is under way is
// not interrupted.
var background = context.Background()

// take takes a connection out of db and has it do what the package promises.
func take(ctx context.Context, db *sql.DB, busy time.Duration) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("take a connection: %w", err)
	}
	taken := &conn{Conn: c}
	if err := taken.setUp(ctx, busy); err != nil {
		return nil, errors.Join(err, taken.end())
	}
	return taken, nil
}

// setUp sets what the store relies on, and verifies it.
func (c *conn) setUp(ctx context.Context, busy time.Duration) error {
	for _, p := range []struct{ name, set, want, otherwise string }{
		{"busy_timeout", fmt.Sprint(busy.Milliseconds()), fmt.Sprint(busy.Milliseconds()), ""},
		{"journal_mode", "WAL", "wal", ": the database must be a file, and on a local disk"},
		{"synchronous", "FULL", "2", ""},
		{"foreign_keys", "ON", "1", ""},
	} {
		if err := c.setPragma(ctx, p.name, p.set, busy); err != nil {
			return err
		}
		var got string
		if err := c.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
			return fmt.Errorf("PRAGMA %s: %w", p.name, err)
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

// setPragma waits for others itself: SQLite does not, where a first connection turns WAL on
// while another does.
func (c *conn) setPragma(ctx context.Context, name, value string, busy time.Duration) error {
	for end := time.Now().Add(busy); ; {
		_, err := c.ExecContext(ctx, "PRAGMA "+name+" = "+value)
		if err == nil {
			return nil
		}
		if code(err)&0xff != sqlite3.SQLITE_BUSY || time.Now().After(end) {
			return fmt.Errorf("PRAGMA %s = %s: %w", name, value, err)
		}
		select {
		case <-time.After(5 * time.Millisecond):
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
func (c *conn) exec(ctx context.Context, q query, args ...any) (int64, error) {
	s, err := c.stmt(q)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// do runs a statement whose count of rows says nothing.
func (c *conn) do(q query, args ...any) error {
	_, err := c.exec(background, q, args...)
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
