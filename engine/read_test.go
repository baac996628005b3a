package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// Every target reads as its step's state allows, in every state: it waits only while its
// attempt is active.
func TestTargetsRead(t *testing.T) {
	d := newDesk(t, memstore.New())
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"done", "broken", "running", "silent"}},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	reads := func(when string, attempt int32, want ...string) {
		t.Helper()
		targets, err := d.eng.Targets(t.Context(), created.Job, 1, engine.TargetQuery{Attempt: attempt})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range targets {
			got = append(got, x.Name+" "+x.Status.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, attempt %d reads %q, want %q", when, attempt, got, want)
		}
	}
	report := func(attempt int32, outcome step.Cause, results ...engine.TargetResult) {
		t.Helper()
		if _, err := d.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: attempt, Results: results, Outcome: outcome}); err != nil {
			t.Fatal(err)
		}
	}
	status := func(target int32, s step.Status) engine.TargetResult {
		return engine.TargetResult{Target: target, Result: store.Result{Status: s, ExitCode: 3, Detail: "why"}}
	}
	reads("before the start", 0, "done none", "broken none", "running none", "silent none")
	d.operateJob(created.Job, operation.StartJob)
	reads("after the start", 0, "done waiting", "broken waiting", "running waiting", "silent waiting")
	report(1, 0, status(0, step.TargetSucceeded), status(1, step.NonZeroExit), status(2, step.TargetRunning))
	reads("while it runs", 0, "done succeeded", "broken non_zero_exit", "running running", "silent waiting")
	report(1, step.Broke)
	reads("abnormal", 0, "done succeeded", "broken non_zero_exit", "running unknown", "silent unknown")
	d.operate(created.Job, 1, operation.RetryFailed)
	reads("in the second attempt", 0, "done succeeded_earlier", "broken waiting", "running waiting", "silent waiting")
	reads("in the second attempt", 1, "done succeeded", "broken non_zero_exit", "running unknown")
	d.operateJob(created.Job, operation.TerminateJob)
	report(2, 0, status(1, step.TargetSucceeded), status(2, step.TargetRunning))
	reads("terminating", 0, "done succeeded_earlier", "broken succeeded", "running running", "silent waiting")
	report(2, step.Stopped)
	reads("terminated", 0, "done succeeded_earlier", "broken succeeded", "running terminated", "silent terminated")
	reads("terminated", 2, "broken succeeded", "running terminated")
	if got, err := d.eng.Targets(t.Context(), created.Job, 1, engine.TargetQuery{Class: store.UnfinishedTargets, From: 3, Limit: 1}); err != nil ||
		len(got) != 1 || got[0].Result != (store.Result{Status: step.TargetTerminated}) {
		t.Errorf("the silent target reads %+v, %v, want nothing but terminated", got, err)
	}
	d.operate(created.Job, 1, operation.NextStep)
	reads("skipped", 0, "done succeeded_earlier", "broken succeeded", "running terminated", "silent terminated")
}

