package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const check = step.Type(40) // runs, under the rules that the jobs are stored under

// withCheck returns the documented rules with type 40, which is like a script, changed by change.
func withCheck(change func(*operation.Table)) *operation.Rules {
	table := operation.StandardTable()
	kind := table.Kinds[0]
	kind.Type = check
	table.Kinds = append(table.Kinds, kind)
	table.Like(check, step.Script)
	if change != nil {
		change(&table)
	}
	return must(table.Compile())
}

// Without its rows out of these states, a step of type t stays there.
func withoutRows(t step.Type, from ...step.State) func(*operation.Table) {
	return func(table *operation.Table) {
		var rows []operation.Row
		for _, row := range table.Rows {
			if row.On.Has(t) && !row.Cause.OfJob() {
				own := row
				own.On, own.From = step.TypesOf(t), row.From.Minus(step.StatesOf(from...))
				if !own.From.Empty() {
					rows = append(rows, own)
				}
				row.On = row.On.Without(t)
			}
			if !row.On.Empty() {
				rows = append(rows, row)
			}
		}
		table.Rows = rows
	}
}

// A filled is a store with a job in each state that a step of type 40, or a confirmation, can be in,
// by name. Before and after it each job has a script.
type filled struct {
	st   *memstore.Store
	jobs map[string]store.JobID
}

func fill(t *testing.T) filled {
	t.Helper()
	f := filled{memstore.New(), map[string]store.JobID{}}
	seal := operation.Row{Cause: operation.JobCode(32).Cause(), From: step.StatesOf(step.Failed), Do: step.Seal}
	eng := engine.New(f.st, engine.WithRules(withCheck(func(table *operation.Table) { table.Rows = append(table.Rows, seal) })))
	report := func(job store.JobID, outcome step.Cause, results ...engine.TargetResult) {
		must(eng.Report(ctx, engine.Report{Job: job, Step: 2, Attempt: 1, Results: results, Outcome: outcome}))
	}
	stop := func(job store.JobID) { must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{})) }
	check := step.Spec{Type: check, Name: "check", Targets: []string{"a", "b"}}
	ask := step.Spec{Type: step.Confirmation, Name: "ask", Timeout: time.Hour}
	for _, c := range []struct {
		name string
		step step.Spec
		do   func(job store.JobID)
	}{
		{"pending", check, nil},
		{"running", check, func(store.JobID) {}},
		{"terminating", check, stop},
		{"terminated", check, func(job store.JobID) { stop(job); report(job, step.Stopped) }},
		{"failed", check, func(job store.JobID) { report(job, 0, success(0), failure(1)) }},
		{"sealed", check, func(job store.JobID) {
			report(job, 0, success(0), failure(1))
			must(eng.OperateJob(ctx, job, 32, engine.Request{}))
		}},
		{"abnormal", check, func(job store.JobID) { report(job, step.Broke) }},
		{"abandoned", check, func(job store.JobID) { report(job, step.Dropped) }},
		{"passed", check, func(job store.JobID) { report(job, 0, success(0), success(1)) }},
		{"waiting", ask, func(store.JobID) {}},
		{"refused", ask, func(job store.JobID) {
			must(eng.Operate(ctx, job, 2, operation.TerminateConfirmation, engine.Request{}))
		}},
		{"cancelled", ask, stop},
	} {
		script := step.Spec{Type: step.Script, Name: "script", Targets: []string{"a"}}
		job := must(eng.Create(ctx, engine.JobSpec{Name: c.name, Steps: []step.Spec{script, c.step, script}}, engine.Request{})).Job
		f.jobs[c.name] = job
		if c.do != nil {
			must(eng.OperateJob(ctx, job, operation.StartJob, engine.Request{}))
			must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}))
			c.do(job)
		}
	}
	return f
}

