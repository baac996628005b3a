package browser

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stepgate/stepgate/step"
)

// clockwork gives each document a clock that skip puts forward: the page's timers that are then due
// run at once, at the new time.
const clockwork = `{
	const date = Date.now, ticks = performance.now.bind(performance), interval = setInterval
	const all = new Map()
	let ahead = 0
	Date.now = () => date() + ahead
	performance.now = () => ticks() + ahead
	globalThis.setInterval = (f, ms) => { const id = interval(f, ms); all.set(id, f); return id }
	const clear = clearInterval
	globalThis.clearInterval = (id) => { all.delete(id); clear(id) }
	globalThis.skip = (ms) => { ahead += ms; for (const f of [...all.values()]) f() }
}`

// timed gives every document that p opens from now on a clock that skip puts forward.
func (p *page) timed() {
	p.t.Helper()
	p.always(clockwork)
}

// skip puts the page's clock forward.
func (p *page) skip(seconds string) {
	p.t.Helper()
	p.do("skip", evaluate(`skip(1000 * `+seconds+`)`))
}

// A page says that it is live for 40 s after the server's last sign of life, even if the connection
// stays open, and again once the server answers.
func TestHaltedServer(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	list, one := b.as(t, "alice", c.url), b.as(t, "bob", c.url)
	other := one
	for _, p := range []*page{list, one} {
		p.timed()
		p.allow("net::ERR_")
	}
	list.list()
	one.job(job)
	other = one.another()
	other.timed()
	other.job(job)
	pages := []*page{list, one, other}
	for _, p := range pages {
		p.sees(connected())
	}

	if err := halt(c.cmd); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = resume(c.cmd) })
	for _, p := range pages {
		p.skip("20")
		if !eval[bool](p, `document.querySelector("#connection").dataset.connection === "connected"`) {
			t.Error("20 s after the last word of the server, a page is not live any more")
		}
		p.skip("20")
		if got := eval[string](p, `document.querySelector("#connection").dataset.connection`); got != "lost" {
			t.Errorf("40 s after the last word of the server, the connection is %q, want lost", got)
		}
		p.skip("200")
		if got := eval[string](p, `document.querySelector("#connection").dataset.connection`); got != "lost" {
			t.Errorf("240 s after the last word of the server, the connection is %q, want lost", got)
		}
	}
	if err := resume(c.cmd); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client(t, "alice").operate(job, 1, toggles[0].code); err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		p.sees(connected())
	}
	list.sees(row(job) + `[data-state="confirmation_terminated"]`)
	for _, p := range pages[1:] {
		p.shown(toggles[0].to, 1, toggles[0].to)
		p.contiguous(3)
	}
}

// A page that has seen more records than a store that was restored from a backup reads everything
// again and says so.
func TestRestoredStore(t *testing.T) {
	t.Parallel()
	b := start(t)
	folder := t.TempDir()
	kept, backup := filepath.Join(folder, "jobs.db"), filepath.Join(folder, "backup.db")
	first := run(t, "-store", "sqlite:"+kept)
	job := first.client(t, "alice").question()
	first.end()
	text, err := os.ReadFile(kept)
	if err == nil {
		err = os.WriteFile(backup, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}

	second := run(t, "-store", "sqlite:"+kept)
	wire := newProxy(t, second)
	alice := b.as(t, "alice", wire.url)
	windows := []*page{alice, alice.another()}
	for _, p := range windows {
		p.allow("net::ERR_")
		p.job(job)
		p.shown(step.Waiting, 1, step.Waiting)
	}
	for i := range 3 {
		alice.operate(onStep(toggles[i%2].code), "")
	}
	for _, p := range windows {
		p.shown(toggles[0].to, 1, toggles[0].to)
		p.contiguous(5)
	}
	second.end()

	wire.lead(run(t, "-store", "sqlite:"+backup))
	for _, p := range windows {
		p.shows(notice, "restored from a backup")
		p.shown(step.Waiting, 1, step.Waiting)
		p.sees(connected())
		p.contiguous(2)
	}
	windows[1].operate(onStep(toggles[0].code), "after the restore")
	for _, p := range windows {
		p.shown(toggles[0].to, 1, toggles[0].to)
		p.contiguous(3)
		p.recorded("after the restore")
	}
}