// Every target of a step with batches reads as its batch allows: it waits before its batch, and after
// it shows how it ended there. So does every batch, and so do snapshots.
func TestBatchesRead(t *testing.T) {
	d := newDesk(t, memstore.New())
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "plain", Targets: []string{"p"}},
		{Type: step.Script, Name: "run", Targets: []string{"a", "b", "c", "d", "e", "f", "g"},
			Rolling: step.Rolling{Batches: "2", Between: step.Between{Person: true}}, Tolerate: step.Tolerance{Count: 2}, Retry: step.Retry{Attempts: 1}},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	reads := func(when, targets, batches string) {
		t.Helper()
		got, err := d.eng.Targets(t.Context(), created.Job, 2, engine.TargetQuery{})
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for i, x := range got {
			words = append(words, x.Name+" "+x.Status.String())
			if want := int32(i/2 + 1); x.Batch != want {
				t.Errorf("%s, target %s is of batch %d, want %d", when, x.Name, x.Batch, want)
			}
			if x.Detail != "" && x.Status.String() == "waiting" {
				t.Errorf("%s, target %s waits with the detail %q", when, x.Name, x.Detail)
			}
		}
		if text := strings.Join(words, ", "); text != targets {
			t.Errorf("%s the targets read\n     %s\nwant %s", when, text, targets)
		}
		rows, err := d.eng.Batches(t.Context(), created.Job, 2)
		if err != nil {
			t.Fatal(err)
		}
		words = nil
		for i, b := range rows {
			if first := int32(2 * i); b.Number != int32(i+1) || b.Step != 2 || b.First != first || b.End != min(first+2, 7) {
				t.Errorf("%s row %d is %+v, want batch %d of step 2 with its targets", when, i, b, i+1)
			}
			words = append(words, fmt.Sprintf("%v in %d-%d, %d done, %d open", b.State, b.Since, b.Attempt, b.Succeeded, b.Unfinished))
		}
		if text := strings.Join(words, "; "); text != batches {
			t.Errorf("%s the batches read\n     %s\nwant %s", when, text, batches)
		}
		all, err := d.eng.Snapshot(t.Context(), created.Job, 8)
		if err != nil || !slices.Equal(all.Targets[1:], got) {
			t.Errorf("%s a snapshot has the targets\n     %+v, %v\nwant %+v", when, all.Targets, err, got)
		}
		begun := slices.DeleteFunc(rows, func(b store.Batch) bool { return b.State == step.Pending })
		if !slices.Equal(all.Batches, begun) {
			t.Errorf("%s a snapshot has the batches\n     %+v\nwant %+v", when, all.Batches, begun)
		}
	}
	results := func(attempt int32, outcome step.Cause, words ...string) {
		t.Helper()
		status := map[string]step.Status{"ok": step.TargetSucceeded, "bad": step.NonZeroExit, "runs": step.TargetRunning}
		r := engine.Report{Job: created.Job, Step: 2, Attempt: attempt, Outcome: outcome}
		for _, w := range words {
			name, word, _ := strings.Cut(w, " ")
			r.Results = append(r.Results, engine.TargetResult{Target: int32(name[0] - 'a'), Result: store.Result{Status: status[word], Detail: "why"}})
		}
		if _, err := d.eng.Report(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	left := "; pending in 0-0, 0 done, 0 open"
	reads("before the start", "a none, b none, c none, d none, e none, f none, g none", "pending in 0-0, 0 done, 0 open"+left+left+left)
	d.operateJob(created.Job, operation.StartJob)
	if _, err := d.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
		{Result: store.Result{Status: step.TargetSucceeded}}}}); err != nil {
		t.Fatal(err)
	}
	reads("in batch 1", "a waiting, b waiting, c waiting, d waiting, e waiting, f waiting, g waiting", "running in 1-1, 0 done, 2 open"+left+left+left)
	results(1, 0, "a ok", "b runs")
	reads("in batch 1", "a succeeded, b running, c waiting, d waiting, e waiting, f waiting, g waiting", "running in 1-1, 1 done, 1 open"+left+left+left)
	results(1, 0, "b bad")
	reads("in the automatic attempt", "a succeeded_earlier, b waiting, c waiting, d waiting, e waiting, f waiting, g waiting", "running in 1-2, 1 done, 1 open"+left+left+left)
	results(2, 0, "b bad")
	reads("between 1 and 2", "a succeeded_earlier, b non_zero_exit, c waiting, d waiting, e waiting, f waiting, g waiting", "error_ignored in 1-2, 1 done, 0 open"+left+left+left)
	d.operate(created.Job, 2, operation.Continue)
	results(3, 0, "c ok", "d runs")
	one := "error_ignored in 1-2, 1 done, 0 open; "
	reads("in batch 2", "a succeeded_earlier, b non_zero_exit, c succeeded, d running, e waiting, f waiting, g waiting", one+"running in 3-3, 1 done, 1 open"+left+left)
	d.operateJob(created.Job, operation.HoldJob)
	results(3, step.Broke)
	reads("when batch 2 broke", "a succeeded_earlier, b non_zero_exit, c succeeded, d unknown, e waiting, f waiting, g waiting", one+"abnormal in 3-3, 1 done, 1 open"+left+left)
	d.operate(created.Job, 2, operation.RetryAll)
	reads("gated", "a succeeded_earlier, b non_zero_exit, c succeeded, d unknown, e waiting, f waiting, g waiting", one+"gated in 3-3, 1 done, 1 open"+left+left)
	d.operateJob(created.Job, operation.ResumeJob)
	reads("all again", "a succeeded_earlier, b non_zero_exit, c waiting, d waiting, e waiting, f waiting, g waiting", one+"running in 3-4, 0 done, 2 open"+left+left)
	results(4, 0, "d ok")
	d.operateJob(created.Job, operation.TerminateJob)
	reads("terminating", "a succeeded_earlier, b non_zero_exit, c waiting, d succeeded, e waiting, f waiting, g waiting", one+"terminating in 3-4, 1 done, 1 open"+left+left)
	results(4, step.Stopped)
	reads("terminated", "a succeeded_earlier, b non_zero_exit, c terminated, d succeeded, e waiting, f waiting, g waiting", one+"terminated in 3-4, 1 done, 1 open"+left+left)
	d.operate(created.Job, 2, operation.Continue)
	two := one + "terminated in 3-4, 1 done, 1 open; "
	reads("in batch 3", "a succeeded_earlier, b non_zero_exit, c terminated, d succeeded_earlier, e waiting, f waiting, g waiting", two+"running in 5-5, 0 done, 2 open"+left)
	results(5, step.Broke, "e ok")
	d.operate(created.Job, 2, operation.IgnoreError)
	d.operate(created.Job, 2, operation.Continue)
	results(6, 0, "g ok")
	reads("at the end", "a succeeded_earlier, b non_zero_exit, c terminated, d succeeded_earlier, e succeeded_earlier, f unknown, g succeeded",
		two+"error_ignored in 5-5, 1 done, 1 open; succeeded in 6-6, 1 done, 0 open")

	if rows, err := d.eng.Batches(t.Context(), created.Job, 1); rows != nil || err != nil {
		t.Errorf("the batches of a step without any: %v, %v, want none", rows, err)
	}
	for id, want := range map[step.ID]error{0: operation.InvalidInput, 3: operation.NoSuchStep} {
		if rows, err := d.eng.Batches(t.Context(), created.Job, id); rows != nil || !errors.Is(err, want) {
			t.Errorf("the batches of step %d: %v, %v, want %v", id, rows, err, want)
		}
	}
	if rows, err := d.eng.In(store.Scope{Type: "biz", ID: "3"}).Batches(t.Context(), created.Job, 2); rows != nil || !errors.Is(err, operation.NoSuchJob) {
		t.Errorf("the batches of a job in another scope: %v, %v, want no such job", rows, err)
	}
}

