package scenario

import (
	"errors"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

const timelineText = `job release, by ann
  script copy, targets a b
  confirmation ask, timeout 10m
ann: start_job
deny eve
eve: terminate_job
  refused denied
in between, report 1.1 by agent: a failed
report 1.1: a succeeded, b succeeded
report 1.1: a succeeded
  refused stale
ann: ignore_error 1, dry_run
ann: ignore_error 1, request once
ann: ignore_error 1, request once
crash after
bob: terminate_job
  unknown outcome
restart
ann: restart_confirmation 2
  refused wrong_state
wait 10m
deliver failing "no mail"
  job_ended failed, job_ended terminated
`

// A timeline reads as a table: time, person, request, states of the step, and result.
func TestTimelineIsATable(t *testing.T) {
	const want = `09:00:00  ann         job release                           pending
09:00:00  ann         start_job                             pending -> running       job running, run 1.1 on 2 targets
09:00:00  stage       deny eve
09:00:00  eve         terminate_job                                                  refused, denied: job 1, step 1: terminate_job (job 1) denied to eve: the scenario denies it
09:00:00  agent       report 1.1: a failed                  running
09:00:00  executor    report 1.1: a succeeded, b succeeded  running -> failed        job failed, 1 rejected, the job has ended
09:00:00  executor    report 1.1: a succeeded                                        refused, stale: job 1, step 1: the request is stale: meant for attempt 1, but the step is failed in attempt 1; legal now: retry_failed, ignore_error, retry_all, on the job: seal_job
09:00:00  ann         ignore_error 1, dry_run               failed -> error_ignored  tried, job waiting, ask 2.1
09:00:00  ann         ignore_error 1, request once          failed -> error_ignored  job waiting
09:00:00  engine      enters step 2                         pending -> waiting       ask 2.1
09:00:00  ann         ignore_error 1, request once                                   repeated
09:00:00  stage       crash after
09:00:00  bob         terminate_job                         waiting -> terminated    the outcome is unknown
09:00:00  stage       restart
09:00:00  ann         restart_confirmation 2                                         refused, wrong_state: job 1, step 2: restart_confirmation (10) is not legal in terminated, only in confirmation_terminated; legal now: none
09:10:00  dispatcher  delivers job_ended failed                                      failed: no mail
09:10:00  dispatcher  delivers job_ended terminated                                  failed: no mail
`
	if got := play(t, "x.txt", timelineText, Config{}).Timeline.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A timeline of several jobs names them, and shows times that differ.
func TestTimelineOfSeveralJobsAndDays(t *testing.T) {
	const text = `job release
  script copy, targets a, timeout 1500ms
ann: start_job
job hotfix
  script copy, targets a
bob: start_job
wait 24h
sweep
  1 expired
wait 1ms
deliver and die
  run 1.1 all of release, job_ended abnormal of release, run 1.1 all
`
	const want = `2026-07-01 09:00:00.000  release  nobody      job release                   pending
2026-07-01 09:00:00.000  release  ann         start_job                     pending -> running   job running, run 1.1 on 1 target
2026-07-01 09:00:00.000  hotfix   nobody      job hotfix                    pending
2026-07-01 09:00:00.000  hotfix   bob         start_job                     pending -> running   job running, run 1.1 on 1 target
2026-07-02 09:00:00.000  release  deadline    expires 1.1                   running -> abnormal  job abnormal, the job has ended
2026-07-02 09:00:00.001  release  dispatcher  dies with run 1.1 all
2026-07-02 09:00:00.001  release  dispatcher  dies with job_ended abnormal
2026-07-02 09:00:00.001  hotfix   dispatcher  dies with run 1.1 all
`
	if got := play(t, "x.txt", text, Config{}).Timeline.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A timeline tells gates: what a step waits for, the gates that open, and the steps that do not begin.
func TestTimelineOfGates(t *testing.T) {
	const text = `window noon: 12:00 to 13:00
job release, turn production 1
  script copy, targets a b c, batches 2, between person, delay 1h, window noon, retry 1
  script check, targets a, stop_before
job hotfix, turn production 1
  script copy, targets a
turn to release
ann: start_job
wait 1h
sweep
turn to hotfix
bob: start_job
turn to release
wait 2h
sweep
turn to hotfix
report 1.1: a succeeded
turn to release
sweep
report 1.1: a succeeded, b failed
report 1.2: b succeeded
ann: continue 1, dry_run
ann: terminate_job
`
	const want = `09:00:00           stage     window noon: 12:00 to 13:00
09:00:00  release  nobody    job release, turn production 1     pending
09:00:00  hotfix   nobody    job hotfix, turn production 1      pending
09:00:00  release  ann       start_job                          pending -> gated      job gated, waits until 2026-07-01T10:00:00Z
10:00:00  release  gate      opens step 1                       gated                 waits for window until 2026-07-01T10:00:00Z
10:00:00  release  gate      opens step 1                       gated                 waits for window until 2026-07-01T12:00:00Z
10:00:00  hotfix   bob       start_job                          pending -> running    job running, run 1.1 on 1 target
12:00:00  release  gate      opens step 1                       gated                 waits for turn
12:00:00  hotfix   executor  report 1.1: a succeeded            running -> succeeded  job succeeded, the job has ended
12:00:00  release  gate      opens step 1                       gated -> running      job running, run 1.1 on 2 targets
12:00:00  release  executor  report 1.1: a succeeded, b failed  running -> gated      job gated, waits for window until 2026-07-01T12:00:00Z
12:00:00  release  gate      opens step 1                       gated -> running      job running, run 1.2 on 1 target
12:00:00  release  executor  report 1.2: b succeeded            running -> gated      job gated, waits for person
12:00:00  release  ann       continue 1, dry_run                gated                 tried, waits for window until 2026-07-01T12:00:00Z
12:00:00  release  ann       terminate_job                      gated -> terminated   job terminated, the job has ended
`
	if got := play(t, "x.txt", text, Config{}).Timeline.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Names and texts neither break the table nor forge a row of it.
func TestTimelineCannotBeForged(t *testing.T) {
	const text = `job "a b c"
  script copy, targets a
ann: start_job
report 1.1 by "x y z w": abnormal "lost"
deny ann, because "no\n09:00:00  eve\tconfirm 1\x1b[2K"
ann: retry_failed 1
  refused denied
deliver failing "no\vmail"
job hotfix
  script copy, targets a
`
	const want = `09:00:00  "a b c"  nobody      job "a b c"                                              pending
09:00:00  "a b c"  ann         start_job                                                pending -> running   job running, run 1.1 on 1 target
09:00:00  "a b c"  "x y z w"   report 1.1: broke "lost"                                 running -> abnormal  job abnormal, the job has ended
09:00:00           stage       deny ann, because "no\n09:00:00  eve\tconfirm 1\x1b[2K"
09:00:00  "a b c"  ann         retry_failed 1                                                                refused, denied: job 1, step 1: retry_failed (2) denied to ann: "no\n09:00:00  eve\tconfirm 1\x1b[2K"
09:00:00  "a b c"  dispatcher  delivers job_ended abnormal                                                   failed: no\vmail
09:00:00  hotfix   nobody      job hotfix                                               pending
`
	if got := play(t, "x.txt", text, Config{}).Timeline.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A timeline marks differences from the file, and failed sweeps.
func TestTimelineShowsWhatWentWrong(t *testing.T) {
	const text = late + `crash after
sweep
  unknown outcome
sweep
allow ann
turn to hotfix
`
	const want = `09:00:00  nobody    job late     pending
09:00:00  ann       start_job    pending -> running   job running, run 1.1 on 1 target
09:00:02  stage     crash after
09:00:02  deadline  expires 1.1  running -> abnormal  job abnormal, the job has ended
09:00:02  deadline  sweep                             the outcome is unknown
09:00:02  deadline  sweep                             not as wanted: failed: the store is down
09:00:02  stage     allow ann
`
	result, _ := mismatches(t, text, Config{})
	if got := result.Timeline.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	result, _ = mismatches(t, release+"ann: start_job\n  to waiting\nann: confirm 1\nexpect job: waiting\n", Config{})
	if e := result.Timeline; e[0].Unwanted || !e[1].Unwanted || !e[2].Unwanted || len(e) != 3 {
		t.Errorf("the entries are %+v", e)
	}
}

// An entry is data: the cause, the step with its type, its states before and after, the record, and the
// answer or the refusal.
func TestEntriesAreData(t *testing.T) {
	entries := play(t, "x.txt", timelineText, Config{}).Timeline
	at := func(i int) Entry { return entries[i] }

	if e := at(1); e.Line != 4 || e.Job != 1 || e.JobName != "release" || e.Step != 1 || e.Type != step.Script || e.Attempt != 1 ||
		e.Cause != operation.StartJob.Cause() || e.From != step.Pending || e.To != step.Running || e.JobTo != step.Running ||
		e.Outcome != Accepted || e.Record.Seq != 2 || e.Answer.Seq != 2 {
		t.Errorf("the start is %+v", e)
	}
	if e := at(3); e.Outcome != Refused || e.Refusal.Reason != operation.Denied || !errors.Is(e.Err, operation.Denied) || e.Record != nil || e.From != 0 {
		t.Errorf("the denial is %+v", e)
	}
	if e := at(4); e.Line != 8 || e.Who != "agent" || e.Cause != step.Results || e.Report.Accepted != 1 || e.Record.Results != 1 {
		t.Errorf("the report in between is %+v", e)
	}
	if e := at(5); e.Line != 9 || e.Cause != step.SomeFailed || e.From != step.Running || e.To != step.Failed || len(e.Report.Rejected) != 1 {
		t.Errorf("the report is %+v", e)
	}
	if e := at(7); e.Outcome != Tried || e.Record != nil || e.To != step.ErrorIgnored || e.Answer.Seq != 0 {
		t.Errorf("the dry run is %+v", e)
	}
	if e := at(9); e.Cause != step.Entered || e.Step != 2 || e.Type != step.Confirmation || e.From != step.Pending || e.To != step.Waiting || e.Record != at(8).Record {
		t.Errorf("the entry of step 2 is %+v", e)
	}
	if e := at(10); e.Outcome != Repeated || e.Record != nil || e.From != 0 || e.Answer.Seq != at(8).Record.Seq {
		t.Errorf("the repetition is %+v", e)
	}
	if e := at(12); e.Outcome != Unknown || !errors.Is(e.Err, engine.ErrUnknownOutcome) || e.Record == nil || e.To != step.Terminated {
		t.Errorf("what the store did and told nobody of is %+v", e)
	}
	if e := at(15); e.Outcome != Failed || e.Err.Error() != "no mail" || e.At.Sub(at(0).At).Minutes() != 10 {
		t.Errorf("the delivery is %+v", e)
	}

	c := NewCoverage(nil)
	c.Add(entries)
	started := Cell{Type: step.Script, From: step.Pending, Cause: operation.StartJob.Cause()}
	terminated := Cell{Type: step.Confirmation, From: step.Waiting, Cause: operation.TerminateJob.Cause()}
	if c.Cells[started] != 1 || c.Cells[terminated] != 1 || len(c.Cells) != 5 || c.Reasons[operation.Denied] != 1 || len(c.Reasons) != 3 {
		t.Errorf("it covers %v and %v", c.Cells, c.Reasons)
	}
}
