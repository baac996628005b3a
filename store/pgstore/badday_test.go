package pgstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// On a closed pool every call fails with that reason, and has no effect.
func TestClosedPool(t *testing.T) {
	ctx := t.Context()
	dsn, direct := shared(t)
	pool := connect(t, dsn)
	st := open(t, pool)
	eng := engine.New(st)
	id := jobkit.Start(t, eng, jobkit.Asking(1))
	effect := store.Delivery{Job: id, Seq: 2}
	change, before := refusing(t, st, id, store.RequestID{}), rows(t, direct, 1, store.MaxJobID)
	pool.Close()
	_, newErr := pgstore.New(ctx, pool)
	for what, call := range map[string]func() error{
		"New":       func() error { return newErr },
		"Migrate":   func() error { return pgstore.Migrate(ctx, pool) },
		"MigrateTo": func() error { return pgstore.MigrateTo(ctx, pool, 0) },
		"View":      func() error { _, err := st.View(ctx, store.Query{Job: id}); return err },
		"wide View": func() error { _, err := st.View(ctx, store.Query{Job: id, Targets: []int32{0}}); return err },
		"Created":   func() error { _, err := st.Created(ctx, store.Scope{}, store.RequestID{1}); return err },
		"Commit":    func() error { return st.Commit(ctx, change) },
		"Commit alongside": func() error {
			return st.Commit(pgstore.Alongside(ctx, func(context.Context, pgx.Tx) error { return nil }), change)
		},
		"Jobs": func() error {
			_, err := st.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 1}})
			return err
		},
		"Details": func() error { _, err := st.Details(ctx, store.DetailQuery{Job: id, Step: 1}); return err },
		"Steps":   func() error { _, err := st.Steps(ctx, store.Scope{}, id, store.Page[step.ID]{Limit: 1}); return err },
		"Targets": func() error {
			_, err := st.Targets(ctx, store.TargetFilter{Job: id, Step: 1, Page: store.Page[int32]{Limit: 1}})
			return err
		},
		"History": func() error {
			_, err := st.History(ctx, store.Scope{}, id, store.Page[store.Seq]{Limit: 1})
			return err
		},
		"Effects": func() error {
			_, err := st.Effects(ctx, store.Scope{}, id, store.Page[store.Seq]{Limit: 1})
			return err
		},
		"Claim": func() error {
			_, err := st.Claim(ctx, store.Claim{Effects: []store.Effect{store.AskConfirmers}, Until: 1, Limit: 1})
			return err
		},
		"Defer":   func() error { return st.Defer(ctx, effect) },
		"Settle":  func() error { return st.Settle(ctx, effect) },
		"Take":    func() error { _, err := st.Take(ctx, id, 2); return err },
		"Overdue": func() error { _, err := st.Overdue(ctx, store.Scope{}, later, 1); return err },
		"Operate": func() error {
			_, err := eng.Operate(ctx, id, 1, operation.TerminateConfirmation, engine.Request{})
			return err
		},
	} {
		refused(t, what, call(), "pgstore: ", "closed pool")
	}
	_, stop := st.Wake(id) // listens for nothing, and may be told so
	stop()
	if after := rows(t, direct, 1, store.MaxJobID); !slices.Equal(after, before) {
		t.Errorf("they have left\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

// A statement that the server ends because it takes too long has no effect, and its request passes when
// it is repeated.
func TestStatementTimeout(t *testing.T) {
	dsn, direct := shared(t)
	hasLittleTime := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["statement_timeout"] = "500ms" }
	patient, impatient := engine.New(open(t, direct)), engine.New(open(t, connect(t, dsn, hasLittleTime)))
	id := jobkit.Start(t, patient, jobkit.Asking(1))
	before := rows(t, direct, id, id)
	operate := func(eng *engine.Engine) (store.Record, error) {
		return eng.Operate(t.Context(), id, 1, operation.TerminateConfirmation, engine.Request{ID: store.RequestID{1}})
	}
	release := lockJob(t, direct, id)
	_, err := operate(impatient)
	if refused(t, "Operate", err, "statement timeout"); !errors.Is(err, store.ErrUndone) || errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("Operate on a job whose row stays locked: got error %v, want that nothing was done", err)
	}
	release()
	if after := rows(t, direct, id, id); !slices.Equal(after, before) {
		t.Errorf("it has left\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	record, err := operate(patient)
	if again, errAgain := operate(patient); err != nil || errAgain != nil || again != record {
		t.Errorf("repeated: %+v, %v, and once more: %+v, %v", record, err, again, errAgain)
	}
}

// Rows that another program has removed are an error, and no reason to panic.
func TestNamesAreMissing(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool)
	id := jobkit.Start(t, engine.New(st), engine.JobSpec{Name: "job", Steps: []step.Spec{runs(2)}})
	execute(t, pool, `DELETE FROM stepgate_target_names`)
	_, err := st.Targets(t.Context(), store.TargetFilter{Job: id, Step: 1, Page: store.Page[int32]{After: -1, Limit: 10}})
	refused(t, "Targets", err, "pgstore: targets: target 0 of step 1", "has no name")
}
