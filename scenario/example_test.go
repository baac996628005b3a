package scenario_test

import (
	"context"
	"fmt"

	"github.com/stepgate/stepgate/scenario"
)

// Parse reads a scenario and Play plays it. The timeline shows what happened. A difference from the
// scenario is an error.
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
	// late.txt:12: ann: retry_failed 1: want refused nothing_to_retry; got refused wrong_state: job 1, step 1: retry_failed (2) is not legal in running, only in failed, abnormal, terminated; legal now: none, on the job: terminate_job, hold_job
}

// A scenario moves the clock: a step waits for its window, a batch for a person, a retry for its time.
func Example_gates() {
	s, err := scenario.Parse("night.txt", []byte(`window night: 22:00 to 04:00
job release
  script install, targets web-1 web-2 web-3, window night, batches 1 100%, between person, retry 1 after 5m

ann: start_job
expect job: gated, gate window
wait 13h
sweep
  1 opened
report 1.1: web-1 succeeded
expect step 1: gated, batch 1, gate person then run_next
ann: continue 1
report 1.2: web-2 succeeded, web-3 failed
expect job: gated, gate time
wait 5m
sweep
  1 opened
report 1.3: web-3 succeeded
expect batches 1: 1 succeeded 1 of 1 in 1 to 1, 2 succeeded 2 of 2 in 2 to 3
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := scenario.Play(context.Background(), s, scenario.Config{})
	for _, e := range result.Timeline {
		if e.Who == "gate" {
			fmt.Println(e.At, e.What, e.Came())
		}
	}
	fmt.Println(err)
	// Output:
	// 2026-07-01T09:00:00.000Z opens step 1 waits for window until 2026-07-01T22:00:00Z
	// 2026-07-01T22:00:00.000Z opens step 1 job running, run 1.1 on 1 target
	// 2026-07-01T22:00:00.000Z opens step 1 job running, run 1.2 on 2 targets
	// 2026-07-01T22:05:00.000Z opens step 1 waits for window until 2026-07-01T22:05:00Z
	// 2026-07-01T22:05:00.000Z opens step 1 job running, run 1.3 on 1 target
	// <nil>
}

// A coverage counts the rows of the rules that scenarios exercise.
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
	// 3 cells exercised, 171 are not:
	// retry_failed on script in failed
}
