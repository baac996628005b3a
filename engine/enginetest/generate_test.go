package enginetest_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/engine/enginetest"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// view shows what deciding on a command needs of a snapshot.
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

// Under any rules, jobs can be created as they are drawn, and of the commands that are drawn
// for them none is invalid, some are refused, some are not, and all kinds come up.
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
			if current := s.Steps[s.Job.Current-1]; current.Deadline != 0 && current.Deadline <= now && (ofJob || call.Step != current.ID) {
				// One view does not show what the expiry leaves: the engine loads another.
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

// what says what made a record.
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
