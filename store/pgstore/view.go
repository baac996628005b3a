package pgstore

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

// inScope holds for the jobs j that a read in the scope of parameters $1 and $2 may see.
const inScope = `(($1 = '' AND $2 = '') OR (j.scope_type = $1 AND j.scope_id = $2))`

// viewSQL reads the header with the step in question and the one after it, a row for each. The
// steps are limited where they are looked up: a limit of the whole may read and sort them all.
var viewSQL = `
SELECT ` + jobColumns + `, ` + stepColumns + `
FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_steps s WHERE s.job = $3 AND s.id >= CASE WHEN $4::int = 0 THEN j.current ELSE $4::int END
	ORDER BY s.job, s.id LIMIT 2
) s
WHERE j.id = $3 AND ` + inScope + `
ORDER BY s.id`

// viewsSQL is viewSQL for several queries at once. Each row begins with the number of the one
// that it answers.
var viewsSQL = `
SELECT q.n, ` + jobColumns + `, ` + stepColumns + `
FROM ` + new(statement).rows("q", "n bigint, job bigint, step int, scope_type text, scope_id text") + `,
LATERAL (
	SELECT * FROM stepgate_jobs j WHERE j.id = q.job
	AND ((q.scope_type = '' AND q.scope_id = '') OR (j.scope_type = q.scope_type AND j.scope_id = q.scope_id))
	ORDER BY j.id LIMIT 1
) j, LATERAL (
	SELECT * FROM stepgate_steps s WHERE s.job = q.job AND s.id >= CASE WHEN q.step = 0 THEN j.current ELSE q.step END
	ORDER BY s.job, s.id LIMIT 2
) s
ORDER BY q.n, s.id`

// latestSQL reads the latest results of some targets of a step, of those that have one. The
// shape keeps the planner to the primary key: left with an equation it may take the index of
// attempts, in which it reads a whole step for each target.
var latestSQL = `
SELECT ` + resultColumns + `
FROM unnest($3::int[]) AS i(idx), LATERAL (
	SELECT * FROM stepgate_results r
	WHERE r.job = $1 AND r.step = $2 AND r.idx BETWEEN i.idx AND i.idx ORDER BY r.idx DESC, r.attempt DESC LIMIT 1
) r`

// latestOfCurrentSQL is latestSQL for the job's current step.
var latestOfCurrentSQL = `
SELECT ` + resultColumns + `
FROM stepgate_jobs j, unnest($2::int[]) AS i(idx), LATERAL (
	SELECT * FROM stepgate_results r
	WHERE r.job = $1 AND r.step = j.current AND r.idx BETWEEN i.idx AND i.idx ORDER BY r.idx DESC, r.attempt DESC LIMIT 1
) r
WHERE j.id = $1`

// groupLatestSQL is latestSQL for several queries at once, as viewsSQL is viewSQL.
var groupLatestSQL = `
SELECT i.n, ` + resultColumns + `
FROM ` + new(statement).rows("i", "n bigint, job bigint, step int, idx int") + `, LATERAL (
	SELECT * FROM stepgate_results r
	WHERE r.job = i.job AND r.step = i.step AND r.idx BETWEEN i.idx AND i.idx ORDER BY r.idx DESC, r.attempt DESC LIMIT 1
) r`

var replaySQL = `SELECT ` + recordColumns + ` FROM stepgate_records r
WHERE r.job = $1 AND r.request = $2`

// groupReplaySQL is replaySQL for several queries at once.
var groupReplaySQL = `
SELECT i.n, ` + recordColumns + `
FROM ` + new(statement).rows("i", "n bigint, job bigint, request uuid") + `, LATERAL (
	SELECT * FROM stepgate_records r WHERE r.job = i.job AND r.request = i.request LIMIT 1
) r`

