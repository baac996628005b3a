package pgstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

var errOwn = errors.New("an error of the caller's own")

// withOwn returns a pool on a schema that has a table of its own beside the store's.
func withOwn(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := migrated(t)
	execute(t, pool, `CREATE TABLE own (job bigint, seq bigint, PRIMARY KEY (job, seq))`)
	return pool
}

// insertOwn writes a row to that table.
func insertOwn(ctx context.Context, tx pgx.Tx, job store.JobID, seq store.Seq) error {
	_, err := tx.Exec(ctx, `INSERT INTO own VALUES ($1, $2)`, int64(job), int64(seq))
	return err
}

// Statements alongside a commit take effect in its transaction.
func TestAlongside(t *testing.T) {
	pool := withOwn(t)
	eng := engine.New(open(t, pool))
	id := jobkit.Start(t, eng, jobkit.Asking(1))
	ctx := pgstore.Alongside(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return insertOwn(ctx, tx, id, 3) })
	if _, err := eng.Operate(ctx, id, 1, operation.TerminateConfirmation, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	if !ask[bool](t, pool, `SELECT o.xmin = r.xmin FROM own o JOIN stepgate_records r ON r.job = o.job AND r.seq = o.seq`) {
		t.Error("the row alongside was written by another transaction than the record")
	}
}

// An error alongside a commit fails the commit and undoes it. The caller gets that error, and not a
// conflict, which would be tried again and again.
func TestAlongsideFails(t *testing.T) {
	pool := withOwn(t)
	st := open(t, pool)
	eng := engine.New(st)
	execute(t, pool, `INSERT INTO own VALUES (0, 0)`)
	id := jobkit.Start(t, eng, jobkit.Asking(1))
	change := refusing(t, st, id, store.RequestID{})
	before := rows(t, pool, id, id)
	for what, c := range map[string]struct {
		f    func(ctx context.Context, tx pgx.Tx) error
		want func(err error) bool
	}{
		"an error": {
			func(ctx context.Context, tx pgx.Tx) error { return errors.Join(insertOwn(ctx, tx, 1, 1), errOwn) },
			func(err error) bool { return errors.Is(err, errOwn) },
		},
		"a row that is there already": {
			func(ctx context.Context, tx pgx.Tx) error { return insertOwn(ctx, tx, 0, 0) },
			func(err error) bool {
				var refused *pgconn.PgError
				return errors.As(err, &refused) && refused.ConstraintName == "own_pkey"
			},
		},
		"a failure that is not passed on": {
			func(ctx context.Context, tx pgx.Tx) error { _ = insertOwn(ctx, tx, 0, 0); return nil },
			func(err error) bool { return errors.Is(err, pgx.ErrTxCommitRollback) },
		},
	} {
		ctx := pgstore.Alongside(t.Context(), c.f)
		_, err := eng.Operate(ctx, id, 1, operation.TerminateConfirmation, engine.Request{})
		for call, err := range map[string]error{"Commit": st.Commit(ctx, change), "Operate": err} {
			if !c.want(err) || errors.Is(err, store.ErrConflict) || errors.Is(err, engine.ErrConflict) {
				t.Errorf("%s with %s alongside: got error %v", call, what, err)
			}
		}
		if after := rows(t, pool, id, id); !slices.Equal(after, before) {
			t.Errorf("%s alongside has left\n%s\nwant\n%s", what, strings.Join(after, "\n"), strings.Join(before, "\n"))
		}
	}
	if n := ask[int](t, pool, `SELECT count(*) FROM own`); n != 1 {
		t.Errorf("there are %d rows of what failed, want none", n-1)
	}
	if err := st.Commit(t.Context(), change); err != nil {
		t.Errorf("the same change with nothing alongside: %v", err)
	}
}

// A call that commits nothing runs nothing alongside.
func TestNothingAlongside(t *testing.T) {
	ran := 0
	ctx := pgstore.Alongside(t.Context(), func(context.Context, pgx.Tx) error { ran++; return nil })
	st := open(t, migrated(t))
	eng := engine.New(st)
	id := jobkit.Start(t, eng, engine.JobSpec{Name: "job", Steps: []step.Spec{runs(2)}})
	report := engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{{Result: store.Result{Status: step.TargetSucceeded}}}}
	stale := decide(t, st, store.Query{Job: id, Targets: []int32{0}}, &report)
	if _, err := eng.Report(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(ctx, stale); err != store.ErrConflict {
		t.Errorf("Commit on another version: got error %v, want a conflict", err)
	}
	if _, err := eng.Report(ctx, report); err != nil {
		t.Errorf("a report of what is known: %v", err)
	}
	if _, err := eng.OperateJob(ctx, id, operation.TerminateJob, engine.Request{DryRun: true}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	if _, err := eng.OperateJob(ctx, id, operation.StartJob, engine.Request{}); !errors.Is(err, operation.WrongState) {
		t.Errorf("an operation that is not legal: got error %v, want a refusal", err)
	}
	if ran != 0 {
		t.Errorf("something was done alongside nothing, %d times", ran)
	}
}

// A commit under the context that is handed on is another one, with nothing alongside.
func TestAlongsideIsForOneCommit(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool, pgstore.WithLanes(0))
	eng := engine.New(st)
	change := refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{})
	other := refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{})
	ran := 0
	ctx := pgstore.Alongside(t.Context(), func(ctx context.Context, _ pgx.Tx) error {
		if ran++; ran > 1 {
			return errOwn
		}
		return st.Commit(ctx, other)
	})
	if err := st.Commit(ctx, change); err != nil || ran != 1 {
		t.Errorf("Commit with another commit alongside: got error %v, after %d runs, want one", err, ran)
	}
}

// A call with statements alongside shares its commit with no other.
func TestAlongsideIsAlone(t *testing.T) {
	ctx := pgstore.Alongside(t.Context(), func(context.Context, pgx.Tx) error { return nil })
	if !store.IsAlone(ctx) || store.IsAlone(t.Context()) {
		t.Error("a context with something alongside is not marked, or another one is")
	}
}
