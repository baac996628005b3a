package scenario_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stepgate/stepgate/scenario"
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

func parse(t *testing.T, name, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play plays a text of which everything must come as it says.
func play(t *testing.T, name, text string, c scenario.Config) *scenario.Result {
	t.Helper()
	result, err := scenario.Play(t.Context(), parse(t, name, text), c)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// mismatches plays a text and returns the mismatches.
func mismatches(t *testing.T, text string, c scenario.Config) (*scenario.Result, []*scenario.Mismatch) {
	t.Helper()
	result, err := scenario.Play(t.Context(), parse(t, "x.txt", text), c)
	var all []*scenario.Mismatch
	for _, err := range split(err) {
		var m *scenario.Mismatch
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
