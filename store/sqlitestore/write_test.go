package sqlitestore

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// fresh returns the store of a new file.
func fresh(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// creation returns the change that creates a job of one script.
func creation(id store.JobID) store.Change {
	spec := step.Spec{Type: step.Script, Name: "run", Targets: []string{"a", "b"}}
	return store.Change{
		Job:   store.Job{ID: id, Name: "job", State: step.Pending, Version: 1, Current: 1, Steps: 1},
		Specs: []step.Spec{spec}, Steps: []store.Step{store.NewStep(1, spec)},
		Records: []store.Record{{Job: id, Seq: 1, Cause: step.Created, JobTo: step.Pending}},
	}
}

// next returns a change of that job at this version.
func next(id store.JobID, version store.Seq) store.Change {
	c := creation(id)
	c.Specs, c.Job.Version = nil, version
	c.Records = []store.Record{{Job: id, Seq: version, Cause: step.Results, Step: 1, JobFrom: step.Pending, JobTo: step.Pending}}
	return c
}

// Every connection has the promised settings: a commit is on the disk when it returns, and a deleted
// job's rows are deleted with it.
func TestConnectionsAreSetUp(t *testing.T) {
	s := fresh(t)
	for name, p := range map[string]pool{"the writer": s.writers, "a reader": s.readers} {
		c, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
			var got string
			if err := c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s of %s: got %s and error %v, want %s", pragma, name, got, err, want)
			}
		}
		p.put(c)
	}
}

// Each change of a group has its own answer. A refused change, and one that fails half-way, have no
// effect, and the other changes are applied.
func TestAGroupKeepsItsChangesApart(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		name  string
		spoil func(*store.Change)
		want  func(error) bool
	}{
		{"a conflict", func(c *store.Change) { c.Job.Version, c.Records[0].Seq = 9, 9 },
			func(err error) bool { return errors.Is(err, store.ErrConflict) }},
		{"a step that is not there", func(c *store.Change) { c.Steps[0].ID = 2 },
			func(err error) bool { return err != nil && !errors.Is(err, store.ErrConflict) }},
		{"a record that is there already", func(c *store.Change) { c.Records = append(c.Records, c.Records[0]); c.Job.Version++ },
			func(err error) bool { return err != nil && !refused(err) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fresh(t)
			const jobs, spoilt = 8, 4
			var group []change
			for id := range store.JobID(jobs) {
				if err := s.Commit(ctx, creation(id+1)); err != nil {
					t.Fatal(err)
				}
				x := next(id+1, 2)
				if id+1 == spoilt {
					c.spoil(&x)
				}
				group = append(group, commit{x})
			}
			for i, err := range s.run(ctx, group) {
				id := store.JobID(i + 1)
				v, viewErr := s.View(ctx, store.Query{Job: id})
				if viewErr != nil {
					t.Fatal(viewErr)
				}
				switch {
				case id == spoilt && (!c.want(err) || v.Job.Version != 1):
					t.Errorf("the answer to the one that was spoilt: %v, its job is at version %d, want 1", err, v.Job.Version)
				case id != spoilt && (err != nil || v.Job.Version != 2):
					t.Errorf("the answer to a neighbour: %v, its job is at version %d, want 2", err, v.Job.Version)
				}
			}
		})
	}
}

// A request changes a job once, even if a decision did not look for it.
func TestARequestIsKeptOnce(t *testing.T) {
	ctx, s := t.Context(), fresh(t)
	for id := range store.JobID(2) {
		if err := s.Commit(ctx, creation(id+1)); err != nil {
			t.Fatal(err)
		}
	}
	same := func(id store.JobID, version store.Seq) error {
		c := next(id, version)
		c.Records[0].Request = store.RequestID{7}
		return s.Commit(ctx, c)
	}
	if err := same(1, 2); err != nil {
		t.Fatal(err)
	}
	if err := same(1, 3); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Commit of a request that the job has a record of: got error %v, want a conflict", err)
	}
	if v, err := s.View(ctx, store.Query{Job: 1}); err != nil || v.Job.Version != 2 {
		t.Errorf("the job after it: version %d, %v, want 2", v.Job.Version, err)
	}
	if err := same(2, 2); err != nil {
		t.Errorf("Commit of the request to another job: %v", err)
	}
}

// hold takes the lock of those who write, as another process would, until t or the returned
// function ends it.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	w, err := s.readers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.exec(beginWrite); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := w.do(rollback); err != nil {
			t.Error(err)
		}
		s.readers.put(w)
	}
}

// impatient is a context that ends when it is waited for often enough.
type impatient struct {
	context.Context
	cancel context.CancelFunc
	waits  atomic.Int32 // left
}

func (c *impatient) Done() <-chan struct{} {
	if c.waits.Add(-1) == 0 {
		c.cancel()
	}
	return c.Context.Done()
}

