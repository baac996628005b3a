package linearizability

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Meetings count the outcomes of reports that met: they waited in line at the same moment and were
// committed as one change.
type Meetings struct {
	Met      int // reports that waited in line behind another one
	Shared   int // changes of two reports or more that were committed
	Lost     int // that lost a race to another engine's change
	Found    int // that took effect, while the store failed
	NotFound int // that took no effect, as the store failed
	Again    int // reports sent again and answered: while the first one waits, or after it
	Kept     int // of these, once another engine had moved the job on
}

// add adds the counts of others.
func (m *Meetings) add(n Meetings) {
	m.Met += n.Met
	m.Shared += n.Shared
	m.Lost += n.Lost
	m.Found += n.Found
	m.NotFound += n.NotFound
	m.Again += n.Again
	m.Kept += n.Kept
}

// enough fails t if an outcome is too rare in all histories of a run: a fifth of its usual number, or
// less.
func (m Meetings) enough(t *testing.T) {
	for _, c := range []struct {
		what    string
		n, want int
	}{
		{"reports waited in line behind another one", m.Met, 200},
		{"changes of several reports were committed", m.Shared, 20},
		{"changes of several reports lost a race", m.Lost, 5},
		{"changes of several reports took effect while the store failed", m.Found, 5},
		{"changes of several reports took no effect as the store failed", m.NotFound, 5},
		{"reports were sent again and answered", m.Again, 100},
		{"reports were sent again once another engine had moved the job on", m.Kept, 25},
	} {
		if c.n < c.want {
			t.Errorf("%d %s, want %d", c.n, c.what, c.want)
		}
	}
}

// A stage is an engine, and its store, on which reports meet.
type stage struct {
	*crowd.Store
	engine *engine.Engine

	mu    sync.Mutex // guards all below
	fates map[store.JobID]fate
	came  Meetings
}

// A fate is the fate of the next change that reports of a job share.
type fate struct {
	kind  string
	rival func() // another engine's change
}

const (
	passes   = "passes"
	loses    = "loses a race"
	found    = "takes effect, and the store fails"
	notFound = "takes no effect, as the store fails"
)

func newStage(st store.Store, observer engine.Observer) *stage {
	s := &stage{Store: &crowd.Store{Store: st}, fates: map[store.JobID]fate{}}
	s.Shared = s.shared
	s.engine = engine.New(s.Store, engine.WithClock(start.Std), engine.WithObserver(observer))
	return s
}

// set sets the fate of a job's next shared change.
func (s *stage) set(id store.JobID, f fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fates[id] = f
}

// shared commits the change that reports share, as their fate says.
func (s *stage) shared(ctx context.Context, c store.Change) error {
	s.mu.Lock()
	f := s.fates[c.Job.ID]
	delete(s.fates, c.Job.ID)
	s.mu.Unlock()
	if f.kind == loses {
		f.rival()
	}
	err := errFault
	if f.kind != notFound {
		err = s.Store.Store.Commit(ctx, c)
	}
	if len(c.Records) > 1 {
		s.note(func(m *Meetings) { m.note(f.kind, err) })
	}
	if f.kind == found {
		return errors.Join(err, errFault)
	}
	return err
}

func (s *stage) note(what func(*Meetings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what(&s.came)
}

// note counts the outcome of a commit of several reports.
func (m *Meetings) note(kind string, err error) {
	switch {
	case err == nil && kind == found:
		m.Found++
	case err == nil:
		m.Shared++
	case kind == notFound:
		m.NotFound++
	case kind == loses && errors.Is(err, store.ErrConflict):
		m.Lost++
	}
}

// meet makes four reports of a step meet, one of which repeats another. Then another engine changes
// the job, and one of the reports is repeated.
func (r *recorder) meet(ctx context.Context, who, job int, c *client) {
	r.ask(ctx, who, job, c, request{Kind: readJob})
	r.ask(ctx, who, job, c, request{Kind: readStep, Ask: player.Ask{Step: c.seen.Job.Current}})
	if c.seen.Step.State != step.Running {
		return
	}
	s, reports := c.stage, c.reports()
	id, rival, overtakes := c.seen.Job.ID, c.twin(c.rivals), c.overtakes()
	s.set(id, fate{player.Of(c, "fate", []string{passes, loses, found, notFound}), func() {
		r.ask(ctx, r.extra(who, len(reports)), job, rival, overtakes)
	}})
	meeting := crowd.Meeting{First: func(ctx context.Context) { r.ask(ctx, who, job, c, reports[0]) }}
	for i, said := range reports[1:] {
		other := c.twin(c.engine)
		meeting.Others = append(meeting.Others, func(ctx context.Context) {
			got := r.ask(ctx, r.extra(who, i+1), job, other, said)
			s.note(func(m *Meetings) { m.again(said, got) })
		})
	}
	waited := meeting.Hold(ctx)
	s.set(id, fate{})
	s.note(func(m *Meetings) { m.Met += waited })

	again, before := player.Of(c, "again", reports), rival.seen.Job.Version
	again.Again = true
	r.ask(ctx, r.extra(who, len(reports)), job, rival, rival.overtakes())
	got := r.ask(ctx, who, job, c, again)
	s.note(func(m *Meetings) {
		m.again(again, got)
		if rival.seen.Job.Version > before {
			m.Kept++
		}
	})
}

// again notes the answer to a report that was sent before.
func (m *Meetings) again(r request, got answer) {
	if r.Again && got != failed && got != unknown {
		m.Again++
	}
}

// extra returns the number of a client that takes part in a meeting of another one, from 1.
func (r *recorder) extra(who, n int) int { return r.history.Clients + 4*who + n }

// twin returns a client of e that knows what c knows.
func (c *client) twin(e *engine.Engine) *client {
	twin := *c
	twin.engine = e
	return &twin
}

// reports draws reports that meet, the last one a repetition. Each says that all targets run, with an
// exit code of its own, so that it is news while a target runs. Some also say that a target has
// ended.
func (c *client) reports() []request {
	all := make([]request, 4, 5)
	for i := range all {
		var results []engine.TargetResult
		for target := range c.seen.Step.Total {
			results = append(results, engine.TargetResult{Target: target, Result: store.Result{Status: step.TargetRunning, ExitCode: int32(1 + c.IntN(1000))}})
		}
		if i > 0 && player.OneIn(c, 2, "finishes") {
			results = append(results, player.Results(c, []int32{c.Int32N(c.seen.Step.Total)}, meets)...)
		}
		all[i] = c.told(results)
	}
	again := player.Of(c, "again", all)
	again.Again = true
	return append(all, again)
}

// meets are the results of targets in reports that meet.
var meets = []step.Status{step.TargetSucceeded, step.NonZeroExit}

func (c *client) told(results []engine.TargetResult) request {
	at := c.seen.Step
	return request{Kind: report, Now: start, Report: engine.Report{Job: c.seen.Job.ID, Step: at.ID, Attempt: at.Attempt, Results: results}}
}

// overtakes draws a change of a running job: a result, or a legal operation.
func (c *client) overtakes() request {
	if c.seen.Step.Total == 0 || player.OneIn(c, 2, "operation") {
		return request{Kind: operate, Ask: c.seen.Ask(c, player.Habits{}), Now: start}
	}
	return c.told(player.Results(c, []int32{c.Int32N(c.seen.Step.Total)}, player.Usual.Statuses))
}

// meets draws whether reports of c meet, if the state that c knows allows it.
func (c *client) meets() bool {
	return c.seen.Step.State == step.Running && player.OneIn(c, 14, "meet")
}
