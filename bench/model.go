package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The model keeps a row for every target of every attempt. States, statuses and codes are the
// documented ones. The index of the targets is their key, by which an attempt is read and copied in
// order.
const modelTables = `
CREATE TABLE model_jobs (
	id    bigint   PRIMARY KEY,
	state smallint NOT NULL
);
CREATE TABLE model_steps (
	job        bigint   NOT NULL,
	id         integer  NOT NULL,
	state      smallint NOT NULL,
	attempt    integer  NOT NULL,
	total      integer  NOT NULL,
	succeeded  integer  NOT NULL,
	unfinished integer  NOT NULL,
	PRIMARY KEY (job, id)
);
CREATE TABLE model_targets (
	job       bigint   NOT NULL,
	step      integer  NOT NULL,
	attempt   integer  NOT NULL,
	target    integer  NOT NULL,
	ran       integer  NOT NULL, -- the attempt that it really ran in
	status    smallint NOT NULL,
	exit_code integer  NOT NULL,
	started   bigint   NOT NULL,
	finished  bigint   NOT NULL,
	PRIMARY KEY (job, step, attempt, target)
)%[1]s;
CREATE TABLE model_records (
	job     bigint   NOT NULL,
	seq     bigint   NOT NULL,
	at      bigint   NOT NULL,
	step    integer  NOT NULL,
	attempt integer  NOT NULL,
	code    smallint NOT NULL, -- 0: the attempt has ended
	state   smallint NOT NULL,
	actor   text     NOT NULL,
	PRIMARY KEY (job, seq)
)%[1]s;
CREATE TABLE model_effects (
	job    bigint   NOT NULL,
	seq    bigint   NOT NULL,
	effect smallint NOT NULL,
	PRIMARY KEY (job, seq)
)%[1]s;
INSERT INTO model_jobs VALUES (1, 4);
INSERT INTO model_steps VALUES (1, 1, 4, 1, %[2]d, %[2]d - %[3]d, 0);
`

// The parts of the statements that both databases read.
const (
	// copied are the columns of a target of the attempt after t's: a success is carried over, and any
	// other target waits.
	copied = `t.job, t.step, t.attempt + 1, t.target,
	CASE WHEN t.status IN (3, 9) THEN t.ran       ELSE t.attempt + 1 END,
	CASE WHEN t.status IN (3, 9) THEN 3           ELSE 5 END,
	CASE WHEN t.status IN (3, 9) THEN t.exit_code ELSE 0 END,
	CASE WHEN t.status IN (3, 9) THEN t.started   ELSE 0 END,
	CASE WHEN t.status IN (3, 9) THEN t.finished  ELSE 0 END`

	retryStep = `UPDATE model_steps SET attempt = attempt + 1, state = 2, unfinished = total - succeeded
	WHERE job = 1 AND id = 1 AND state IN (4, 9, 11) AND succeeded < total`

	runEffect, endEffect = 1, 4
)

// modelTargets returns the statement that inserts the first attempt's rows of a step's targets.
func modelTargets(f filler, targets, failed int) string {
	return fmt.Sprintf(`INSERT INTO model_targets SELECT 1, 1, 1, n, 1, CASE WHEN n %% %d = 0 THEN 11 ELSE 9 END, 0, 1700000000000, 1700000001000
		FROM %s`, targets/failed, f.numbers(0, targets-1))
}

// modelOnPostgres returns the model in a schema of its own. Each act is one statement.
func (r *run) modelOnPostgres(ctx context.Context, targets int) (*retrier, error) {
	pool, remove, err := r.pool(ctx, 2)
	if err != nil {
		return nil, err
	}
	failed := min(targets, mostFailed)
	f := fillPostgres(ctx, pool)
	err = errors.Join(f.exec(fmt.Sprintf(modelTables, "", targets, failed)), f.exec(modelTargets(f, targets, failed)))
	if err == nil {
		err = vacuum(ctx, pool)
	}
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	const (
		retry = `WITH s AS (` + retryStep + ` RETURNING job, id, attempt
), j AS (
	UPDATE model_jobs SET state = 2 FROM s WHERE model_jobs.id = s.job
), r AS (
	INSERT INTO model_records SELECT job, $1, $2, id, attempt, 2, 2, 'ann' FROM s
), e AS (
	INSERT INTO model_effects SELECT job, $1, 1 FROM s
)
INSERT INTO model_targets SELECT ` + copied + ` FROM s JOIN model_targets t ON t.job = s.job AND t.step = s.id AND t.attempt = s.attempt - 1`
		// The rows are looked up one by one: statistics never know the latest attempt, and without OFFSET
		// 0 the planner reads all of it.
		report = `WITH t AS (
	UPDATE model_targets SET status = 11, exit_code = 1, started = $3::bigint - 1000, finished = $3
	WHERE ctid = ANY (ARRAY(SELECT found.ctid FROM unnest($4::int[]) AS known (target), LATERAL (
		SELECT t.ctid FROM model_targets t WHERE t.job = 1 AND t.step = 1 AND t.attempt = $1 AND t.target = known.target OFFSET 0
	) found)) AND status IN (5, 7) RETURNING target
), s AS (
	UPDATE model_steps SET unfinished = unfinished - n, state = CASE WHEN unfinished = n THEN 4 ELSE state END
	FROM (SELECT count(*) FROM t) AS counted (n) WHERE job = 1 AND id = 1 AND attempt = $1 AND state = 2 RETURNING job, id, state
), j AS (
	UPDATE model_jobs SET state = 4 FROM s WHERE model_jobs.id = s.job AND s.state = 4
), r AS (
	INSERT INTO model_records SELECT job, $2, $3, id, $1, 0, 4, '' FROM s WHERE state = 4
), e AS (
	INSERT INTO model_effects SELECT job, $2, 4 FROM s WHERE state = 4
)
SELECT count(*) FROM t`
	)
	m := modelState{targets: targets}
	return &retrier{
		retry: func(ctx context.Context) error {
			m.next(true)
			tag, err := pool.Exec(ctx, retry, m.seq, time.Now().UnixMilli())
			return m.copied(tag.RowsAffected(), err)
		},
		report: func(ctx context.Context, failed ...int32) error {
			m.next(false)
			var n int
			err := pool.QueryRow(ctx, report, m.attempt, m.seq, time.Now().UnixMilli(), failed).Scan(&n)
			return reported(n, len(failed), err)
		},
		ledger: postgresLedger(pool),
		close:  remove,
	}, nil
}

