package sqlitestore

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stepgate/stepgate/store"
)

// The WAL grows while a reader needs it, and frees the disk after that.
func TestTheWALShrinksAfterALongReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	id := store.JobID(0)
	grow := func(jobs int) {
		for range jobs {
			id++
			if err := s.Commit(t.Context(), large(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	limit, err := strconv.ParseInt(mostWAL, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := s.readers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.do(beginRead); err != nil {
		t.Fatal(err)
	}
	if _, err := list(reader, scanJob, selectJobs, 0, 0, 1); err != nil { // from now on it needs what is there
		t.Fatal(err)
	}
	for size() < 2*limit && id < 1000 {
		grow(1)
	}
	if grown := size(); grown < 2*limit {
		t.Fatalf("the WAL has %d bytes after %d large jobs, want more beside a reader", grown, id)
	}
	if err := reader.do(rollback); err != nil {
		t.Fatal(err)
	}
	s.readers.put(reader)
	grow(2) // the first is followed by a checkpoint, and the second starts the WAL over
	if left := size(); left > limit {
		t.Errorf("the WAL has %d bytes after the reader has ended, want at most %d", left, limit)
	}
}