// A target of an earlier attempt reads as its attempt ended, also if a gate came between that attempt
// and the next one, and stops were set before later steps.
func TestTargetsBeforeAGate(t *testing.T) {
	d := newDesk(t, memstore.New())
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "run", Targets: []string{"a"}},
		{Type: step.Script, Name: "after", Targets: []string{"a"}},
		{Type: step.Script, Name: "later", Targets: []string{"a"}},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	marks := func() {
		for range 3 {
			for _, id := range []step.ID{3, 2} {
				d.operate(created.Job, id, operation.StopBefore)
				d.operate(created.Job, id, operation.ClearStop)
			}
		}
	}
	var ended []string
	for attempt := int32(1); attempt <= 4; attempt++ {
		marks()
		if attempt == 1 {
			d.operateJob(created.Job, operation.StartJob)
		} else {
			d.operate(created.Job, 1, operation.RetryAll)
			marks()
			d.operateJob(created.Job, operation.ResumeJob)
		}
		if _, err := d.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: attempt, Results: []engine.TargetResult{
			{Result: store.Result{Status: step.TargetRunning}}}}); err != nil {
			t.Fatal(err)
		}
		d.operateJob(created.Job, operation.HoldJob)
		outcome, reads := step.Broke, "unknown"
		if attempt%2 == 0 {
			d.operateJob(created.Job, operation.TerminateJob)
			outcome, reads = step.Stopped, "terminated"
		}
		marks()
		if _, err := d.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: attempt, Outcome: outcome}); err != nil {
			t.Fatal(err)
		}
		ended = append(ended, reads)
		for i, want := range ended {
			got, err := d.eng.Targets(t.Context(), created.Job, 1, engine.TargetQuery{Attempt: int32(i) + 1})
			if err != nil || len(got) != 1 || got[0].Status.String() != want {
				t.Errorf("in attempt %d, attempt %d reads %v, %v, want one target, %s", attempt, i+1, got, err, want)
			}
		}
	}
}

