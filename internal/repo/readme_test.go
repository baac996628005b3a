package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/internal/pages"
	"github.com/stepgate/stepgate/store"
)

// maxREADME is the maximum length of README.md in lines.
const maxREADME = 200

// The README is short enough to read in a minute. Details are on the pages of docs.
func TestREADMEIsShort(t *testing.T) {
	if n := strings.Count(file(t, "README.md"), "\n"); n > maxREADME {
		t.Errorf("README.md has %d lines, the maximum is %d", n, maxREADME)
	}
}

// Each link of the documentation to the repository itself leads to a file or folder, and to a
// heading of it if the link names one.
func TestLinks(t *testing.T) {
	found := 0
	for _, p := range read(t) {
		for _, target := range p.Links() {
			found++
			if fault := broken(t, p.Name, target); fault != "" {
				t.Errorf("%s links to %s: %s", p.Name, target, fault)
			}
		}
	}
	if found < 50 {
		t.Errorf("the documentation has %d links, want at least 50", found)
	}
}

// A link to a file or heading that is missing is found.
func TestBrokenLinksAreFound(t *testing.T) {
	p := pages.Page{Name: "docs/rules.md", Text: "# Title\n[a](../README.md) ![b](images/none.png) [c](https://example.com) `[d](none.md)`\n" +
		"```go\nx := y[z](none.md)\n```\n[e](../README.md#limits) [f](../README.md#nothing) [g](#title)\n" +
		"`a\nb` [h](hidden.md) `c` " + pages.Repository + "/blob/main/docs/none.md and [i](" + pages.Repository + "/wiki)\n"}
	var got []string
	for _, target := range p.Links() {
		got = append(got, target+": "+broken(t, p.Name, target))
	}
	want := "../README.md: \nimages/none.png: no such file\n../README.md#limits: \n../README.md#nothing: no such heading\n#title: no such heading\n" +
		"hidden.md: no such file\n/docs/none.md: no such file\n" + pages.Repository + "/wiki: want a link to a file, or a line in notFiles of internal/pages"
	if strings.Join(got, "\n") != want {
		t.Errorf("links\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// broken says what is wrong with a link of a page, "" if it leads somewhere.
func broken(t *testing.T, page, target string) string {
	t.Helper()
	name, anchor, _ := strings.Cut(target, "#")
	switch {
	case strings.HasPrefix(name, pages.Repository):
		return "want a link to a file, or a line in notFiles of internal/pages"
	case strings.HasPrefix(name, "/"): // from the root
	case name == "":
		name = page
	default:
		name = path.Join(path.Dir(page), name)
	}
	info, err := os.Stat(filepath.Join(root, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case err != nil:
		t.Fatal(err)
	case anchor == "" || info.IsDir():
		return ""
	}
	for _, h := range heading.FindAllStringSubmatch(file(t, name), -1) {
		if anchorOf(h[1]) == anchor {
			return ""
		}
	}
	return "no such heading"
}

var noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchorOf returns the anchor of a heading, as GitHub makes it.
func anchorOf(heading string) string {
	return strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
}

// README.md and docs/stores.md say how many methods a store has.
func TestMethodsOfAStore(t *testing.T) {
	n := reflect.TypeFor[store.Store]().NumMethod()
	for page, want := range map[string]string{
		"README.md":      fmt.Sprintf("| your own | %d methods,", n),
		"docs/stores.md": fmt.Sprintf("one interface of %d methods", n),
	} {
		if !strings.Contains(file(t, page), want) {
			t.Errorf("%s does not say %q", page, want)
		}
	}
}
