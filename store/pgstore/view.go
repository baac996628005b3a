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

// inScope selects the jobs j of the scope of parameters $1 and $2; two empty ones select all.
const inScope = `(($1 = '' AND $2 = '') OR (j.scope_type = $1 AND j.scope_id = $2))`

// viewSQL reads the header with a step and the next step, one row for each. The LIMIT is inside the
// subquery: a limit of the whole statement may read and sort all steps.
var viewSQL = `
SELECT ` + jobColumns + `, ` + turnOfView + `, ` + stepColumns + `
FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_steps s WHERE s.job = $3 AND s.id >= CASE WHEN $4::int = 0 THEN j.current ELSE $4::int END
	ORDER BY s.job, s.id LIMIT 2
) s
WHERE j.id = $3 AND ` + inScope + `
ORDER BY s.id`

// viewsSQL is viewSQL for several queries. Each row begins with the number of its query.
var viewsSQL = `
SELECT q.n, ` + jobColumns + `, ` + turnOfView + `, ` + stepColumns + `
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

// latestSQL reads the latest results of some targets of a step. BETWEEN instead of an equation
// makes the planner use the primary key: with an equation it may use the index of attempts, and
// read a whole step for each target.
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

// groupLatestSQL is latestSQL for several queries, as viewsSQL is viewSQL.
var groupLatestSQL = `
SELECT i.n, ` + resultColumns + `
FROM ` + new(statement).rows("i", "n bigint, job bigint, step int, idx int") + `, LATERAL (
	SELECT * FROM stepgate_results r
	WHERE r.job = i.job AND r.step = i.step AND r.idx BETWEEN i.idx AND i.idx ORDER BY r.idx DESC, r.attempt DESC LIMIT 1
) r`

var replaySQL = `SELECT ` + recordColumns + ` FROM stepgate_records r
WHERE r.job = $1 AND r.request = $2`

// groupReplaySQL is replaySQL for several queries.
var groupReplaySQL = `
SELECT i.n, ` + recordColumns + `
FROM ` + new(statement).rows("i", "n bigint, job bigint, request uuid") + `, LATERAL (
	SELECT * FROM stepgate_records r WHERE r.job = i.job AND r.request = i.request LIMIT 1
) r`

// oneMoment begins a transaction whose statements see the database at one moment.
const oneMoment = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`

// viewCall is a query for a view, and the answer.
type viewCall struct {
	query store.Query
	view  store.View
}

// isWide reports whether the view takes more than one statement.
func (c *viewCall) isWide() bool {
	return len(c.query.Targets) > 0 || c.query.Request != (store.RequestID{})
}

// isAlone reports whether the view is read alone, outside the lanes. A view of many targets would
// delay the views of its group, and the statements of a group do not know the current step of a
// job.
func (c *viewCall) isAlone() bool {
	n := len(c.query.Targets)
	return n > mostTargets || n > 0 && c.query.Step == 0
}

// kept returns c with its own copy of the query: its group may run longer than its caller waits.
func (c *viewCall) kept() *viewCall {
	c.query.Targets = slices.Clone(c.query.Targets)
	return c
}

// answer completes the view from the rows read, or returns store.ErrNotFound if they have no such
// step.
func (c *viewCall) answer() error {
	v, q := &c.view, &c.query
	if v.Step.ID == 0 || q.Step != 0 && v.Step.ID != q.Step {
		return store.ErrNotFound
	}
	v.Targets = inOrder(q.Targets, v.Targets, v.Step.Total)
	return nil
}

// View implements store.Store in one round trip: one statement or, with targets or a request, a
// read-only transaction in one message. Views requested while their lane reads are read together
// in the next group, except views of many targets.
func (s *Store) View(ctx context.Context, q store.Query) (store.View, error) {
	if err := ctx.Err(); err != nil {
		return store.View{}, err
	}
	if q.Step < 0 || q.Step > math.MaxInt32 {
		return store.View{}, store.ErrNotFound // step ids have 32 bits
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

// readGroup answers the views of a group.
func (s *Store) readGroup(ctx context.Context, group []*viewCall) []error {
	if len(group) == 1 {
		return []error{s.read(ctx, group[0])}
	}
	err := s.link.Read(ctx, func(ctx context.Context, conn *pgx.Conn) error { return readTogether(ctx, conn, group) })
	errs := make([]error, len(group))
	for i, c := range group {
		switch {
		case link.RolledBack(err): // perhaps for one of them: no view fails for a neighbour
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

// readTogether reads several views in one round trip, at one moment.
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
	b := newGroup(0)
	if wide {
		b = newGroup(0, oneMoment)
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

// readAlone reads one view, with statements that are cheaper than those of a group.
func readAlone(ctx context.Context, on sender, c *viewCall) error {
	group, q := viewGroup{c}, &c.query
	c.view = store.View{} // an earlier try may have begun to answer
	header := []any{q.Scope.Type, q.Scope.ID, int64(q.Job), int32(q.Step)}
	if !c.isWide() { // a batch costs the caller more
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

// A viewGroup is a group of views. If it has several, each row begins with the number of its view.
type viewGroup []*viewCall

// take reads rows into columns and calls add with the view of each row.
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

// takeSteps reads the rows of viewSQL: the step of the query comes first.
func (g viewGroup) takeSteps(rows pgx.Rows) error {
	var j store.Job
	var s store.Step
	var turn bool
	return g.take(rows, dests(append(dests(nil, schema.Jobs, &j), &turn), shownSteps, &s), func(v *store.View) {
		if v.Step.ID == 0 {
			v.Job, v.Step, v.Turn = j, s, turn
		} else {
			v.Next = s
		}
	})
}

// takeResults reads the rows of latestSQL, in any order.
func (g viewGroup) takeResults(rows pgx.Rows) error {
	var t store.Target
	return g.take(rows, dests(nil, schema.Results, &t), func(v *store.View) { v.Targets = append(v.Targets, t) })
}

// takeReplay reads the row of replaySQL.
func (g viewGroup) takeReplay(rows pgx.Rows) error {
	var r store.Record
	return g.take(rows, dests(nil, schema.Records, &r), func(v *store.View) {
		replay := r
		v.Replay = &replay
	})
}

// inOrder returns the targets with the given indices, in that order, with their results. It skips
// indices outside 0 to total-1.
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

// query returns the rows of a read-only statement.
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

// pageOf is query for rows of one job. It returns store.ErrNotFound if the scope has no such job.
func pageOf[T any](ctx context.Context, s *Store, what string, scope store.Scope, job store.JobID, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := query(ctx, s, what, scan, sql, append([]any{scope.Type, scope.ID, int64(job)}, args...)...)
	if err != nil || len(rows) > 0 {
		return rows, err
	}
	_, err = s.View(ctx, store.Query{Scope: scope, Job: job}) // jobs are never deleted: a later check is as good
	return nil, err
}

// failed adds the failed action to err. It returns the errors of package store and of a context
// unchanged.
func failed(what string, err error) error {
	switch err {
	case nil, store.ErrNotFound, store.ErrConflict, store.ErrLeaseLost, context.Canceled, context.DeadlineExceeded:
		return err
	}
	return fmt.Errorf("pgstore: %s: %w", what, err)
}
