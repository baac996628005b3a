package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

var errBroken = errors.New("the connection broke")

// records returns the causes of a job's records.
func (d *desk) records(id store.JobID) (causes []step.Cause) {
	d.Helper()
	history, err := d.eng.History(d.Context(), id, 0, 0)
	if err != nil {
		d.Fatal(err)
	}
	for _, r := range history {
		causes = append(causes, r.Cause)
	}
	return causes
}

func TestUnknownOutcome(t *testing.T) {
	for name, fault := range map[string]storetest.Fault{
		"that took effect": {Method: storetest.Commit, Err: errBroken, After: true},
		"that did nothing": {Method: storetest.Commit, Err: errBroken},
	} {
		t.Run("of a commit "+name+" is found out, and the request is carried out once", func(t *testing.T) { testUnknownCommitIsCarriedOutOnce(t, fault) })
		t.Run("of a report "+name+" is found out, and the answer is whole", func(t *testing.T) { testUnknownReportIsAnsweredWhole(t, fault) })
		t.Run("of an expiry "+name+" is found out, and the attempt expires once", func(t *testing.T) { testUnknownExpiryExpiresOnce(t, fault) })
	}
	t.Run("that cannot be found out is an error of its own, and repeating the request is safe", testUnknownOutcomeIsAnError)
	t.Run("names the request of every commit, of which the first may come late", testUnknownOutcomeNamesTheRequest)
	t.Run("of a commit that keeps failing is reported after three tries", testUnknownOutcomeAfterThreeTries)
	t.Run("is none if the job has left the version: then the commit in doubt came too late", testOutcomeIsKnownOnceTheVersionIsLeft)
	t.Run("is what a refusal on the same version amounts to", testUnknownOutcomeOfARefusal)
}

func testUnknownCommitIsCarriedOutOnce(t *testing.T, fault storetest.Fault) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)

	faults.Add(fault)
	id := d.script()
	if jobs, err := d.eng.Jobs(t.Context(), engine.JobQuery{}); err != nil || len(jobs) != 1 {
		t.Errorf("after one creation there are %d jobs, %v", len(jobs), err)
	}

	faults.Add(fault)
	d.outcome(id, 1, step.Broke)

	faults.Add(fault)
	record, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, engine.Request{})
	if err != nil || record.Seq != 4 || record.Attempt != 2 {
		t.Errorf("Operate: %+v, %v, want version 4 and attempt 2", record, err)
	}

	faults.Add(fault)
	d.operateJob(id, operation.TerminateJob)

	want := []step.Cause{step.Created, operation.StartJob.Cause(), step.Broke, operation.RetryAll.Cause(), operation.TerminateJob.Cause()}
	if got := d.records(id); !slices.Equal(got, want) {
		t.Errorf("the history is %v, want %v", got, want)
	}
}

func testUnknownReportIsAnsweredWhole(t *testing.T, fault storetest.Fault) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.script()
	report := func(results ...engine.TargetResult) engine.ReportReceipt {
		got, err := d.eng.Report(t.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Results: results})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	say := func(target int32, status step.Status) engine.TargetResult {
		return engine.TargetResult{Target: target, Result: store.Result{Status: status}}
	}
	report(say(0, step.TargetSucceeded))

	faults.Add(fault)
	got := report(say(0, step.NonZeroExit), say(0, step.TargetSucceeded), say(1, step.TargetRunning))
	want := engine.ReportReceipt{
		Seq: 4, State: step.Running, JobState: step.Running, Accepted: 1, Repeated: 1,
		Rejected: []engine.Rejection{{Target: 0, Stands: step.TargetSucceeded, Rejected: step.NonZeroExit}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Report: got %+v, want %+v", got, want)
	}
}

func testUnknownExpiryExpiresOnce(t *testing.T, fault storetest.Fault) {
	faults := storetest.NewFaults(memstore.New())
	now := time.UnixMilli(1e12)
	d := newDesk(t, faults, engine.WithClock(func() time.Time { return now }))
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok", Timeout: time.Second}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	d.operateJob(created.Job, operation.StartJob)
	now = now.Add(time.Second)
	faults.Add(fault)
	if n, err := d.eng.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("Sweep: %d, %v, want 1", n, err)
	}
	if got := d.records(created.Job); len(got) != 3 {
		t.Errorf("the history is %v, want one expiry", got)
	}
}

func testUnknownOutcomeIsAnError(t *testing.T) {
	for _, after := range []bool{false, true} {
		faults := storetest.NewFaults(memstore.New())
		d := newDesk(t, faults)
		id := d.script()
		d.outcome(id, 1, step.Broke)
		faults.Add(
			storetest.Fault{Method: storetest.Commit, Err: errBroken, After: after},
			storetest.Fault{Method: storetest.View, Call: 2, Forever: true, Err: errors.New("gone")},
		)
		_, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, engine.Request{})
		var unknown *engine.UnknownOutcomeError
		if !errors.Is(err, engine.ErrUnknownOutcome) || !errors.Is(err, errBroken) || !errors.As(err, &unknown) {
			t.Fatalf("Operate: %v, want an unknown outcome with the store's error", err)
		}
		if unknown.Job != id || unknown.Request == (uuid.UUID{}) || !strings.Contains(err.Error(), unknown.Request.String()) {
			t.Errorf("the error is %+v, want it to name the job and the request", unknown)
		}
		faults.Clear()
		for range 2 {
			record, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, engine.Request{ID: unknown.Request})
			if err != nil || record.Seq != 4 || record.Request != unknown.Request {
				t.Errorf("the request again: %+v, %v, want the receipt of version 4", record, err)
			}
		}
		if got := d.records(id); len(got) != 4 {
			t.Errorf("the history is %v, want one retry", got)
		}
	}
}

func testUnknownOutcomeNamesTheRequest(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.script()
	d.outcome(id, 1, step.Broke)
	faults.Add(
		storetest.Fault{Method: storetest.Commit, Call: 1, Kind: storetest.Delay, Lag: 100, Err: errBroken},
		storetest.Fault{Method: storetest.Commit, Call: 2, Err: errBroken},
		storetest.Fault{Method: storetest.Commit, Call: 3, Err: errBroken},
	)
	_, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, engine.Request{})
	var unknown *engine.UnknownOutcomeError
	if !errors.As(err, &unknown) {
		t.Fatalf("Operate: %v, want an unknown outcome", err)
	}
	faults.Clear()
	faults.Land()
	receipt, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, engine.Request{ID: unknown.Request})
	if err != nil || receipt.Seq != 4 {
		t.Errorf("the request again, after the first commit came: %+v, %v, want the receipt of version 4", receipt, err)
	}
}

