package sqlitestore

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// No statement looks at rows that it does not want: each finds its first by an index and
// stops at its limit, so that its cost does not grow with steps, targets, history or jobs.
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
		selectOverdue:      "SEARCH s USING INDEX stepgate_steps_deadline (deadline<?)",
		selectJobs:         "SEARCH stepgate_jobs USING INTEGER PRIMARY KEY (rowid>?)",
		selectJobsInStates: "SEARCH stepgate_jobs USING INDEX stepgate_jobs_state (state=? AND rowid>?)",
		selectJobsOfScope:  "SEARCH stepgate_jobs USING INDEX stepgate_jobs_scope (scope_type=? AND scope_id=? AND state=? AND rowid>?)",

		selectNewestJobs:         "SEARCH stepgate_jobs USING INTEGER PRIMARY KEY (rowid<?)",
		selectNewestJobsInStates: "SEARCH stepgate_jobs USING INDEX stepgate_jobs_state (state=? AND rowid<?)",
		selectNewestJobsOfScope:  "SEARCH stepgate_jobs USING INDEX stepgate_jobs_scope (scope_type=? AND scope_id=? AND state=? AND rowid<?)",

		selectAllSteps:   "SEARCH s USING PRIMARY KEY (job=?)",
		selectAllNames:   "SEARCH stepgate_target_names USING PRIMARY KEY (job=?)",
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
	s, err := Open(filepath.Join(t.TempDir(), "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.readers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.readers.put(r)
	for q, text := range queries {
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
			plans[q] = append(plans[q], line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return plans
}
