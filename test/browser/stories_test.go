package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

const (
	release = "release 1.4"
	rollout = "rollout 2.0 to all nodes"
)

// A person sees which target of the sample job has failed, and why, and retries it.
func TestRetry(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	sample := c.client(t, "bob").job(release)
	bob := b.as(t, "bob", c.url)

	bob.list()
	bob.sees(row(sample.ID) + `[data-state="failed"]`)
	bob.click(link(sample.ID))
	bob.jobIsShown(sample.ID)
	bob.shown(step.Failed, 2, step.Failed)
	bob.sees(target("web-3") + `[data-status="non_zero_exit"]`)
	bob.shows(target("web-3"), "28")
	bob.click(target("web-3") + ` [data-output]`)
	bob.shows(target("web-3")+` [data-stream="stdout"]`, "212 MB free, 500 MB needed")
	bob.shows(target("web-3")+` [data-stream="stderr"]`, "web-3: no space left for version 1.4")
	if got := bob.illegal(onStep(operation.ForcedSkip)); !strings.Contains(got, "failed") || !strings.Contains(got, "terminated") {
		t.Errorf("the reason at forced skip: %q, want where the step is and where it would have to be", got)
	}

	bob.ask(onStep(operation.RetryFailed))
	bob.shows(dialog, "1 of 4 targets runs")
	if got := eval[[]string](bob, `[...document.querySelectorAll("dialog .names li")].map(e => e.innerText)`); !slices.Equal(got, []string{"web-3"}) {
		t.Errorf("the dialog says that %v would run, want web-3 alone", got)
	}
	bob.shows(dialog, "running")
	if got := bob.history(); len(got) != int(c.client(t, "bob").job(release).Version) {
		t.Errorf("the dialog alone has changed the history: %v", got)
	}
	bob.click(reason)
	bob.press("the disk is larger now")
	bob.click(confirm)

	bob.shown(step.Waiting, 2, step.Succeeded)
	bob.shown(step.Waiting, 3, step.Waiting)
	bob.shows(notice, "Retry failed: done")
	bob.recorded("the disk is larger now")
	bob.click(stepButton(2))
	bob.sees(`[data-class="succeeded"][data-count="4"]`)
	bob.sees(target("web-3") + `[data-status="succeeded"]`)
}

// Only the persons that a confirmation names can confirm. The page says so to others before they try,
// and the API refuses their request.
func TestConfirmation(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	sample := c.client(t, "bob").job(release)
	bob, alice := b.as(t, "bob", c.url), b.as(t, "alice", c.url)
	bob.job(sample.ID)
	bob.shown(step.Failed, 2, step.Failed)
	bob.operate(onStep(operation.RetryFailed), "")
	bob.shown(step.Waiting, 3, step.Waiting)

	why := bob.illegal(onStep(operation.Confirm))
	if !strings.Contains(why, "alice") || !strings.Contains(why, "bob") {
		t.Errorf("the reason at confirm: %q, want whom it is for and who one is", why)
	}
	bob.click(onStep(operation.Confirm))
	bob.shows(`[data-why="confirm"]`, "alice")
	bob.do("force", evaluate(fmt.Sprintf(`document.querySelector(%s).removeAttribute("aria-disabled"), document.querySelector(%[1]s).click()`, quote(onStep(operation.Confirm)))))
	if eval[bool](bob, `document.querySelector("dialog") !== null`) {
		t.Error("a button that was made to look legal opens its dialog")
	}
	bob.allow("403")
	if got := eval[string](bob, fmt.Sprintf(`fetch("/v1/jobs/%d/steps/3/operate", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"code": 6}'})
		.then(r => r.json()).then(p => p.status + " " + p.reason)`, sample.ID)); got != "403 not_confirmer" {
		t.Errorf("bob's own request: %s, want 403 not_confirmer", got)
	}

	alice.job(sample.ID)
	alice.shown(step.Waiting, 3, step.Waiting)
	alice.operate(onStep(operation.Confirm), "looks good")
	for _, p := range []*page{alice, bob} {
		p.shown(step.Succeeded, 4, step.Succeeded)
		p.recorded("looks good")
	}
}

