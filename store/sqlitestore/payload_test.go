package sqlitestore_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/store/internal/sqltest"
)

// What more does a report cost whose job has large payloads?
func BenchmarkReportsByPayload(b *testing.B) {
	dir := folder(b)
	sqltest.ReportsByPayload(b, engine.New(open(b, filepath.Join(dir, "small.db"))), engine.New(open(b, filepath.Join(dir, "large.db"))))
}

// No read and no report looks at payloads but Details, and none comes across them while it looks
// for others: SQLite reads whole rows of a table without row numbers when it compares their keys.
func TestPayloadsStayOut(t *testing.T) {
	db, tr := traced(t)
	sqltest.PayloadStatements(t, onto(t, db), tr.of)
	var table string
	if err := db.QueryRowContext(t.Context(), `SELECT sql FROM sqlite_schema WHERE name = 'stepgate_step_texts'`).Scan(&table); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(table, "WITHOUT ROWID") || !strings.Contains(table, "confirmers") {
		t.Errorf("payloads are kept in\n%s\nwant a table with row numbers", table)
	}
}
