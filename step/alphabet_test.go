package step_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/step"
)

// The alphabets as the wire knows them, written down by hand.
var (
	wireTypes = map[int]string{1: "script", 2: "file_transfer", 3: "confirmation", 4: "sql"}

	wireStates = map[int]string{
		1: "pending", 2: "running", 3: "succeeded", 4: "failed", 5: "skipped", 6: "error_ignored", 7: "waiting",
		9: "abnormal", 10: "terminating", 11: "terminated", 13: "confirmation_terminated", 14: "abandoned",
		15: "gated",
	}

	wireStatuses = map[int]string{
		1: "agent_error", 2: "invalid_target", 3: "succeeded_earlier", 5: "waiting", 7: "running", 9: "succeeded",
		11: "failed", 12: "not_delivered", 13: "timed_out", 15: "log_error", 16: "script_log_timeout",
		17: "file_log_timeout", 18: "agent_not_installed", 101: "script_failed", 102: "script_timed_out",
		103: "script_terminated", 104: "non_zero_exit", 202: "copy_failed", 203: "source_missing", 301: "file_error",
		303: "file_timed_out", 310: "file_agent_error", 311: "no_such_user", 312: "bad_password", 320: "fetch_failed",
		321: "too_large", 329: "transfer_error", 399: "task_error", 403: "terminated", 404: "terminate_failed",
		500: "unknown",
	}

	wireDecisions = map[int]string{0: "terminate", 1: "confirm"}

	wireDos = map[int]string{
		1: "enter", 2: "run_due", 3: "run_all", 4: "run_next", 5: "ask", 6: "open", 7: "accept", 8: "vote", 9: "unvote",
		10: "pass", 11: "stop", 12: "end", 13: "hold", 14: "release", 15: "seal", 16: "note", 17: "mark", 18: "unmark",
	}

	wireCauses = map[int]string{
		2: "retry_failed", 3: "ignore_error", 6: "confirm", 8: "retry_all", 9: "terminate_confirmation",
		10: "restart_confirmation", 11: "next_step", 12: "forced_skip", 13: "continue",
		21: "stop_before", 22: "clear_stop",
		65: "entered", 66: "all_succeeded", 67: "some_failed", 68: "failures_ignored", 69: "stopped", 70: "broke",
		71: "dropped", 72: "expired", 73: "expired_confirmed", 74: "opened", 75: "failed_again", 76: "job_expired",
		129: "terminate_job", 130: "start_job", 148: "hold_job", 149: "resume_job", 150: "seal_job", 151: "comment_job",
		192: "created", 193: "results", 194: "given_up", 195: "hurried",
	}
)

func TestTypesAreThoseOfTheWire(t *testing.T) {
	all := map[int]string{}
	for i := 32; i <= 63; i++ { // the embedders' own
		all[i] = fmt.Sprintf("custom-%d", i)
	}
	for i, name := range wireTypes {
		all[i] = name
	}
	testkit.Alphabet(t, all, step.Type.Valid, step.ParseType)
}

func TestStatesAreThoseOfTheWire(t *testing.T) {
	testkit.Alphabet(t, wireStates, step.State.Valid, step.ParseState)
	inOrder(t, "AllStates()", step.AllStates(), wireStates)
}

func TestStatusesAreThoseOfTheWire(t *testing.T) {
	testkit.Alphabet(t, wireStatuses, step.Status.Valid, step.ParseStatus)
	inOrder(t, "AllStatuses()", step.AllStatuses(), wireStatuses)
	if _, err := step.ParseStatus("none"); err == nil {
		t.Error("ParseStatus(none) = nil error; the zero Status is the absence of one, which no executor reports")
	}
	if step.Status(0).Valid() {
		t.Error("Status(0).Valid() = true, want false")
	}
}

func TestDecisionsAreThoseOfTheSpec(t *testing.T) {
	testkit.Alphabet(t, wireDecisions, step.Decision.Valid, step.ParseDecision)
}

func TestCausesKeepTheirNumbers(t *testing.T) {
	all := map[int]string{}
	for i := 32; i <= 63; i++ { // the embedders' own
		all[i], all[128+i] = fmt.Sprintf("custom-%d", i), fmt.Sprintf("custom-job-%d", i)
	}
	for i, name := range wireCauses {
		all[i] = name
	}
	testkit.Alphabet(t, all, step.Cause.Valid, step.ParseCause)
	inOrder(t, "AllCauses()", step.AllCauses(), wireCauses)
	for old, want := range map[string]step.Cause{"abnormal": step.Broke, "abandoned": step.Dropped} {
		if got, err := step.ParseCause(old); got != want || err != nil {
			t.Errorf("ParseCause(%s) = %v, %v; want %v, which was called so", old, got, err, want)
		}
	}
}

// A cause is of one kind, and its code counts from the start of that kind.
func TestEveryCauseIsOfOneKind(t *testing.T) {
	for c := range step.Cause(255) {
		ofStep, isEvent, ofJob, ofEffect := c >= 1 && c <= 63, c >= 65 && c <= 127, c >= 129 && c <= 191, c == 194 || c == 195
		if c.OfStep() != ofStep || c.IsEvent() != isEvent || c.OfJob() != ofJob || c.OfEffect() != ofEffect {
			t.Errorf("cause %d: of a step %v, an event %v, of a job %v, of an effect %v; want %v, %v, %v, %v",
				c, c.OfStep(), c.IsEvent(), c.OfJob(), c.OfEffect(), ofStep, isEvent, ofJob, ofEffect)
		}
		if ofJob && step.JobCause(c.Code()) != c || ofStep && step.Cause(c.Code()) != c {
			t.Errorf("cause %d has code %d, which is another cause", c, c.Code())
		}
	}
}

