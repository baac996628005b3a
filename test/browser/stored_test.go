package browser

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// The page shows a dash for a stored number that is no time, and everything else as usual.
func TestOddTimes(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	sample := c.client(t, "bob").job(release)
	for _, odd := range []json.Number{"1764500000000000000", "-5", "-9223372036854775808", "8640000000000001"} {
		url := c.rewritten(t, func(path string, answer map[string]any) {
			for _, item := range items(answer) {
				for _, name := range []string{"started", "finished", "created", "at"} {
					if item[name] != nil && item[name] != json.Number("0") {
						item[name] = odd
					}
				}
			}
		})
		bob := b.as(t, "bob", url)
		bob.list()
		if got := bob.text(row(sample.ID) + ` time`); got != "—" {
			t.Errorf("created at %s: %q, want a dash", odd, got)
		}
		bob.job(sample.ID)
		bob.shown(step.Failed, 2, step.Failed)
		bob.shows(target("web-3"), "28")
		if got := bob.text(target("web-3") + ` time`); got != "—" {
			t.Errorf("finished at %s: %q, want a dash", odd, got)
		}
		bob.legal(onStep(operation.RetryFailed))
	}
}

// A local time that occurs twice, at the end of summer time, shows its offset. The title of each time
// has the offset, and the page names the zone.
func TestZone(t *testing.T) {
	t.Parallel()
	p := start(t).as(t, "carol", run(t).url)
	p.do("zone", command(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Berlin"}))
	p.list()
	p.shows(`.foot`, "Europe/Berlin (GMT+")
	if got := eval[string](p, `document.querySelector("tr[data-job] time").title`); !strings.Contains(got, "GMT+") {
		t.Errorf("the title of a time is %q, want its offset in it", got)
	}
	for _, c := range []struct{ at, want string }{
		{"2025-10-25T23:59:59Z", "Oct 26, 2025, 01:59:59"},
		{"2025-10-26T00:30:00Z", "Oct 26, 2025, 02:30:00 GMT+2"},
		{"2025-10-26T01:30:00Z", "Oct 26, 2025, 02:30:00 GMT+1"},
		{"2025-10-26T02:00:00Z", "Oct 26, 2025, 03:00:00"},
		{"2025-03-30T00:59:59Z", "Mar 30, 2025, 01:59:59"},
		{"2025-03-30T01:00:00Z", "Mar 30, 2025, 03:00:00"},
	} {
		if got := eval[string](p, fmt.Sprintf(`import("/static/format.js").then(f => f.time(Date.parse(%q)))`, c.at)); got != c.want {
			t.Errorf("%s in Berlin reads %q, want %q", c.at, got, c.want)
		}
	}
}

// A name that turns the direction of text turns itself and nothing around it.
func TestDirectionCharacters(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	sample := c.client(t, "bob").job(release)
	const turn = "\u202egnp"
	names := map[string]bool{"name": true, "actor": true, "reason": true, "detail": true}
	var turned func(v any)
	turned = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if text, ok := value.(string); ok && names[key] && text != "" {
					v[key] = text + turn
				} else if key == "confirmers" && value != nil {
					v[key] = []any{"alice" + turn}
				} else {
					turned(value)
				}
			}
		case []any:
			for _, value := range v {
				turned(value)
			}
		}
	}
	url := c.rewritten(t, func(path string, answer map[string]any) {
		if path != "/v1/rules" {
			turned(answer)
		}
	})
	// loose are texts with such a name that neither an element nor a pair of characters isolates.
	const loose = `(() => {
		const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), loose = []
		let seen = 0
		while (texts.nextNode()) {
			const {data, parentElement} = texts.currentNode
			if (!data.includes("\u202e")) continue
			seen++
			const {unicodeBidi, display} = getComputedStyle(parentElement)
			const alone = parentElement.textContent === data && (display === "block" || unicodeBidi.includes("isolate"))
			if (!alone && /\u202e/.test(data.replace(/\u2068[^\u2069]*\u2069/g, ""))) loose.push(parentElement.outerHTML.slice(0, 150))
		}
		return seen < 2 ? ["only " + seen + " names are seen"] : loose
	})()`
	bob := b.as(t, "bob", url)
	bob.list()
	for _, got := range eval[[]string](bob, loose) {
		t.Errorf("the list: not isolated: %s", got)
	}
	bob.job(sample.ID)
	bob.shown(step.Failed, 2, step.Failed)
	bob.ask(onStep(operation.RetryFailed))
	bob.sees(dialog + ` .names li`)
	for _, got := range eval[[]string](bob, loose) {
		t.Errorf("the job with a dialog: not isolated: %s", got)
	}
	bob.click(closing)
	bob.click(stepButton(3)) // with confirmers
	bob.illegal(onStep(operation.Confirm))
	for _, got := range eval[[]string](bob, loose) {
		t.Errorf("the confirmation: not isolated: %s", got)
	}
}

