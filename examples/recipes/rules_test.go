package recipes

import (
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/scenario"
	"github.com/stepgate/stepgate/step"
)

// An optional script differs from a script where it is dropped while it runs.
func TestOptionalRules(t *testing.T) {
	rules, err := optionalRules()
	if err != nil {
		t.Fatal(err)
	}
	expect := model.Documented() // and then the change once more, cell by cell
	expect.Like(Optional, step.Script)
	expect.Lead(Optional, step.Running, step.Dropped, step.Skipped, step.Accept)
	if err := enginetest.CheckRules(rules, expect); err != nil {
		t.Error(err)
	}
	scenario.Test(t, "testdata/optional.txt", scenario.Config{Rules: rules})
}