// unfit returns what an engine with these rules finds, by the names of jobs: step and reason.
func (f filled) unfit(t *testing.T, is, was *operation.Rules) map[string]string {
	t.Helper()
	found := map[string]string{}
	for m, err := range engine.New(f.st, engine.WithRules(is)).Unfit(ctx, was) {
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(m, m.Reason) || m.Detail == "" {
			t.Errorf("%#v: it matches no reason, or has no detail", m)
		}
		for name, job := range f.jobs {
			if job == m.Job {
				found[name] += fmt.Sprintf("%d %v, ", m.Step, m.Reason)
			}
		}
	}
	return found
}

// Jobs fit the rules under which they were stored. Under others, those that cannot go on are found,
// and no other; those that have ended are found only if the former rules let them go on.
func TestUnfit(t *testing.T) {
	was := withCheck(nil)
	notDeclared := operation.Standard()
	asks := withCheck(func(table *operation.Table) { // type 40 asks now
		*table = operation.StandardTable()
		kind := table.Kinds[2]
		kind.Type = check
		table.Kinds = append(table.Kinds, kind)
		table.Like(check, step.Confirmation)
	})
	runs := withCheck(func(table *operation.Table) { // a confirmation runs now
		table.Kinds[2].Lifecycle = table.Kinds[0].Lifecycle
		for i, row := range table.Rows {
			table.Rows[i].On = row.On.Without(step.Confirmation)
		}
		table.Rows = slices.DeleteFunc(table.Rows, func(row operation.Row) bool { return row.On.Empty() })
		table.Like(step.Confirmation, step.Script)
	})
	failsAlways := func(table *operation.Table) { // a check that breaks or expires has failed
		kind := &table.Kinds[len(table.Kinds)-1]
		kind.Lifecycle = slices.Clone(kind.Lifecycle)
		for i := range kind.Lifecycle {
			if kind.Lifecycle[i].To == step.Abnormal {
				kind.Lifecycle[i].To = step.Failed
			}
		}
		withoutRows(check, step.Abnormal)(table)
	}
	unstoppable := withCheck(func(table *operation.Table) { // only reports lead out of running
		for i, row := range table.Rows {
			if row.Cause == operation.TerminateJob.Cause() {
				table.Rows[i].On = row.On.Without(check)
			}
		}
	})
	wrongType := "2 wrong_type, "
	for _, c := range []struct {
		name    string
		is, was *operation.Rules
		want    map[string]string
	}{
		{"the same rules", was, nil, nil},
		{"the same rules, and what has ended", was, was, nil},
		{"more rules", was, notDeclared, nil},
		{"an operation is dropped, and reports are left", unstoppable, was, nil},
		{"a type is dropped", notDeclared, nil, map[string]string{"pending": wrongType, "running": wrongType, "terminating": wrongType}},
		{"a type is dropped, and what has ended", notDeclared, was, map[string]string{
			"pending": wrongType, "running": wrongType, "terminating": wrongType, "terminated": wrongType, "failed": wrongType, "abnormal": wrongType,
		}},
		{"a type asks", asks, nil, map[string]string{"pending": wrongType, "running": wrongType, "terminating": wrongType}},
		{"a type runs", runs, nil, map[string]string{"waiting": wrongType}},
		{"a state of the lifecycle is dropped", withCheck(failsAlways), was, map[string]string{"abnormal": "2 wrong_state, "}},
		{"a state of the lifecycle is dropped, unasked", withCheck(failsAlways), nil, nil},
		{"rows are dropped", withCheck(withoutRows(check, step.Failed, step.Terminated)), was, map[string]string{
			"failed": "2 wrong_state, ", "terminated": "2 wrong_state, ",
		}},
		{"a row is dropped", withCheck(withoutRows(step.Confirmation, step.ConfirmationTerminated)), was, map[string]string{"refused": "2 wrong_state, "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fill(t)
			got := f.unfit(t, c.is, c.was)
			for name := range f.jobs {
				if got[name] != c.want[name] {
					t.Errorf("of the job %s it finds %q, want %q", name, got[name], c.want[name])
				}
			}
		})
	}
}

