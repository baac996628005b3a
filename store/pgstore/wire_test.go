package pgstore_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A wire counts the round trips of the calls whose context it marks, where they can be seen:
// at the connection to the server, as what is read after something was written. It is the
// tracer of a pool, and thus knows which connection a call holds, and that what others do
// meanwhile, the notifier of the store for instance, is none of the call's.
type wire struct {
	mu   sync.Mutex // guards held
	held map[*pgx.Conn]hold
}

// A hold is a marked call that has a connection.
type hold struct {
	trips  *atomic.Int64 // of the call
	before int64         // of the connection
}

type tripsKey struct{}

// counting sets up a pool for w. A pool asks a connection that has rested for a second
// whether it is still there, in a round trip of its own; this one does not.
func counting(w *wire) func(*pgxpool.Config) {
	w.held = map[*pgx.Conn]hold{}
	return func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return &counted{Conn: conn}, err
		}
		c.ConnConfig.Tracer = w
		c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	}
}

// trips returns how many round trips a call makes.
func (w *wire) trips(t testing.TB, call func(ctx context.Context) error) int {
	t.Helper()
	var n atomic.Int64
	if err := call(context.WithValue(t.Context(), tripsKey{}, &n)); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.held {
		if h.trips == &n {
			t.Fatal("a call has returned and still holds a connection")
		}
	}
	return int(n.Load())
}

func (w *wire) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return ctx
}

func (w *wire) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	if n, marked := ctx.Value(tripsKey{}).(*atomic.Int64); marked && data.Err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held[data.Conn] = hold{n, of(data.Conn).turns.Load()}
	}
}

func (w *wire) TraceRelease(_ *pgxpool.Pool, data pgxpool.TraceReleaseData) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h, ok := w.held[data.Conn]; ok {
		h.trips.Add(of(data.Conn).turns.Load() - h.before)
		delete(w.held, data.Conn)
	}
}

func (w *wire) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (w *wire) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// counted is a connection that counts how often it turns from writing to reading.
type counted struct {
	net.Conn
	asked atomic.Bool // something was written since the last read
	turns atomic.Int64
}

// of returns what counts the turns of a connection.
func of(c *pgx.Conn) *counted {
	conn := c.PgConn().Conn()
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	return conn.(*counted)
}

func (c *counted) Write(b []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(b)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.asked.Swap(false) {
		c.turns.Add(1)
	}
	return n, err
}
