package browser

import (
	"fmt"
	"testing"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A page loses and repeats no event while its connection breaks again and again, and it shows the
// state of the connection.
func TestLostConnection(t *testing.T) {
	t.Parallel()
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
	alice.allow("net::ERR_") // of requests under way, and of those tried meanwhile
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

// The page says that the outcome of a request without an answer is unknown, and then learns it: it
// finds the request if it was carried out, and repeats it, once, if it was not.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
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
	alice.shows(dialog, "The outcome is unknown")
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
	alice.shows(lost, "The history does not have it so far")
	alice.click(lost + ` [data-action="again"]`)
	alice.until(`!document.querySelector("dialog")`)
	alice.shown(toggles[1].to, 1, toggles[1].to)
	alice.sees(connected())
	alice.contiguous(4)
	if got := operator.history(job); len(got) != 4 {
		t.Errorf("%d records after two operations, want 4: %v", len(got), got)
	}
}
