package browser

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Among a thousand newer jobs, the oldest one, which has failed, is counted, and found by its
// state, by a part of its name and by its id.
func TestThousandJobs(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	operator := c.client(t, "alice")
	oldest := operator.job(release)
	operator.until(oldest.ID, comesTo(2, step.Failed))
	for i := range 1000 {
		operator.must("POST", "/v1/jobs", map[string]any{
			"name": fmt.Sprintf("nightly %d", i), "steps": []spec{{Type: step.Confirmation, Name: "approve"}},
		}, nil)
	}
	const rows = `document.querySelectorAll("tr[data-job]")`
	alone := func(p *page, job store.JobID) {
		t.Helper()
		p.until(fmt.Sprintf(`%s.length === 1 && document.querySelector(%s)?.checkVisibility()`, rows, quote(row(job))))
	}
	p := b.as(t, "carol", c.url)
	p.list()
	p.until(rows + `.length === 100`)
	p.until(counts(map[string]int{"failed": 1, "pending": 1000, "all": 1001}))
	p.shows(chip("pending"), "1,000+")
	p.shows(chip("all"), "1,001+")
	p.shows(chip("failed"), "1")
	p.shows(`[data-total]`, "100 jobs, and older ones")

	p.click(chip("failed"))
	alone(p, oldest.ID)
	p.click(chip("all"))
	p.click(`#filter`)
	p.press("LEASE 1")
	alone(p, oldest.ID)
	p.click(chip("pending"))
	p.shows(`[data-page="jobs"] .empty`, "No pending job has this id, or this text in its name.")
	p.click(chip("pending"))
	alone(p, oldest.ID)

	p.click(`#filter`)
	p.do("empty", evaluate(`document.querySelector("#filter").select()`))
	p.press(fmt.Sprint(oldest.ID))
	alone(p, oldest.ID)
	p.do("empty", evaluate(`document.querySelector("#filter").select()`))
	p.press("no such name")
	p.shows(`[data-page="jobs"] .empty`, "No job has this id, or this text in its name.")
	p.accessible("a search that finds nothing")
}

// Where a search cannot see all jobs, the page says so.
func TestSearchSaysItsWindow(t *testing.T) {
	t.Parallel()
	c := run(t)
	p := start(t).as(t, "carol", c.rewritten(t, func(path string, answer map[string]any) {
		if path == "/v1/jobs" {
			answer["window"], answer["beyond"] = json.Number("10000"), true
		}
	}))
	p.list()
	p.shows(`[data-total]`, "2 jobs")
	p.click(`#filter`)
	p.press("release")
	p.shows(`[data-total]`, "1 job among the newest 10,000")
	p.press(" of last year")
	p.shows(`[data-page="jobs"] .empty`, "No job has this id, or this text in its name among the newest 10,000.")
}
