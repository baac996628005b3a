package browser

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// How long does it take from a click on the button of a dialog until the new state is on the screen,
// and from the request of another person? The test prints the figures and judges none: they depend on
// the load of the machine.
func TestLatency(t *testing.T) {
	b, c := start(t), run(t)
	operations := 60
	if testing.Short() {
		operations = 10
	}
	bob := c.client(t, "bob")
	job := bob.question()
	alice := b.as(t, "alice", c.url)
	alice.job(job)
	alice.shown(step.Waiting, 1, step.Waiting)
	alice.do("stopwatch", evaluate(stopwatch))

	var own []time.Duration
	for i := range operations {
		next := toggles[i%2]
		alice.ask(onStep(next.code))
		alice.do("start", evaluate(fmt.Sprintf(`void (painted = watch(%s, %q))`, quote(stepButton(1)), next.to)))
		alice.click(confirm)
		own = append(own, milliseconds(eval[float64](alice, `painted.then(at => at - clicked)`)))
		alice.until(`!document.querySelector("dialog")`)
	}
	report(t, "click to new state on the screen", own)

	ahead := alice.clock()
	var others []time.Duration
	for i := range operations {
		next := toggles[i%2]
		alice.legal(onStep(next.code))
		alice.do("start", evaluate(fmt.Sprintf(`void (painted = watch(%s, %q))`, quote(stepButton(1)), next.to)))
		began := time.Now()
		if _, err := bob.operate(job, 1, next.code); err != nil {
			t.Fatal(err)
		}
		at := milliseconds(eval[float64](alice, `painted.then(at => performance.timeOrigin + at)`))
		others = append(others, at-ahead-time.Duration(began.UnixNano()))
	}
	report(t, "request of another to new state on the screen", others)
	if n := len(bob.history(job)); n != 2+2*operations {
		t.Errorf("%d records after %d operations, want %d", n, 2*operations, 2+2*operations)
	}
	if _, err := bob.operate(job, 1, operation.Confirm); err != nil {
		t.Error(err)
	}
}

// stopwatch defines clicked, the moment of the last click, and watch(selector, state), a promise of
// the moment at which the first frame with an element in a state is on the screen.
const stopwatch = `
	var clicked = 0, painted
	addEventListener("click", e => { clicked = e.timeStamp }, true)
	function watch(selector, state) {
		return new Promise(done => {
			const seen = new MutationObserver(() => {
				if (document.querySelector(selector)?.dataset.state !== state) return
				seen.disconnect()
				requestAnimationFrame(() => {
					const after = new MessageChannel()
					after.port1.onmessage = () => done(performance.now())
					after.port2.postMessage(null)
				})
			})
			seen.observe(document, {subtree: true, childList: true, attributes: true})
		})
	}`

// clock returns how far the page's clock is ahead of this process's, from the fastest of some
// questions.
func (p *page) clock() time.Duration {
	p.t.Helper()
	fastest, ahead := time.Hour, time.Duration(0)
	for range 20 {
		asked := time.Now()
		there := milliseconds(eval[float64](p, `performance.timeOrigin + performance.now()`))
		if took := time.Since(asked); took < fastest {
			fastest, ahead = took, there-time.Duration(asked.UnixNano())-took/2
		}
	}
	return ahead
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// report prints the median and the 95th percentile.
func report(t *testing.T, what string, all []time.Duration) {
	t.Helper()
	slices.Sort(all)
	at := func(percent int) time.Duration { return all[(len(all)*percent+99)/100-1] }
	const unit = 100 * time.Microsecond
	ms := func(d time.Duration) string {
		return fmt.Sprintf("%.1f ms", float64(d.Round(unit))/float64(time.Millisecond))
	}
	t.Logf("browser: %s: p50 %s, p95 %s, n=%d", what, ms(at(50)), ms(at(95)), len(all))
}
