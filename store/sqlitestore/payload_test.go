package sqlitestore_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/storebench"
)

// What more does a report cost whose job has large payloads?
func BenchmarkReportsByPayload(b *testing.B) {
	dir := folder(b)
	storebench.ReportsByPayload(b, engine.New(open(b, filepath.Join(dir, "small.db"))), engine.New(open(b, filepath.Join(dir, "large.db"))))
}

// No read and no report looks at payloads but Details, and none comes across them while it looks
// for others: SQLite reads whole rows of a table without row numbers when it compares their keys.
func TestPayloadsStayOut(t *testing.T) {
	db, tr := traced(t)
	s := onto(t, db)
	eng := engine.New(s)
	ctx, scope := t.Context(), store.Scope{Type: "biz", ID: "2"}
	job := startedJob(t, eng, steps(scope, 3, 5))
	results := []engine.TargetResult{{Target: 0, Result: store.Result{Status: step.TargetSucceeded}}}
	for name, call := range map[string]func() error{
		"View":     func() error { return second(s.View(ctx, store.Query{Job: job})) },
		"Steps":    func() error { return second(s.Steps(ctx, scope, job, store.Page[step.ID]{Limit: 9})) },
		"Snapshot": func() error { return second(s.Snapshot(ctx, store.SnapshotQuery{Job: job, Targets: 100})) },
		"Report": func() error {
			return second(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: results}))
		},
		"Details": func() error { return second(s.Details(ctx, store.DetailQuery{Job: job, Step: 1})) },
	} {
		sql, err := tr.of(call)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, want := strings.Contains(strings.Join(sql, " "), "payload"), name == "Details"; got != want || len(sql) == 0 {
			t.Errorf("%s reads a payload: %v, want %v\n%s", name, got, want, strings.Join(sql, "\n"))
		}
	}
	var table string
	if err := db.QueryRowContext(ctx, `SELECT sql FROM sqlite_schema WHERE name = 'stepgate_step_texts'`).Scan(&table); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(table, "WITHOUT ROWID") || !strings.Contains(table, "confirmers") {
		t.Errorf("payloads are kept in\n%s\nwant a table with row numbers", table)
	}
}
