package sqlitestore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
	"github.com/stepgate/stepgate/store/storetest"
)

func TestMain(m *testing.M) { testkit.Main(m, 5) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store { return open(t, file(t)) })
}

// The engine keeps its promises on the store: what enginetest.Check does beside the suite of
// stores, as far as it has to do with a store.
func TestEngine(t *testing.T) {
	db := database(t, file(t), "")
	s := onto(t, db)
	c := enginetest.Config{Open: func(t testing.TB) store.Store {
		empty(t, db)
		return s
	}}
	t.Run("sequences", func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { enginetest.Sequence(t, c) }) })
	t.Run("simulations", func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { enginetest.Simulate(t, c) }) })
}

// Two stores on one file, as in two processes, keep the contract of one.
func TestTwoStoresOnOneFile(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store {
		path := file(t)
		return &pair{stores: [2]store.Store{open(t, path), open(t, path)}}
	})
}

// pair is two stores that are called in turn.
type pair struct {
	stores [2]store.Store
	calls  atomic.Int64
}

func (p *pair) next() store.Store { return p.stores[p.calls.Add(1)%2] }

func (p *pair) View(ctx context.Context, q store.Query) (store.View, error) {
	return p.next().View(ctx, q)
}

func (p *pair) Created(ctx context.Context, scope store.Scope, request store.RequestID) (store.Record, error) {
	return p.next().Created(ctx, scope, request)
}

func (p *pair) Commit(ctx context.Context, c store.Change) error { return p.next().Commit(ctx, c) }

func (p *pair) Jobs(ctx context.Context, f store.JobFilter) ([]store.Job, error) {
	return p.next().Jobs(ctx, f)
}

func (p *pair) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	return p.next().Counts(ctx, scope, most)
}

func (p *pair) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	return p.next().Snapshot(ctx, q)
}

func (p *pair) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	return p.next().Details(ctx, q)
}

func (p *pair) Steps(ctx context.Context, scope store.Scope, job store.JobID, page store.Page[step.ID]) ([]store.Step, error) {
	return p.next().Steps(ctx, scope, job, page)
}

func (p *pair) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	return p.next().Targets(ctx, f)
}

func (p *pair) History(ctx context.Context, scope store.Scope, job store.JobID, page store.Page[store.Seq]) ([]store.Record, error) {
	return p.next().History(ctx, scope, job, page)
}

func (p *pair) Effects(ctx context.Context, scope store.Scope, job store.JobID, page store.Page[store.Seq]) ([]store.Delivery, error) {
	return p.next().Effects(ctx, scope, job, page)
}

func (p *pair) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	return p.next().Claim(ctx, c)
}

func (p *pair) Defer(ctx context.Context, d store.Delivery) error { return p.next().Defer(ctx, d) }

func (p *pair) Settle(ctx context.Context, d store.Delivery) error { return p.next().Settle(ctx, d) }

func (p *pair) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return p.next().Overdue(ctx, scope, now, limit)
}

// file returns the path of a file that there is not yet.
func file(t testing.TB) string { return filepath.Join(t.TempDir(), "jobs.db") }

// open opens the store in a file for the time of a test.
func open(t testing.TB, path string, opts ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	s, err := sqlitestore.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	closeWith(t, s)
	return s
}

// database opens a file as an embedder does, with parameters for the driver.
func database(t testing.TB, path, parameters string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+parameters)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// onto migrates a database and returns a store in it.
func onto(t testing.TB, db *sql.DB, opts ...sqlitestore.Option) *sqlitestore.Store {
	t.Helper()
	if err := sqlitestore.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	s, err := sqlitestore.New(t.Context(), db, opts...)
	if err != nil {
		t.Fatal(err)
	}
	closeWith(t, s)
	return s
}

func closeWith(t testing.TB, s *sqlitestore.Store) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// empty forgets every job.
func empty(t testing.TB, db *sql.DB) {
	t.Helper()
	exec(t, db, "PRAGMA foreign_keys = ON; DELETE FROM stepgate_jobs")
}

func exec(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
