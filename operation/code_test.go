package operation_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// The alphabets as the wire knows them, written down by hand.
var (
	wireGuards = map[int]string{
		0: "free", 1: "some_due", 2: "approver", 3: "waivable", 4: "gated_by_hold", 5: "held", 6: "unheld",
		7: "batch_left", 8: "marked", 9: "unmarked", 10: "unfinal",
	}

	wireReasons = map[int]string{
		1: "invalid_input", 2: "no_such_job", 3: "no_such_step", 4: "denied", 5: "request_reused", 6: "stale",
		7: "wrong_type", 8: "not_current", 9: "wrong_state", 10: "nothing_to_retry", 11: "not_confirmer", 12: "sealed", 13: "settled", 14: "leased",
		15: "on_hold", 16: "not_held", 17: "no_turn", 18: "no_batch_left", 19: "stop_set", 20: "no_stop",
		21: "final",
	}
)

// wireOf returns the wire of operations, which have the names of their causes.
func wireOf(cause func(n uint8) step.Cause) map[int]string {
	wire := map[int]string{}
	for n := range uint8(64) {
		if cause(n).Valid() {
			wire[int(n)] = cause(n).String()
		}
	}
	return wire
}

func TestCodesAreThoseOfTheWire(t *testing.T) {
	wire := wireOf(func(n uint8) step.Cause { return step.Cause(n) })
	testkit.Alphabet(t, wire, operation.Code.Valid, operation.ParseCode)
	if got, want := operation.AllCodes(), []operation.Code{2, 3, 6, 8, 9, 10, 11, 12, 13, 21, 22}; !slices.Equal(got, want) {
		t.Errorf("AllCodes() = %v, want %v", got, want)
	}
}

func TestJobCodesAreThoseOfTheWire(t *testing.T) {
	testkit.Alphabet(t, wireOf(step.JobCause), operation.JobCode.Valid, operation.ParseJobCode)
	if got, want := operation.AllJobCodes(), []operation.JobCode{1, 2, 20, 21, 22, 23}; !slices.Equal(got, want) {
		t.Errorf("AllJobCodes() = %v, want %v", got, want)
	}
}

// Step code 2 and job code 2 are not the same thing: no name belongs to both.
func TestStepCodesAndJobCodesShareNoName(t *testing.T) {
	for _, job := range operation.AllJobCodes() {
		name := job.String()
		if got, err := operation.ParseCode(name); err == nil {
			t.Errorf("ParseCode(%s) = %v, want an error", name, got)
		}
	}
	for _, code := range operation.AllCodes() {
		name := code.String()
		if got, err := operation.ParseJobCode(name); err == nil {
			t.Errorf("ParseJobCode(%s) = %v, want an error", name, got)
		}
	}
}

// An operation and its cause have one name; a number is read as the operation's own.
func TestEveryOperationIsACauseOfItsName(t *testing.T) {
	for n := range 256 {
		code, job := operation.Code(n), operation.JobCode(n)
		if want := step.Cause(n); n >= 64 {
			if code.Cause() != 0 || job.Cause() != 0 {
				t.Errorf("operations %d have the causes %v and %v, want none", n, code.Cause(), job.Cause())
			}
		} else if code.Cause() != want || n > 0 && job.Cause() != 128+want {
			t.Errorf("operations %d have the causes %d and %d, want %d and %d", n, code.Cause(), job.Cause(), want, 128+want)
		}
		if code.Valid() && code.String() != code.Cause().String() || job.Valid() && job.String() != job.Cause().String() {
			t.Errorf("operations %d are %v and %v, their causes %v and %v", n, code, job, code.Cause(), job.Cause())
		}
	}
}

