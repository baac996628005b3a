package operation_test

import (
	"strings"
	"testing"

	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A type that With adds has the rules of its model in every state, and the table that it was added to
// has none of it.
func TestWithAddsATypeLikeItsModel(t *testing.T) {
	for _, model := range operation.Standard().Types() {
		before := operation.StandardTable()
		r := compile(t, before.With(custom, model))
		for _, state := range step.AllStates() {
			for _, cause := range step.AllCauses() {
				got, ok := r.Move(custom, state, cause)
				want, wanted := r.Move(model, state, cause)
				if got != want || ok != wanted {
					t.Errorf("Move(%v, %v, %v) = %+v, %v; its model %v has %+v, %v", custom, state, cause, got, ok, model, want, wanted)
				}
			}
		}
		if kind, _ := r.Kind(custom); kind.Title != custom.String() {
			t.Errorf("the title is %q, want the name %q", kind.Title, custom)
		}
		if d := operation.Diff(operation.Standard(), compile(t, before)); len(d) != 0 {
			t.Errorf("With has changed the table that it copies: %v", d)
		}
	}
	if _, err := operation.StandardTable().With(custom, 50).Compile(); err == nil {
		t.Error("a type like an undeclared one compiles")
	}
}

func TestMustCompilePanicsOnAnError(t *testing.T) {
	defer func() {
		if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), "declared twice") {
			t.Errorf("MustCompile panics with %v, want the error of Compile", err)
		}
	}()
	operation.StandardTable().With(step.SQL, step.Script).MustCompile()
}
