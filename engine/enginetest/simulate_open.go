package enginetest

import (
	"os"
	"testing"

	"pgregory.net/rapid"
)

// openTB is what a sequence opens its store with: a testing.TB that ends with the sequence.
// It has no Setenv and no Chdir, which a sequence among others must not use.
type openTB struct {
	*rapid.T
	otherwise
}

// otherwise has the methods of a testing.TB that a rapid.T lacks, and panics in them.
type otherwise struct{ testing.TB }

var _ testing.TB = openTB{}

func (t openTB) Helper()      { t.T.Helper() }
func (t openTB) Name() string { return t.T.Name() }

func (t openTB) TempDir() string {
	dir, err := os.MkdirTemp("", "enginetest")
	if err != nil {
		t.Fatalf("TempDir: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("TempDir: %v", err)
		}
	})
	return dir
}
