package operation_test

import (
	"fmt"
	"strings"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// May an operator retry a script step that was stopped? And one that still runs?
func ExampleRules_Move() {
	rules := operation.Standard()
	for _, state := range []step.State{step.Terminated, step.Running} {
		move, ok := rules.Move(step.Script, state, operation.RetryFailed.Cause())
		if !ok {
			fmt.Printf("%v: no, only in %v\n", state, rules.From(step.Script, operation.RetryFailed.Cause()))
			continue
		}
		fmt.Printf("%v: yes, to %v, %v, if %v\n", state, move.To, move.Do, move.Guard)
	}
	// Output:
	// terminated: yes, to running, run_due, if some_due
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
	// | 3 ignore_error | script, file_transfer, sql | failed, abnormal | error_ignored | running | the next batch or step starts, or the job ends succeeded |
}

// An embedder adds a step type of its own, which behaves like a script, and forbids to ignore the
// error of an abnormal step. Diff lists the changes.
func ExampleTable() {
	const container step.Type = 32

	table := operation.StandardTable().With(container, step.Script)
	for i, row := range table.Rows {
		if row.Cause == operation.IgnoreError.Cause() {
			table.Rows[i].From = row.From.Without(step.Abnormal)
		}
	}

	rules, err := table.Compile()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range operation.Diff(operation.Standard(), rules) {
		if d.Cause == operation.IgnoreError.Cause() {
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
		Cause: operation.RetryAll.Cause(), On: step.TypesOf(step.Script), From: step.StatesOf(step.Succeeded), To: step.Running, Do: step.RunAll,
	})
	_, err := table.Compile()
	fmt.Println(err)
	// Output:
	// rules: row 25, retry_all: it starts in succeeded, but a step that has passed lies behind its job
}

// An operation of an embedder's own is a name and a row. This one is for the whole job: it
// moves no step, and makes a job that has ended final.
func ExampleRow() {
	const Archive operation.JobCode = 32
	Archive.Cause().Register("archive_job")

	table := operation.StandardTable()
	table.Rows = append(table.Rows, operation.Row{
		Cause: Archive.Cause(), From: step.StatesOf(step.Succeeded, step.Failed), Do: step.Seal,
	})
	rules, err := table.Compile()
	if err != nil {
		fmt.Println(err)
		return
	}
	at := operation.Standing{Type: step.Script, State: step.Failed, Job: step.Failed}
	fmt.Println("legal:", rules.Legal(at, operation.Held)) // the job is not on hold
	at.Sealed = true
	fmt.Println("legal when it is sealed:", rules.Legal(at))
	_, reason := rules.Judge(at, operation.RetryAll.Cause())
	fmt.Println("retry:", reason)
	// Output:
	// legal: retry_failed, ignore_error, retry_all, seal_job, comment_job, archive_job
	// legal when it is sealed: comment_job
	// retry: sealed
}

// A row must meet the conditions of its consequence, see step.Do.Check.
func ExampleTable_Compile_consequence() {
	table := operation.StandardTable()
	table.Rows = append(table.Rows, operation.Row{
		Cause: operation.Code(40).Cause(), On: step.TypesOf(step.Script), From: step.StatesOf(step.Running), To: step.Running, Do: step.RunDue,
	})
	_, err := table.Compile()
	fmt.Println(err)
	// Output:
	// rules: row 25, custom-40: run_due starts in failed, abnormal, terminated, confirmation_terminated, abandoned, not in running
}

// Diff lists the operations that a change of the rules permits and forbids, cell by cell.
func ExampleDiff() {
	strict := operation.StandardTable()
	for i, row := range strict.Rows {
		if row.Cause == operation.ForcedSkip.Cause() { // only once a step is terminated
			strict.Rows[i].From = row.From.Without(step.Terminating)
		}
	}
	for _, d := range operation.Diff(operation.Standard(), strict.MustCompile()) {
		fmt.Println(d)
	}
	// Output:
	// forced_skip on script in terminating became illegal
	// forced_skip on file_transfer in terminating became illegal
	// forced_skip on sql in terminating became illegal
}

// A step type of an embedder's own that has the lifecycle and the operations of a script.
func ExampleTable_With() {
	const container step.Type = 33
	container.Register("container")
	rules := operation.StandardTable().With(container, step.Script).MustCompile()
	at := operation.Standing{Type: container, State: step.Failed, Job: step.Failed}
	fmt.Println(rules.Legal(at, operation.Held)) // the job is not on hold
	// Output: retry_failed, ignore_error, retry_all, seal_job, comment_job
}
