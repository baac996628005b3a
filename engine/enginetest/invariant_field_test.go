package enginetest_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/step"
)

// Only the listed parts of the stored state can change without an invariant finding it: texts of people
// and executors on which nothing else depends, and, one by one, values that could as well be
// true.
func TestInvariantsCoverEveryField(t *testing.T) {
	free := []string{
		"History.Request", "History.Actor", "History.Reason", "History.Results", "History.At",
		"Targets.Status", "Targets.ExitCode", "Targets.Started", "Targets.Finished", "Targets.Detail",
		"Effects.NotBefore", "Effects.Held", "Effects.Count", "Effects.Token", "Effects.LastError",

		"busy History[6].Cause", "done History[6].Cause", // what was told to stop may have stopped or broken
		"done History[12].Succeeded",    // of two targets that succeeded one after the other, the other was first
		"retried Targets[0][2].Attempt", // a failure of the attempt before last
		"rolled History[7].Gate.Until",  // a part of the wait is random
	}
	index := regexp.MustCompile(`\[\d+\]`)
	for name, of := range map[string]func(testing.TB) *story{"busy": busy, "done": done, "retried": retried, "rolled": rolled} {
		good := of(t).load()
		if err := good.Check(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for field, change := range changes(good) {
			s := copied(good)
			change(&s)
			if err := s.Check(); err == nil && !slices.Contains(free, index.ReplaceAllString(field, "")) && !slices.Contains(free, name+" "+field) {
				t.Errorf("%s: %s was changed, and nothing is said of it", name, field)
			}
		}
	}
}

// An invariant does not panic on any stored state.
func TestInvariantsNeverPanic(t *testing.T) {
	for _, of := range []func(testing.TB) *story{busy, done, retried, rolled} {
		good := of(t).load()
		check := func(s snapshot, field string) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: %v", field, p)
				}
			}()
			for _, v := range enginetest.Invariants() {
				_ = v.Check(s)
			}
			_ = s.Check()
		}
		for field, change := range extremes(good) {
			s := copied(good)
			change(&s)
			check(s, field)
			s.History = s.History[:len(s.History)/2]
			check(s, field)
			s.Spec.Steps = s.Spec.Steps[:len(s.Spec.Steps)-1]
			check(s, field)
			s.Steps, s.Targets, s.Batches = nil, nil, nil
			check(s, field)
		}
	}
}

// changes yields every field of the stored state with a function that changes it a little.
func changes(s snapshot) func(func(string, func(*snapshot)) bool) {
	return each(s, func(v reflect.Value) []any {
		switch {
		case v.Type() == reflect.TypeFor[step.Names]():
			return []any{step.NamesOf([]string{"nobody"})}
		case v.Kind() == reflect.Bool:
			return []any{!v.Bool()}
		case v.Kind() == reflect.String:
			return []any{v.String() + "x"}
		case v.CanInt():
			return []any{v.Int() + 1, v.Int() - 1}
		case v.CanUint():
			return []any{v.Uint() + 1}
		case v.Kind() == reflect.Array: // a request
			return []any{[16]byte{1}}
		}
		return nil
	})
}

// extremes yields every field that is a number with a function that makes it absurd.
func extremes(s snapshot) func(func(string, func(*snapshot)) bool) {
	return each(s, func(v reflect.Value) []any {
		switch {
		case v.CanInt():
			return []any{int64(-1), int64(0), int64(1)<<(v.Type().Bits()-1) - 1, int64(-1) << (v.Type().Bits() - 1)}
		case v.CanUint():
			return []any{uint64(0), uint64(1)<<v.Type().Bits() - 1}
		}
		return nil
	})
}

// each yields every field of the header and of every row with a function for each of the
// values that it is to take.
func each(s snapshot, values func(reflect.Value) []any) func(func(string, func(*snapshot)) bool) {
	return func(yield func(string, func(*snapshot)) bool) {
		var walk func(name string, v reflect.Value, at func(*snapshot) reflect.Value) bool
		walk = func(name string, v reflect.Value, at func(*snapshot) reflect.Value) bool {
			if v.Kind() == reflect.Slice {
				for i := range v.Len() {
					if !walk(fmt.Sprintf("%s[%d]", name, i), v.Index(i), func(s *snapshot) reflect.Value { return at(s).Index(i) }) {
						return false
					}
				}
				return true
			}
			if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[step.Names]() {
				for i := range v.NumField() {
					field := name + "." + v.Type().Field(i).Name
					if v.Type().Field(i).Anonymous {
						field = name
					}
					if !walk(field, v.Field(i), func(s *snapshot) reflect.Value { return at(s).Field(i) }) {
						return false
					}
				}
				return true
			}
			for _, value := range values(v) {
				if !yield(name, func(s *snapshot) {
					at(s).Set(reflect.ValueOf(value).Convert(v.Type()))
				}) {
					return false
				}
			}
			return true
		}
		for _, name := range []string{"Job", "Steps", "Targets", "Batches", "History", "Effects"} {
			if !walk(name, reflect.ValueOf(s).FieldByName(name), func(s *snapshot) reflect.Value { return reflect.ValueOf(s).Elem().FieldByName(name) }) {
				return
			}
		}
	}
}