func testUnknownOutcomeAfterThreeTries(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.script()
	before := faults.Calls(storetest.Commit)
	faults.Add(storetest.Fault{Method: storetest.Commit, Forever: true, Err: errBroken})
	_, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{})
	if !errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("OperateJob: %v, want an unknown outcome", err)
	}
	if got := faults.Calls(storetest.Commit) - before; got != 3 {
		t.Errorf("it was committed %d times, want 3", got)
	}
	if _, err := d.eng.Create(t.Context(), asking1(), engine.Request{}); !errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("Create: %v, want an unknown outcome", err)
	}
	if len(d.failures) != 2 {
		t.Errorf("the observer was told of %v, want both failures", d.failures)
	}
}

func testOutcomeIsKnownOnceTheVersionIsLeft(t *testing.T) {
	st := memstore.New()
	faults := storetest.NewFaults(st)
	d := newDesk(t, faults)
	other := newDesk(t, st)
	id := d.script()
	d.outcome(id, 1, step.Broke)
	faults.Add(storetest.Fault{Method: storetest.Commit, Err: errBroken, Do: func() { other.operate(id, 1, operation.IgnoreError) }})
	_, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, engine.Request{})
	if !errors.Is(err, operation.WrongState) || errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("Operate: %v, want a refusal", err)
	}
}

func testUnknownOutcomeOfARefusal(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	asked := 0
	d := newDesk(t, faults, engine.WithAuthorizer(func(context.Context, engine.Access) error {
		if asked++; asked > 3 {
			return errors.New("no longer")
		}
		return nil
	}))
	id := d.script()
	faults.Add(storetest.Fault{Method: storetest.Commit, Err: errBroken})
	if _, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{}); !errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("OperateJob: %v, want an unknown outcome, as the first commit may yet be applied", err)
	}
}

// A commit that the store knows to be undone gives its error at once, and has changed nothing. After
// a commit in doubt, it only starts another try to learn that outcome.
func TestUndone(t *testing.T) {
	undone := fmt.Errorf("read-only: %w", store.ErrUndone)
	for name, call := range map[string]func(d *desk, id store.JobID) error{
		"Operate": func(d *desk, id store.JobID) error {
			_, err := d.eng.Operate(d.Context(), id, 1, operation.RetryAll, engine.Request{})
			return err
		},
		"OperateJob": func(d *desk, id store.JobID) error {
			_, err := d.eng.OperateJob(d.Context(), id, operation.TerminateJob, engine.Request{})
			return err
		},
		"Create": func(d *desk, _ store.JobID) error {
			_, err := d.eng.Create(d.Context(), asking1(), engine.Request{})
			return err
		},
		"Report": func(d *desk, id store.JobID) error {
			_, err := d.eng.Report(d.Context(), engine.Report{Job: id, Step: 1, Attempt: 2, Outcome: step.Broke})
			return err
		},
	} {
		for _, c := range []struct {
			what   string
			faults []storetest.Fault
			tries  int
			want   error // nil: it passes
		}{
			{"undone", []storetest.Fault{{Method: storetest.Commit, Err: undone}}, 1, store.ErrUndone},
			{"in doubt, then undone, then passes", []storetest.Fault{
				{Method: storetest.Commit, Err: errBroken}, {Method: storetest.Commit, Call: 2, Err: undone},
			}, 3, nil},
			{"in doubt, then undone", []storetest.Fault{
				{Method: storetest.Commit, Err: errBroken}, {Method: storetest.Commit, Call: 2, Forever: true, Err: undone},
			}, 3, engine.ErrUnknownOutcome},
			{"undone, after one that took effect", []storetest.Fault{
				{Method: storetest.Commit, Err: errBroken, After: true}, {Method: storetest.Commit, Call: 2, Err: undone},
			}, 1, nil},
		} {
			faults := storetest.NewFaults(memstore.New())
			d := newDesk(t, faults)
			id := d.script()
			d.outcome(id, 1, step.Broke)
			if name == "Report" || name == "OperateJob" {
				d.operate(id, 1, operation.RetryAll)
			}
			before := faults.Calls(storetest.Commit)
			faults.Add(c.faults...)
			err := call(d, id)
			if !errors.Is(err, c.want) || errors.Is(err, engine.ErrUnknownOutcome) != (c.want == engine.ErrUnknownOutcome) {
				t.Errorf("%s with a commit that is %s: got error %v, want %v", name, c.what, err, c.want)
			}
			if tries := faults.Calls(storetest.Commit) - before; tries != c.tries {
				t.Errorf("%s with a commit that is %s: %d commits, want %d", name, c.what, tries, c.tries)
			}
		}
	}
}

func TestConflict(t *testing.T) {
	t.Run("is decided anew, on what the other has left", func(t *testing.T) {
		st := memstore.New()
		faults := storetest.NewFaults(st)
		other := newDesk(t, st)
		var seen []step.State
		d := newDesk(t, faults, engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
			seen = append(seen, a.Step.State)
			return nil
		}))
		id := d.script()
		d.outcome(id, 1, step.Broke)
		seen = nil
		faults.Add(storetest.Fault{Method: storetest.Commit, Do: func() { other.operate(id, 1, operation.RetryFailed) }})
		_, err := d.eng.Operate(t.Context(), id, 1, operation.RetryFailed, engine.Request{})
		if !errors.Is(err, operation.WrongState) {
			t.Errorf("the second of two retries: %v, want a refusal", err)
		}
		if want := []step.State{step.Abnormal, step.Running}; !slices.Equal(seen, want) {
			t.Errorf("the authorizer was asked on %v, want %v", seen, want)
		}
		if got := d.records(id); len(got) != 4 {
			t.Errorf("the history is %v, want one retry", got)
		}
	})
	t.Run("without end is given up with nothing changed", func(t *testing.T) {
		faults := storetest.NewFaults(memstore.New())
		lost := 0
		d := newDesk(t, faults)
		id := d.script()
		eng := engine.New(d.store, engine.WithObserver(engine.Observer{
			Conflicted: func(_ context.Context, _ store.JobID, n int, _ time.Duration) { lost += n },
		}))
		faults.Add(storetest.Fault{Method: storetest.Commit, Forever: true, Err: store.ErrConflict})
		if _, err := eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{}); !errors.Is(err, engine.ErrConflict) {
			t.Errorf("OperateJob: %v, want a conflict", err)
		}
		if lost != 100 {
			t.Errorf("the observer was told of %d lost commits, want 100", lost)
		}
		if _, err := eng.Create(t.Context(), asking1(), engine.Request{}); !errors.Is(err, engine.ErrConflict) {
			t.Errorf("Create: %v, want a conflict", err)
		}
		faults.Clear()
		if got := d.records(id); len(got) != 2 {
			t.Errorf("the history is %v, want nothing added", got)
		}
	})
	t.Run("of a report ends with its context", func(t *testing.T) {
		faults := storetest.NewFaults(memstore.New())
		d := newDesk(t, faults)
		id := d.script()
		ctx, cancel := context.WithCancel(t.Context())
		faults.Add(storetest.Fault{Method: storetest.Commit, Forever: true, Err: store.ErrConflict, Do: cancel})
		if _, err := d.eng.Report(ctx, engine.Report{Job: id, Step: 1, Attempt: 1, Outcome: step.Broke}); !errors.Is(err, context.Canceled) {
			t.Errorf("Report: %v, want its context's error", err)
		}
	})
	t.Run("of an id that is taken draws another", func(t *testing.T) {
		ids := []store.JobID{7, 7, 7, 8}
		eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID {
			id := ids[0]
			ids = ids[1:]
			return id
		}))
		for _, want := range []store.JobID{7, 8} {
			if created, err := eng.Create(t.Context(), asking1(), engine.Request{}); err != nil || created.Job != want {
				t.Errorf("Create: job %d, %v, want job %d", created.Job, err, want)
			}
		}
	})
}

