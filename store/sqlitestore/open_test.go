package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// refused fails t unless err says all of this.
func refused(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	for _, s := range says {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%s: got error %v, want one that says %q", what, err, s)
		}
	}
}

// A path can have any characters, those with a meaning in a DSN included.
func TestOpenTakesAnyPath(t *testing.T) {
	for _, name := range []string{"jobs.db", "a b%20c#d.db", "what?mode=memory", "file:x", "\u4e16&y=z"} {
		path := filepath.Join(t.TempDir(), name)
		if os.WriteFile(path, nil, 0o600) != nil {
			continue // no path of this system
		}
		s, err := sqlitestore.Open(path)
		if err != nil {
			t.Errorf("Open(%q): %v", path, err)
			continue
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("after Open(%q): %v, %v, want the database there", path, info, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// A file that is opened again has all committed changes. Close leaves only that file.
func TestOpenAgain(t *testing.T) {
	path := file(t)
	s := open(t, path)
	job := create(t, engine.New(s))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(path + "?*"); err != nil || len(left) > 0 {
		t.Errorf("beside the file after Close: %v, %v, want nothing", left, err)
	}
	if _, err := engine.New(open(t, path)).Job(t.Context(), job); err != nil {
		t.Errorf("the job after Open again: %v", err)
	}
}

// create creates a job of one script.
func create(t testing.TB, eng *engine.Engine) store.JobID {
	t.Helper()
	return jobkit.Create(t, eng, jobkit.Running(store.Scope{}, 1, 1))
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	junk := file(t)
	if err := os.WriteFile(junk, []byte(strings.Repeat("junk", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlitestore.Open(junk)
	refused(t, "Open of a file of junk", err, junk, "not a database")
	missing := filepath.Join(t.TempDir(), "missing", "jobs.db")
	_, err = sqlitestore.Open(missing)
	refused(t, "Open in a folder that is not there", err, missing, "unable to open")
}

// Without WAL the package cannot keep its promises: it is an error.
func TestNewRefusesWhatCannotBeWAL(t *testing.T) {
	for _, name := range []string{":memory:", "file::memory:?cache=shared", ""} {
		db, err := sql.Open("sqlite", name)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		_, err = sqlitestore.New(t.Context(), db)
		refused(t, "New on "+name, err, "journal_mode", "want wal", "must be a file")
		refused(t, "Migrate on "+name, sqlitestore.Migrate(t.Context(), db), "want wal")
	}
	_, err := sqlitestore.Open(":memory:")
	refused(t, "Open(:memory:)", err, "want wal")
}

// A driver that converts texts to times would change names: it is an error.
func TestNewRefusesTextsReadAsTimes(t *testing.T) {
	db := database(t, file(t), "?_texttotime=1")
	refused(t, "Migrate", sqlitestore.Migrate(t.Context(), db), "_texttotime")
}

// New leaves a connection to the program that opened the database. It is an error if it cannot.
func TestNewLeavesAConnection(t *testing.T) {
	for most := 1; most <= 4; most++ {
		db := database(t, file(t), "")
		db.SetMaxOpenConns(most)
		if err := sqlitestore.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := sqlitestore.New(ctx, db)
		if most < 3 {
			refused(t, "New", err, "at least 3", "SetMaxOpenConns")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		closeWith(t, s)
		create(t, engine.New(s))
		var jobs int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM stepgate_jobs").Scan(&jobs); err != nil || jobs != 1 {
			t.Errorf("own query beside a store, of at most %d connections: %d jobs, %v, want 1", most, jobs, err)
		}
	}
}

// The settings of the store are on its own connections and on no other.
func TestSettingsStayWithTheStore(t *testing.T) {
	db := database(t, file(t), "?_pragma=synchronous(1)")
	db.SetMaxOpenConns(6)
	if err := onto(t, db).Close(); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for pragma, want := range map[string]string{"synchronous": "1", "foreign_keys": "0", "busy_timeout": "0"} {
			var got string
			if err := c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s of a connection after Close: %s, %v, want %s", pragma, got, err, want)
			}
		}
	}
}

func TestNewRefusesAReadOnlyFile(t *testing.T) {
	path := file(t)
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db := database(t, path, "?mode=ro")
	_, err := sqlitestore.New(t.Context(), db)
	refused(t, "New", err, "cannot be written to", "readonly")
	refused(t, "MigrateTo(0)", sqlitestore.MigrateTo(t.Context(), db, 0), "migrate to version 0", "readonly")
	open(t, path) // nothing has happened to it
}

// Every call of a closed store says that it is closed.
func TestClosed(t *testing.T) {
	db := database(t, file(t), "")
	s := onto(t, db)
	job := create(t, engine.New(s))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	ctx := t.Context()
	for name, call := range calls(s, job) {
		if err := call(ctx); !errors.Is(err, sqlitestore.ErrClosed) {
			t.Errorf("%s of a closed store: got error %v, want %v", name, err, sqlitestore.ErrClosed)
		}
	}
	if _, err := engine.New(onto(t, db)).Job(ctx, job); err != nil {
		t.Errorf("the job in a new store on the database, which is still open: %v", err)
	}
}

// The store finishes its work if the database is closed first, and nothing is lost.
func TestDatabaseClosedFirst(t *testing.T) {
	path := file(t)
	db := database(t, path, "")
	s := onto(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	job := create(t, engine.New(s))
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := engine.New(open(t, path)).Job(t.Context(), job); err != nil {
		t.Errorf("the job that was created after the database was closed: %v", err)
	}
	if _, err := sqlitestore.New(t.Context(), db); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("New on a closed database: got error %v, want one that says so", err)
	}
}

// calls returns a call of each method.
func calls(s store.Store, job store.JobID) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"View": func(ctx context.Context) error { _, err := s.View(ctx, store.Query{Job: job}); return err },
		"Created": func(ctx context.Context) error {
			_, err := s.Created(ctx, store.Scope{}, store.RequestID{1})
			return err
		},
		"Commit": func(ctx context.Context) error {
			return s.Commit(ctx, store.Change{
				Job:     store.Job{ID: job, State: step.Pending, Version: 2, Current: 1, Steps: 1},
				Records: []store.Record{{Job: job, Seq: 2, Cause: step.Results, JobTo: step.Pending}},
			})
		},
		"Jobs": func(ctx context.Context) error {
			_, err := s.Jobs(ctx, store.JobFilter{Page: store.Page[store.JobID]{Limit: 1}})
			return err
		},
		"Steps": func(ctx context.Context) error {
			_, err := s.Steps(ctx, store.Scope{}, job, store.Page[step.ID]{Limit: 1})
			return err
		},
		"Targets": func(ctx context.Context) error {
			_, err := s.Targets(ctx, store.TargetFilter{Job: job, Step: 1, Page: store.Page[int32]{Limit: 1}})
			return err
		},
		"History": func(ctx context.Context) error {
			_, err := s.History(ctx, store.Scope{}, job, store.Page[store.Seq]{Limit: 1})
			return err
		},
		"Effects": func(ctx context.Context) error {
			_, err := s.Effects(ctx, store.Scope{}, job, store.Page[store.Seq]{Limit: 1})
			return err
		},
		"Claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, store.Claim{Effects: []store.Effect{store.RunTargets}, Until: 1, Limit: 1})
			return err
		},
		"Defer":   func(ctx context.Context) error { return s.Defer(ctx, store.Delivery{Job: job, Seq: 1}) },
		"Settle":  func(ctx context.Context) error { return s.Settle(ctx, store.Delivery{Job: job, Seq: 1}) },
		"Overdue": func(ctx context.Context) error { _, err := s.Overdue(ctx, store.Scope{}, 1, 1); return err },
	}
}
