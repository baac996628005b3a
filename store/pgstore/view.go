package pgstore

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

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

var replaySQL = `SELECT ` + recordColumns + ` FROM stepgate_records r
WHERE r.job = $1 AND r.request = $2`

// viewCall is a view that is asked for, and what comes of it.
type viewCall struct {
	query store.Query
	view  store.View
}

// View implements store.Store. It is one round trip: one statement or, if it looks for
// targets or a request, a read-only transaction that is sent at once. Views that are asked for
// while others of their lane are under way are read together.
func (s *Store) View(ctx context.Context, q store.Query) (store.View, error) {
	if err := ctx.Err(); err != nil {
		return store.View{}, err
	}
	if q.Step < 0 || q.Step > math.MaxInt32 {
		return store.View{}, store.ErrNotFound // no job has so many
	}
	if len(q.Targets) > 0 || q.Request != (store.RequestID{}) {
		v, err := s.wideView(ctx, q)
		return v, failed("view", err)
	}
	call := &viewCall{query: q}
	var err error
	if s.views == nil {
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
			errs[i] = answers(&c.view, &c.query)
		}
	}
	return errs
}

// readTogether answers views with one statement.
func readTogether(ctx context.Context, conn *pgx.Conn, group []*viewCall) error {
	b := newGroup()
	var numbers []int64
	for i, c := range group {
		numbers = append(numbers, int64(i), int64(c.query.Job), int64(c.query.Step))
		c.view = store.View{} // an earlier try may have begun to answer
	}
	b.Queue(viewsSQL, numbers,
		column(group, func(c **viewCall) string { return (*c).query.Scope.Type }),
		column(group, func(c **viewCall) string { return (*c).query.Scope.ID }),
	).Query(func(rows pgx.Rows) error {
		var n int64
		var r viewRow
		_, err := pgx.ForEachRow(rows, r.dests([]any{&n}), func() error {
			return r.addTo(&group[n].view)
		})
		return err
	})
	return conn.SendBatch(ctx, b).Close()
}

// read answers one view.
func (s *Store) read(ctx context.Context, c *viewCall) error {
	q := &c.query
	return s.link.Read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, viewSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int32(q.Step))
		if err == nil {
			c.view, err = scanView(rows, q)
		}
		return err
	})
}

// viewRow is a row of a view: its header, with one of its steps.
type viewRow struct {
	job  store.Job
	step store.Step
}

func (r *viewRow) dests(into []any) []any {
	return dests(dests(into, schema.Jobs, &r.job), shownSteps, &r.step)
}

// addTo adds r to a view: the step in question comes first.
func (r *viewRow) addTo(v *store.View) error {
	if v.Step.ID == 0 {
		v.Job, v.Step = r.job, r.step
	} else {
		v.Next = r.step
	}
	return nil
}

// answers is ErrNotFound if v is not what q asks for.
func answers(v *store.View, q *store.Query) error {
	if v.Step.ID == 0 || q.Step != 0 && v.Step.ID != q.Step {
		return store.ErrNotFound
	}
	return nil
}

// scanView reads what viewSQL gives.
func scanView(rows pgx.Rows, q *store.Query) (v store.View, err error) {
	var r viewRow
	if _, err := pgx.ForEachRow(rows, r.dests(nil), func() error { return r.addTo(&v) }); err != nil {
		return store.View{}, err
	}
	return v, answers(&v, q)
}

// wideView reads a view with targets or with the record of a request.
func (s *Store) wideView(ctx context.Context, q store.Query) (v store.View, err error) {
	err = s.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		v, err = readWide(ctx, c, q)
		return err
	})
	if err != nil {
		return store.View{}, err
	}
	return v, nil
}

func readWide(ctx context.Context, c *pgx.Conn, q store.Query) (v store.View, err error) {
	var b pgx.Batch
	b.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	b.Queue(viewSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int32(q.Step)).Query(func(rows pgx.Rows) (err error) {
		if v, err = scanView(rows, &q); err == store.ErrNotFound {
			v, err = store.View{}, nil // the rest of the transaction finds nothing either, and ends it
		}
		return err
	})
	var results []store.Target
	if len(q.Targets) > 0 {
		latest := b.Queue(latestSQL, int64(q.Job), int32(q.Step), q.Targets)
		if q.Step == 0 {
			latest = b.Queue(latestOfCurrentSQL, int64(q.Job), q.Targets)
		}
		latest.Query(func(rows pgx.Rows) (err error) {
			results, err = pgx.CollectRows(rows, scanResult)
			return err
		})
	}
	var replay []store.Record
	if q.Request != (store.RequestID{}) {
		b.Queue(replaySQL, int64(q.Job), asUUID(q.Request)).Query(func(rows pgx.Rows) (err error) {
			replay, err = pgx.CollectRows(rows, scanRecord)
			return err
		})
	}
	b.Queue(`COMMIT`)
	if err := c.SendBatch(ctx, &b).Close(); err != nil {
		return store.View{}, err
	}
	if v.Step.ID == 0 {
		return store.View{}, store.ErrNotFound
	}
	v.Targets = inOrder(q.Targets, results, v.Step.Total)
	if len(replay) > 0 {
		v.Replay = &replay[0]
	}
	return v, nil
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
