package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver that Open uses

	"github.com/stepgate/stepgate/internal/groupcommit"
	"github.com/stepgate/stepgate/internal/wake"
	"github.com/stepgate/stepgate/store"
)

// A Store keeps jobs in a SQLite file. It is safe for concurrent use and passes
// storetest.Run. It comes from [Open] or [New], and is to be closed. An error that is none of
// package store's says what was attempted, and wraps that of the driver.
type Store struct {
	writers pool // of one
	readers pool
	lane    *groupcommit.Lanes[change]
	wakers  wake.List
	close   func() error // once
}

var (
	_ store.Store = (*Store)(nil)
	_ store.Waker = (*Store)(nil)
)

// Open opens the file at path for a store, creates it if there is none, and migrates it to
// the schema of this package. Close closes it.
func Open(path string, opts ...Option) (*Store, error) {
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, failed(err, "open %s", path)
	}
	s, err := migrated(background, db, opts)
	if err != nil {
		return nil, failed(errors.Join(err, db.Close()), "open %s", path)
	}
	giveBack := s.close
	s.close = sync.OnceValue(func() error { return errors.Join(giveBack(), db.Close()) })
	return s, nil
}

// migrated returns a store in a database after it has migrated it.
func migrated(ctx context.Context, db *sql.DB, opts []Option) (*Store, error) {
	version, err := wanted()
	if err != nil {
		return nil, err
	}
	if err := migrateTo(ctx, db, version, false); err != nil {
		return nil, err
	}
	return newStore(ctx, db, opts)
}

// dsn returns path as SQLite reads it, whatever characters it has.
func dsn(path string) string {
	slashed := filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" && !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: slashed}).String()
}

// New returns a store in a database whose schema is at the version of this package. It takes
// some of db's connections for itself until Close, each set up and verified as the package
// promises, and leaves at least one to you: if db allows fewer than three, that is an error.
// Where they are all in use, New waits for them.
func New(ctx context.Context, db *sql.DB, opts ...Option) (*Store, error) {
	s, err := newStore(ctx, db, opts)
	return s, failed(err, "open")
}

func newStore(ctx context.Context, db *sql.DB, opts []Option) (*Store, error) {
	o := newOptions(opts)
	if most := db.Stats().MaxOpenConnections; most > 0 {
		if most < 3 {
			return nil, fmt.Errorf("the database allows %d open connections, want at least 3 by SetMaxOpenConns: "+
				"the store takes one for writing and one for reading, and leaves one to you", most)
		}
		o.readers = min(o.readers, most-2)
	}
	var conns []*conn
	for i := range 1 + o.readers {
		c, err := take(ctx, db, o.busy, i == 0)
		if err != nil {
			return nil, errors.Join(err, newPool(conns).close())
		}
		conns = append(conns, c)
	}
	if err := conns[0].ready(ctx); err != nil {
		return nil, errors.Join(err, newPool(conns).close())
	}
	s := &Store{writers: newPool(conns[:1]), readers: newPool(conns[1:])}
	s.lane = groupcommit.New(1, mostInAGroup, change.keep, s.run)
	s.close = sync.OnceValue(func() error { return errors.Join(s.writers.close(), s.readers.close()) })
	return s, nil
}

// ready reports what keeps the writer from writing.
func (c *conn) ready(ctx context.Context) error {
	if err := c.checkVersion(); err != nil {
		return err
	}
	err := c.transact(ctx, func() error {
		_, err := c.ExecContext(background, "UPDATE stepgate_version SET version = version WHERE false")
		return err
	})
	if err != nil {
		return fmt.Errorf("the database cannot be written to: %w", err)
	}
	return nil
}

// Close waits for the calls that are under way and gives the store's connections up. Every
// later call fails with [ErrClosed], but for Close, which does nothing. A store that came
// from New leaves the database open.
func (s *Store) Close() error { return s.close() }

// Wake implements store.Waker, for the commits of this Store. Those of others are found by
// polling.
func (s *Store) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	return s.wakers.Listen(job)
}

// failed says what was attempted when err came of it. An answer that the contract names, the
// end of a context, and a *[SchemaError] stay as they are.
func failed(err error, format string, args ...any) error {
	for _, answer := range []error{
		nil, store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, ErrClosed, context.Canceled, context.DeadlineExceeded,
	} {
		if err == answer {
			return err
		}
	}
	if errors.As(err, new(*SchemaError)) {
		return err
	}
	return fmt.Errorf("sqlitestore: %s: %w", fmt.Sprintf(format, args...), err)
}
