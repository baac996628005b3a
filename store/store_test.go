package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/internal/enum"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// The names and numbers of effects are what stores keep: they never change. No effect is the
// empty text, and its old name is still read.
func TestAlphabet(t *testing.T) {
	for number, name := range []string{"none", "run", "stop", "ask", "job_ended"} {
		effect, want := store.Effect(number), name
		if number == 0 {
			want = ""
		}
		var back, named store.Effect
		text, err := effect.MarshalText()
		if err != nil || string(text) != want || back.UnmarshalText(text) != nil || back != effect || !back.Valid() || back.String() != name {
			t.Errorf("effect %d: %q, %v, and back %d, want %q", number, text, err, back, want)
		}
		if err := named.UnmarshalText([]byte(name)); err != nil || named != effect {
			t.Errorf("effect %q reads as %d and error %v, want %d", name, named, err, number)
		}
	}
	var unknown *enum.UnknownError
	if store.Effect(5).Valid() || !errors.As(new(store.Effect).UnmarshalText([]byte("5")), &unknown) {
		t.Error("effect 5 is known")
	}
}

// A record reads as JSON what it was written as.
func TestRecordJSON(t *testing.T) {
	for _, want := range []store.Record{
		{Job: 1, Seq: 1, At: 5, Cause: step.Created, Actor: "ann", JobTo: step.Pending},
		{
			Job: 1, Seq: 2, At: 6, Cause: operation.RetryFailed.Cause(), Request: uuid.MustParse("0198c0de-0000-7000-8000-000000000001"), Actor: "ann",
			Reason: "because", Step: 1, Attempt: 2, From: step.Failed, To: step.Running,
			JobFrom: step.Failed, JobTo: step.Running, Succeeded: 3, Unfinished: 1, Targets: 1, Effect: store.RunTargets,
		},
		{
			Job: 1, Seq: 3, At: 7, Cause: step.AllSucceeded, Step: 1, Entered: 2, Attempt: 2, Run: store.FirstRun,
			From: step.Running, To: step.Succeeded, JobFrom: step.Running, JobTo: step.Waiting, Results: 1, Effect: store.AskConfirmers,
		},
	} {
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got store.Record
		if err := json.Unmarshal(data, &got); err != nil || got != want {
			t.Errorf("%s reads\n%+v, %v, it was written as\n%+v", data, got, err, want)
		}
	}
}

// A record moves its job unless it is of results alone or of an effect, even if all states stay the same:
// a request from before a vote, or before an attempt that starts over, was made on another state. A hold
// and its end, a seal, a comment, and a stop before a step are told by the header, the step or the record, and
// move nothing.
func TestMoves(t *testing.T) {
	for _, cause := range slices.Concat(step.AllCauses(), []step.Cause{32, step.JobCause(63)}) {
		counts := cause != step.Results && cause != step.GivenUp && cause != step.Hurried
		same := store.Record{Cause: cause, From: step.Waiting, To: step.Waiting, JobFrom: step.Waiting, JobTo: step.Waiting}
		moves := func(what string, want bool, f func(r *store.Record)) {
			r := same
			if f(&r); r.Moves() != want {
				t.Errorf("a record of %v, %s, moves its job: %v, want %v", cause, what, r.Moves(), want)
			}
		}
		moves("in which all stays", counts && !cause.OfJob(), func(*store.Record) {})
		moves("of a pending step", false, func(r *store.Record) { r.From, r.To = step.Pending, step.Pending })
		moves("of an ended job", counts && !cause.OfJob(), func(r *store.Record) { r.JobFrom, r.JobTo = step.Failed, step.Failed })
		moves("of another step state", counts, func(r *store.Record) { r.To = step.Succeeded })
		moves("of another job state", counts, func(r *store.Record) { r.JobTo = step.Running })
		moves("with an effect", counts, func(r *store.Record) { r.Effect = store.AskConfirmers })
		moves("with a gate", counts, func(r *store.Record) { r.Gate.Reason = step.HoldGate })
	}
}

func TestScopeHolds(t *testing.T) {
	ours, theirs := store.Scope{Type: "biz", ID: "2"}, store.Scope{Type: "biz_set", ID: "2"}
	for _, c := range []struct {
		read, job store.Scope
		want      bool
	}{{store.Scope{}, ours, true}, {ours, ours, true}, {ours, theirs, false}, {ours, store.Scope{}, false}} {
		if got := c.read.Holds(c.job); got != c.want {
			t.Errorf("%v.Holds(%v) = %v, want %v", c.read, c.job, got, c.want)
		}
	}
}

