package scenario

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Parse does not panic on any input. A scenario that it reads is written as a text that reads the same,
// and plays without a panic. The text of golden mode can be read, and is the same if everything
// happens as the scenario says.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		f.Add(read(f, path))
	}
	for _, m := range malformed {
		f.Add("job release\n  script copy, targets a b\n" + m.text + "\n")
	}
	for _, g := range goldens {
		f.Add("job release\n  script copy, targets a b\n" + g.file)
	}
	for _, w := range wrongs {
		f.Add(release + w.text)
	}
	f.Add(timelineText)
	f.Add(everything)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("x.txt", []byte(text))
		if err != nil {
			for _, err := range split(err) {
				if _, ok := err.(*SyntaxError); !ok {
					t.Errorf("%v is not a SyntaxError", err)
				}
			}
			return
		}
		again, err := Parse("x.txt", []byte(s.String()))
		if err != nil || !reflect.DeepEqual(again.actions, s.actions) || !reflect.DeepEqual(again.comments, s.comments) {
			t.Fatalf("it is written as\n%s\nand read as\n%+v, %v; want\n%+v", s, again, err, s)
		}
		result, err := Play(t.Context(), s, Config{})
		if err == nil && result.Golden != text {
			t.Errorf("golden mode makes of it\n%s", result.Golden)
		}
		if _, err := Parse("x.txt", []byte(result.Golden)); err != nil {
			t.Errorf("golden mode makes of it\n%s\nwhich cannot be read: %v", result.Golden, err)
		}
		if lines := strings.Count(result.Timeline.String(), "\n"); lines != len(result.Timeline) {
			t.Errorf("the timeline has %d entries in %d lines", len(result.Timeline), lines)
		}
	})
}