// One terminate passes among 32 executors that report without a pause: reports pass one at a time, so
// each try of the terminate loses to one of them at most.
func TestFairness(t *testing.T) {
	const reporters, targets = 32, 100_000
	crowd := &crowded{Store: memstore.New()}
	eng := engine.New(crowd)
	names := make([]string, targets)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: names}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	reported := make(chan struct{}, reporters)
	for w := range reporters {
		workers.Go(func() {
			for i := w; i < targets-reporters && ctx.Err() == nil; i += reporters {
				_, err := eng.Report(ctx, engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
					{Target: int32(i), Result: store.Result{Status: step.TargetSucceeded}},
				}})
				if err != nil && ctx.Err() == nil {
					t.Errorf("Report: %v", err)
				}
				if i == w {
					reported <- struct{}{}
				}
			}
		})
	}
	for range reporters { // all of them are at it
		<-reported
	}
	_, err = eng.OperateJob(t.Context(), created.Job, operation.TerminateJob, engine.Request{})
	cancel()
	workers.Wait()
	if err != nil {
		t.Fatalf("OperateJob: %v, want the terminate to pass", err)
	}
	if crowd.most.Load() != 1 {
		t.Errorf("up to %d reports were between their decision and the end of their commit at once, want one", crowd.most.Load())
	}
}

// crowded counts how many reports are being committed at once.
type crowded struct {
	store.Store
	now, most atomic.Int32
}

func (c *crowded) Commit(ctx context.Context, change store.Change) error {
	if cause := change.Records[0].Cause; cause == step.Results || cause.IsEvent() {
		n := c.now.Add(1)
		defer c.now.Add(-1)
		for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
		}
		runtime.Gosched() // others come in, if they can
	}
	return c.Store.Commit(ctx, change)
}

// A terminate passes while a report waits between its decision and its commit. The engine then
// decides the report again.
func TestAnOperationWaitsForNoReport(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.script()
	faults.Add(storetest.Fault{Method: storetest.Commit, Do: func() { d.operateJob(id, operation.TerminateJob) }})
	receipt, err := d.eng.Report(t.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0), success(1)}})
	if err != nil || receipt.State != step.Terminated || receipt.Seq != 4 {
		t.Errorf("Report: %+v, %v, want it to end the stop in version 4", receipt, err)
	}
}

func TestRequestID(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script(step.Spec{Type: step.Script, Name: "again", Targets: []string{"a"}})
	d.outcome(id, 1, step.Broke)
	asked := engine.Request{By: "ann", Because: "again", ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001")}
	byBob, otherwise, onCondition := asked, asked, asked
	byBob.By, otherwise.Because = "bob", "why not"
	onCondition.IfVersion, onCondition.IfAttempt = 1, 9
	first, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, asked)
	if err != nil {
		t.Fatal(err)
	}
	d.outcome(id, 2, step.Broke)
	d.operate(id, 1, operation.IgnoreError)
	t.Run("answers a repetition with its record, whatever has happened since", func(t *testing.T) {
		for _, r := range []engine.Request{asked, onCondition} {
			if got, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, r); err != nil || got != first {
				t.Errorf("the request again: %+v, %v, want %+v", got, err, first)
			}
		}
	})
	t.Run("refuses a different request", func(t *testing.T) {
		for name, ask := range map[string]func() error{
			"step": func() error {
				_, err := d.eng.Operate(t.Context(), id, 2, operation.RetryAll, asked)
				return err
			},
			"code": func() error {
				_, err := d.eng.Operate(t.Context(), id, 1, operation.RetryFailed, asked)
				return err
			},
			"person": func() error {
				_, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, byBob)
				return err
			},
			"reason": func() error {
				_, err := d.eng.Operate(t.Context(), id, 1, operation.RetryAll, otherwise)
				return err
			},
			"kind": func() error {
				_, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, asked)
				return err
			},
		} {
			if err := ask(); !errors.Is(err, operation.RequestReused) {
				t.Errorf("the request with another %s: %v, want it refused as reused", name, err)
			}
		}
	})
	t.Run("is not remembered of a refused request", func(t *testing.T) {
		other := uuid.MustParse("0198c0de-0000-7000-8000-000000000002")
		if _, err := d.eng.Operate(t.Context(), id, 2, operation.RetryAll, engine.Request{ID: other}); !errors.Is(err, operation.WrongState) {
			t.Fatalf("retry of a running step: %v, want a refusal", err)
		}
		if _, err := d.eng.Report(t.Context(), engine.Report{Job: id, Step: 2, Attempt: 1, Outcome: step.Broke}); err != nil {
			t.Fatal(err)
		}
		if record, err := d.eng.Operate(t.Context(), id, 2, operation.RetryAll, engine.Request{ID: other}); err != nil || record.Attempt != 2 {
			t.Errorf("the request again, now legal: %+v, %v, want it accepted", record, err)
		}
	})
	t.Run("of a job operation is answered again", func(t *testing.T) {
		other := engine.Request{ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000003")}
		first, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, other)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, other); err != nil || got != first {
			t.Errorf("the request again: %+v, %v, want %+v", got, err, first)
		}
		if _, err := d.eng.OperateJob(t.Context(), id, operation.StartJob, other); !errors.Is(err, operation.RequestReused) {
			t.Errorf("the request with another code: %v, want it refused as reused", err)
		}
	})
}

