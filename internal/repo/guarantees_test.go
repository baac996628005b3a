package repo

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each guarantee of the README stands in the table of docs/testing.md, with a test that exists and a planted
// fault that this test is to catch. test/faults plays the faults.
func TestGuaranteesAreTested(t *testing.T) {
	if faults := untested(t, file(t, "README.md"), file(t, "docs/testing.md")); len(faults) > 0 {
		t.Error(strings.Join(faults, "\n"))
	}
}

// A guarantee without a row, a test or a fault is found.
func TestUntestedGuaranteesAreFound(t *testing.T) {
	const row = "| 1 | x | `TestUnknownOutcome` in `engine` | `doubt-does-not-look` |\n"
	readme := "## Guarantees\n\n1. One.\n   More.\n2. Two.\n\n## Limits\n\n1. None.\n"
	for rows, want := range map[string]string{
		row + strings.Replace(row, "1", "2", 1): "",
		row:                                     "guarantee 2 has no row",
		row + strings.Replace(row, "1", "3", 1): "guarantee 3 is none of the README, guarantee 2 has no row",
		row + "| 2 | x | `TestUnknown` in `engine` | `doubt-does-not-look` |\n":        "engine has no TestUnknown",
		row + "| 2 | x | `TestUnknownOutcome` in `engine` | `doubt` |\n":               "there is no planted fault doubt",
		row + "| 2 | x | `TestUnknownOutcome` in `engine` | `replay-skips-a-record` |": "replay-skips-a-record is not for TestUnknownOutcome in engine",
	} {
		if got := strings.Join(untested(t, readme, "## Guarantees\n\n"+rows+"\n## Figures\n| 4 | x | y | z |\n"), ", "); got != want {
			t.Errorf("the table\n%s\ngot %q, want %q", rows, got, want)
		}
	}
}

var (
	guarantee    = regexp.MustCompile(`(?m)^(\d+)\. `)
	guaranteeRow = regexp.MustCompile("(?m)^\\| (\\d+) \\|.*\\| `(\\w+)` in `([\\w/]+)` \\| `([\\w-]+)` \\|$")
)

// untested says what is wrong with the table of guarantees.
func untested(t *testing.T, readme, testing string) (faults []string) {
	t.Helper()
	planted := ""
	files, err := filepath.Glob(filepath.Join(root, "test/faults/testdata/*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		planted += file(t, name)
	}
	var given, held []string
	for _, m := range guarantee.FindAllStringSubmatch(section(readme, "Guarantees"), -1) {
		given = append(given, m[1])
	}
	for _, m := range guaranteeRow.FindAllStringSubmatch(section(testing, "Guarantees"), -1) {
		number, test, folder, fault := m[1], m[2], m[3], m[4]
		held = append(held, number)
		_, entry, found := strings.Cut(planted, "\n== "+fault+"\n")
		entry, _, _ = strings.Cut(entry, "\n== ")
		switch {
		case !slices.Contains(given, number):
			faults = append(faults, fmt.Sprintf("guarantee %s is none of the README", number))
		case !slices.Contains(functionsIn(t, filepath.Join(root, folder)), test):
			faults = append(faults, fmt.Sprintf("%s has no %s", folder, test))
		case !found:
			faults = append(faults, "there is no planted fault "+fault)
		case !regexp.MustCompile(`(?m)^catch: \./` + folder + ` -run '?` + test + `\b`).MatchString(entry):
			faults = append(faults, fmt.Sprintf("%s is not for %s in %s", fault, test, folder))
		}
	}
	for _, number := range given {
		if !slices.Contains(held, number) {
			faults = append(faults, fmt.Sprintf("guarantee %s has no row", number))
		}
	}
	if len(given) == 0 {
		faults = append(faults, "the README gives no guarantee")
	}
	return faults
}

// section returns the text below a heading of the second level.
func section(page, heading string) string {
	_, text, _ := strings.Cut("\n"+page, "\n## "+heading+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}
