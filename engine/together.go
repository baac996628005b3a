package engine

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// REPORTS THAT MEET. Those that wait for the same step are decided one after the other, each
// on what the one before leaves, and committed as one change with a record each.

// joinLine waits in line with a report for a turn of its own, or until it is decided and
// committed together with others: then it is served, and the call that is returned has the
// answer. If ctx ends before, that is another call, as c may still be in use.
func (e *Engine) joinLine(ctx context.Context, c *call, r *Report) (answer *call, served bool, err error) {
	r.Results = slices.Clone(r.Results) // the caller may leave
	e.setTimeAndID(c, r)
	p := &place{call: c, report: r}
	sent, err := e.lines.wait(ctx, lineOf{e.scope, r.Job}, p, false)
	if err != nil {
		left := e.newCall()
		left.job, left.step, left.began = r.Job, r.Step, c.began
		if sent {
			err = &UnknownOutcomeError{Job: r.Job, Request: r.request, Err: err}
		}
		return left, true, err
	}
	if c.turn = p.turn; c.turn.held() {
		c.now = step.At(e.now()) // a deadline may have passed meanwhile
		return c, false, nil
	}
	return c, p.batch.settled && !p.alone, p.err
}

// serve decides the reports of a batch, commits what they change, and answers each of them. They
// are left to be decided alone where that cannot be done, or the outcome is unknown.
func (e *Engine) serve(ctx context.Context, b *batch) {
	defer func() { // even if the goroutine is ended
		e.lines.leave(b.turn)
		e.lines.answer(b)
	}()
	for {
		again := false
		if contain(func() error { again = e.tryTogether(ctx, b); return nil }) != nil {
			b.settled = false
		}
		if !again {
			return
		}
		e.lines.leave(b.turn)
		if e.backOff(ctx, b.places[0].call.lost) != nil {
			return
		}
		p := new(place)
		if _, err := e.lines.wait(ctx, b.of, p, false); err != nil {
			return
		}
		b.turn = p.turn
	}
}

// tryTogether decides and commits once, on the view that the last commit has left or else on a
// fresh one. Another try is due after a conflict: it looks for the request of the first record
// that was sent, with which all others were carried out.
func (e *Engine) tryTogether(ctx context.Context, b *batch) (again bool) {
	b.settled = false
	b.at, b.failures = e.clock.host(), e.lines.failures.Load()
	q := b.query()
	if view, ok := e.recall(b.turn, &q, b.at); ok && e.commitTogether(ctx, b, view, true) {
		return false
	}
	q.Request = b.first.Request
	view, err := e.store.View(ctx, q)
	switch {
	case errors.Is(err, store.ErrNotFound): // the job or the step: each of them finds out
		return false
	case err != nil:
		b.fail(wrap(b.of.job, err))
		return false
	case view.Replay != nil && view.Replay.Seq == b.first.Seq:
		b.settle()
		return false
	}
	return !e.commitTogether(ctx, b, view, false) && b.lose()
}

// commitTogether decides the reports of b on view, and commits what they change. It reports whether
// b needs no other try: not after a conflict, nor if nothing changes on a view that was recalled.
func (e *Engine) commitTogether(ctx context.Context, b *batch, view store.View, recalled bool) bool {
	b.recalled = recalled
	change := e.decideTogether(b, view)
	for len(change.Records) > 0 && !e.lines.send(b) { // without those who have left
		change = e.decideTogether(b, view)
	}
	if len(change.Records) == 0 {
		b.settled = !recalled
		return !recalled
	}
	b.first = change.Records[0]
	err := contain(func() error { return e.store.Commit(ctx, change) })
	switch {
	case err == nil:
		b.turn.keep(view, recalled, &change, b.at, b.failures)
		b.settle()
		return true
	case errors.Is(err, store.ErrConflict):
		return false
	}
	for _, p := range b.decided {
		if p.changes() {
			p.call.doubts(err, view.Job.Version)
			p.call.sent = p.call.decision.Report
		}
	}
	return true
}

// settle has the answers stand, now that the commit has passed. On a view that was recalled, those
// that were not part of it are left to be decided on a fresh one.
func (b *batch) settle() {
	b.settled = true
	for _, p := range b.decided {
		p.alone = p.alone || b.recalled && !p.changes()
	}
}

// decideTogether decides the reports of b whose callers are there, and returns what they change. A
// report that may meet a deadline that has passed is left to be decided alone.
func (e *Engine) decideTogether(b *batch, view store.View) (change store.Change) {
	b.decided = e.lines.present(b)
	known, changed := map[int32]store.Target{}, map[int32]store.Target{}
	for _, t := range view.Targets {
		known[t.Index] = t
	}
	now := step.At(e.now())
	for _, p := range b.decided {
		c := p.call
		c.now, p.err = now, nil
		view.Targets = named(known, p.report)
		p.alone = mayMeetDeadline(&view, p.report) && (view.Step.ID != view.Job.Current || overdue(&view, now))
		if c.reset(); p.alone {
			continue
		}
		if refusal := e.decide.on(e.rules, &view, p.report, operation.Move{}, now, &c.decision); refusal != nil {
			p.err = refusal
			continue
		}
		if !p.changes() {
			continue
		}
		one := c.decision.Change
		view = view.After(one)
		for _, t := range view.Targets {
			known[t.Index] = t
		}
		for _, t := range one.Targets {
			changed[t.Index] = t
		}
		change.Job, change.Steps, change.Records = one.Job, one.Steps, append(change.Records, one.Records...)
	}
	for _, index := range slices.Sorted(maps.Keys(changed)) {
		change.Targets = append(change.Targets, changed[index])
	}
	return change
}

// named returns the targets of a report, of those that are known.
func named(known map[int32]store.Target, r *Report) (targets []store.Target) {
	for i := range r.Results {
		if t, ok := known[r.Results[i].Target]; ok {
			targets = append(targets, t)
		}
	}
	return targets
}

// changes reports whether p's report changes something, as it was decided last.
func (p *place) changes() bool { return p.err == nil && p.call.decision.Changes() }

// query asks for what deciding on b needs: each target once.
func (b *batch) query() store.Query {
	first := b.places[0].report
	q := store.Query{Scope: b.of.scope, Job: first.Job, Step: first.Step, Request: b.first.Request}
	for _, p := range b.places {
		for i := range p.report.Results {
			q.Targets = append(q.Targets, p.report.Results[i].Target)
		}
	}
	slices.Sort(q.Targets)
	q.Targets = slices.Compact(q.Targets)
	return q
}

// fail answers all of b with err.
func (b *batch) fail(err error) {
	b.settled = true
	for _, p := range b.places {
		p.alone, p.err = false, err
	}
}

// lose counts a race that was lost: another try is due, or one too many was lost.
func (b *batch) lose() (again bool) {
	var err error
	for _, p := range b.places {
		if again, err = p.call.lose(); !again {
			p.alone, p.err, b.settled = false, err, true
		}
	}
	return again
}
