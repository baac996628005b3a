package enginetest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

type snapshot = enginetest.Snapshot

// damages are the damages that each invariant must find, by its name.
var damages = map[string][]struct {
	what   string
	of     func(testing.TB) *story
	damage func(*snapshot)
	says   string
}{
	"nothing starts before its gate opens, or on hold": {
		{"a hold is lost", rolled, func(s *snapshot) { s.Job.Held = false }, "the job is on hold: false, and waits for hold, by its history: true, and hold"},
		{"the header says another gate", rolled, func(s *snapshot) { s.Job.Gate = step.TimeGate }, "the job is on hold: true, and waits for time, by its history: true, and hold"},
		{"a stop is lost", rolled, func(s *snapshot) { s.Steps[0].StopBefore = false }, "a stop is set before step 1: false, by its history: true"},
		{"it starts although a stop is set", rolled, func(s *snapshot) {
			s.History[2].To, s.History[2].JobTo, s.History[2].Effect, s.History[2].Gate = step.Running, step.Running, store.RunTargets, store.Gate{}
		}, "record 3, start_job, starts an attempt of step 1, which waits for person"},
		{"it starts on hold", rolled, func(s *snapshot) {
			s.History[8].To, s.History[8].JobTo, s.History[8].Effect, s.History[8].Gate = step.Running, step.Running, store.RunTargets, store.Gate{}
		}, "record 9, opened, starts an attempt, and the job is on hold"},
		{"a gate opens by itself that waits for a person", rolled, func(s *snapshot) { s.History[3].Cause = step.Opened }, "record 4, opened, starts an attempt of step 1, which waits for person"},
		{"the definition has a window", rolled, func(s *snapshot) {
			s.Spec.Steps[0].Window, s.Spec.Steps[0].Rolling.Between.Person = "night", false
			s.History[2].Gate = store.Gate{}
			s.History[2].Effect = store.RunTargets
			s.History[2].To = step.Running
			s.History[1].Cause = operation.ClearStop.Cause()
		}, "which waits for window"},
	},
	"batches are those of the history": {
		{"a batch is missing", rolled, func(s *snapshot) { s.Batches = s.Batches[:1] }, "step 1 has the rows of 1 batches, by its history 2 have begun"},
		{"a batch too many", rolled, func(s *snapshot) { s.Batches = append(s.Batches, s.Batches[1]) }, "has not begun"},
		{"a count is wrong", rolled, func(s *snapshot) { s.Batches[0].Succeeded = 0 }, "step 1 has batch {Step:1 Number:1"},
		{"the successes before are wrong", rolled, func(s *snapshot) { s.Steps[0].Before = 0 }, "step 1 is in batch 2 and counts 0 targets before it succeeded, there are 2 batches and 1"},
	},
	"the job is as it was defined": {
		{"a step is missing", busy, func(s *snapshot) { s.Steps = s.Steps[:2] }, "a job of 3 steps has 2 step rows"},
		{"no step is current", busy, func(s *snapshot) { s.Job.Current = 0 }, "step 0 is current"},
		{"no history", busy, func(s *snapshot) { s.History = nil }, "0 records"},
		{"another name", busy, func(s *snapshot) { s.Job.Name = "other" }, `the job is "other"`},
		{"another payload", busy, func(s *snapshot) { s.Steps[0].Payload = "false" }, "step 1 is"},
		{"other confirmers", busy, func(s *snapshot) { s.Steps[1].Confirmers = step.NamesOf([]string{"eve"}) }, "step 2 is"},
		{"a target is missing", busy, func(s *snapshot) { s.Targets[2] = s.Targets[2][:1] }, "step 3 has 1 target rows"},
		{"a target has another name", busy, func(s *snapshot) { s.Targets[2][1].Name = "c" }, `step 3 has target 1 "c"`},
	},
	"the history chains": {
		{"a record is missing", busy, func(s *snapshot) { s.History = slices.Delete(s.History, 4, 5) }, "record 6 stands in the place of record 5"},
		{"the first is no creation", busy, func(s *snapshot) { s.History[0].Cause = step.Results }, "record 1 is not the creation"},
		{"a second creation", busy, func(s *snapshot) { s.History[4].Cause = step.Created }, "record 5 creates the job a second time"},
		{"a record of another job", busy, func(s *snapshot) { s.History[4].Job++ }, "record 5 is of job"},
		{"a clock was set back", busy, func(s *snapshot) { s.History[5].At = s.History[4].At - 1 }, "record 6 is of"},
		{"a job's state is lost", busy, func(s *snapshot) { s.History[6].JobFrom = step.Running }, "record 7 starts with the job in running, but it is in terminating"},
		{"a step's state is lost", busy, func(s *snapshot) { s.History[6].From = step.Running }, "record 7 starts in running, but step 1 is in terminating"},
		{"an attempt is skipped", busy, func(s *snapshot) { s.History[7].Attempt = 4 }, "record 8 leaves step 1 in attempt 4"},
		{"a record of a step that is not current", busy, func(s *snapshot) { s.History[12].Step = 1 }, "record 13 is about step 1, but step 3 is under way"},
		{"the version is behind", busy, func(s *snapshot) { s.Job.Version-- }, "the job is at version 12, and has 13 records"},
		{"the header is behind", busy, func(s *snapshot) { s.Job.State = step.Waiting }, "the job is waiting, its last record leaves it running"},
		{"the wrong step is current", busy, func(s *snapshot) { s.Job.Current = 2 }, "step 2 is current, the history has come to step 3"},
	},
	"a stop is never lost": {
		{"it goes on although it was told to stop", busy, func(s *snapshot) { s.History[5].JobTo = step.Running }, "record 6 leaves it running"},
		{"it runs after the stop, unasked", busy, func(s *snapshot) { s.History[7].Cause = step.AllSucceeded }, "record 8 leaves it running"},
	},
	"a retry runs what is due": {
		{"it runs all", busy, func(s *snapshot) { s.History[3].Run.Full = s.History[3].Attempt }, "retry_failed is for what is due, 1 of 2 targets"},
		{"it runs one too many", busy, func(s *snapshot) { s.History[3].Targets = 2 }, "record 4 has 2 run"},
		{"it forgets a success", busy, func(s *snapshot) { s.History[3].Succeeded = 0 }, "0 stay succeeded of 1"},
		{"nothing was due", busy, func(s *snapshot) { s.History[2].Succeeded, s.History[3].Succeeded, s.History[3].Targets = 2, 2, 0 }, "by record 4 nothing was"},
		{"retry all leaves some out", busy, func(s *snapshot) { s.History[7].Run.Full = 1 }, "record 8 starts all of 2 targets"},
		{"a step is entered for some", busy, func(s *snapshot) { s.History[11].Targets = 1 }, "record 12 starts all of 2 targets"},
		{"another code runs all", busy, func(s *snapshot) { s.History[7].Cause = operation.NextStep.Cause() }, "record 8 has every target run for next_step"},
	},
	"a success is not run again": {
		{"all count as due again", retried, func(s *snapshot) { s.Steps[0].Run.Full = 3 }, "step 1 last ran on all targets in attempt 3, by its history in 1"},
		{"a target has run again", retried, func(s *snapshot) { s.Targets[0][0].Attempt = 2 }, "target 0 of step 1 has succeeded in attempt 1, and attempt 2 ran it again"},
	},
	"a report is of the attempt under way": {
		{"a report of the attempt before", busy, func(s *snapshot) { s.History[4].Attempt = 1 }, "record 5, results, is of attempt 1, while it is attempt 2"},
		{"a deadline of the next attempt", busy, func(s *snapshot) { s.History[9].Attempt = 2 }, "record 10, expired, is of attempt 2, while it is attempt 1"},
		{"a report of what has ended", busy, func(s *snapshot) { s.History[4].From = step.Failed }, "record 5, results, is of a step that is failed"},
		{"a report that starts an attempt", busy, func(s *snapshot) { s.History[4].Effect, s.History[4].Attempt = store.RunTargets, 2 }, "record 5, results, starts an attempt"},
	},
	"a result counts once": {
		{"more succeed than there are", busy, func(s *snapshot) { s.History[12].Succeeded = 2 }, "record 13 counts 2 succeeded and 1 unfinished of 2 targets"},
		{"two succeed by one result", busy, func(s *snapshot) { s.History[12].Succeeded, s.History[12].Unfinished = 2, 0 }, "2 targets succeed and 2 finish by 1 results"},
		{"a success is taken back", retried, func(s *snapshot) { s.History[4].Succeeded = 0 }, "record 5 has -1 targets succeed"},
		{"an attempt starts with too few", busy, func(s *snapshot) { s.History[3].Unfinished = 0 }, "record 4 starts an attempt, all is false, with 1 succeeded, 0 unfinished"},
		{"a person changes results", busy, func(s *snapshot) { s.History[5].Results = 1 }, "record 6 is no report"},
		{"a deadline counts", busy, func(s *snapshot) { s.History[6].Cause, s.History[6].Unfinished = step.Expired, 0 }, "record 7 is no report"},
		{"a report says nothing", busy, func(s *snapshot) { s.History[4].Results = 0 }, "record 5 is a report that says nothing"},
	},
	"a result is of an attempt that was": {
		{"it is of the next attempt", busy, func(s *snapshot) { s.Targets[2][0].Attempt, s.Targets[2][0].Success = 2, 2 }, "target 0 of step 3, which is in attempt 1"},
		{"it is of no attempt", busy, func(s *snapshot) { s.Targets[2][1].Status = failed }, "target 1 of step 3"},
		{"a success that is none", busy, func(s *snapshot) { s.Targets[2][0].Status = failed }, "target 0 of step 3"},
		{"a success that does not count", busy, func(s *snapshot) { s.Targets[2][0].Success = 0 }, "target 0 of step 3"},
		{"it is waiting", retried, func(s *snapshot) { s.Targets[0][2].Status = step.TargetWaiting }, "target 2 of step 1"},
	},
	"a record is legal where it starts": {
		{"a code that leads elsewhere", busy, func(s *snapshot) { s.History[3].Cause = operation.IgnoreError.Cause() }, "record 4, ignore_error, leads from failed to running, by the rules to error_ignored"},
		{"a code that is not legal", busy, func(s *snapshot) { s.History[3].Cause = operation.ForcedSkip.Cause() }, "record 4, forced_skip, leads from failed to running, by the rules to state(0)"},
		{"an event that leads elsewhere", busy, func(s *snapshot) { s.History[8].Cause = step.SomeFailed }, "record 9, some_failed, leads from running to succeeded, by the rules to failed"},
		{"results that lead somewhere", busy, func(s *snapshot) { s.History[12].To = step.Failed }, "record 13, results, leads from running to failed, by the rules to running"},
		{"an operation by an executor", busy, func(s *snapshot) { s.History[3].Cause = step.Broke }, "record 4, broke, leads from failed to running, by the rules to state(0)"},
		{"a report by time", busy, func(s *snapshot) { s.History[9].Cause = step.Stopped }, "record 10, stopped, leads from waiting to confirmation_terminated, by the rules to state(0)"},
		{"an attempt that does not end", busy, func(s *snapshot) { s.History[12].Unfinished = 0 }, "record 13 reports the last target and does not end the attempt"},
		{"all succeeded although one has not", busy, func(s *snapshot) { s.History[8].Succeeded = 1 }, "record 9 is all_succeeded with 1 succeeded"},
		{"errors are ignored that are not to be", done, func(s *snapshot) { s.Spec.Steps[2].IgnoreErrors = false }, "record 14 is failures_ignored"},
	},
	"a guard admits confirmers only": {
		{"bob confirms", busy, func(s *snapshot) { s.History[11].Actor = "bob" }, `record 12, confirm, is by "bob", who is none of [ann]`},
	},
	"a deadline has its time": {
		{"it passes early", busy, func(s *snapshot) { s.History[9].At -= 55_000 }, "record 10 expires at"},
		{"there is none", busy, func(s *snapshot) { s.Spec.Steps[1].Timeout = 0 }, "record 10 expires at"},
		{"it should have confirmed", busy, func(s *snapshot) { s.Spec.Steps[1].OnTimeout = step.ConfirmOnTimeout }, "record 10, expired, is of a step that is to confirm"},
		{"it is kept wrong", busy, func(s *snapshot) { s.Steps[2].Deadline++ }, "step 3 is running with a deadline at"},
		{"it outlives its attempt", busy, func(s *snapshot) { s.Steps[0].Deadline = 1 }, "step 1 is succeeded with a deadline at"},
	},
	"nothing starts in a final state": {
		{"after the job has succeeded", busy, func(s *snapshot) { s.History[7].JobFrom = step.Succeeded }, "record 8, retry_all, starts in terminated on a script step, the job being succeeded"},
		{"after it was abandoned", busy, func(s *snapshot) { s.History[7].From = step.Abandoned }, "starts in abandoned"},
		{"a seal without a record", done, func(s *snapshot) { s.Job.Sealed = true }, "the job is sealed: true, by its history: false"},
		{"after a confirmation was terminated", busy, func(s *snapshot) { s.History[10].From = step.Terminated }, "starts in terminated on a confirmation step"},
	},
	"one step is active at most": {
		{"two are", busy, func(s *snapshot) { s.Steps[0].State = step.Running }, "step 1 is running, but step 3 is current"},
		{"none is", busy, func(s *snapshot) { s.Steps[2].State = step.Failed }, "the job is running and 0 of its steps are active"},
		{"one is although the job has ended", done, func(s *snapshot) { s.Steps[2].State = step.Terminating }, "the job is succeeded and 1 of its steps are active"},
	},
	"the job mirrors its current step": {
		{"it does not", busy, func(s *snapshot) { s.Steps[2].State = step.Terminating }, "the job is running while its current step is terminating"},
		{"it has not succeeded", done, func(s *snapshot) { s.Job.State = step.ErrorIgnored }, "want succeeded"},
	},
	"what has passed lies behind, what is pending ahead": {
		{"a step was left behind", busy, func(s *snapshot) { s.Steps[1].State = step.Terminated }, "step 3 is current, and step 2 before it is terminated"},
		{"a step has hurried ahead", busy, func(s *snapshot) { s.Job.Current, s.Steps[1].State = 2, step.Terminated }, "step 2 is current, and step 3 after it is running"},
		{"the job stands still", done, func(s *snapshot) { s.Job.Current = 2; s.Steps[2] = store.NewStep(3, s.Spec.Steps[2]) }, "step 2 is current, it is succeeded, and step 3 has not begun"},
		{"a step has begun and is pending", busy, func(s *snapshot) { s.Steps[2].State = step.Pending }, "step 3 is pending"},
		{"a step has passed and not begun", busy, func(s *snapshot) { s.Steps[0] = store.NewStep(1, s.Spec.Steps[0]); s.Steps[0].State = step.Skipped }, "step 1 is skipped"},
	},
	"a person, an executor or a deadline can go on": {
		{"it runs on nothing", busy, func(s *snapshot) { s.Steps[2].Unfinished = 0 }, "step 3 is running, and neither"},
		{"it is of a type that nobody reports on", busy, func(s *snapshot) { s.Steps[2].Type = step.Confirmation }, "step 3 is running, and neither"},
		{"it waits in a type that nobody may confirm", busy, func(s *snapshot) { s.Steps[2].State, s.Steps[2].Deadline = step.Waiting, 0 }, "step 3 is waiting, and neither"},
		{"it cannot be started", busy, func(s *snapshot) { s.Steps[2].State, s.Steps[2].Type = step.Pending, 40 }, "step 3 is pending, and neither"},
	},
	"a job waits for exactly one thing": {
		{"its gate has no reason", busy, func(s *snapshot) { s.Steps[2].State, s.Steps[2].Gate.Reason = step.Gated, 99 }, "in a step that is gated, and is said to wait for"},
		{"its step has not begun", busy, func(s *snapshot) { s.Steps[2].State = step.Pending }, "in a step that is pending, and is said to wait for"},
	},
	"a change has its consequences": {
		{"nobody is told to run", busy, func(s *snapshot) { s.History[3].Effect = store.NoEffect }, "record 4 leads to running"},
		{"nobody is told to stop", busy, func(s *snapshot) { s.History[5].Effect = store.NoEffect }, "record 6 leads to terminating"},
		{"nobody is asked", busy, func(s *snapshot) { s.History[10].Effect = store.RunTargets }, "record 11 leads to waiting"},
		{"nobody hears of the end", done, func(s *snapshot) { s.History[13].Effect = store.NoEffect }, "record 14 leads to error_ignored"},
		{"the next step is not entered", busy, func(s *snapshot) { s.History[8].Entered = 0 }, "record 9 leads to succeeded"},
		{"the job ends although a step follows", busy, func(s *snapshot) { s.History[11].JobTo = step.Succeeded }, "record 12 leads to succeeded"},
		{"results have an effect", busy, func(s *snapshot) { s.History[12].Effect = store.JobEnded }, "record 13 leads to running"},
		{"nothing runs on a target", busy, func(s *snapshot) { s.History[5].Targets = 1 }, "record 6 starts nothing and has 1 targets run"},
	},
	"what waits for delivery is the effect of a record": {
		{"another effect", busy, func(s *snapshot) { s.Effects[1].Effect = store.StopAttempt }, "what waits is"},
		{"of another attempt", busy, func(s *snapshot) { s.Effects[2].Attempt++ }, "what waits is"},
		{"of a record that has none", busy, func(s *snapshot) { s.Effects[3].Seq = 5 }, "record 5 asked for"},
		{"of no record", busy, func(s *snapshot) { s.Effects[len(s.Effects)-1].Seq = 99 }, "an effect of record 99 waits, there are 13 records"},
		{"held, and never claimed", busy, func(s *snapshot) {
			d := &s.Effects[0]
			d.Held, d.Count, d.Token, d.Failures = true, 0, store.Token{}, 0
		}, "of record 2 was never claimed, and is held"},
		{"twice", busy, func(s *snapshot) { s.Effects[1] = s.Effects[0] }, "the effect of record 2 waits after that of record 2"},
	},
	"steps stand where the history left them": {
		{"in another state", busy, func(s *snapshot) { s.Steps[0].State = step.Skipped }, "step 1 is skipped in attempt 3 with 2 succeeded and 0 unfinished, by its history succeeded in 3"},
		{"in another attempt", busy, func(s *snapshot) { s.Steps[1].Attempt = 1 }, "step 2 is succeeded in attempt 1"},
		{"with other counts", busy, func(s *snapshot) { s.Steps[2].Unfinished = 0 }, "step 3 is running in attempt 1 with 1 succeeded and 0 unfinished"},
	},
	"counts are a recount": {
		{"a success too many", busy, func(s *snapshot) { s.Steps[2].Succeeded = 2 }, "step 3 counts 2 succeeded and 1 unfinished, its targets are 1 and 1"},
		{"a result is lost", busy, func(s *snapshot) { s.Targets[2][0] = store.Target{Name: "a"} }, "step 3 counts 1 succeeded and 1 unfinished, its targets are 0 and 2"},
		{"a result is of the past", busy, func(s *snapshot) { s.Targets[0][1].Attempt, s.Targets[0][1].Success = 1, 1 }, "step 1 counts 2 succeeded and 0 unfinished, its targets are 1 and 1"},
		{"a skip too many", done, func(s *snapshot) { s.Job.Skipped = 1 }, "the job counts 1 steps skipped, 1 ignored and 1 of them tolerated, there are 0, 1 and 1"},
		{"an ignored error too few", done, func(s *snapshot) { s.Job.Ignored = 0 }, "the job counts 0 steps skipped, 0 ignored and 1 of them tolerated, there are 0, 1 and 1"},
	},
	"times are those of the history": {
		{"the creation", busy, func(s *snapshot) { s.Job.Created++ }, "the job was created at"},
		{"the start", busy, func(s *snapshot) { s.Job.Started++ }, "the job was created at"},
		{"an end although it runs", busy, func(s *snapshot) { s.Job.Finished = 1 }, "the job was created at"},
		{"no end although it has ended", done, func(s *snapshot) { s.Job.Finished = 0 }, "the job was created at"},
		{"the last record", busy, func(s *snapshot) { s.Job.Updated-- }, "the job was created at"},
		{"the start of an attempt", busy, func(s *snapshot) { s.Steps[0].Started-- }, "step 1 started at"},
		{"the end of an attempt", busy, func(s *snapshot) { s.Steps[1].Finished = 0 }, "step 2 started at"},
	},
	"moved is the last record that moved": {
		{"results have moved it", busy, func(s *snapshot) { s.Job.Moved = 13 }, "the job last moved in version 13, by its history in 12"},
	},
	"the history replays to the job": {
		{"the header differs", busy, func(s *snapshot) { s.Job.Ignored++ }, "the history replays to"},
		{"a step differs", busy, func(s *snapshot) { s.Steps[0].Run.Full = 1 }, "the history replays to"},
		{"the confirmers differ", busy, func(s *snapshot) { s.Steps[1].Confirmers = step.Names{} }, "step 2 is for"},
		{"it does not replay", busy, func(s *snapshot) { s.History[4].Seq = 9 }, "replay: record 9 follows record 4"},
	},
}

