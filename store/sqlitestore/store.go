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

	_ "modernc.org/sqlite" // the driver of Open

	"github.com/stepgate/stepgate/internal/groupcommit"
	"github.com/stepgate/stepgate/internal/wake"
	"github.com/stepgate/stepgate/store"
)

// A Store stores jobs in a SQLite file. It is safe for concurrent use and passes storetest.Run.
// [Open] and [New] return one, and the caller must close it. Errors other than those of package
// store and of a context, [ErrClosed] and [SchemaError] name the failed action and wrap the
// driver's error.
type Store struct {
	writers pool // has one connection
	readers pool
	lane    *groupcommit.Lanes[change]
	wakers  wake.List
	close   func() error // idempotent
}

var (
	_ store.Store = (*Store)(nil)
	_ store.Waker = (*Store)(nil)
)

// Open opens the file at path, creates it if it does not exist, and migrates it as [Migrate] does.
// Close closes the file.
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

// migrated migrates a database and returns a store in it.
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

// dsn returns path as a URL that SQLite reads, with special characters escaped.
func dsn(path string) string {
	slashed := filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" && !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: slashed}).String()
}

// New returns a store in db, which must have a schema that suits this package: the error is a
// *[SchemaError] otherwise, see [Migrate]. The store takes connections from db until Close: one for
// writing and up to four for reading, see [WithReaders]. It leaves at least one to you: a db that
// allows fewer than three is an error. New waits while all connections are in use. ctx bounds New
// alone.
func New(ctx context.Context, db *sql.DB, opts ...Option) (*Store, error) {
	s, err := newStore(ctx, db, opts)
	return s, failed(err, "open")
}

func newStore(ctx context.Context, db *sql.DB, opts []Option) (*Store, error) {
	o := newOptions(opts)
	if most := db.Stats().MaxOpenConnections; most > 0 {
		if most < 3 {
			return nil, fmt.Errorf("the database allows %d open connections, want at least 3 (SetMaxOpenConns): "+
				"one for writing, one for reading, and one for your program", most)
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

// ready returns an error if the schema does not suit, or if the writer cannot write.
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

// Close waits for running calls and closes the store's connections. Later calls fail with
// [ErrClosed]; Close is idempotent. A store of New leaves the database open.
func (s *Store) Close() error { return s.close() }

// Wake implements store.Waker for the commits of this Store. Commits of other stores are found by
// polling.
func (s *Store) Wake(job store.JobID) (changed <-chan struct{}, stop func()) {
	return s.wakers.Listen(job)
}

// failed adds the failed action to err. It returns the errors of the store contract, of a context,
// and a *[SchemaError] unchanged.
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
