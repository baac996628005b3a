package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// A meeting is a job whose reports meet: the first one is held up in its commit until all others
// wait in line behind it, in a known order.
type meeting struct {
	*desk
	faults  *storetest.Faults
	id      store.JobID
	release chan struct{} // closed: the first report goes on
	calls   sync.WaitGroup
	answers []*answer
}

// An answer is the result of one of the reports, or of an operation between them.
type answer struct {
	receipt engine.ReportReceipt
	record  store.Record
	err     error
	done    atomic.Bool
}

// meet starts a job with this number of targets and makes its first report wait in its commit.
func meet(t *testing.T, targets int, opts ...engine.Option) *meeting {
	t.Helper()
	m := &meeting{faults: storetest.NewFaults(memstore.New()), release: make(chan struct{})}
	m.desk = newDesk(t, m.faults, opts...)
	m.id = m.job(targets)
	m.hold()
	return m
}

// job starts a job of one script on this number of targets, and a question after it.
func (m *meeting) job(targets int) store.JobID {
	m.Helper()
	run := step.Spec{Type: step.Script, Name: "run", Timeout: time.Hour}
	for i := range targets {
		run.Targets = append(run.Targets, fmt.Sprint("host-", i))
	}
	created, err := m.eng.Create(m.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{run, {Type: step.Confirmation, Name: "go on?"}}}, engine.Request{})
	if err != nil {
		m.Fatal(err)
	}
	m.operateJob(created.Job, operation.StartJob)
	return created.Job
}

// hold sends a report of target 0, which runs, and holds its commit up.
func (m *meeting) hold() {
	m.faults.Add(storetest.Fault{Method: storetest.Commit, Do: func() { <-m.release }})
	m.send(m.Context(), told(m.id, running(0)))
}

// send sends a report and waits until it waits for others.
func (m *meeting) send(ctx context.Context, r engine.Report) *answer {
	a := &answer{}
	m.answers = append(m.answers, a)
	m.calls.Go(func() {
		a.receipt, a.err = m.eng.Report(ctx, r)
		a.done.Store(true)
	})
	synctest.Wait()
	return a
}

// goOn lets the first report pass and waits for all answers. The kept state of that report is too old
// by then for the others.
func (m *meeting) goOn() {
	time.Sleep(time.Second)
	m.goOnAtOnce()
}

// goOnAtOnce is goOn with a kept state that is still fresh.
func (m *meeting) goOnAtOnce() {
	close(m.release)
	m.calls.Wait()
}

// told returns a report of the first attempt of a job's first step.
func told(id store.JobID, results ...engine.TargetResult) engine.Report {
	return engine.Report{Job: id, Step: 1, Attempt: 1, Results: results}
}

func result(target int32, status step.Status) engine.TargetResult {
	return engine.TargetResult{Target: target, Result: store.Result{Status: status}}
}

func running(target int32) engine.TargetResult { return result(target, step.TargetRunning) }

// history returns the records of the job.
func (m *meeting) history() []store.Record {
	m.Helper()
	history, err := m.eng.History(m.Context(), m.id, 0, 0)
	if err != nil {
		m.Fatal(err)
	}
	return history
}

// commits returns how many commits were sent since before.
func (m *meeting) commits(before int) int { return m.faults.Calls(storetest.Commit) - before }