// A viewer sees everything and can do nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	sample := c.client(t, "bob").job(release)
	carol := b.as(t, "carol", c.url)
	carol.list()
	carol.click(link(sample.ID))
	carol.jobIsShown(sample.ID)
	carol.shown(step.Failed, 2, step.Failed)
	carol.shows(target("web-3"), "28")
	if n := eval[int](carol, `document.querySelectorAll("[data-operations] button").length`); n < 7 {
		t.Errorf("%d buttons, want one for each of the step's five codes and of the job's two", n)
	}
	carol.until(`[...document.querySelectorAll("[data-operations] button")].every(b => b.ariaDisabled === "true" && b.dataset.reason)`)
	if got := carol.illegal(onStep(operation.RetryFailed)); got != "Denied: viewers cannot operate." {
		t.Errorf("the reason at retry: %q, want the authorizer's", got)
	}
	carol.click(onStep(operation.RetryFailed))
	carol.shows(`[data-why="retry_failed"]`, "Denied")
	if eval[bool](carol, `document.querySelector("dialog") !== null`) {
		t.Error("carol gets a dialog")
	}
	_, err := c.client(t, "carol").operate(sample.ID, 2, operation.RetryFailed)
	if p := refused(t, err); p.Status != 403 || p.Reason != "denied" {
		t.Errorf("carol's request: %v, want 403 denied", p)
	}
	bob := c.client(t, "bob")
	if _, err := bob.operate(sample.ID, 2, operation.RetryFailed); err != nil {
		t.Fatal(err)
	}
	carol.shown(step.Waiting, 3, step.Waiting) // and sees it happen
}

// A page that is loaded again while the job runs shows the same, and goes on. A step that takes too
// long is stopped and passed over.
func TestReload(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	job := c.client(t, "alice").job(rollout).ID
	alice := b.as(t, "alice", c.url)
	alice.job(job)
	alice.shown(step.Pending, 1, step.Pending)
	alice.operate(onJob(operation.StartJob), "tonight")
	alice.shown(step.Running, 2, step.Running)
	alice.until(`document.querySelector("[data-progress]")?.dataset.succeeded > 0`)
	before := alice.history()
	succeeded := eval[int](alice, `Number(document.querySelector("[data-progress]").dataset.succeeded)`)

	alice.reload()
	alice.jobIsShown(job)
	alice.progress()
	alice.until(fmt.Sprintf(`document.querySelectorAll(%s).length >= %d`, quote(records), len(before)))
	if state := eval[string](alice, fmt.Sprintf(`document.querySelector(%s).dataset.state`, quote(stepButton(2)))); state == "running" {
		if now := eval[int](alice, `Number(document.querySelector("[data-progress]").dataset.succeeded)`); now < succeeded {
			t.Errorf("%d targets had succeeded, and after the reload %d", succeeded, now)
		}
	}
	alice.shown(step.Running, 3, step.ErrorIgnored)
	alice.shown(step.Running, 4, step.Running)

	alice.operate(onJob(operation.TerminateJob), "it takes too long")
	alice.shown(step.Terminated, 4, step.Terminated)
	alice.operate(onStep(operation.NextStep), "")
	alice.shown(step.Succeeded, 5, step.Succeeded)
	alice.contiguous(len(c.client(t, "alice").history(job)))
	alice.recorded("it takes too long")
}

// The list follows what happens: rows, counts and filters.
func TestList(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	alice := c.client(t, "alice")
	wire := newProxy(t, c)
	carol := b.as(t, "carol", wire.url)
	carol.allow("net::ERR_")
	carol.list()
	carol.sees(connected())
	carol.until(counts(map[string]int{"all": 2, "failed": 1, "pending": 1, "waiting": 0}))

	wire.cut()
	carol.sees(connection("lost"))
	job := alice.question()
	wire.mend()
	carol.sees(connected())
	carol.until(counts(map[string]int{"all": 3, "failed": 1, "pending": 1, "waiting": 1}))
	carol.sees(row(job) + `[data-state="waiting"]`)
	if got := eval[string](carol, `document.querySelector("tr[data-job]").dataset.job`); got != fmt.Sprint(job) {
		t.Errorf("job %s is first in the list, want the newest, %d", got, job)
	}

	carol.click(chip("waiting"))
	carol.until(fmt.Sprintf(`document.querySelectorAll("tr[data-job]").length === 1 && document.querySelector(%s)`, quote(row(job))))
	if _, err := alice.operate(job, 1, operation.TerminateConfirmation); err != nil {
		t.Fatal(err)
	}
	carol.until(`document.querySelectorAll("tr[data-job]").length === 0`)
	carol.until(counts(map[string]int{"all": 3, "failed": 1, "pending": 1, "waiting": 0, "confirmation_terminated": 1}))
	carol.shows(`[data-page="jobs"]`, "No job is waiting")

	carol.click(chip("all"))
	carol.until(`document.querySelectorAll("tr[data-job]").length === 3`)
	carol.click(`#filter`)
	carol.press("ROLL")
	carol.until(`document.querySelectorAll("tr[data-job]").length === 1`)
	carol.shows(`tr[data-job]`, rollout)
}
