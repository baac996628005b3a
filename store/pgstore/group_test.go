package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// rows returns all rows of the jobs of some ids, of all tables.
func rows(t *testing.T, pool *pgxpool.Pool, first, last store.JobID) []string {
	t.Helper()
	var all []string
	for _, table := range []string{"jobs", "creations", "steps", "target_names", "results", "target_sets", "records", "effects"} {
		key := "job"
		if table == "jobs" {
			key = "id"
		}
		got, err := pool.Query(t.Context(), fmt.Sprintf(
			"SELECT '%[1]s ' || to_jsonb(r)::text FROM stepgate_%[1]s r WHERE %[2]s BETWEEN $1 AND $2", table, key), int64(first), int64(last))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(got, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lines...)
	}
	slices.Sort(all)
	return all
}

// Of a group each change has its own answer: one that is refused, and one that fails the
// statement that all share, leave nothing behind and keep no neighbour from passing.
func TestGroupKeepsAnswersApart(t *testing.T) {
	ctx, pool := t.Context(), migrated(t)
	st := open(t, pool, pgstore.WithLanes(1), unhurried)
	eng := engine.New(st)
	known := store.RequestID{15: 1}
	if _, err := eng.Create(ctx, jobkit.Asking(1), engine.Request{ID: known}); err != nil {
		t.Fatal(err)
	}
	again := jobkit.Start(t, eng, jobkit.Asking(1))
	for _, code := range jobkit.Alternating {
		request := store.RequestID{15: byte(code)}
		if _, err := eng.Operate(ctx, again, 1, code, engine.Request{ID: request}); err != nil {
			t.Fatal(err)
		}
	}
	stale := refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{15: 2})
	stale.Job.Version++
	stale.Records[0].Seq++
	creation := func(id store.JobID, request store.RequestID) store.Change {
		return decide(t, st, store.Query{}, &engine.Create{Job: id, Spec: jobkit.Asking(2), Request: engine.Request{ID: request}})
	}
	group := []struct {
		what   string
		change store.Change
		want   error
	}{
		{"a change", refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{15: 3}), nil},
		{"one on another version", stale, store.ErrConflict},
		{"one whose request was carried out", refusing(t, st, again, store.RequestID{15: byte(jobkit.Alternating[0])}), store.ErrConflict},
		{"a creation", creation(101, store.RequestID{15: 4}), nil},
		{"one whose id is taken", creation(jobkit.Create(t, eng, jobkit.Asking(1)), store.RequestID{15: 5}), store.ErrConflict},
		{"one whose request is known", creation(102, known), store.ErrConflict},
		{"a creation after those", creation(103, store.RequestID{15: 6}), nil},
		{"a change after those", refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{15: 3}), nil},
	}
	var changes []store.Change
	var before [][]string
	for _, g := range group {
		changes = append(changes, g.change)
		before = append(before, rows(t, pool, g.change.Job.ID, g.change.Job.ID))
	}
	for i, err := range commitTogether(t, pool, st, changes) {
		g := group[i]
		id := g.change.Job.ID
		after := rows(t, pool, id, id)
		switch {
		case !errors.Is(err, g.want):
			t.Errorf("%s: got error %v, want %v", g.what, err, g.want)
		case g.want != nil && !slices.Equal(after, before[i]):
			t.Errorf("%s is a conflict and has left\n%s\nwant\n%s", g.what, strings.Join(after, "\n"), strings.Join(before[i], "\n"))
		case g.want == nil && ask[store.Seq](t, pool, `SELECT version FROM stepgate_jobs WHERE id = $1`, int64(id)) != g.change.Job.Version:
			t.Errorf("%s was told to have passed, and has not", g.what)
		}
	}
}

// What comes while another change is under way shares one transaction.
func TestGroupIsOneTransaction(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool, pgstore.WithLanes(1), unhurried)
	eng := engine.New(st)
	var changes []store.Change
	for range 20 {
		changes = append(changes, refusing(t, st, jobkit.Start(t, eng, jobkit.Asking(1)), store.RequestID{}))
	}
	before := ask[int](t, pool, `SELECT count(DISTINCT xmin::text) FROM stepgate_records`)
	for i, err := range commitTogether(t, pool, st, changes) {
		if err != nil {
			t.Errorf("change %d of a group: %v", i, err)
		}
	}
	const held = 3 // transactions of the job that the group waits for
	if n := ask[int](t, pool, `SELECT count(DISTINCT xmin::text) FROM stepgate_records`) - before - held; n != 1 {
		t.Errorf("20 changes took %d transactions, want 1", n)
	}
}

// Of views that are read together each has its own answer, what is of another scope or missing
// is so for its own query alone, and one that the server refuses fails no neighbour.
func TestViewsOfAGroupKeepApart(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool, pgstore.WithLanes(1), unhurried)
	eng := engine.New(st)
	ours := store.Scope{Type: "biz", ID: "1"}
	id, scoped := jobkit.Start(t, eng, jobkit.Asking(3)), jobkit.Start(t, eng.In(ours), jobkit.Asking(1))
	for _, refused := range []bool{false, true} {
		group := []struct {
			query      store.Query
			want       error
			step, next step.ID
		}{
			{store.Query{Job: id}, nil, 1, 2},
			{store.Query{Job: 5}, store.ErrNotFound, 0, 0},
			{store.Query{Job: id, Step: 3}, nil, 3, 0},
			{store.Query{Job: id, Step: 4}, store.ErrNotFound, 0, 0},
			{store.Query{Job: scoped, Scope: ours}, nil, 1, 0},
			{store.Query{Job: id, Scope: ours}, store.ErrNotFound, 0, 0},
			{store.Query{Job: scoped, Scope: store.Scope{Type: "biz", ID: "2"}}, store.ErrNotFound, 0, 0},
			{store.Query{Job: id, Step: 2}, nil, 2, 3},
		}
		release := lock(t, pool, `LOCK TABLE stepgate_steps IN ACCESS EXCLUSIVE MODE`)
		first := asked(func() error { _, err := st.View(t.Context(), store.Query{Job: id}); return err })
		blocked(t, pool, 1)
		views, answers := make([]store.View, len(group)), make([]<-chan error, len(group))
		for i, g := range group {
			answers[i] = queued(t.Context(), func(ctx context.Context) (err error) { views[i], err = st.View(ctx, g.query); return err })
		}
		var bad <-chan error
		if refused {
			bad = queued(t.Context(), func(ctx context.Context) error {
				_, err := st.View(ctx, store.Query{Job: id, Scope: store.Scope{Type: "biz", ID: "\x00"}})
				return err
			})
		}
		release()
		if err := <-first; err != nil {
			t.Fatalf("the view before the group: %v", err)
		}
		for i, g := range group {
			if err := <-answers[i]; err != g.want || views[i].Step.ID != g.step || views[i].Next.ID != g.next || err == nil && views[i].Job.ID != g.query.Job {
				t.Errorf("View(%+v), beside one that is refused: %v: got steps %d and %d of job %d, %v, want %d and %d, %v",
					g.query, refused, views[i].Step.ID, views[i].Next.ID, views[i].Job.ID, err, g.step, g.next, g.want)
			}
		}
		if refused {
			if err := <-bad; err == nil || errors.Is(err, store.ErrNotFound) {
				t.Errorf("View in a scope with a NUL: got error %v, want that of the server", err)
			}
		}
	}
}
