package browser

import (
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/store"
)

// An address without a page says so, and so does the number of no job: the connection is not
// lost, as the server has answered.
func TestAddresses(t *testing.T) {
	t.Parallel()
	p := start(t).as(t, "carol", run(t).url)
	p.allow("404")
	for path, want := range map[string]string{
		"/nosuch": "There is no such page", "/jobs/": "There is no such page", "/jobs/new": "There is no such page",
		"/jobs/1": "There is no such job", fmt.Sprintf("/jobs/%d", store.JobID(1<<53-1)): "There is no such job",
	} {
		p.open(path)
		p.shows(`h1`, want)
		p.until(fmt.Sprintf(`document.querySelector(%s)`, quote(connection("none"))))
		p.accessible(path)
		p.click(`.crumb`)
		p.sees(`[data-page="jobs"] tr[data-job]`)
		p.sees(connected())
	}
}
