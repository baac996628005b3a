package sqlitestore

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// No statement reads rows that it does not return: each finds its first row by an index and stops at its
// limit, so that its cost does not grow with steps, targets, history or jobs.
func TestNoQueryScans(t *testing.T) {
	plans := explain(t)
	derived := regexp.MustCompile(`^SCAN (CONSTANT ROW|\(subquery-\d+\)|target|found)$`) // rows that the statement has made
	for q, plan := range plans {
		listed := query(q) == selectTargets || query(q) == selectNamedTargets
		named := query(q) >= selectNamedJobs && query(q) <= selectNewestNamedJobsOfScope
		for _, line := range plan {
			switch {
			case listed && strings.HasPrefix(line, "SCAN w VIRTUAL TABLE"):
				// the list of indices that a caller gives is read whole
			case (listed || named) && line == "USE TEMP B-TREE FOR ORDER BY":
				// and its order kept; so are the names that match put in order
			case strings.Contains(line, "SCAN") && !derived.MatchString(line), strings.Contains(line, "TEMP B-TREE"):
				t.Errorf("%.100s\nis planned as %s", queries[q], line)
			}
		}
	}
	for q, want := range map[query]string{ // those that read a page, and from where to where
		selectSteps:        "SEARCH s USING PRIMARY KEY (job=? AND id>?)",
		selectAttempt:      "SEARCH r USING INDEX stepgate_results_attempt (job=? AND step=? AND attempt=? AND idx>?)",
		selectSets:         "SEARCH stepgate_target_sets USING PRIMARY KEY (job=? AND step=? AND block>? AND block<?)",
		selectHistory:      "SEARCH r USING PRIMARY KEY (job=? AND seq>?)",
		selectEffects:      "SEARCH e USING PRIMARY KEY (job=? AND seq>?)",
		selectDue:          "SEARCH e USING INDEX stepgate_effects_due (effect=? AND type=? AND not_before<?)",
		selectDueOfScope:   "SEARCH e USING INDEX stepgate_effects_scope (scope_type=? AND scope_id=? AND effect=? AND type=? AND not_before<?)",
		selectTypes:        "SEARCH e USING COVERING INDEX stepgate_effects_due (effect=? AND type>?)",
		selectTypesOfScope: "SEARCH e USING COVERING INDEX stepgate_effects_scope (scope_type=? AND scope_id=? AND effect=? AND type>?)",
		selectOverdue:      "SEARCH s USING INDEX stepgate_steps_due (due<?)",
		selectJobs:         "SEARCH stepgate_jobs USING INTEGER PRIMARY KEY (rowid>?)",
		selectJobsInStates: "SEARCH stepgate_jobs USING INDEX stepgate_jobs_state (state=? AND rowid>?)",
		selectJobsOfScope:  "SEARCH stepgate_jobs USING INDEX stepgate_jobs_scope (scope_type=? AND scope_id=? AND state=? AND rowid>?)",

		selectNewestJobs:         "SEARCH stepgate_jobs USING INTEGER PRIMARY KEY (rowid<?)",
		selectNewestJobsInStates: "SEARCH stepgate_jobs USING INDEX stepgate_jobs_state (state=? AND rowid<?)",
		selectNewestJobsOfScope:  "SEARCH stepgate_jobs USING INDEX stepgate_jobs_scope (scope_type=? AND scope_id=? AND state=? AND rowid<?)",

		selectAllSteps:   "SEARCH s USING PRIMARY KEY (job=?)",
		selectAllNames:   "SEARCH stepgate_target_names USING PRIMARY KEY (job=?)",
		selectBatches:    "SEARCH stepgate_batches USING PRIMARY KEY (job=? AND step=?)",
		selectTurn:       "SEARCH stepgate_turns USING COVERING INDEX stepgate_turns_ticket (scope_type=? AND scope_id=? AND key=? AND ticket>? AND ticket<?)",
		waitForTurn:      "SEARCH stepgate_turns USING COVERING INDEX stepgate_turns_ticket (scope_type=? AND scope_id=? AND key=?)",
		setTurnDue:       "SEARCH stepgate_turns USING COVERING INDEX stepgate_turns_ticket (scope_type=? AND scope_id=? AND key=? AND ticket>?)",
		selectTurnsDue:   "SEARCH t USING COVERING INDEX stepgate_turns_due (due<?)",
		selectAllBatches: "SEARCH stepgate_batches USING PRIMARY KEY (job=?)",
		selectAllResults: "SEARCH r USING PRIMARY KEY (job=? AND step=? AND idx=? AND attempt=?)",

		selectNamedJobs:         "SEARCH stepgate_jobs USING INTEGER PRIMARY KEY (rowid>?)",
		selectNamedJobsInStates: "SEARCH stepgate_jobs USING INDEX stepgate_jobs_state (state=? AND rowid>?)",
		selectNamedJobsOfScope:  "SEARCH stepgate_jobs USING INDEX stepgate_jobs_scope (scope_type=? AND scope_id=? AND state=? AND rowid>?)",
		countJobs:               "SEARCH stepgate_jobs USING COVERING INDEX stepgate_jobs_state (state=?)",
		countJobsOfScope:        "SEARCH stepgate_jobs USING COVERING INDEX stepgate_jobs_scope (scope_type=? AND scope_id=? AND state=?)",
	} {
		if !slices.Contains(plans[q], want) {
			t.Errorf("%s\nis planned as %q, want %q in it", queries[q], plans[q], want)
		}
	}
}

