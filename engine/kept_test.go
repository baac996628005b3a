package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A stream is reports on one job, one after the other, on an engine whose calls of the store are
// counted. Another engine is that of another process.
type stream struct {
	*testing.T
	eng, other *engine.Engine
	faults     *storetest.Faults
	now        time.Time
	id         store.JobID
}

// newStream starts a job with this number of targets, and reports target 0, which runs.
func newStream(t *testing.T, targets int, opts ...engine.Option) *stream {
	t.Helper()
	st := memstore.New()
	s := &stream{T: t, faults: storetest.NewFaults(st), now: time.UnixMilli(1_800_000_000_000)}
	clock := engine.WithClock(func() time.Time { return s.now })
	s.eng, s.other = engine.New(s.faults, append(opts, clock)...), engine.New(st, clock)
	s.id = s.start(targets)
	s.report(told(s.id, running(0)))
	return s
}

func (s *stream) start(targets int) store.JobID {
	s.Helper()
	run := step.Spec{Type: step.Script, Name: "run"}
	for i := range targets {
		run.Targets = append(run.Targets, fmt.Sprint("host-", i))
	}
	created, err := s.other.Create(s.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{run, run, run}}, engine.Request{})
	if err == nil {
		_, err = s.other.OperateJob(s.Context(), created.Job, operation.StartJob, engine.Request{})
	}
	if err != nil {
		s.Fatal(err)
	}
	return created.Job
}

// report sends a report, which must be no error, and returns its receipt.
func (s *stream) report(r engine.Report) engine.ReportReceipt {
	s.Helper()
	receipt, err := s.eng.Report(s.Context(), r)
	if err != nil {
		s.Fatalf("Report %+v: %v", r, err)
	}
	return receipt
}

// calls fails unless f makes this number of views and of commits.
func (s *stream) calls(what string, views, commits int, f func()) {
	s.Helper()
	v, c := s.faults.Calls(storetest.View), s.faults.Calls(storetest.Commit)
	f()
	if v, c = s.faults.Calls(storetest.View)-v, s.faults.Calls(storetest.Commit)-c; v != views || c != commits {
		s.Errorf("%s took %d views and %d commits, want %d and %d", what, v, c, views, commits)
	}
}

// A report within a second of another one loads nothing, through all steps of a job.
// The engine loads a step once when the job enters it.
func TestAReportRestsOnTheOneBefore(t *testing.T) {
	s := newStream(t, 20)
	for id := range step.ID(3) {
		first := int32(0)
		if id > 0 {
			s.calls("the first report of a step", 1, 1, func() {
				s.report(engine.Report{Job: s.id, Step: id + 1, Attempt: 1, Results: []engine.TargetResult{success(0)}})
			})
			first = 1
		}
		s.calls("those that follow", 0, int(20-first), func() {
			for target := range 20 - first {
				s.now = s.now.Add(999 * time.Millisecond)
				s.report(engine.Report{Job: s.id, Step: id + 1, Attempt: 1, Results: []engine.TargetResult{success(first + target)}})
			}
		})
	}
	job, err := s.eng.Job(t.Context(), s.id)
	if err != nil || job.State != step.Succeeded || job.Version != 63 {
		t.Errorf("the job is %+v, %v, want it succeeded in version 63", job, err)
	}
}

// An engine keeps the state after a report for less than a second of its clock, forwards or back.
func TestWhatIsKeptIsNoOlderThanASecond(t *testing.T) {
	for _, c := range []struct {
		later time.Duration
		views int
	}{{0, 0}, {time.Second - 1, 0}, {time.Second, 1}, {time.Hour, 1}, {-1, 1}} {
		s := newStream(t, 4)
		s.now = s.now.Add(c.later)
		s.calls(fmt.Sprintf("a report %v later", c.later), c.views, 1, func() { s.report(told(s.id, success(1))) })
	}
}

