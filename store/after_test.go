package store_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A view with a change applied equals the view of the store after the commit, for changes by a person,
// an executor or a deadline, and for views of any step and targets.
func TestViewAfterIsWhatAStoreShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const targets = 3
		st, rules := memstore.New(), operation.Standard()
		specs := []step.Spec{
			{Type: step.Script, Name: "a", Targets: []string{"x", "y", "z"}, Timeout: 10 * time.Millisecond},
			{Type: step.Confirmation, Name: "b", Timeout: 10 * time.Millisecond},
			{Type: step.SQL, Name: "c", Targets: []string{"x", "y", "z"}, IgnoreErrors: true},
		}
		created, err := engine.Decide(rules, store.View{}, &engine.Create{Job: 1, Spec: engine.JobSpec{Name: "job", Steps: specs}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Commit(t.Context(), created.Change); err != nil {
			t.Fatal(err)
		}
		id := step.ID(rapid.IntRange(0, 3).Draw(t, "step"))
		shown := rapid.SliceOfN(rapid.Int32Range(-1, targets), 0, 5).Draw(t, "targets")
		for now := step.Time(2); now < 20; now++ {
			asked := store.Query{Job: 1, Step: id, Targets: shown}
			before, err := st.View(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			asked.Step = before.Step.ID // of one step, although another may be current then
			v := about(t, st, id)
			d, err := engine.Decide(rules, v, command(t, &v), now)
			if err != nil || !d.Changes() {
				continue
			}
			got := before.After(d.Change)
			if err := st.Commit(t.Context(), d.Change); err != nil {
				t.Fatal(err)
			}
			if want, err := st.View(t.Context(), asked); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("After %+v:\n got %+v\nwant %+v, %v", d.Change, got, want, err)
			}
		}
	})
}

// about returns a view of the job's current step with all targets, or sometimes of another step.
func about(t *rapid.T, st store.Store, other step.ID) store.View {
	q := store.Query{Job: 1, Targets: []int32{0, 1, 2}}
	if rapid.IntRange(0, 9).Draw(t, "elsewhere") == 0 {
		q.Step = other
	}
	v, err := st.View(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// command draws a command on what v shows, which may be refused.
func command(t *rapid.T, v *store.View) engine.Command {
	switch rapid.IntRange(0, 7).Draw(t, "who") {
	case 0:
		return &engine.Expire{Job: 1, Step: v.Step.ID, Attempt: v.Step.Attempt}
	case 1, 2:
		causes := operation.Standard().Legal(operation.Standing{Type: v.Step.Type, State: v.Step.State, Job: v.Job.State})
		if causes.Empty() {
			break
		}
		var all []step.Cause
		for c := range causes.All() {
			all = append(all, c)
		}
		return &engine.Operate{Cause: rapid.SampledFrom(all).Draw(t, "cause")}
	}
	r := &engine.Report{Job: 1, Step: v.Step.ID, Attempt: max(v.Step.Attempt, 1)}
	for range rapid.IntRange(0, 3).Draw(t, "results") {
		status := rapid.SampledFrom([]step.Status{step.TargetRunning, step.TargetSucceeded, step.TargetFailed}).Draw(t, "status")
		r.Results = append(r.Results, engine.TargetResult{Target: rapid.Int32Range(0, 2).Draw(t, "target"), Result: store.Result{Status: status}})
	}
	if len(r.Results) == 0 {
		r.Outcome = rapid.SampledFrom([]step.Cause{step.Broke, step.Stopped, step.Dropped}).Draw(t, "outcome")
	}
	return r
}