// An embedder's name of a code is read and printed. The code's number and plain name still read.
func TestARegisteredCodeIsReadByNameAndNumber(t *testing.T) {
	operation.Code(61).Cause().Register("redeploy") // in this process only, of which no other test looks at 61
	for _, text := range []string{"redeploy", "61", "custom-61"} {
		if got, err := operation.ParseCode(text); got != 61 || err != nil || got.String() != "redeploy" {
			t.Errorf("ParseCode(%q) = %v, %v; want 61, redeploy", text, got, err)
		}
		if got, err := operation.ParseJobCode(text); err == nil && text != "61" {
			t.Errorf("ParseJobCode(%q) = %v, want an error", text, got)
		}
	}
}

// The error of an unknown code lists all declared codes, and the numbers of embedders.
func TestAnUnknownCodeSaysWhatThereIs(t *testing.T) {
	_, err := operation.ParseJobCode("stop_job")
	if want := `unknown job operation code "stop_job": want one of terminate_job (1), start_job (2), hold_job (20), resume_job (21), seal_job (22), comment_job (23), 32 to 63 for embedders`; err == nil || err.Error() != want {
		t.Errorf("ParseJobCode: %v, want %s", err, want)
	}
	if _, err := operation.ParseCode(""); err == nil {
		t.Error("ParseCode reads nothing as a code")
	}
}

func TestGuardsKeepTheirNumbers(t *testing.T) {
	testkit.Alphabet(t, wireGuards, operation.Guard.Valid, nil)
}

// Guards had other names before 0.1: rules in JSON that hold them still read.
func TestOldNamesOfGuardsAreRead(t *testing.T) {
	for old, want := range map[string]operation.Guard{"none": operation.Free, "due_only": operation.SomeDue, "confirmer_only": operation.Approver} {
		var got operation.Guard
		if err := got.UnmarshalText([]byte(old)); got != want || err != nil {
			t.Errorf("UnmarshalText(%s) = %v, %v; want %v", old, got, err, want)
		}
	}
}

func TestReasonsStandInTheOrderOfPrecedence(t *testing.T) {
	testkit.Alphabet(t, wireReasons, func(r operation.Reason) bool { _, ok := wireReasons[int(r)]; return ok }, operation.ParseReason)
	want := []operation.Reason{
		operation.InvalidInput, operation.NoSuchJob, operation.NoSuchStep, operation.Denied, operation.RequestReused,
		operation.Stale, operation.Settled, operation.Leased, operation.Sealed, operation.WrongType, operation.NotCurrent,
		operation.WrongState, operation.NothingToRetry, operation.NotConfirmer, operation.OnHold, operation.NotHeld,
		operation.NoTurn, operation.NoBatchLeft, operation.StopSet, operation.NoStop, operation.Final,
	}
	if got := operation.AllReasons(); !slices.Equal(got, want) {
		t.Errorf("AllReasons() = %v, want %v", got, want)
	}
	if got, err := operation.ParseReason("not_current"); got != operation.NotCurrent || err != nil {
		t.Errorf("ParseReason(not_current) = %v, %v", got, err)
	}
}

func TestAReasonIsASentinel(t *testing.T) {
	err := fmt.Errorf("refused: %w", operation.WrongState)
	if !errors.Is(err, operation.WrongState) || errors.Is(err, operation.WrongType) || err.Error() != "refused: wrong_state" {
		t.Errorf("errors.Is(%q, WrongState) = %v, (WrongType) = %v", err, errors.Is(err, operation.WrongState), errors.Is(err, operation.WrongType))
	}
}

func TestSetsOfCodesPrintTheirNames(t *testing.T) {
	if got, want := operation.CausesOf[operation.Code](12, 2, 32).String(), "retry_failed, forced_skip, custom-32"; got != want {
		t.Errorf("CausesOf(12, 2, 32) = %q, want %q", got, want)
	}
	if got, want := operation.CausesOf[operation.JobCode](2, 1).String(), "terminate_job, start_job"; got != want {
		t.Errorf("CausesOf(2, 1) = %q, want %q", got, want)
	}
}