// If others have changed the job, the commit conflicts: the engine decides the report again on their
// state, at once, and counts no lost race.
func TestAKeptViewIsOld(t *testing.T) {
	s := newStream(t, 4, engine.WithObserver(engine.Observer{Conflicted: func(context.Context, store.JobID, int, time.Duration) { t.Error("it lost a race") }}))
	if _, err := s.other.OperateJob(t.Context(), s.id, operation.TerminateJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	s.calls("a report on an old view", 1, 2, func() {
		if got := s.report(told(s.id, success(1))); got.Seq != 5 || got.State != step.Terminating {
			t.Errorf("Report: %+v, want version 5 of a step that terminates", got)
		}
	})
}

// Only a commit that passed rests on the kept state. Refusals, and reports without news, are decided on
// the stored state: on the kept one each of these would have another answer.
func TestOnlyACommitRestsOnWhatIsKept(t *testing.T) {
	retried := func(s *stream) {
		_, err := s.other.Report(s.Context(), engine.Report{Job: s.id, Step: 1, Attempt: 1, Outcome: step.Broke})
		if err == nil {
			_, err = s.other.Operate(s.Context(), s.id, 1, operation.RetryAll, engine.Request{})
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		meanwhile func(s *stream)
		report    func(id store.JobID) engine.Report
		want      engine.ReportReceipt
		reason    operation.Reason
	}{
		"a report of the next attempt is not stale": {retried, func(id store.JobID) engine.Report {
			r := told(id, success(1))
			r.Attempt = 2
			return r
		}, engine.ReportReceipt{Seq: 6, Accepted: 1, State: step.Running, JobState: step.Running}, 0},
		"a report of an ended attempt is stale": {retried, func(id store.JobID) engine.Report {
			return told(id, running(0))
		}, engine.ReportReceipt{}, operation.Stale},
		"a repetition that others contradict is rejected": {func(s *stream) {
			if _, err := s.other.Report(s.Context(), told(s.id, success(0))); err != nil {
				s.Fatal(err)
			}
		}, func(id store.JobID) engine.Report { return told(id, running(0)) }, engine.ReportReceipt{
			State: step.Running, JobState: step.Running,
			Rejected: []engine.Rejection{{Target: 0, Stands: step.TargetSucceeded, Rejected: step.TargetRunning}},
		}, 0},
		"a target that is not there is refused": {func(*stream) {}, func(id store.JobID) engine.Report {
			return told(id, success(4))
		}, engine.ReportReceipt{}, operation.InvalidInput},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStream(t, 4)
			c.meanwhile(s)
			var got engine.ReportReceipt
			var err error
			commits := 0
			if c.want.Seq != 0 {
				commits = 1
			}
			s.calls("the report", 1, commits, func() { got, err = s.eng.Report(t.Context(), c.report(s.id)) })
			if !reflect.DeepEqual(got, c.want) || reason(err) != c.reason {
				t.Errorf("Report: %+v, %v, want %+v and reason %v", got, err, c.want, c.reason)
			}
		})
	}
}

// A person's operation is decided on the stored state, as are its repetition and its dry run.
func TestAnOperationRestsOnNothing(t *testing.T) {
	s := newStream(t, 4)
	asked := engine.Request{By: "ann", ID: store.RequestID{15: 1}}
	for _, c := range []struct {
		what    string
		commits int
		r       engine.Request
	}{{"a dry run", 0, engine.Request{DryRun: true}}, {"an operation", 1, asked}, {"its repetition", 0, asked}} {
		s.calls(c.what, 1, c.commits, func() {
			if _, err := s.eng.OperateJob(t.Context(), s.id, operation.TerminateJob, c.r); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		})
	}
}

