package pgstore

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/internal/groupcommit"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

// A Store keeps jobs in the current schema of a PostgreSQL database. It is safe for concurrent
// use, by any number of processes, and passes storetest.Run. It comes from [New].
type Store struct {
	news
	carrier  Carrier
	now      func() time.Time                 // nil: the server's
	patience time.Duration                    // with a lock, for changes that are committed together
	changes  *groupcommit.Lanes[store.Change] // nil without group commit
	views    *groupcommit.Lanes[*viewCall]    // as changes
}

var (
	_ store.Store = (*Store)(nil)
	_ store.Waker = (*Store)(nil)
)

// A Carrier takes effects to where they are carried out, other than by Engine.Dispatch.
type Carrier interface {
	// Carry is called with the effects of what tx commits, in tx, after all else. An error
	// fails the commit and undoes it, as does a panic. The effects wait in the store as well until they are
	// settled, so that Engine.Effects tells of them; no claim takes them. It may be called
	// again with the same effects, if the transaction before was undone. It writes through tx: a
	// commit that it makes otherwise may queue behind one that waits for tx, and both for ever.
	Carry(ctx context.Context, tx pgx.Tx, effects []store.Delivery) error
}

// An Option sets up a [Store].
type Option func(*config)

type config struct {
	lanes   int
	carrier Carrier
	timeout time.Duration
	now     func() time.Time
}

// The lanes that a store has by default, how many changes or views one group may hold, and how many
// targets each view: together those of the largest report.
const (
	defaultLanes = 1
	mostInGroup  = 128
	mostTargets  = 10_000 / mostInGroup
)

// WithLanes sets how many groups of changes are under way at once, each on a connection of its
// own, and how many of loads; the default is 1. What concerns a job keeps to one lane. More
// lanes make smaller groups, and pay where the server has cores to spare; 0 loads and commits
// each alone. What takes longer than a hundredth of [WithTimeout], as another program holds a lock
// for instance, goes on beside its lane, which has up to a quarter of the pool's connections for that.
func WithLanes(n int) Option { return func(c *config) { c.lanes = max(n, 0) } }

// WithCarrier has c carry the effects of every change, in the transaction of the change. Every
// process that shares the schema should have it.
func WithCarrier(carrier Carrier) Option { return func(c *config) { c.carrier = carrier } }

// WithTimeout sets how long a call waits for the server at most; the default is 10 s. The
// connection of one that has no answer by then is thrown away, with those of the pool that are
// idle, which may be as dead; the error is an [ErrTimeout]. A read that has no answer for half of
// the time is asked again on another connection. A statement that still runs after three quarters,
// as another program holds a lock that it needs for instance, is canceled, and has then done
// nothing. A context that ends sooner ends the call sooner.
func WithTimeout(d time.Duration) Option {
	return func(c *config) {
		if d > 0 {
			c.timeout = d
		}
	}
}

// ErrTimeout: the server gave no answer within the time that [WithTimeout] sets. Whether a Commit
// has taken effect is unknown, unless the error is a store.ErrUndone too.
var ErrTimeout = link.ErrTimeout

// oldest is the first version of the server that is supported.
const oldest = 150000

// New returns the store in the current schema of pool's connections. It is a *[SchemaError] if
// the schema is of a version that this package cannot use: [Migrate] brings an older one there. The caller
// keeps the ownership of pool, and closes it after the store. It is a *[PoolerError] if the exec mode
// of pool needs prepared statements and a transaction pooler loses them.
func New(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Store, error) {
	c := config{lanes: defaultLanes, timeout: link.DefaultTimeout}
	for _, o := range opts {
		if o != nil {
			o(&c)
		}
	}
	s := &Store{news: news{link: link.New(pool, c.timeout)}, carrier: c.carrier, now: c.now}
	var version int
	var schema *string
	var session uint32
	pooled := false
	err := s.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		err := c.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_schema(), pg_backend_pid()`, anywhere).
			Scan(&version, &schema, &session)
		pooled = session != c.PgConn().PID()
		return err
	})
	switch {
	case err != nil:
		return nil, failed("open", err)
	case version < oldest:
		return nil, fmt.Errorf("pgstore: the server is version %d, want %d or later", version/10000, oldest/10000)
	case schema == nil:
		return nil, errNoSchema
	}
	if err := s.link.Read(ctx, checkVersion); err != nil {
		return nil, err
	}
	if err := s.checkPooler(ctx, pool.Config().ConnConfig.DefaultQueryExecMode, pooled); err != nil {
		return nil, err
	}
	if c.lanes > 0 {
		s.patience = c.timeout / 100
		s.changes = groupcommit.New(c.lanes, mostInGroup, store.Change.Clone, func(ctx context.Context, group []store.Change) []error {
			return s.commit(ctx, group, nil)
		})
		s.views = groupcommit.New(c.lanes, mostInGroup, (*viewCall).kept, s.readGroup)
		s.views.Repeat = true
		s.changes.Patience, s.views.Patience = s.patience, s.patience
		s.changes.Queue, s.views.Queue = c.timeout, c.timeout
		s.changes.Aside = max(int(pool.Config().MaxConns)/4/c.lanes, 1)
		s.views.Aside = s.changes.Aside
	}
	hash := fnv.New64a()
	hash.Write([]byte(*schema))
	s.open(fmt.Sprintf("stepgate_%016x", hash.Sum64()))
	return s, nil
}

// Close ends what the store does in the background, and its listening for commits of other
// processes. Calls under way go on. It does not close the pool. Closing twice is harmless.
func (s *Store) Close() { s.close() }
