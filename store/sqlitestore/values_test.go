package sqlitestore_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Every record and every name reads as it was written, with any content.
func TestValuesAreKeptWhole(t *testing.T) {
	db := database(t, file(t), "")
	s := onto(t, db)
	number, states := rapid.Int32Range(0, math.MaxInt32), step.AllStates()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		empty(t, db)
		names := rapid.SliceOfN(rapid.String(), 1, 600).Draw(rt, "targets")
		spec := step.Spec{Type: step.Script, Name: rapid.String().Draw(rt, "name"), Targets: names, Payload: rapid.String().Draw(rt, "payload")}
		var want []store.Record
		for seq := range rapid.IntRange(1, 20).Draw(rt, "records") {
			r := store.Record{
				Job: 1, Seq: store.Seq(seq + 1),
				At:         step.Time(rapid.Int64().Draw(rt, "at")),
				Cause:      rapid.SampledFrom(step.AllCauses()).Filter(func(c step.Cause) bool { return c != step.Created }).Draw(rt, "cause"),
				Request:    uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "request")),
				Actor:      rapid.String().Draw(rt, "actor"),
				Reason:     rapid.String().Draw(rt, "reason"),
				Effect:     store.Effect(rapid.Uint8Range(0, 4).Draw(rt, "effect")),
				Step:       step.ID(number.Draw(rt, "step")),
				Entered:    step.ID(number.Draw(rt, "entered")),
				Attempt:    number.Draw(rt, "attempt"),
				Run:        store.Run{Full: number.Draw(rt, "full")},
				From:       rapid.SampledFrom(states).Draw(rt, "from"),
				To:         rapid.SampledFrom(states).Draw(rt, "to"),
				JobFrom:    rapid.SampledFrom(states).Draw(rt, "job from"),
				JobTo:      rapid.SampledFrom(states).Draw(rt, "job to"),
				Succeeded:  number.Draw(rt, "succeeded"),
				Unfinished: number.Draw(rt, "unfinished"),
				Results:    number.Draw(rt, "results"),
				Targets:    number.Draw(rt, "targets"),
			}
			if slices.ContainsFunc(want, func(w store.Record) bool { return w.Request == r.Request }) {
				r.Request = uuid.UUID{}
			}
			if r.Seq == 1 {
				r.Cause = step.Created
			}
			want = append(want, r)
			c := store.Change{Job: store.Job{ID: 1, State: r.JobTo, Version: r.Seq, Current: 1, Steps: 1, Updated: r.At}, Records: []store.Record{r}}
			if r.Seq == 1 {
				c.Specs, c.Steps = []step.Spec{spec}, []store.Step{store.NewStep(1, spec)}
			}
			if err := s.Commit(ctx, c); err != nil {
				rt.Fatalf("Commit(%+v): %v", c, err)
			}
		}
		got, err := s.History(ctx, store.Scope{}, 1, store.Page[store.Seq]{Limit: 100})
		if err != nil || !slices.Equal(got, want) {
			rt.Fatalf("History: %+v, %v\nwant %+v", got, err, want)
		}
		steps, err := s.Steps(ctx, store.Scope{}, 1, store.Page[step.ID]{Limit: 2})
		if err != nil || len(steps) != 1 || steps[0].Name != spec.Name {
			rt.Fatalf("Steps: %+v, %v, want one of name %q", steps, err, spec.Name)
		}
		details, err := s.Details(ctx, store.DetailQuery{Job: 1, Step: 1})
		if err != nil || details.Payload != spec.Payload {
			rt.Fatalf("Details: %+v, %v, want the payload %q", details, err, spec.Payload)
		}
		targets, err := s.Targets(ctx, store.TargetFilter{Job: 1, Step: 1, Page: store.Page[int32]{After: -1, Limit: 1000}})
		if err != nil || len(targets) != len(names) {
			rt.Fatalf("Targets: %d, %v, want %d", len(targets), err, len(names))
		}
		for i, name := range names {
			if targets[i].Name != name {
				rt.Fatalf("the name of target %d is %q, want %q", i, targets[i].Name, name)
			}
		}
	})
}

// Classes are told apart among more targets than a search reads the sets of at once.
func TestClassesOfManyTargets(t *testing.T) {
	const total = 17*4096 + 100 // 11*6001 lies beyond 16 sets
	spec := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, total)}
	for i := range spec.Targets {
		spec.Targets[i] = fmt.Sprint("host-", i)
	}
	st := store.NewStep(1, spec)
	st.State, st.Attempt, st.Run = step.Running, 1, store.FirstRun
	c := store.Change{
		Job: store.Job{ID: 1, State: step.Running, Version: 1, Current: 1, Steps: 1}, Specs: []step.Spec{spec}, Steps: []store.Step{st},
		Records: []store.Record{{Job: 1, Seq: 1, Cause: step.Created, JobTo: step.Running}},
	}
	want := map[store.Class][]int32{}
	for i := range int32(total) {
		x := store.Target{Index: i, Attempt: 1, Success: 1, Result: store.Result{Status: step.TargetSucceeded}}
		switch {
		case i%6001 == 0:
			want[store.UnfinishedTargets] = append(want[store.UnfinishedTargets], i)
			continue
		case i%6001 == 7:
			x.Success, x.Status = 0, step.TargetFailed
			want[store.FailedTargets] = append(want[store.FailedTargets], i)
		}
		c.Targets = append(c.Targets, x)
	}
	s := open(t, file(t))
	created := c
	created.Targets = nil
	c.Specs, c.Job.Version = nil, 2
	c.Records = []store.Record{{Job: 1, Seq: 2, Cause: step.Results, JobTo: step.Running}}
	for _, c := range []store.Change{created, c} {
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	want[store.DueTargets] = slices.Sorted(slices.Values(slices.Concat(want[store.FailedTargets], want[store.UnfinishedTargets])))
	for class, indices := range want {
		for _, limit := range []int{1, 3, total} {
			var got []int32
			for after := int32(-1); ; {
				page, err := s.Targets(t.Context(), store.TargetFilter{Job: 1, Step: 1, Class: class, Page: store.Page[int32]{After: after, Limit: limit}})
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range page {
					got = append(got, x.Index)
					if name := fmt.Sprint("host-", x.Index); x.Name != name {
						t.Fatalf("target %d is called %q, want %q", x.Index, x.Name, name)
					}
					after = x.Index
				}
				if len(page) < limit {
					break
				}
			}
			if !slices.Equal(got, indices) {
				t.Errorf("Targets of class %d, %d a page: got %v, want %v", class, limit, got, indices)
			}
		}
	}
}
