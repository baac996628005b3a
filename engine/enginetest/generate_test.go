package enginetest_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// view returns the part of a snapshot that a decision on a command needs.
func view(s enginetest.Snapshot, id step.ID) store.View {
	v := store.View{Job: s.Job, Step: s.Steps[id-1], Targets: s.Targets[id-1]}
	if int(id) < len(s.Steps) {
		v.Next = s.Steps[id]
	}
	return v
}

// pending returns a job as it is created.
func pending(t *rapid.T, rules *operation.Rules) enginetest.Snapshot {
	spec := enginetest.Jobs(rules).Draw(t, "job")
	d, err := engine.Decide(rules, store.View{}, &engine.Create{Job: 1, Spec: spec}, 1)
	if err != nil {
		t.Fatalf("Create(%+v): %v", spec, err)
	}
	s := enginetest.Snapshot{Rules: rules, Spec: spec, Job: d.Change.Job, Steps: d.Change.Steps, History: d.Change.Records}
	for _, defined := range spec.Steps {
		var targets []store.Target
		for i, name := range defined.Targets {
			targets = append(targets, store.Target{Index: int32(i), Name: name})
		}
		s.Targets = append(s.Targets, targets)
	}
	return s
}

// Under any rules, the drawn jobs can be created. None of the commands drawn for them is invalid, some are
// refused, some pass, and all kinds occur.
func TestGenerators(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		rules := operation.Standard()
		if rapid.Bool().Draw(t, "other rules") {
			rules = enginetest.Rules().Draw(t, "rules")
			if len(operation.Diff(operation.Standard(), rules)) > 0 {
				seen["rules that differ"]++
			}
		}
		s := pending(t, rules)
		now := step.Time(1)
		play := func(call enginetest.Call) {
			d, err := engine.Decide(rules, view(s, call.Step), call.Command, now)
			var refusal *engine.Refusal
			switch {
			case errors.As(err, &refusal) && refusal.Reason != operation.InvalidInput:
				seen["refused"]++
				return
			case err != nil:
				t.Fatalf("%+v is never accepted: %v", call, err)
			case !d.Changes():
				return
			}
			seen["accepted"]++
			for _, r := range d.Change.Records {
				seen[what(&r)]++
			}
			s.Job = d.Change.Job
			for _, changed := range d.Change.Steps {
				s.Steps[changed.ID-1] = changed
			}
			for _, changed := range d.Change.Targets {
				changed.Name = s.Targets[call.Step-1][changed.Index].Name
				s.Targets[call.Step-1][changed.Index] = changed
			}
			for _, b := range d.Change.Batches {
				i := slices.IndexFunc(s.Batches, func(was store.Batch) bool { return was.Step == b.Step && was.Number == b.Number })
				if i < 0 {
					s.Batches = append(s.Batches, b)
					continue
				}
				b.Since, b.Started = s.Batches[i].Since, s.Batches[i].Started // which count when the row is new
				s.Batches[i] = b
			}
			s.History = append(s.History, d.Change.Records...)
			if err := s.Check(); err != nil {
				t.Fatalf("after %+v: %v", call, err)
			}
		}
		for range 20 {
			now = now.Add(8 * time.Second)
			call := enginetest.Commands(s).Draw(t, "command")
			op, ok := call.Command.(*engine.Operate)
			ofJob := ok && op.Cause.OfJob()
			for overdue(&s, now) && (ofJob || call.Step != s.Job.Current) {
				// One view does not have the state after the expiry: the engine loads another.
				current := s.Steps[s.Job.Current-1]
				play(enginetest.Call{Step: current.ID, Command: &engine.Expire{Job: s.Job.ID, Step: current.ID, Attempt: current.Attempt}})
				if ofJob {
					call.Step = s.Job.Current
				}
			}
			play(call)
		}
	})
	t.Log(seen)
	if all := seen["accepted"] + seen["refused"]; seen["accepted"] < all/3 || seen["refused"] < all/10 {
		t.Errorf("of %d commands %d were accepted and %d refused", all, seen["accepted"], seen["refused"])
	}
	for _, kind := range []string{"on a step", "on the job", "by report", "by time", "rules that differ"} {
		if seen[kind] < seen["accepted"]/200 {
			t.Errorf("in %d accepted commands %q came up %d times", seen["accepted"], kind, seen[kind])
		}
	}
}

// overdue reports whether a deadline of the current step has passed.
func overdue(s *enginetest.Snapshot, now step.Time) bool {
	current := &s.Steps[s.Job.Current-1]
	passed := func(deadline step.Time) bool { return deadline != 0 && deadline <= now }
	return current.State.Active() && (passed(current.Deadline) || passed(current.Expires) ||
		passed(s.Job.Deadline) && current.State != step.Terminating)
}

// what names the cause of a record.
func what(r *store.Record) string {
	switch {
	case r.Cause.OfStep():
		return "on a step"
	case r.Cause.OfJob():
		return "on the job"
	case r.Cause == step.Expired || r.Cause == step.ExpiredConfirmed:
		return "by time"
	}
	return "by report"
}
