package pgstore_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/store/internal/sqltest"
	"github.com/stepgate/stepgate/store/pgstore"
)

// A trace notes the statements of a pool whose context it marks.
type trace struct {
	all bool // of every call, marked or not

	mu         sync.Mutex // guards statements
	statements []string
}

type traceKey struct{}

func tracing(tr *trace) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.Tracer = tr }
}

// of returns the statements that a call sends, and its error.
func (tr *trace) of(t testing.TB, call func(ctx context.Context) error) ([]string, error) {
	tr.mu.Lock()
	tr.statements = nil
	tr.mu.Unlock()
	err := call(context.WithValue(t.Context(), traceKey{}, true))
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.statements), err
}

func (tr *trace) note(ctx context.Context, sql string) {
	if !tr.all && ctx.Value(traceKey{}) == nil {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.statements = append(tr.statements, sql)
}

func (tr *trace) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	tr.note(ctx, data.SQL)
	return ctx
}

func (tr *trace) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (tr *trace) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		tr.note(ctx, q.SQL)
	}
	return ctx
}

func (tr *trace) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (tr *trace) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func TestASnapshotIsAFixedNumberOfStatements(t *testing.T) {
	var tr trace
	sqltest.SnapshotStatements(t, open(t, migrated(t, hasty, tracing(&tr))), tr.of)
}

func TestAnotherScopeIsTheStatementsOfAnUnusedID(t *testing.T) {
	var tr trace
	pool := migrated(t, hasty, tracing(&tr))
	for lanes := range 2 {
		sqltest.ScopeStatements(t, open(t, pool, pgstore.WithLanes(lanes)), tr.of)
	}
}

func TestPayloadsStayOut(t *testing.T) {
	var tr trace
	pool := migrated(t, hasty, tracing(&tr))
	for lanes := range 2 {
		sqltest.PayloadStatements(t, open(t, pool, pgstore.WithLanes(lanes)), tr.of)
	}
}
