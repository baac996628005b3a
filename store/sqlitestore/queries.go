package sqlitestore

import (
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/step"
)

// query names one of the statements. Every connection prepares those that it uses once.
type query uint8

const (
	beginRead query = iota
	beginWrite
	commitTransaction
	rollback

	insertJob
	updateJob
	updateJobSteady // in its state, so that no index is written
	insertStep
	insertTexts
	updateStep
	insertNames
	putResult
	selectSet
	putSet
	insertRecord
	insertEffect

	leaseEffect
	deferEffect
	settleEffect

	selectJob
	findJob
	selectSteps
	selectAllSteps
	selectAllNames
	selectAllResults
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
	selectOverdue

	selectJobs
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

const (
	jobColumns = `id, scope_type, scope_id, name, state, version, moved, current, steps, skipped, ignored, created, started, finished, updated, sealed`

	jobChanges = `version = ?3, moved = ?4, current = ?5, skipped = ?6, ignored = ?7, started = ?8, finished = ?9, updated = ?10, sealed = ?11`

	recordColumns = `r.job, r.seq, r.at, r.cause, r.request, r.actor, r.reason, r.step, r.entered, r.attempt, r.all_targets,
		r.from_state, r.to_state, r.job_from, r.job_to, r.succeeded, r.unfinished, r.results, r.targets, r.effect`

	resultColumns = `ifnull(r.attempt, 0), ifnull(r.success, 0), ifnull(r.status, 0), ifnull(r.exit_code, 0), ifnull(r.started, 0), ifnull(r.finished, 0), r.detail`

	// Of an effect's delivery: what changes, and what its record and its job say of it.
	selectDeliveries = `SELECT e.not_before, e.count, e.token, e.failures, e.delivered, e.last_error, j.scope_type, j.scope_id,
			e.job, e.seq, e.at, r.step, r.entered, r.attempt, r.all_targets, r.job_to, r.effect
		FROM stepgate_effects e
		CROSS JOIN stepgate_records r ON r.job = e.job AND r.seq = e.seq
		CROSS JOIN stepgate_jobs j ON j.id = e.job `
)

// queries is all the SQL there is beside the migrations. CROSS JOIN has SQLite look the tables
// up in the order in which they stand, and INDEXED BY is there where it would choose badly.
var queries = [...]string{
	beginRead:         `BEGIN`,
	beginWrite:        `BEGIN IMMEDIATE`,
	commitTransaction: `COMMIT`,
	rollback:          `ROLLBACK`,

	insertJob:       `INSERT INTO stepgate_jobs (` + jobColumns + `, request) VALUES (` + places(17) + `) ON CONFLICT DO NOTHING`,
	updateJob:       `UPDATE stepgate_jobs SET ` + jobChanges + `, state = ?12 WHERE id = ?1 AND version = ?2`,
	updateJobSteady: `UPDATE stepgate_jobs SET ` + jobChanges + ` WHERE id = ?1 AND version = ?2`,
	insertStep: `INSERT INTO stepgate_steps (job, id, type, name, ignore_errors, on_timeout, timeout_ns, total,
		state, attempt, full_attempt, succeeded, unfinished, started, finished, deadline) VALUES (` + places(16) + `)`,
	insertTexts: `INSERT INTO stepgate_step_texts (job, step, confirmers, payload) VALUES (` + places(4) + `)`,
	updateStep: `UPDATE stepgate_steps SET state = ?3, attempt = ?4, full_attempt = ?5, succeeded = ?6, unfinished = ?7,
		started = ?8, finished = ?9, deadline = ?10 WHERE job = ?1 AND id = ?2`,
	insertNames: `INSERT INTO stepgate_target_names (job, step, block, names) VALUES (` + places(4) + `)`,
	putResult: `INSERT INTO stepgate_results (job, step, idx, attempt, success, status, exit_code, started, finished, detail) VALUES (` + places(10) + `)
		ON CONFLICT DO UPDATE SET success = excluded.success, status = excluded.status, exit_code = excluded.exit_code,
			started = excluded.started, finished = excluded.finished, detail = excluded.detail`,
	selectSet:    `SELECT block, era, succeeded, attempt, finished FROM stepgate_target_sets WHERE job = ? AND step = ? AND block = ?`,
	putSet:       `REPLACE INTO stepgate_target_sets (job, step, block, era, succeeded, attempt, finished) VALUES (` + places(7) + `)`,
	insertRecord: `INSERT INTO stepgate_records (` + strings.ReplaceAll(recordColumns, "r.", "") + `) VALUES (` + places(20) + `)`,
	insertEffect: `INSERT INTO stepgate_effects (job, seq, at, effect, not_before, count, failures, delivered, last_error) VALUES (` + places(9) + `)`,

	leaseEffect:  `UPDATE stepgate_effects SET count = ?3, token = ?4, not_before = ?5 WHERE job = ?1 AND seq = ?2`,
	deferEffect:  `UPDATE stepgate_effects SET not_before = ?5, failures = ?6, delivered = ?7, last_error = ?8 WHERE ` + claimed,
	settleEffect: `DELETE FROM stepgate_effects WHERE ` + claimed,

	selectJob:          `SELECT ` + jobColumns + ` FROM stepgate_jobs j WHERE j.id = ?1 AND ` + inScope,
	findJob:            `SELECT 1 FROM stepgate_jobs j WHERE j.id = ?1 AND ` + inScope,
	selectSteps:        stepsWith(`t.payload`) + `WHERE s.job = ? AND s.id > ? ORDER BY s.id LIMIT ?`,
	selectAllSteps:     stepsWith(`''`) + `WHERE s.job = ? ORDER BY s.id`,
	selectAllNames:     `SELECT step, block, names FROM stepgate_target_names WHERE job = ?`,
	selectAllResults:   latest,
	selectStanding:     `SELECT total, attempt, full_attempt FROM stepgate_steps WHERE job = ? AND id = ?`,
	selectTargets:      selectListed(`''`, ``),
	selectNamedTargets: selectListed(name("w.value"), names("w.value")),
	selectAttempt: `SELECT r.idx, ` + name("r.idx") + `, ` + resultColumns + ` FROM stepgate_results r INDEXED BY stepgate_results_attempt ` + names("r.idx") + `
		WHERE r.job = ?1 AND r.step = ?2 AND r.attempt = ?3 AND r.idx > ?4 ORDER BY r.idx LIMIT ?5`,
	selectSets: `SELECT block, era, succeeded, attempt, finished FROM stepgate_target_sets
		WHERE job = ? AND step = ? AND block >= ? AND block < ? ORDER BY block`,
	selectHistory: `SELECT ` + recordColumns + ` FROM stepgate_records r WHERE r.job = ? AND r.seq > ? ORDER BY r.seq LIMIT ?`,
	selectReplay:  `SELECT ` + recordColumns + ` FROM stepgate_records r WHERE r.job = ? AND r.request = ?`,
	selectCreated: `SELECT ` + recordColumns + ` FROM stepgate_jobs j CROSS JOIN stepgate_records r ON r.job = j.id AND r.seq = 1
		WHERE j.scope_type = ? AND j.scope_id = ? AND j.request = ?`,
	selectEffects: selectDeliveries + `WHERE e.job = ? AND e.seq > ? ORDER BY e.seq LIMIT ?`,
	selectDue: selectDeliveries + `WHERE e.effect = ?6 AND e.not_before <= ?1 AND ` + inScope + `
		ORDER BY e.not_before, e.at, e.job, e.seq LIMIT ?5`,
	selectOverdue: `SELECT s.job, s.id, s.attempt, s.deadline FROM stepgate_steps s CROSS JOIN stepgate_jobs j ON j.id = s.job
		WHERE s.deadline <> 0 AND s.deadline <= ?1 AND ` + inScope + ` ORDER BY s.deadline, s.job, s.id LIMIT ?5`,

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
	// inScope admits the jobs of a scope, and all of them where ?2 is true.
	inScope = `(?2 OR j.scope_type = ?3 AND j.scope_id = ?4)`

	// claimed finds an effect as it was claimed last.
	claimed = `job = ?1 AND seq = ?2 AND count = ?3 AND token IS ?4`

	// latest looks up the latest result of each target of a job, of those that have one. It
	// reads no earlier result, and no step that has not begun.
	latest = `WITH RECURSIVE target (step, idx, total) AS (
			SELECT id, 0, total FROM stepgate_steps WHERE job = ?1 AND attempt > 0 AND total > 0
			UNION ALL SELECT step, idx + 1, total FROM target WHERE idx + 1 < total
		)
		SELECT r.step, r.idx, r.attempt, r.success, r.status, r.exit_code, r.started, r.finished, r.detail
		FROM target CROSS JOIN stepgate_results r ON r.job = ?1 AND r.step = target.step AND r.idx = target.idx AND r.attempt = (
			SELECT max(l.attempt) FROM stepgate_results l WHERE l.job = ?1 AND l.step = target.step AND l.idx = target.idx)`
)

// stepsWith returns the beginning of the queries for steps, with what they have of the payload.
func stepsWith(payload string) string {
	return `SELECT s.id, s.type, s.name, s.ignore_errors, s.on_timeout, s.timeout_ns, t.confirmers, ` + payload + `, s.total,
			s.state, s.attempt, s.full_attempt, s.succeeded, s.unfinished, s.started, s.finished, s.deadline
		FROM stepgate_steps s LEFT JOIN stepgate_step_texts t ON t.job = s.job AND t.step = s.id `
}

// places returns so many placeholders.
func places(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// names joins the block of names that the target with an index is in, and name is its name.
func names(index string) string {
	return `CROSS JOIN stepgate_target_names n ON n.job = ?1 AND n.step = ?2 AND n.block = ` + index + ` / 256`
}

func name(index string) string { return `n.names ->> (` + index + ` % 256)` }

// selectListed returns the query for the targets whose indices ?3 lists, a JSON array, in its
// order.
func selectListed(name, names string) string {
	return `SELECT w.value, ` + name + `, ` + resultColumns + ` FROM json_each(?3) w ` + names + `
		LEFT JOIN stepgate_results r ON r.job = ?1 AND r.step = ?2 AND r.idx = w.value AND r.attempt = (
			SELECT max(l.attempt) FROM stepgate_results l WHERE l.job = ?1 AND l.step = ?2 AND l.idx = w.value)
		ORDER BY w.key`
}

// The queries for jobs have the same parameters: ?1 has a bit for each state, ?2 is the id that
// the page comes after, ?3 its limit, ?4 and ?5 are the scope, ?6 is part of the name and ?7
// the window. Each of these selects all jobs that a page is of, in the order of an index.
const (
	everyJob = `SELECT ` + jobColumns + ` FROM stepgate_jobs WHERE {after}`
	ofScope  = `scope_type = ?4 AND scope_id = ?5 AND `
)

// inStates returns the query for the jobs in the states that ?1 has. It merges the rows that an
// index has for each state, as far as the limit asks for them.
func inStates(scope string) string {
	return eachState(func(s step.State) string {
		return fmt.Sprintf(`SELECT %s FROM stepgate_jobs WHERE %sstate = %d AND ?1 >> %[3]d & 1 AND {after}`, jobColumns, scope, s)
	})
}

// page returns the query for a page of jobs.
func page(jobs string) string {
	return strings.ReplaceAll(jobs, `{after}`, `id > ?2`) + ` ORDER BY id LIMIT ?3`
}

// named returns the query for a page of those of the newest jobs whose name contains ?6. The
// function lower of SQLite leaves all but ASCII alone.
func named(jobs string) string {
	window := strings.ReplaceAll(jobs, `{after}`, `id > 0`) + ` ORDER BY id DESC LIMIT ?7`
	return `SELECT * FROM (` + window + `) WHERE instr(lower(name), lower(?6)) AND id > ?2 ORDER BY id LIMIT ?3`
}

// newest returns a query for a page of jobs the other way round.
func newest(query string) string {
	return strings.NewReplacer("id > ?", "id < ?", "ORDER BY id LIMIT ?3", "ORDER BY id DESC LIMIT ?3").Replace(query)
}

// counts returns the query for how many jobs are in each state, up to ?1 each.
func counts(scope string) string {
	return eachState(func(s step.State) string {
		return fmt.Sprintf(`SELECT %d, (SELECT count(*) FROM (SELECT 1 FROM stepgate_jobs WHERE %sstate = %[1]d LIMIT ?1))`, s, scope)
	})
}

// eachState returns all rows of the queries of each state.
func eachState(arm func(s step.State) string) string {
	var arms []string
	for _, s := range step.AllStates() {
		arms = append(arms, arm(s))
	}
	return strings.Join(arms, " UNION ALL ")
}