// A failure of any call of the store, for any job, drops the kept state of all jobs. Conflicts and the
// store's other answers are no failures, and neither is a call whose caller has left.
func TestAFailureLeavesNothingKept(t *testing.T) {
	call := func(s *stream, m storetest.Method) error {
		id, ctx := s.start(1), s.Context()
		switch m {
		case storetest.View:
			_, err := s.eng.Operate(ctx, id, 1, operation.ForcedSkip, engine.Request{DryRun: true})
			return err
		case storetest.Commit:
			_, err := s.eng.OperateJob(ctx, id, operation.TerminateJob, engine.Request{})
			return err
		case storetest.Created:
			_, err := s.eng.Create(ctx, asking1(), engine.Request{ID: store.RequestID{15: 9}})
			return err
		case storetest.Jobs:
			_, err := s.eng.Jobs(ctx, engine.JobQuery{})
			return err
		case storetest.Counts:
			_, err := s.eng.Counts(ctx, 10)
			return err
		case storetest.Snapshot:
			_, err := s.eng.Snapshot(ctx, id, 0)
			return err
		case storetest.Steps:
			_, err := s.eng.Steps(ctx, id, 0, 0)
			return err
		case storetest.Targets:
			_, err := s.eng.Targets(ctx, id, 1, engine.TargetQuery{})
			return err
		case storetest.History:
			_, err := s.eng.History(ctx, id, 0, 0)
			return err
		case storetest.Details:
			_, err := s.eng.Step(ctx, id, 1)
			return err
		case storetest.Effects:
			_, err := s.eng.Effects(ctx, id, 0, 0)
			return err
		case storetest.Overdue:
			_, err := s.eng.Sweep(ctx)
			return err
		}
		_, err := s.eng.Deliver(ctx, func(context.Context, engine.Delivery) error { // Claim, Settle, Defer
			if m == storetest.Defer {
				return errBroken
			}
			return nil
		})
		return err
	}
	for _, m := range storetest.Methods() {
		for _, c := range []struct {
			err   error
			views int
		}{{errBroken, 1}, {fmt.Errorf("too slow: %w", context.DeadlineExceeded), 1}, {store.ErrUndone, 1}, {store.ErrConflict, 0}, {store.ErrNotFound, 0}, {store.ErrLeaseLost, 0}} {
			s := newStream(t, 4)
			before := s.faults.Calls(m)
			s.faults.Add(storetest.Fault{Method: m, Err: c.err})
			_ = call(s, m)
			if s.faults.Calls(m) == before {
				t.Fatalf("%s was not called", m)
			}
			s.calls(fmt.Sprintf("a report after %s with %v", m, c.err), c.views, 1, func() { s.report(told(s.id, success(1))) })
		}
	}
	s := newStream(t, 4)
	ctx, cancel := context.WithCancel(t.Context())
	s.faults.Add(storetest.Fault{Method: storetest.History, Err: context.Canceled, Do: cancel})
	if _, err := s.eng.History(ctx, s.id, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("History: %v, want its context's error", err)
	}
	s.calls("a report after a caller has left", 0, 1, func() { s.report(told(s.id, success(1))) })
}

// A failure during a report drops the state that it has loaded, or that was kept before.
func TestAFailureMeanwhileLeavesNothingKept(t *testing.T) {
	for _, target := range []int32{1, 0} { // on the kept state, and on a fresh view, because it has no news at first
		s := newStream(t, 4)
		s.faults.Add(storetest.Fault{Method: storetest.Counts, Err: errBroken}, storetest.Fault{Method: storetest.Commit, Do: func() {
			if _, err := s.eng.Counts(t.Context(), 1); !errors.Is(err, errBroken) {
				t.Errorf("Counts: %v, want the failure", err)
			}
		}})
		s.report(told(s.id, success(target)))
		s.calls("the next report", 1, 1, func() { s.report(told(s.id, success(2))) })
	}
}

// So does a failure while another report waits for its turn in the same line.
func TestAFailureMeanwhileLeavesNothingToWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meet(t, 4)
		m.faults.Add(storetest.Fault{Method: storetest.Counts, Err: errBroken})
		a := m.send(t.Context(), told(m.id, success(1)))
		if _, err := m.eng.Counts(t.Context(), 1); !errors.Is(err, errBroken) {
			t.Errorf("Counts: %v, want the failure", err)
		}
		views := m.faults.Calls(storetest.View)
		m.goOnAtOnce()
		if n := m.faults.Calls(storetest.View) - views; a.err != nil || n != 1 {
			t.Errorf("the next report: %v, with %d views, want 1", a.err, n)
		}
	})
}

