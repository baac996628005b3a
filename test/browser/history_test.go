package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A long history is shown newest first, in one read, and the rest when a person asks for it.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	operator := c.client(t, "alice")
	job := operator.question()
	operations := 2800
	if testing.Short() {
		operations = 1200
	}
	for i := range operations {
		if _, err := operator.operate(job, 1, toggles[i%2].code); err != nil {
			t.Fatal(err)
		}
	}
	version := 2 + operations
	const shown = `[...document.querySelectorAll("[data-history] [data-seq]")].map(e => Number(e.dataset.seq))`
	alice := b.as(t, "alice", c.url)
	alice.job(job)
	alice.until(fmt.Sprintf(`%s[0] === %d`, shown, version))
	if got := eval[int](alice, shown+`.length`); got > 500 {
		t.Errorf("%d records are shown at first, want 500 at most", got)
	}
	if got := eval[int](alice, `document.querySelectorAll("*").length`); got > 6000 {
		t.Errorf("the page of a job with %d records has %d elements, want 6000 at most", version, got)
	}
	const reads = `performance.getEntriesByType("resource").filter(r => r.name.includes("/history?")).length`
	if got := eval[int](alice, reads); got != 1 {
		t.Errorf("the history is read %d times at first, want once", got)
	}
	t.Logf("browser: a job with %d records: %d elements; the newest records came %.0f ms after the navigation", version,
		eval[int](alice, `document.querySelectorAll("*").length`),
		eval[float64](alice, `performance.getEntriesByType("resource").find(r => r.name.includes("/history?")).responseEnd`))

	// New records stand above, older ones below.
	if _, err := operator.operate(job, 1, operation.Confirm); err != nil {
		t.Fatal(err)
	}
	alice.shown(step.Succeeded, 1, step.Succeeded)
	alice.until(fmt.Sprintf(`%s[0] === %d`, shown, version+1))
	alice.contiguous(version + 1)
}

// Records of progress show on demand, and fill no page by themselves.
func TestProgressIsFolded(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	alice := b.as(t, "alice", c.url)
	targets := make([]string, 24)
	for i := range targets {
		targets[i] = fmt.Sprintf("node-%d", i)
	}
	operator := c.client(t, "alice")
	job := operator.create("in waves", spec{Type: step.Script, Name: "run", Targets: targets, Payload: `{"script": "sleep 0.3"}`})
	operator.until(job, comesTo(1, step.Succeeded))
	alice.job(job)
	alice.shows(`[data-shown]`, "hidden")
	alice.recorded("started the job")
	if eval[bool](alice, `document.querySelector("[data-history] .progress") !== null`) {
		t.Error("records of progress are shown before a person asks for them")
	}
	alice.click(`.history .check`)
	alice.sees(`[data-history] .progress`)
	if got := eval[string](alice, `document.querySelector("[data-history] .progress").innerText`); !strings.Contains(got, "unfinished") {
		t.Errorf("a record of progress reads %q, want the counts of its step", got)
	}
	alice.until(`!document.querySelector("[data-shown]").innerText.includes("hidden")`)
	alice.contiguous(len(operator.history(job)))
	alice.click(`.history .check`)
	alice.until(`!document.querySelector("[data-history] .progress")`)
}
