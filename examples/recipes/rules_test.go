package recipes

import (
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/scenario"
	"github.com/stepgate/stepgate/step"
)

func TestCloseRules(t *testing.T) {
	rules, err := closeRules()
	if err != nil {
		t.Fatal(err)
	}
	expect := model.Documented() // and then the change once more, cell by cell
	for _, state := range []step.State{step.Failed, step.Abnormal, step.Terminated, step.ConfirmationTerminated} {
		expect.AllowWhole(state, CloseJob.Cause(), step.Seal, operation.Free)
	}
	if err := enginetest.CheckRules(rules, expect); err != nil {
		t.Error(err)
	}
	scenario.Test(t, "testdata/close.txt", scenario.Config{Rules: rules})
}

// An optional script differs from a script where it is dropped while it runs.
func TestOptionalRules(t *testing.T) {
	expect := model.Documented()
	expect.Like(Optional, step.Script)
	expect.Lead(Optional, step.Running, step.Dropped, step.Skipped, step.Accept)
	if err := enginetest.CheckRules(must(optionalRules()), expect); err != nil {
		t.Error(err)
	}
}
