package browser

import (
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The selectors of the console's pages. Only this file has them.
const (
	dialog  = `dialog[open]`
	ready   = dialog + `[data-phase="ready"]`   // it shows the consequences
	refusal = dialog + `[data-phase="refused"]` // the operation was refused
	confirm = dialog + ` [data-action="confirm"]`
	closing = dialog + ` [data-action="close"]`
	reason  = dialog + ` [data-reason]`
	notice  = `#notice`
	records = `[data-history] [data-seq]`
)

func row(job store.JobID) string  { return fmt.Sprintf(`tr[data-job="%d"]`, job) }
func link(job store.JobID) string { return row(job) + " a" }
func chip(state string) string    { return fmt.Sprintf(`[data-filter-state="%s"]`, state) }
func onStep(code operation.Code) string {
	return fmt.Sprintf(`[data-operations] button[data-code="%v"]`, code)
}
func onJob(code operation.JobCode) string {
	return fmt.Sprintf(`[data-operations] button[data-job-code="%v"]`, code)
}
func stepButton(n step.ID) string { return fmt.Sprintf(`.steps button[data-step="%d"]`, n) }
func target(name string) string   { return fmt.Sprintf(`[data-target][data-name="%s"]`, name) }
func connected() string           { return connection("connected") }
func connection(state string) string {
	return fmt.Sprintf(`#connection[data-connection="%s"]`, state)
}

// list opens the list of jobs.
func (p *page) list() {
	p.t.Helper()
	p.open("/")
	p.sees(`[data-page="jobs"] tr[data-job]`)
}

// job opens the page of a job and waits until it is there and live.
func (p *page) job(id store.JobID) {
	p.t.Helper()
	p.open(fmt.Sprintf("/jobs/%d", id))
	p.jobIsShown(id)
}

func (p *page) jobIsShown(id store.JobID) {
	p.t.Helper()
	p.sees(fmt.Sprintf(`[data-page="job"][data-job="%d"] .job-body`, id))
	p.sees(connected())
}

// shown waits until the page shows its job, and the step, in these states.
func (p *page) shown(job step.State, n step.ID, state step.State) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector('[data-page="job"]')?.dataset.state === %q && document.querySelector(%s)?.dataset.state === %q`,
		job, quote(stepButton(n)), state))
}

// legal waits until a button is enabled.
func (p *page) legal(button string) {
	p.t.Helper()
	p.sees(button + `[data-legal="true"]`)
}

// illegal waits until a button is greyed, and returns the reason that a screen reader reads.
func (p *page) illegal(button string) string {
	p.t.Helper()
	p.sees(button + `[aria-disabled="true"][data-reason]`)
	return eval[string](p, fmt.Sprintf(`document.getElementById(document.querySelector(%s).getAttribute("aria-describedby")).textContent`, quote(button)))
}

// ask presses an enabled button and waits until its dialog shows the consequences.
func (p *page) ask(button string) {
	p.t.Helper()
	p.legal(button)
	p.click(button)
	p.sees(ready)
}

// operate presses a button and confirms its dialog, with a reason.
func (p *page) operate(button, why string) {
	p.t.Helper()
	p.ask(button)
	if why != "" {
		p.click(reason)
		p.press(why)
	}
	p.click(confirm)
	p.until(`!document.querySelector("dialog")`)
}

// history returns the sequence numbers of the records that the page shows, those of progress
// among them, from the top.
func (p *page) history() []store.Seq {
	p.t.Helper()
	p.progress()
	return eval[[]store.Seq](p, fmt.Sprintf(`[...document.querySelectorAll(%s)].map(e => Number(e.dataset.seq))`, quote(records)))
}

// progress makes the history show the records of progress.
func (p *page) progress() {
	p.t.Helper()
	p.do("progress", evaluate(`document.querySelector("#history-progress:not(:checked)")?.click()`))
}

// contiguous makes the page show n records, older ones included, and fails the test unless their
// numbers are n to 1.
func (p *page) contiguous(n int) {
	p.t.Helper()
	p.progress()
	p.until(fmt.Sprintf(`document.querySelector("[data-history]").dataset.last >= %d`, n))
	p.until(`document.querySelector("[data-older-records]:not([hidden], [aria-disabled])")?.click(), document.querySelector("[data-older-records]").hidden`)
	p.until(fmt.Sprintf(`document.querySelectorAll(%s).length >= %d`, quote(records), n))
	got := p.history()
	for i, seq := range got {
		if seq != store.Seq(len(got)-i) {
			p.t.Fatalf("row %d from the top is record %d, want %d: %v", i, seq, len(got)-i, got)
		}
	}
	if len(got) != n {
		p.t.Fatalf("%d rows for %d records", len(got), n)
	}
}

// recorded waits until a record of the history has a text. The browser does not draw rows out of
// sight, so recorded reads the document and not the screen.
func (p *page) recorded(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll(%s)].some(e => e.textContent.includes(%s))`, quote(records), quote(text)))
}

// counts reports whether the numbers of the chips are these, as JavaScript.
func counts(of map[string]int) string {
	var all []string
	for state, n := range of {
		all = append(all, fmt.Sprintf(`(document.querySelector(%s)?.dataset.count ?? "0") === "%d"`, quote(chip(state)), n))
	}
	return strings.Join(all, " && ")
}
