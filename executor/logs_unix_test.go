//go:build unix

package executor_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Other users can read neither a log nor the names of logs.
func TestFileLogsAreTheOwnersAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // which would help
	dir := filepath.Join(t.TempDir(), "logs")
	write(t, newFileLogs(t, dir), aLog, "0123456789ab")
	seen := 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, want %o", path, info.Mode().Perm(), want)
		}
		seen++
		return err
	}); err != nil || seen != 5 {
		t.Errorf("%d files and folders were written, %v; want 5", seen, err)
	}
}

// Logs follows no symbolic link out of its folder.
func TestFileLogsStayInTheirFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	logs := newFileLogs(t, dir)
	if err := os.WriteFile(filepath.Join(outside, "7.out"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "5"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "5", "1.2")); err != nil {
		t.Fatal(err)
	}
	if err := logs.Append(t.Context(), aLog, []byte("one")); err == nil {
		t.Error("Append wrote outside of the folder")
	}
	if e, err := logs.Read(t.Context(), aLog, 0, 100); err == nil {
		t.Errorf("Read = %q from outside of the folder", e.Data)
	}
	if text, _ := os.ReadFile(filepath.Join(outside, "7.out")); string(text) != "secret" {
		t.Errorf("the file outside holds %q", text)
	}
}
