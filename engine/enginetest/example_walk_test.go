package enginetest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A mistake in the rules: forced skip is legal while a script runs. The walk finds a state that shows
// it, and the shortest way there.
func ExampleWalk() {
	table := operation.StandardTable()
	for i, row := range table.Rows {
		if row.Cause == operation.ForcedSkip.Cause() {
			table.Rows[i].From = row.From.With(step.Running)
		}
	}
	rules, err := table.Compile()
	if err != nil {
		log.Fatal(err)
	}
	_, err = enginetest.Walk{Rules: rules, Jobs: enginetest.SmallJobs(rules, 1)}.Run()
	fmt.Println(err)
	// Output:
	// promise 8: the command is accepted, by the model it is refused as wrong_state
	// a job of script
	//   1. the job is created
	//   2. bob: start_job
	//   3. ann: forced_skip 1
}

// An invariant is a function of the stored state of a job.
func ExampleSnapshot_Check() {
	ctx, st := context.Background(), memstore.New()
	eng := engine.New(st)
	spec := engine.JobSpec{Name: "release", Steps: []step.Spec{{Type: step.Script, Name: "copy", Targets: []string{"web-1", "web-2"}}}}
	created, err := eng.Create(ctx, spec, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{}); err != nil {
		log.Fatal(err)
	}
	snapshot, err := enginetest.Load(ctx, st, eng.Rules(), created.Job, spec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("as it is stored:", snapshot.Check())

	snapshot.Steps[0].Unfinished = 1
	fmt.Println("miscounted:", snapshot.Check())
	// Output:
	// as it is stored: <nil>
	// miscounted: promise 3 (steps stand where the history left them): step 1 is running in attempt 1 with 0 succeeded and 1 unfinished, by its history running in 1 with 0 and 2
}
