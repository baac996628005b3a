package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func files(t *testing.T, glob string) []string {
	t.Helper()
	paths, err := filepath.Glob(glob)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", glob, paths, err)
	}
	return paths
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t *testing.T, name, text string) *Scenario {
	t.Helper()
	s, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play plays a text in which everything must happen as it says.
func play(t *testing.T, name, text string, c Config) *Result {
	t.Helper()
	result, err := Play(t.Context(), parse(t, name, text), c)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// mismatches plays a text and returns the mismatches.
func mismatches(t *testing.T, text string, c Config) (*Result, []*Mismatch) {
	t.Helper()
	result, err := Play(t.Context(), parse(t, "x.txt", text), c)
	var all []*Mismatch
	for _, err := range split(err) {
		var m *Mismatch
		if !errors.As(err, &m) {
			t.Fatalf("%v is not a Mismatch", err)
		}
		all = append(all, m)
	}
	return result, all
}

// split returns the errors that were joined.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}
