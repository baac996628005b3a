package enginetest

import (
	"os"
	"testing"

	"pgregory.net/rapid"
)

// openTB is the testing.TB with which a sequence opens its store, and ends with the sequence. It
// refuses Setenv and Chdir, which change the whole process.
type openTB struct {
	*rapid.T
	otherwise
}

// otherwise makes a testing.TB of an openTB, which has all its other methods itself.
type otherwise struct{ testing.TB }

var _ testing.TB = openTB{}

func (t openTB) Helper()      { t.T.Helper() }
func (t openTB) Name() string { return t.T.Name() }

func (t openTB) Skipped() bool { return false } // who skips a sequence leaves it

func (t openTB) Attr(key, value string) { t.Logf("%s: %s", key, value) }

func (t openTB) Setenv(key, _ string) { t.refuse("Setenv(" + key + ")") }
func (t openTB) Chdir(dir string)     { t.refuse("Chdir(" + dir + ")") }

func (t openTB) ArtifactDir() string {
	t.refuse("ArtifactDir()")
	return ""
}

func (t openTB) refuse(call string) {
	t.Helper()
	t.Fatalf("Open: t.%s is for a whole test, and this t is one sequence of many: call it on the test, before enginetest", call)
}

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