// bubble plays f in a bubble of its own.
func bubble(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// Reports that wait for each other are one view and one commit, with a record each, under an own
// request, and the observer is told of each.
func TestReportsThatMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var observed []store.Seq
		m := meet(t, 8, engine.WithObserver(engine.Observer{Accepted: func(_ context.Context, r store.Record, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			observed = append(observed, r.Seq)
		}}))
		views, commits := m.faults.Calls(storetest.View), m.faults.Calls(storetest.Commit)
		for target := range int32(5) {
			m.send(t.Context(), told(m.id, success(target)))
		}
		m.goOn()
		if v, c := m.faults.Calls(storetest.View)-views, m.faults.Calls(storetest.Commit)-commits; v != 1 || c != 1 {
			t.Errorf("5 reports that met took %d views and %d commits, want 1 and 1", v, c)
		}
		history, requests := m.history(), map[store.RequestID]bool{}
		for i, a := range m.answers {
			want := engine.ReportReceipt{Seq: store.Seq(3 + i), State: step.Running, JobState: step.Running, Accepted: 1}
			if a.err != nil || !reflect.DeepEqual(a.receipt, want) {
				t.Errorf("report %d: %+v, %v, want %+v", i, a.receipt, a.err, want)
			}
			r := history[2+i]
			view, err := m.store.View(t.Context(), store.Query{Job: m.id, Request: r.Request})
			if err != nil || view.Replay == nil || *view.Replay != r || requests[r.Request] {
				t.Errorf("record %+v: by its request the store finds %+v, %v", r, view.Replay, err)
			}
			requests[r.Request] = true
		}
		slices.Sort(observed)
		if want := []store.Seq{1, 2, 3, 4, 5, 6, 7, 8}; !slices.Equal(observed, want) {
			t.Errorf("the observer was told of %v, want %v", observed, want)
		}
	})
}

// Reports that wait in line give the same receipts, refusals, history, step and targets as reports that
// are sent one after the other. On the kept state of the first report the same holds, except that
// reports which change nothing come last.
func TestReportsThatMeetAreAnsweredAsOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const targets = 4
		reports := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) engine.Report {
			statuses := []step.Status{step.TargetWaiting, step.TargetRunning, step.TargetSucceeded, step.TargetSucceeded, step.TargetFailed, step.NonZeroExit}
			r := told(0)
			for range rapid.IntRange(0, 3).Draw(t, "results") {
				r.Results = append(r.Results, result(int32(rapid.IntRange(0, targets).Draw(t, "target")), rapid.SampledFrom(statuses).Draw(t, "status")))
			}
			if len(r.Results) == 0 || rapid.IntRange(0, 9).Draw(t, "ends") == 0 {
				r.Outcome = rapid.SampledFrom([]step.Cause{step.Broke, step.Stopped}).Draw(t, "outcome")
			}
			return r
		}), 1, 12).Draw(rt, "reports")
		atOnce := rapid.Bool().Draw(rt, "at once")
		synctest.Test(t, func(t *testing.T) {
			m := meet(t, targets)
			twin := m.job(targets)
			if _, err := m.eng.Report(t.Context(), told(twin, running(0))); err != nil {
				t.Fatal(err)
			}
			for _, r := range reports {
				r.Job = m.id
				m.send(t.Context(), r)
			}
			if atOnce {
				m.goOnAtOnce()
			} else {
				m.goOn()
			}
			for i, r := range reports {
				r.Job = twin
				receipt, err := m.eng.Report(t.Context(), r)
				got := m.answers[i+1]
				if atOnce && receipt.Seq == 0 && got.receipt.Seq == 0 {
					continue
				}
				if !reflect.DeepEqual(got.receipt, receipt) || words(got.err, m.id) != words(err, twin) {
					rt.Errorf("report %d: %+v, %v, want %+v, %v", i, got.receipt, got.err, receipt, err)
				}
			}
			if got, want := m.stored(m.id), m.stored(twin); got != want {
				rt.Errorf("stored is\n%s\nwant\n%s", got, want)
			}
		})
	})
}

// reason returns why a report was refused, 0 if it was not.
func reason(err error) operation.Reason {
	if refusal := (*engine.Refusal)(nil); errors.As(err, &refusal) {
		return refusal.Reason
	}
	return 0
}

// words returns the text of an error without the number of its job.
func words(err error, id store.JobID) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), fmt.Sprint("job ", id), "job ID")
}

