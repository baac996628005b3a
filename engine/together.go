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

// REPORTS THAT MEET. Reports that wait for the same step are decided one after the other, each
// on the state that the one before leaves, and committed as one change with a record each.

// joinLine waits in line with a report for a turn of its own, or until the report is decided and
// committed together with others: then served is true, and the returned call has the answer. If
// ctx ends before, the returned call is another one, as c may still be in use.
func (e *Engine) joinLine(ctx context.Context, c *call, r *Report) (answer *call, served bool, err error) {
	r.Results = slices.Clone(r.Results) // the caller may leave
	e.setTimeAndID(c, r)
	p := &place{call: c, report: r}
	sent, err := e.lines.wait(ctx, lineOf{e.scope, r.Job}, p, false)
	if err != nil {
		left := e.newCall(Request{})
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

// serve decides the reports of a batch, commits their changes, and answers each report. If that
// cannot be done, or the outcome is unknown, the callers decide them alone.
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

// tryTogether decides and commits once, on the kept view if there is one, or else on a fresh one.
// Another try is due after a conflict: it looks for the request of the first record that was sent;
// if that one was carried out, all others were.
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
	case errors.Is(err, store.ErrNotFound): // the job or the step: each caller finds out
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

// commitTogether decides the reports of b on view, and commits their changes. It reports whether b
// is done: another try is due after a conflict, and if nothing changes on a recalled view.
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

// settle makes the answers final after the commit has passed. On a recalled view, reports that
// were not part of the commit are left for a decision on a fresh one.
func (b *batch) settle() {
	b.settled = true
	for _, p := range b.decided {
		p.alone = p.alone || b.recalled && !p.changes()
	}
}

// decideTogether decides the reports of b whose callers have not left, and returns their change. A
// report that may meet a passed deadline is left for its caller to decide alone.
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
		if n := len(change.Records); n > 0 && change.Records[n-1].Moves() { // a change has results of one attempt
			c.reset()
			p.alone = true
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
		change.Batches, change.Turn = one.Batches, one.Turn
	}
	for _, index := range slices.Sorted(maps.Keys(changed)) {
		change.Targets = append(change.Targets, changed[index])
	}
	return change
}

// named returns the known targets that a report names.
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

// lose counts a lost race. It reports that another try is due, or answers all of b with
// ErrConflict after the last one.
func (b *batch) lose() (again bool) {
	var err error
	for _, p := range b.places {
		if again, err = p.call.lose(); !again {
			p.alone, p.err, b.settled = false, err, true
		}
	}
	return again
}