// Every invariant holds for a sound job with any history, and its error names the one value that was
// damaged.
func TestInvariantsBite(t *testing.T) {
	checker := enginetest.NewChecker(operation.Standard())
	for _, v := range enginetest.Invariants() {
		t.Run(v.Name, func(t *testing.T) {
			if len(damages[v.Name]) == 0 {
				t.Fatal("nothing shows that it bites")
			}
			for _, d := range damages[v.Name] {
				s := d.of(t).load()
				if err := v.Check(s); err != nil {
					t.Errorf("of a good job it says %v", err)
				}
				if err := checker.Check(&s); err != nil {
					t.Errorf("of a good job a Checker says %v", err)
				}
				d.damage(&s)
				if err := v.Check(s); err == nil || !strings.Contains(err.Error(), d.says) {
					t.Errorf("%s: it says\n%v, want\n%s", d.what, err, d.says)
				}
				err := s.Check()
				if err == nil || !strings.HasPrefix(err.Error(), "promise ") {
					t.Errorf("%s: Check says %v, want the promise that is broken", d.what, err)
				}
				if got := checker.Check(&s); got == nil || got.Error() != err.Error() {
					t.Errorf("%s: a Checker says\n%v, and Check\n%v", d.what, got, err)
				}
			}
		})
	}
	if len(damages) != len(enginetest.Invariants()) {
		t.Errorf("there are damages for %d invariants, and %d invariants", len(damages), len(enginetest.Invariants()))
	}
}

