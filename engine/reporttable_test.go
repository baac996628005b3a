package engine_test

import (
	"cmp"
	"fmt"
	"reflect"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// testdata/reports.txt is the book of reports: see legality_test.go for how it is read.

// A message is what an executor or the clock has to say: one column of the book.
type message struct {
	column  string
	event   step.Cause // as the record must have it
	results []step.Status
	outcome step.Cause
	ignore  bool // on a step that ignores errors
	expire  bool // no report, but the deadline
	confirm bool // on a step whose deadline confirms
}

// The targets 1 and 2 are due, and target 0 has succeeded earlier.
var messagesToWork = []message{
	{column: "some_left", results: []step.Status{good}},
	{column: "some_left", results: []step.Status{wrong}, ignore: true},
	{column: "some_left", results: []step.Status{good, step.TargetRunning}},
	{column: "all_ok", event: step.AllSucceeded, results: []step.Status{good, good}},
	{column: "all_ok", event: step.AllSucceeded, results: []step.Status{good, step.SucceededEarlier}, ignore: true},
	{column: "some_failed", event: step.SomeFailed, results: []step.Status{good, wrong}},
	{column: "some_failed", event: step.SomeFailed, results: []step.Status{wrong, step.UnknownStatus}},
	{column: "ignored", event: step.FailuresIgnored, results: []step.Status{wrong, good}, ignore: true},
	{column: "stopped", event: step.Stopped, outcome: step.Stopped},
	{column: "stopped", event: step.Stopped, outcome: step.Stopped, results: []step.Status{good, good}},
	{column: "abnormal", event: step.Broke, outcome: step.Broke},
	{column: "abnormal", event: step.Broke, outcome: step.Broke, results: []step.Status{wrong}, ignore: true},
	{column: "abandoned", event: step.Dropped, outcome: step.Dropped},
	{column: "abandoned", event: step.Dropped, outcome: step.Dropped, results: []step.Status{good, good}},
	{column: "deadline", event: step.Expired, expire: true},
	{column: "deadline", event: step.Expired, expire: true, ignore: true},
}

var messagesToConfirmations = []message{
	{column: "stopped", event: step.Stopped, outcome: step.Stopped},
	{column: "abnormal", event: step.Broke, outcome: step.Broke},
	{column: "abandoned", event: step.Dropped, outcome: step.Dropped},
	{column: "deadline", event: step.Expired, expire: true},
	{column: "deadline_confirms", event: step.ExpiredConfirmed, expire: true, confirm: true},
}

const known = "known" // the cell of a report that tells nothing new

// command returns the message as a command about attempt n.
func (m message) command(n int32) engine.Command {
	if m.expire {
		return &engine.Expire{Job: 7, Step: 2, Attempt: n}
	}
	r := &engine.Report{Job: 7, Step: 2, Attempt: n, By: "executor 1", Outcome: m.outcome, Reason: "link lost"}
	for i, status := range m.results {
		r.Results = append(r.Results, engine.TargetResult{Target: int32(i + 1), Result: store.Result{Status: status}})
	}
	return r
}

// show completes a view with what the message is about.
func (m message) show(v *store.View) {
	v.Step.IgnoreErrors = m.ignore
	if m.expire && v.Step.Deadline != 0 {
		v.Step.Deadline = 14_000
	}
	if m.confirm {
		v.Step.OnTimeout = step.ConfirmOnTimeout
	}
	for i := range m.results {
		v.Targets = append(v.Targets, store.Target{Index: int32(i + 1)})
	}
}

// count returns v as it is once the results of m have been counted, and the rows of the
// targets that changed.
func (m message) count(v store.View) (store.View, []store.Target) {
	var rows []store.Target
	for i, status := range m.results {
		row := store.Target{Index: int32(i + 1), Attempt: v.Step.Attempt, Result: store.Result{Status: status}}
		if status == good || status == step.SucceededEarlier {
			v.Step.Succeeded++
			row.Success = v.Step.Attempt
		}
		if status != step.TargetRunning {
			v.Step.Unfinished--
		}
		rows = append(rows, row)
	}
	return v, rows
}

func TestTheBookOfReportsIsWhole(t *testing.T) {
	b := readBook(t, "testdata/reports.txt")
	for _, typ := range []step.Type{1, 2, 3, 4} {
		for _, s := range step.AllStates() {
			for _, m := range messagesTo(typ) {
				if b.grids[typ][s.String()][m.column] == "" {
					t.Errorf("the book does not say what %s does to %v in %v", m.column, typ, s)
				}
			}
		}
	}
}

func messagesTo(typ step.Type) []message {
	if typ == step.Confirmation {
		return messagesToConfirmations
	}
	return messagesToWork
}

// eachMessage enumerates what can be said of the current attempt in every situation, with the
// cell of the book that it falls into.
func eachMessage(t *testing.T, b book, f func(call, cell string, m message, v *store.View)) {
	t.Helper()
	eachSituation(t, func(s situation) {
		if !s.left && s.typ != step.Confirmation {
			return // nothing is due, and so nothing is under way
		}
		for _, m := range messagesTo(s.typ) {
			v := s.view()
			m.show(&v)
			cell := b.grids[s.typ][s.state.String()][m.column]
			if !s.current && cell != known {
				cell = "stale"
				if s.state == step.Running || s.state == step.Waiting || s.state == step.Terminating {
					cell = "refused" // only the current step is ever under way
				}
			}
			if cell == known && len(m.results) > 0 {
				cell = "stale" // its targets have no result yet
			}
			f(fmt.Sprintf("%s %v of attempt %d on %v", m.column, m.results, v.Step.Attempt, s), cell, m, &v)
		}
	})
}

// Every report and every deadline, in every state, leads where the book says, with
// everything that follows, or is refused for the reason that the book gives.
func TestEveryReportIsDecidedByTheBook(t *testing.T) {
	b, rules, accepted := readBook(t, "testdata/reports.txt"), operation.Standard(), 0
	eachMessage(t, b, func(call, cell string, m message, v *store.View) {
		if cell == "refused" {
			return // see below
		}
		d, err := engine.Decide(rules, *v, m.command(max(v.Step.Attempt, 1)), now) // a pending step has had no attempt
		if reason, unknown := operation.ParseReason(cell); unknown == nil {
			checkReason(t, call, err, reason)
			return
		}
		if err != nil {
			t.Errorf("%s: %v; want %s", call, err, cell)
			return
		}
		if cell == known {
			if want := (engine.ReportReceipt{State: v.Step.State, JobState: v.Job.State}); d.Changes() || !reflect.DeepEqual(d.Report, want) {
				t.Errorf("%s: receipt %+v, changes %v; want %+v and no change", call, d.Report, d.Changes(), want)
			}
			return
		}
		accepted++
		checkReported(t, b, call, m, v, d, mustState(t, cell))
	})
	// 3 types, 2 states and 16 messages, and 1 type, 1 state, 2 messages and twice "left"; each
	// with and without a list, and with 3 kinds of next step.
	if want := (3*2*16 + 1*1*2*2) * 2 * 3; accepted != want {
		t.Errorf("%d messages were accepted, want %d", accepted, want)
	}
}

// Where the book has no reason, as no step is ever there, the report is refused all the same:
// a broken store must not make it count.
func TestNoReportPassesWhereItsStepCannotBe(t *testing.T) {
	b, rules := readBook(t, "testdata/reports.txt"), operation.Standard()
	eachMessage(t, b, func(call, cell string, m message, v *store.View) {
		if cell != "refused" {
			return
		}
		if d, err := engine.Decide(rules, *v, m.command(v.Step.Attempt), now); err == nil {
			t.Errorf("%s is accepted, to %v; want it refused", call, d.Record().To)
		}
	})
}

// checkReported compares what was decided on a message with the book.
func checkReported(t *testing.T, b book, call string, m message, v *store.View, d engine.Decision, to step.State) {
	t.Helper()
	counted, rows := m.count(*v)
	rec, job, steps := b.after(t, &counted, to.String(), to)
	rec.Cause, rec.Reason = m.event, "deadline"
	if !m.expire {
		rec.Cause, rec.Actor, rec.Reason, rec.Results = cmp.Or(m.event, step.Results), "executor 1", "link lost", int32(len(rows))
		r := d.Report
		if r.Seq != rec.Seq || r.State != to || r.JobState != rec.JobTo || r.Accepted != len(rows) || r.Repeated != 0 || len(r.Rejected) != 0 {
			t.Errorf("%s: the report's receipt is %+v; want record %d, %v, job %v, %d accepted", call, r, rec.Seq, to, rec.JobTo, len(rows))
		}
	}
	if len(d.Change.Targets) != len(rows) {
		t.Errorf("%s: %d rows of targets change, want %d", call, len(d.Change.Targets), len(rows))
	}
	for i, row := range d.Change.Targets {
		if row != rows[i] {
			t.Errorf("%s: row %d\n got %+v\nwant %+v", call, i, row, rows[i])
		}
	}
	d.Change.Targets = nil // compared
	checkDecision(t, call, d, rec, job, steps)
}

// A report of another attempt changes nothing, in whatever state the step is.
func TestAReportOfAnotherAttemptIsStale(t *testing.T) {
	rules := operation.Standard()
	eachSituation(t, func(s situation) {
		for _, m := range messagesTo(s.typ) {
			v := s.view()
			m.show(&v)
			for _, n := range []int32{max(v.Step.Attempt, 2) - 1, v.Step.Attempt + 1, 1 << 30} {
				d, err := engine.Decide(rules, v, m.command(n), now)
				checkReason(t, fmt.Sprintf("%s of attempt %d on %v in attempt %d = %+v", m.column, n, s, v.Step.Attempt, d), err, operation.Stale)
			}
		}
	})
}

// A deadline passes when its millisecond comes, and not before.
func TestADeadlineIsStaleUntilItHasPassed(t *testing.T) {
	rules := operation.Standard()
	for _, s := range []situation{
		{typ: step.Script, state: step.Running, current: true, left: true},
		{typ: step.SQL, state: step.Terminating, current: true, left: true},
		{typ: step.Confirmation, state: step.Waiting, current: true},
	} {
		v := s.view()
		for at, reason := range map[step.Time]operation.Reason{v.Step.Deadline - 1: operation.Stale, v.Step.Deadline: 0, v.Step.Deadline + 1: 0} {
			_, err := engine.Decide(rules, v, &engine.Expire{Job: 7, Step: 2, Attempt: v.Step.Attempt}, at)
			checkReason(t, fmt.Sprintf("the deadline %v at %v on %v", v.Step.Deadline, at, s), err, reason)
		}
		v.Step.Deadline = 0
		_, err := engine.Decide(rules, v, &engine.Expire{Job: 7, Step: 2, Attempt: v.Step.Attempt}, now)
		checkReason(t, fmt.Sprintf("no deadline on %v", s), err, operation.Stale)
	}
}

// Once an attempt is over and until the next begins, a report that was taken can be repeated. A
// report that tells something new is stale, and so is one that was never taken. The targets 0
// and 1 have finished in this attempt, target 2 was running when it ended.
func TestAReportRepeatedAfterTheEnd(t *testing.T) {
	const stale = "stale"
	result := func(at int32, status step.Status) engine.TargetResult {
		return engine.TargetResult{Target: at, Result: store.Result{Status: status}}
	}
	all := []engine.TargetResult{result(0, good), result(1, wrong), result(2, step.TargetRunning)}
	for _, c := range []struct {
		results []engine.TargetResult
		outcome step.Cause
		in      step.States
		want    string // the numbers of results that are repeated and rejected
	}{
		{all, 0, step.StatesOf(step.Abnormal, step.Terminated, step.Abandoned, step.Skipped, step.ErrorIgnored), "3 repeated, 0 rejected"},
		{all, step.Broke, step.StatesOf(step.Abnormal, step.Terminated), "3 repeated, 0 rejected"},
		{nil, step.Broke, step.StatesOf(step.Abnormal, step.Terminated), "0 repeated, 0 rejected"},
		{nil, step.Stopped, step.StatesOf(step.Terminated), "0 repeated, 0 rejected"},
		{nil, step.Dropped, step.StatesOf(step.Abandoned), "0 repeated, 0 rejected"},
		{nil, step.Broke, step.StatesOf(step.Abandoned, step.Skipped, step.ErrorIgnored), stale},
		{nil, step.Stopped, step.StatesOf(step.Abnormal, step.Abandoned, step.Skipped), stale},
		{nil, step.Dropped, step.StatesOf(step.Abnormal, step.Terminated), stale},

		// progress before the result that stands, and what had contradicted then
		{[]engine.TargetResult{result(0, step.TargetRunning), result(0, good)}, 0, step.StatesOf(step.Terminated), "1 repeated, 1 rejected"},
		{[]engine.TargetResult{result(1, step.TargetRunning)}, 0, step.StatesOf(step.Terminated), "0 repeated, 1 rejected"},
		{[]engine.TargetResult{result(2, step.TargetWaiting)}, 0, step.StatesOf(step.Terminated), "0 repeated, 1 rejected"},
		{[]engine.TargetResult{result(1, good), result(1, wrong)}, 0, step.StatesOf(step.Terminated), "1 repeated, 1 rejected"},
		{[]engine.TargetResult{result(1, good)}, step.Stopped, step.StatesOf(step.Terminated), "0 repeated, 1 rejected"},

		// never taken
		{[]engine.TargetResult{result(1, good)}, 0, step.StatesOf(step.Abnormal, step.Terminated, step.Abandoned, step.Skipped, step.ErrorIgnored), stale},
		{[]engine.TargetResult{result(0, wrong), result(1, good)}, 0, step.StatesOf(step.Terminated), stale},
		{[]engine.TargetResult{result(2, good)}, 0, step.StatesOf(step.Abnormal, step.Terminated, step.Abandoned, step.Skipped, step.ErrorIgnored), stale},
		{[]engine.TargetResult{result(0, good), result(2, wrong)}, 0, step.StatesOf(step.Terminated), stale},
		{[]engine.TargetResult{result(2, wrong)}, step.Stopped, step.StatesOf(step.Terminated), stale},
	} {
		for state := range c.in.All() {
			for _, current := range []bool{true, false} {
				v := situation{typ: step.Script, state: state, current: current, left: true}.view()
				for i := range c.results {
					row := store.Target{Index: c.results[i].Target, Attempt: atAttempt, Result: all[c.results[i].Target].Result}
					if row.Status.Success() {
						row.Success = atAttempt
					}
					v.Targets = append(v.Targets, row)
				}
				command := &engine.Report{Job: 7, Step: 2, Attempt: atAttempt, Results: c.results, Outcome: c.outcome}
				d, err := engine.Decide(operation.Standard(), v, command, now)
				call := fmt.Sprintf("%v %v on %v (current %v)", c.results, c.outcome, state, current)
				if c.want == stale {
					checkReason(t, call, err, operation.Stale)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v, want %s", call, err, c.want)
					continue
				}
				got := fmt.Sprintf("%d repeated, %d rejected", d.Report.Repeated, len(d.Report.Rejected))
				if got != c.want || d.Changes() || d.Report.Seq != 0 || d.Report.Accepted != 0 || d.Report.State != state {
					t.Errorf("%s: %+v, changes %v; want %s", call, d.Report, d.Changes(), c.want)
				}
				v.Step.Attempt++ // the next attempt has begun
				_, err = engine.Decide(operation.Standard(), v, command, now)
				checkReason(t, call+" of the attempt before", err, operation.Stale)
			}
		}
	}
}

// A target that does not exist is invalid input, in whatever state and attempt the step is.
func TestAReportOnNoTargetIsInvalid(t *testing.T) {
	eachSituation(t, func(s situation) {
		v := s.view()
		for _, n := range []int32{max(v.Step.Attempt, 2) - 1, max(v.Step.Attempt, 1), v.Step.Attempt + 1} {
			_, err := engine.Decide(operation.Standard(), v, &engine.Report{
				Job: 7, Step: 2, Attempt: n, Results: []engine.TargetResult{{Target: v.Step.Total, Result: store.Result{Status: good}}},
			}, now)
			checkReason(t, fmt.Sprintf("target %d of attempt %d on %v", v.Step.Total, n, s), err, operation.InvalidInput)
		}
	})
}

// For one target and attempt the first finished result stands: the same again is repeated,
// another is rejected, and a target never goes back. Every pair of a known and a reported
// status, for a target that ran in this attempt, in an earlier one, and one that succeeded.
func TestEveryResultMeetsWhatIsKnownOfItsTarget(t *testing.T) {
	const (
		accepted = "accepted"
		repeated = "repeated"
		rejected = "rejected"
	)
	type standing struct {
		attempt, success int32
		status           step.Status
	}
	step4 := func(status step.Status) standing { return standing{attempt: atAttempt, status: status} }
	for _, c := range []struct {
		known    standing
		reported step.Status
		want     string
	}{
		// nothing is known of this attempt yet
		{standing{}, step.TargetWaiting, repeated},
		{standing{}, step.TargetRunning, accepted},
		{standing{}, wrong, accepted},
		{standing{}, good, accepted},
		{standing{attempt: 3, status: wrong}, wrong, accepted},
		{standing{attempt: 3, status: wrong}, step.TargetWaiting, repeated},
		{standing{attempt: 2, success: 2, status: good}, wrong, accepted}, // before the attempt that covers all
		// it succeeded since, and does not run in this attempt
		{standing{attempt: 3, success: 3, status: good}, good, repeated},
		{standing{attempt: 3, success: 3, status: good}, step.SucceededEarlier, repeated},
		{standing{attempt: 3, success: 3, status: good}, wrong, rejected},
		{standing{attempt: 3, success: 3, status: good}, step.TargetRunning, rejected},
		// it runs in this attempt
		{step4(step.TargetRunning), step.TargetRunning, repeated},
		{step4(step.TargetRunning), step.TargetWaiting, rejected},
		{step4(step.TargetRunning), wrong, accepted},
		{step4(step.TargetRunning), good, accepted},
		// it finished in this attempt
		{step4(wrong), wrong, repeated},
		{step4(wrong), good, rejected},
		{step4(wrong), step.NonZeroExit, rejected},
		{step4(wrong), step.TargetRunning, rejected},
		{standing{attempt: atAttempt, success: atAttempt, status: good}, good, repeated},
		{standing{attempt: atAttempt, success: atAttempt, status: good}, wrong, rejected},
	} {
		s := situation{typ: step.Script, state: step.Running, current: true, left: true}
		v := s.view()
		v.Targets = []store.Target{{Index: 2, Attempt: c.known.attempt, Success: c.known.success, Result: store.Result{Status: c.known.status}}}
		v.Step.Succeeded, v.Step.Unfinished = 0, 3
		was := v.Targets[0]
		call := fmt.Sprintf("%v on a target known as %+v", c.reported, c.known)
		d, err := engine.Decide(operation.Standard(), v, &engine.Report{
			Job: 7, Step: 2, Attempt: atAttempt, Results: []engine.TargetResult{{Target: 2, Result: store.Result{Status: c.reported}}},
		}, now)
		if err != nil {
			t.Errorf("%s: %v", call, err)
			continue
		}
		if v.Targets[0] != was {
			t.Errorf("%s: Decide changed its arguments", call)
		}
		got := map[bool]string{true: accepted}[d.Report.Accepted == 1]
		if d.Report.Repeated == 1 {
			got += repeated
		}
		if len(d.Report.Rejected) == 1 {
			got += rejected
		}
		if got != c.want || d.Changes() != (c.want == accepted) || len(d.Change.Targets) != d.Report.Accepted {
			t.Errorf("%s: %s, changes %v, receipt %+v; want %s", call, got, d.Changes(), d.Report, c.want)
		}
	}
}

// Two failures of one target are the same result only if their exit codes are.
func TestAnotherExitCodeIsAnotherResult(t *testing.T) {
	v := situation{typ: step.Script, state: step.Running, current: true, left: true}.view()
	v.Targets = []store.Target{{Index: 2, Attempt: atAttempt, Result: store.Result{Status: step.NonZeroExit, ExitCode: 1}}}
	for code, repeated := range map[int32]bool{1: true, 2: false} {
		d, err := engine.Decide(operation.Standard(), v, &engine.Report{Job: 7, Step: 2, Attempt: atAttempt, Results: []engine.TargetResult{
			{Target: 2, Result: store.Result{Status: step.NonZeroExit, ExitCode: code}},
		}}, now)
		if err != nil || (d.Report.Repeated == 1) != repeated || (len(d.Report.Rejected) == 0) != repeated {
			t.Errorf("exit code %d after 1: %+v, %v, want it repeated: %v", code, d, err, repeated)
		}
	}
}