func TestNewStepSharesNothing(t *testing.T) {
	spec := step.Spec{Type: step.Confirmation, Name: "ok", Confirmers: []string{"ann"}, Timeout: time.Minute, OnTimeout: step.ConfirmOnTimeout}
	s := store.NewStep(3, spec)
	spec.Confirmers[0] = "eve"
	if s.ID != 3 || s.State != step.Pending || !s.Confirmers.Has("ann") || s.Timeout != time.Minute || s.OnTimeout != step.ConfirmOnTimeout {
		t.Errorf("NewStep: %+v, want what was defined", s)
	}
	if s := store.NewStep(1, step.Spec{Targets: []string{"a", "b"}}); s.Total != 2 {
		t.Errorf("NewStep of two targets: got a total of %d", s.Total)
	}
}

// ASCII letters of a name match in either case, all else byte for byte.
func TestNamed(t *testing.T) {
	for _, c := range []struct {
		search, name string
		want         bool
	}{
		{"LEASE", "Release 1.4", true}, {"release", "RELEASE", true}, {"azAZ", "AZaz", true},
		{"\u00c9lan", "\u00c9LAN", true}, {"\u00e9lan", "\u00c9lan", false}, {"@[`{", "`{@[", false}, {"x", "release", false},
	} {
		if got := (store.JobFilter{Name: c.search}).Named(c.name); got != c.want {
			t.Errorf("JobFilter{Name: %q}.Named(%q): got %v, want %v", c.search, c.name, got, c.want)
		}
	}
}

// Every class of every kind of target in batches, by hand. The step is in its sixth attempt and its third
// batch. All targets of the first batch ran last in attempt 1, of the second in 3, of the third in 5; a
// fourth has not begun.
func TestClassOfBatches(t *testing.T) {
	s := store.Step{Total: 8, Attempt: 6, Batch: 3, Run: store.Run{Full: 5, First: 4, End: 6}}
	batches := []store.Batch{{Number: 1, First: 0, End: 2, Full: 1}, {Number: 2, First: 2, End: 4, Full: 3}, {Number: 3, First: 4, End: 6, Full: 5}}
	done, failed := store.Result{Status: step.TargetSucceeded}, store.Result{Status: step.NonZeroExit}
	for _, c := range []struct {
		what   string
		target store.Target
		in     string // Due, Unfinished, Failed, Succeeded
	}{
		{"succeeded in the first batch", store.Target{Index: 0, Attempt: 1, Success: 1, Result: done}, "S"},
		{"failed in the first batch", store.Target{Index: 1, Attempt: 1, Result: failed}, "F"},
		{"never finished in the second batch", store.Target{Index: 2}, "F"},
		{"succeeded in the second batch before all had to run again", store.Target{Index: 3, Attempt: 2, Success: 2, Result: done}, "F"},
		{"succeeded in the second batch, at the end of it", store.Target{Index: 3, Attempt: 4, Success: 4, Result: done}, "S"},
		{"never reported in the third batch", store.Target{Index: 4}, "DU"},
		{"failed in this attempt", store.Target{Index: 5, Attempt: 6, Result: failed}, "DF"},
		{"succeeded in this attempt", store.Target{Index: 5, Attempt: 6, Success: 6, Result: done}, "S"},
		{"is of a batch that has not begun", store.Target{Index: 6}, ""},
	} {
		for class, letter := range map[store.Class]string{store.DueTargets: "D", store.UnfinishedTargets: "U", store.FailedTargets: "F", store.SucceededTargets: "S"} {
			if got, want := class.Holds(s, batches, c.target), strings.Contains(c.in, letter); got != want {
				t.Errorf("class %s of a target that %s: %v, want %v", letter, c.what, got, want)
			}
		}
		if !store.AllTargets.Holds(s, batches, c.target) || store.Class(9).Holds(s, batches, c.target) {
			t.Errorf("a target that %s is not among all, or in a class that there is not", c.what)
		}
	}
	if number, run, ok := s.RunOf(batches, 3); number != 2 || run != (store.Run{Full: 3, First: 2, End: 4}) || !ok {
		t.Errorf("RunOf target 3: got batch %d, run %+v, %t, want batch 2 with its run", number, run, ok)
	}
	if _, run, ok := s.RunOf(batches[2:], 3); ok {
		t.Errorf("RunOf target 3 without the row of its batch: got %+v, want none", run)
	}
}