func TestCreateRequestID(t *testing.T) {
	d := newDesk(t, memstore.New())
	scope := store.Scope{Type: "biz", ID: "2"}
	spec := engine.JobSpec{Name: "job", Scope: scope}
	for i := range 150 { // more than a page of steps
		spec.Steps = append(spec.Steps, step.Spec{Type: step.Script, Name: fmt.Sprint("step ", i), Targets: []string{"a", "b"}, Payload: "x", Timeout: time.Second})
	}
	spec.Steps = append(spec.Steps, step.Spec{Type: step.Confirmation, Name: "ok", Confirmers: []string{"ann"}})
	asked := engine.Request{By: "ann", Because: "it is time", ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001")}
	create := func(spec engine.JobSpec) (store.Record, error) { return d.eng.Create(t.Context(), spec, asked) }
	first, err := create(spec)
	if err != nil {
		t.Fatal(err)
	}
	d.operateJob(first.Job, operation.StartJob)
	d.operateJob(first.Job, operation.TerminateJob)
	t.Run("answers a repetition with its record", func(t *testing.T) {
		if got, err := create(spec); err != nil || got != first {
			t.Errorf("the creation again: %+v, %v, want %+v", got, err, first)
		}
	})
	t.Run("is another request in another scope", func(t *testing.T) {
		spec := spec
		spec.Scope = store.Scope{}
		if got, err := create(spec); err != nil || got.Job == first.Job {
			t.Errorf("the creation in no scope: %+v, %v, want another job", got, err)
		}
	})
	t.Run("refuses a different creation", func(t *testing.T) {
		change := func(f func(*engine.JobSpec)) engine.JobSpec {
			other := spec
			other.Steps = slices.Clone(spec.Steps)
			f(&other)
			return other
		}
		for name, other := range map[string]engine.JobSpec{
			"name":              change(func(s *engine.JobSpec) { s.Name = "other" }),
			"number of steps":   change(func(s *engine.JobSpec) { s.Steps = s.Steps[:3] }),
			"step name":         change(func(s *engine.JobSpec) { s.Steps[140].Name = "other" }),
			"payload":           change(func(s *engine.JobSpec) { s.Steps[140].Payload = "y" }),
			"target":            change(func(s *engine.JobSpec) { s.Steps[3].Targets = []string{"a", "c"} }),
			"number of targets": change(func(s *engine.JobSpec) { s.Steps[3].Targets = []string{"a"} }),
			"confirmers":        change(func(s *engine.JobSpec) { s.Steps[150].Confirmers = []string{"bob"} }),
		} {
			if _, err := create(other); !errors.Is(err, operation.RequestReused) {
				t.Errorf("the creation with another %s: %v, want it refused as reused", name, err)
			}
		}
		for name, r := range map[string]engine.Request{
			"person": {By: "bob", Because: asked.Because, ID: asked.ID}, "reason": {By: asked.By, Because: "why not", ID: asked.ID},
		} {
			if _, err := d.eng.Create(t.Context(), spec, r); !errors.Is(err, operation.RequestReused) {
				t.Errorf("the creation by another %s: %v, want it refused as reused", name, err)
			}
		}
	})
	t.Run("shows a failure of the store", func(t *testing.T) {
		for _, fault := range []storetest.Fault{
			{Method: storetest.Created, Err: errBroken}, {Method: storetest.View, Err: errBroken},
			{Method: storetest.Steps, Err: errBroken}, {Method: storetest.Targets, Err: errBroken},
		} {
			faulty := engine.New(storetest.NewFaults(d.store, fault))
			_, err := faulty.Create(t.Context(), spec, asked)
			if !errors.Is(err, errBroken) || errors.Is(err, engine.ErrUnknownOutcome) {
				t.Errorf("Create with a failing %s: %v, want the store's error", fault.Method, err)
			}
		}
	})
}

func TestConditions(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	if _, err := d.eng.Report(t.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
	}}); err != nil {
		t.Fatal(err)
	}
	// Version 3 brought results only: the job moved last in version 2.
	for _, c := range []struct {
		version store.Seq
		attempt int32
		stale   bool
	}{
		{1, 0, true}, {2, 0, false}, {3, 0, false}, {4, 0, true},
		{0, 1, false}, {0, 2, true},
	} {
		_, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{IfVersion: c.version, IfAttempt: c.attempt, DryRun: true})
		if errors.Is(err, operation.Stale) != c.stale || !c.stale && err != nil {
			t.Errorf("terminate if version %d, attempt %d: %v, want stale: %v", c.version, c.attempt, err, c.stale)
		}
	}
}

func TestObserver(t *testing.T) {
	now := time.UnixMilli(1e12)
	var told []string
	tell := func(what string, took time.Duration) {
		told = append(told, fmt.Sprintf("%s after %v", what, took))
		panic("contained")
	}
	eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { now = now.Add(time.Millisecond); return now }),
		engine.WithObserver(engine.Observer{
			Accepted: func(_ context.Context, r store.Record, took time.Duration) { tell(r.Cause.String(), took) },
			Refused:  func(_ context.Context, r *engine.Refusal, took time.Duration) { tell(r.Reason.String(), took) },
			Dry:      func(_ context.Context, r store.Record, took time.Duration) { tell("dry "+r.Cause.String(), took) },
			Conflicted: func(_ context.Context, _ store.JobID, lost int, took time.Duration) {
				tell(fmt.Sprint("lost ", lost), took) // no request loses a race here
			},
		}))
	created, err := eng.Create(t.Context(), asking1(), engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	if record, err := eng.Operate(t.Context(), created.Job, 1, operation.Confirm, engine.Request{DryRun: true}); err != nil || record.Seq != 0 || record.To != step.Succeeded {
		t.Errorf("dry run: %+v, %v, want succeeded and no version", record, err)
	}
	if _, err := eng.Operate(t.Context(), created.Job, 1, operation.RetryAll, engine.Request{}); err == nil {
		t.Error("retry_all of a confirmation was accepted")
	}
	if _, err := eng.Explain(t.Context(), created.Job, 1, engine.Request{}); err != nil { // the observer is not told
		t.Error(err)
	}
	want := []string{"created after 1ms", "start_job after 1ms", "dry confirm after 1ms", "wrong_type after 1ms"}
	if !slices.Equal(told, want) {
		t.Errorf("the observer was told %q, want %q", told, want)
	}
}

// wantRefusal wants err to be a refusal with these fields and no others.
func wantRefusal(t *testing.T, name string, err error, want engine.Refusal) {
	t.Helper()
	var got *engine.Refusal
	if !errors.As(err, &got) {
		t.Errorf("%s: %v, want a refusal", name, err)
		return
	}
	told, _ := json.Marshal(got)
	if wanted, _ := json.Marshal(want); string(told) != string(wanted) {
		t.Errorf("%s: refused with %s, want %s", name, told, wanted)
	}
}

