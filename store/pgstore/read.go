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

// The statements for pages of one job find the job in its scope first. LATERAL with a limit makes
// the planner do so: with a plain join it may read the page before it checks the scope.
var stepsSQL = `SELECT ` + stepColumns + ` FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_steps s WHERE s.job = j.id AND s.id > $4::bigint ORDER BY s.job, s.id LIMIT $5
) s WHERE j.id = $3 AND ` + inScope + ` ORDER BY s.id`

// Steps implements store.Store.
func (s *Store) Steps(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[step.ID]) ([]store.Step, error) {
	return pageOf(ctx, s, "steps", scope, job, scanStep, stepsSQL, int64(p.After), int64(p.Limit))
}

var detailsSQL = `SELECT s.payload, ` + batchesOf + ` FROM stepgate_jobs j, LATERAL (
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
	var list batchList
	err = row.Scan(&d.Payload, &list)
	d.Batches = unpacked(list)
	return d, err
}

var historySQL = `SELECT ` + recordColumns + ` FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_records r WHERE r.job = j.id AND r.seq > $4 ORDER BY r.job, r.seq LIMIT $5
) r WHERE j.id = $3 AND ` + inScope + ` ORDER BY r.seq`

// History implements store.Store.
func (s *Store) History(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Record, error) {
	return pageOf(ctx, s, "history", scope, job, scanRecord, historySQL, int64(p.After), int64(p.Limit))
}

// overdueSQL reads steps by their moments, and looks their jobs up. With a plain join the planner may
// begin with all jobs of the scope.
const overdueSQL = `SELECT s.job, s.id, s.attempt, s.due FROM (
	SELECT s.job, s.id, s.attempt, s.due FROM stepgate_steps s WHERE s.due <> 0 AND s.due <= $3 ORDER BY s.due, s.job, s.id OFFSET 0
) s, LATERAL (SELECT FROM stepgate_jobs j WHERE j.id = s.job AND ` + inScope + ` OFFSET 0) j ORDER BY s.due, s.job, s.id LIMIT $4`

// turnsDueSQL reads the jobs that wait first by the moments at which a turn became free.
const turnsDueSQL = `SELECT s.job, s.id, s.attempt, t.due FROM (
	SELECT t.job, t.due FROM stepgate_turns t WHERE t.due <> 0 AND t.due <= $3 ORDER BY t.due OFFSET 0
) t, LATERAL (SELECT j.id, j.current FROM stepgate_jobs j WHERE j.id = t.job AND ` + inScope + ` OFFSET 0) j, LATERAL (
	SELECT s.job, s.id, s.attempt FROM stepgate_steps s WHERE s.job = j.id AND s.id = j.current OFFSET 0
) s ORDER BY t.due LIMIT $4`

// byOrder has the server read what an index has in order, up to a limit and in one process, until the
// end of a transaction.
const byOrder = `SELECT set_config('enable_bitmapscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`

// Overdue implements store.Store. Its plan is forced as that of a group: the planner expects that a
// large part of the steps is due, and would read all of that for the first few. In a scope it also
// reads the moments of other scopes that have come.
func (s *Store) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) (due []store.Overdue, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var turns []store.Overdue
	err = s.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := newGroup(0, byOrder)
		args := []any{scope.Type, scope.ID, int64(now), int64(limit)}
		collect(b, &due, scanOverdue, overdueSQL, args...)
		collect(b, &turns, scanOverdue, turnsDueSQL, args...)
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, failed("overdue", err)
	}
	if len(turns) > 0 {
		due = append(due, turns...)
		slices.SortStableFunc(due, func(a, b store.Overdue) int { return cmp.Compare(a.Due, b.Due) })
		due = due[:min(len(due), limit)]
	}
	return due, nil
}

func scanOverdue(row pgx.CollectableRow) (o store.Overdue, err error) {
	err = row.Scan((*int64)(&o.Job), (*int64)(&o.Step), &o.Attempt, (*int64)(&o.Due))
	return o, err
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

var batchesSQL = `SELECT ` + schema.Batches.Names("") + ` FROM stepgate_batches WHERE job = $1 AND step = $2 ORDER BY number`

// ofClass returns the targets of a step that belong to a class.
func ofClass(ctx context.Context, tx pgx.Tx, f store.TargetFilter, s store.Step) ([]store.Target, error) {
	var batches []store.Batch
	var err error
	if s.Batch > 0 {
		if batches, err = fetch(ctx, tx, scanBatch, batchesSQL, int64(f.Job), int32(f.Step)); err != nil {
			return nil, err
		}
	}
	first, _, _ := targetset.Blocks(&s, batches, max(f.Page.After, -1)+1, 1)
	blocks, err := fetch(ctx, tx, scan(schema.TargetSets), setsSQL, int64(f.Job), int32(f.Step), first)
	if err != nil {
		return nil, err
	}
	indices := targetset.Select(f.Class, &s, batches, blocks, f.Page.After, f.Page.Limit)
	if len(indices) == 0 {
		return nil, nil
	}
	results, err := fetch(ctx, tx, scanResult, latestSQL, int64(f.Job), int32(f.Step), indices)
	return inOrder(indices, results, s.Total), err
}

var namesSQL = `SELECT ` + schema.TargetNames.Names("") + ` FROM stepgate_target_names WHERE job = $1 AND step = $2 AND block = ANY($3)`

// name sets the names of targets of one step, which are in order.
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
			return fmt.Errorf("target %d of step %d of job %d has no name", t.Index, f.Step, f.Job)
		}
		t.Name = list[n]
	}
	return nil
}