// Every class of every kind of target, by hand. The step is in its third attempt, and the
// second was the last that covered all targets.
func TestClass(t *testing.T) {
	s := store.Step{Attempt: 3, Run: store.Run{Full: 2}, Total: 6, Succeeded: 2, Unfinished: 3}
	done, failed, running := store.Result{Status: step.TargetSucceeded}, store.Result{Status: step.NonZeroExit}, store.Result{Status: step.TargetRunning}
	for _, c := range []struct {
		what   string
		target store.Target
		in     string // Due, Unfinished, Failed, Succeeded
	}{
		{"never reported", store.Target{}, "DU"},
		{"succeeded before all had to run again", store.Target{Attempt: 1, Success: 1, Result: done}, "DU"},
		{"succeeded since", store.Target{Attempt: 2, Success: 2, Result: done}, "S"},
		{"succeeded in this attempt", store.Target{Attempt: 3, Success: 3, Result: done}, "S"},
		{"failed in the last attempt", store.Target{Attempt: 2, Result: failed}, "DU"},
		{"failed in this attempt", store.Target{Attempt: 3, Result: failed}, "DF"},
		{"runs in this attempt", store.Target{Attempt: 3, Result: running}, "DU"},
	} {
		for class, letter := range map[store.Class]string{store.DueTargets: "D", store.UnfinishedTargets: "U", store.FailedTargets: "F", store.SucceededTargets: "S"} {
			if got, want := class.Holds(s, nil, c.target), strings.Contains(c.in, letter); got != want {
				t.Errorf("class %s of a target that %s: %v, want %v", letter, c.what, got, want)
			}
		}
		if !store.AllTargets.Holds(s, nil, c.target) || store.Class(9).Holds(s, nil, c.target) {
			t.Errorf("a target that %s is not among all, or in a class that there is not", c.what)
		}
		if store.DueTargets.Holds(store.Step{}, nil, c.target) || !store.AllTargets.Holds(store.Step{}, nil, c.target) {
			t.Errorf("a target of a step that was never entered is due, or not among all")
		}
	}
	if got := s.Failed(); got != 1 {
		t.Errorf("Failed() = %d, want 1", got)
	}
	if got := (store.Step{Total: 3}).Failed(); got != 0 {
		t.Errorf("Failed() before the first attempt = %d, want 0", got)
	}
}

// A record's effect is about the step that it entered, or else about its own, and has all fields of its
// delivery.
func TestDelivery(t *testing.T) {
	scope := store.Scope{Type: "biz", ID: "2"}
	r := store.Record{Job: 7, Seq: 4, At: 9, Cause: step.JobCause(2), Actor: "ann", Reason: "again", Step: 1, Attempt: 3, Run: store.Run{Full: 2}, JobTo: step.Running, Effect: store.RunTargets}
	want := store.Delivery{Job: 7, Seq: 4, Scope: scope, Effect: store.RunTargets, Step: 1, Type: step.SQL, Attempt: 3, Run: store.Run{Full: 2}, At: 9, Cause: step.JobCause(2), Actor: "ann", Reason: "again"}
	c := store.Change{Job: store.Job{ID: 7, Scope: scope}, Steps: []store.Step{{ID: 1, Type: step.SQL}, {ID: 2, Type: step.Script}}}
	if got, ok := c.Delivery(&r); !ok || got != want {
		t.Errorf("Delivery of a retry: %+v, want %+v", got, want)
	}
	r.Entered = 2
	want.Step, want.Type, want.Attempt, want.Run = 2, step.Script, 1, store.FirstRun
	if got, ok := c.Delivery(&r); !ok || got != want {
		t.Errorf("Delivery of an entry: %+v, want %+v", got, want)
	}
	c.Steps[1].Total, c.Steps[1].Policy = 50, &step.Policy{Rolling: step.Rolling{Batches: "10%"}}
	want.Run.End = 5
	if got, ok := c.Delivery(&r); !ok || got != want {
		t.Errorf("Delivery of an entry of a step with batches: %+v, want %+v, the first batch", got, want)
	}
	r = store.Record{Job: 7, Seq: 5, Step: 2, Attempt: 1, JobTo: step.Failed, Effect: store.JobEnded}
	if got, ok := c.Delivery(&r); !ok || got.JobTo != step.Failed || got.Step != 2 || got.Type != step.Script {
		t.Errorf("Delivery of an end: %+v, want it to name the state", got)
	}
	if got, ok := c.Delivery(&store.Record{Seq: 6}); ok {
		t.Errorf("Delivery of a record without effect: %+v, want none", got)
	}
}

