package scenario

import (
	"os"
	"path/filepath"
	"testing"
)

// Test plays each file that glob matches as a subtest of t, named for the file, and returns
// the results of those that could be read. No file is a failure. With c.Update it writes what
// came into the files; then only that fails which this could not repair.
//
// The flag that asks for it is the caller's:
//
//	var update = flag.Bool("update", false, "write what comes into the scenarios")
//
//	func TestScenarios(t *testing.T) {
//		scenario.Test(t, "testdata/*.txt", scenario.Config{Update: *update})
//	}
func Test(t *testing.T, glob string, c Config) []*Result {
	t.Helper()
	paths, err := filepath.Glob(glob)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v: no scenario", glob, err)
	}
	var results []*Result
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(path, data)
			if err != nil {
				t.Fatal(err)
			}
			result, err := Play(t.Context(), s, c)
			if c.Update && result.Golden != string(data) {
				if err := os.WriteFile(path, []byte(result.Golden), 0o644); err != nil {
					t.Fatal(err)
				}
				if s, err = Parse(path, []byte(result.Golden)); err != nil {
					t.Fatal(err)
				}
				result, err = Play(t.Context(), s, c)
			}
			results = append(results, result)
			if err != nil {
				t.Error(err)
			}
		})
	}
	return results
}
