package recipes

import (
	"context"
	"errors"
	"fmt"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// pause holds every job that has not ended, and returns those that it held. It skips jobs that are on hold
// already, or have ended meanwhile. After an error, call it again.
func pause(ctx context.Context, eng *engine.Engine, r engine.Request) (held []store.JobID, err error) {
	q := engine.JobQuery{States: step.StatesOf(step.Pending, step.Running, step.Waiting, step.Terminating, step.Gated), Limit: 1000}
	for {
		jobs, err := eng.Jobs(ctx, q)
		if err != nil {
			return held, err
		}
		for _, j := range jobs {
			_, err := eng.OperateJob(ctx, j.ID, operation.HoldJob, r)
			switch {
			case err == nil:
				held = append(held, j.ID)
			case !errors.Is(err, operation.OnHold) && !errors.Is(err, operation.WrongState):
				return held, err
			}
			q.After = j.ID
		}
		if len(jobs) < q.Limit {
			return held, nil
		}
	}
}

// resume ends the holds of some jobs.
func resume(ctx context.Context, eng *engine.Engine, held []store.JobID, r engine.Request) error {
	for _, job := range held {
		_, err := eng.OperateJob(ctx, job, operation.ResumeJob, r)
		if err != nil && !errors.Is(err, operation.NotHeld) {
			return err
		}
	}
	return nil
}

// Everything pauses for an incident.
func Example_incident() {
	ctx := context.Background()
	eng := engine.New(memstore.New())
	one := step.Spec{Type: step.Script, Name: "install", Targets: []string{"web-1"}}
	var jobs []store.JobID
	for range 3 {
		job := must(eng.Create(ctx, engine.JobSpec{Name: "release", Steps: []step.Spec{one, one}}, engine.Request{By: "bob"})).Job
		must(eng.OperateJob(ctx, job, operation.StartJob, engine.Request{By: "bob"}))
		jobs = append(jobs, job)
	}
	must(eng.OperateJob(ctx, jobs[0], operation.HoldJob, engine.Request{By: "ann"})) // for a reason of her own
	held := must(pause(ctx, eng, engine.Request{By: "carl", Because: "incident 42"}))
	fmt.Println("held:", len(held))
	states := func(when string) {
		fmt.Println(when, must(eng.Job(ctx, jobs[0])).State, must(eng.Job(ctx, jobs[1])).State, must(eng.Job(ctx, jobs[2])).State)
	}
	for _, job := range jobs { // what runs goes on
		must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{
			{Target: 0, Result: store.Result{Status: step.TargetSucceeded}},
		}}))
	}
	states("paused:")
	fmt.Println(resume(ctx, eng, held, engine.Request{By: "carl", Because: "incident 42 is over"}))
	states("resumed:")
	// Output:
	// held: 2
	// paused: gated gated gated
	// <nil>
	// resumed: gated running running
}
