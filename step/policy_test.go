package step_test

import (
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/step"
)

// The reasons of gates keep their numbers, which are their order. A person opens those that
// no hold and no turn keeps shut.
func TestGateReasonsKeepTheirNumbers(t *testing.T) {
	wire := map[int]string{0: "none", 1: "person", 2: "time", 3: "hold", 4: "window", 5: "turn"}
	testkit.Alphabet(t, wire, step.GateReason.Valid, nil)
	inOrder(t, "NoGate and AllGateReasons()", append([]step.GateReason{step.NoGate}, step.AllGateReasons()...), wire)
	for r := range step.GateReason(255) {
		if want := r == 1 || r == 2 || r == 4; r.Waivable() != want {
			t.Errorf("%v.Waivable() = %v, want %v", r, r.Waivable(), want)
		}
		if want := r == 1 || r == 3; r.OfPerson() != want {
			t.Errorf("%v.OfPerson() = %v, want %v", r, r.OfPerson(), want)
		}
	}
}

// The wait doubles with each further attempt up to its maximum, less than a quarter of it missing,
// and never overflows: as by arithmetic without bounds.
func TestTheWaitOfARetrySaturates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		durations := rapid.OneOf(rapid.Int64Range(0, int64(time.Minute)), rapid.Int64Range(0, math.MaxInt64))
		r := step.Retry{After: time.Duration(durations.Draw(rt, "after"))}
		if r.After > 0 && rapid.Bool().Draw(rt, "with a maximum") {
			r.Most = time.Duration(rapid.Int64Range(int64(r.After), math.MaxInt64).Draw(rt, "most"))
		}
		n := rapid.OneOf(rapid.Int32Range(1, 70), rapid.Int32Range(1, math.MaxInt32)).Draw(rt, "attempt")
		full := new(big.Int).Lsh(big.NewInt(int64(r.After)), uint(min(n-1, 200)))
		if most := big.NewInt(int64(max(r.Most, r.After))); full.Cmp(most) > 0 {
			full = most
		}
		want := time.Duration(full.Int64())
		got := r.Wait(n, rapid.Uint64().Draw(rt, "random"))
		if got > want || got < want-want/4 {
			rt.Fatalf("%+v.Wait(%d) = %d, want %d less at most a quarter", r, n, got, want)
		}
		if whole := r.Wait(n, 0); whole != want {
			rt.Fatalf("%+v.Wait(%d, 0) = %d, want %d", r, n, whole, want)
		}
	})
	// The part that is missing takes every value.
	r := step.Retry{After: 12}
	seen := map[time.Duration]bool{}
	for random := range uint64(9) {
		seen[r.Wait(1, random)] = true
	}
	if want := map[time.Duration]bool{12: true, 11: true, 10: true}; !reflect.DeepEqual(seen, want) {
		t.Errorf("the waits of 12 ns are %v, want %v", seen, want)
	}
}

// Scenario A.3.9: with more than its tolerance a step fails. A percentage is one of all targets.
func TestAToleranceBears(t *testing.T) {
	for total, most := range map[int32]int32{9: 0, 10: 1, 11: 1, 49: 4, 50: 5} {
		for failed := range total + 1 {
			if got := (step.Tolerance{Percent: 10}).Bears(failed, total); got != (failed <= most) {
				t.Errorf("10%% of %d targets bear %d failures: %v, want at most %d", total, failed, got, most)
			}
			if got := (step.Tolerance{}).Bears(failed, total); got != (failed == 0) {
				t.Errorf("no tolerance bears %d failures of %d: %v", failed, total, got)
			}
			if got := (step.Tolerance{Count: most}).Bears(failed, total); got != (failed <= most) {
				t.Errorf("a tolerance of %d bears %d failures: %v", most, failed, got)
			}
		}
	}
	for percent := int32(1); percent <= 100; percent++ {
		for _, total := range []int32{1, 7, 100, 333, 4_000_000, math.MaxInt32} {
			for _, failed := range []int32{0, 1, total / 100 * percent, total/100*percent + 1, total - 1, total} {
				want := big.NewRat(int64(failed), int64(total)).Cmp(big.NewRat(int64(percent), 100)) <= 0
				if got := (step.Tolerance{Percent: percent}).Bears(failed, total); got != want {
					t.Errorf("%d%% of %d targets bear %d failures: %v, want %v", percent, total, failed, got, want)
				}
			}
		}
	}
}

// Each field of a policy makes it a policy, makes it differ from one without the field, and comes from
// the field of the definition. A policy shares no memory with its definition.
func TestAPolicyIsThePartOfADefinition(t *testing.T) {
	if p := (&step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}, Timeout: time.Second, StopBefore: true}).Policy(); p != nil {
		t.Errorf("a plain step has the policy %+v, want nil", p)
	}
	specs := []step.Spec{
		{Delay: 1}, {Window: "night"}, {TotalTimeout: 1},
		{Retry: step.Retry{Attempts: 1}}, {Retry: step.Retry{Attempts: 1, After: 1}}, {Retry: step.Retry{Attempts: 1, After: 1, Most: 2}},
		{Retry: step.Retry{Attempts: 1, Except: []step.Status{step.NoSuchUser}}},
		{Rolling: step.Rolling{Batches: "1"}}, {Rolling: step.Rolling{Batches: "1", Between: step.Between{Delay: 1}}},
		{Rolling: step.Rolling{Batches: "1", Between: step.Between{Person: true}}},
		{Tolerate: step.Tolerance{Count: 1}}, {Tolerate: step.Tolerance{Percent: 1}},
	}
	for i, a := range specs {
		p := a.Policy()
		if p == nil || p.IsZero() || p.Equal(nil) || (*step.Policy)(nil).Equal(p) {
			t.Errorf("the policy of %+v is %+v, want one that says something", a, p)
			continue
		}
		for j, b := range specs {
			if got := p.Equal(b.Policy()); got != (i == j) {
				t.Errorf("the policies of %+v and %+v are equal: %v", a, b, got)
			}
		}
		if a.Retry.Except != nil {
			if a.Retry.Except[0] = step.TargetFailed; p.Retry.Except[0] != step.NoSuchUser {
				t.Error("a policy shares memory with its definition")
			}
		}
	}
	if !(*step.Policy)(nil).Equal(nil) {
		t.Error("two steps without a policy differ")
	}
}
