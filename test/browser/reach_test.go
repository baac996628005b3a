package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Every action works by keyboard alone, and the focus is never lost.
func TestKeyboard(t *testing.T) {
	b, c := start(t), run(t)
	sample := c.client(t, "alice").job(release)
	alice := b.as(t, "alice", c.url)
	alice.list()
	alice.sees(row(sample.ID) + `[data-state="failed"]`)

	alice.tabTo(link(sample.ID))
	alice.press(kb.Enter)
	alice.jobIsShown(sample.ID)
	alice.focused(`h1`) // so that a screen reader reads the new page's heading
	retry := onStep(operation.RetryFailed)
	alice.legal(retry)

	alice.tabTo(onStep(operation.ForcedSkip)) // a greyed one can be reached, and says why
	alice.shows(`[data-why="forced_skip"]`, "Wrong state")
	alice.press(kb.Enter)
	if eval[bool](alice, `document.querySelector(".notice.shown") !== null`) {
		t.Error("the reason is said twice, beside the button and in a notice")
	}

	alice.tabBackTo(retry)
	alice.press(kb.Enter)
	alice.sees(ready)
	alice.focused(reason)
	alice.press(kb.Escape)
	alice.until(`!document.querySelector("dialog")`)
	alice.focused(retry)

	alice.press(" ")
	alice.sees(ready)
	alice.focused(reason)
	alice.press("by keyboard")
	inside := alice.tabTo(confirm)
	for _, on := range inside {
		if !strings.Contains(on, "dialog ") {
			t.Errorf("the focus leaves the open dialog: %v", inside)
		}
	}
	alice.press(kb.Enter)
	alice.shown(step.Waiting, 3, step.Waiting)
	alice.recorded("by keyboard")
	alice.focusKept()

	alice.legal(onStep(operation.Confirm))
	alice.tabTo(onStep(operation.Confirm))
	alice.press(kb.Enter)
	alice.sees(ready)
	alice.tabTo(closing)
	alice.press(kb.Enter)
	alice.focused(onStep(operation.Confirm))
	alice.tabBackTo(`.crumb`)
	alice.press(kb.Enter)
	alice.sees(`[data-page="jobs"] tr[data-job]`)
	alice.focused(`h1`)
}

const most = 80 // presses of Tab until an element has the focus

// tabTo presses Tab until an element has the focus, which must be visible, and returns the elements
// that had it on the way.
func (p *page) tabTo(selector string) []string {
	p.t.Helper()
	return p.tab(selector)
}

func (p *page) tabBackTo(selector string) {
	p.t.Helper()
	p.tab(selector, kb.ModifierShift)
}

func (p *page) tab(selector string, modifiers ...chromedp.Modifier) (passed []string) {
	p.t.Helper()
	for range most {
		p.press(kb.Tab, modifiers...)
		at := eval[struct {
			There, Marked bool
			Name          string
		}](p, fmt.Sprintf(`(e => ({
			there: e === document.querySelector(%s),
			marked: e === document.body || e.matches(":focus-visible") && [e, e.closest("tr")].some(f => f && getComputedStyle(f).outlineStyle !== "none"),
			name: (e.closest("dialog") ? "dialog " : "") + e.tagName + " " + (e.ariaLabel || e.innerText || "").slice(0, 30),
		}))(document.activeElement)`, quote(selector)))
		passed = append(passed, at.Name)
		if !at.Marked {
			p.t.Errorf("%s's page: nothing shows that %s has the focus", p.person, at.Name)
		}
		if at.There {
			return passed
		}
	}
	p.t.Fatalf("%s's page: Tab does not lead to %s, but through %q", p.person, selector, passed)
	return nil
}

