package pgstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stepgate/stepgate/internal/groupcommit"
	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore/internal/link"
)

var effectsSQL = `SELECT ` + effectColumns + ` FROM stepgate_jobs j, LATERAL (
	SELECT * FROM stepgate_effects e WHERE e.job = j.id AND e.seq > $4 ORDER BY e.job, e.seq LIMIT $5
) e
WHERE j.id = $3 AND ` + inScope + ` ORDER BY e.seq`

// Effects implements store.Store.
func (s *Store) Effects(ctx context.Context, scope store.Scope, job store.JobID, p store.Page[store.Seq]) ([]store.Delivery, error) {
	return pageOf(ctx, s, "effects", scope, job, scanEffect, effectsSQL, int64(p.After), int64(p.Limit))
}

// claimSQL skips effects that another claim is taking, and waits for none. An index has the effects
// of each kind and step type in the order of their time; another index has those of a scope. For a
// kind without selected types, the statement finds one type after the other in the index. The
// conditions on scopes are those of the indexes: each claim is planned with its own index.
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
	UPDATE stepgate_effects e SET not_before = $5, held = true, count = e.count + 1, token = $7
	FROM due d WHERE e.job = d.job AND e.seq = d.seq RETURNING e.*, d.not_before AS was
)
SELECT ` + effectColumns + ` FROM claimed e ORDER BY e.was, e.job, e.seq`

var (
	claimEverySQL = strings.ReplaceAll(claimSQL, "{scope}", `$1 = '' AND $2 = '' AND e.effect > 0`)
	claimScopeSQL = strings.ReplaceAll(claimSQL, "{scope}",
		`e.scope_type = $1 AND e.scope_id = $2 AND `+schema.WithScope)
)

// Claim implements store.Store. Its plan is forced as that of a group: the planner expects a claim
// of a large part of the effects, and would read all of them.
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
		b := newGroup(0)
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

const deferSQL = `UPDATE stepgate_effects SET not_before = $5, held = $6, failures = $7, delivered = $8, last_error = $9
WHERE job = $1 AND seq = $2 AND count = $3 AND token IS NOT DISTINCT FROM $4`

// Defer implements store.Store.
func (s *Store) Defer(ctx context.Context, d store.Delivery) error {
	return s.leased(ctx, "defer", deferSQL, int64(d.Job), int64(d.Seq), d.Count, asUUID(d.Token), int64(d.NotBefore), d.Held, d.Failures, d.Delivered, d.LastError)
}

const settleSQL = `DELETE FROM stepgate_effects WHERE job = $1 AND seq = $2 AND count = $3 AND token IS NOT DISTINCT FROM $4`

// Settle implements store.Store. Effects that are settled while their lane settles others are
// settled together in the next statement, each with its own answer.
func (s *Store) Settle(ctx context.Context, d store.Delivery) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.settled == nil {
		return failed("settle", s.settleOne(ctx, d, 0))
	}
	return failed("settle", queued(s.settled.Do(ctx, int64(d.Job), d)))
}

// settle settles a group of claimed effects and returns an answer for each, as commit does.
func (s *Store) settle(ctx context.Context, group []store.Delivery) []error {
	if len(group) == 1 {
		return []error{s.settleOne(ctx, group[0], 0)}
	}
	settled, err := s.settleTogether(ctx, group)
	errs := make([]error, len(group))
	for i, d := range group {
		switch key := (effectKey{d.Job, d.Seq}); {
		case link.RolledBack(err):
			if errs[i] = s.settleOne(ctx, d, s.patience); isLocked(errs[i]) {
				errs[i] = groupcommit.ErrAside
			}
		case err != nil:
			errs[i] = err
		case !settled[key]:
			errs[i] = store.ErrLeaseLost
		default:
			delete(settled, key) // a second settlement of the same effect came too late
		}
	}
	return errs
}

// settleOne settles one claimed effect. It waits for locks at most patience, or the bound of a call
// for 0.
func (s *Store) settleOne(ctx context.Context, d store.Delivery, patience time.Duration) error {
	args := []any{int64(d.Job), int64(d.Seq), d.Count, asUUID(d.Token)}
	return s.link.Write(ctx, func(ctx context.Context, c *pgx.Conn) error {
		if patience == 0 { // a batch costs the caller more
			return leased(ctx, c, settleSQL, args...)
		}
		var tag pgconn.CommandTag
		b := newGroup(patience)
		b.Queue(settleSQL, args...).Exec(func(ct pgconn.CommandTag) error {
			tag = ct
			return nil
		})
		err := c.SendBatch(ctx, b).Close()
		if err == nil && tag.RowsAffected() == 0 {
			err = store.ErrLeaseLost
		}
		return err
	})
}

// effectKey identifies an effect.
type effectKey struct {
	job store.JobID
	seq store.Seq
}

// groupSettleSQL is settleSQL for several effects. It locks their rows in one order in all
// processes.
var groupSettleSQL = `WITH held AS MATERIALIZED (
	SELECT e.job, e.seq FROM ` + new(statement).rows("g", "job bigint, seq bigint, count int, token uuid") + `
	JOIN stepgate_effects e ON e.job = g.job AND e.seq = g.seq AND e.count = g.count AND e.token IS NOT DISTINCT FROM g.token
	ORDER BY e.job, e.seq FOR UPDATE OF e
)
DELETE FROM stepgate_effects e USING held h WHERE e.job = h.job AND e.seq = h.seq RETURNING e.job, e.seq`

// settleTogether settles a group in one statement, and returns which of its effects were claimed as
// it says.
func (s *Store) settleTogether(ctx context.Context, group []store.Delivery) (settled map[effectKey]bool, err error) {
	numbers, tokens := make([]int64, 0, 3*len(group)), make([]pgtype.UUID, 0, len(group))
	for _, d := range group {
		numbers = append(numbers, int64(d.Job), int64(d.Seq), int64(d.Count))
		tokens = append(tokens, asUUID(d.Token))
	}
	err = s.link.Write(ctx, func(ctx context.Context, c *pgx.Conn) error {
		settled = make(map[effectKey]bool, len(group))
		b := newGroup(s.patience)
		b.Queue(groupSettleSQL, numbers, tokens, int64(len(group))).Query(func(rows pgx.Rows) error {
			var job, seq int64
			_, err := pgx.ForEachRow(rows, []any{&job, &seq}, func() error {
				settled[effectKey{store.JobID(job), store.Seq(seq)}] = true
				return nil
			})
			return err
		})
		return c.SendBatch(ctx, b).Close()
	})
	return settled, err
}

// SettleTx is [Store.Settle] in the caller's transaction: it takes effect when tx commits. It fails
// with store.ErrLeaseLost if the effect is not claimed with d's Count and Token.
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

// leased runs a statement on one claimed effect. It returns store.ErrLeaseLost if the statement
// found no row.
func leased(ctx context.Context, on interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, sql string, args ...any) error {
	tag, err := on.Exec(ctx, sql, args...)
	if err == nil && tag.RowsAffected() == 0 {
		err = store.ErrLeaseLost
	}
	return err
}

var takeSQL = `UPDATE stepgate_effects e SET held = true, count = count + 1, token = gen_random_uuid() WHERE job = $1 AND seq = $2 RETURNING ` + effectColumns

// Take claims one effect that a [Carrier] carries: it increments Count and draws a new Token, which
// fences earlier claims, sets Held, and keeps NotBefore. It fails with store.ErrNotFound if the effect is
// settled.
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
