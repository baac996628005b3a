package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Test plays each file that glob matches as a subtest of t, named for the file. It returns the
// results of all files that could be read, those of failed plays included. The test fails if no
// file matches. With c.Update it writes the actual outcomes into the files; then the test fails
// only for faults that this does not repair. If the golden file would not parse, the file stays
// as it is.
//
// The caller defines a flag for Update:
//
//	var update = flag.Bool("update", false, "write the actual outcomes into the scenarios")
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
			result, err := playFile(t.Context(), path, c)
			if result != nil {
				results = append(results, result)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	return results
}

// playFile plays a file, and with c.Update writes the actual outcomes into it and plays it again.
// The result is nil if the file could not be read.
func playFile(ctx context.Context, path string, c Config) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	result, err := Play(ctx, s, c)
	if !c.Update || result.Golden == string(data) {
		return result, err
	}
	again, unreadable := Parse(path, []byte(result.Golden))
	if unreadable != nil {
		return result, errors.Join(err, fmt.Errorf("%s is unchanged, as its golden text does not parse:\n%w", path, unreadable))
	}
	if err := os.WriteFile(path, []byte(result.Golden), 0o644); err != nil {
		return result, err
	}
	return Play(ctx, again, c)
}
