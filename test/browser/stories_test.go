package browser

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const (
	release = "release 1.4"
	rollout = "rollout 2.0 to all nodes"
)

// Somebody sees which target of the sample job has failed, with what, and has it run again.
func TestRetry(t *testing.T) {
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

// A confirmation is for the persons that it names: the others are told so before they try, and
// are refused if they try all the same.
func TestConfirmation(t *testing.T) {
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
	bob.shows(notice, "alice")
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

// Somebody without rights sees all there is, and can do nothing.
func TestReadOnly(t *testing.T) {
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
	carol.until(`[...document.querySelectorAll("[data-operations] button")].every(b => b.ariaDisabled === "true" && b.dataset.reason === "denied")`)
	if got := carol.illegal(onStep(operation.RetryFailed)); !strings.Contains(got, "Denied") {
		t.Errorf("the reason at retry: %q, want that it is denied", got)
	}
	carol.click(onStep(operation.RetryFailed))
	carol.shows(notice, "Denied")
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

// question is a job that asks alice and bob, and can be refused and asked again for ever: each
// time is one record.
func (c client) question() store.JobID {
	c.t.Helper()
	return c.create("question", spec{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice", "bob"}})
}

// toggles are the operations that lead to and fro on a confirmation.
var toggles = []struct {
	code operation.Code
	to   step.State
}{
	{operation.TerminateConfirmation, step.ConfirmationTerminated},
	{operation.RestartConfirmation, step.Waiting},
}

// Two persons press the same button at the same time: it is done once, and the other one is told
// by whom and what he can do now.
func TestRace(t *testing.T) {
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	alice, bob := b.as(t, "alice", c.url), b.as(t, "bob", c.url)
	tabs := []*page{alice, bob, alice.another()}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for _, p := range tabs {
		p.allow("409")
		p.allow("412")
		p.job(job)
		p.shown(step.Waiting, 1, step.Waiting)
	}
	for round := range rounds {
		next := toggles[round%2]
		button := onStep(next.code)
		two := []*page{tabs[0], tabs[1+round%2]} // two persons, or two tabs of one
		for _, p := range two {
			p.ask(button)
		}
		together(t, two, confirm)
		for _, p := range two {
			p.until(`!document.querySelector("dialog") || document.querySelector(` + quote(refusal+" [data-legal-now]") + `)?.innerText`)
		}
		var winners, losers []*page
		for _, p := range two {
			if eval[bool](p, `document.querySelector("dialog") === null`) {
				winners = append(winners, p)
			} else {
				losers = append(losers, p)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("round %d: %d of two tabs say that it was done, want one", round, len(winners))
		}
		for _, p := range losers {
			told := p.text(dialog)
			for _, want := range []string{"Nothing was done", "Meanwhile", winners[0].person, "Legal for you"} {
				if !strings.Contains(told, want) {
					t.Errorf("round %d: %s is told %q, want %q in it", round, p.person, told, want)
				}
			}
			p.click(closing)
		}
		for _, p := range tabs {
			p.shown(next.to, 1, next.to)
		}
	}
	history := c.client(t, "alice").history(job)
	if got, want := len(history), 2+rounds; got != want {
		t.Errorf("%d records after %d races, want %d: %v", got, rounds, want, history)
	}
	for _, p := range tabs {
		p.until(fmt.Sprintf(`document.querySelectorAll(%s).length === %d`, quote(records), len(history)))
	}
}

// together clicks the same thing on several pages at once.
func together(t *testing.T, pages []*page, selector string) {
	t.Helper()
	var clicks sync.WaitGroup
	begin := make(chan struct{})
	errs := make([]error, len(pages))
	for i, p := range pages {
		x, y, err := p.point(selector)
		if err != nil {
			t.Fatal(err)
		}
		clicks.Go(func() {
			<-begin
			errs[i] = p.clickAt(x, y, 1)
		})
	}
	close(begin)
	clicks.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// However often one clicks, a dialog does its operation once.
func TestDoubleClick(t *testing.T) {
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	alice := b.as(t, "alice", c.url)
	alice.job(job)
	for i, next := range toggles {
		alice.legal(onStep(next.code))
		x, y, err := alice.point(onStep(next.code))
		if err == nil {
			err = alice.clickAt(x, y, 2)
		}
		if err != nil {
			t.Fatal(err)
		}
		alice.sees(ready)
		if n := eval[int](alice, `document.querySelectorAll("dialog").length`); n != 1 {
			t.Errorf("a double click opens %d dialogs", n)
		}
		if x, y, err = alice.point(confirm); err == nil {
			err = alice.clickAt(x, y, 3)
		}
		if err != nil {
			t.Fatal(err)
		}
		alice.shown(next.to, 1, next.to)
		alice.until(`!document.querySelector("dialog")`)
		if got, want := len(c.client(t, "alice").history(job)), 3+i; got != want {
			t.Errorf("%d records after %d operations, want %d", got, i+1, want)
		}
	}
}

// A page that is loaded again while the job runs shows what it showed, and goes on. What takes
// too long is stopped, and left behind.
func TestReload(t *testing.T) {
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

// contiguous waits until the page shows n records, and fails the test unless they are n to 1.
func (p *page) contiguous(n int) {
	p.t.Helper()
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

// A connection that breaks again and again while events come loses none of them and repeats
// none, and the page says how it is connected.
func TestLostConnection(t *testing.T) {
	b, c := start(t), run(t)
	wire := newProxy(t, c)
	operator := c.client(t, "alice")
	targets := make([]string, 100)
	for i := range targets {
		targets[i] = fmt.Sprintf("node-%03d", i)
	}
	job := operator.create("many events",
		spec{Type: step.Script, Name: "run", Targets: targets, Payload: `{"script": "echo here"}`},
		spec{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}})
	alice := b.as(t, "alice", wire.url)
	alice.allow("net::ERR_") // of what was under way, and of what is tried meanwhile
	alice.job(job)

	events, cuts := 1000, 5
	if testing.Short() {
		events, cuts = 200, 2
	}
	operator.until(job, func(r store.Record) bool { return r.Entered == 2 })
	for i := range events {
		switch part := events / cuts; i % part {
		case part / 3:
			wire.cut()
			if i < part { // the first time for long enough to be called lost
				alice.sees(connection("lost"))
			} else {
				alice.sees(`#connection:not([data-connection="connected"])`)
			}
		case 2 * part / 3:
			wire.mend()
			if i < part {
				alice.sees(connected())
			}
		}
		if _, err := operator.operate(job, 2, toggles[i%2].code); err != nil {
			t.Fatal(err)
		}
	}
	alice.sees(connected())
	history := operator.history(job)
	alice.contiguous(len(history))
	alice.shown(step.Waiting, 2, step.Waiting)
	stream := eval[map[string]string](alice, `({...document.querySelector("[data-history]").dataset})`)
	t.Logf("browser: %d events over a connection cut %d times (%d open ones broken): %d rows, each once and in order; dropped as repeated %s, gaps filled %s",
		len(history), cuts, wire.severed(), len(alice.history()), stream["repeated"], stream["gaps"])
	alice.reload()
	alice.jobIsShown(job)
	alice.contiguous(len(history))
	if len(history) < events {
		t.Errorf("%d records, want at least %d", len(history), events)
	}
	if wire.severed() < cuts {
		t.Errorf("%d connections were cut, want at least %d", wire.severed(), cuts)
	}
}

// Whoever gets no answer is told that nobody knows, and gets to know: what was asked for is found
// if it was done, and done once if it is asked for again.
func TestLostAnswer(t *testing.T) {
	b, c := start(t), run(t)
	wire := newProxy(t, c)
	operator := c.client(t, "alice")
	job := operator.question()
	alice := b.as(t, "alice", wire.url)
	alice.allow("net::ERR_")
	alice.job(job)
	const lost = dialog + `[data-phase="lost"]`

	// The request arrives, and its answer does not.
	alice.ask(onStep(toggles[0].code))
	wire.deafen()
	alice.click(confirm)
	alice.sees(lost)
	alice.shows(dialog, "It may have been done or not")
	operator.until(job, comesTo(1, toggles[0].to))
	wire.mend()
	alice.until(`!document.querySelector("dialog")`)
	alice.shows(notice, "it was done")
	alice.shown(toggles[0].to, 1, toggles[0].to)
	alice.sees(connected())

	// The request does not arrive.
	alice.ask(onStep(toggles[1].code))
	wire.cut()
	alice.click(confirm)
	alice.sees(lost)
	wire.mend()
	alice.shows(lost, "It is not in the history so far")
	alice.click(lost + ` [data-action="again"]`)
	alice.until(`!document.querySelector("dialog")`)
	alice.shown(toggles[1].to, 1, toggles[1].to)
	alice.sees(connected())
	alice.contiguous(4)
	if got := operator.history(job); len(got) != 4 {
		t.Errorf("%d records after two operations, want 4: %v", len(got), got)
	}
}

// The list follows what happens: rows, counts and filters.
func TestList(t *testing.T) {
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
