package pgstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// A trace notes the statements of a pool whose context it marks.
type trace struct {
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
	if ctx.Value(traceKey{}) == nil {
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

// A snapshot is as many statements for a job of 200 steps as for one of 1 step.
func TestASnapshotIsAFixedNumberOfStatements(t *testing.T) {
	var tr trace
	st := open(t, migrated(t, hasty, tracing(&tr)))
	eng := engine.New(st)
	for _, size := range []struct{ steps, targets int }{{1, 5}, {200, 5}, {1, 1000}} {
		job := start(t, eng, engine.JobSpec{Name: "job", Steps: slices.Repeat([]step.Spec{runs(size.targets)}, size.steps)})
		for targets, want := range map[int]int{0: 4, 10_000: 6} { // with the two of the transaction
			statements, err := tr.of(t, func(ctx context.Context) error {
				return second(st.Snapshot(ctx, store.SnapshotQuery{Job: job, Targets: targets}))
			})
			if err != nil || len(statements) != want {
				t.Errorf("Snapshot of %+v, Targets %d: got error %v and %d statements, want %d:\n%s",
					size, targets, err, len(statements), want, strings.Join(statements, "\n"))
			}
		}
	}
}

// A job of another scope is asked for with the statements of one that does not exist, each of
// which asks for the scope as well.
func TestAnotherScopeIsTheStatementsOfAnUnusedID(t *testing.T) {
	var tr trace
	pool := migrated(t, hasty, tracing(&tr))
	scope, other := store.Scope{Type: "biz", ID: "2"}, store.Scope{Type: "biz", ID: "3"}
	for lanes := range 2 {
		st := open(t, pool, pgstore.WithLanes(lanes))
		job := start(t, engine.New(st), engine.JobSpec{Name: "job", Scope: scope, Steps: []step.Spec{runs(5), runs(5)}})
		for name, call := range map[string]func(ctx context.Context, id store.JobID) error{
			"View": func(ctx context.Context, id store.JobID) error {
				return second(st.View(ctx, store.Query{Scope: other, Job: id}))
			},
			"View with targets and a request": func(ctx context.Context, id store.JobID) error {
				return second(st.View(ctx, store.Query{Scope: other, Job: id, Targets: []int32{0}, Request: store.RequestID{1}}))
			},
			"Snapshot": func(ctx context.Context, id store.JobID) error {
				return second(st.Snapshot(ctx, store.SnapshotQuery{Scope: other, Job: id, Targets: 100}))
			},
			"Steps": func(ctx context.Context, id store.JobID) error {
				return second(st.Steps(ctx, other, id, store.Page[step.ID]{Limit: 9}))
			},
			"Targets": func(ctx context.Context, id store.JobID) error {
				return second(st.Targets(ctx, store.TargetFilter{Scope: other, Job: id, Step: 1, Page: store.Page[int32]{After: -1, Limit: 9}}))
			},
			"History": func(ctx context.Context, id store.JobID) error {
				return second(st.History(ctx, other, id, store.Page[store.Seq]{Limit: 9}))
			},
			"Details": func(ctx context.Context, id store.JobID) error {
				return second(st.Details(ctx, store.DetailQuery{Scope: other, Job: id, Step: 1}))
			},
			"Effects": func(ctx context.Context, id store.JobID) error {
				return second(st.Effects(ctx, other, id, store.Page[store.Seq]{Limit: 9}))
			},
		} {
			got, err := tr.of(t, func(ctx context.Context) error { return call(ctx, job) })
			want, unused := tr.of(t, func(ctx context.Context) error { return call(ctx, job+1) })
			if !errors.Is(err, store.ErrNotFound) || !errors.Is(unused, store.ErrNotFound) {
				t.Errorf("%s: got error %v for a job of another scope and %v for an unused id, want both not found", name, err, unused)
			}
			first := slices.IndexFunc(got, func(sql string) bool { return strings.Contains(sql, "stepgate_") })
			if !slices.Equal(got, want) || first < 0 || !strings.Contains(got[first], "scope_type") {
				t.Errorf("%s of a job of another scope sends\n%s\nand of an unused id\n%s\nwant the same, and the scope in the first look-up",
					name, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}