// A step on which only a retry of what has not succeeded would be legal goes on only if there is
// such a target.
func TestUnfitAsksWhatARetryNeeds(t *testing.T) {
	st, was := memstore.New(), withCheck(nil)
	eng := engine.New(st, engine.WithRules(was))
	for _, results := range [][]engine.TargetResult{{success(0)}, {success(0), success(1)}} {
		job := must(eng.Create(ctx, engine.JobSpec{Name: "x", Steps: []step.Spec{{Type: check, Name: "x", Targets: []string{"a", "b", "c"}}}}, engine.Request{})).Job
		must(eng.OperateJob(ctx, job, operation.StartJob, engine.Request{}))
		if len(results) == 2 {
			results = append(results, success(2))
		}
		must(eng.OperateJob(ctx, job, operation.TerminateJob, engine.Request{}))
		must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: results, Outcome: step.Stopped}))
	}
	retryOnly := withCheck(func(table *operation.Table) {
		for i, row := range table.Rows {
			if row.Cause.OfStep() && row.Cause != operation.RetryFailed.Cause() {
				table.Rows[i].On = row.On.Without(check)
			}
		}
	})
	var stuck []store.JobID
	for m, err := range engine.New(st, engine.WithRules(retryOnly)).Unfit(ctx, was) {
		if err != nil {
			t.Fatal(err)
		}
		stuck = append(stuck, m.Job)
	}
	if len(stuck) != 1 {
		t.Errorf("it finds the jobs %v, want the second one: all its targets have succeeded", stuck)
	}
}

// A gone is a store in which one job is deleted after its header was read.
type gone struct {
	store.Store
	job store.JobID
}

func (g gone) Snapshot(ctx context.Context, q store.SnapshotQuery) (store.Snapshot, error) {
	if q.Job == g.job {
		return store.Snapshot{}, store.ErrNotFound
	}
	return g.Store.Snapshot(ctx, q)
}

// A job that is deleted meanwhile ends nothing.
func TestUnfitPassesOverWhatIsGone(t *testing.T) {
	f := fill(t)
	found := map[store.JobID]bool{}
	for m, err := range engine.New(gone{f.st, f.jobs["pending"]}).Unfit(ctx, nil) {
		if err != nil {
			t.Fatal(err)
		}
		found[m.Job] = true
	}
	if found[f.jobs["pending"]] || !found[f.jobs["running"]] || !found[f.jobs["terminating"]] {
		t.Errorf("it finds the jobs %v, want those after the deleted one", found)
	}
}

// It goes on after a full page, sees the engine's scope alone, ends when its caller does, and tells
// of an error once.
func TestUnfitPages(t *testing.T) {
	st := memstore.New()
	eng := engine.New(st, engine.WithRules(withCheck(nil)))
	for i := range 1001 {
		spec := engine.JobSpec{Name: "x", Steps: []step.Spec{{Type: check, Name: "x", Targets: []string{"a"}}}}
		if i == 1000 {
			spec.Scope = store.Scope{Type: "biz", ID: "2"}
		}
		must(eng.Create(ctx, spec, engine.Request{}))
	}
	strict := engine.New(st)
	count := func(eng *engine.Engine, most int) (n int) {
		for m, err := range eng.Unfit(ctx, nil) {
			if err != nil || m.Reason != operation.WrongType {
				t.Fatal(m, err)
			}
			if n++; n == most {
				break
			}
		}
		return n
	}
	if all, one, first := count(strict, 0), count(strict.In(store.Scope{Type: "biz", ID: "2"}), 0), count(strict, 3); all != 1001 || one != 1 || first != 3 {
		t.Errorf("it finds %d, %d in a scope and %d of the first 3 jobs, want 1001, 1 and 3", all, one, first)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	n := 0
	for m, err := range strict.Unfit(ended, nil) {
		if n++; !errors.Is(err, context.Canceled) || m != (engine.Misfit{}) {
			t.Errorf("after the end of its context it yields %v, %v", m, err)
		}
	}
	if n != 1 {
		t.Errorf("after the end of its context it yields %d times, want 1", n)
	}
}