// Rules with a transition from a state to itself are drawn.
func TestSelfLoop(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	alice := b.as(t, "alice", c.rewritten(t, func(path string, answer map[string]any) {
		if path == "/v1/rules" {
			answer["rows"] = append(answer["rows"].([]any), map[string]any{
				"cause": "custom-32", "on": []any{"confirmation"}, "from": []any{"waiting"}, "to": "waiting",
			})
		}
	}))
	alice.job(job)
	alice.shown(step.Waiting, 1, step.Waiting)
	alice.sees(`.machine .edge[data-from="waiting"][data-to="waiting"] [data-code="custom-32"]`)
	alice.contiguous(2)
	alice.operate(onStep(operation.TerminateConfirmation), "")
	alice.shown(step.ConfirmationTerminated, 1, step.ConfirmationTerminated)

	// And so is every other machine.
	if got := eval[string](alice, `import("/static/layout.js").then(({layOut}) => {
		let seed = 1
		const random = (n) => (seed = seed * 48271 % 2147483647) % n
		for (let i = 0; i < 300; i++) {
			const states = Array.from({length: 1 + random(8)}, (_, n) => "s" + n), pairs = new Map()
			for (let n = random(20); n > 0; n--) {
				const t = {from: states[random(states.length)], to: states[random(states.length)]}
				pairs.set(t.from + t.to, t)
			}
			const machine = {states, transitions: [...pairs.values()]}
			try {
				const {nodes, edges, loops, width, height} = layOut(machine, {width: 116, height: 34, label: () => 40})
				const numbers = [...nodes, ...loops, ...edges.flatMap(e => [...e.points, e.label])].flatMap(p => [p.x, p.y]).concat(width, height)
				if (!numbers.every(Number.isFinite) || nodes.length !== states.length || edges.length + loops.length !== pairs.size) throw Error("incomplete")
			} catch (e) { return e + ": " + JSON.stringify(machine) }
		}
		return ""
	})`); got != "" {
		t.Error(got)
	}
}

// The page shows everything else if it cannot draw the rules.
func TestUndrawnRules(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	alice := b.as(t, "alice", c.rewritten(t, func(path string, answer map[string]any) {
		if path != "/v1/rules" {
			return
		}
		for _, kind := range answer["kinds"].([]any) {
			for _, row := range kind.(map[string]any)["lifecycle"].([]any) {
				row.(map[string]any)["from"] = 7
			}
		}
	}))
	alice.allow("forEach is not a function")
	alice.job(job)
	alice.shown(step.Waiting, 1, step.Waiting)
	alice.sees(`[data-undrawn]`)
	alice.contiguous(2)
	alice.operate(onStep(operation.TerminateConfirmation), "")
	alice.shown(step.ConfirmationTerminated, 1, step.ConfirmationTerminated)
	alice.contiguous(3)
}
