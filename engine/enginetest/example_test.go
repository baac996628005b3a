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

// deployment returns the rules of an embedder, as they are written: the documented ones with
// another step type, and with narrower ones if so asked.
func deployment(narrow bool) *operation.Rules {
	table := operation.StandardTable()

	// A health check runs on targets and is operated on like a script.
	for _, kind := range table.Kinds {
		if kind.Type == step.Script {
			table.Kinds = append(table.Kinds, step.Kind{Type: HealthCheck, Title: "health check", Lifecycle: kind.Lifecycle})
		}
	}
	table.Like(HealthCheck, step.Script)

	// Nobody passes over SQL of which they cannot know how far it came.
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

// meant says what these rules are meant to be, once more and in other words.
func meant() *model.Rules {
	rules := model.Documented()
	rules.Like(HealthCheck, step.Script)
	rules.Forbid(step.SQL, step.Terminating, operation.ForcedSkip.Cause())
	rules.Forbid(step.SQL, step.Terminated, operation.ForcedSkip.Cause())
	return rules
}

// An embedder adds a step type and narrows a rule, says so in the words of the model too, and
// has every cell of the one held against the other. Whoever forgets a half of it is told.
func ExampleCheckRules() {
	fmt.Println("as they are meant to be:", enginetest.CheckRules(deployment(true), meant()))
	fmt.Println("not narrowed:", enginetest.CheckRules(deployment(false), meant()))
	fmt.Println("against the document:", enginetest.CheckRules(deployment(true), model.Documented()))
	// Output:
	// as they are meant to be: <nil>
	// not narrowed: rules: not what is expected of them, cells that differ: 2
	//   sql in terminating: forced_skip: got legal, pass to skipped, want illegal
	//   sql in terminated: forced_skip: got legal, pass to skipped, want illegal
	// against the document: rules: not what is expected of them, cells that differ: 3
	//   sql in terminating: forced_skip: got illegal, want legal, pass to skipped
	//   sql in terminated: forced_skip: got illegal, want legal, pass to skipped
	//   custom-40: the type: got one that is entered in running, want none
}
