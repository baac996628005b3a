package enginetest_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/engine/enginetest/model"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A Config without rules has the documented ones.
func TestNilRulesAreTheDocumentedOnes(t *testing.T) {
	s := busy(t).load()
	s.Rules = nil
	if err := s.Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	if err := enginetest.NewChecker(nil).Check(&s); err != nil {
		t.Errorf("NewChecker(nil).Check = %v", err)
	}
	for _, v := range enginetest.Invariants() {
		if err := v.Check(s); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	s.Steps[2].Attempt++
	if s.Check() == nil || enginetest.NewChecker(nil).Check(&s) == nil {
		t.Error("a job that is damaged passes")
	}
	s.Steps[2].Attempt--

	if reason := model.New(nil, s.Spec.Steps).OperateJob(operation.StartJob, "", 1); reason != 0 {
		t.Errorf("the model refuses to start a job: %v", reason)
	}
	seen := map[step.Type]bool{}
	rapid.Check(t, func(t *rapid.T) {
		for _, spec := range enginetest.Jobs(nil).Draw(t, "job").Steps {
			seen[spec.Type] = true
		}
		enginetest.Commands(s).Draw(t, "command")
	})
	if len(seen) != len(operation.Standard().Types()) {
		t.Errorf("the steps that are drawn are of the types %v", seen)
	}
}