func TestAuthorizer(t *testing.T) {
	cause := errors.New("not on shift")
	var cancel context.CancelFunc
	for name, authorize := range map[string]func(context.Context, engine.Access) error{
		"an error":         func(context.Context, engine.Access) error { return cause },
		"a panic":          func(context.Context, engine.Access) error { panic("boom") },
		"an ended context": func(context.Context, engine.Access) error { cancel(); return nil },
	} {
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		st := memstore.New()
		id := newDesk(t, st).script()
		eng := engine.New(st, engine.WithAuthorizer(authorize))
		_, err := eng.OperateJob(ctx, id, operation.TerminateJob, engine.Request{By: "ann"})
		wantRefusal(t, name, err, engine.Refusal{Reason: operation.Denied, Cause: operation.TerminateJob.Cause(), Job: id, Step: 1, Actor: "ann"})
		if name == "an error" && (!errors.Is(err, cause) || !strings.Contains(err.Error(), "ann")) {
			t.Errorf("%s: %v, want it to name the person and the cause", name, err)
		}
		if name == "an ended context" {
			continue
		}
		_, err = eng.Create(t.Context(), asking1(), engine.Request{By: "ann"})
		wantRefusal(t, name+", Create", err, engine.Refusal{Reason: operation.Denied, Actor: "ann"})
		_, err = eng.Operate(t.Context(), id, 1, operation.RetryAll, engine.Request{By: "ann"})
		wantRefusal(t, name+", Operate", err, engine.Refusal{Reason: operation.Denied, Cause: operation.RetryAll.Cause(), Job: id, Step: 1, Actor: "ann"})
		if codes, err := eng.Allowed(t.Context(), id, 1, engine.Request{}); err != nil || !codes.Empty() {
			t.Errorf("%s: Allowed: %v, %v, want none", name, codes, err)
		}
	}
}

// An explanation asks the authorizer once about each code that the rules allow, and about no other.
// Its legal codes are those that a dry run accepts, whatever the authorizer answers.
func TestExplainAsksOnlyAboutWhatTheRulesAllow(t *testing.T) {
	for _, denied := range []step.Causes{{}, operation.CausesOf(operation.RetryFailed, operation.Confirm), operation.CausesOf(operation.AllCodes()...)} {
		var asked []string
		d := newDesk(t, memstore.New(), engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
			asked = append(asked, a.Cause.String())
			if denied.Has(a.Cause) || a.Cause == operation.TerminateJob.Cause() && denied.Has(operation.RetryFailed.Cause()) {
				return errors.New("not on shift")
			}
			return nil
		}))
		pending, err := d.eng.Create(t.Context(), asking1(), engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		running, failed := d.script(), d.script()
		d.outcome(failed, 1, step.Broke)
		for _, id := range []store.JobID{pending.Job, running, failed} {
			s, err := d.eng.Step(t.Context(), id, 1)
			if err != nil {
				t.Fatal(err)
			}
			rules := d.eng.Rules()
			allowed := engine.Legal(rules, must(d.eng.Job(t.Context(), id)), s, "").Len()
			asked = nil
			x, err := d.eng.Explain(t.Context(), id, 1, engine.Request{})
			if err != nil || len(asked) != allowed {
				t.Errorf("Explain in %v asked about %v, %v; the rules allow %d", s.State, asked, err, allowed)
			}
			for _, v := range x.Causes {
				var err error
				if v.Cause.OfJob() {
					_, err = d.eng.OperateJob(t.Context(), id, operation.JobCode(v.Cause.Code()), engine.Request{DryRun: true, Because: "a comment"})
				} else {
					_, err = d.eng.Operate(t.Context(), id, 1, operation.Code(v.Cause), engine.Request{DryRun: true})
				}
				if v.Legal != (err == nil) {
					t.Errorf("%v in %v: explained as legal %v, and run dry with %v", v.Cause, s.State, v.Legal, err)
				}
				legal := engine.Legal(rules, x.Job, x.Step, "").Has(v.Cause)
				if !v.Legal && legal != (v.Refusal.Reason == operation.Denied) {
					t.Errorf("%v in %v, legal %v, is explained with %v", v.Cause, s.State, legal, v.Refusal)
				}
			}
		}
	}
}

// A client sees the error of an authorizer only if the error is marked as public.
func TestPublicWords(t *testing.T) {
	words := engine.Public("ask ann first")
	for _, c := range []struct {
		err    error
		detail string
	}{
		{errors.New("row 7 of acl"), ""},
		{words, "ask ann first"},
		{fmt.Errorf("row 7 of acl: %w", words), "ask ann first"},
		{errors.Join(errors.New("row 7 of acl"), words), "ask ann first"},
	} {
		eng := engine.New(memstore.New(), engine.WithAuthorizer(func(context.Context, engine.Access) error { return c.err }))
		_, err := eng.Create(t.Context(), asking1(), engine.Request{By: "bob"})
		var refusal *engine.Refusal
		if !errors.As(err, &refusal) || refusal.Detail != c.detail || !errors.Is(err, c.err) {
			t.Fatalf("denied by %v: %v, want the detail %q", c.err, err, c.detail)
		}
		data, err := json.Marshal(refusal)
		var told engine.Refusal
		if err = errors.Join(err, json.Unmarshal(data, &told)); err != nil || strings.Contains(string(data), "acl") ||
			c.detail != "" && !strings.HasSuffix(told.Error(), "denied to bob: "+c.detail) {
			t.Errorf("denied by %v: %s, %v, which reads %v", c.err, data, err, &told)
		}
	}
}

