package browser

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// question is a job that asks alice and bob. They can refuse and ask again without end, with one
// record each time.
func (c client) question() store.JobID {
	c.t.Helper()
	return c.create("question", spec{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice", "bob"}})
}

// toggles are the operations that move a confirmation to and fro.
var toggles = []struct {
	code operation.Code
	to   step.State
}{
	{operation.TerminateConfirmation, step.ConfirmationTerminated},
	{operation.RestartConfirmation, step.Waiting},
}

// Two persons press the same button at the same time. The operation passes once, and the other page
// says whose request passed and what is legal now.
func TestRace(t *testing.T) {
	t.Parallel()
	b, c := start(t), run(t)
	job := c.client(t, "alice").question()
	alice, bob := b.as(t, "alice", c.url), b.as(t, "bob", c.url)
	tabs := []*page{alice, bob, alice.another()}
	rounds := 4
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

// Several clicks on a dialog make one operation.
func TestDoubleClick(t *testing.T) {
	t.Parallel()
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
