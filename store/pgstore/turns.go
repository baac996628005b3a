package pgstore

import (
	"fmt"

	"github.com/stepgate/stepgate/store"
)

// lockTurnSQL locks a key until the end of the transaction: a transaction that moves a turn of the key
// waits here, before it locks the row of a job. Its next statement sees the turns that the one before
// it left. lockTurnSQL writes the row, so that a transaction stricter than READ COMMITTED that has waited
// fails, which is a conflict.
const lockTurnSQL = `INSERT INTO stepgate_turns (scope_type, scope_id, key, job, ticket, most) VALUES ($1, $2, $3, 0, -1, 0)
ON CONFLICT (scope_type, scope_id, key, job) DO UPDATE SET most = 0`

// turnArgs returns the parameters of [statement.turn].
func turnArgs(c *store.Change) []any {
	j := &c.Job
	return []any{j.Scope.Type, j.Scope.ID, j.Policy.Turn.Key, int64(j.ID), j.Policy.Turn.Limit, int32(c.Turn), int64(j.Updated)}
}

// turnFree is true if a turn of key %[3]s in scope %[1]s, %[2]s is free for job %[4]s, whose limit is %[5]s.
// It reads the jobs that have a turn, and the first that waits.
const turnFree = `((SELECT count(*) FROM stepgate_turns o
		WHERE o.scope_type = %[1]s AND o.scope_id = %[2]s AND o.key = %[3]s AND o.ticket = 0 AND o.job <> %[4]s) < %[5]s
	AND NOT EXISTS (SELECT FROM stepgate_turns o
		WHERE o.scope_type = %[1]s AND o.scope_id = %[2]s AND o.key = %[3]s AND o.ticket > 0 AND o.ticket < coalesce((SELECT nullif(m.ticket, 0)
			FROM stepgate_turns m WHERE m.scope_type = %[1]s AND m.scope_id = %[2]s AND m.key = %[3]s AND m.job = %[4]s), 9223372036854775807)))`

// turnOfView is turnFree for a job j of a view, in which few have a turn.
var turnOfView = `CASE WHEN j.policy = '' THEN false ELSE coalesce((SELECT ` +
	fmt.Sprintf(turnFree, "j.scope_type", "j.scope_id", "k.key", "j.id", "k.most") + `
	FROM (SELECT j.policy::json #>> '{turn,key}' AS key, (j.policy::json #>> '{turn,limit}')::int AS most) k), false) END`

// turn returns the condition under which the one change of a statement fits, and the statements that then
// move its turn and make the first job that waits due, if a turn is free for it.
func (s *statement) turn() (holds, moved string) {
	scope, id, key, job, most, move, at := s.arg("text"), s.arg("text"), s.arg("text"), s.arg("bigint"), s.arg("int"), s.arg("int"), s.arg("bigint")
	ofKey := fmt.Sprintf("scope_type = %s AND scope_id = %s AND key = %s", scope, id, key)
	free := fmt.Sprintf(turnFree, scope, id, key, job, most)
	holds = fmt.Sprintf("\n\tAND CASE %s WHEN %d THEN %s WHEN %d THEN NOT %s ELSE true END", move, store.TakeTurn, free, store.WaitTurn, free)
	moved = fmt.Sprintf(`, placed AS (
	INSERT INTO stepgate_turns (scope_type, scope_id, key, job, most, ticket)
	SELECT %[2]s, %[3]s, %[4]s, %[5]s, %[6]s, CASE %[7]s WHEN %[9]d THEN 0 ELSE 1 + greatest(0, (
		SELECT ticket FROM stepgate_turns WHERE %[1]s ORDER BY scope_type DESC, scope_id DESC, key DESC, ticket DESC LIMIT 1)) END
	FROM fit WHERE %[7]s <> %[10]d
	ON CONFLICT (scope_type, scope_id, key, job) DO UPDATE SET ticket = excluded.ticket, due = 0
), removed AS (
	DELETE FROM stepgate_turns t USING fit WHERE %[7]s = %[10]d AND %[1]s AND (t.job = %[5]s OR t.job = 0 AND NOT EXISTS (
		SELECT FROM stepgate_turns WHERE %[1]s AND ticket >= 0 AND job <> %[5]s))
), next_due AS (
	UPDATE stepgate_turns t SET due = %[8]s FROM fit WHERE %[1]s AND t.due = 0 AND t.job = (
		SELECT job FROM stepgate_turns WHERE %[1]s AND ticket > 0 AND job <> %[5]s ORDER BY scope_type, scope_id, key, ticket LIMIT 1)
	AND t.most > (SELECT count(*) FROM stepgate_turns WHERE %[1]s AND ticket = 0 AND job <> %[5]s) + (%[7]s = %[9]d)::int
)`, ofKey, scope, id, key, job, most, move, at, store.TakeTurn, store.LeaveTurn)
	return holds, moved
}
