package enginetest_test

import (
	"fmt"
	"log"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// HealthCheck is a step type of an embedder.
const HealthCheck step.Type = 40

// deployment returns the rules of an embedder: the documented ones with another step type, and narrowed
// if wanted.
func deployment(narrow bool) *operation.Rules {
	table := operation.StandardTable()

	// A health check runs on targets and is operated on like a script.
	for _, kind := range table.Kinds {
		if kind.Type == step.Script {
			table.Kinds = append(table.Kinds, step.Kind{Type: HealthCheck, Title: "health check", Lifecycle: kind.Lifecycle})
		}
	}
	table.Like(HealthCheck, step.Script)

	// SQL cannot be skipped by force: how far it came is unknown.
	for i, row := range table.Rows {
		if narrow && row.Cause == operation.ForcedSkip.Cause() {
			table.Rows[i].On = row.On.Without(step.SQL)
		}
	}

	rules, err := table.Compile()
	if err != nil {
		log.Fatal(err)
	}
	return rules
}

// meant is the expectation of these rules, in the words of the model.
func meant() *model.Rules {
	rules := model.Documented()
	rules.Like(HealthCheck, step.Script)
	rules.Forbid(step.SQL, step.Gated, operation.ForcedSkip.Cause())
	rules.Forbid(step.SQL, step.Terminating, operation.ForcedSkip.Cause())
	rules.Forbid(step.SQL, step.Terminated, operation.ForcedSkip.Cause())
	return rules
}

// An embedder adds a step type and narrows a rule, writes both in the words of the model too, and
// compares all cells. A change that is missing on one side is an error.
func ExampleCheckRules() {
	fmt.Println("as they are meant to be:", enginetest.CheckRules(deployment(true), meant()))
	fmt.Println("not narrowed:", enginetest.CheckRules(deployment(false), meant()))
	fmt.Println("against the document:", enginetest.CheckRules(deployment(true), model.Documented()))
	// Output:
	// as they are meant to be: <nil>
	// not narrowed: rules: not what is expected of them, cells that differ: 3
	//   sql in terminating: forced_skip: got legal, pass to skipped, want illegal
	//   sql in terminated: forced_skip: got legal, pass to skipped, want illegal
	//   sql in gated: forced_skip: got legal, pass to skipped, want illegal
	// against the document: rules: not what is expected of them, cells that differ: 4
	//   sql in terminating: forced_skip: got illegal, want legal, pass to skipped
	//   sql in terminated: forced_skip: got illegal, want legal, pass to skipped
	//   sql in gated: forced_skip: got illegal, want legal, pass to skipped
	//   custom-40: the type: got one that is entered in running, want none
}