// stored returns the stored state of a job without its number and its requests.
func (m *meeting) stored(id store.JobID) string {
	m.Helper()
	all, err := m.store.Snapshot(m.Context(), store.SnapshotQuery{Job: id, Targets: 100})
	history, err2 := m.eng.History(m.Context(), id, 0, 0)
	effects, err3 := m.eng.Effects(m.Context(), id, 0, 0)
	if err := errors.Join(err, err2, err3); err != nil {
		m.Fatal(err)
	}
	all.Job.ID = 0
	for i := range history {
		history[i].Job, history[i].Request = 0, store.RequestID{}
	}
	for i := range effects {
		effects[i].Job = 0
	}
	return fmt.Sprintf("%+v\n%+v\n%+v", all, history, effects)
}

// The engine learns the outcome of a shared commit for each of its reports: whatever the store
// answers, each report is carried out once and has its own answer.
func TestACommitOfReportsInDoubt(t *testing.T) {
	undone := fmt.Errorf("read-only: %w", store.ErrUndone)
	for name, c := range map[string]struct {
		fault   storetest.Fault
		commits int
	}{
		"that took effect":          {storetest.Fault{Err: errBroken, After: true}, 1},
		"that did nothing":          {storetest.Fault{Err: errBroken}, 4},
		"that arrives later":        {storetest.Fault{Kind: storetest.Delay, Lag: 3, Err: errBroken}, 4},
		"that is undone":            {storetest.Fault{Err: undone}, 4},
		"that is sent twice":        {storetest.Fault{Kind: storetest.Duplicate}, 1},
		"that is sent again":        {storetest.Fault{Kind: storetest.Duplicate, After: true, Lag: 2}, 1},
		"that loses a race":         {storetest.Fault{Err: store.ErrConflict}, 2},
		"in which the store panics": {storetest.Fault{Do: func() { panic("boom") }}, 4},
	} {
		inDoubt := func(t *testing.T, goOn func(*meeting)) {
			m := meet(t, 4)
			before := m.faults.Calls(storetest.Commit)
			c.fault.Method = storetest.Commit
			m.faults.Add(c.fault)
			m.send(t.Context(), told(m.id, success(1), failure(1)))
			m.send(t.Context(), told(m.id, success(9)))
			m.send(t.Context(), told(m.id, success(2)))
			m.send(t.Context(), told(m.id, running(0))) // which the first has told
			m.send(t.Context(), told(m.id, success(3)))
			goOn(m)
			m.faults.Land()
			for i, want := range []engine.ReportReceipt{
				1: {Accepted: 1, Rejected: []engine.Rejection{{Target: 1, Stands: step.TargetSucceeded, Rejected: step.NonZeroExit}}},
				3: {Accepted: 1}, 4: {Repeated: 1}, 5: {Accepted: 1},
			} {
				got := m.answers[i]
				if i == 0 || i == 2 {
					continue
				}
				want.State, want.JobState, want.Seq = step.Running, step.Running, got.receipt.Seq
				if got.err != nil || !reflect.DeepEqual(got.receipt, want) || (want.Accepted > 0) != (want.Seq > 3) {
					t.Errorf("report %d: %+v, %v, want %+v", i, got.receipt, got.err, want)
				}
			}
			if err := m.answers[2].err; !errors.Is(err, operation.InvalidInput) {
				t.Errorf("a report of a target that is not there: %v, want it refused", err)
			}
			if got := m.history(); len(got) != 6 || m.answers[1].receipt.Seq == m.answers[3].receipt.Seq {
				t.Errorf("the history has %d records, want 6, one for each report that told something", len(got))
			}
			n := m.commits(before)
			if landed := c.fault.Kind == storetest.Delay && n >= 2 && n < c.commits; n != c.commits && !landed { // before some were decided again
				t.Errorf("%d commits, want %d", n, c.commits)
			}
		}
		bubble(t, name, func(t *testing.T) { inDoubt(t, (*meeting).goOn) })
		bubble(t, name+", on a view that was kept", func(t *testing.T) { inDoubt(t, (*meeting).goOnAtOnce) })
	}
}

