package sqlitestore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stepgate/stepgate/store"
)

// large returns a creation that takes more pages than there are left in the tests below.
func large(id store.JobID) store.Change {
	c := creation(id)
	c.Specs[0].Payload = strings.Repeat("x", 256<<10)
	c.Steps[0].Payload = c.Specs[0].Payload
	return c
}

// limit lets the database grow by a number of pages and no further.
func limit(t *testing.T, s *Store, pages int) {
	t.Helper()
	w, err := s.writers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.writers.put(w)
	var now, most int
	if err := w.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&now); err != nil {
		t.Fatal(err)
	}
	if err := w.QueryRowContext(t.Context(), fmt.Sprint("PRAGMA max_page_count = ", now+pages)).Scan(&most); err != nil {
		t.Fatal(err)
	}
}

// A change without room in the database has no effect, fails no other change of its group, and passes
// once there is room.
func TestNoRoomInTheDatabase(t *testing.T) {
	s := fresh(t)
	limit(t, s, 40)
	answers := s.run(t.Context(), []change{commit{creation(1)}, commit{large(2)}, commit{creation(3)}})
	if answers[0] != nil || answers[2] != nil || code(answers[1]) != sqlite3.SQLITE_FULL || !errors.Is(answers[1], store.ErrUndone) {
		t.Errorf("the answers to two small changes and a large one between them: %v, want the large one undone as the database is full", answers)
	}
	err := s.Commit(t.Context(), large(2))
	if code(err) != sqlite3.SQLITE_FULL || !errors.Is(err, store.ErrUndone) || !strings.HasPrefix(err.Error(), "sqlitestore: commit version 1 of job 2: ") {
		t.Errorf("Commit without room: got error %v, want one that says what was attempted and that the database is full", err)
	}
	whole(t, s, 1, 3)
	limit(t, s, 1000)
	if err := s.Commit(t.Context(), large(2)); err != nil {
		t.Errorf("Commit with room again: %v", err)
	}
	whole(t, s, 1, 2, 3)
}

// whole fails t unless the database is sound and holds these jobs, each with all its parts,
// and no part of another.
func whole(t *testing.T, s *Store, jobs ...store.JobID) {
	t.Helper()
	r, err := s.readers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sound, broken string
	err = errors.Join(
		r.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound),
		r.QueryRowContext(t.Context(), "SELECT coalesce(group_concat(\"table\"), 'none') FROM pragma_foreign_key_check").Scan(&broken),
	)
	if err != nil || sound != "ok" || broken != "none" {
		t.Errorf("the database: %v, %s, rows that refer to none in %s; want it sound", err, sound, broken)
	}
	for _, table := range []string{"jobs", "steps", "target_names", "records"} { // one row a job
		var n int
		if err := r.QueryRowContext(t.Context(), "SELECT count(*) FROM stepgate_"+table).Scan(&n); err != nil || n != len(jobs) {
			t.Errorf("%d rows in stepgate_%s, %v, want %d", n, table, err, len(jobs))
		}
	}
	s.readers.put(r)
	for _, id := range jobs {
		if _, err := s.View(t.Context(), store.Query{Job: id}); err != nil {
			t.Errorf("View of job %d: %v", id, err)
		}
	}
}
