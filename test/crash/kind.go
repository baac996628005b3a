package crash

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/pgtest"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// A kind is a kind of store that a process opens in some place, a file or a schema, where
// others have opened it before.
type kind struct {
	name string

	// make returns a place without jobs, which goes when t ends.
	make func(t testing.TB) (place string)

	// open opens the store; the caller closes it.
	open func(ctx context.Context, place string) (st store.Store, close func(), err error)

	// calm returns once the work that a dead process began has ended; nil if it ends with the
	// process.
	calm func(ctx context.Context, place string) error
}

var (
	sqlite     = kind{"SQLite", file, openSQLite, nil}
	postgres   = kind{"PostgreSQL", schema, openPostgres, sessionsEnd}
	writesLate = kind{"memory, written to a file later", file, openWriteBehind, nil}
)

var kinds = []kind{sqlite, postgres, writesLate}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "jobs.db") }

func openSQLite(_ context.Context, path string) (store.Store, func(), error) {
	st, err := sqlitestore.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return st, func() { _ = st.Close() }, nil
}

func schema(t testing.TB) string {
	dsn := pgtest.Schema(t)
	migrate(t, dsn)
	return dsn
}

func migrate(t testing.TB, dsn string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
}

func openPostgres(ctx context.Context, dsn string) (store.Store, func(), error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	config.MaxConns = people
	config.ConnConfig.RuntimeParams["application_name"] = application(config.ConnConfig)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	st, err := pgstore.New(ctx, pool)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return st, func() { st.Close(); pool.Close() }, nil
}

// application is the name of the connections to a schema.
func application(c *pgx.ConnConfig) string { return "crash " + c.RuntimeParams["search_path"] }

// sessionsEnd waits for the sessions of a process that was killed: the server still carries
// out what was sent.
func sessionsEnd(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for left := -1; left != 0; {
		err := conn.QueryRow(ctx, "select count(*) from pg_stat_activity where application_name = $1", application(conn.Config())).Scan(&left)
		if err != nil {
			return fmt.Errorf("wait for sessions to end: %w", err)
		}
		rest(ctx)
	}
	return nil
}

// openWriteBehind opens a store that is not durable: it acknowledges a change once memory has it,
// and writes it to the file a moment later. It never reads the file.
func openWriteBehind(ctx context.Context, path string) (store.Store, func(), error) {
	behind, err := sqlitestore.Open(path)
	if err != nil {
		return nil, nil, err
	}
	w := writeBehind{memstore.New(), make(chan store.Change, 1<<16)}
	go func() {
		for c := range w.queue {
			rest(ctx)
			_ = behind.Commit(ctx, c)
		}
	}()
	return w, func() { close(w.queue) }, nil
}

type writeBehind struct {
	*memstore.Store
	queue chan store.Change
}

func (w writeBehind) Commit(ctx context.Context, c store.Change) error {
	err := w.Store.Commit(ctx, c)
	if err == nil {
		w.queue <- c.Clone()
	}
	return err
}
