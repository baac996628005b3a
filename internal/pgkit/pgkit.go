// Package pgkit has helpers for tests and benchmarks on PostgreSQL that need no driver.
package pgkit

import (
	"fmt"
	"net/url"
	"strings"
)

// The ideal statement is what an operation cannot do without: compare and swap a job, write a
// record, write an effect. It checks nothing. IdealScript is that for pgbench, on the tables of
// IdealTables.
const (
	IdealTables = `
CREATE TABLE ideal_jobs (id bigint PRIMARY KEY, version bigint NOT NULL, state smallint NOT NULL) WITH (fillfactor = 80);
CREATE TABLE ideal_records (job bigint, seq bigint, actor text, code smallint, PRIMARY KEY (job, seq));
CREATE TABLE ideal_effects (job bigint, seq bigint, effect smallint, PRIMARY KEY (job, seq));
INSERT INTO ideal_jobs SELECT id, 0, 1 FROM generate_series(1, 1024) id;`

	IdealScript = `\set id random(1, 1024)
WITH job AS (
	UPDATE ideal_jobs SET version = version + 1, state = 3 - state WHERE id = :id AND state IN (1, 2) RETURNING id, version
), record AS (
	INSERT INTO ideal_records SELECT id, version, 'ann', 9 FROM job
)
INSERT INTO ideal_effects SELECT id, version, 1 FROM job;
`
)

// Jobs is the number of jobs that the scripts use in turn, with ids from 1.
const Jobs = 1024

// HonestOptions has each connection plan the honest statement once, and look up by index however
// small the tables were then.
const HonestOptions = " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"

// HonestScript is the honest statement for pgbench: it writes all that an operation of Stepgate
// writes, and loads, decides and checks nothing. Each of n jobs, a power of two, that follow
// each other in the order of ids, changes from waiting for a confirmation to refused, or back again:
// the job, its first step, a record with a request id and an effect, in Stepgate's own tables with
// all their indices. The jobs have to be there, started, and each waiting for its first step.
func HonestScript(jobs int) string {
	which := fmt.Sprintf("ANY (ARRAY(SELECT generate_series(:n * %[1]d + 1, :n * %[1]d + %[1]d)))", jobs)
	if jobs == 1 {
		which = ":n + 1"
	}
	return fmt.Sprintf("\\set n random(0, %d)\n", Jobs/jobs-1) + `WITH job AS (
	UPDATE stepgate_jobs SET version = version + 1, moved = version + 1, updated = updated + 1, state = 20 - state,
		finished = CASE state WHEN 7 THEN updated + 1 ELSE 0 END
	WHERE id = ` + which + ` RETURNING id, version, updated, finished, state, scope_type, scope_id
), moved AS (
	UPDATE stepgate_steps s SET state = job.state, finished = job.finished,
		attempt = s.attempt + CASE job.state WHEN 7 THEN 1 ELSE 0 END, run_full = s.attempt + CASE job.state WHEN 7 THEN 1 ELSE 0 END,
		started = CASE job.state WHEN 7 THEN job.updated ELSE s.started END, due = 0
	FROM job WHERE s.job = job.id AND s.id = 1 RETURNING job.*, s.attempt
), recorded AS (
	INSERT INTO stepgate_records (job, seq, at, request, step, entered, attempt, run_full, succeeded, unfinished, results, targets,
		cause, from_state, to_state, job_from, job_to, effect, actor, reason,
		run_first, run_end, succeeded_before, gate, gate_then, gate_until, mendable)
	SELECT id, version, updated, gen_random_uuid(), 1, 0, attempt, attempt, 0, 0, 0, 0,
		CASE state WHEN 7 THEN 10 ELSE 9 END, 20 - state, state, 20 - state, state, CASE state WHEN 7 THEN 3 ELSE 4 END, 'ann', '',
		0, 0, 0, 0, 0, 0, false FROM moved
)
INSERT INTO stepgate_effects (job, seq, at, effect, step, type, attempt, run_full, job_to, cause, actor, reason, scope_type, scope_id, not_before,
	run_first, run_end)
SELECT id, version, updated, CASE state WHEN 7 THEN 3 ELSE 4 END, 1, 3, attempt, attempt, CASE state WHEN 7 THEN 0 ELSE state END,
	CASE state WHEN 7 THEN 10 ELSE 9 END, 'ann', '', scope_type, scope_id, 0, 0, 0 FROM moved;
`
}

// Within returns a connection string, a URL or in words, that differs from dsn in the schema of
// its connections.
func Within(dsn, schema string) string {
	if u, err := url.Parse(dsn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		query := u.Query()
		query.Set("search_path", schema)
		u.RawQuery = query.Encode()
		return u.String()
	}
	return dsn + " search_path=" + schema
}