// A target of an earlier attempt reads as it read when that attempt ended, whatever came after. The
// read costs at most log2(version) reads of one record.
func TestTargetsOfAnEarlierAttempt(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "before", Targets: []string{"a"}},
		{Type: step.Script, Name: "run", Targets: []string{"done", "running"}},
		{Type: step.Script, Name: "after", Targets: []string{"a"}},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	report := func(at step.ID, attempt int32, outcome step.Cause, statuses ...step.Status) {
		t.Helper()
		var results []engine.TargetResult
		for i, s := range statuses {
			results = append(results, engine.TargetResult{Target: int32(i), Result: store.Result{Status: s}})
		}
		if _, err := d.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: at, Attempt: attempt, Results: results, Outcome: outcome}); err != nil {
			t.Fatal(err)
		}
	}
	ended := map[int32]string{} // what the second target reads at the end of each attempt
	read := func(attempt int32) string {
		t.Helper()
		targets, err := d.eng.Targets(t.Context(), created.Job, 2, engine.TargetQuery{Attempt: attempt})
		if err != nil || len(targets) != 2 {
			t.Fatalf("targets of attempt %d: %v, %v, want both", attempt, targets, err)
		}
		return targets[1].Status.String()
	}
	look := func(when string) {
		t.Helper()
		for attempt := int32(1); attempt <= int32(len(ended)); attempt++ {
			want, before := ended[attempt], faults.Calls(storetest.History)
			if got := read(attempt); got != want {
				t.Errorf("%s, attempt %d reads %s, and when it ended %s", when, attempt, got, want)
			}
			header, err := d.eng.Job(t.Context(), created.Job)
			took, most := faults.Calls(storetest.History)-before, bits.Len64(uint64(header.Version))
			if took > most || err != nil {
				t.Errorf("%s, attempt %d takes %d reads of a history of %d records, want at most %d", when, attempt, took, header.Version, most)
			}
		}
	}
	d.operateJob(created.Job, operation.StartJob)
	report(1, 1, 0, step.TargetSucceeded)
	for attempt := int32(1); attempt <= 8; attempt++ {
		report(2, attempt, 0, step.TargetFailed, step.TargetRunning)
		if attempt%3 == 0 {
			report(2, attempt, step.Broke)
			ended[attempt] = "unknown"
		} else {
			d.operateJob(created.Job, operation.TerminateJob)
			look("while terminating")
			report(2, attempt, step.Stopped)
			ended[attempt] = "terminated"
		}
		look("when it has ended")
		if attempt < 8 {
			d.operate(created.Job, 2, operation.RetryAll)
			look("when the next has begun")
		}
	}
	d.operate(created.Job, 2, operation.NextStep)
	look("when it was skipped")
	report(3, 1, 0, step.TargetSucceeded)
	look("when the job has ended")
	if len(ended) != 8 {
		t.Errorf("%d attempts, want 8", len(ended))
	}
}

