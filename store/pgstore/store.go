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

// A Store stores jobs in the current schema of a PostgreSQL database. It is safe for concurrent
// use, by any number of processes, and passes storetest.Run. [New] returns one, and the caller must
// close it. Errors other than those of package store and of a context name the failed action and
// wrap the server's error.
type Store struct {
	news
	carrier  Carrier
	now      func() time.Time                   // nil for the server's
	patience time.Duration                      // maximum wait of a group for locks
	changes  *groupcommit.Lanes[store.Change]   // nil with WithLanes(0)
	views    *groupcommit.Lanes[*viewCall]      // nil with WithLanes(0)
	settled  *groupcommit.Lanes[store.Delivery] // nil with WithLanes(0)
}

var (
	_ store.Store = (*Store)(nil)
	_ store.Waker = (*Store)(nil)
)

// A Carrier takes effects to an external queue, in place of Engine.Dispatch and Engine.Claim.
type Carrier interface {
	// Carry takes the effects of a commit, in its transaction tx and after its other statements. An
	// error or a panic rolls the commit back. The store calls Carry again with the same effects if
	// the transaction was rolled back and is repeated. The effects also stay in the store until
	// they are settled: Engine.Effects returns them, and no claim takes them. Carry must write
	// through tx: a commit on another connection may queue behind a commit that waits for tx, a
	// deadlock that the server does not detect.
	Carry(ctx context.Context, tx pgx.Tx, effects []store.Delivery) error
}

// An Option configures a [Store].
type Option func(*config)

type config struct {
	lanes   int
	carrier Carrier
	timeout time.Duration
	now     func() time.Time
}

const (
	defaultLanes = 1
	mostInGroup  = 128                  // changes or views of one group
	mostTargets  = 10_000 / mostInGroup // targets of a view in a group: together those of the largest report
)

// WithLanes sets the number of lanes for changes, of lanes for loads and of lanes for settlements;
// the default is 1 each, and 0 carries out each call alone. A lane carries out one group of calls at a time, on one
// connection; the calls of one job use the same lane. More lanes make smaller groups, which is
// faster if the server has idle cores. A group that takes longer than a hundredth of [WithTimeout],
// as when another program holds a lock, continues outside its lane: a lane uses up to a quarter of
// the pool's connections for that.
func WithLanes(n int) Option { return func(c *config) { c.lanes = max(n, 0) } }

// WithCarrier makes carrier take the effects of every change, in the transaction of the change. All
// processes that share the schema should have one.
func WithCarrier(carrier Carrier) Option { return func(c *config) { c.carrier = carrier } }

// WithTimeout sets the maximum time of a call; the default is 10 s, and d <= 0 is ignored. A call
// without an answer by then fails with [ErrTimeout]; the store discards its connection and the idle
// ones of the pool, which may be dead too. A read without an answer is repeated on another
// connection after half of the time. A statement that still runs after three quarters of it, as
// when another program holds a lock, is canceled and changes nothing. A context that ends sooner
// ends the call sooner.
func WithTimeout(d time.Duration) Option {
	return func(c *config) {
		if d > 0 {
			c.timeout = d
		}
	}
}

// ErrTimeout is the error of a call without an answer of the server within [WithTimeout]. The
// outcome of a Commit is then unknown, unless the error also matches store.ErrUndone.
var ErrTimeout = link.ErrTimeout

// oldest is the oldest supported version of the server.
const oldest = 150000

// New returns a store in the current schema of pool's connections. It fails with a *[SchemaError]
// if this package cannot use the tables, see [Migrate], and with a *[PoolerError] if the exec mode
// of pool needs prepared statements and a transaction pooler loses them. The caller owns pool and
// closes it after the store. ctx bounds New alone.
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
		kept := func(d store.Delivery) store.Delivery { return d } // its texts are immutable
		s.settled = groupcommit.New(c.lanes, mostInGroup, kept, s.settle)
		s.settled.Repeat = true
		s.changes.Patience, s.views.Patience, s.settled.Patience = s.patience, s.patience, s.patience
		s.changes.Queue, s.views.Queue, s.settled.Queue = c.timeout, c.timeout, c.timeout
		aside := max(int(pool.Config().MaxConns)/4/c.lanes, 1)
		s.changes.Aside, s.views.Aside, s.settled.Aside = aside, aside, aside
	}
	hash := fnv.New64a()
	hash.Write([]byte(*schema))
	s.open(fmt.Sprintf("stepgate_%016x", hash.Sum64()))
	return s, nil
}

// Close ends the store's goroutines and its listening connection, and waits for them. It does not
// close the pool, and it ends no call: later calls still work, but wake no other process. It is
// idempotent.
func (s *Store) Close() { s.close() }
