package sqlitestore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/internal/sqltest"
)

// A trace is a database whose driver notes every statement that it carries out.
type trace struct {
	driver driver.Driver
	name   string

	mu         sync.Mutex // guards all below
	statements []string
	failing    string // a statement that fails once it was carried out
}

// traced opens a file with a trace.
func traced(t testing.TB) (*sql.DB, *trace) {
	t.Helper()
	plain, err := sql.Open("sqlite", "")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	tr := &trace{driver: plain.Driver(), name: "file:" + file(t)}
	db := sql.OpenDB(tr)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, tr
}

// of returns the statements that a call carries out, and its error.
func (tr *trace) of(t testing.TB, call func(context.Context) error) ([]string, error) {
	tr.mu.Lock()
	tr.statements = nil
	tr.mu.Unlock()
	err := call(t.Context())
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Clone(tr.statements), err
}

// fail has a statement fail once it was carried out, until the next call of fail.
func (tr *trace) fail(statement string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failing = statement
}

func (tr *trace) fails() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.failing
}

func (tr *trace) Connect(context.Context) (driver.Conn, error) {
	c, err := tr.driver.Open(tr.name)
	return tracedConn{c, tr}, err
}

func (tr *trace) Driver() driver.Driver { return tr.driver }

type tracedConn struct {
	driver.Conn
	trace *trace
}

func (c tracedConn) Prepare(query string) (driver.Stmt, error) {
	s, err := c.Conn.Prepare(query)
	return tracedStmt{s, c.trace, query}, err
}

type tracedStmt struct {
	driver.Stmt
	trace *trace
	query string
}

func (s tracedStmt) note() {
	s.trace.mu.Lock()
	defer s.trace.mu.Unlock()
	s.trace.statements = append(s.trace.statements, s.query)
}

func (s tracedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.note()
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	if err == nil && s.query == s.trace.fails() {
		err = errors.New("disk I/O error")
	}
	return result, err
}

func (s tracedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.note()
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// A commit may have passed unless the database says that it failed whole. This one has passed: the store
// does not say that it had no effect.
func TestAFailedFlushIsUnknown(t *testing.T) {
	db, tr := traced(t)
	s := onto(t, db)
	spec := step.Spec{Type: step.Confirmation, Name: "ok"}
	created := store.Change{
		Job: store.Job{ID: 1, State: step.Pending, Version: 1, Current: 1, Steps: 1}, Specs: []step.Spec{spec}, Steps: []store.Step{store.NewStep(1, spec)},
		Records: []store.Record{{Job: 1, Seq: 1, Cause: step.Created, JobTo: step.Pending}},
	}
	tr.fail("COMMIT")
	err := s.Commit(t.Context(), created)
	tr.fail("")
	if err == nil || errors.Is(err, store.ErrUndone) {
		t.Errorf("Commit whose flush fails: got error %v, want one that leaves the outcome unknown", err)
	}
	if found, err := s.Jobs(t.Context(), store.JobFilter{Page: store.Page[store.JobID]{Limit: 9}}); err != nil || len(found) != 1 {
		t.Errorf("Jobs after it: got %+v and error %v, want the one that was committed", found, err)
	}
}

func TestASnapshotIsAFixedNumberOfStatements(t *testing.T) {
	db, tr := traced(t)
	sqltest.SnapshotStatements(t, onto(t, db), tr.of)
}

// The first look-up is the last one.
func TestAnotherScopeIsTheStatementsOfAnUnusedID(t *testing.T) {
	db, tr := traced(t)
	for name, statements := range sqltest.ScopeStatements(t, onto(t, db), tr.of) {
		if len(statements) != 3 {
			t.Errorf("%s of a job of another scope carries out\n%s\nwant one look-up in a transaction", name, strings.Join(statements, "\n"))
		}
	}
}
