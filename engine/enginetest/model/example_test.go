package model_test

import (
	"fmt"

	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// The model answers for one job, without an engine and without a store.
func Example() {
	job := model.New(model.Documented(), []step.Spec{{Type: step.Script, Name: "copy", Targets: []string{"web-1", "web-2"}}})
	fmt.Println("retry:", job.Operate(1, operation.RetryFailed, "ann", 0))
	fmt.Println("start:", job.OperateJob(operation.StartJob, "ann", 0) == 0, job.State)
	changed, _ := job.Report(1, 1, []model.Result{{Target: 0, Status: step.TargetSucceeded}, {Target: 1, Status: step.NonZeroExit}}, 0, 0)
	fmt.Println("report:", changed, job.State)
	fmt.Println("retry:", job.Operate(1, operation.RetryFailed, "ann", 0) == 0, job.State)
	for _, t := range job.Steps[0].Runs[1].Targets {
		fmt.Println(t.Status)
	}
	// Output:
	// retry: wrong_state
	// start: true running
	// report: true failed
	// retry: true running
	// succeeded_earlier
	// waiting
}