func TestConsequencesKeepTheirNumbers(t *testing.T) {
	testkit.Alphabet(t, wireDos, step.Do.Valid, nil)
	inOrder(t, "AllDos()", step.AllDos(), wireDos)
}

// Each process names its own types and causes; this one names two.
func TestAnEmbedderNamesTypesAndCauses(t *testing.T) {
	step.Type(60).Register("container")
	step.JobCause(60).Register("archive_job")
	if typ, err := step.ParseType("container"); typ != 60 || err != nil || typ.String() != "container" {
		t.Errorf("ParseType(container) = %v, %v; want type 60", typ, err)
	}
	if c, err := step.ParseCause("archive_job"); c != 188 || err != nil || c.String() != "archive_job" {
		t.Errorf("ParseCause(archive_job) = %v, %v; want cause 188", c, err)
	}
}

func inOrder[T testkit.Letter](t *testing.T, call string, got []T, wire map[int]string) {
	t.Helper()
	if len(got) != len(wire) || !slices.IsSorted(got) {
		t.Errorf("%s = %v, want %d values in ascending order", call, got, len(wire))
	}
	for _, v := range got {
		if wire[int(v)] == "" {
			t.Errorf("%s holds %v (%d), which the wire does not know", call, v, v)
		}
	}
}

func TestUnknownLettersPrintTheirNumber(t *testing.T) {
	for got, want := range map[fmt.Stringer]string{
		step.State(8): "state(8)", step.State(12): "state(12)", step.State(16): "state(16)", step.State(0): "state(0)",
		step.Type(0): "step type(0)", step.Type(5): "step type(5)", step.Type(64): "step type(64)",
		step.Status(4): "target status(4)", step.Cause(0): "cause(0)", step.Do(0): "consequence(0)", step.Decision(2): "timeout decision(2)",
	} {
		if got.String() != want {
			t.Errorf("%T prints %q, want %q", got, got, want)
		}
	}
}

// The zero Status reads as "none" too, as it prints.
func TestNoStatusReadsAsItPrints(t *testing.T) {
	got := step.TargetFailed
	if err := got.UnmarshalText([]byte(step.Status(0).String())); got != 0 || err != nil {
		t.Errorf("UnmarshalText(%v) = %v, %v; want none", step.Status(0), got, err)
	}
}

// A step that waits at a gate is under way, and no attempt of it is.
func TestClassesOfStatesAreThoseOfTheReference(t *testing.T) {
	finished := step.StatesOf(3, 4, 5, 6, 9, 11, 13, 14)
	passed := step.StatesOf(3, 5, 6)
	attempting := step.StatesOf(2, 7, 10)
	active := step.StatesOf(2, 7, 10, 15)
	for i := range 256 {
		s := step.State(i)
		got := [...]bool{s.Finished(), s.Passed(), s.Active(), s.Attempting()}
		if want := [...]bool{finished.Has(s), passed.Has(s), active.Has(s), attempting.Has(s)}; got != want {
			t.Errorf("state %v is finished, passed, active, attempting: %v, want %v", s, got, want)
		}
	}
}

// A job mirrors its current step: a step that has passed lets it run on, and the last
// one ends it succeeded.
func TestAJobShowsTheStateOfItsCurrentStep(t *testing.T) {
	for _, s := range step.AllStates() {
		more, last := s, s
		switch s {
		case step.Succeeded, step.Skipped, step.ErrorIgnored:
			more, last = step.Running, step.Succeeded
		}
		if got := s.OfJob(false); got != more {
			t.Errorf("%v.OfJob(false) = %v, want %v", s, got, more)
		}
		if got := s.OfJob(true); got != last {
			t.Errorf("%v.OfJob(true) = %v, want %v", s, got, last)
		}
	}
}

// Success is 9 or 3; not finished is 5 or 7; everything else is finished without success.
func TestClassesOfStatusesAreThoseOfTheReference(t *testing.T) {
	for i := range 1001 {
		s := step.Status(i)
		_, known := wireStatuses[i]
		if want := i == 9 || i == 3; s.Success() != want {
			t.Errorf("status %v: Success() = %v, want %v", s, s.Success(), want)
		}
		if want := known && i != 5 && i != 7; s.Finished() != want {
			t.Errorf("status %v: Finished() = %v, want %v", s, s.Finished(), want)
		}
	}
}

func ExampleParseState() {
	for _, s := range []string{"terminating", "10", "8"} {
		state, err := step.ParseState(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%v is %d, active %v, finished %v\n", state, state, state.Active(), state.Finished())
	}
	// Output:
	// terminating is 10, active true, finished false
	// terminating is 10, active true, finished false
	// unknown state "8": want one of pending (1), running (2), succeeded (3), failed (4), skipped (5), error_ignored (6), waiting (7), abnormal (9), terminating (10), terminated (11), confirmation_terminated (13), abandoned (14), gated (15)
}
