package operation_test

import (
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// May an operator retry a script step that was stopped? And one that still runs?
func ExampleRules_Legal() {
	rules := operation.Standard()
	for _, state := range []step.State{step.Terminated, step.Running} {
		move, ok := rules.Legal(step.Script, state, operation.RetryFailed)
		if !ok {
			fmt.Printf("%v: no, only in %v\n", state, rules.States(step.Script, operation.RetryFailed))
			continue
		}
		fmt.Printf("%v: yes, to %v, %v\n", state, move.To, move.Guard)
	}
	// Output:
	// terminated: yes, to running, due_only
	// running: no, only in failed, abnormal, terminated
}

// The table is data: it prints itself for a README.
func ExampleRules_Markdown() {
	lines := strings.Split(operation.Standard().Markdown(), "\n")
	fmt.Println(strings.Join(lines[:4], "\n"))
	// Output:
	// | code | on | from state | step goes to | job goes to | and then |
	// |---|---|---|---|---|---|
	// | 2 retry_failed | script, file_transfer, sql | failed, abnormal, terminated | running | running | next attempt, only the targets that have not succeeded; there must be one |
	// | 3 ignore_error | script, file_transfer, sql | failed, abnormal | error_ignored | running | the next step starts, or the job ends succeeded |
}

// An embedder adds a step type of its own, which behaves as a script does, and does not
// want errors to be ignored once a step is abnormal. Diff says what that changes.
func ExampleTable() {
	const container step.Type = 32

	table := operation.StandardTable()
	kind := table.Kinds[0] // a script
	kind.Type, kind.Title = container, "container run"
	table.Kinds = append(table.Kinds, kind)
	table.Like(container, step.Script)
	for i, row := range table.Rows {
		if row.Code == operation.IgnoreError {
			table.Rows[i].From = row.From.Without(step.Abnormal)
		}
	}

	rules, err := table.Compile()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range operation.Diff(operation.Standard(), rules) {
		if d.Code == operation.IgnoreError {
			fmt.Println(d)
		}
	}
	// Output:
	// ignore_error on script in abnormal became illegal
	// ignore_error on file_transfer in abnormal became illegal
	// ignore_error on sql in abnormal became illegal
	// ignore_error on custom-32 in failed became legal, to error_ignored
}

// A row that cannot work is refused when the table is compiled, not when it is used.
func ExampleTable_Compile() {
	table := operation.StandardTable()
	table.Rows = append(table.Rows, operation.Row{
		Code: operation.RetryAll, On: step.TypesOf(step.Script), From: step.StatesOf(step.Succeeded), To: step.Running,
	})
	_, err := table.Compile()
	fmt.Println(err)
	// Output:
	// rules: row 9, retry_all: it starts in succeeded, but a step that has passed lies behind its job
}
