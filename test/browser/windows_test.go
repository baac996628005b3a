package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Eight windows of one person on one job all load, follow it and operate. One has the stream, and
// another takes the stream when that window closes or crashes.
func TestEightWindows(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	alice := b.as(t, "alice", c.url)
	windows := []*page{alice}
	for range 7 {
		windows = append(windows, alice.another())
	}
	for _, p := range windows {
		p.job(job)
		p.shown(step.Waiting, 1, step.Waiting)
	}
	records := 2
	operate := func(p *page, on []*page) {
		t.Helper()
		next := toggles[records%2]
		p.operate(onStep(next.code), "")
		records++
		for _, other := range on {
			other.shown(next.to, 1, next.to)
		}
	}
	for _, p := range windows {
		operate(p, windows)
	}

	if n := streams(alice); n != 1 {
		t.Errorf("eight windows hold %d streams, want 1", n)
	}

	// The windows lead in the order in which they came.
	windows[0].do("leave", chromedp.Navigate("about:blank"))
	operate(windows[7], windows[1:])
	go func() { _ = windows[1].try(crash) }() // which is not answered
	operate(windows[6], windows[2:])
	for _, p := range windows[2:] {
		p.sees(connected())
		p.contiguous(records)
	}
}

// crash ends the program behind a page.
var crash = command(cdppage.Crash, cdp.Empty{})

// Eight windows on eight jobs, and two on the list, all load and operate. Those without a stream
// poll.
func TestEightJobs(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	alice := b.as(t, "alice", c.url)
	alice.list()
	operator := c.client(t, "alice")
	var windows []*page
	for range 8 {
		job := operator.question()
		p := alice.another()
		p.job(job)
		p.shown(step.Waiting, 1, step.Waiting)
		windows = append(windows, p)
		defer func() {
			p.contiguous(4)
			p.sees(connected())
		}()
		if _, err := operator.operate(job, 1, operation.TerminateConfirmation); err != nil {
			t.Fatal(err)
		}
		p.shown(step.ConfirmationTerminated, 1, step.ConfirmationTerminated)
	}
	other := alice.another()
	other.list()
	for _, p := range windows {
		p.operate(onStep(operation.RestartConfirmation), "")
		p.shown(step.Waiting, 1, step.Waiting)
	}
	for _, p := range []*page{alice, other} {
		p.sees(connected())
		p.until(counts(map[string]int{"waiting": 8}))
	}
	if n := streams(alice); n != 3 {
		t.Errorf("eight windows on eight jobs hold %d streams, want 3: the browser has six connections", n)
	}
}

// A frozen window, as in the background of a phone, loses the stream to a window that is not
// frozen.
func TestFrozenWindow(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	operator := c.client(t, "alice")
	job := operator.question()
	alice := b.as(t, "alice", c.url)
	alice.job(job)
	other := alice.another()
	other.timed()
	other.job(job)
	alice.do("freeze", command(cdppage.SetWebLifecycleState, cdppage.SetWebLifecycleStateParams{State: "frozen"}))
	for range 2 { // looks of the other one
		other.skip("30")
	}
	if _, err := operator.operate(job, 1, toggles[0].code); err != nil {
		t.Fatal(err)
	}
	other.shown(toggles[0].to, 1, toggles[0].to)
	other.until(`document.querySelector("[data-history]").dataset.gaps === "0"`)
	alice.do("thaw", command(cdppage.SetWebLifecycleState, cdppage.SetWebLifecycleStateParams{State: "active"}))
	alice.shown(toggles[0].to, 1, toggles[0].to)
	other.operate(onStep(toggles[1].code), "") // the browser takes the first one for hidden from now on
	for _, p := range []*page{alice, other} {
		p.shown(toggles[1].to, 1, toggles[1].to)
		p.contiguous(4)
	}
}

// In a browser without locks each window polls, and none holds a connection.
func TestWithoutLocks(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	alice := b.as(t, "alice", c.url)
	windows := []*page{alice}
	for range 6 {
		windows = append(windows, alice.another())
	}
	for _, p := range windows {
		p.always(`Object.defineProperty(navigator, "locks", {value: undefined})`)
		p.always(`globalThis.EventSource = class { constructor() { console.error("a stream is opened") } }`)
		p.job(job)
	}
	for i, p := range []*page{windows[0], windows[6]} {
		p.operate(onStep(toggles[i].code), "")
		for _, other := range windows {
			other.shown(toggles[i].to, 1, toggles[i].to)
		}
	}
	for _, p := range windows {
		p.contiguous(4)
	}
	alice.list()
	alice.until(counts(map[string]int{"waiting": 1}))
}

// A window notices a change of person in another window, which is a change for the whole browser.
func TestWindowsAreOfOnePerson(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	alice := b.as(t, "alice", c.url)
	other := alice.another()
	alice.list()
	other.job(c.client(t, "alice").question())
	other.legal(onStep(operation.Confirm))
	alice.do("become", evaluate(`person.value = "carol", person.dispatchEvent(new Event("change"))`))
	alice.shows(notice, "You now act as carol")
	other.until(`document.querySelector("#person").value === "carol"`)
	if got := other.illegal(onStep(operation.Confirm)); !strings.Contains(got, "carol") && !strings.Contains(got, "Denied") {
		t.Errorf("the other window says %q at confirm, want that carol may not", got)
	}
}

// streams returns how many streams the windows of a person hold.
func streams(p *page) int {
	p.t.Helper()
	return eval[int](p, `navigator.locks.query().then(all => all.held.filter(l => l.name.startsWith("stepgate connection")).length)`)
}
