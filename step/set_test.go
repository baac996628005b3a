package step_test

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/step"
)

// A Set behaves as a map of its members does.
func TestASetIsASet(t *testing.T) {
	values := rapid.SliceOf(rapid.Custom(func(t *rapid.T) step.Type { return step.Type(rapid.Uint8().Draw(t, "value")) }))
	rapid.Check(t, func(t *rapid.T) {
		a, b := values.Draw(t, "a"), values.Draw(t, "b")
		s, u := step.SetOf(a...), step.SetOf(b...)
		members := 0
		for i := range 256 {
			v := step.Type(i)
			inA, inB := slices.Contains(a, v), slices.Contains(b, v)
			if s.Has(v) != inA {
				t.Fatalf("SetOf(%v).Has(%d) = %v, want %v", a, i, !inA, inA)
			}
			if got := s.Union(u).Has(v); got != (inA || inB) {
				t.Fatalf("Union: Has(%d) = %v, want %v", i, got, inA || inB)
			}
			if got := s.Minus(u).Has(v); got != (inA && !inB) {
				t.Fatalf("Minus: Has(%d) = %v, want %v", i, got, inA && !inB)
			}
			if s.Without(v).Has(v) || !s.With(v).Has(v) {
				t.Fatalf("With and Without of %d: Has says %v and %v", i, s.With(v).Has(v), s.Without(v).Has(v))
			}
			if inA {
				members++
			}
		}
		all := slices.Collect(s.All())
		if s.Len() != members || len(all) != members || !slices.IsSorted(all) || s.Empty() != (members == 0) {
			t.Fatalf("SetOf(%v): Len() = %d, All() = %v, Empty() = %v; want %d members in ascending order", a, s.Len(), all, s.Empty(), members)
		}
		if step.SetOf(all...) != s {
			t.Fatalf("SetOf(All()...) = %v, want %v", step.SetOf(all...), s)
		}
	})
}

func TestAllStopsWhenItsReaderDoes(t *testing.T) {
	for _, s := range []step.Types{step.TypesOf(1, 2, 32, 65), step.TypesOf(32, 65)} {
		for range s.All() {
			break
		}
	}
	var seen []step.Type
	for v := range step.TypesOf(1, 2, 32, 65).All() {
		if seen = append(seen, v); len(seen) == 3 {
			break
		}
	}
	if want := []step.Type{1, 2, 32}; !slices.Equal(seen, want) {
		t.Errorf("the first three of All() = %v, want %v", seen, want)
	}
}

func TestASetPrintsItsMembersInOrder(t *testing.T) {
	for _, c := range []struct {
		set  step.States
		want string
	}{
		{step.States{}, "none"},
		{step.StatesOf(step.Failed), "failed"},
		{step.StatesOf(step.Terminated, step.Failed), "failed, terminated"},
	} {
		if got := c.set.String(); got != c.want {
			t.Errorf("String() = %q, want %q", got, c.want)
		}
	}
	if got, want := step.TypesOf(63, step.SQL).String(), "sql, custom-63"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestASetInJSONIsAnArrayOfNames(t *testing.T) {
	s := step.StatesOf(step.Terminated, step.Failed)
	data, err := json.Marshal(s)
	if want := `["failed","terminated"]`; string(data) != want || err != nil {
		t.Errorf("json.Marshal(%v) = %s, %v; want %s", s, data, err, want)
	}
	if data, err := json.Marshal(step.States{}); string(data) != "[]" || err != nil {
		t.Errorf("json.Marshal(no states) = %s, %v; want []", data, err)
	}
	var got step.States
	if err := json.Unmarshal([]byte(`["terminated","4"]`), &got); got != s || err != nil {
		t.Errorf("json.Unmarshal = %v, %v; want %v", got, err, s)
	}
	if data, err := json.Marshal(step.StatesOf(8)); string(data) != `["state(8)"]` || err != nil {
		t.Errorf("json.Marshal(the set of the unknown state 8) = %s, %v; want it to print", data, err)
	}
}

func TestASetRefusesWhatIsNoArrayOfMembers(t *testing.T) {
	for _, data := range []string{
		`["broken"]`, `["state(8)"]`, `["failed",""]`, `["8"]`, `[4]`, `[4.5]`, `[null]`, `{}`, `"failed"`, `4`, `true`, `["failed"`,
		`"CAw="`, // encoding/json takes a string for the base64 of bytes: 8 and 12 here
	} {
		s := step.StatesOf(step.Running)
		if err := json.Unmarshal([]byte(data), &s); err == nil {
			t.Errorf("json.Unmarshal(%s) = %v, want an error", data, s)
		}
	}
}