// A record that a damaged history lacks has no effect, and the others keep theirs.
func TestDeliveryOfAMissingRecord(t *testing.T) {
	s := busy(t).load()
	damaged := copied(s)
	damaged.History = slices.Delete(damaged.History, 4, 5)
	for seq := range store.Seq(len(s.History) + 2) {
		want, has := s.Delivery(seq)
		if seq == 5 {
			want, has = store.Delivery{}, false
		}
		if got, ok := damaged.Delivery(seq); got != want || ok != has {
			t.Errorf("record %d, without record 5: %+v, %v, want %+v, %v", seq, got, ok, want, has)
		}
	}
}

// An effect that is not obsolete waits until it was delivered.
func TestCheckDelivered(t *testing.T) {
	s := busy(t).load()
	none := func(store.Seq) bool { return false }
	if err := s.CheckDelivered(none); err != nil {
		t.Errorf("everything waits: %v", err)
	}
	needed := map[store.Seq]string{ // of busy: ends, a stop, and the run of the attempt under way
		3: "job_ended", 6: "stop", 7: "job_ended", 10: "job_ended", 12: "run",
	}
	for i, d := range s.Effects {
		lost := copied(s)
		lost.Effects = slices.Delete(lost.Effects, i, i+1)
		err := lost.CheckDelivered(none)
		if what := needed[d.Seq]; (err != nil) != (what != "") || err != nil && !strings.Contains(err.Error(), "promise 1: effect "+what) {
			t.Errorf("the effect of record %d is lost: got %v, want %q", d.Seq, err, what)
		}
		if err := lost.CheckDelivered(func(seq store.Seq) bool { return seq == d.Seq }); err != nil {
			t.Errorf("the effect of record %d was delivered: got %v", d.Seq, err)
		}
	}
}

// What does it cost to check a job of 3 steps, 2 targets and 13 records?
func BenchmarkCheck(b *testing.B) {
	s := busy(b).load()
	b.Run("Snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Check(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Checker", func(b *testing.B) {
		checker := enginetest.NewChecker(operation.Standard())
		b.ReportAllocs()
		for b.Loop() {
			if err := checker.Check(&s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
