package pgstore_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/storetest"
)

// An installation creates the same jobs on any store, and makes changes of all kinds to them.
type installation struct {
	testing.TB
	store.Store
	eng     *engine.Engine
	job     store.JobID // the last one
	drawn   uint64
	changes []store.Change
}

func install(t testing.TB, st store.Store) *installation {
	t.Helper()
	in := &installation{TB: t, Store: st}
	in.eng = engine.New(storetest.WithoutClock(st),
		engine.WithClock(func() time.Time { return time.UnixMilli(1_000_000) }),
		engine.WithRandom(func() uint64 { in.drawn++; return in.drawn }),
		engine.WithJobIDs(func(step.Time) store.JobID { in.job++; return in.job }))
	return in
}

// start makes a job of these steps, and starts it.
func (in *installation) start(steps ...step.Spec) {
	in.Helper()
	jobkit.Start(in, in.eng, engine.JobSpec{Name: "job", Scope: store.Scope{Type: "biz", ID: "1"}, Steps: steps})
}

// change adds the change of a command to the last job.
func (in *installation) change(cmd engine.Command, targets ...int32) {
	in.Helper()
	in.changes = append(in.changes, decide(in, in, store.Query{Job: in.job, Targets: targets}, cmd))
}

// report returns what an executor says of targets of the last job, of which every other one
// has failed.
func (in *installation) report(attempt int32, targets ...int32) *engine.Report {
	r := &engine.Report{Job: in.job, Step: 1, Attempt: attempt, By: "executor"}
	for i, target := range targets {
		status := []step.Status{step.TargetSucceeded, step.TargetFailed}[i%2]
		r.Results = append(r.Results, engine.TargetResult{Target: target, Result: store.Result{Status: status, ExitCode: int32(i), Detail: "'\n\""}})
	}
	return r
}

// runs returns a step with a number of targets.
func runs(targets int) step.Spec {
	s := step.Spec{Type: step.Script, Name: "run", Payload: "true", Timeout: time.Second}
	for i := range targets {
		s.Targets = append(s.Targets, fmt.Sprint("host-", i))
	}
	return s
}

// play makes some jobs of each kind, and changes to them.
func (in *installation) play() {
	in.Helper()
	ask := step.Spec{Type: step.Confirmation, Name: "ask", Confirmers: []string{"ann", "Böb"}}
	do := func(err error) {
		in.Helper()
		if err != nil {
			in.Fatal(err)
		}
	}

	in.start(runs(5000), ask)
	in.change(in.report(1, 0, 1, 4500), 0, 1, 4500)

	in.start(runs(3))
	_, err := in.eng.Report(in.Context(), *in.report(1, 0))
	do(err)
	in.change(in.report(1, 1), 1)

	in.start(runs(2))
	_, err = in.eng.Report(in.Context(), *in.report(1, 0, 1))
	do(err)
	_, err = in.eng.Operate(in.Context(), in.job, 1, operation.RetryFailed, engine.Request{})
	do(err)
	in.change(in.report(2, 1), 1)

	in.start(runs(2))
	in.change(&engine.Expire{Job: in.job, Step: 1, Attempt: 1})

	in.start(ask, runs(2))
	in.change(&engine.Operate{Cause: operation.Confirm.Cause(), Request: engine.Request{By: "Böb", Because: "why\tnot", ID: store.RequestID{15: 1}}})

	in.start(ask)
	in.change(&engine.Operate{Cause: operation.TerminateJob.Cause()})
	in.changes[len(in.changes)-1].Job.Sealed = true

	in.start(runs(3), runs(2))
	_, err = in.eng.Report(in.Context(), *in.report(1, 0, 1, 2))
	do(err)
	_, err = in.eng.Operate(in.Context(), in.job, 1, operation.RetryFailed, engine.Request{})
	do(err)
	_, err = in.eng.Report(in.Context(), *in.report(2, 1))
	do(err)
	in.change(in.report(1, 1), 1)

	for _, request := range []store.RequestID{{}, {15: 2}} {
		in.job++
		in.change(&engine.Create{Job: in.job, Spec: engine.JobSpec{Name: "later", Steps: []step.Spec{runs(300), ask}}, Request: engine.Request{ID: request}})
	}
}

