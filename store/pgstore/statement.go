package pgstore

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/schema"
)

// A statement gets the rows that it writes as tables of parameters: arrays for a group of changes,
// and rows of scalars for a single change, which cost the server less.

// newGroup returns a batch for statements on groups; it begins with the statements of begin. A
// batch is one transaction in one message. Its settings make the server plan each statement once
// per session: by default it would plan for each group, which costs more than the statement
// itself. They also make that plan use indexes, even if the tables are small at the time. The
// statements wait for locks at most patience; 0 leaves it at the bound of a call.
func newGroup(patience time.Duration, begin ...string) *pgx.Batch {
	b := &pgx.Batch{}
	for _, sql := range begin {
		b.Queue(sql)
	}
	if patience > 0 {
		b.Queue(byIndex+`, set_config('lock_timeout', $1, true)`, strconv.FormatInt(max(patience.Milliseconds(), 1), 10))
	} else {
		b.Queue(byIndex)
	}
	return b
}

// byIndex sets what a plan of a group needs, until the end of its transaction.
const byIndex = `SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// statement builds the text of a statement.
type statement struct {
	strings.Builder
	args int // parameters so far
}

// rows returns a table of the next parameters, in the form of [layout.arrays]. All numbers are in
// one array, row by row: for a small group, one array per column would cost the server more to
// unnest than all other work. Only columns of variable length are arrays to unnest.
func (s *statement) rows(alias, columns string) string {
	width := 0
	for column := range strings.SplitSeq(columns, ",") {
		if isNumber(strings.Fields(column)[1]) {
			width++
		}
	}
	numbers, place := s.arg("bigint[]"), 0
	var list, texts []string
	for column := range strings.SplitSeq(columns, ",") {
		name, typ := strings.Fields(column)[0], strings.Fields(column)[1]
		switch {
		case typ == "uuid": // at most one
			list = append(list, fmt.Sprintf("(%s)[u.i] AS %s", s.arg("uuid[]"), name))
		case isNumber(typ):
			place++
			list = append(list, fmt.Sprintf("(%s)[(u.i-1)*%d+%d]::%s AS %s", numbers, width, place, fromBigint(typ), name))
		default:
			texts = append(texts, column)
			list = append(list, "u."+name)
		}
	}
	if len(texts) == 0 {
		return fmt.Sprintf("(SELECT %s FROM generate_series(1, %s) AS u(i)) AS %s", strings.Join(list, ", "), s.arg("bigint"), alias)
	}
	var arrays []string
	for _, column := range texts {
		arrays = append(arrays, s.arg(strings.Fields(column)[1]+"[]"))
	}
	return fmt.Sprintf("(SELECT %s FROM unnest(%s) WITH ORDINALITY AS u(%s, i)) AS %s",
		strings.Join(list, ", "), strings.Join(arrays, ", "), names(strings.Join(texts, ",")), alias)
}

// isNumber reports whether a type is passed as a number.
func isNumber(typ string) bool {
	return typ == "bigint" || typ == "int" || typ == "int2" || typ == "bool"
}

// fromBigint returns the cast of a bigint to a numeric type.
func fromBigint(typ string) string {
	if typ == "bool" {
		return "int::bool" // PostgreSQL has no direct cast
	}
	return typ
}

// values returns a table of rows with the next parameters.
func (s *statement) values(alias, columns string, rows int) string {
	var list []string
	for range rows {
		var row []string
		for column := range strings.SplitSeq(columns, ",") {
			row = append(row, s.arg(strings.Fields(column)[1]))
		}
		list = append(list, "("+strings.Join(row, ", ")+")")
	}
	return fmt.Sprintf("(VALUES %s) AS %s(%s)", strings.Join(list, ", "), alias, names(columns))
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

// The statements of changes. Each returns the ids of the jobs whose change it has applied.
var (
	createSQL      = creation(false)
	createBatchSQL = creation(true) // with batches that have begun

	// For one change, at the number of its steps minus 1, without and with results.
	aloneSQL       = [2]string{alone(1, 0), alone(2, 0)}
	aloneReportSQL = [2]string{alone(1, withResults), alone(2, withResults)}

	// For a group, by what it writes beside headers, steps and records.
	groupSQL = func() (all [withTurn * 2]string) {
		for with := range all {
			all[with] = group(parts(with))
		}
		return all
	}()
)

// parts are what a statement of changes writes beside headers, steps and records.
type parts uint8

const (
	withResults parts = 1
	withBatches parts = 2
	withTurn    parts = 4 // of one change
)

// alone returns the statement of one change to an existing job, with the given number of steps and
// one record.
func alone(steps int, with parts) string {
	s := &statement{}
	s.update(s.values("h", heads.String(), 1), s.values("n", states.String(), steps), s.values("l", lines.String(), 1), with)
	return s.String()
}

// group returns the statement of changes to existing jobs, sorted by the id of the job.
func group(with parts) string {
	s := &statement{}
	s.update(s.rows("h", heads.String()), s.rows("n", states.String()), s.rows("l", lines.String()), with)
	return s.String()
}

// ofFit selects the rows of the jobs whose change fits. In this form it is a hashed lookup and not
// a join, which would compare each row with each job.
const ofFit = `(%s.job IN (SELECT id FROM fit)) IS TRUE`

// update writes the statement of changes from tables of headers h, step states n and records l.
// Under READ COMMITTED the server rereads a row after a concurrent transaction has changed it; its
// version then does not fit. With the plan of [newGroup] the rows are locked in the order of h, by
// id: no two processes deadlock.
func (s *statement) update(h, n, l string, with parts) {
	holds, moved := "", ""
	if with&withTurn != 0 {
		holds, moved = s.turn()
	}
	fmt.Fprintf(s, `WITH fit AS (
	UPDATE stepgate_jobs j SET %s
	FROM %s WHERE j.id = h.id AND j.version = h.base%s RETURNING j.id
), moved AS (
	UPDATE stepgate_steps s SET %s
	FROM %s WHERE s.job = n.job AND s.id = n.id AND %s
)`, heads.changes("h"), h, holds, states.changes("n"), n, fmt.Sprintf(ofFit, "n"))
	s.WriteString(moved)
	s.record(l, "stepgate_jobs")
	if with&withResults != 0 {
		s.results()
	}
	if with&withBatches != 0 {
		s.batches()
	}
	s.WriteString("\nSELECT id FROM fit")
}

// record writes the records of the jobs in fit, and their effects. The scope of an effect comes
// from the table jobs, which is fit for new jobs: stepgate_jobs does not have them yet.
func (s *statement) record(l, jobs string) {
	fmt.Fprintf(s, `, line AS MATERIALIZED (
	SELECT l.* FROM %[1]s WHERE %[2]s
), recorded AS (
	INSERT INTO stepgate_records (%[3]s) SELECT %[3]s FROM line
), waiting AS (
	INSERT INTO stepgate_effects (job, seq, at, effect, step, type, attempt, run_full, run_first, run_end, job_to, cause, actor, reason, scope_type, scope_id, not_before)
	SELECT l.job, l.seq, l.at, l.effect, l.about, l.about_type, l.about_attempt, l.about_run, l.about_first, l.about_end, l.ended, l.cause, l.actor, l.reason, j.scope_type, j.scope_id, %[4]s
	FROM line l JOIN %[5]s j ON j.id = l.job WHERE l.effect <> 0
)`, l, fmt.Sprintf(ofFit, "l"), schema.Records.Names(""), s.arg("bigint"), jobs)
}

// results writes the results of the jobs in fit, and adds to the sets of targets that succeeded
// and finished.
func (s *statement) results() {
	fmt.Fprintf(s, `, outcome AS (
	INSERT INTO stepgate_results (%[1]s)
	SELECT o.* FROM %[2]s WHERE %[3]s
	ON CONFLICT (job, step, idx, attempt) DO UPDATE SET %[7]s
), sets AS (
	INSERT INTO stepgate_target_sets AS old (%[4]s)
	SELECT n.* FROM %[5]s WHERE %[6]s
	ON CONFLICT (job, step, block) DO UPDATE SET era = excluded.era, attempt = excluded.attempt,
		succeeded = CASE WHEN old.era = excluded.era THEN old.succeeded | excluded.succeeded ELSE excluded.succeeded END,
		finished = CASE WHEN old.attempt = excluded.attempt THEN old.finished | excluded.finished ELSE excluded.finished END
)`, outcomes.names(), s.rows("o", outcomes.String()), fmt.Sprintf(ofFit, "o"),
		sets.names(), s.rows("n", sets.String()), fmt.Sprintf(ofFit, "n"), outcomes.changes("excluded"))
}

// batches writes the batches of the jobs in fit.
func (s *statement) batches() {
	fmt.Fprintf(s, `, batch AS (
	INSERT INTO stepgate_batches (%s) SELECT b.* FROM %s WHERE %s
	ON CONFLICT (job, step, number) DO UPDATE SET %s
)`, batches.names(), s.rows("b", batches.String()), fmt.Sprintf(ofFit, "b"), batches.changes("excluded"))
}

// creation returns the statement that creates jobs. It fails if an id or a request is in use.
func creation(withBatches bool) string {
	s := &statement{}
	fmt.Fprintf(s, `WITH fit AS (
	INSERT INTO stepgate_jobs (%[1]s) SELECT * FROM %[2]s RETURNING id, scope_type, scope_id
), created AS (
	INSERT INTO stepgate_creations (%[3]s) SELECT * FROM %[4]s
), step AS (
	INSERT INTO stepgate_steps (%[5]s) SELECT * FROM %[6]s
), named AS (
	INSERT INTO stepgate_target_names (%[7]s) SELECT * FROM %[8]s
)`, newJobs.names(), s.rows("j", newJobs.String()), names(creations), s.rows("c", creations),
		newSteps.names(), s.rows("s", newSteps.String()), newNames.names(), s.rows("n", newNames.String()))
	s.record(s.rows("l", lines.String()), "fit")
	if withBatches {
		s.batches()
	}
	s.WriteString("\nSELECT id FROM fit")
	return s.String()
}