// waiting is a store whose commits wait once the test says so.
type waiting struct {
	store.Store
	waits, ended atomic.Bool
	release      chan struct{} // a commit goes on
}

func (s *waiting) Commit(ctx context.Context, c store.Change) error {
	if !s.waits.Load() {
		return s.Store.Commit(ctx, c)
	}
	select {
	case <-s.release:
		return s.Store.Commit(ctx, c)
	case <-ctx.Done():
		s.ended.Store(true)
		return ctx.Err()
	}
}

// Reports that lost a race are decided again together, on the state of the other change, and the
// observer gets the number of races that each lost.
func TestReportsThatLoseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int64
		m := meet(t, 3, engine.WithObserver(engine.Observer{Conflicted: func(_ context.Context, _ store.JobID, n int, _ time.Duration) { lost.Add(int64(n)) }}))
		other := newDesk(t, m.store)
		before := m.faults.Calls(storetest.Commit)
		m.faults.Add(storetest.Fault{Method: storetest.Commit, Do: func() { other.operateJob(m.id, operation.TerminateJob) }})
		m.send(t.Context(), told(m.id, success(1)))
		m.send(t.Context(), told(m.id, success(2)))
		m.goOn()
		if n := m.commits(before); n != 3 {
			t.Errorf("%d commits, want 3: one that lost, the terminate's and one of both", n)
		}
		for i, a := range m.answers[1:] {
			if a.err != nil || a.receipt.State != step.Terminating || a.receipt.Seq != store.Seq(5+i) {
				t.Errorf("report %d: %+v, %v, want version %d of a step that terminates", i, a.receipt, a.err, 5+i)
			}
		}
		if lost.Load() != 2 {
			t.Errorf("the observer was told of %d lost commits, want one for each report", lost.Load())
		}
	})
}

func TestReportsThatKeepLosingTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meet(t, 3)
		before := m.faults.Calls(storetest.Commit)
		m.faults.Add(storetest.Fault{Method: storetest.Commit, Forever: true, Err: store.ErrConflict})
		m.send(t.Context(), told(m.id, success(1)))
		m.send(t.Context(), told(m.id, success(2)))
		m.goOn()
		for i, a := range m.answers[1:] {
			if !errors.Is(a.err, engine.ErrConflict) {
				t.Errorf("report %d: %+v, %v, want a conflict", i, a.receipt, a.err)
			}
		}
		if n := m.commits(before); n != 100 {
			t.Errorf("%d commits, want 100", n)
		}
	})
}

// A failed view fails all its reports, with nothing in doubt.
func TestAViewOfReportsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meet(t, 3)
		m.faults.Add(storetest.Fault{Method: storetest.View, Err: errBroken})
		m.send(t.Context(), told(m.id, success(1)))
		m.send(t.Context(), told(m.id, success(2)))
		m.goOn()
		for i, a := range m.answers[1:] {
			if !errors.Is(a.err, errBroken) || errors.Is(a.err, engine.ErrUnknownOutcome) {
				t.Errorf("report %d: %+v, %v, want the store's error and no doubt", i, a.receipt, a.err)
			}
		}
		if got := m.history(); len(got) != 3 {
			t.Errorf("the history has %d records, want nothing added", len(got))
		}
	})
}

