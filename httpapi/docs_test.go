package httpapi_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/httpapi"
)

// docs/http.md has a row for each route and for no other, and each reason of a problem with its status.
func TestDocsListRoutesAndReasons(t *testing.T) {
	page, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	var routes, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `((GET|POST) /v1/\\S+)` \\|").FindAllSubmatch(page, -1) {
		routes = append(routes, string(m[1]))
	}
	for _, r := range httpapi.Routes() {
		want = append(want, r.Method+" "+r.Path)
	}
	slices.Sort(routes)
	slices.Sort(want)
	if !slices.Equal(routes, want) {
		t.Errorf("docs/http.md has the routes\n%q\nand the API has\n%q", routes, want)
	}

	reasons := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([45]\d\d) \| (.*) \|.*\|$`).FindAllSubmatch(page, -1) {
		for _, m := range regexp.MustCompile("`([a-z_]{4,})`").FindAllSubmatch(row[2], -1) {
			if reason := string(m[1]); slices.Contains(httpapi.Reasons(), reason) {
				reasons[reason] = true
				if status := fmt.Sprint(httpapi.StatusOf(reason)); status != string(row[1]) {
					t.Errorf("docs/http.md gives %s the status %s, and it has %s", reason, row[1], status)
				}
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(reasons)), slices.Sorted(slices.Values(httpapi.Reasons())); !slices.Equal(got, want) {
		t.Errorf("docs/http.md has the reasons\n%q\nand the API has\n%q", got, want)
	}
}