// A delivery's token stays with the caller of its claim.
func TestDeliveryJSON(t *testing.T) {
	text, err := json.Marshal(store.Delivery{Job: 7, Token: store.Token{0xab, 0xcd}})
	if err != nil || strings.Contains(strings.ToLower(string(text)), "abcd") || strings.Contains(strings.ToLower(string(text)), "token") {
		t.Errorf("Marshal: got %s and error %v, want no token in it", text, err)
	}
}

func ExampleChange_Base() {
	c := store.Change{Job: store.Job{Version: 8}, Records: []store.Record{{Seq: 7}, {Seq: 8}}}
	fmt.Println("decided on version", c.Base())
	// Output: decided on version 6
}

// A store that continues with a clone does not see the caller's changes of the original.
func TestCloneSharesNothing(t *testing.T) {
	fresh := func() store.Change {
		return store.Change{
			Job:     store.Job{ID: 1, Version: 1},
			Specs:   []step.Spec{{Name: "a", Targets: []string{"host"}}, {Name: "b", Confirmers: []string{"ann"}}},
			Steps:   []store.Step{{ID: 1, Name: "a"}},
			Targets: []store.Target{{Index: 0, Attempt: 1}},
			Records: []store.Record{{Job: 1, Seq: 1}},
		}
	}
	c := fresh()
	clone := c.Clone()
	c.Specs[0].Targets[0], c.Specs[1].Confirmers[0] = "changed", "changed"
	c.Specs[0].Name, c.Steps[0].Name, c.Targets[0].Attempt, c.Records[0].Seq = "changed", "changed", 2, 2
	if want := fresh(); !reflect.DeepEqual(clone, want) {
		t.Errorf("the clone after its original has changed:\n got %+v\nwant %+v", clone, want)
	}
	if empty := (store.Change{}).Clone(); !reflect.DeepEqual(empty, store.Change{}) {
		t.Errorf("the clone of nothing: got %+v", empty)
	}
}

// After returns a view with a change applied, and shares no memory with either.
func TestViewAfter(t *testing.T) {
	v := store.View{
		Job: store.Job{ID: 1, Version: 4, Current: 1}, Step: store.Step{ID: 1, State: step.Running}, Next: store.Step{ID: 2, State: step.Pending},
		Targets: []store.Target{{Index: 7}, {Index: 3, Attempt: 1}}, Replay: &store.Record{Seq: 2},
	}
	ended := store.Target{Index: 3, Attempt: 2, Result: store.Result{Status: step.TargetFailed}}
	c := store.Change{
		Job:   store.Job{ID: 1, Version: 5, Current: 2},
		Steps: []store.Step{{ID: 1, State: step.Skipped}, {ID: 2, State: step.Running}, {ID: 9}}, Targets: []store.Target{ended, {Index: 8}},
	}
	want := store.View{Job: c.Job, Step: c.Steps[0], Next: c.Steps[1], Targets: []store.Target{{Index: 7}, ended}, Replay: v.Replay}
	got := v.After(c)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("After: got %+v, want %+v", got, want)
	}
	if got.Targets[0].Name = "scribbled"; v.Targets[0].Name != "" || v.Targets[1].Attempt != 1 {
		t.Errorf("the view after a write to what After returned: %+v", v.Targets)
	}
	c.Steps = c.Steps[1:] // the targets are those of step 2 now, which v does not show
	if got := v.After(c); got.Step != v.Step || got.Next != c.Steps[0] || !reflect.DeepEqual(got.Targets, v.Targets) {
		t.Errorf("After a change of the next step's targets: got %+v", got)
	}
}
