package pgstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/internal/targetset"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The statements for pages of one job find it in its scope first. Their shape keeps the planner to
// that: left with a join it may read the page, and then find that the job is of another scope.
var stepsSQL = `SELECT ` + stepColumns + ` FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_steps s WHERE s.job = j.id AND s.id > $4::bigint ORDER BY s.job, s.id LIMIT $5
) s WHERE j.id = $3 AND ` + inScope + ` ORDER BY s.id`

// Steps implements store.Store.
func (s *Store) Steps(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	return pageOf(ctx, s, "steps", scope, job, scanStep, stepsSQL, int64(p.After), int64(p.Limit))
}

const detailsSQL = `SELECT s.payload FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_steps s WHERE s.job = j.id AND s.id = $4 OFFSET 0
) s WHERE j.id = $3 AND ` + inScope

// Details implements store.Store.
func (s *Store) Details(ctx context.Context, q store.DetailQuery) (store.Details, error) {
	if q.Step < 1 || q.Step > math.MaxInt32 {
		return store.Details{}, cmp.Or(ctx.Err(), store.ErrNotFound)
	}
	found, err := query(ctx, s, "details", scanDetails, detailsSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int32(q.Step))
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Details{}, err
	}
	return found[0], nil
}

func scanDetails(row pgx.CollectableRow) (d store.Details, err error) {
	err = row.Scan(&d.Payload)
	return d, err
}

var historySQL = `SELECT ` + recordColumns + ` FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_records r WHERE r.job = j.id AND r.seq > $4 ORDER BY r.job, r.seq LIMIT $5
) r WHERE j.id = $3 AND ` + inScope + ` ORDER BY r.seq`

// History implements store.Store.
func (s *Store) History(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	return pageOf(ctx, s, "history", scope, job, scanRecord, historySQL, int64(p.After), int64(p.Limit))
}

const overdueSQL = `SELECT s.job, s.id, s.attempt, s.deadline FROM stepgate_steps s JOIN stepgate_jobs j ON j.id = s.job
WHERE ` + inScope + ` AND s.deadline <> 0 AND s.deadline <= $3 ORDER BY s.deadline, s.job, s.id LIMIT $4`

// Overdue implements store.Store.
func (s *Store) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	return query(ctx, s, "overdue", func(row pgx.CollectableRow) (o store.Overdue, err error) {
		err = row.Scan((*int64)(&o.Job), (*int64)(&o.Step), &o.Attempt, (*int64)(&o.Deadline))
		return o, err
	}, overdueSQL, scope.Type, scope.ID, int64(now), int64(limit))
}

// Targets implements store.Store.
func (s *Store) Targets(ctx context.Context, f store.TargetFilter) ([]store.Target, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.Step < 1 || f.Step > math.MaxInt32 {
		return nil, store.ErrNotFound
	}
	var targets []store.Target
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := s.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, c, snapshot, func(tx pgx.Tx) (err error) {
			targets, err = targetsOf(ctx, tx, f)
			return err
		})
	})
	return targets, failed("targets", err)
}

// targetsOf returns the targets of a step that f selects.
func targetsOf(ctx context.Context, tx pgx.Tx, f store.TargetFilter) ([]store.Target, error) {
	c := &viewCall{query: store.Query{Scope: f.Scope, Job: f.Job, Step: f.Step}}
	err := readAlone(ctx, tx, c)
	if err == nil {
		err = c.answer()
	}
	if err != nil {
		return nil, err
	}
	var targets []store.Target
	if f.Attempt != 0 {
		targets, err = ofAttempt(ctx, tx, f)
	} else {
		targets, err = ofClass(ctx, tx, f, c.view.Step)
	}
	if err != nil {
		return nil, err
	}
	return targets, name(ctx, tx, f, targets)
}

var ofAttemptSQL = `SELECT ` + resultColumns + ` FROM stepgate_results r
WHERE r.job = $1 AND r.step = $2 AND r.attempt = $3 AND r.idx > $4 ORDER BY r.idx LIMIT $5`

// ofAttempt returns the results that were reported in one attempt.
func ofAttempt(ctx context.Context, tx pgx.Tx, f store.TargetFilter) ([]store.Target, error) {
	rows, err := tx.Query(ctx, ofAttemptSQL, int64(f.Job), int32(f.Step), f.Attempt, f.Page.After, int64(f.Page.Limit))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanResult)
}

var setsSQL = `SELECT ` + schema.TargetSets.Names("") + ` FROM stepgate_target_sets
WHERE job = $1 AND step = $2 AND block >= $3 ORDER BY block`

// ofClass returns the targets of a step that belong to a class.
func ofClass(ctx context.Context, tx pgx.Tx, f store.TargetFilter, s store.Step) ([]store.Target, error) {
	rows, err := tx.Query(ctx, setsSQL, int64(f.Job), int32(f.Step), max(f.Page.After, 0)/targetset.PerBlock)
	if err != nil {
		return nil, err
	}
	blocks, err := pgx.CollectRows(rows, scan(schema.TargetSets))
	if err != nil {
		return nil, err
	}
	indices := targetset.Select(f.Class, &s, blocks, f.Page.After, f.Page.Limit)
	if len(indices) == 0 {
		return nil, nil
	}
	rows, err = tx.Query(ctx, latestSQL, int64(f.Job), int32(f.Step), indices)
	if err != nil {
		return nil, err
	}
	results, err := pgx.CollectRows(rows, scanResult)
	return inOrder(indices, results, s.Total), err
}

var namesSQL = `SELECT ` + schema.TargetNames.Names("") + ` FROM stepgate_target_names WHERE job = $1 AND step = $2 AND block = ANY($3)`

// name gives targets of one step, which are in order, their names.
func name(ctx context.Context, tx pgx.Tx, f store.TargetFilter, targets []store.Target) error {
	var blocks []int32
	for _, t := range targets {
		if block := t.Index / schema.NamesPerBlock; len(blocks) == 0 || blocks[len(blocks)-1] != block {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, namesSQL, int64(f.Job), int32(f.Step), blocks)
	if err != nil {
		return err
	}
	names := map[int32][]string{}
	var b schema.NameBlock
	_, err = pgx.ForEachRow(rows, dests(nil, schema.TargetNames, &b), func() error {
		names[b.Block] = slices.Collect(b.Names.All())
		return nil
	})
	if err != nil {
		return err
	}
	for i := range targets {
		t := &targets[i]
		list, n := names[t.Index/schema.NamesPerBlock], int(t.Index%schema.NamesPerBlock)
		if n >= len(list) {
			return fmt.Errorf("names: there is none of target %d of step %d of job %d", t.Index, f.Step, f.Job)
		}
		t.Name = list[n]
	}
	return nil
}
