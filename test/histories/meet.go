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

// A fate is what happens to the first change that reports share which meet.
type fate string

const (
	passes    fate = "pass"
	keptView  fate = "pass at once, on what the first one has left"
	loses     fate = "lose a race"
	inDoubt   fate = "take effect, and the store fails"
	withdrawn fate = "take no effect, as the store fails"
)

var fates = []fate{passes, keptView, loses, inDoubt, withdrawn}

// What a history's tally says of reports that meet: of each that waited in line behind another one,
// and of each first change that they shared.
const (
	met       = "met"
	oneChange = "met, and were one change"
	lostRace  = "met, and lost a race"
	done      = "met, in doubt and done"
	undone    = "met, in doubt and undone"
	cameAgain = "met, and came again"
	cameLate  = "met, and came again when another engine had changed the job"
)

// meetings are how many of these all histories of a run have at least: a fifth of what they mostly do,
// or more.
var meetings = map[string]int{met: 400, oneChange: 25, lostRace: 8, done: 8, undone: 8, cameAgain: 80, cameLate: 50}

// A meeting is reports on the current attempt of a step that wait in line at the same moment. Where
// they are played one by one they come in the same order, and a competitor comes where their shared
// change has lost to it.
type meeting struct {
	*performer
	viewpoint
	job     *job
	fate    fate
	reports []engine.Report // the first one is held up until all others wait
	rival   player.Ask      // to which the change loses
	numbers []uint64        // of the engine, for each report and the rival

	receipts []engine.ReportReceipt
	errs     []error
	record   store.Record // of the rival
	rivalErr error
}

// meet has reports meet, then another engine change the job, and one of the reports come again.
func (p *performer) meet(ctx context.Context, j *job, at *store.View) {
	due := at.Step.Deadline != 0 && at.Step.Deadline <= step.At(p.now.Add(keptFor))
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

// keptFor is for how long an engine keeps what a report has left.
const keptFor = time.Second

// draw draws the reports. The second one tells something new of a target that the first one leaves
// alone. A target that runs has exit code 0: what changes nothing changes nothing later, either.
func (m *meeting) draw(s *store.Step, left []int32) []engine.Report {
	report := func(results ...engine.TargetResult) engine.Report {
		return engine.Report{Job: m.job.id, Step: s.ID, Attempt: s.Attempt, By: one(m.performer, people), Results: results}
	}
	result := func(target int32, status step.Status) engine.TargetResult {
		return engine.TargetResult{Target: target, Result: store.Result{Status: status}}
	}
	first := report(result(left[0], step.TargetRunning))
	reports := []engine.Report{first, report(result(left[1], one(m.performer, []step.Status{step.TargetSucceeded, step.TargetFailed})))}
	reports = append(reports, first) // two at least wait: no engine refuses this one before it does
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

// begin has the engine draw the numbers of a report.
func (m *meeting) begin(i int) { m.number = m.numbers[i] }

// wait has the clock move on once the first report has come, unless what that has left is to serve
// the others.
func (m *meeting) wait() {
	if m.fate != keptView {
		m.now = m.now.Add(keptFor)
	}
}

func (m *meeting) report(ctx context.Context, i int) {
	m.receipts[i], m.errs[i] = m.Engine.Report(ctx, m.reports[i])
}

// compete has the rival ask another engine.
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

// together has the reports meet.
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

// shared returns what becomes of a change that the reports share: the first one meets its fate.
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

// errStore is what a commit of reports fails with that is in doubt.
var errStore = errors.New("the connection is lost")

// tell writes what the reports were answered. Where those that change nothing are decided again,
// once the others are done, it is open at which moment, and so is what they are told.
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

// again has another engine change the job, and sends one of the reports again: it must not be told
// what the engine has kept.
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