// An executor that is late does not get the targets of the next attempt for its own.
func TestTargetsOfAnAttempt(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	id := d.script()
	q := engine.TargetQuery{Class: store.UnfinishedTargets, IfAttempt: 1}
	if targets, err := d.eng.Targets(t.Context(), id, 1, q); err != nil || len(targets) != 2 {
		t.Errorf("Targets: %v, %v, want both", targets, err)
	}
	moveOn := func() {
		d.outcome(id, 1, step.Broke)
		d.operate(id, 1, operation.RetryAll)
	}
	faults.Add(storetest.Fault{Method: storetest.Targets, Do: moveOn})
	for _, when := range []string{"while", "after"} {
		if targets, err := d.eng.Targets(t.Context(), id, 1, q); !errors.Is(err, operation.Stale) || targets != nil {
			t.Errorf("Targets %s the step moves on: %v, %v, want a refusal as stale", when, targets, err)
		}
	}
}

// A snapshot has the data of all reads of one job, from one call of the store, and no target if there
// are more than the caller's maximum.
func TestSnapshot(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	d := newDesk(t, faults)
	scope := store.Scope{Type: "biz", ID: "2"}
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Scope: scope, Steps: []step.Spec{
		{Type: step.Script, Name: "run", Payload: "p", Targets: []string{"done", "running", "silent"}},
		{Type: step.Confirmation, Name: "ask"},
		{Type: step.Script, Name: "after", Targets: []string{"a", "b"}},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	status := func(target int32, s step.Status) engine.TargetResult {
		return engine.TargetResult{Target: target, Result: store.Result{Status: s}}
	}
	report := func(attempt int32, outcome step.Cause, results ...engine.TargetResult) func() {
		return func() {
			if _, err := d.eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: attempt, Results: results, Outcome: outcome}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, do := range []func(){
		func() {},
		func() { d.operateJob(created.Job, operation.StartJob) },
		report(1, 0, status(0, step.TargetSucceeded), status(1, step.TargetRunning)),
		report(1, step.Broke),
		func() { d.operate(created.Job, 1, operation.RetryFailed) },
		report(2, 0, status(1, step.TargetRunning)),
		func() { d.operateJob(created.Job, operation.TerminateJob) },
		report(2, step.Stopped),
		func() { d.operate(created.Job, 1, operation.NextStep) },
		func() { d.operate(created.Job, 2, operation.Confirm) },
	} {
		do()
		want := store.Snapshot{}
		var err, err2 error
		want.Job, err = d.eng.Job(t.Context(), created.Job)
		want.Steps, err2 = d.eng.Steps(t.Context(), created.Job, 0, 0)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		for i := range want.Steps {
			targets, err := d.eng.Targets(t.Context(), created.Job, want.Steps[i].ID, engine.TargetQuery{})
			if err != nil {
				t.Fatal(err)
			}
			want.Targets = append(want.Targets, targets...)
		}
		for most, targets := range map[int][]store.Target{0: nil, 4: nil, 5: want.Targets, 6: want.Targets} {
			before := faults.Calls(storetest.Snapshot) + faults.Calls(storetest.View)
			got, err := d.eng.In(scope).Snapshot(t.Context(), created.Job, most)
			if calls := faults.Calls(storetest.Snapshot) + faults.Calls(storetest.View) - before; calls != 1 {
				t.Errorf("a snapshot is %d calls of the store, want 1", calls)
			}
			if err != nil || got.Job != want.Job || !slices.Equal(got.Steps, want.Steps) || !slices.Equal(got.Targets, targets) {
				t.Errorf("version %d, at most %d targets: %v\n got %+v\nwant %+v with targets %+v", want.Job.Version, most, err, got, want, targets)
			}
		}
	}
	if _, err := d.eng.Snapshot(t.Context(), created.Job, -1); !errors.Is(err, operation.InvalidInput) {
		t.Errorf("-1 targets: %v, want invalid input", err)
	}
	if _, err := d.eng.Snapshot(t.Context(), 0, 0); !errors.Is(err, operation.InvalidInput) {
		t.Errorf("job 0: %v, want invalid input", err)
	}
	for _, eng := range []*engine.Engine{d.eng.In(store.Scope{Type: "biz", ID: "3"}), engine.New(memstore.New())} {
		if _, err := eng.Snapshot(t.Context(), created.Job, 5); !errors.Is(err, operation.NoSuchJob) {
			t.Errorf("a job that is not there: %v, want no such job", err)
		}
	}
}

// A page of jobs begins after the last id of the page before, from the first on or from the newest.
func TestJobsByPages(t *testing.T) {
	d := newDesk(t, memstore.New(), engine.WithJobIDs(func() func(step.Time) store.JobID {
		id := store.JobID(0)
		return func(step.Time) store.JobID { id++; return id }
	}()))
	for range 5 {
		d.script()
	}
	d.outcome(3, 1, step.Broke)
	for _, c := range []struct {
		q    engine.JobQuery
		want []store.JobID
	}{
		{engine.JobQuery{Limit: 2}, []store.JobID{1, 2}},
		{engine.JobQuery{After: 2, Limit: 2}, []store.JobID{3, 4}},
		{engine.JobQuery{Newest: true, Limit: 2}, []store.JobID{5, 4}},
		{engine.JobQuery{Newest: true, After: 4, Limit: 2}, []store.JobID{3, 2}},
		{engine.JobQuery{Newest: true, After: 1}, nil},
		{engine.JobQuery{Newest: true, States: step.StatesOf(step.Running), After: 5}, []store.JobID{4, 2, 1}},
	} {
		jobs, err := d.eng.Jobs(t.Context(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []store.JobID
		for _, j := range jobs {
			got = append(got, j.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("Jobs(%+v): %v, want %v", c.q, got, c.want)
		}
	}
}

// Two processes that sweep at once expire each attempt once.
func TestSweepTwice(t *testing.T) {
	const jobs = 1250 // more than a batch
	var now atomic.Int64
	now.Store(1e12)
	clock := engine.WithClock(func() time.Time { return time.UnixMilli(now.Load()) })
	st := memstore.New()
	engines := []*engine.Engine{engine.New(st, clock), engine.New(st, clock)}
	for range jobs {
		created, err := engines[0].Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok", Timeout: time.Second}}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engines[0].OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	now.Add(1000)
	var swept atomic.Int64
	var sweepers sync.WaitGroup
	for _, eng := range engines {
		sweepers.Go(func() {
			n, err := eng.Sweep(t.Context())
			if err != nil {
				t.Errorf("Sweep: %v", err)
			}
			swept.Add(int64(n))
		})
	}
	sweepers.Wait()
	if n, err := engines[0].Sweep(t.Context()); err != nil {
		t.Errorf("Sweep: %v", err)
	} else if swept.Add(int64(n)); swept.Load() != jobs {
		t.Errorf("%d attempts expired, want %d, each once", swept.Load(), jobs)
	}
}

// Another one expires the attempt between this one's list and its own try.
func TestSweepTooLate(t *testing.T) {
	now := time.UnixMilli(1e12)
	clock := engine.WithClock(func() time.Time { return now })
	st := memstore.New()
	faults := storetest.NewFaults(st)
	d := newDesk(t, faults, clock)
	created, err := d.eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok", Timeout: time.Second}}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	d.operateJob(created.Job, operation.StartJob)
	now = now.Add(time.Second)
	faults.Add(storetest.Fault{Method: storetest.Overdue, After: true, Do: func() {
		if n, err := engine.New(st, clock).Sweep(context.Background()); n != 1 || err != nil {
			t.Errorf("the other's Sweep: %d, %v, want 1", n, err)
		}
	}})
	if n, err := d.eng.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("Sweep: %d, %v, want nothing left and no error", n, err)
	}
}

// A failing store shows in every read, wrapped, and is no refusal.
func TestReadsFail(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	reads := map[storetest.Method]func(*engine.Engine) error{
		storetest.View:  func(e *engine.Engine) error { _, err := e.Job(t.Context(), id); return err },
		storetest.Steps: func(e *engine.Engine) error { _, err := e.Steps(t.Context(), id, 0, 0); return err },
		storetest.Targets: func(e *engine.Engine) error {
			_, err := e.Targets(t.Context(), id, 1, engine.TargetQuery{})
			return err
		},
		storetest.Details: func(e *engine.Engine) error { _, err := e.Step(t.Context(), id, 1); return err },
		storetest.History: func(e *engine.Engine) error { _, err := e.History(t.Context(), id, 0, 0); return err },
		storetest.Effects: func(e *engine.Engine) error { _, err := e.Effects(t.Context(), id, 0, 0); return err },
		storetest.Jobs:    func(e *engine.Engine) error { _, err := e.Jobs(t.Context(), engine.JobQuery{}); return err },
		storetest.Overdue: func(e *engine.Engine) error { _, err := e.Sweep(t.Context()); return err },
	}
	for method, read := range reads {
		err := read(engine.New(storetest.NewFaults(d.store, storetest.Fault{Method: method, Forever: true, Err: errBroken})))
		if !errors.Is(err, errBroken) || errors.As(err, new(*engine.Refusal)) {
			t.Errorf("a read by a failing %s: %v, want the store's error", method, err)
		}
	}
	// A step that is looked for fails too while it is found out whether the job exists.
	faulty := engine.New(storetest.NewFaults(d.store, storetest.Fault{Method: storetest.View, Call: 2, Err: errBroken}))
	if _, err := faulty.Step(t.Context(), id, 9); !errors.Is(err, errBroken) {
		t.Errorf("a step that does not exist, in a failing store: %v, want the store's error", err)
	}
}

// The stored text of a handler's error has a limit.
func TestLongErrorIsCut(t *testing.T) {
	d := newDesk(t, memstore.New())
	id := d.script()
	long := errors.New(strings.Repeat("ä", 1000))
	if n, err := d.eng.Deliver(t.Context(), func(context.Context, engine.Delivery) error { return long }); n != 0 || !errors.Is(err, long) {
		t.Errorf("Deliver: %d, %v, want the handler's error", n, err)
	}
	if w := d.waiting(id); len(w) != 1 || w[0].LastError != strings.Repeat("ä", 497)+"..." {
		t.Errorf("the effect waits as %+v, want 500 characters of its error", w)
	}
}

// Counts and a search by name see the jobs of the engine's scope, and refuse a malformed bound.
func TestCountsAndNames(t *testing.T) {
	ctx, eng := t.Context(), engine.New(memstore.New())
	biz := store.Scope{Type: "biz", ID: "2"}
	for i, name := range []string{"Release 1.4", "release 1.5", "backup"} {
		created, err := eng.In(biz).Create(ctx, engine.JobSpec{Name: name, Steps: []step.Spec{{Type: step.Confirmation, Name: "ask"}}}, engine.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for most, want := range map[int]map[step.State]int{1: {step.Pending: 1, step.Waiting: 1}, 5: {step.Pending: 2, step.Waiting: 1}} {
		if got, err := eng.Counts(ctx, most); err != nil || !maps.Equal(got, want) {
			t.Errorf("Counts(%d) = %v, %v; want %v", most, got, err, want)
		}
	}
	if got, err := eng.In(store.Scope{Type: "biz", ID: "3"}).Counts(ctx, 5); err != nil || len(got) != 0 {
		t.Errorf("Counts in another scope = %v, %v; want none", got, err)
	}
	for _, most := range []int{-1, 0, engine.MaxCount + 1} {
		_, err := eng.Counts(ctx, most)
		refusedAs(t, fmt.Sprintf("Counts(%d)", most), err, operation.InvalidInput, "most")
	}
	for part, want := range map[string]int{"RELEASE": 2, "1.5": 1, "none": 0, "": 3} {
		if got, err := eng.Jobs(ctx, engine.JobQuery{Name: part}); err != nil || len(got) != want {
			t.Errorf("Jobs of the name %q = %v, %v; want %d", part, got, err, want)
		}
	}
	_, err := eng.Jobs(ctx, engine.JobQuery{Name: strings.Repeat("x", 257)})
	refusedAs(t, "Jobs of a long name", err, operation.InvalidInput, "name")
}
