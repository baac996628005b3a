package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/store"
)

// inScope holds for the jobs j that a read in the scope of parameters $1 and $2 may see.
const inScope = `(($1 = '' AND $2 = '') OR (j.scope_type = $1 AND j.scope_id = $2))`

// viewSQL reads the header with the step in question and the one after it, a row for each.
const viewSQL = `
SELECT ` + jobColumns + `, ` + stepColumns + `
FROM stepgate_jobs j, stepgate_steps s
WHERE j.id = $3 AND ` + inScope + `
AND s.job = $3 AND s.id IN (
	CASE WHEN $4::int = 0 THEN j.current ELSE $4::int END,
	CASE WHEN $4::int = 0 THEN j.current ELSE $4::int END + 1)
ORDER BY s.id`

// latestSQL reads the latest results of some targets of a step, of those that have one.
const latestSQL = `
SELECT ` + resultColumns + `
FROM unnest($3::int[]) AS i(idx), LATERAL (
	SELECT * FROM stepgate_results r
	WHERE r.job = $1 AND r.step = $2 AND r.idx = i.idx ORDER BY r.attempt DESC LIMIT 1
) r`

// latestOfCurrentSQL is latestSQL for the job's current step.
const latestOfCurrentSQL = `
SELECT ` + resultColumns + `
FROM stepgate_jobs j, unnest($2::int[]) AS i(idx), LATERAL (
	SELECT * FROM stepgate_results r
	WHERE r.job = $1 AND r.step = j.current AND r.idx = i.idx ORDER BY r.attempt DESC LIMIT 1
) r
WHERE j.id = $1`

const replaySQL = `SELECT ` + recordColumns + ` FROM stepgate_records r
WHERE r.job = $1 AND r.request = $2 AND r.request <> '00000000-0000-0000-0000-000000000000'`

// View implements store.Store. It is one round trip: one statement or, if it looks for
// targets or a request, a read-only transaction that is sent at once.
func (s *Store) View(ctx context.Context, q store.Query) (store.View, error) {
	if err := ctx.Err(); err != nil {
		return store.View{}, err
	}
	if int64(q.Step) != int64(int32(q.Step)) {
		return store.View{}, store.ErrNotFound // no job has so many
	}
	var v store.View
	var err error
	if len(q.Targets) == 0 && q.Request == (store.Request{}) {
		var rows pgx.Rows
		if rows, err = s.pool.Query(ctx, viewSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int32(q.Step)); err == nil {
			v, err = scanView(rows, q)
		}
	} else {
		v, err = s.wideView(ctx, q)
	}
	return v, failed("view", err)
}

// scanView reads what viewSQL gives.
func scanView(rows pgx.Rows, q store.Query) (v store.View, err error) {
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		var s stepRow
		if err := rows.Scan(append(jobFields(&v.Job), s.fields()...)...); err != nil {
			return store.View{}, err
		}
		into := []*store.Step{&v.Step, &v.Next}[n]
		if *into, err = s.step(); err != nil {
			return store.View{}, err
		}
	}
	if err := rows.Err(); err != nil {
		return store.View{}, err
	}
	if v.Step.ID == 0 || q.Step != 0 && v.Step.ID != q.Step {
		return store.View{}, store.ErrNotFound
	}
	return v, nil
}

// wideView reads a view with targets or with the record of a request.
func (s *Store) wideView(ctx context.Context, q store.Query) (v store.View, err error) {
	var b pgx.Batch
	b.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	b.Queue(viewSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int32(q.Step)).Query(func(rows pgx.Rows) (err error) {
		if v, err = scanView(rows, q); err == store.ErrNotFound {
			return nil // the rest of the transaction finds nothing either, and ends it
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
	if q.Request != (store.Request{}) {
		b.Queue(replaySQL, int64(q.Job), [16]byte(q.Request)).Query(func(rows pgx.Rows) (err error) {
			replay, err = pgx.CollectRows(rows, scanRecord)
			return err
		})
	}
	b.Queue(`COMMIT`)
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
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

const createdSQL = `SELECT ` + recordColumns + ` FROM stepgate_creations c JOIN stepgate_records r ON r.job = c.job AND r.seq = 1
WHERE c.scope_type = $1 AND c.scope_id = $2 AND c.request = $3`

// Created implements store.Store.
func (s *Store) Created(ctx context.Context, scope store.Scope, request store.Request) (store.Record, error) {
	records, err := query(ctx, s, "created", scanRecord, createdSQL, scope.Type, scope.ID, [16]byte(request))
	if err == nil && len(records) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, err
	}
	return records[0], nil
}

// query returns the rows of a statement.
func query[T any](ctx context.Context, s *Store, what string, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, failed(what, err)
	}
	all, err := pgx.CollectRows(rows, scan)
	return all, failed(what, err)
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