// modelState is what a caller of the model knows of its step.
type modelState struct {
	targets int
	attempt int32
	seq     int64 // of the last record that there may be
}

func (m *modelState) next(retry bool) {
	if m.seq++; retry {
		m.attempt = max(m.attempt, 1) + 1
	}
}

// copied checks how many targets an attempt has.
func (m *modelState) copied(rows int64, err error) error {
	if err == nil && rows != int64(m.targets) {
		err = fmt.Errorf("%d targets were copied, want %d", rows, m.targets)
	}
	return err
}

// reported checks how many results a report has changed.
func reported(n, want int, err error) error {
	if err == nil && n != want {
		err = fmt.Errorf("%d results were new, want %d", n, want)
	}
	return err
}

// modelOnSQLite returns the model in a file of its own. Each act is one transaction.
func (r *run) modelOnSQLite(ctx context.Context, targets int) (*retrier, error) {
	dir, err := os.MkdirTemp(r.disk, "model-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "model.db")
	failed := min(targets, mostFailed)
	err = fillSQLite(ctx, path, func(f filler) error {
		return errors.Join(f.exec(fmt.Sprintf(modelTables, " WITHOUT ROWID", targets, failed)), f.exec(modelTargets(f, targets, failed)))
	})
	if err != nil {
		return nil, err
	}
	c, err := newKnown(path)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	mark, err := db.PrepareContext(ctx, `UPDATE model_targets SET status = 11, exit_code = 1, started = ?, finished = ?
		WHERE job = 1 AND step = 1 AND attempt = ? AND target = ? AND status IN (5, 7)`)
	if err != nil {
		return nil, errors.Join(err, db.Close(), c.other.Close())
	}
	m := sqliteModel{modelState{targets: targets}, db, mark}
	return &retrier{
		retry: m.retry, report: m.report,
		ledger: c.ledger(),
		close:  func() error { return errors.Join(mark.Close(), db.Close(), c.other.Close(), os.RemoveAll(dir)) },
	}, nil
}

// sqliteModel is the model in a SQLite file.
type sqliteModel struct {
	modelState
	db   *sql.DB
	mark *sql.Stmt // writes the result of one target
}

func (m *sqliteModel) retry(ctx context.Context) error {
	m.next(true)
	return transact(ctx, m.db, func(tx *sql.Tx) error {
		if err := changed(tx.Exec(retryStep))(1); err != nil {
			return err
		}
		if err := m.turn(tx, 2, 2, "ann", runEffect); err != nil {
			return err
		}
		return changed(tx.Exec(`INSERT INTO model_targets SELECT `+copied+` FROM model_targets t
			WHERE t.job = 1 AND t.step = 1 AND t.attempt = ?`, m.attempt-1))(m.targets)
	})
}

func (m *sqliteModel) report(ctx context.Context, failed ...int32) error {
	m.next(false)
	return transact(ctx, m.db, func(tx *sql.Tx) error {
		now := time.Now().UnixMilli()
		for _, target := range failed {
			err := changed(tx.Stmt(m.mark).Exec(now-1000, now, m.attempt, target))(1)
			if err != nil {
				return err
			}
		}
		var state int
		err := tx.QueryRow(`UPDATE model_steps SET unfinished = unfinished - ?1, state = CASE WHEN unfinished = ?1 THEN 4 ELSE state END
			WHERE job = 1 AND id = 1 AND attempt = ?2 AND state = 2 RETURNING state`, len(failed), m.attempt).Scan(&state)
		if err != nil || state != 4 {
			return err
		}
		return m.turn(tx, 0, 4, "", endEffect)
	})
}

// turn moves the job to another state, with a record and an effect.
func (m *modelState) turn(tx *sql.Tx, code, state int, actor string, effect int) error {
	if err := changed(tx.Exec(`UPDATE model_jobs SET state = ? WHERE id = 1`, state))(1); err != nil {
		return err
	}
	if err := changed(tx.Exec(`INSERT INTO model_records VALUES (1, ?, ?, 1, ?, ?, ?, ?)`,
		m.seq, time.Now().UnixMilli(), m.attempt, code, state, actor))(1); err != nil {
		return err
	}
	return changed(tx.Exec(`INSERT INTO model_effects VALUES (1, ?, ?)`, m.seq, effect))(1)
}

// transact runs f in a transaction. As in sqlitestore no call in it has a context that can end: the
// driver would start a goroutine for each.
func transact(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// changed returns a check of the number of rows that a statement has changed.
func changed(result sql.Result, err error) func(want int) error {
	return func(want int) error {
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n != int64(want) {
			err = fmt.Errorf("%d rows were changed, want %d", n, want)
		}
		return err
	}
}
