package enginetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/player"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A message is a report as it was sent once.
type message struct {
	engine.Report
	open    bool // it may have been counted, or be counted later
	counted bool
	records int
}

// report sends a report and checks whether the answer is true. It reports whether the executor need
// not repeat it: it was accepted, or the attempt is over.
func (x *executor) report(e *engine.Engine, r *run, results []engine.TargetResult, outcome step.Cause) bool {
	if len(results) == 0 && outcome == 0 {
		return false
	}
	x.muddled = false
	m := x.message(r, results, outcome)
	receipt, err := e.Report(context.Background(), m.Report)
	return x.answered(r, m, receipt, err)
}

// message notes a report that is about to be sent.
func (x *executor) message(r *run, results []engine.TargetResult, outcome step.Cause) *message {
	m := &message{Report: engine.Report{
		Job: r.job, Step: r.step, Attempt: r.attempt, Results: results, Outcome: outcome, By: fmt.Sprint(x.name, ", report ", len(x.sent)+1),
	}}
	x.sent[m.By] = m
	return m
}

// answered checks whether the answer to a report is true, and returns the result of report.
func (x *executor) answered(r *run, m *message, receipt engine.ReportReceipt, err error) bool {
	x.Logf("%s: report on job %d, step %d, attempt %d: %+v %v: %+v, %v", m.By, m.Job, m.Step, m.Attempt, m.Results, m.Outcome, receipt, err)
	switch {
	case x.crashed:
		m.open = true
		return false
	case err == nil && receipt.Seq != 0:
		m.counted = true
		x.stands(m, receipt)
		x.simulation.seen["report: counted"]++
		return true
	case err == nil:
		m.open = x.muddled
		x.simulation.seen["report: nothing new"]++
		return true
	case errors.Is(err, engine.ErrUnknownOutcome):
		m.open = true
		x.simulation.seen["report: unknown"]++
		if x.calm {
			x.Fatalf("promise 1: report %+v: got %v, want an answer", m.Report, err)
		}
		return false
	case player.Refused(err):
		m.open = x.muddled
		x.simulation.seen["report: refused"]++
		if isOver(err, r.attempt) {
			r.over = true
			return true
		}
		x.simulation.seen["report: refused for what was"]++
		if !x.muddled {
			x.Fatalf("promise 1: report %+v: got %v, want it taken, or refused by a later attempt", m.Report, err)
		}
		return false
	}
	m.open = x.muddled
	x.simulation.seen["report: failed"]++
	if x.calm {
		x.Fatalf("promise 1: report %+v: got %v, want an answer", m.Report, err)
	}
	return false
}

// isOver reports whether an error says that an attempt is over. A stale refusal that shows an earlier
// attempt, or this one as under way, does not: the engine has read an old state.
func isOver(err error, attempt int32) bool {
	refusal, ok := errors.AsType[*engine.Refusal](err)
	return ok && refusal.Reason == operation.Stale &&
		(refusal.Attempt > attempt || refusal.Attempt == attempt && !refusal.State.Attempting())
}

// stands checks that a report was counted as its receipt says, for its attempt.
func (x *executor) stands(m *message, receipt engine.ReportReceipt) {
	history, err := x.good.History(context.Background(), store.Scope{}, m.Job, store.Page[store.Seq]{After: receipt.Seq - 1, Limit: 1})
	if err != nil || len(history) != 1 {
		x.Fatalf("promise 1: report %+v was counted as %+v, the history has %+v (%v)", m.Report, receipt, history, err)
	}
	if r := history[0]; r.Actor != m.By || r.To != receipt.State || r.JobTo != receipt.JobState || int(r.Results) > receipt.Accepted {
		x.Fatalf("promise 1: report %+v was counted as %+v, the history has %+v", m.Report, receipt, r)
	}
}

// isOf reports whether a record is of the report m. Promise 4: it is of the report's attempt.
func (m *message) isOf(r *store.Record) bool {
	return byReport(r) && r.Job == m.Job && r.Step == m.Step && attemptBefore(r) == m.Attempt && (r.Cause == m.Outcome || m.Outcome == 0)
}
