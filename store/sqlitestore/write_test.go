package sqlitestore

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

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
		Records: []store.Record{{Job: id, Seq: 1, Kind: store.Created, JobTo: step.Pending}},
	}
}

// next returns a change of that job at this version.
func next(id store.JobID, version store.Seq) store.Change {
	c := creation(id)
	c.Specs, c.Job.Version = nil, version
	c.Records = []store.Record{{Job: id, Seq: version, Kind: store.Reported, Step: 1, JobFrom: step.Pending, JobTo: step.Pending}}
	return c
}

// Of a group each change has its own answer: one that is refused, and one that fails half
// way, leave nothing behind and keep no neighbour from being applied.
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

// A request changes a job once, even if whoever decided did not look for it.
func TestARequestIsKeptOnce(t *testing.T) {
	ctx, s := t.Context(), fresh(t)
	for id := range store.JobID(2) {
		if err := s.Commit(ctx, creation(id+1)); err != nil {
			t.Fatal(err)
		}
	}
	same := func(id store.JobID, version store.Seq) error {
		c := next(id, version)
		c.Records[0].Request = store.Request{7}
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

// A change that does not fit its job is refused whole, and says what is wrong.
func TestMalformedChange(t *testing.T) {
	ctx, s := t.Context(), fresh(t)
	if err := s.Commit(ctx, creation(1)); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*store.Change){
		"without a record":                         func(c *store.Change) { c.Records = nil },
		"of a step that is not there":              func(c *store.Change) { c.Steps[0].ID = 2 },
		"of a target that is not there":            func(c *store.Change) { c.Targets = []store.Target{{Index: 2}} },
		"of a target before the first":             func(c *store.Change) { c.Targets = []store.Target{{Index: -1}} },
		"of targets of no step":                    func(c *store.Change) { c.Targets, c.Steps = []store.Target{{}}, nil },
		"that creates fewer steps than it defines": func(c *store.Change) { *c = creation(2); c.Steps = nil },
	} {
		c := next(1, 2)
		spoil(&c)
		if err := s.Commit(ctx, c); err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("Commit of a change %s: %v, want an error of its own", name, err)
		}
	}
	jobs, err := s.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 9}})
	if err != nil || len(jobs) != 1 || jobs[0].Version != 1 {
		t.Errorf("the jobs after it: %+v, %v, want the first at version 1", jobs, err)
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

// Whoever waits for another writer does so until its context ends; then nothing is done.
func TestAContextEndsTheWaitForAnotherWriter(t *testing.T) {
	s := fresh(t)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() { answer <- s.Commit(ctx, creation(1)) }()
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
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

// A writer that does not end is an error after the busy timeout, and reads do not mind.
func TestABusyTimeoutEndsTheWaitForAnotherWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	s, err := Open(path, WithBusyTimeout(1e6))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer hold(t, s)()
	if err := s.Commit(t.Context(), creation(1)); err == nil || code(err) == 0 {
		t.Errorf("Commit while another writes: got error %v, want SQLite's", err)
	}
	if _, err := s.View(t.Context(), store.Query{Job: 1}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("View while another writes: got error %v, want not found", err)
	}
	if claimed, err := s.Claim(t.Context(), store.Claim{Effects: []store.Effect{store.RunTargets}, Until: 1, Limit: 1}); err != nil || len(claimed) > 0 {
		t.Errorf("a claim of nothing while another writes: %v, %v, want nothing and no error", claimed, err)
	}
}
