package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stepgate/stepgate/store"
)

// THE LINE OF A JOB. Reports of one job would race each other for its next version, and a person's
// operation would lose every race. In the line they take turns, and the reports that come during a
// turn share the next one. An operation does not wait in the line until it has lost a race: then
// it gets the next turn.

const (
	maxTogether = 128                    // reports that share a turn; their results are at most MaxResults
	turnWait    = 100 * time.Millisecond // for the authorizer of an operation that has the turn
)

// lineOf names a line.
type lineOf struct {
	scope store.Scope // of the engine, not of the job
	job   store.JobID
}

// lines are the lines of an engine and its narrowings.
type lines struct {
	serve func(context.Context, *batch) // carries out a turn that is shared, in a goroutine of its own

	failures atomic.Int64 // of the store

	mu             sync.Mutex // guards all below, and the fields of lines, places and batches that say so
	all            map[lineOf]*line
	pool           sync.Pool // of *line
	oldest, newest *line     // of those that rest: they keep something for the next turn
	rest, targets  int       // number of lines that rest, and of the results that they keep
}

// line is the queue of changes of a job that wait for a turn. It is guarded by its lines.
type line struct {
	of    lineOf
	turn  int      // the number of the one under way; 0 is none
	last  int      // number of a turn
	first []*place // operations that have lost a race: they come before all others
	queue []*place

	kept         kept
	older, newer *line // while it rests
}

// A turn is the right to change a job. The zero turn is none.
type turn struct {
	line *line
	n    int
}

func (t turn) held() bool { return t.line != nil }

// A place is a caller's in a line.
type place struct {
	// The call of a report that may share a turn; nil for any other change.
	call   *call
	report *Report

	called chan struct{} // capacity 1: the place has a turn, or its batch an answer

	// Guarded by the lines until called is sent to.
	turn  turn
	batch *batch // that the report shares a turn with; nil while it waits
	left  bool   // the caller waits no longer

	// The answer of the batch.
	err   error
	alone bool // no answer: the caller decides the report again, in a turn of its own
}

// A batch is reports of one step that share a turn.
type batch struct {
	of     lineOf
	turn   turn
	places []*place // in the order in which they came
	cancel context.CancelFunc

	decided  []*place     // those in the last decision: without callers who had left
	first    store.Record // of the last change that was sent
	recalled bool         // it was decided on a view that was kept
	settled  bool         // the answers in the places stand
	at       time.Time    // by the host's clock, when the last try began
	failures int64        // of the store by then

	// Guarded by the lines.
	here int  // callers who have not left
	sent bool // a commit of the batch was sent: a caller who leaves is in doubt
}

func newLines() *lines {
	l := &lines{all: map[lineOf]*line{}}
	l.pool.New = func() any { return new(line) }
	return l
}

// take takes the turn, if the line is idle.
func (l *lines) take(of lineOf) turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idle(of)
}

// idle returns a turn in an idle line, or no turn. The lines are locked.
func (l *lines) idle(of lineOf) turn {
	in := l.all[of]
	switch {
	case in == nil:
		in = l.pool.Get().(*line)
		in.of, l.all[of] = of, in
	case in.turn != 0:
		return turn{}
	default:
		l.wake(in)
	}
	return in.begin()
}

// begin begins the next turn. The lines are locked.
func (in *line) begin() turn {
	in.last++
	in.turn = in.last
	return turn{in, in.turn}
}

