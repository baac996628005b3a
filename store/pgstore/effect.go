package pgstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
)

var effectsSQL = `SELECT ` + effectColumns + ` FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_effects e WHERE e.job = j.id AND e.seq > $4 ORDER BY e.job, e.seq LIMIT $5
) e
WHERE j.id = $3 AND ` + inScope + ` ORDER BY e.seq`

// Effects implements store.Store.
func (s *Store) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return pageOf(ctx, s, "effects", scope, job, scanEffect, effectsSQL, int64(p.After), int64(p.Limit))
}

// claimSQL passes over effects that another claim is taking, and waits for none. Those of
// each kind and step type are in the order of their time in an index, which has those of a scope by
// themselves. Which step types there are of a kind, of which all are wanted, is found by looking up one
// after the other. The conditions on scopes are those of the indexes, and no claim is planned by the other one.
var claimSQL = `WITH RECURSIVE found(effect, type) AS (
	SELECT k.effect, t.type FROM unnest($8::int2[]) AS k(effect), LATERAL (
		SELECT e.type FROM stepgate_effects e WHERE {scope} AND e.effect = k.effect ORDER BY e.type LIMIT 1
	) t
	UNION ALL
	SELECT f.effect, t.type FROM found f, LATERAL (
		SELECT e.type FROM stepgate_effects e WHERE {scope} AND e.effect = f.effect AND e.type > f.type ORDER BY e.type LIMIT 1
	) t
), due AS MATERIALIZED (
	SELECT d.* FROM (SELECT * FROM unnest($3::int2[], $9::int2[]) UNION ALL SELECT * FROM found) AS wanted(effect, type), LATERAL (
		SELECT e.job, e.seq, e.not_before FROM stepgate_effects e
		WHERE {scope} AND e.effect = wanted.effect AND e.type = wanted.type AND e.not_before <= $4
		ORDER BY e.not_before LIMIT $6 FOR UPDATE SKIP LOCKED
	) d ORDER BY d.not_before LIMIT $6
), claimed AS (
	UPDATE stepgate_effects e SET not_before = $5, count = e.count + 1, token = $7
	FROM due d WHERE e.job = d.job AND e.seq = d.seq RETURNING e.*, d.not_before AS was
)
SELECT ` + effectColumns + ` FROM claimed e ORDER BY e.was, e.job, e.seq`

var (
	claimEverySQL = strings.ReplaceAll(claimSQL, "{scope}", `$1 = '' AND $2 = '' AND e.effect > 0`)
	claimScopeSQL = strings.ReplaceAll(claimSQL, "{scope}",
		`e.scope_type = $1 AND e.scope_id = $2 AND `+schema.WithScope)
)

// Claim implements store.Store. It is planned as groups are: it may take a large part of the
// effects, for all that the planner knows, which would then read them all.
func (s *Store) Claim(ctx context.Context, c store.Claim) ([]store.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sql := claimEverySQL
	if c.Scope != (store.Scope{}) {
		sql = claimScopeSQL
	}
	queues, every := schema.Queues(&c)
	args := []any{
		c.Scope.Type, c.Scope.ID, column(queues, func(q *schema.Queue) int16 { return int16(q.Effect) }), int64(c.Now), int64(c.Until), int64(c.Limit),
		asUUID(c.Token), column(every, func(e *store.Effect) int16 { return int16(*e) }), column(queues, func(q *schema.Queue) int16 { return int16(q.Type) }),
	}
	var claimed []store.Delivery
	err := s.link.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := newGroup()
		b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
			claimed, err = pgx.CollectRows(rows, scanEffect)
			return err
		})
		return conn.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, failed("claim", err)
	}
	return claimed, nil
}

const deferSQL = `UPDATE stepgate_effects SET not_before = $5, failures = $6, delivered = $7, last_error = $8
WHERE job = $1 AND seq = $2 AND count = $3 AND token IS NOT DISTINCT FROM $4`

// Defer implements store.Store.
func (s *Store) Defer(ctx context.Context, d store.Delivery) error {
	return s.leased(ctx, "defer", deferSQL, int64(d.Job), int64(d.Seq), d.Count, asUUID(d.Token), int64(d.NotBefore), d.Failures, d.Delivered, d.LastError)
}

const settleSQL = `DELETE FROM stepgate_effects WHERE job = $1 AND seq = $2 AND count = $3 AND token IS NOT DISTINCT FROM $4`

// Settle implements store.Store.
func (s *Store) Settle(ctx context.Context, d store.Delivery) error {
	return s.leased(ctx, "settle", settleSQL, int64(d.Job), int64(d.Seq), d.Count, asUUID(d.Token))
}

// SettleTx is [Store.Settle] in a transaction of the caller's: it takes effect with that.
func SettleTx(ctx context.Context, tx pgx.Tx, d store.Delivery) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return failed("settle", leased(ctx, tx, settleSQL, int64(d.Job), int64(d.Seq), d.Count, asUUID(d.Token)))
}

// leased runs a statement on one claimed effect.
func (s *Store) leased(ctx context.Context, what, sql string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return failed(what, s.link.Write(ctx, func(ctx context.Context, c *pgx.Conn) error { return leased(ctx, c, sql, args...) }))
}

// leased runs a statement on one claimed effect, which is lost if there is no such row.
func leased(ctx context.Context, on interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, sql string, args ...any) error {
	tag, err := on.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		err = store.ErrLeaseLost
	}
	return err
}

var takeSQL = `UPDATE stepgate_effects e SET count = count + 1, token = gen_random_uuid() WHERE job = $1 AND seq = $2 RETURNING ` + effectColumns

// Take claims one effect that a [Carrier] carries: it raises its Count and draws its
// Token, which fences earlier claims, and leaves its NotBefore alone. It is store.ErrNotFound if the effect is settled.
func (s *Store) Take(ctx context.Context, job store.JobID, seq store.Seq) (store.Delivery, error) {
	var taken []store.Delivery
	err := s.link.Write(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		taken, err = fetch(ctx, c, scanEffect, takeSQL, int64(job), int64(seq))
		return err
	})
	if err != nil {
		return store.Delivery{}, failed("take", err)
	}
	if len(taken) == 0 {
		return store.Delivery{}, fmt.Errorf("pgstore: effect %d of job %d: %w", seq, job, store.ErrNotFound)
	}
	return taken[0], nil
}