// Changes that are committed in a group leave the same rows as each alone does.
func TestGroupWritesWhatEachAloneWould(t *testing.T) {
	together, alone := migrated(t), migrated(t)
	one := install(t, open(t, together, pgstore.WithLanes(1), unhurried))
	two := install(t, open(t, alone, pgstore.WithLanes(0)))
	one.play()
	two.play()
	if !reflect.DeepEqual(one.changes, two.changes) {
		t.Fatalf("the same was to happen on both, and not\n%+v\nand\n%+v", one.changes, two.changes)
	}
	for i, err := range commitTogether(t, together, one.Store.(*pgstore.Store), one.changes) {
		if err != nil {
			t.Errorf("change %d in a group: %v", i, err)
		}
		if err := two.Commit(t.Context(), two.changes[i]); err != nil {
			t.Errorf("change %d alone: %v", i, err)
		}
	}
	got, want := rows(t, together, 1, one.job), rows(t, alone, 1, one.job)
	if !slices.Equal(got, want) {
		t.Errorf("in a group:\n%s\nalone:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Views that are read in a group show what each alone shows.
func TestViewsInAGroupAreAsAlone(t *testing.T) {
	pool := migrated(t)
	st, alone := open(t, pool, pgstore.WithLanes(1), unhurried), open(t, pool, pgstore.WithLanes(0))
	in := install(t, st)
	in.play()
	ours, others := store.Scope{Type: "biz", ID: "1"}, store.Scope{Type: "biz", ID: "2"}
	records, err := st.History(t.Context(), ours, 7, store.Page[store.Seq]{Limit: 9})
	if err != nil || len(records) != 5 {
		t.Fatalf("History: %d records, %v, want 5", len(records), err)
	}
	created, reported := records[0].Request, records[4].Request
	narrow := []store.Query{
		{Job: 1}, {Job: 1, Step: 1}, {Job: 1, Step: 2}, {Job: 1, Step: 3}, {Job: 99}, {Job: 5}, {Job: 5},
		{Job: 5, Scope: ours}, {Job: 5, Scope: others},
	}
	wide := []store.Query{
		{Job: 7, Step: 1, Targets: []int32{0, 1, 2}}, {Job: 7, Step: 1, Targets: []int32{2}}, {Job: 7, Step: 2, Targets: []int32{1, 0}},
		{Job: 2, Step: 1, Targets: []int32{2, 0, 0, 1, -1, 3, 1 << 30, 2}}, {Job: 3, Step: 1, Targets: []int32{1}},
		{Job: 7, Step: 3, Targets: []int32{0}}, {Job: 1, Step: 2, Targets: []int32{0}}, {Job: 99, Step: 1, Targets: []int32{0}},
		{Job: 7, Step: 1, Scope: ours, Targets: []int32{1}}, {Job: 7, Step: 1, Scope: others, Targets: []int32{1}, Request: reported},
		{Job: 7, Request: created}, {Job: 7, Step: 2, Request: reported}, {Job: 7, Request: store.RequestID{1}}, {Job: 3, Request: reported},
		{Job: 99, Request: created}, {Job: 7, Step: 1, Targets: []int32{1, 0}, Request: reported}, {Job: 7, Targets: []int32{1}, Request: created},
	}
	for what, queries := range map[string][]store.Query{"steps": narrow, "targets and requests": wide, "all of these": slices.Concat(narrow, wide)} {
		views, errs := viewTogether(t, pool, st, queries)
		for i, q := range queries {
			want, wantErr := alone.View(t.Context(), q)
			if errs[i] != wantErr || !reflect.DeepEqual(views[i], want) {
				t.Errorf("View(%+v) in a group that looks for %s: got %+v, %v, want %+v, %v", q, what, views[i], errs[i], want, wantErr)
			}
		}
	}
}
