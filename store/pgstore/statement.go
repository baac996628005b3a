package pgstore

import (
	"fmt"
	"strings"
)

// A group of changes is one statement. Its rows are passed as columns, one array for each.

const (
	headColumns = `id bigint, base bigint, version bigint, moved bigint, started bigint, finished bigint,
		current int, skipped int, ignored int, state int2`
	stateColumns = `job bigint, started bigint, finished bigint, deadline bigint, id int, attempt int, full_attempt int,
		succeeded int, unfinished int, state int2`
	lineColumns = `job bigint, seq bigint, at bigint, request uuid, step int, entered int, attempt int, succeeded int, unfinished int,
		results int, targets int, kind int2, code int2, job_code int2, event int2, from_state int2, to_state int2,
		job_from int2, job_to int2, effect int2, full_run bool, actor text, reason text`
	outcomeColumns = `job bigint, started bigint, finished bigint, step int, idx int, attempt int, success int, exit_code int,
		status int2, detail text`
	setColumns = `job bigint, step int, block int, era int, attempt int, succeeded varbit, finished varbit`

	jobRowColumns = `id bigint, version bigint, moved bigint, created bigint, started bigint, finished bigint, current int, steps int,
		skipped int, ignored int, state int2, scope_type text, scope_id text, name text`
	creationColumns = `scope_type text, scope_id text, request uuid, job bigint`
	stepRowColumns  = `job bigint, started bigint, finished bigint, deadline bigint, timeout bigint, id int, total int, attempt int,
		full_attempt int, succeeded int, unfinished int, type int2, state int2, on_timeout int2, ignore_errors bool,
		name text, payload text, confirmers json`
	namesColumns = `job bigint, step int, block int, names json`
)

// statement is the text of a statement as it is put together.
type statement struct {
	strings.Builder
	args int // parameters so far
}

// rows returns a table of the next parameters, an array for each column.
func (s *statement) rows(alias, columns string) string {
	var arrays []string
	for column := range strings.SplitSeq(columns, ",") {
		s.args++
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", s.args, strings.Fields(column)[1]))
	}
	return fmt.Sprintf("unnest(%s) AS %s(%s)", strings.Join(arrays, ", "), alias, names(columns))
}

// arg returns the next parameter.
func (s *statement) arg(typ string) string {
	s.args++
	return fmt.Sprintf("$%d::%s", s.args, typ)
}

// names returns a list of columns without their types.
func names(columns string) string {
	var list []string
	for column := range strings.SplitSeq(columns, ",") {
		list = append(list, strings.Fields(column)[0])
	}
	return strings.Join(list, ", ")
}

var (
	createSQL = creation()
	updateSQL = update(false)
	reportSQL = update(true)
)

// update returns the statement of changes to existing jobs. It returns the ids of those that
// it applied. Under READ COMMITTED a row that was locked is seen as it is then, so the version
// is compared after the lock; and every process locks in the order of ids, so that no two
// wait for each other. The shape keeps the planner to look-ups by index, whatever it believes
// of the tables' sizes when the statement is prepared.
func update(withTargets bool) string {
	s := &statement{}
	fmt.Fprintf(s, `WITH head AS MATERIALIZED (
	SELECT * FROM %s
), locked AS MATERIALIZED (
	SELECT l.* FROM (SELECT id FROM head ORDER BY id) h, LATERAL (
		SELECT j.id, j.version FROM stepgate_jobs j WHERE j.id = h.id ORDER BY j.id LIMIT 1 FOR NO KEY UPDATE
	) l
), fit AS MATERIALIZED (
	SELECT h.* FROM head h JOIN locked l ON l.id = h.id AND l.version = h.base
), headed AS (
	UPDATE stepgate_jobs j SET version = f.version, moved = f.moved, started = f.started, finished = f.finished,
		current = f.current, skipped = f.skipped, ignored = f.ignored, state = f.state
	FROM fit f WHERE j.id = f.id
), moved AS (
	UPDATE stepgate_steps s SET started = n.started, finished = n.finished, deadline = n.deadline, attempt = n.attempt,
		full_attempt = n.full_attempt, succeeded = n.succeeded, unfinished = n.unfinished, state = n.state
	FROM fit f JOIN %s ON n.job = f.id WHERE s.job = n.job AND s.id = n.id
), line AS MATERIALIZED (
	SELECT l.* FROM fit f JOIN %s ON l.job = f.id
)`, s.rows("h", headColumns), s.rows("n", stateColumns), s.rows("l", lineColumns))
	s.record()
	if withTargets {
		fmt.Fprintf(s, `, outcome AS (
	INSERT INTO stepgate_results (%[1]s)
	SELECT o.* FROM fit f JOIN %[2]s ON o.job = f.id
	ON CONFLICT (job, step, idx, attempt) DO UPDATE SET started = excluded.started, finished = excluded.finished,
		success = excluded.success, exit_code = excluded.exit_code, status = excluded.status, detail = excluded.detail
), sets AS (
	INSERT INTO stepgate_target_sets AS old (%[3]s)
	SELECT n.* FROM fit f JOIN %[4]s ON n.job = f.id
	ON CONFLICT (job, step, block) DO UPDATE SET era = excluded.era, attempt = excluded.attempt,
		succeeded = CASE WHEN old.era = excluded.era THEN old.succeeded | excluded.succeeded ELSE excluded.succeeded END,
		finished = CASE WHEN old.attempt = excluded.attempt THEN old.finished | excluded.finished ELSE excluded.finished END
)`, names(outcomeColumns), s.rows("o", outcomeColumns), names(setColumns), s.rows("n", setColumns))
	}
	s.WriteString("\nSELECT id FROM fit")
	return s.String()
}

// record writes the lines to the history, and their effects to where they wait.
func (s *statement) record() {
	fmt.Fprintf(s, `, recorded AS (
	INSERT INTO stepgate_records (%[1]s) SELECT %[1]s FROM line
), waiting AS (
	INSERT INTO stepgate_effects (job, seq, effect, not_before) SELECT job, seq, effect, %[2]s FROM line WHERE effect <> 0
)`, names(lineColumns), s.arg("bigint"))
}

// creation returns the statement of jobs that come to be. It returns their ids. An id or a
// request that is taken fails it.
func creation() string {
	s := &statement{}
	fmt.Fprintf(s, `WITH job AS (
	INSERT INTO stepgate_jobs (%[1]s) SELECT * FROM %[2]s RETURNING id
), created AS (
	INSERT INTO stepgate_creations (%[3]s) SELECT * FROM %[4]s
), step AS (
	INSERT INTO stepgate_steps (%[5]s) SELECT * FROM %[6]s
), named AS (
	INSERT INTO stepgate_target_names (%[7]s) SELECT * FROM %[8]s
), line AS MATERIALIZED (
	SELECT * FROM %[9]s
)`, names(jobRowColumns), s.rows("j", jobRowColumns), names(creationColumns), s.rows("c", creationColumns),
		names(stepRowColumns), s.rows("s", stepRowColumns), names(namesColumns), s.rows("n", namesColumns), s.rows("l", lineColumns))
	s.record()
	s.WriteString("\nSELECT id FROM job")
	return s.String()
}