// oneMoment begins a transaction whose statements see the same.
const oneMoment = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`

// viewCall is a view that is asked for, and the answer.
type viewCall struct {
	query store.Query
	view  store.View
}

// isWide reports whether the view takes more than one statement.
func (c *viewCall) isWide() bool {
	return len(c.query.Targets) > 0 || c.query.Request != (store.RequestID{})
}

// isAlone reports whether the view is read by itself, beside the lanes. Many targets would hold up
// the views that are read with them, and a current step is known to no other statement of a group.
func (c *viewCall) isAlone() bool {
	n := len(c.query.Targets)
	return n > mostTargets || n > 0 && c.query.Step == 0
}

// kept returns c with memory of its own: its group may outlast the wait of its caller.
func (c *viewCall) kept() *viewCall {
	c.query.Targets = slices.Clone(c.query.Targets)
	return c
}

// answer completes the view from what was read. It is ErrNotFound if that is not what was asked for.
func (c *viewCall) answer() error {
	v, q := &c.view, &c.query
	if v.Step.ID == 0 || q.Step != 0 && v.Step.ID != q.Step {
		return store.ErrNotFound
	}
	v.Targets = inOrder(q.Targets, v.Targets, v.Step.Total)
	return nil
}

// View implements store.Store. It is one round trip: one statement or, if it looks for
// targets or a request, a read-only transaction that is sent at once. Views that are asked for
// while others of their lane are under way are read together, but for those of many targets.
func (s *Store) View(ctx context.Context, q store.Query) (store.View, error) {
	if err := ctx.Err(); err != nil {
		return store.View{}, err
	}
	if q.Step < 0 || q.Step > math.MaxInt32 {
		return store.View{}, store.ErrNotFound // no job has so many
	}
	call := &viewCall{query: q}
	var err error
	if s.views == nil || call.isAlone() {
		err = s.read(ctx, call)
	} else {
		err = queued(s.views.Do(ctx, int64(q.Job), call))
	}
	if err != nil { // call may still be written to, if ctx has ended
		return store.View{}, failed("view", err)
	}
	return call.view, nil
}

// readGroup answers views that were asked for at once.
func (s *Store) readGroup(ctx context.Context, group []*viewCall) []error {
	if len(group) == 1 {
		return []error{s.read(ctx, group[0])}
	}
	err := s.link.Read(ctx, func(ctx context.Context, conn *pgx.Conn) error { return readTogether(ctx, conn, group) })
	errs := make([]error, len(group))
	for i, c := range group {
		switch {
		case link.RolledBack(err): // for one of them, perhaps; none fails for a neighbour
			errs[i] = s.read(ctx, c)
		case err != nil:
			errs[i] = err
		default:
			errs[i] = c.answer()
		}
	}
	return errs
}

// read answers one view.
func (s *Store) read(ctx context.Context, c *viewCall) error {
	err := s.link.Read(ctx, func(ctx context.Context, conn *pgx.Conn) error { return readAlone(ctx, conn, c) })
	if err != nil {
		return err
	}
	return c.answer()
}

// readTogether reads several views in one round trip, as of one moment.
func readTogether(ctx context.Context, conn *pgx.Conn, group viewGroup) error {
	var views, targets, replays []int64
	var requests []pgtype.UUID
	for i, c := range group {
		q := &c.query
		c.view = store.View{} // an earlier try may have begun to answer
		views = append(views, int64(i), int64(q.Job), int64(q.Step))
		for _, index := range q.Targets {
			targets = append(targets, int64(i), int64(q.Job), int64(q.Step), int64(index))
		}
		if q.Request != (store.RequestID{}) {
			replays = append(replays, int64(i), int64(q.Job))
			requests = append(requests, asUUID(q.Request))
		}
	}
	wide := len(targets)+len(requests) > 0
	b := newGroup()
	if wide {
		b = newGroup(oneMoment)
	}
	b.Queue(viewsSQL, views,
		column(group, func(c **viewCall) string { return (*c).query.Scope.Type }),
		column(group, func(c **viewCall) string { return (*c).query.Scope.ID }),
	).Query(group.takeSteps)
	if len(targets) > 0 {
		b.Queue(groupLatestSQL, targets, int64(len(targets)/4)).Query(group.takeResults)
	}
	if len(requests) > 0 {
		b.Queue(groupReplaySQL, replays, requests, int64(len(requests))).Query(group.takeReplay)
	}
	if wide {
		b.Queue(`COMMIT`)
	}
	return conn.SendBatch(ctx, b).Close()
}

// readAlone reads one view: its statements are cheaper than those of a group.
func readAlone(ctx context.Context, on sender, c *viewCall) error {
	group, q := viewGroup{c}, &c.query
	c.view = store.View{} // an earlier try may have begun to answer
	header := []any{q.Scope.Type, q.Scope.ID, int64(q.Job), int32(q.Step)}
	if !c.isWide() { // not as a batch, which costs the caller more
		rows, err := on.Query(ctx, viewSQL, header...)
		if err != nil {
			return err
		}
		return group.takeSteps(rows)
	}
	var b pgx.Batch
	b.Queue(oneMoment)
	b.Queue(viewSQL, header...).Query(group.takeSteps)
	switch {
	case len(q.Targets) == 0:
	case q.Step == 0:
		b.Queue(latestOfCurrentSQL, int64(q.Job), q.Targets).Query(group.takeResults)
	default:
		b.Queue(latestSQL, int64(q.Job), int32(q.Step), q.Targets).Query(group.takeResults)
	}
	if q.Request != (store.RequestID{}) {
		b.Queue(replaySQL, int64(q.Job), asUUID(q.Request)).Query(group.takeReplay)
	}
	b.Queue(`COMMIT`)
	return on.SendBatch(ctx, &b).Close()
}

// A viewGroup is views that are read at once. Each row for several begins with the number of the
// view that it belongs to.
type viewGroup []*viewCall

// take reads rows into columns and has add take each over into its view.
func (g viewGroup) take(rows pgx.Rows, columns []any, add func(v *store.View)) error {
	var n int64
	if len(g) > 1 {
		columns = slices.Insert(columns, 0, any(&n))
	}
	_, err := pgx.ForEachRow(rows, columns, func() error {
		add(&g[n].view)
		return nil
	})
	return err
}

// takeSteps takes what viewSQL gives: the step in question comes first.
func (g viewGroup) takeSteps(rows pgx.Rows) error {
	var j store.Job
	var s store.Step
	return g.take(rows, dests(dests(nil, schema.Jobs, &j), shownSteps, &s), func(v *store.View) {
		if v.Step.ID == 0 {
			v.Job, v.Step = j, s
		} else {
			v.Next = s
		}
	})
}

// takeResults takes what latestSQL gives, in any order.
func (g viewGroup) takeResults(rows pgx.Rows) error {
	var t store.Target
	return g.take(rows, dests(nil, schema.Results, &t), func(v *store.View) { v.Targets = append(v.Targets, t) })
}

// takeReplay takes what replaySQL gives.
func (g viewGroup) takeReplay(rows pgx.Rows) error {
	var r store.Record
	return g.take(rows, dests(nil, schema.Records, &r), func(v *store.View) {
		replay := r
		v.Replay = &replay
	})
}

// inOrder returns the targets of these indices, of those that there are of so many, with
// their results.
func inOrder(indices []int32, results []store.Target, total int32) []store.Target {
	if len(indices) == 0 {
		return nil
	}
	at := make(map[int32]int, len(results))
	for i, r := range results {
		at[r.Index] = i
	}
	targets := make([]store.Target, 0, len(indices))
	for _, index := range indices {
		if index < 0 || index >= total {
			continue
		}
		if i, ok := at[index]; ok {
			targets = append(targets, results[i])
		} else {
			targets = append(targets, store.Target{Index: index})
		}
	}
	return targets
}

var createdSQL = `SELECT ` + recordColumns + ` FROM stepgate_creations c JOIN stepgate_records r ON r.job = c.job AND r.seq = 1
WHERE c.scope_type = $1 AND c.scope_id = $2 AND c.request = $3`

// Created implements store.Store.
func (s *Store) Created(ctx context.Context, scope store.Scope, request store.RequestID) (store.Record, error) {
	records, err := query(ctx, s, "created", scanRecord, createdSQL, scope.Type, scope.ID, asUUID(request))
	if err == nil && len(records) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, err
	}
	return records[0], nil
}

// query returns the rows of a statement that changes nothing.
func query[T any](ctx context.Context, s *Store, what string, scan pgx.RowToFunc[T], sql string, args ...any) (all []T, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		all, err = fetch(ctx, c, scan, sql, args...)
		return err
	})
	return all, failed(what, err)
}

// fetch returns the rows of a statement.
func fetch[T any](ctx context.Context, on sender, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := on.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// pageOf is query, of rows of one job: it is ErrNotFound if the scope has no such job.
func pageOf[T any](ctx context.Context, s *Store, what string, scope store.Scope, job store.JobID, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := query(ctx, s, what, scan, sql, append([]any{scope.Type, scope.ID, int64(job)}, args...)...)
	if err != nil || len(rows) > 0 {
		return rows, err
	}
	_, err = s.View(ctx, store.Query{Scope: scope, Job: job}) // jobs are never deleted: whether it exists can be asked later
	return nil, err
}

// failed says what an error interrupted; the errors of package store are told as they are.
func failed(what string, err error) error {
	switch err {
	case nil, store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, context.Canceled, context.DeadlineExceeded:
		return err
	}
	return fmt.Errorf("pgstore: %s: %w", what, err)
}
