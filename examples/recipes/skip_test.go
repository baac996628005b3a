package recipes

import (
	"context"
	"fmt"
	"slices"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

const Optional step.Type = 40 // a script that may turn out not to be needed

func optionalRules() (*operation.Rules, error) {
	table := operation.StandardTable()
	kind := table.Kinds[0] // a script
	kind.Type, kind.Title, kind.Lifecycle = Optional, "optional script", slices.Clone(kind.Lifecycle)
	for i, row := range kind.Lifecycle {
		if row.Cause == step.Dropped {
			kind.Lifecycle[i].From = step.StatesOf(step.Terminating) // and not running
		}
	}
	kind.Lifecycle = append(kind.Lifecycle, step.Transition{
		Cause: step.Dropped, From: step.StatesOf(step.Running), To: step.Skipped, Do: step.Accept,
	})
	table.Kinds = append(table.Kinds, kind)
	table.Like(Optional, step.Script) // people may do what they may do to a script
	return table.Compile()
}

func init() { Optional.Register("optional") }

// migrate is the function of optional steps: it looks at the results of step 1.
func migrate(eng *engine.Engine) executor.StepFunc {
	return func(ctx context.Context, t *executor.Task) store.Result {
		checked, err := eng.Targets(ctx, t.Job.ID, 1, engine.TargetQuery{})
		if err != nil {
			return store.Result{Status: step.TaskError, Detail: err.Error()}
		}
		if checked[0].Detail == "schema unchanged" {
			_, err = eng.Report(ctx, engine.Report{
				Job: t.Job.ID, Step: t.Step.ID, Attempt: t.Attempt, By: "executor",
				Outcome: step.Dropped, Reason: "the schema is unchanged",
			})
			if err == nil {
				return store.Result{} // too late to count: the step is skipped
			}
		}
		return store.Result{Status: step.TargetSucceeded} // the migration goes here
	}
}

// A step that is not needed is skipped by its executor.
func Example_optional() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	eng := engine.New(memstore.New(), engine.WithRules(must(optionalRules())))
	check := func(ctx context.Context, t *executor.Task, h executor.Host) store.Result {
		return store.Result{Status: step.TargetSucceeded, Detail: "schema unchanged"}
	}
	x := executor.New(eng, executor.Hosts(step.Script, check), executor.Steps(Optional, migrate(eng)))
	go x.Run(ctx)

	created := must(eng.Create(ctx, engine.JobSpec{Name: "release", Steps: []step.Spec{
		{Type: step.Script, Name: "check", Targets: []string{"db-1"}},
		{Type: Optional, Name: "migrate", Targets: []string{"db-1"}},
		{Type: step.Script, Name: "restart", Targets: []string{"db-1"}},
	}}, engine.Request{By: "bob"}))
	must(eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"}))
	for r, err := range eng.Watch(ctx, created.Job, created.Seq+1) {
		if err != nil || r.JobTo.Finished() {
			fmt.Println("the job is", r.JobTo, err)
			break
		}
		fmt.Printf("step %d is %v (%s)\n", r.Step, r.To, r.Reason)
	}
	// Output:
	// step 1 is succeeded ()
	// step 2 is skipped (the schema is unchanged)
	// the job is succeeded <nil>
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
