package riverfx_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/riverfx"
)

// A line is where the connections of a pool can fall silent, all at once: then they stay open, and
// what is sent on them is lost. Later ones work.
type line struct {
	mu    sync.Mutex // guards all below
	conns []*muted
}

func (l *line) between(c *pgxpool.Config) {
	dial := c.ConnConfig.DialFunc
	c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		m := &muted{Conn: conn}
		l.conns = append(l.conns, m)
		return m, nil
	}
}

// silence returns how many connections have fallen silent.
func (l *line) silence() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.mu.Lock()
		c.silent = true
		c.mu.Unlock()
	}
	return len(l.conns)
}

// cut ends all connections.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
}

type muted struct {
	net.Conn
	mu     sync.Mutex
	silent bool // guarded by mu
}

func (c *muted) isSilent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent
}

func (c *muted) Write(b []byte) (int, error) {
	if c.isSilent() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *muted) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.isSilent() {
			return n, err
		}
	}
}

// If all connections of a worker's process fall silent at once and new ones work, its calls end within
// the bound and it goes on: it works jobs, sweeps and reconciles.
func TestServerFallsSilent(t *testing.T) {
	const bound = 500 * time.Millisecond
	far := newProcess(t)
	config, err := pgxpool.ParseConfig(far.dsn)
	if err != nil {
		t.Fatal(err)
	}
	var l line
	l.between(config)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	defer l.cut() // so that the pool does not wait for what is silent as it closes
	carrier, err := riverfx.New(pool, quick(), riverfx.WithTimeout(bound))
	if err != nil {
		t.Fatal(err)
	}
	st, err := pgstore.New(t.Context(), pool, pgstore.WithCarrier(carrier), pgstore.WithTimeout(bound))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	eng := engine.New(st)
	worker := carrier.Worker(eng, st, succeed)
	for what, prepare := range map[string]func(job store.JobID) (call func() error){
		"Work": func(job store.JobID) func() error {
			ctx, riverJob := far.fetch(job, 2)
			return func() error { return worker.Work(ctx, riverJob) }
		},
		"Reconcile": func(job store.JobID) func() error {
			far.exec(`DELETE FROM river_job WHERE args = $1`, riverfx.Reference{Job: job, Seq: 2})
			return func() error {
				n, err := worker.Reconcile(t.Context())
				if err == nil && n != 1 {
					t.Errorf("Reconcile with an effect that has no River job: got %d, want 1", n)
				}
				return err
			}
		},
		"Sweep": func(store.JobID) func() error {
			return func() error { _, err := eng.Sweep(t.Context()); return err }
		},
	} {
		call := prepare(far.start(script("a")))
		if l.silence() == 0 {
			t.Fatal("the process has no connection that could fall silent")
		}
		began := time.Now()
		err := call()
		if errors.Is(err, pgstore.ErrTimeout) { // a claim, of which it is unknown whether it has passed
			err = call()
		}
		if err != nil {
			t.Errorf("%s into silence, and again: %v", what, err)
		}
		t.Logf("%s went on after %v", what, time.Since(began))
	}
}