// The engine refuses requests of a person from a caller that is only an executor. The authorizer learns
// which persons are executors too.
func TestExecutorsAreNoPersons(t *testing.T) {
	var asked []engine.Access
	st := memstore.New()
	id := newDesk(t, st).script()
	eng := engine.New(st, engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
		asked = append(asked, a)
		return nil
	}))
	for _, eng := range []*engine.Engine{eng, engine.New(st)} { // with an authorizer, and without
		for name, call := range map[string]func(r engine.Request) error{
			"Operate": func(r engine.Request) error {
				_, err := eng.Operate(t.Context(), id, 1, operation.RetryAll, r)
				return err
			},
			"OperateJob": func(r engine.Request) error {
				_, err := eng.OperateJob(t.Context(), id, operation.TerminateJob, r)
				return err
			},
			"Create": func(r engine.Request) error {
				_, err := eng.Create(t.Context(), asking1(), r)
				return err
			},
			"Allowed": func(r engine.Request) error {
				x, err := eng.Explain(t.Context(), id, 1, r)
				for _, v := range x.Causes {
					if v.Cause == operation.TerminateJob.Cause() && v.Refusal != nil {
						return v.Refusal // although it is legal
					}
				}
				return err
			},
		} {
			asked = nil
			for _, r := range []engine.Request{{Executor: true}, {Executor: true, DryRun: true}} {
				if name == "Allowed" {
					r.DryRun = false // does not apply
				}
				var refusal *engine.Refusal
				if err := call(r); !errors.As(err, &refusal) || refusal.Reason != operation.Denied || refusal.Detail == "" {
					t.Errorf("%s by an executor: %v, want it denied with words", name, err)
				}
			}
			if len(asked) > 0 {
				t.Errorf("%s by an executor: the authorizer was asked about %+v", name, asked)
			}
		}
		asked = nil
		if codes, err := eng.Allowed(t.Context(), id, 1, engine.Request{Executor: true}); err != nil || !codes.Empty() {
			t.Errorf("Allowed to an executor: %v, %v, want none", codes, err)
		}
		if _, err := eng.Create(t.Context(), asking1(), engine.Request{Executor: true, By: "agent"}); err != nil {
			t.Errorf("Create by a person that is an executor too: %v", err)
		}
	}
	if len(asked) != 0 { // the last engine has no authorizer
		t.Fatalf("asked about %+v", asked)
	}
	for _, r := range []engine.Request{{By: "agent"}, {By: "agent", Executor: true}} {
		if _, err := eng.Create(t.Context(), asking1(), r); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 2 || asked[0].Executor || !asked[1].Executor || asked[1].Actor != "agent" {
		t.Errorf("the authorizer was asked about %+v, want a person and then one that is an executor", asked)
	}
}

// The receipt that the engine makes of a decision is the one it makes of its record.
func TestReplayRefuses(t *testing.T) {
	d := newDesk(t, memstore.New())
	spec := engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "run", Targets: []string{"a", "b"}}}}
	id := d.script()
	d.outcome(id, 1, step.Broke)
	good, err := d.eng.History(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func([]store.Record) []store.Record
		want  string
	}{
		"no history":       {func(h []store.Record) []store.Record { return nil }, "does not begin with the creation"},
		"a missing record": {func(h []store.Record) []store.Record { return append(h[:1:1], h[2]) }, "record 3 follows record 1"},
		"another job":      {func(h []store.Record) []store.Record { h[1].Job++; return h }, "record 2 is of job"},
		"another step":     {func(h []store.Record) []store.Record { h[1].Step = 2; return h }, "record 2 is about step 2"},
		"another state":    {func(h []store.Record) []store.Record { h[2].From = step.Failed; return h }, "record 3 starts in failed"},
		"an earlier state": {func(h []store.Record) []store.Record { h[2].From = step.Pending; return h }, "record 3 starts in pending"},
		"a job behind":     {func(h []store.Record) []store.Record { h[2].JobFrom = step.Pending; return h }, "record 3 starts with the job in pending"},
		"a step left out":  {func(h []store.Record) []store.Record { h[2].Entered = 3; return h }, "record 3 enters step 3 after step 1 of 3"},
		"a job elsewhere":  {func(h []store.Record) []store.Record { h[2].JobFrom = step.Failed; return h }, "record 3 starts with the job in failed"},
		"no such step":     {func(h []store.Record) []store.Record { return h[:2] }, "is about step 1 of 0"},
		"a step too many":  {func(h []store.Record) []store.Record { h[2].Entered = 2; return h }, "record 3 enters step 2"},
	} {
		spec := spec
		switch name {
		case "no such step":
			spec.Steps = nil
		case "a step left out":
			spec.Steps = slices.Repeat(spec.Steps, 3)
		}
		_, _, err := engine.Replay(operation.Standard(), spec, c.spoil(slices.Clone(good)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a history with %s: %v, want an error with %q", name, err, c.want)
		}
	}
}

// A driver that sends a commit twice learns that the second one lost a race, against the first. The
// engine finds the first by the request id that it has made, and does not ask the authorizer again
// about the state after it.
func TestACommitThatIsSentTwice(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults, engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
		if a.Cause == operation.TerminateJob.Cause() && a.Job.State != step.Running {
			return errors.New("only what runs is terminated")
		}
		return nil
	}))
	twice := storetest.Fault{Method: storetest.Commit, Kind: storetest.Duplicate}
	faults.Add(twice)
	id := d.script()
	if jobs, err := d.eng.Jobs(t.Context(), engine.JobQuery{}); err != nil || len(jobs) != 1 {
		t.Errorf("one creation made %d jobs, %v", len(jobs), err)
	}
	faults.Add(twice)
	if record, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{}); err != nil || record.Seq != 3 {
		t.Errorf("OperateJob: %+v, %v, want the receipt of version 3", record, err)
	}
	faults.Add(twice)
	receipt, err := d.eng.Report(t.Context(), engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Target: 0, Result: store.Result{Status: step.TargetSucceeded}}, {Target: 0, Result: store.Result{Status: step.TargetFailed}},
	}})
	if err != nil || receipt.Seq != 4 || receipt.Accepted != 1 || len(receipt.Rejected) != 1 {
		t.Errorf("Report: %+v, %v, want version 4, one result accepted and one rejected", receipt, err)
	}
}

// The authorizer decides on a repeated request too: a denial comes before the earlier answer.
func TestARepetitionIsDenied(t *testing.T) {
	denied := false
	d := newDesk(t, memstore.New(), engine.WithAuthorizer(func(context.Context, engine.Access) error {
		if denied {
			return errors.New("dismissed")
		}
		return nil
	}))
	id, request := d.script(), engine.Request{ID: uuid.New()}
	if _, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, request); err != nil {
		t.Fatal(err)
	}
	denied = true
	if record, err := d.eng.OperateJob(t.Context(), id, operation.TerminateJob, request); !errors.Is(err, operation.Denied) {
		t.Errorf("the same request by a person who was dismissed: %+v, %v, want a denial", record, err)
	}
}

func TestAuthorizerIsNotAskedAboutWhatIsDone(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults, engine.WithAuthorizer(func(_ context.Context, a engine.Access) error {
		if a.Cause == operation.RetryFailed.Cause() && a.Job.State != step.Abnormal {
			return errors.New("retries are for jobs that broke")
		}
		return nil
	}))
	id := d.script()
	d.outcome(id, 1, step.Broke)
	faults.Add(storetest.Fault{Method: storetest.Commit, After: true, Err: errBroken})
	record, err := d.eng.Operate(t.Context(), id, 1, operation.RetryFailed, engine.Request{})
	if err != nil || record.Seq != 4 {
		t.Errorf("Operate: %+v, %v, want the receipt of version 4", record, err)
	}
}

