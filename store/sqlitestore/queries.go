package sqlitestore

import (
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/internal/schema"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// query identifies a statement. Each connection prepares a statement once, at its first use.
type query uint8

const (
	beginRead query = iota
	beginWrite
	commitTransaction
	rollback

	insertJob
	updateJob
	updateJobSteady // without the state: SQLite then writes no index
	insertStep
	insertTexts
	updateStep
	insertNames
	putResult
	selectSet
	putSet
	putBatch
	insertRecord
	selectTurn
	deleteTurn
	takeTurn
	waitForTurn
	setTurnDue
	insertEffect

	leaseEffect
	deferEffect
	settleEffect

	selectJob
	findJob
	selectSteps
	selectAllSteps
	selectPayload
	selectAllNames
	selectAllResults
	selectBatches
	selectAllBatches
	selectStanding
	selectTargets
	selectNamedTargets
	selectAttempt
	selectSets
	selectHistory
	selectReplay
	selectCreated
	selectEffects
	selectDue
	selectDueOfScope
	selectTypes
	selectTypesOfScope
	selectOverdue
	selectTurnsDue

	selectJobs // the first of schema.Listings, in the order of schema.Listing
	selectJobsInStates
	selectJobsOfScope
	selectNewestJobs
	selectNewestJobsInStates
	selectNewestJobsOfScope
	selectNamedJobs
	selectNamedJobsInStates
	selectNamedJobsOfScope
	selectNewestNamedJobs
	selectNewestNamedJobsInStates
	selectNewestNamedJobsOfScope

	countJobs
	countJobsOfScope
)

var (
	jobColumns    = schema.Jobs.Names("")
	recordColumns = schema.Records.Names("r.")
	setColumns    = schema.TargetSets.Names("")
	batchColumns  = schema.Batches.Names("")

	// The columns of a job that a change without a change of state writes.
	steady = schema.Jobs.At(schema.Changed).Without("state")

	// The columns of a step's row, and those of its texts, which are in a table of their own.
	stepRow   = schema.Steps.Long(false)
	stepTexts = schema.Steps.Long(true)

	// The texts that are read with the row.
	shortTexts = stepTexts.Without("payload")

	selectStep = `SELECT ` + stepRow.Names("s.") + `, ` + shortTexts.Names("t.") + textsOfStep

	changedOfStep = schema.Steps.At(schema.Changed)

	// The columns of a step that tell the class of its targets.
	standing = schema.Steps.Only("total", "attempt", "run_full", "run_first", "run_end", "batch")

	// The result of a target, which may have none.
	result        = schema.Results.Without("idx")
	resultColumns = result.List(orZero("r."))

	selectDeliveries = `SELECT ` + schema.Effects.Names("e.") + ` FROM stepgate_effects e `
)

// queries is all SQL of the package except the migrations. CROSS JOIN makes SQLite read the tables
// in the order of the text; INDEXED BY is where SQLite would choose another index.
var queries = [...]string{
	beginRead:         `BEGIN`,
	beginWrite:        `BEGIN IMMEDIATE`,
	commitTransaction: `COMMIT`,
	rollback:          `ROLLBACK`,

	insertJob:       `INSERT INTO stepgate_jobs (` + jobColumns + `, request) VALUES (` + places(len(schema.Jobs)+1) + `) ON CONFLICT DO NOTHING`,
	updateJob:       `UPDATE stepgate_jobs SET ` + assign(steady, 3) + fmt.Sprintf(`, state = ?%d`, 3+len(steady)) + ` WHERE id = ?1 AND version = ?2`,
	updateJobSteady: `UPDATE stepgate_jobs SET ` + assign(steady, 3) + ` WHERE id = ?1 AND version = ?2`,
	insertStep:      `INSERT INTO stepgate_steps (job, ` + stepRow.Names("") + `) VALUES (` + places(1+len(stepRow)) + `)`,
	insertTexts:     `INSERT INTO stepgate_step_texts (job, step, ` + stepTexts.Names("") + `) VALUES (` + places(2+len(stepTexts)) + `)`,
	updateStep:      `UPDATE stepgate_steps SET ` + assign(changedOfStep, 3) + ` WHERE job = ?1 AND id = ?2`,
	insertNames:     `INSERT INTO stepgate_target_names (job, ` + schema.TargetNames.Names("") + `) VALUES (` + places(1+len(schema.TargetNames)) + `)`,
	putResult: `INSERT INTO stepgate_results (job, step, ` + schema.Results.Names("") + `) VALUES (` + places(2+len(schema.Results)) + `)
		ON CONFLICT DO UPDATE SET ` + replaced(schema.Results),
	selectSet: `SELECT ` + setColumns + ` FROM stepgate_target_sets WHERE job = ? AND step = ? AND block = ?`,
	putSet:    `REPLACE INTO stepgate_target_sets (job, step, ` + setColumns + `) VALUES (` + places(2+len(schema.TargetSets)) + `)`,
	putBatch: `INSERT INTO stepgate_batches (job, ` + batchColumns + `) VALUES (` + places(1+len(schema.Batches)) + `)
		ON CONFLICT DO UPDATE SET ` + replaced(schema.Batches),
	insertRecord: `INSERT INTO stepgate_records (` + schema.Records.Names("") + `) VALUES (` + places(len(schema.Records)) + `)`,
	insertEffect: `INSERT INTO stepgate_effects (` + schema.Effects.Names("") + `) VALUES (` + places(len(schema.Effects)) + `)`,

	selectTurn: `SELECT (SELECT count(*) FROM stepgate_turns WHERE ` + ofKey + ` AND ticket = 0 AND job <> ?4) < ?5
		AND NOT EXISTS (SELECT 1 FROM stepgate_turns WHERE ` + ofKey + ` AND ticket > 0 AND ticket < ifnull(
			(SELECT nullif(ticket, 0) FROM stepgate_turns WHERE ` + ofKey + ` AND job = ?4), 9223372036854775807))`,
	deleteTurn: `DELETE FROM stepgate_turns WHERE ` + ofKey + ` AND job = ?4`,
	takeTurn:   `INSERT INTO stepgate_turns (scope_type, scope_id, key, job, most, ticket) VALUES (?1, ?2, ?3, ?4, ?5, 0)`,
	waitForTurn: `INSERT INTO stepgate_turns (scope_type, scope_id, key, job, most, ticket) VALUES (?1, ?2, ?3, ?4, ?5,
		1 + ifnull((SELECT ticket FROM stepgate_turns WHERE ` + ofKey + ` ORDER BY ticket DESC LIMIT 1), 0))`,
	setTurnDue: `UPDATE stepgate_turns SET due = ?4 WHERE ` + ofKey + ` AND job = (
			SELECT job FROM stepgate_turns WHERE ` + ofKey + ` AND ticket > 0 ORDER BY ticket LIMIT 1)
		AND due = 0 AND (SELECT count(*) FROM stepgate_turns WHERE ` + ofKey + ` AND ticket = 0) < most`,

	leaseEffect:  `UPDATE stepgate_effects SET count = ?3, token = ?4, not_before = ?5, held = TRUE WHERE job = ?1 AND seq = ?2`,
	deferEffect:  `UPDATE stepgate_effects SET not_before = ?5, held = ?6, failures = ?7, delivered = ?8, last_error = ?9 WHERE ` + claimed,
	settleEffect: `DELETE FROM stepgate_effects WHERE ` + claimed,

	selectJob:          `SELECT ` + jobColumns + ` FROM stepgate_jobs j WHERE j.id = ?1 AND ` + inScope,
	findJob:            `SELECT 1 FROM stepgate_jobs j WHERE j.id = ?1 AND ` + inScope,
	selectSteps:        selectStep + `WHERE s.job = ? AND s.id > ? ORDER BY s.id LIMIT ?`,
	selectAllSteps:     selectStep + `WHERE s.job = ? ORDER BY s.id`,
	selectPayload:      `SELECT ifnull(t.payload, ''), s.batch` + textsOfStep + `WHERE s.job = ? AND s.id = ?`,
	selectAllNames:     `SELECT ` + schema.TargetNames.Names(``) + ` FROM stepgate_target_names WHERE job = ?`,
	selectAllResults:   strings.Replace(latestResults, `{columns}`, schema.Results.Names(`r.`), 1),
	selectBatches:      `SELECT ` + batchColumns + ` FROM stepgate_batches WHERE job = ? AND step = ? ORDER BY number`,
	selectAllBatches:   `SELECT ` + batchColumns + ` FROM stepgate_batches WHERE job = ? ORDER BY step, number`,
	selectStanding:     `SELECT ` + standing.Names(``) + ` FROM stepgate_steps WHERE job = ? AND id = ?`,
	selectTargets:      selectListed(`''`, ``),
	selectNamedTargets: selectListed(name("w.value"), names("w.value")),
	selectAttempt: `SELECT r.idx, ` + name("r.idx") + `, ` + resultColumns + ` FROM stepgate_results r INDEXED BY stepgate_results_attempt ` + names("r.idx") + `
		WHERE r.job = ?1 AND r.step = ?2 AND r.attempt = ?3 AND r.idx > ?4 ORDER BY r.idx LIMIT ?5`,
	selectSets: `SELECT ` + setColumns + ` FROM stepgate_target_sets
		WHERE job = ? AND step = ? AND block >= ? AND block <= ? ORDER BY block`,
	selectHistory: `SELECT ` + recordColumns + ` FROM stepgate_records r WHERE r.job = ? AND r.seq > ? ORDER BY r.seq LIMIT ?`,
	selectReplay:  `SELECT ` + recordColumns + ` FROM stepgate_records r WHERE r.job = ? AND r.request = ?`,
	selectCreated: `SELECT ` + recordColumns + ` FROM stepgate_jobs j CROSS JOIN stepgate_records r ON r.job = j.id AND r.seq = 1
		WHERE j.scope_type = ? AND j.scope_id = ? AND j.request = ?`,
	selectEffects:      selectDeliveries + `WHERE e.job = ? AND e.seq > ? ORDER BY e.seq LIMIT ?`,
	selectDue:          due(everyEffect),
	selectDueOfScope:   due(effectsOfScope),
	selectTypes:        types(everyEffect),
	selectTypesOfScope: types(effectsOfScope),
	selectOverdue: `SELECT s.job, s.id, s.attempt, s.due FROM stepgate_steps s CROSS JOIN stepgate_jobs j ON j.id = s.job
		WHERE s.due <> 0 AND s.due <= ?1 AND ` + inScope + ` ORDER BY s.due, s.job, s.id LIMIT ?5`,
	selectTurnsDue: `SELECT t.job, s.id, s.attempt, t.due FROM stepgate_turns t CROSS JOIN stepgate_jobs j ON j.id = t.job
		CROSS JOIN stepgate_steps s ON s.job = j.id AND s.id = j.current
		WHERE t.due <> 0 AND t.due <= ?1 AND ` + inScope + ` ORDER BY t.due LIMIT ?5`,

	selectJobs:         page(everyJob),
	selectJobsInStates: page(inStates(``)),
	selectJobsOfScope:  page(inStates(ofScope)),

	selectNewestJobs:         newest(page(everyJob)),
	selectNewestJobsInStates: newest(page(inStates(``))),
	selectNewestJobsOfScope:  newest(page(inStates(ofScope))),

	selectNamedJobs:         named(everyJob),
	selectNamedJobsInStates: named(inStates(``)),
	selectNamedJobsOfScope:  named(inStates(ofScope)),

	selectNewestNamedJobs:         newest(named(everyJob)),
	selectNewestNamedJobsInStates: newest(named(inStates(``))),
	selectNewestNamedJobsOfScope:  newest(named(inStates(ofScope))),

	countJobs:        counts(``),
	countJobsOfScope: counts(`scope_type = ?2 AND scope_id = ?3 AND `),
}

const (
	// inScope selects the jobs of scope ?3, ?4, or all jobs if ?2 is true.
	inScope = `(?2 OR j.scope_type = ?3 AND j.scope_id = ?4)`

	// ofKey selects the turns of key ?3 in scope ?1, ?2.
	ofKey = `scope_type = ?1 AND scope_id = ?2 AND key = ?3`

	// textsOfStep joins the texts of a step, which few steps have.
	textsOfStep = ` FROM stepgate_steps s LEFT JOIN stepgate_step_texts t ON t.job = s.job AND t.step = s.id `

	// claimed selects an effect by its last claim.
	claimed = `job = ?1 AND seq = ?2 AND count = ?3 AND token IS ?4`

	// latestResults selects the latest result of each target of a job that has one. It reads no
	// earlier result, and no step that has not begun.
	latestResults = `WITH RECURSIVE target (step, idx, total) AS (
			SELECT id, 0, total FROM stepgate_steps WHERE job = ?1 AND attempt > 0 AND total > 0
			UNION ALL SELECT step, idx + 1, total FROM target WHERE idx + 1 < total
		)
		SELECT r.step, {columns}
		FROM target CROSS JOIN stepgate_results r ON r.job = ?1 AND r.step = target.step AND r.idx = target.idx AND r.attempt = (
			SELECT max(l.attempt) FROM stepgate_results l WHERE l.job = ?1 AND l.step = target.step AND l.idx = target.idx)`
)

// assign returns assignments of parameters to columns; first is the number of the first parameter.
func assign[R any](columns schema.Table[R], first int) string {
	n := first - 1
	return columns.List(func(c schema.Column[R]) string {
		n++
		return fmt.Sprintf("%s = ?%d", c.Name, n)
	})
}

// replaced returns the assignments of an upsert.
func replaced[R any](columns schema.Table[R]) string {
	return columns.At(schema.Changed).List(func(c schema.Column[R]) string { return c.Name + ` = excluded.` + c.Name })
}

// orZero returns the expression of a column of a left join: its zero if there is no row.
func orZero(prefix string) func(schema.Column[store.Target]) string {
	return func(c schema.Column[store.Target]) string {
		zero := `0`
		if c.Type == schema.Text {
			zero = `''`
		}
		return `ifnull(` + prefix + c.Name + `, ` + zero + `)`
	}
}

// places returns n placeholders.
func places(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// names joins the block of target names that contains the name of a target; name selects it.
func names(index string) string {
	return `CROSS JOIN stepgate_target_names n ON n.job = ?1 AND n.step = ?2 AND n.block = ` + index + fmt.Sprint(` / `, schema.NamesPerBlock)
}

func name(index string) string {
	return `n.names ->> (` + index + fmt.Sprint(` % `, schema.NamesPerBlock) + `)`
}

// selectListed returns the query for the targets with the indices in ?3, a JSON array, in its
// order.
func selectListed(name, names string) string {
	return `SELECT w.value, ` + name + `, ` + resultColumns + ` FROM json_each(?3) w ` + names + `
		LEFT JOIN stepgate_results r ON r.job = ?1 AND r.step = ?2 AND r.idx = w.value AND r.attempt = (
			SELECT max(l.attempt) FROM stepgate_results l WHERE l.job = ?1 AND l.step = ?2 AND l.idx = w.value)
		ORDER BY w.key`
}

// The queries for jobs have the same parameters: ?1 has a bit for each state, ?2 is the id before
// the page, ?3 the page's limit, ?4 and ?5 are the scope, ?6 is part of the name and ?7 the
// window. everyJob and inStates select all jobs of a listing in the order of an index.
const (
	ofScope = `scope_type = ?4 AND scope_id = ?5 AND `
)

var everyJob = `SELECT ` + jobColumns + ` FROM stepgate_jobs WHERE {after}`

// inStates returns the query for the jobs in the states of ?1. SQLite merges the rows of each
// state, in the order of an index, and reads no more of them than the limit needs.
func inStates(scope string) string {
	return eachState(func(s step.State) string {
		return fmt.Sprintf(`SELECT %s FROM stepgate_jobs WHERE %sstate = %d AND ?1 >> %[3]d & 1 AND {after}`, jobColumns, scope, s)
	})
}

// page returns the query for a page of jobs.
func page(jobs string) string {
	return strings.ReplaceAll(jobs, `{after}`, `id > ?2`) + ` ORDER BY id LIMIT ?3`
}

// named returns the query for a page of the newest ?7 jobs whose name contains ?6. SQLite's lower
// changes ASCII letters only.
func named(jobs string) string {
	window := strings.ReplaceAll(jobs, `{after}`, `id > 0`) + ` ORDER BY id DESC LIMIT ?7`
	return `SELECT * FROM (` + window + `) WHERE instr(lower(name), lower(?6)) AND id > ?2 ORDER BY id LIMIT ?3`
}

// newest returns a query for a page of jobs in descending order.
func newest(query string) string {
	return strings.NewReplacer("id > ?", "id < ?", "ORDER BY id LIMIT ?3", "ORDER BY id DESC LIMIT ?3").Replace(query)
}

// The conditions of a claim: in every scope, and in scope ?1, ?2.
const (
	everyEffect    = `INDEXED BY stepgate_effects_due WHERE `
	effectsOfScope = `INDEXED BY stepgate_effects_scope WHERE e.scope_type = ?1 AND e.scope_id = ?2 AND ` + schema.WithScope + ` AND `
)

// due returns the query for the effects of kind ?3 and step type ?4 that are due at ?5, at most ?6.
func due(where string) string {
	return selectDeliveries + where + `e.effect = ?3 AND e.type = ?4 AND e.not_before <= ?5
		ORDER BY e.not_before, e.at, e.job, e.seq LIMIT ?6`
}

// types returns the query for the step types with effects of kind ?3. It finds one type after the
// other in the index and skips the effects in between.
func types(where string) string {
	next := `(SELECT e.type FROM stepgate_effects e ` + where + `e.effect = ?3 AND e.type > %s ORDER BY e.type LIMIT 1)`
	return `WITH RECURSIVE found (type) AS (
			SELECT ` + fmt.Sprintf(next, `-1`) + ` UNION ALL SELECT ` + fmt.Sprintf(next, `found.type`) + ` FROM found WHERE type IS NOT NULL
		)
		SELECT type FROM found WHERE type IS NOT NULL`
}

// counts returns the query for the number of jobs in each state, at most ?1 each.
func counts(scope string) string {
	return eachState(func(s step.State) string {
		return fmt.Sprintf(`SELECT %d, (SELECT count(*) FROM (SELECT 1 FROM stepgate_jobs WHERE %sstate = %[1]d LIMIT ?1))`, s, scope)
	})
}

// eachState returns the union of a query for each state.
func eachState(arm func(s step.State) string) string {
	var arms []string
	for _, s := range step.AllStates() {
		arms = append(arms, arm(s))
	}
	return strings.Join(arms, " UNION ALL ")
}
