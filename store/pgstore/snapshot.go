package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
)

// The statements of a snapshot. Each finds the job in its scope first, and reads no other table if
// the scope has no such job: OFFSET 0 keeps the planner from joining in the other order. $4 is the
// maximum number of targets: if the job has more, none is read.
var (
	headerSQL = `SELECT ` + jobColumns + ` FROM stepgate_jobs j WHERE j.id = $3 AND ` + inScope

	allStepsSQL = `SELECT ` + stepColumns + `
FROM stepgate_jobs j, LATERAL (SELECT * FROM stepgate_steps s WHERE s.job = j.id OFFSET 0) s
WHERE j.id = $3 AND ` + inScope + ` ORDER BY s.id`

	// stepsAndBatchesSQL is allStepsSQL with the batches of each step.
	stepsAndBatchesSQL = `SELECT ` + stepColumns + `, CASE WHEN ` + fewTargetsOnce + ` THEN ` + batchesOf + ` END
FROM stepgate_jobs j, LATERAL (SELECT * FROM stepgate_steps s WHERE s.job = j.id OFFSET 0) s
WHERE j.id = $3 AND ` + inScope + ` ORDER BY s.id`

	allNamesSQL = `SELECT ` + schema.TargetNames.Names("n.") + `
FROM stepgate_jobs j, LATERAL (SELECT * FROM stepgate_target_names n WHERE n.job = j.id OFFSET 0) n
WHERE j.id = $3 AND ` + inScope + ` AND ` + fewTargets

	// allLatestSQL reads the latest result of each target that has one, as latestSQL does.
	allLatestSQL = `SELECT s.id, ` + resultColumns + `
FROM stepgate_jobs j, LATERAL (SELECT * FROM stepgate_steps s WHERE s.job = j.id AND s.attempt > 0 OFFSET 0) s,
generate_series(0, s.total - 1) AS i(idx), LATERAL (
	SELECT * FROM stepgate_results r
	WHERE r.job = s.job AND r.step = s.id AND r.idx BETWEEN i.idx AND i.idx ORDER BY r.idx DESC, r.attempt DESC LIMIT 1
) r
WHERE j.id = $3 AND ` + inScope + ` AND ` + fewTargets
)

const (
	// fewTargets sums up the steps of the job j: only if j is in the scope.
	fewTargets = `(SELECT sum(t.total) FROM stepgate_steps t WHERE t.job = j.id) <= $4`

	// fewTargetsOnce sums them up at the first row and not at each.
	fewTargetsOnce = `(SELECT sum(t.total) FROM stepgate_steps t WHERE t.job = $3) <= $4`
)

// Snapshot implements store.Store in one round trip: a read-only transaction of two statements, or
// of four with targets.
func (s *Store) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return store.Snapshot{}, err
	}
	var snapshot store.Snapshot
	err := s.link.Read(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		snapshot, err = readSnapshot(ctx, c, q)
		return err
	})
	if err != nil {
		return store.Snapshot{}, failed("snapshot", err)
	}
	return snapshot, nil
}

func readSnapshot(ctx context.Context, c *pgx.Conn, q store.SnapshotQuery) (store.Snapshot, error) {
	var b pgx.Batch
	b.Queue(oneMoment)
	var jobs []store.Job
	collect(&b, &jobs, scanJob, headerSQL, q.Scope.Type, q.Scope.ID, int64(q.Job))
	var snapshot store.Snapshot
	var names []schema.NameBlock
	var results []schema.StepTarget
	if q.Targets <= 0 {
		collect(&b, &snapshot.Steps, scanStep, allStepsSQL, q.Scope.Type, q.Scope.ID, int64(q.Job))
	} else {
		scanBoth := func(row pgx.CollectableRow) (s store.Step, err error) {
			var list batchList
			err = row.Scan(append(dests(nil, shownSteps, &s), &list)...)
			snapshot.Batches = append(snapshot.Batches, unpacked(list)...)
			return s, err
		}
		collect(&b, &snapshot.Steps, scanBoth, stepsAndBatchesSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int64(q.Targets))
		collect(&b, &names, scan(schema.TargetNames), allNamesSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int64(q.Targets))
		collect(&b, &results, scanStepTarget, allLatestSQL, q.Scope.Type, q.Scope.ID, int64(q.Job), int64(q.Targets))
	}
	b.Queue(`COMMIT`)
	err := c.SendBatch(ctx, &b).Close()
	if err == nil && len(jobs) == 0 {
		err = store.ErrNotFound
	}
	if err == nil && len(names) > 0 {
		snapshot.Targets = schema.Arrange(snapshot.Steps, names, results)
	}
	if err != nil {
		return store.Snapshot{}, err
	}
	snapshot.Job = jobs[0]
	return snapshot, nil
}

// collect queues a statement and reads its rows into all.
func collect[T any](b *pgx.Batch, all *[]T, scan pgx.RowToFunc[T], sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
		*all, err = pgx.CollectRows(rows, scan)
		return err
	})
}
