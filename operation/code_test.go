package operation_test

import (
	"encoding"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// The alphabets as the wire knows them, written down by hand.
var (
	wireCodes = map[int]string{
		2: "retry_failed", 3: "ignore_error", 6: "confirm", 8: "retry_all", 9: "terminate_confirmation",
		10: "restart_confirmation", 11: "next_step", 12: "forced_skip",
	}

	wireJobCodes = map[int]string{1: "terminate_job", 2: "start_job"}

	wireGuards = map[int]string{0: "free", 1: "some_due", 2: "approver"}

	wireReasons = map[int]string{
		1: "invalid_input", 2: "no_such_job", 3: "no_such_step", 4: "denied", 5: "request_reused", 6: "stale",
		7: "wrong_type", 8: "not_current", 9: "wrong_state", 10: "nothing_to_retry", 11: "not_confirmer", 12: "sealed",
	}
)

// letter is a member of an alphabet, and text its address, which unmarshals.
type letter interface {
	~uint8
	fmt.Stringer
	encoding.TextMarshaler
}

type text[T letter] interface {
	*T
	encoding.TextUnmarshaler
}

// speak asserts that an alphabet has exactly the letters of the wire, and that each
// reads and prints as the wire has it.
func speak[T letter, P text[T]](t *testing.T, wire map[int]string, valid func(T) bool) {
	t.Helper()
	for i := range 256 {
		v := T(i)
		name, known := wire[i]
		data, err := v.MarshalText()
		if valid(v) != known || err != nil || !known && v != 0 && string(data) != v.String() || !known && v == 0 && len(data) > 0 {
			t.Errorf("%T(%d): Valid() = %v, MarshalText() = %q, %v; want known %v", v, i, valid(v), data, err, known)
		}
		var got T
		err = P(&got).UnmarshalText([]byte(strconv.Itoa(i)))
		if known != (err == nil) || known && got != v {
			t.Errorf("%T.UnmarshalText(%d) = %v, %v; want known %v", v, i, got, err, known)
		}
		if !known {
			continue
		}
		text := name
		if v == 0 {
			text = "" // the zero value has a name to print, and no text
		}
		if v.String() != name || string(data) != text {
			t.Errorf("%T(%d) prints %q and marshals to %q, want %q", v, i, v, data, name)
		}
		if err := P(&got).UnmarshalText([]byte(name)); got != v || err != nil {
			t.Errorf("%T.UnmarshalText(%q) = %v, %v; want %d", v, name, got, err, i)
		}
	}
	got := T(1)
	if err := P(&got).UnmarshalText(nil); err != nil || got != 0 {
		t.Errorf("%T.UnmarshalText of nothing = %v, %v; want the zero value", got, got, err)
	}
	for _, s := range []string{"no such thing", "-1", "258", "2.0", "02"} {
		if err := P(&got).UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%T.UnmarshalText(%q) = %v, want an error", got, s, got)
		}
	}
}

func TestCodesAreThoseOfTheWire(t *testing.T) {
	all := map[int]string{}
	for i := 32; i <= 63; i++ { // the embedders' own
		all[i] = fmt.Sprintf("custom-%d", i)
	}
	for i, name := range wireCodes {
		all[i] = name
	}
	speak(t, all, operation.Code.Valid)
	if got, want := operation.AllCodes(), []operation.Code{2, 3, 6, 8, 9, 10, 11, 12}; !slices.Equal(got, want) {
		t.Errorf("AllCodes() = %v, want %v", got, want)
	}
	for _, retired := range []string{"4", "5", "13"} {
		if got, err := operation.ParseCode(retired); err == nil {
			t.Errorf("ParseCode(%s) = %v, want an error", retired, got)
		}
	}
	if got, err := operation.ParseCode("next_step"); got != 11 || err != nil {
		t.Errorf("ParseCode(next_step) = %v, %v; want 11", got, err)
	}
}

func TestJobCodesAreThoseOfTheWire(t *testing.T) {
	all := map[int]string{}
	for i := 32; i <= 63; i++ { // the embedders' own
		all[i] = fmt.Sprintf("custom-job-%d", i)
	}
	for i, name := range wireJobCodes {
		all[i] = name
	}
	speak(t, all, operation.JobCode.Valid)
	if got, want := operation.AllJobCodes(), []operation.JobCode{1, 2}; !slices.Equal(got, want) {
		t.Errorf("AllJobCodes() = %v, want %v", got, want)
	}
	if got, err := operation.ParseJobCode("1"); got != operation.TerminateJob || err != nil {
		t.Errorf("ParseJobCode(1) = %v, %v; want terminate_job", got, err)
	}
}

// Step code 2 and job code 2 are not the same thing: no name belongs to both.
func TestStepCodesAndJobCodesShareNoName(t *testing.T) {
	for _, name := range wireJobCodes {
		if got, err := operation.ParseCode(name); err == nil {
			t.Errorf("ParseCode(%s) = %v, want an error", name, got)
		}
	}
	for _, name := range wireCodes {
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

// A name that an embedder gives a code is read and printed; its number and plain name still read.
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

func TestGuardsKeepTheirNumbers(t *testing.T) { speak(t, wireGuards, operation.Guard.Valid) }

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
	speak(t, wireReasons, func(r operation.Reason) bool { _, ok := wireReasons[int(r)]; return ok })
	want := []operation.Reason{
		operation.InvalidInput, operation.NoSuchJob, operation.NoSuchStep, operation.Denied, operation.RequestReused,
		operation.Stale, operation.Sealed, operation.WrongType, operation.NotCurrent, operation.WrongState, operation.NothingToRetry,
		operation.NotConfirmer,
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