// A caller leaves when its context ends: before a commit is sent with nothing done, and in doubt
// after that. The commit goes on for the others, and ends with the last of them.
func TestACallerLeavesTheLine(t *testing.T) {
	bubble(t, "while it waits", func(t *testing.T) {
		m := meet(t, 4)
		ctx, cancel := context.WithCancel(t.Context())
		a := m.send(ctx, told(m.id, success(1)))
		m.send(t.Context(), told(m.id, success(2)))
		m.send(t.Context(), told(m.id, success(3)))
		cancel()
		synctest.Wait()
		if !a.done.Load() || !errors.Is(a.err, context.Canceled) || errors.Is(a.err, engine.ErrUnknownOutcome) {
			t.Errorf("Report: %+v, %v, want its context's error", a.receipt, a.err)
		}
		m.goOn()
		if got := m.history(); len(got) != 5 {
			t.Errorf("the history has %d records, want 5, none of who left", len(got))
		}
	})
	for name, c := range map[string]struct {
		method storetest.Method
		after  bool
		sent   bool
	}{
		"before its view": {storetest.View, false, false}, "before its commit": {storetest.View, true, false},
		"during its commit": {storetest.Commit, false, true}, "before the answer of its commit": {storetest.Commit, true, true},
	} {
		bubble(t, name, func(t *testing.T) {
			m := meet(t, 4)
			ctx, cancel := context.WithCancel(t.Context())
			var a *answer
			m.faults.Add(storetest.Fault{Method: c.method, After: c.after, Do: func() {
				cancel()
				for !a.done.Load() { // it waits for no other
					time.Sleep(time.Millisecond)
				}
			}})
			a = m.send(ctx, told(m.id, success(1)))
			b := m.send(t.Context(), told(m.id, success(2)))
			d := m.send(t.Context(), told(m.id, success(3)))
			m.goOn()
			var unknown *engine.UnknownOutcomeError
			if !errors.Is(a.err, context.Canceled) || errors.As(a.err, &unknown) != c.sent {
				t.Errorf("Report: %+v, %v, want its context's error, in doubt %v", a.receipt, a.err, c.sent)
			}
			first := store.Seq(4)
			if c.sent {
				if r := m.history()[3]; unknown == nil || r.Request != unknown.Request {
					t.Errorf("Report: %v, want it to name the request of %+v", a.err, r)
				}
				first = 5
			}
			if b.err != nil || b.receipt.Seq != first || d.err != nil || d.receipt.Seq != first+1 {
				t.Errorf("the others: %+v, %v and %+v, %v, want versions %d and %d", b.receipt, b.err, d.receipt, d.err, first, first+1)
			}
		})
	}
	bubble(t, "while its report is decided", func(t *testing.T) {
		m := meet(t, 4)
		ctx, cancel := context.WithCancel(t.Context())
		var a *answer
		m.eng.Break(func(decide engine.DecideFunc) engine.DecideFunc {
			return func(r *operation.Rules, v *store.View, c engine.Command, move operation.Move, now step.Time, d *engine.Decision) *engine.Refusal {
				for cancel(); !a.done.Load(); {
					time.Sleep(time.Millisecond)
				}
				return decide(r, v, c, move, now, d)
			}
		})
		a = m.send(ctx, told(m.id, success(1)))
		m.send(t.Context(), told(m.id, success(2)))
		m.goOn()
		if !errors.Is(a.err, context.Canceled) || errors.Is(a.err, engine.ErrUnknownOutcome) {
			t.Errorf("Report: %+v, %v, want its context's error", a.receipt, a.err)
		}
		if got := m.history(); len(got) != 4 {
			t.Errorf("the history has %d records, want 4, none of who left", len(got))
		}
	})
	bubble(t, "and with the last one ends the commit", func(t *testing.T) {
		st := &waiting{Store: memstore.New(), release: make(chan struct{})}
		d := newDesk(t, st)
		id := d.script()
		ctx, cancel := context.WithCancel(t.Context())
		st.waits.Store(true)
		var calls sync.WaitGroup
		var errs [3]error
		for i := range errs {
			calls.Go(func() { _, errs[i] = d.eng.Report(ctx, told(id, running(int32(i%2)))) })
			synctest.Wait()
		}
		st.release <- struct{}{} // the first
		synctest.Wait()
		cancel()
		calls.Wait()
		synctest.Wait()
		if !st.ended.Load() || errs[0] != nil || !errors.Is(errs[1], engine.ErrUnknownOutcome) || !errors.Is(errs[2], engine.ErrUnknownOutcome) {
			t.Errorf("Report: %v, the commit was ended: %v, want two in doubt and their commit ended", errs, st.ended.Load())
		}
	})
}