// A call waits for another writer until its context ends. Then it fails without effect.
func TestAContextEndsTheWaitForAnotherWriter(t *testing.T) {
	s := fresh(t)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := &impatient{Context: ctx, cancel: cancel}
	waiting.waits.Store(5)
	if err := s.Commit(waiting, creation(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit while another writes, and its context ends: got error %v, want %v", err, context.Canceled)
	}
	release()
	if _, err := s.View(t.Context(), store.Query{Job: 1}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the job after it: %v, want it not found", err)
	}
	if err := s.Commit(t.Context(), creation(1)); err != nil {
		t.Errorf("Commit when the other has ended: %v", err)
	}
}

// claimedAsk returns a store with a job whose effect was claimed until 10.
func claimedAsk(t *testing.T, opts ...Option) (*Store, store.Delivery) {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "jobs.db"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := creation(1)
	c.Records[0].Effect = store.RunTargets
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), claimAt(0))
	if err != nil || len(claimed) != 1 {
		t.Fatalf("Claim: got %v and error %v, want one effect", claimed, err)
	}
	return s, claimed[0]
}

// claimAt claims all that is due at a time, until 10 after it.
func claimAt(now step.Time) store.Claim {
	return store.Claim{Effects: []store.Effect{store.RunTargets}, Now: now, Until: now + 10, Limit: 1, Token: store.Token{1}}
}

// undoneAll fails t unless each writing call fails with SQLite's error want, says that it had no effect,
// and had none.
func undoneAll(t *testing.T, s *Store, d store.Delivery, want int) {
	t.Helper()
	page := store.Page[store.Seq]{Limit: 9}
	before, err := s.Effects(t.Context(), store.Scope{}, 1, page)
	if err != nil {
		t.Fatal(err)
	}
	_, claim := s.Claim(t.Context(), claimAt(20))
	for call, err := range map[string]error{
		"Commit": s.Commit(t.Context(), next(1, 2)), "Commit of a creation": s.Commit(t.Context(), creation(2)),
		"Claim": claim, "Defer": s.Defer(t.Context(), d), "Settle": s.Settle(t.Context(), d),
	} {
		if code(err)&0xff != want || !errors.Is(err, store.ErrUndone) {
			t.Errorf("%s: got error %v, want SQLite's %d, and that nothing was done", call, err, want)
		}
	}
	after, err := s.Effects(t.Context(), store.Scope{}, 1, page)
	if err != nil || !slices.Equal(after, before) {
		t.Errorf("Effects after it: %+v and error %v, want %+v", after, err, before)
	}
	if v, err := s.View(t.Context(), store.Query{Job: 1}); err != nil || v.Job.Version != 1 {
		t.Errorf("View after it: version %d and error %v, want 1", v.Job.Version, err)
	}
}

// Behind a writer that does not end, writes fail after the busy timeout, without effect. Reads pass.
func TestABusyTimeoutEndsTheWaitForAnotherWriter(t *testing.T) {
	s, d := claimedAsk(t, WithBusyTimeout(1e6))
	defer hold(t, s)()
	undoneAll(t, s, d, sqlite3.SQLITE_BUSY)
	if claimed, err := s.Claim(t.Context(), claimAt(5)); err != nil || len(claimed) > 0 {
		t.Errorf("a claim of nothing while another writes: %v, %v, want nothing and no error", claimed, err)
	}
}

// A write to a read-only database fails with that reason, without effect.
func TestAReadOnlyDatabaseIsUndone(t *testing.T) {
	s, d := claimedAsk(t)
	w, err := s.writers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.ExecContext(t.Context(), "PRAGMA query_only = ON")
	s.writers.put(w)
	if err != nil {
		t.Fatal(err)
	}
	undoneAll(t, s, d, sqlite3.SQLITE_READONLY)
}

// counted counts the commits that reach a store.
type counted struct {
	*Store
	commits int
}

func (c *counted) Commit(ctx context.Context, change store.Change) error {
	c.commits++
	return c.Store.Commit(ctx, change)
}

// The engine waits out a busy timeout once, and does not call the outcome unknown.
func TestABusyTimeoutIsWaitedForOnce(t *testing.T) {
	s := &counted{Store: fresh(t)}
	eng := engine.New(s)
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a"}}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.writers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.patience = 1
	s.writers.put(w)
	release := hold(t, s.Store)
	s.commits = 0
	_, err = eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
	if !errors.Is(err, store.ErrUndone) || errors.Is(err, engine.ErrUnknownOutcome) || s.commits != 1 {
		t.Errorf("StartJob while another writes: got error %v after %d commits, want that nothing was done, after one", err, s.commits)
	}
	release()
	if _, err = eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Errorf("StartJob when the other has ended: %v", err)
	}
}