// The engine loads the results of a target that it has no report of, unless it has had all reports
// since the beginning of the attempt.
func TestWhatIsNotKnownIsLoaded(t *testing.T) {
	s := newStream(t, 8)
	if _, err := s.other.Report(t.Context(), told(s.id, success(1))); err != nil {
		t.Fatal(err)
	}
	s.calls("a report on what another process has left", 1, 2, func() { s.report(told(s.id, running(2))) })
	s.calls("a report of what is known", 0, 1, func() { s.report(told(s.id, success(2))) })
	s.calls("a report of what is not", 1, 1, func() {
		if got := s.report(told(s.id, success(1), success(3))); got.Accepted != 1 || got.Repeated != 1 {
			t.Errorf("Report: %+v, want one of the two repeated", got)
		}
	})
	for _, r := range []engine.Report{
		{Job: s.id, Step: 1, Attempt: 1, Outcome: step.Broke}, {Job: s.id, Step: 1, Attempt: 2, Results: []engine.TargetResult{running(0)}},
	} {
		s.report(r)
		if r.Attempt == 1 {
			if _, err := s.other.Operate(t.Context(), s.id, 1, operation.RetryAll, engine.Request{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.calls("a report of another target in the second attempt", 1, 1, func() {
		s.report(engine.Report{Job: s.id, Step: 1, Attempt: 2, Results: []engine.TargetResult{running(1)}})
	})
}

// An operation in line drops the kept state. The next report loads the stored one.
func TestAnOperationInLineLeavesNothingKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meet(t, 4)
		m.faults.Add(storetest.Fault{Method: storetest.Commit, Err: store.ErrConflict})
		stop := m.terminate()
		m.send(t.Context(), told(m.id, success(1)))
		commits := m.faults.Calls(storetest.Commit)
		m.goOnAtOnce()
		if n := m.commits(commits); stop.err != nil || m.answers[1].err != nil || n != 2 {
			t.Errorf("OperateJob: %v, Report: %v, with %d commits, want 2", stop.err, m.answers[1].err, n)
		}
	})
}

// After a failover the same version can be another state. The failure that comes with it makes the next
// report load the job.
func TestAVersionThatComesAgain(t *testing.T) {
	first, second := memstore.New(), memstore.New()
	ids := engine.WithJobIDs(func(step.Time) store.JobID { return 7 })
	for _, st := range []store.Store{first, second} {
		eng := engine.New(st, ids)
		if _, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a", "b"}}}}, engine.Request{}); err != nil {
			t.Fatal(err)
		}
		if _, err := eng.OperateJob(t.Context(), 7, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := engine.New(second).OperateJob(t.Context(), 7, operation.TerminateJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	server := &failover{Store: first}
	eng := engine.New(server)
	if receipt, err := eng.Report(t.Context(), told(7, running(0))); err != nil || receipt.Seq != 3 {
		t.Fatalf("Report: %+v, %v, want version 3", receipt, err)
	}
	server.Store, server.err = second, errBroken
	if _, err := eng.Counts(t.Context(), 1); !errors.Is(err, errBroken) {
		t.Fatalf("Counts: %v, want the failure", err)
	}
	server.err = nil
	if receipt, err := eng.Report(t.Context(), told(7, success(1))); err != nil || receipt.State != step.Terminating {
		t.Errorf("Report: %+v, %v, want it to meet the step that terminates", receipt, err)
	}
}

// failover is a server that can be replaced.
type failover struct {
	store.Store
	err error
}

func (f *failover) Counts(ctx context.Context, scope store.Scope, most int) (map[step.State]int, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.Counts(ctx, scope, most)
}

// Reports that share a commit rest on the kept state, as a single one does. The others are decided on
// the stored state, one by one.
func TestReportsThatMeetRestOnWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meet(t, 4)
		views, commits := m.faults.Calls(storetest.View), m.faults.Calls(storetest.Commit)
		m.send(t.Context(), told(m.id, success(1)))
		again := m.send(t.Context(), told(m.id, running(0)))
		refused := m.send(t.Context(), told(m.id, success(4))) // this makes all of them load
		m.send(t.Context(), told(m.id, success(2)))
		m.goOnAtOnce()
		if v, c := m.faults.Calls(storetest.View)-views, m.faults.Calls(storetest.Commit)-commits; v != 1 || c != 1 {
			t.Errorf("with one that is refused: %d views and %d commits, want 1 and 1", v, c)
		}
		if again.err != nil || again.receipt.Repeated != 1 || !errors.Is(refused.err, operation.InvalidInput) {
			t.Errorf("the others: %+v, %v and %v, want one repeated and one refused", again.receipt, again.err, refused.err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := meet(t, 4)
		views, commits := m.faults.Calls(storetest.View), m.faults.Calls(storetest.Commit)
		m.send(t.Context(), told(m.id, success(1)))
		again := m.send(t.Context(), told(m.id, running(0)))
		m.send(t.Context(), told(m.id, success(2)))
		m.goOnAtOnce()
		if v, c := m.faults.Calls(storetest.View)-views, m.faults.Calls(storetest.Commit)-commits; v != 1 || c != 1 {
			t.Errorf("%d views and %d commits, want 1, for the repetition, and 1", v, c)
		}
		if again.err != nil || again.receipt.Repeated != 1 {
			t.Errorf("the repetition: %+v, %v, want it repeated", again.receipt, again.err)
		}
	})
}

// The kept state is bounded: 1,024 jobs, and the results of 65,536 targets. The oldest goes first.
func TestWhatIsKeptIsBounded(t *testing.T) {
	s := newStream(t, 2)
	for range 1100 {
		s.report(told(s.start(2), running(0)))
	}
	if jobs, targets := s.eng.Kept(); jobs != 1024 || targets != 1024 {
		t.Errorf("of %d jobs and %d targets something is kept, want 1024", jobs, targets)
	}
	s.calls("a report of the oldest job", 1, 1, func() { s.report(told(s.id, success(1))) })

	s = newStream(t, 2)
	for range 8 {
		r := told(s.start(10_000))
		for i := range int32(9_000) {
			r.Results = append(r.Results, running(i))
		}
		s.report(r)
	}
	if jobs, targets := s.eng.Kept(); jobs != 7 || targets != 63_000 {
		t.Errorf("of %d jobs and %d targets something is kept, want 7 and 63,000", jobs, targets)
	}
	s.now = s.now.Add(time.Second)
	s.report(told(s.id, success(1)))
	if jobs, targets := s.eng.Kept(); jobs != 1 || targets != 1 {
		t.Errorf("a second later, of %d jobs and %d targets something is kept, want 1", jobs, targets)
	}
}

// An engine takes a target that it has not heard of for one that has never reported if a running
// step in its first attempt has had no record since the job last moved. That record was the entry
// of the step: whatever else leaves a running step where it is does not move the job.
func TestOnlyTheEntryLeavesAStepRunning(t *testing.T) {
	for _, do := range step.AllDos() {
		for _, guard := range append(operation.AllGuards(), operation.Free) {
			table := operation.StandardTable()
			table.Rows = append(table.Rows, operation.Row{Cause: step.JobCause(40), Do: do, From: step.StatesOf(step.Running), Guard: guard})
			if _, err := table.Compile(); err != nil {
				continue
			}
			s := newStream(t, 3) // target 0 runs, as its engine has heard
			s.eng = engine.New(s.faults, engine.WithClock(func() time.Time { return s.now }), engine.WithRules(table.MustCompile()))
			if guard == operation.Held {
				must(s.eng.OperateJob(ctx, s.id, operation.HoldJob, engine.Request{}))
			}
			must(s.eng.OperateJob(ctx, s.id, operation.JobCode(40), engine.Request{Because: "a comment needs one"}))
			s.report(told(s.id, running(1))) // keeps a view
			if again := s.report(told(s.id, running(0))); again.Accepted != 0 || again.Repeated != 1 {
				t.Errorf("after %v, a known result is answered with %+v, want it repeated", do, again)
			}
		}
	}
}

// An engine keeps nothing of a store in memory, whose calls cost nothing.
func TestNothingIsKeptOfALocalStore(t *testing.T) {
	for _, c := range []struct {
		st   store.Store
		want int
	}{{memstore.New(), 0}, {remote{memstore.New()}, 1}} {
		s := &stream{T: t, eng: engine.New(c.st)}
		s.other = s.eng
		s.report(told(s.start(2), running(0)))
		if jobs, _ := s.eng.Kept(); jobs != c.want {
			t.Errorf("%T: a view is kept of %d jobs, want %d", c.st, jobs, c.want)
		}
	}
}

// A report that meets no other allocates no more than before engines kept state and had lines, whether
// it loads the job or rests on the kept state. An operation allocates nothing for either.
func TestALoneReportAllocatesNoMore(t *testing.T) {
	const runs = 200
	now := time.UnixMilli(1_800_000_000_000)
	for _, c := range []struct {
		what  string
		later time.Duration
		most  float64
	}{{"on a fresh view", time.Second, mostOfReport}, {"on what is kept", 0, mostOfReport}} {
		s := &stream{T: t, eng: engine.New(remote{memstore.New()}, engine.WithClock(func() time.Time { return now }))}
		s.other = s.eng
		id, target := s.start(3*runs), int32(0)
		got := testing.AllocsPerRun(runs, func() {
			now = now.Add(c.later)
			s.report(told(id, success(target)))
			target++
		})
		t.Logf("%s: %v", c.what, got)
		if got > c.most {
			t.Errorf("a report %s: %v allocations, want %v at most", c.what, got, c.most)
		}
	}
}

// remote is a store that is no store.Local.
type remote struct{ store.Store }

// mostOfReport is the number of allocations of a report before that.
const mostOfReport = 8
