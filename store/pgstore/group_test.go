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

// Each change of a group has its own answer. A refused change, and one that fails the shared statement,
// have no effect, and the other changes pass.
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

// Changes that arrive while another is under way share one transaction.
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

// Each of the views that are read together has its own answer. A job of another scope or a missing one
// concerns only its own query, and a query that the server refuses fails no other.
func TestViewsOfAGroupKeepApart(t *testing.T) {
	pool := migrated(t)
	st := open(t, pool, pgstore.WithLanes(1), unhurried)
	eng := engine.New(st)
	ours := store.Scope{Type: "biz", ID: "1"}
	id, scoped := jobkit.Start(t, eng, engine.JobSpec{Name: "job", Steps: []step.Spec{runs(2), runs(1), runs(1)}}), jobkit.Start(t, eng.In(ours), jobkit.Asking(1))
	nul := store.Scope{Type: "biz", ID: "\x00"}
	for what, bad := range map[string][]store.Query{
		"beside none that is refused": nil, "beside one that is refused": {{Job: id, Scope: nul}},
		"beside two that are refused": {{Job: id, Step: 1, Scope: nul, Targets: []int32{0}}, {Job: id, Scope: nul, Request: store.RequestID{1}}},
	} {
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
			{store.Query{Job: id, Step: 1, Targets: []int32{1, 0, 7}}, nil, 1, 2},
			{store.Query{Job: id, Step: 1, Scope: ours, Targets: []int32{1}}, store.ErrNotFound, 0, 0},
			{store.Query{Job: scoped, Scope: ours, Request: store.RequestID{1}}, nil, 1, 0},
		}
		queries := bad
		for _, g := range group {
			queries = append(queries, g.query)
		}
		views, errs := viewTogether(t, pool, st, queries)
		for i, g := range group {
			v, err := views[len(bad)+i], errs[len(bad)+i]
			if err != g.want || v.Step.ID != g.step || v.Next.ID != g.next || err == nil && v.Job.ID != g.query.Job {
				t.Errorf("View(%+v) %s: got steps %d and %d of job %d, %v, want %d and %d, %v",
					g.query, what, v.Step.ID, v.Next.ID, v.Job.ID, err, g.step, g.next, g.want)
			}
			if want := min(len(g.query.Targets), 2); err == nil && len(v.Targets) != want {
				t.Errorf("View(%+v) %s: got %d targets, want %d", g.query, what, len(v.Targets), want)
			}
		}
		for i := range bad {
			if errs[i] == nil || errors.Is(errs[i], store.ErrNotFound) {
				t.Errorf("View in a scope with a NUL: got error %v, want that of the server", errs[i])
			}
		}
	}
}

// halfRead reads views in a group. Its first statements read the stored rows, and its results wait for
// a lock. halfRead returns the answers, and a function that ends the wait after some statements.
func halfRead(t *testing.T, dsn string, pool *pgxpool.Pool, queries []store.Query, ctxs ...context.Context) (views []store.View, answers []<-chan error, end func(sql string, args ...any)) {
	t.Helper()
	st := open(t, connect(t, dsn, conns(1)), pgstore.WithLanes(1), unhurried)
	viewTogether(t, pool, st, queries) // has the statements prepared, which takes locks too
	release := lock(t, pool, `LOCK TABLE stepgate_steps IN ACCESS EXCLUSIVE MODE`)
	first := asked(func() error { _, err := st.View(t.Context(), store.Query{Job: 1}); return err })
	blocked(t, pool, 1)
	views = make([]store.View, len(queries))
	for i, q := range queries {
		answers = append(answers, queued(ctxs[i], func(ctx context.Context) (err error) { views[i], err = st.View(ctx, q); return err }))
	}
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	if _, err := tx.Exec(t.Context(), `LOCK TABLE stepgate_results IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-first; err != nil && err != store.ErrNotFound {
		t.Fatalf("the view before the group: %v", err)
	}
	blocked(t, pool, 1)
	return views, answers, func(sql string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Views that are read together show one moment: a commit after the read of their steps shows in no
// target and no replay.
func TestViewsOfAGroupAreOfOneMoment(t *testing.T) {
	dsn, pool := shared(t)
	eng := engine.New(open(t, pool))
	spec := engine.JobSpec{Name: "job", Steps: []step.Spec{runs(2)}}
	ids, request := []store.JobID{jobkit.Start(t, eng, spec), jobkit.Start(t, eng, spec)}, store.RequestID{15: 1}
	queries := []store.Query{{Job: ids[0], Step: 1, Targets: []int32{0, 1}, Request: request}, {Job: ids[1], Step: 1, Targets: []int32{1}}}
	views, answers, end := halfRead(t, dsn, pool, queries, t.Context(), t.Context())
	end(`WITH told AS (
		INSERT INTO stepgate_results SELECT id, 0, 0, 1, t, 1, 1, 0, 3, '' FROM stepgate_jobs, generate_series(0, 1) t
	), recorded AS (
		UPDATE stepgate_records r SET request = $1 FROM stepgate_jobs j WHERE r.job = j.id AND r.seq = j.version
	) UPDATE stepgate_jobs SET version = version + 1`, [16]byte(request))
	for i, q := range queries {
		err := <-answers[i]
		if v := views[i]; err != nil || v.Job.Version != 2 || len(v.Targets) != len(q.Targets) || v.Targets[0].Attempt != 0 || v.Replay != nil {
			t.Errorf("View(%+v), with a commit after its step was read: got version %d, targets %+v and replay %v, %v, want version 2 without results or a replay",
				q, v.Job.Version, v.Targets, v.Replay, err)
		}
	}
	v, err := open(t, pool).View(t.Context(), queries[0])
	if err != nil || v.Job.Version != 3 || v.Targets[0].Attempt != 1 || v.Replay == nil {
		t.Errorf("View after the commit: got %+v, %v, want version 3 with results and a replay", v, err)
	}
}

// A caller can leave a group of views under way at once and reuse the memory of its query. The others
// get their answers.
func TestACallerLeavesItsGroupOfViews(t *testing.T) {
	dsn, pool := shared(t)
	eng := engine.New(open(t, pool))
	id := jobkit.Start(t, eng, engine.JobSpec{Name: "job", Steps: []step.Spec{runs(3)}})
	queries := []store.Query{{Job: id, Step: 1, Targets: []int32{0, 1}}, {Job: id, Step: 1, Targets: []int32{2}}}
	ctx, leave := context.WithCancel(t.Context())
	views, answers, end := halfRead(t, dsn, pool, queries, ctx, t.Context())
	leave()
	if err := <-answers[0]; !errors.Is(err, context.Canceled) {
		t.Errorf("View whose context ends with its group under way: got error %v, want %v", err, context.Canceled)
	}
	queries[0].Targets[0], queries[0].Targets[1] = 7, 8
	unanswered(t, "the other view", answers[1])
	end(`SELECT`)
	if err := <-answers[1]; err != nil || len(views[1].Targets) != 1 || views[1].Targets[0].Index != 2 {
		t.Errorf("the other view: got %+v, %v, want target 2", views[1], err)
	}
}