// explain returns how SQLite plans each of the queries.
func explain(t *testing.T) (plans [len(queries)][]string) {
	t.Helper()
	s := fresh(t)
	r, err := s.readers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.readers.put(r)
	for q := range queries {
		plans[q] = r.explain(t, query(q))
	}
	return plans
}

// explain returns how SQLite plans a query.
func (r *conn) explain(t *testing.T, q query) (plan []string) {
	t.Helper()
	text := queries[q]
	values := make([]any, strings.Count(text, "?")+6) // no fewer than the greatest number
	rows, err := r.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, values...)
	if err != nil {
		t.Fatalf("explain %s: %v", text, err)
	}
	for rows.Next() {
		var id, parent, unused int
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// gated fills the tables with 100,000 jobs at a gate: half of them have a moment, which is far off, and the
// others wait for a person.
const gated = `
INSERT INTO stepgate_jobs (id, scope_type, scope_id, name, state, version, moved, current, steps, skipped, ignored, created, started, finished, updated, gate)
	WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
	SELECT n, 'biz', n % 50, 'job', 15, 2, 2, 1, 1, 0, 0, 1, 1, 0, 1, 2 - n % 2 FROM n;
INSERT INTO stepgate_steps (job, id, type, name, ignore_errors, on_timeout, timeout_ns, total, state, attempt, run_full, succeeded, unfinished,
	started, finished, deadline, gate, gate_then, gate_until, due)
	SELECT id, 1, 1, 'step', 0, 0, 0, 10, 15, 0, 1, 0, 0, 0, 0, 0, gate, 1, 1000000 * (gate - 1), 1000000 * (gate - 1) FROM stepgate_jobs;
`

// A sweep finds the steps that are due by their moments, beside 100,000 that wait, whatever SQLite knows of
// them, and stops at the first that is not due. A claim reads no table but that of effects, of which they
// have none. The index has an entry for each moment, and none for a step that waits for a person.
func TestStepsThatWaitAreNotRead(t *testing.T) {
	s := fresh(t)
	w, err := s.writers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.writers.put(w)
	for _, sql := range []string{gated, `ANALYZE`} {
		if _, err := w.ExecContext(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		plan := w.explain(t, selectOverdue)
		if want := "SEARCH s USING INDEX stepgate_steps_due (due<?)"; len(plan) == 0 || plan[0] != want {
			t.Errorf("a sweep beside 100,000 gated jobs is planned as %q, want %q first", plan, want)
		}
		for _, q := range []query{selectDue, selectDueOfScope, selectTypes, selectTypesOfScope} {
			if plan := strings.Join(w.explain(t, q), "; "); strings.Contains(plan, " s USING") || strings.Contains(plan, " j USING") || strings.Contains(queries[q], "stepgate_jobs") {
				t.Errorf("a claim reads more than effects: %s", plan)
			}
		}
	}
	var stat string
	if err := w.QueryRowContext(t.Context(), `SELECT stat FROM sqlite_stat1 WHERE idx = 'stepgate_steps_due'`).Scan(&stat); err != nil || !strings.HasPrefix(stat, "50000 ") {
		t.Errorf("the index of moments has %s entries, %v, want one for each of 50,000 moments", stat, err)
	}
}
