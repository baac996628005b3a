package histories

import (
	"context"
	"errors"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/crowd"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A fate is the fate of the first change that reports share when they meet.
type fate string

const (
	passes    fate = "pass"
	keptView  fate = "pass at once, on what the first one has left"
	loses     fate = "lose a race"
	inDoubt   fate = "take effect, and the store fails"
	withdrawn fate = "take no effect, as the store fails"
)

var fates = []fate{passes, keptView, loses, loses, inDoubt, withdrawn} // a rival is refused half of the times

// The keys of a history's tally for reports that meet: for each report that waited in line behind
// another one, and for each first change that they shared.
const (
	met       = "met"
	oneChange = "met, and were one change"
	lostRace  = "met, and lost a race"
	done      = "met, in doubt and done"
	undone    = "met, in doubt and undone"
	cameAgain = "met, and came again"
	cameLate  = "met, and came again when another engine had changed the job"
)

// meetings are the minimums of these over all histories of a run: a fifth to a half of the usual
// number.
var meetings = map[string]int{met: 400, oneChange: 20, lostRace: 8, done: 6, undone: 6, cameAgain: 60, cameLate: 30}

// A meeting is reports on the current attempt of a step that wait in line at the same moment. Played
// one by one, they come in the same order, and the rival's change comes where the shared change lost
// to it.
type meeting struct {
	*performer
	viewpoint
	job     *job
	fate    fate
	reports []engine.Report // the first one is held up until all others wait
	rival   player.Ask      // to whose change the shared one loses
	numbers []uint64        // of the engine, for each report and the rival

	receipts []engine.ReportReceipt
	errs     []error
	record   store.Record // of the rival
	rivalErr error
}

// meet makes reports meet. Then another engine changes the job, and one of the reports is repeated.
func (p *performer) meet(ctx context.Context, j *job, at *store.View) {
	due := at.Step.Due != 0 && at.Step.Due <= step.At(p.now.Add(keptFor))
	if at.Step.State != step.Running || due {
		p.act(ctx, j, at)
		return
	}
	e := viewpoint{Engine: p.engine}
	if j.spec.Scope != (store.Scope{}) && p.oneIn(2) {
		e = viewpoint{p.engine.In(j.spec.Scope), j.spec.Scope}
	}
	left := p.unfinished(ctx, e, j, &at.Step)
	if len(left) < 2 {
		p.act(ctx, j, at)
		return
	}
	m := &meeting{performer: p, viewpoint: e, job: j, fate: one(p, fates), rival: p.wish(j, at)}
	m.reports = m.draw(&at.Step, left)
	for range len(m.reports) + 1 {
		m.numbers = append(m.numbers, p.Uint64())
	}
	m.receipts, m.errs = make([]engine.ReportReceipt, len(m.reports)), make([]error, len(m.reports))
	if p.together {
		m.together(ctx)
	} else {
		m.oneByOne(ctx)
	}
	m.tell()
	m.again(ctx)
}

// keptFor is how long an engine keeps the state of a job after a report.
const keptFor = time.Second

// draw draws the reports. The second one has news of a target that the first one omits. A running
// target has exit code 0: a report that changes nothing then changes nothing later, either.
func (m *meeting) draw(s *store.Step, left []int32) []engine.Report {
	report := func(results ...engine.TargetResult) engine.Report {
		return engine.Report{Job: m.job.id, Step: s.ID, Attempt: s.Attempt, By: one(m.performer, people), Results: results}
	}
	result := func(target int32, status step.Status) engine.TargetResult {
		return engine.TargetResult{Target: target, Result: store.Result{Status: status}}
	}
	first := report(result(left[0], step.TargetRunning))
	reports := []engine.Report{first, report(result(left[1], one(m.performer, []step.Status{step.TargetSucceeded, step.TargetFailed})))}
	reports = append(reports, first) // at least two wait: no engine refuses this one before it waits
	if m.fate == withdrawn {         // all are decided anew, in any order
		return append(reports, first)
	}
	for range 1 + m.IntN(3) {
		r := report()
		for range 1 + m.IntN(3) {
			r.Results = append(r.Results, m.results([]int32{one(m.performer, left)}, m.successes(m.job))...)
		}
		for i := range r.Results {
			if r.Results[i].Status == step.TargetRunning {
				r.Results[i].ExitCode = 0
			}
		}
		if m.oneIn(8) {
			r.Outcome, r.Reason = one(m.performer, []step.Cause{step.Stopped, step.Broke}), m.reason()
		}
		reports = append(reports, r)
	}
	return append(reports, one(m.performer, reports))
}

// begin makes the engine draw the numbers of a report.
func (m *meeting) begin(i int) { m.number = m.numbers[i] }

// wait moves the clock on once the first report has come, unless the engine should still keep the
// job for the others.
func (m *meeting) wait() {
	if m.fate != keptView {
		m.now = m.now.Add(keptFor)
	}
}

func (m *meeting) report(ctx context.Context, i int) {
	m.receipts[i], m.errs[i] = m.Engine.Report(ctx, m.reports[i])
}

// compete sends the rival's request to another engine.
func (m *meeting) compete(ctx context.Context) {
	m.begin(len(m.reports))
	m.record, m.rivalErr = m.rival.Send(ctx, m.rivals)
}

// oneByOne plays the reports one after the other.
func (m *meeting) oneByOne(ctx context.Context) {
	for i := range m.reports {
		m.begin(i)
		m.report(ctx, i)
		if i > 0 {
			continue
		}
		m.wait()
		if m.fate == loses {
			m.compete(ctx)
		}
	}
}

// together makes the reports meet.
func (m *meeting) together(ctx context.Context) {
	m.stage.Shared = m.shared(ctx)
	meeting := crowd.Meeting{
		First: func(ctx context.Context) { m.begin(0); m.report(ctx, 0) },
		Ready: func() { m.begin(0) },
	}
	for i := 1; i < len(m.reports); i++ {
		meeting.Others = append(meeting.Others, func(ctx context.Context) {
			if i == 1 {
				m.wait()
			}
			m.begin(i)
			m.report(ctx, i)
		})
	}
	m.Tally[met] += meeting.Hold(ctx)
}

// shared commits a change that the reports share: the first change has the meeting's fate.
func (m *meeting) shared(ctx context.Context) func(context.Context, store.Change) error {
	first := true
	return func(shared context.Context, c store.Change) error {
		met := first
		if first = false; !met {
			return m.stage.Store.Commit(shared, c)
		}
		if m.fate == loses {
			m.compete(ctx)
		}
		err := errStore
		if m.fate != withdrawn {
			err = m.stage.Store.Commit(shared, c)
		}
		switch {
		case m.fate == withdrawn:
			m.Tally[undone]++
		case m.fate == inDoubt && err == nil:
			m.Tally[done]++
			return errStore
		case m.fate == loses && errors.Is(err, store.ErrConflict):
			m.Tally[lostRace]++
		case err == nil && len(c.Records) > 1:
			m.Tally[oneChange]++
		}
		return err
	}
}

// errStore is the error of a commit of reports whose outcome is unknown.
var errStore = errors.New("the connection is lost")

// tell writes the answers to the reports. Reports that change nothing can be decided again once the
// others are done, at any moment, so their answers are left out.
func (m *meeting) tell() {
	m.ask("job %d: %d reports meet on attempt %d of step %d, and %v, %v", m.job.id, len(m.reports), m.reports[0].Attempt, m.reports[0].Step, m.fate, m.viewpoint)
	for i := range m.reports {
		m.row(described(&m.reports[i]))
		receipt, err := m.receipts[i], m.errs[i]
		if m.fate != passes && m.fate != loses && receipt.Seq == 0 {
			m.row("nothing changes")
			continue
		}
		answer(m.History, receipt, err)
	}
	if m.fate == loses {
		m.row(m.rival.String())
		answer(m.History, m.record, m.rivalErr)
	}
}

// again makes another engine change the job, and repeats one of the reports: its answer must not come
// from the state that the engine has kept.
func (m *meeting) again(ctx context.Context) {
	at, ok := m.look(ctx, m.job)
	if !ok {
		return
	}
	a := m.wish(m.job, at)
	m.number = m.Uint64()
	m.ask("%v, of another engine", a)
	record, err := a.Send(ctx, m.rivals)
	answer(m.History, record, err)
	r := one(m.performer, m.reports)
	if m.oneIn(3) {
		r.Attempt++ // it is refused, by the version of the job
	}
	m.number = m.Uint64()
	m.ask("job %d: report on attempt %d of step %d again: %v, %v", r.Job, r.Attempt, r.Step, described(&r), m.viewpoint)
	receipt, err2 := m.Engine.Report(ctx, r)
	answer(m.History, receipt, err2)
	m.Tally[cameAgain]++
	if err == nil && !a.DryRun {
		m.Tally[cameLate]++
	}
}