// A context that ends before anything is sent leaves no doubt.
func TestContextEndsBeforeTheCommit(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.script()
	ctx, cancel := context.WithCancel(t.Context())
	faults.Add(storetest.Fault{Method: storetest.View, After: true, Do: cancel})
	_, err := d.eng.OperateJob(ctx, id, operation.TerminateJob, engine.Request{})
	if !errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrUnknownOutcome) {
		t.Errorf("OperateJob: %v, want its context's error and no doubt", err)
	}
	if got := d.records(id); len(got) != 2 {
		t.Errorf("the history is %v, want nothing added", got)
	}
}

// withContainer returns rules with one more step type, 32, which runs as a script does.
func withContainer(t *testing.T) *operation.Rules {
	t.Helper()
	table := operation.StandardTable()
	kind := table.Kinds[0]
	kind.Type, kind.Title = 32, "container"
	table.Kinds = append(table.Kinds, kind)
	table.Like(32, step.Script)
	rules, err := table.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// A process with older rules does not touch a step of a type that it does not know. The job waits for
// a process that knows the type, and delays no other job.
func TestOlderRules(t *testing.T) {
	now := time.UnixMilli(1e12)
	clock := engine.WithClock(func() time.Time { return now })
	st := memstore.New()
	newer, older := engine.New(st, engine.WithRules(withContainer(t)), clock), engine.New(st, clock)
	created, err := newer.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a"}},
		{Type: 32, Name: "contain", Targets: []string{"a"}, Timeout: time.Second},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newer.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	done := engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}
	if _, err := older.Report(t.Context(), done); !errors.Is(err, operation.WrongType) || !strings.Contains(err.Error(), "custom-32") {
		t.Errorf("Report that enters a step of an unknown type: %v, want it refused", err)
	}
	if _, err := newer.Report(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	const undeclared = "type custom-32 is not declared in this engine's rules"
	strange, err := newer.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: 32, Name: "contain", Targets: []string{"a"}}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := older.Explain(t.Context(), created.Job, 2, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	told := []error{}
	for _, v := range x.Causes {
		switch v.Cause {
		case operation.HoldJob.Cause(), operation.CommentJob.Cause(): // of the whole job, whatever the type of its step
			if !v.Legal {
				t.Errorf("%v of a job with a step of an unknown type: %v, want it legal", v.Cause, v.Refusal)
			}
		case operation.ResumeJob.Cause():
			if v.Legal || v.Refusal.Reason != operation.NotHeld {
				t.Errorf("a resume of a job that is not on hold: %v, want not_held", v.Refusal)
			}
		default:
			told = append(told, v.Refusal)
		}
	}
	_, err = older.Operate(t.Context(), created.Job, 2, operation.ForcedSkip, engine.Request{})
	told = append(told, err)
	_, err = older.OperateJob(t.Context(), created.Job, operation.TerminateJob, engine.Request{})
	told = append(told, err)
	_, err = older.OperateJob(t.Context(), strange.Job, operation.StartJob, engine.Request{})
	told = append(told, err)
	_, err = older.Allowed(t.Context(), created.Job, 2, engine.Request{})
	told = append(told, err)
	_, err = older.Report(t.Context(), engine.Report{Job: created.Job, Step: 2, Attempt: 1, Results: []engine.TargetResult{success(0)}})
	told = append(told, err)
	for _, err := range told {
		if !errors.Is(err, operation.WrongType) || !strings.Contains(err.Error(), undeclared) || strings.Contains(err.Error(), "only in") {
			t.Errorf("of a step of an unknown type: %v, want that %s", err, undeclared)
		}
	}
	other, err := older.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok", Timeout: 2 * time.Second}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := older.OperateJob(t.Context(), other.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if n, err := older.Sweep(t.Context()); n != 1 || !errors.Is(err, operation.WrongType) {
		t.Errorf("Sweep by older rules: %d, %v, want one expired and one failure told", n, err)
	}
	if n, err := newer.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("Sweep by newer rules: %d, %v, want the other one", n, err)
	}
}

// A clock that stands still does not run out of ids, and one at the zero time makes one id
// per request.
func TestOddClocks(t *testing.T) {
	for _, now := range []time.Time{{}, time.UnixMilli(0), time.UnixMilli(1_800_000_000_000)} {
		faults := storetest.NewFaults(memstore.New())
		eng := engine.New(faults, engine.WithClock(func() time.Time { return now }))
		for i := range 6000 {
			if _, err := eng.Create(t.Context(), asking1(), engine.Request{}); err != nil {
				t.Fatalf("Create %d at %v: %v", i+1, now, err)
			}
		}
		created, err := eng.Create(t.Context(), asking1(), engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		faults.Add(storetest.Fault{Method: storetest.Commit, Forever: true, Err: errBroken})
		_, err = eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{})
		var unknown *engine.UnknownOutcomeError
		if !errors.As(err, &unknown) {
			t.Fatalf("OperateJob: %v, want an unknown outcome", err)
		}
		faults.Clear()
		if record, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{ID: unknown.Request}); err != nil || record.Seq != 2 {
			t.Errorf("the request again: %+v, %v, want version 2", record, err)
		}
	}
}