// wait waits until p has the turn, or an answer. If ctx ends before, p leaves the line and
// nothing was done; or its report was sent, and the outcome is unknown.
func (l *lines) wait(ctx context.Context, of lineOf, p *place, first bool) (sent bool, err error) {
	if l.enqueue(of, p, first) {
		return false, nil
	}
	select {
	case <-p.called:
		return false, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch b := p.batch; {
	case len(p.called) > 0: // by now
		return false, nil
	case b == nil:
		in, other := l.all[of], func(other *place) bool { return other == p }
		in.first, in.queue = slices.DeleteFunc(in.first, other), slices.DeleteFunc(in.queue, other)
	default:
		p.left = true
		if b.here--; b.here == 0 {
			b.cancel()
		}
		sent = b.sent
	}
	return sent, ctx.Err()
}

// enqueue gives p the turn if the line is idle, and reports so; otherwise p joins the queue.
func (l *lines) enqueue(of lineOf, p *place, first bool) (called bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.turn = l.idle(of); p.turn.held() {
		if first {
			p.turn.line.kept.forget() // an operation leaves something else
		}
		return true
	}
	p.called = make(chan struct{}, 1)
	in := l.all[of]
	if first {
		in.first = append(in.first, p)
	} else {
		in.queue = append(in.queue, p)
	}
	return false
}

// leave ends a turn, unless it was passed on before, and begins the next one.
func (l *lines) leave(t turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := t.line
	if in.turn != t.n {
		return
	}
	in.turn = 0
	var next *place
	switch {
	case len(in.first) > 0:
		next = in.first[0]
		in.first = slices.Delete(in.first, 0, 1)
		in.kept.forget()
	case len(in.queue) > 0:
		if together := in.together(); len(together) > 1 {
			l.share(in, together)
			return
		}
		next = in.queue[0]
		in.queue = slices.Delete(in.queue, 0, 1)
	default:
		l.lay(in)
		return
	}
	next.turn = in.begin()
	next.called <- struct{}{}
}

// lay puts an empty line that keeps a view to rest, and ends lines that have rested for too long
// or exceed the limits. The lines are locked.
func (l *lines) lay(in *line) {
	if in.kept.view.Job.ID == 0 || in.kept.failures != l.failures.Load() {
		l.end(in)
		return
	}
	if in.older = l.newest; in.older != nil {
		in.older.newer = in
	} else {
		l.oldest = in
	}
	l.newest = in
	l.rest++
	l.targets += len(in.kept.targets)
	for l.oldest != in && (l.rest > keptLines || l.targets > keptTargets || in.kept.at.Sub(l.oldest.kept.at) >= keptFor) {
		oldest := l.oldest
		l.wake(oldest)
		l.end(oldest)
	}
}

// wake removes a line from those that rest. The lines are locked.
func (l *lines) wake(in *line) {
	if in.older != nil {
		in.older.newer = in.newer
	} else {
		l.oldest = in.newer
	}
	if in.newer != nil {
		in.newer.older = in.older
	} else {
		l.newest = in.older
	}
	in.older, in.newer = nil, nil
	l.rest--
	l.targets -= len(in.kept.targets)
}

// end ends a line. The lines are locked.
func (l *lines) end(in *line) {
	in.kept.forget()
	delete(l.all, in.of)
	l.pool.Put(in)
}

// forget drops every kept view.
func (l *lines) forget() {
	l.failures.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for in := l.oldest; in != nil; in = l.oldest {
		l.wake(in)
		l.end(in)
	}
}

// together takes the reports out of the queue that share the next turn: if the first place is a
// report, it and the other reports of its step, if any; else none. The lines are locked.
func (in *line) together() (all []*place) {
	first, results := in.queue[0].report, 0
	if first == nil || len(in.queue) == 1 {
		return nil
	}
	fits := func(r *Report) bool {
		return r == first || r != nil && len(all) < maxTogether && r.Step == first.Step &&
			results+len(r.Results) <= MaxResults
	}
	rest := slices.DeleteFunc(slices.Clone(in.queue), func(p *place) bool {
		if !fits(p.report) {
			return false
		}
		all, results = append(all, p), results+len(p.report.Results)
		return true
	})
	if len(all) > 1 {
		in.queue = rest
	}
	return all
}

// share begins a turn for several reports. The lines are locked.
func (l *lines) share(in *line, together []*place) {
	ctx, cancel := context.WithCancel(context.Background())
	b := &batch{of: in.of, turn: in.begin(), places: together, cancel: cancel, here: len(together)}
	for _, p := range together {
		p.batch = b
	}
	go l.serve(ctx, b)
}

// present returns the places of b whose callers have not left.
func (l *lines) present(b *batch) []*place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.places), func(p *place) bool { return p.left })
}

// send notes that the decision for b is sent, unless the caller of a report in it has left.
func (l *lines) send(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(b.decided, func(p *place) bool { return p.left }) {
		return false
	}
	b.sent = true
	return true
}

// answer wakes the callers of b, whose answers are in their places.
func (l *lines) answer(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range b.places {
		p.called <- struct{}{}
	}
	b.cancel()
}
