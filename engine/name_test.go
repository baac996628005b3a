package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// A name has no control, line-separator or direction character anywhere, and no white space at an end.
// The test tries every character.
func TestEveryCharacterOfAName(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		if !utf8.ValidRune(r) {
			continue
		}
		within := !unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
		outside := within && !unicode.Is(unicode.White_Space, r)
		for name, want := range map[string]bool{
			"a" + string(r) + "b": within, string(r) + "b": outside, "a" + string(r): outside, string(r): outside,
		} {
			if got := engine.CheckName(name); (got == nil) != want {
				t.Fatalf("the name %q with %U: %v, want it accepted: %v", name, r, got, want)
			}
		}
	}
}

func TestANameOfPlainASCIIIsCheckedWithoutAllocating(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = engine.CheckName("web-1.example.com") }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// Names that look alike are different names, and each is compared byte for byte.
func TestNamesAreComparedByteForByte(t *testing.T) {
	eng := engine.New(memstore.New())
	composed, decomposed := "caf\u00e9", "cafe\u0301"
	created, err := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{
		{Type: step.Script, Name: "copy", Targets: []string{composed, decomposed, "Cafe", "cafe"}},
		{Type: step.Confirmation, Name: "ask", Confirmers: []string{composed}},
	}}, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eng.OperateJob(t.Context(), created.Job, operation.StartJob, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	results := []engine.TargetResult{success(0), success(1), success(2), success(3)}
	if _, err := eng.Report(t.Context(), engine.Report{Job: created.Job, Step: 1, Attempt: 1, Results: results}); err != nil {
		t.Fatal(err)
	}
	if _, err := eng.Operate(t.Context(), created.Job, 2, operation.Confirm, engine.Request{By: decomposed}); !errors.Is(err, operation.NotConfirmer) {
		t.Errorf("Confirm by a name that looks like the confirmer's: %v, want it refused", err)
	}
	if _, err := eng.Operate(t.Context(), created.Job, 2, operation.Confirm, engine.Request{By: composed}); err != nil {
		t.Errorf("Confirm by the confirmer: %v", err)
	}
}

// Reasons, details and payloads are texts of any number of lines.
func TestTextsKeepWhatNamesMayNotHave(t *testing.T) {
	s := newSite(t)
	for _, text := range oddNames {
		_, err := s.eng.Create(t.Context(), engine.JobSpec{Name: "more", Steps: []step.Spec{
			{Type: step.Script, Name: "copy", Targets: []string{"a"}, Payload: text},
		}}, engine.Request{Because: text})
		if err != nil {
			t.Errorf("Create with the payload and the reason %q: %v", text, err)
		}
		if _, err := s.eng.Report(t.Context(), engine.Report{Job: s.blue, Step: 1, Attempt: 1, Reason: text, Results: []engine.TargetResult{
			{Target: 0, Result: store.Result{Status: step.TargetRunning, Detail: text}},
		}}); err != nil {
			t.Errorf("Report with the detail and the reason %q: %v", text, err)
		}
	}
}

// oneLine reports whether text stays on its line of a log, and reads as it is.
func oneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	})
}

// A refusal is one line, whatever texts of people and authorizers it contains.
func TestARefusalIsOneLine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom(oddNames), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		eng := engine.New(memstore.New(), engine.WithAuthorizer(func(context.Context, engine.Access) error {
			return errors.Join(errors.New(text.Draw(rt, "cause")), engine.Public(text.Draw(rt, "words")))
		}))
		_, denied := eng.Create(t.Context(), engine.JobSpec{Name: "job", Steps: []step.Spec{plain(step.Script, "copy")}}, engine.Request{})
		told := *denied.(*engine.Refusal)
		told.Actor = text.Draw(rt, "actor")
		unmarshalled := engine.Refusal{Reason: operation.Denied, Actor: told.Actor, Detail: told.Detail}
		for _, err := range []error{&told, &unmarshalled, &engine.Refusal{Reason: operation.NotConfirmer, Actor: told.Actor}} {
			if !oneLine(err.Error()) {
				rt.Fatalf("%q is no line of plain text", err)
			}
		}
		s := newSite(t)
		for _, err := range []error{
			refusalOf(s.eng.In(store.Scope{Type: text.Draw(rt, "type"), ID: text.Draw(rt, "id")}).Create(t.Context(), engine.JobSpec{Scope: blue}, engine.Request{})),
			refusalOf(s.eng.Create(t.Context(), engine.JobSpec{Name: text.Draw(rt, "name"), Steps: []step.Spec{{Type: step.Script, Name: text.Draw(rt, "step"), Targets: []string{text.Draw(rt, "target")}}}}, engine.Request{})),
		} {
			if err != nil && !oneLine(err.Error()) {
				rt.Fatalf("%q is no line of plain text", err)
			}
		}
	})
}

func refusalOf[T any](_ T, err error) error { return err }

// Plain names and words read in a message as they are.
func TestPlainNamesAreNotQuoted(t *testing.T) {
	for actor, want := range map[string]string{
		"bob": "bob", "Bob Smith": "Bob Smith", "böb": "böb", "": "the anonymous actor", "bob ": `"bob "`, "b\x1b[2Jb": `"b\x1b[2Jb"`, "\u202ebob": `"\u202ebob"`,
	} {
		r := engine.Refusal{Reason: operation.Denied, Cause: operation.Confirm.Cause(), Job: 1, Step: 2, Actor: actor, Detail: "ask ann"}
		if got, want := r.Error(), "job 1, step 2: confirm (6) denied to "+want+": ask ann"; got != want {
			t.Errorf("the refusal of %q reads %q, want %q", actor, got, want)
		}
	}
}

// Names of older jobs that no new job could have are read, and the jobs operated on.
func TestStoredNamesStayReadable(t *testing.T) {
	odd := "web-1\u202e\n"
	spec := engine.JobSpec{Name: "job", Steps: []step.Spec{{Type: step.Script, Name: "copy", Targets: []string{"a"}}}}
	d, err := engine.Decide(operation.Standard(), store.View{}, &engine.Create{Job: 7, Spec: spec}, now)
	if err != nil {
		t.Fatal(err)
	}
	old := d.Change
	old.Job.Name, old.Job.Scope = odd, store.Scope{Type: odd, ID: odd}
	old.Records[0].Actor, old.Steps[0].Name, old.Specs[0].Name, old.Specs[0].Targets[0] = odd, odd, odd, odd
	st := memstore.New()
	if err := st.Commit(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	eng := engine.New(st).In(store.Scope{Type: odd, ID: odd})
	if _, err := eng.OperateJob(t.Context(), 7, operation.StartJob, engine.Request{By: "ann"}); err != nil {
		t.Fatal(err)
	}
	if _, err := eng.Report(t.Context(), engine.Report{Job: 7, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}); err != nil {
		t.Fatal(err)
	}
	job, err := eng.Job(t.Context(), 7)
	if err != nil || job.Name != odd || job.State != step.Succeeded {
		t.Errorf("Job: %+v, %v, want its name and the end of it", job, err)
	}
	targets, err := eng.Targets(t.Context(), 7, 1, engine.TargetQuery{})
	if err != nil || len(targets) != 1 || targets[0].Name != odd {
		t.Errorf("Targets: %+v, %v, want the one of the odd name", targets, err)
	}
	if _, err := eng.Create(t.Context(), spec, engine.Request{}); !errors.Is(err, operation.InvalidInput) {
		t.Errorf("Create in the odd scope: %v, want it refused", err)
	}
}
