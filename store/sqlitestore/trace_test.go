package sqlitestore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
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
func (tr *trace) of(call func() error) ([]string, error) {
	tr.mu.Lock()
	tr.statements = nil
	tr.mu.Unlock()
	err := call()
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

// steps returns the definition of a job in a scope.
func steps(scope store.Scope, n, targets int) engine.JobSpec {
	spec := engine.JobSpec{Name: "job", Scope: scope}
	s := step.Spec{Type: step.Script, Name: "run"}
	for i := range targets {
		s.Targets = append(s.Targets, fmt.Sprint("host-", i))
	}
	for range n {
		spec.Steps = append(spec.Steps, s)
	}
	return spec
}

// startedJob makes a job and starts it.
func startedJob(t testing.TB, eng *engine.Engine, spec engine.JobSpec) store.JobID {
	t.Helper()
	created, err := eng.Create(t.Context(), spec, engine.Request{})
	if err == nil {
		_, err = eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return created.Job
}

// A snapshot is as many statements for a job of 200 steps as for one of 1 step.
func TestASnapshotIsAFixedNumberOfStatements(t *testing.T) {
	db, tr := traced(t)
	s := onto(t, db)
	eng := engine.New(s)
	for _, size := range []struct{ steps, targets int }{{1, 5}, {200, 5}, {1, 1000}} {
		job := startedJob(t, eng, steps(store.Scope{}, size.steps, size.targets))
		for targets, want := range map[int]int{0: 4, 10_000: 6} { // with the two of the transaction
			statements, err := tr.of(func() error {
				_, err := s.Snapshot(t.Context(), store.SnapshotQuery{Job: job, Targets: targets})
				return err
			})
			if err != nil || len(statements) != want {
				t.Errorf("Snapshot of %+v, Targets %d: got error %v and %d statements, want %d:\n%s",
					size, targets, err, len(statements), want, strings.Join(statements, "\n"))
			}
		}
	}
}

// A commit of which the database does not say that it failed whole may have passed, as this
// one has: the store does not say that nothing was done.
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

// A job of another scope is asked for with the statements of one that does not exist, and the
// first of them, which asks for the scope as well, is the last.
func TestAnotherScopeIsTheStatementsOfAnUnusedID(t *testing.T) {
	db, tr := traced(t)
	s := onto(t, db)
	ctx, scope, other := t.Context(), store.Scope{Type: "biz", ID: "2"}, store.Scope{Type: "biz", ID: "3"}
	job := startedJob(t, engine.New(s), steps(scope, 3, 5))
	for name, call := range map[string]func(id store.JobID) error{
		"View": func(id store.JobID) error { return second(s.View(ctx, store.Query{Scope: other, Job: id})) },
		"View with targets and a request": func(id store.JobID) error {
			return second(s.View(ctx, store.Query{Scope: other, Job: id, Targets: []int32{0}, Request: store.RequestID{1}}))
		},
		"Snapshot": func(id store.JobID) error {
			return second(s.Snapshot(ctx, store.SnapshotQuery{Scope: other, Job: id, Targets: 100}))
		},
		"Steps": func(id store.JobID) error { return second(s.Steps(ctx, other, id, store.Page[step.ID]{Limit: 9})) },
		"Targets": func(id store.JobID) error {
			return second(s.Targets(ctx, store.TargetFilter{Scope: other, Job: id, Step: 1, Page: store.Page[int32]{After: -1, Limit: 9}}))
		},
		"History": func(id store.JobID) error {
			return second(s.History(ctx, other, id, store.Page[store.Seq]{Limit: 9}))
		},
		"Details": func(id store.JobID) error {
			return second(s.Details(ctx, store.DetailQuery{Scope: other, Job: id, Step: 1}))
		},
		"Effects": func(id store.JobID) error {
			return second(s.Effects(ctx, other, id, store.Page[store.Seq]{Limit: 9}))
		},
	} {
		got, err := tr.of(func() error { return call(job) })
		want, unused := tr.of(func() error { return call(job + 1) })
		if !errors.Is(err, store.ErrNotFound) || !errors.Is(unused, store.ErrNotFound) {
			t.Errorf("%s: got error %v for a job of another scope and %v for an unused id, want both not found", name, err, unused)
		}
		if !slices.Equal(got, want) || len(got) != 3 || !strings.Contains(got[1], "scope_type = ") {
			t.Errorf("%s of a job of another scope carries out\n%s\nand of an unused id\n%s\nwant the same, with one look-up that asks for the scope",
				name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func second[T any](_ T, err error) error { return err }
