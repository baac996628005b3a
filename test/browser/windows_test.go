package browser

import (
	"testing"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Eight windows of one person on one job all load, follow it and operate, whichever of them has
// the stream: when its window closes or crashes, another takes it.
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

// Eight windows on eight jobs, and two on the list, all load and operate: those that have no
// stream ask.
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

// streams returns how many streams the windows of a person hold.
func streams(p *page) int {
	p.t.Helper()
	return eval[int](p, `navigator.locks.query().then(all => all.held.filter(l => l.name.startsWith("stepgate connection")).length)`)
}