// For an id in use the engine draws another, each time for a moment one millisecond later.
func TestTakenJobIDs(t *testing.T) {
	const now = 1_800_000_000_000
	var drawn []step.Time
	eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return time.UnixMilli(now) }),
		engine.WithJobIDs(func(at step.Time) store.JobID {
			drawn = append(drawn, at)
			return store.JobID(len(drawn)/4 + 1) // 1 1 1 2 2 2 2 3 ...
		}))
	for range 2 {
		if _, err := eng.Create(t.Context(), asking1(), engine.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []step.Time{now, now, now + 1, now + 2}; !slices.Equal(drawn, want) {
		t.Errorf("ids were drawn for %d, want %d", drawn, want)
	}
}

// The refusal of a report about a target that does not exist gives the range of targets. The refusal
// of a decision on a view that lacks a target names the target.
func TestNoSuchTarget(t *testing.T) {
	st := memstore.New()
	d := newDesk(t, st)
	id := d.script()
	report := &engine.Report{Job: id, Step: 1, Attempt: 1, Results: []engine.TargetResult{{Target: 2, Result: store.Result{Status: step.TargetSucceeded}}}}
	var refusal *engine.Refusal
	if _, err := d.eng.Report(t.Context(), *report); !errors.As(err, &refusal) || refusal.Detail != "the step has no target 2, only 0 to 1" {
		t.Errorf("Report: %v, want the targets that there are", err)
	}
	view, err := st.View(t.Context(), store.Query{Job: id, Step: 1, Targets: []int32{0}})
	if err != nil {
		t.Fatal(err)
	}
	report.Results[0].Target = 1
	if _, err := engine.Decide(operation.Standard(), view, report, 1); !errors.As(err, &refusal) || refusal.Detail != "the view lacks target 1 of 0 to 1" {
		t.Errorf("Decide: %v, want the target that the view lacks", err)
	}
}

// A sweep goes on until nothing is overdue, over any number of batches.
func TestSweepOfMany(t *testing.T) {
	const many = 1001 // one more than a sweep takes at once
	now := time.UnixMilli(1_800_000_000_000)
	d := newDesk(t, memstore.New(), engine.WithClock(func() time.Time { return now }))
	spec := asking1()
	spec.Steps[0].Timeout = time.Second
	for range many {
		created, err := d.eng.Create(t.Context(), spec, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		d.operateJob(created.Job, operation.StartJob)
	}
	now = now.Add(time.Second)
	if n, err := d.eng.Sweep(t.Context()); n != many || err != nil {
		t.Errorf("Sweep: %d, %v, want %d", n, err, many)
	}
}

// A stuck store fails the views of some jobs. It also fails the tenth list of overdue jobs, which ends
// a sweep that never gets past them.
type stuck struct {
	store.Store
	jobs  map[store.JobID]bool
	lists int
}

func (s *stuck) View(ctx context.Context, q store.Query) (store.View, error) {
	if s.jobs[q.Job] {
		return store.View{}, errBroken
	}
	return s.Store.View(ctx, q)
}

func (s *stuck) Overdue(ctx context.Context, scope store.Scope, now step.Time, limit int) ([]store.Overdue, error) {
	if s.lists++; s.lists == 10 {
		return nil, errors.New("ten lists in one sweep")
	}
	return s.Store.Overdue(ctx, scope, now, limit)
}

// A whole batch of jobs that cannot expire does not keep a sweep from the job after them.
func TestSweepGetsPastFailures(t *testing.T) {
	const many = 1000
	now := time.UnixMilli(1_800_000_000_000)
	st := &stuck{Store: memstore.New()}
	d := newDesk(t, st, engine.WithClock(func() time.Time { return now }))
	failing := map[store.JobID]bool{}
	for i := range many + 1 {
		spec := asking1()
		spec.Steps[0].Timeout = time.Second
		if i == many {
			spec.Steps[0].Timeout += time.Second // the last in the list
		}
		created, err := d.eng.Create(t.Context(), spec, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		d.operateJob(created.Job, operation.StartJob)
		failing[created.Job] = i < many
	}
	st.jobs = failing
	now = now.Add(time.Minute)
	if n, err := d.eng.Sweep(t.Context()); n != 1 || !errors.Is(err, errBroken) || strings.Count(err.Error(), errBroken.Error()) != many {
		t.Errorf("Sweep: %d, %v, want 1 and %d failures", n, err, many)
	}
}

func TestWrongJobIDs(t *testing.T) {
	for _, id := range []store.JobID{0, -1, store.MaxJobID + 1} {
		eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return id }))
		var refusal *engine.Refusal
		if _, err := eng.Create(t.Context(), asking1(), engine.Request{}); !errors.As(err, &refusal) || refusal.Field != "WithJobIDs" {
			t.Errorf("Create with id %d drawn: %v, want the source named", id, err)
		}
	}
}

// Every value for frontends has a JSON form.
func TestAnswersMarshal(t *testing.T) {
	eng, job := release()
	x := must(eng.Explain(ctx, job, 1, engine.Request{}))
	if x.Causes[0].Refusal == nil || !slices.ContainsFunc(x.Causes, func(v engine.Verdict) bool { return v.Record.To == step.Terminating }) {
		t.Fatalf("Explain: %+v, want a refusal and a receipt to look at", x)
	}
	values := []any{x, engine.Refusal{Reason: operation.Denied}, store.Record{}, engine.ReportReceipt{}, engine.Rejection{}, engine.Access{Job: x.Job}, store.Record{JobTo: step.Pending, Cause: step.Created}}
	for _, d := range must(eng.Effects(ctx, job, 0, 0)) {
		values = append(values, d)
	}
	must(eng.Deliver(ctx, func(_ context.Context, d engine.Delivery) error {
		values = append(values, d)
		return nil
	}))
	for _, v := range values {
		if data, err := json.Marshal(v); err != nil {
			t.Errorf("%T does not marshal: %v", v, err)
		} else if strings.Contains(string(data), "Causes\"") {
			t.Errorf("%T has a field without a stable name: %s", v, data)
		}
	}
}

func TestObserverIsToldHowLongARefusalTook(t *testing.T) {
	var took []time.Duration
	eng := engine.New(memstore.New(), engine.WithObserver(engine.Observer{
		Refused: func(_ context.Context, _ *engine.Refusal, d time.Duration) { took = append(took, d) },
	}))
	_, _ = eng.Operate(t.Context(), 0, 1, operation.Confirm, engine.Request{})
	_, _ = eng.In(store.Scope{}).Operate(t.Context(), 1, 1, operation.Confirm, engine.Request{})
	_, _ = eng.Create(t.Context(), engine.JobSpec{}, engine.Request{})
	if len(took) != 3 || slices.Max(took) > time.Hour {
		t.Errorf("refusals took %v, want three and none for years", took)
	}
}

func TestNarrowedTwice(t *testing.T) {
	ours, theirs := store.Scope{Type: "biz", ID: "2"}, store.Scope{Type: "biz", ID: "3"}
	eng := engine.New(memstore.New()).In(ours)
	if _, err := eng.In(ours).Jobs(t.Context(), engine.JobQuery{}); err != nil {
		t.Errorf("Jobs in the same scope twice: %v", err)
	}
	for _, e := range []*engine.Engine{eng.In(theirs), eng.In(theirs).In(ours)} {
		if _, err := e.Jobs(t.Context(), engine.JobQuery{}); !errors.Is(err, operation.InvalidInput) {
			t.Errorf("Jobs in another scope than before: %v, want it refused", err)
		}
	}
}

func TestNilOptions(t *testing.T) {
	eng := engine.New(memstore.New(), nil, engine.WithRules(nil), engine.WithClock(nil), engine.WithRandom(nil), engine.WithJobIDs(nil), engine.WithAuthorizer(nil))
	created, err := eng.Create(t.Context(), asking1(), engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.Deliver(t.Context(), func(context.Context, engine.Delivery) error { return nil }, nil); err != nil {
		t.Errorf("Deliver with a nil option: %v", err)
	}
	for range eng.Watch(t.Context(), created.Job, 0, nil) {
		break
	}
	if _, err := engine.Decide(nil, store.View{}, &engine.Operate{Cause: operation.Confirm.Cause()}, 1); !errors.Is(err, operation.InvalidInput) {
		t.Errorf("Decide without rules: %v, want it refused", err)
	}
}
