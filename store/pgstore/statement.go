package pgstore

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stepgate/stepgate/internal/schema"
)

// What a statement writes is passed as tables: as arrays for a group of changes, as rows of
// scalars for one change alone, which costs the server less.

// newGroup returns a batch for statements on groups, which begins with those of begin. A batch is
// sent at once and is one transaction, for which it first tells the server to plan each statement
// once: left alone it would plan for each group anew, which costs more than the statement itself.
// That plan shall look up by index, however small a table is when it is made.
func newGroup(begin ...string) *pgx.Batch {
	b := &pgx.Batch{}
	for _, sql := range begin {
		b.Queue(sql)
	}
	b.Queue(`SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`)
	return b
}

// statement is the text of a statement as it is put together.
type statement struct {
	strings.Builder
	args int // parameters so far
}

// rows returns a table of the next parameters, which [layout.arrays] gives. All numbers are in
// one array, row by row: an array to unnest for each column would cost the server more than
// all that is done with a small group. Only what has no fixed length is unnested.
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

// fromBigint returns how a bigint is cast to a type of numbers.
func fromBigint(typ string) string {
	if typ == "bool" {
		return "int::bool" // there is no cast at once
	}
	return typ
}

// values returns a table of so many rows of the next parameters.
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
	createSQL = creation()

	// Of one change, by how many steps it changes, less one, and of one with results.
	aloneSQL       = [2]string{alone(1, false), alone(2, false)}
	aloneReportSQL = [2]string{alone(1, true), alone(2, true)}

	// Of a group.
	groupSQL       = group(false)
	groupReportSQL = group(true)
)

// alone returns the statement of one change to an existing job, of so many steps and with one
// record.
func alone(steps int, withTargets bool) string {
	s := &statement{}
	s.update(s.values("h", heads.String(), 1), s.values("n", states.String(), steps), s.values("l", lines.String(), 1), withTargets)
	return s.String()
}

// group returns the statement of changes to existing jobs, which come by the id of their job.
func group(withTargets bool) string {
	s := &statement{}
	s.update(s.rows("h", heads.String()), s.rows("n", states.String()), s.rows("l", lines.String()), withTargets)
	return s.String()
}

// ofFit holds for rows of the jobs whose change fits. As it stands, it is no join, which would
// compare each row with each job.
const ofFit = `(%s.job IN (SELECT id FROM fit)) IS TRUE`

// update writes the statement of changes, given tables of headers h, of where steps stand n and
// of lines of the history l. Under READ COMMITTED a row that another transaction has changed
// meanwhile is looked at again once that has ended, and its version then does not fit. As
// [newGroup] has it planned, rows are locked in the order of h, by id, so that no two processes
// wait for each other.
func (s *statement) update(h, n, l string, withTargets bool) {
	fmt.Fprintf(s, `WITH fit AS (
	UPDATE stepgate_jobs j SET %s
	FROM %s WHERE j.id = h.id AND j.version = h.base RETURNING j.id
), moved AS (
	UPDATE stepgate_steps s SET %s
	FROM %s WHERE s.job = n.job AND s.id = n.id AND %s
)`, heads.changes("h"), h, states.changes("n"), n, fmt.Sprintf(ofFit, "n"))
	s.record(l, "stepgate_jobs")
	if withTargets {
		s.results()
	}
	s.WriteString("\nSELECT id FROM fit")
}

// record writes lines of fit to the history, and their effects to where they wait. The scopes of
// effects come from a table of jobs: those that come to be are in no other than fit.
func (s *statement) record(l, jobs string) {
	fmt.Fprintf(s, `, line AS MATERIALIZED (
	SELECT l.* FROM %[1]s WHERE %[2]s
), recorded AS (
	INSERT INTO stepgate_records (%[3]s) SELECT %[3]s FROM line
), waiting AS (
	INSERT INTO stepgate_effects (job, seq, at, effect, step, type, attempt, run_full, job_to, cause, actor, reason, scope_type, scope_id, not_before)
	SELECT l.job, l.seq, l.at, l.effect, l.about, l.about_type, l.about_attempt, l.about_run, l.ended, l.cause, l.actor, l.reason, j.scope_type, j.scope_id, %[4]s
	FROM line l JOIN %[5]s j ON j.id = l.job WHERE l.effect <> 0
)`, l, fmt.Sprintf(ofFit, "l"), schema.Records.Names(""), s.arg("bigint"), jobs)
}

// results writes the results of fit, and adds to the sets of who has succeeded and finished.
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

// creation returns the statement of jobs that come to be. An id or a request that is taken
// fails it.
func creation() string {
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
	s.WriteString("\nSELECT id FROM fit")
	return s.String()
}
