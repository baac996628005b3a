package sqlitestore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stepgate/stepgate/store"
)

// crashed returns a store on a copy of a file and its WAL, as a crash would leave them.
func crashed(t *testing.T, path string) *Store {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "jobs.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(copied+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A full disk fails changes, and loses none: the stored jobs are whole, and failed changes pass once there
// is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("needs a disk of its own, which only root can mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "jobs.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	room := filepath.Join(dir, "room")
	if err := os.WriteFile(room, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var passed []store.JobID
	for id := store.JobID(1); err == nil; id++ {
		if err = s.Commit(t.Context(), large(id)); err == nil {
			passed = append(passed, id)
		}
	}
	t.Logf("after %d jobs: %v", len(passed), err)
	if code(err) == 0 || !errors.Is(err, store.ErrUndone) || len(passed) == 0 || len(passed) > 100 {
		t.Errorf("the disk was full after %d jobs: %v, want some, and an error of SQLite's that nothing was done", len(passed), err)
	}
	whole(t, s, passed...)
	whole(t, crashed(t, path), passed...)
	if err := os.Remove(room); err != nil {
		t.Fatal(err)
	}
	failed := store.JobID(len(passed) + 1)
	if err := s.Commit(t.Context(), large(failed)); err != nil {
		t.Errorf("Commit with room again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	whole(t, s, append(passed, failed)...)
}
