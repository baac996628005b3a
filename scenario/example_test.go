package scenario_test

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/scenario"
)

// A scenario is read and played. Its timeline says what happened; what came otherwise than it
// says is an error.
func Example() {
	const text = `# Bob retries what failed, and Ann learns that she is late.

job release
  script copy, targets web-1 web-2
  confirmation approve, confirmers ann

ann: start_job
report 1.1: web-1 succeeded, web-2 non_zero_exit
  state failed
bob: retry_failed 1, because "web-2 is back"
  to running, attempt 2, targets 1
ann: retry_failed 1
  refused nothing_to_retry
report 1.2: web-2 succeeded
expect job: waiting, current 2
`
	s, err := scenario.Parse("late.txt", []byte(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := scenario.Play(context.Background(), s, scenario.Config{})
	for _, e := range result.Timeline {
		fmt.Printf("%s: %s, %s\n", e.Who, e.What, e.Outcome)
	}
	fmt.Println(err)
	// Output:
	// nobody: job release, accepted
	// ann: start_job, accepted
	// executor: report 1.1: web-1 succeeded, web-2 non_zero_exit, accepted
	// bob: retry_failed 1, because "web-2 is back", accepted
	// ann: retry_failed 1, refused
	// executor: report 1.2: web-2 succeeded, accepted
	// engine: enters step 2, accepted
	// late.txt:12: ann: retry_failed 1: want refused nothing_to_retry; got refused wrong_state: job 1, step 1: retry_failed (2) is not legal in running, only in failed, abnormal, terminated; legal now: none, on the job: terminate_job
}

// A coverage says which rows of the rules were shown.
func ExampleCoverage() {
	s, err := scenario.Parse("x.txt", []byte(`job release
  script copy, targets a
ann: start_job
ann: terminate_job
ann: forced_skip 1
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := scenario.Play(context.Background(), s, scenario.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := scenario.NewCoverage(nil)
	c.Add(result.Timeline)
	fmt.Println(len(c.Cells), "cells exercised,", len(c.Missing()), "are not:")
	fmt.Println(c.Missing()[0])
	// Output:
	// 3 cells exercised, 89 are not:
	// retry_failed on script in failed
}
