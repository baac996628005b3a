package step_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stepgate/stepgate/internal/testkit"
	"github.com/stepgate/stepgate/step"
)

// An alphabet prints what it reads, and reads what it prints. It reads nothing else.
func FuzzAlphabets(f *testing.F) {
	for _, s := range []string{"script", "32", "custom-63", "waiting", "timed_out", "none", "confirm", "expired_confirmed", "abnormal", "custom-job-63", "193", "0", "014", "+7", "custom-4", "65537", "", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		testkit.Spell(t, s, step.Type.Valid, step.ParseType)
		testkit.Spell(t, s, step.State.Valid, step.ParseState)
		testkit.Spell(t, s, step.Cause.Valid, step.ParseCause)
		testkit.Spell(t, s, step.Status.Valid, step.ParseStatus)
		testkit.Spell(t, s, step.Decision.Valid, step.ParseDecision)
	})
}

// A value that is read from any JSON is written as JSON that reads the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"type":"script","name":"copy","targets":["a","b"],"ignore_errors":true,"timeout_ns":9000,"payload":"\ud800 x"}`,
		`{"type":"confirmation","name":"ask","confirmers":["ann"],"timeout_ns":1,"on_timeout":"confirm"}`,
		`{"type":"custom-40","title":"tape","lifecycle":[{"cause":"entered","from":["pending"],"to":"running","do":"enter"}]}`,
		`["pending","running","14"]`, `["custom-32",null]`, `[]`, `null`, `"AQI="`, `[null]`, `{"type":null}`, `["script"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		testkit.RoundTrip[step.Names](t, data)
		testkit.RoundTrip[step.States](t, data)
		testkit.RoundTrip[step.Types](t, data)
		testkit.RoundTrip[step.Causes](t, data)
		testkit.RoundTrip[step.Spec](t, data)
		testkit.RoundTrip[step.Kind](t, data)
	})
}

// A set made of any bytes has them for members, once each and in order.
func FuzzSet(f *testing.F) {
	f.Add([]byte{1, 63, 1, 64, 255, 0}, []byte{1, 2})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s, u := setOf(a), setOf(b)
		for v := range 256 {
			e := step.Cause(v)
			in, also := slices.Contains(a, byte(v)), slices.Contains(b, byte(v))
			if s.Has(e) != in || s.Union(u).Has(e) != (in || also) || s.Minus(u).Has(e) != (in && !also) || s.Without(e).Has(e) || !s.With(e).Has(e) {
				t.Fatalf("sets of %d and %d are wrong about %d", a, b, v)
			}
		}
		members := slices.Collect(s.All())
		if len(members) != s.Len() || !slices.IsSorted(members) || setOf(a) != step.SetOf(members...) || s.Empty() != (len(members) == 0) {
			t.Fatalf("a set of %d has the members %d", a, members)
		}
	})
}

func setOf(values []byte) (s step.Causes) {
	for _, v := range values {
		s = s.With(step.Cause(v))
	}
	return s
}

// A time converts to one of package time and back, and adding a duration gives a later time.
func FuzzTime(f *testing.F) {
	f.Add(int64(1), int64(1))
	f.Add(int64(1)<<62, int64(1)<<62)
	f.Add(int64(-1), int64(time.Hour))
	f.Add(int64(1<<63-1), int64(1))
	f.Fuzz(func(t *testing.T, at, d int64) {
		const yearOne, end = step.Time(-62_135_596_800_000), step.Time(1<<63 - 1)
		u := step.Time(at)
		if got := step.At(u.Std()); got != u && u != yearOne { // which package time takes for never
			t.Fatalf("At(%d.Std()) = %d", u, got)
		}
		if u.String() == "" {
			t.Fatalf("%d prints nothing", u)
		}
		if later := u.Add(time.Duration(d)); d > 0 && later <= u && later != end {
			t.Fatalf("%d.Add(%v) = %d, want it later", u, time.Duration(d), later)
		} else if d > 0 && later != end && later.Sub(u) < time.Duration(d) && d < 1<<63-1-int64(time.Millisecond) {
			t.Fatalf("%d.Add(%v) = %d, which is only %v later", u, time.Duration(d), later, later.Sub(u))
		}
	})
}

// Any rows either compile to a machine that says what they say, or are refused.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{65, 1, 2, 66, 2, 3, 8, 4, 2, 67, 2, 4})
	f.Add([]byte{65, 1, 2, 65, 1, 3})
	f.Add([]byte{0, 8, 12, 255, 255, 255, 64, 1, 15})
	f.Fuzz(func(t *testing.T, rows []byte) {
		var ts []step.Transition
		for row := range slices.Chunk(rows, 3) {
			if len(row) == 3 && len(ts) < 100 {
				ts = append(ts, step.Transition{Cause: step.Cause(row[0]), From: step.StatesOf(step.State(row[1])), To: step.State(row[2])})
			}
		}
		m, err := step.NewMachine("fuzz", ts)
		if err != nil {
			return
		}
		for _, row := range ts {
			for from := range row.From.All() {
				if to, ok := m.Next(from, row.Cause); !ok || to != row.To {
					t.Fatalf("Next(%v, %d) = %v, %v, want %v", from, row.Cause, to, ok, row.To)
				}
			}
		}
		for state := range 256 {
			for cause := range 256 {
				if to, ok := m.Next(step.State(state), step.Cause(cause)); ok != (to != 0) || ok && !to.Valid() {
					t.Fatalf("Next(%d, %d) = %d, %v", state, cause, to, ok)
				}
			}
		}
	})
}