// focused waits until an element has the focus.
func (p *page) focused(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.activeElement === document.querySelector(%s)`, quote(selector)))
}

// focusKept waits until something has the focus: for a moment after a dialog nothing may have it.
func (p *page) focusKept() {
	p.t.Helper()
	p.until(`document.activeElement !== document.body`)
}

// At 360 pixels nothing is cut off, and every control can be reached.
func TestNarrow(t *testing.T) {
	b, c := start(t), run(t)
	sample := c.client(t, "alice").job(release)
	alice := b.as(t, "alice", c.url)
	alice.resize(360, 740)
	alice.list()
	alice.fits("the list")
	alice.accessible("the list at 360 px")

	alice.job(sample.ID)
	alice.shown(step.Failed, 2, step.Failed)
	alice.click(target("web-3") + ` [data-output]`)
	alice.shows(target("web-3"), "no space left")
	alice.fits("the job")
	alice.accessible("the job at 360 px")
	alice.click(`.as-table summary`)
	alice.fits("the job, its state machine as a table")

	alice.ask(onStep(operation.RetryFailed))
	alice.fits("the dialog")
	alice.accessible("the dialog at 360 px")
	alice.click(confirm)
	alice.shown(step.Waiting, 3, step.Waiting)
}

// fits fails the test if the page scrolls sideways, or if a control cannot be brought into
// sight and touched. With a dialog open, the controls are those of the dialog.
func (p *page) fits(what string) {
	p.t.Helper()
	for _, wrong := range eval[[]string](p, `(() => {
		const wrong = []
		const root = document.scrollingElement
		if (root.scrollWidth > innerWidth) {
			const wide = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && e.checkVisibility())
			wrong.push("it is " + root.scrollWidth + " px wide, and the screen " + innerWidth + ": " + wide.slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(" | "))
		}
		const controls = (document.querySelector("dialog[open]") ?? document).querySelectorAll("a, button, input, select, textarea, summary")
		if (controls.length < 3) wrong.push("it has " + controls.length + " controls")
		for (const e of controls) {
			if (!e.checkVisibility({visibilityProperty: true}) || e.classList.contains("skip")) continue
			e.scrollIntoView({block: "center", inline: "center", behavior: "instant"})
			const r = e.getClientRects()[0], x = r.x + r.width / 2, y = r.y + r.height / 2
			const hit = document.elementFromPoint(x, y)
			const name = e.tagName + " " + (e.ariaLabel || e.innerText || e.id).slice(0, 40)
			if (r.left < 0 || r.right > innerWidth + 0.5) wrong.push(name + " is cut off: " + r.left + " to " + r.right)
			else if (!hit || !e.contains(hit) && !hit.contains(e)) wrong.push(name + " is covered by " + hit?.outerHTML.slice(0, 80))
			if (r.height < 24 && e.tagName === "BUTTON") wrong.push(name + " is " + r.height + " px high, want 24 or more")
		}
		root.scrollTo(0, 0)
		return wrong
	})()`) {
		p.t.Errorf("%s at 360 px: %s", what, wrong)
	}
}

// axe-core finds nothing serious, in light and in dark mode.
func TestAccessibility(t *testing.T) {
	b, c := start(t), run(t)
	sample := c.client(t, "alice").job(release)
	c.client(t, "alice").question()
	schemes := []string{"light", "dark"}
	if testing.Short() {
		schemes = schemes[1:]
	}
	for _, scheme := range schemes {
		alice := b.as(t, "alice", c.url)
		alice.prefers("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce")
		alice.list()
		alice.sees(row(sample.ID) + `[data-state="failed"]`)
		if got := eval[string](alice, lightness); got != scheme {
			t.Errorf("a person who prefers a %s page gets a %s one", scheme, got)
		}
		alice.accessible("the list, " + scheme)

		alice.job(sample.ID)
		alice.shown(step.Failed, 2, step.Failed)
		alice.click(target("web-3") + ` [data-output]`)
		alice.shows(target("web-3"), "no space left")
		alice.accessible("the job, " + scheme)
		alice.click(onStep(operation.ForcedSkip))
		alice.shows(`[data-why="forced_skip"]`, "Wrong state")
		alice.accessible("the job with a reason, " + scheme)

		alice.ask(onStep(operation.RetryFailed))
		alice.accessible("the dialog, " + scheme)
		alice.click(closing)
	}
	alice := b.as(t, "alice", c.url)
	alice.open("/jobs/1")
	alice.allow("404")
	alice.shows(`h1`, "There is no such job")
	alice.accessible("a job that is not there")
}

// lightness returns whether the page is light or dark.
const lightness = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext("2d")
	for (const e of [document.documentElement, document.body]) { // the body may be transparent
		canvas.fillStyle = getComputedStyle(e).backgroundColor
		canvas.fillRect(0, 0, 1, 1)
	}
	const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data
	return r + g + b > 3 * 128 ? "light" : "dark"
})()`

// Nothing moves for a person who prefers reduced motion. For others the sign of a running step turns.
func TestMotion(t *testing.T) {
	b, c := start(t), run(t)
	job := c.client(t, "alice").create("for long",
		spec{Type: step.Script, Name: "wait", Targets: []string{"a", "b"}, Payload: `{"script": "while :; do sleep 1; done"}`})
	alice := b.as(t, "alice", c.url)
	const moving = `document.getAnimations().filter(a => a.playState === "running").length`
	alice.job(job)
	alice.shown(step.Running, 1, step.Running)
	alice.until(moving + ` > 0`)
	alice.prefers("prefers-reduced-motion", "reduce")
	alice.until(moving + ` === 0`)
	alice.operate(onJob(operation.TerminateJob), "")
	alice.shown(step.Terminated, 1, step.Terminated)
	if n := eval[int](alice, moving); n != 0 {
		t.Errorf("%d animations for a person who wants none", n)
	}
}
