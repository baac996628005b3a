package browser

import (
	"fmt"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// point waits until the first element of a selector can be clicked, that is, it stands still in
// the viewport and nothing covers it, and returns its middle.
func (p *page) point(selector string) (x, y float64, err error) {
	const find = `(async () => {
		const end = performance.now() + %d
		let why = "there is none"
		for (let last; performance.now() < end; ) {
			const e = document.querySelector(%s)
			if (e) {
				e.scrollIntoView({block: "nearest", inline: "nearest", behavior: "instant"})
				const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2
				const hit = document.elementFromPoint(x, y)
				const at = [r.x, r.y, r.width, r.height].join()
				if (!hit || !(e.contains(hit) || hit.contains(e) && hit.tagName === "LABEL"))
					why = "it is covered by " + (hit ? hit.outerHTML.slice(0, 100) : "nothing: it is out of sight")
				else if (at === last) return {x, y}
				else why = "it moves"
				last = at
			}
			await new Promise(go => { requestAnimationFrame(go); setTimeout(go, 50) })
		}
		return {why}
	})()`
	at, err := tryEval[struct {
		X, Y float64
		Why  string
	}](p, fmt.Sprintf(find, patience.Milliseconds(), quote(selector)))
	if err == nil && at.Why != "" {
		err = fmt.Errorf("%s cannot be clicked: %s", selector, at.Why)
	}
	return at.X, at.Y, err
}

// click presses and releases the left button of the mouse on an element.
func (p *page) click(selector string) {
	p.t.Helper()
	x, y, err := p.point(selector)
	if err == nil {
		err = p.clickAt(x, y, 1)
	}
	if err != nil {
		p.t.Fatalf("%s's page: click: %v", p.person, err)
	}
}

// clickAt does so at a point, times in a row.
func (p *page) clickAt(x, y float64, times int64) error {
	actions := []chromedp.Action[chromedp.Void]{mouseTo(x, y)}
	for count := range times {
		event := input.DispatchMouseEventParams{
			Type: input.DispatchMouseEventTypeMousePressed, X: x, Y: y, Button: "left", Buttons: 1, ClickCount: count + 1,
		}
		actions = append(actions, command(input.DispatchMouseEvent, event))
		event.Type, event.Buttons = input.DispatchMouseEventTypeMouseReleased, 0
		actions = append(actions, command(input.DispatchMouseEvent, event))
	}
	return p.try(actions...)
}

func mouseTo(x, y float64) chromedp.Action[chromedp.Void] {
	return command(input.DispatchMouseEvent, input.DispatchMouseEventParams{
		Type: input.DispatchMouseEventTypeMouseMoved, X: x, Y: y,
	})
}

// press presses keys of the keyboard, one after the other, on the element that has the focus.
func (p *page) press(keys string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	p.do("press", chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...)))
}
