package memstore_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/internal/jobkit"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) store.Store { return memstore.New() })
}

// Every record reads as it was written, with any values in its fields.
func TestRecordsAreKeptWhole(t *testing.T) {
	number, states := rapid.Int32Range(0, math.MaxInt32), step.AllStates()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		s := memstore.New()
		var want []store.Record
		for seq := range rapid.IntRange(1, 80).Draw(t, "records") {
			r := store.Record{
				Job: 1, Seq: store.Seq(seq + 1),
				At:         step.Time(rapid.Int64().Draw(t, "at")),
				Cause:      rapid.SampledFrom(step.AllCauses()).Filter(func(c step.Cause) bool { return c != step.Created }).Draw(t, "cause"),
				Request:    uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "request")),
				Actor:      rapid.String().Draw(t, "actor"),
				Reason:     rapid.String().Draw(t, "reason"),
				Effect:     store.Effect(rapid.Uint8Range(0, 4).Draw(t, "effect")),
				Step:       step.ID(number.Draw(t, "step")),
				Entered:    step.ID(number.Draw(t, "entered")),
				Attempt:    number.Draw(t, "attempt"),
				Run:        store.Run{Full: number.Draw(t, "full")},
				Before:     number.Draw(t, "before"),
				Mendable:   rapid.Bool().Draw(t, "mendable"),
				From:       rapid.SampledFrom(states).Draw(t, "from"),
				To:         rapid.SampledFrom(states).Draw(t, "to"),
				JobFrom:    rapid.SampledFrom(states).Draw(t, "job from"),
				JobTo:      rapid.SampledFrom(states).Draw(t, "job to"),
				Succeeded:  number.Draw(t, "succeeded"),
				Unfinished: number.Draw(t, "unfinished"),
				Results:    number.Draw(t, "results"),
				Targets:    number.Draw(t, "targets"),
			}
			if r.Seq == 1 {
				r.Cause = step.Created
			}
			if rapid.Bool().Draw(t, "batch") {
				r.Run.First = rapid.Int32Range(0, math.MaxInt32-1).Draw(t, "first")
				r.Run.End = rapid.Int32Range(r.Run.First+1, math.MaxInt32).Draw(t, "end")
			}
			if r.Entered != 0 && rapid.Bool().Draw(t, "gate") {
				r.Gate = store.Gate{
					Reason: rapid.SampledFrom(step.AllGateReasons()).Draw(t, "gate reason"),
					Then:   rapid.SampledFrom([]step.Do{step.Enter, step.RunDue, step.RunAll, step.RunNext, step.Ask}).Draw(t, "then"),
					Until:  step.Time(rapid.Int64Range(0, math.MaxInt64).Draw(t, "until")),
				}
			}
			want = append(want, r)
			c := store.Change{Job: store.Job{ID: 1, State: r.JobTo, Version: r.Seq, Current: 1, Steps: 1, Updated: r.At}, Records: []store.Record{r}}
			if r.Seq == 1 {
				c.Specs = []step.Spec{{Type: step.Confirmation, Name: "ok"}}
				c.Steps = []store.Step{store.NewStep(1, c.Specs[0])}
			}
			if err := s.Commit(ctx, c); err != nil {
				t.Fatalf("Commit(%+v): %v", c, err)
			}
			if v, err := s.View(ctx, store.Query{Job: 1, Request: r.Request}); err != nil || r.Request != (uuid.UUID{}) && v.Replay == nil {
				t.Fatalf("View by request %v of record %d, the last: %+v, %v", r.Request, r.Seq, v.Replay, err)
			}
		}
		got, err := s.History(ctx, store.Scope{}, 1, store.Page[store.Seq]{Limit: 100})
		if err != nil || len(got) != len(want) {
			t.Fatalf("History: %d records, %v, want %d", len(got), err, len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("record %d reads\n%+v, it was written as\n%+v", i+1, got[i], want[i])
			}
		}
		for _, r := range want {
			v, err := s.View(ctx, store.Query{Job: 1, Request: r.Request})
			if found := r.Request != (uuid.UUID{}); err != nil || found != (v.Replay != nil) || found && v.Replay.Request != r.Request {
				t.Fatalf("View by request %v: %+v, %v", r.Request, v.Replay, err)
			}
		}
	})
}

// A job keeps its steps apart from those of other jobs, however many it has.
func TestJobsOfEverySize(t *testing.T) {
	const most = 20
	s := memstore.New()
	for steps := range most {
		c := creation(store.JobID(steps+1), store.Scope{}, store.RequestID{}, steps+1)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for id := store.JobID(1); id <= most; id++ { // each step but the first has another attempt
		for i := range step.ID(id) {
			v, err := s.View(t.Context(), store.Query{Job: id, Step: i + 1})
			if err != nil {
				t.Fatal(err)
			}
			v.Job.Version++
			v.Step.Attempt = int32(100*id) + int32(i)
			c := store.Change{Job: v.Job, Steps: []store.Step{v.Step}, Records: []store.Record{{Job: id, Seq: v.Job.Version, Cause: step.Results, JobTo: step.Pending}}}
			if err := s.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for id := store.JobID(1); id <= most; id++ {
		got, err := s.Steps(t.Context(), store.Scope{}, id, store.Page[step.ID]{Limit: most + 1})
		if err != nil || len(got) != int(id) {
			t.Fatalf("job %d has %d steps, %v, want %d", id, len(got), err, id)
		}
		for i, st := range got {
			if want := int32(100*int(id) + i); st.Attempt != want || st.Name != fmt.Sprint("step-", i) {
				t.Errorf("job %d: step %d is %q in attempt %d, want attempt %d", id, i+1, st.Name, st.Attempt, want)
			}
		}
	}
}

// creation returns the change that creates a job.
func creation(id store.JobID, scope store.Scope, request store.RequestID, steps int) store.Change {
	c := store.Change{
		Job:     store.Job{ID: id, Scope: scope, State: step.Pending, Version: 1, Current: 1, Steps: int32(steps)},
		Records: []store.Record{{Job: id, Seq: 1, Cause: step.Created, Request: request, JobTo: step.Pending}},
	}
	for i := range steps {
		spec := step.Spec{Type: step.Confirmation, Name: fmt.Sprint("step-", i)}
		c.Specs, c.Steps = append(c.Specs, spec), append(c.Steps, store.NewStep(step.ID(i+1), spec))
	}
	return c
}

// One request makes a job in each of any number of scopes, once, and each scope finds its own.
func TestARequestOfManyScopes(t *testing.T) {
	s := memstore.New()
	request := uuid.UUID{15: 7}
	scopes := []store.Scope{{Type: "biz", ID: "1"}, {}, {Type: "biz", ID: "2"}, {Type: "biz", ID: "3"}}
	for round, want := range []error{nil, store.ErrConflict} {
		for i, scope := range scopes {
			c := creation(store.JobID(100*round+i+1), scope, request, 1)
			if err := s.Commit(t.Context(), c); err != want {
				t.Fatalf("round %d: creation in %v: %v, want %v", round, scope, err, want)
			}
		}
		for i, scope := range scopes {
			if got, err := s.Created(t.Context(), scope, request); err != nil || got.Job != store.JobID(i+1) {
				t.Errorf("round %d: Created in %v: job %d, %v, want job %d", round, scope, got.Job, err, i+1)
			}
		}
	}
	if _, err := s.Created(t.Context(), store.Scope{Type: "biz", ID: "4"}, request); err != store.ErrNotFound {
		t.Errorf("Created in a scope that has not made the request: %v, want %v", err, store.ErrNotFound)
	}
}

// More jobs than a block of ids holds come in order, page by page, either way.
func TestJobsOfManyBlocksComeInOrder(t *testing.T) {
	const jobs, stride = 1500, 977 // they have no divisor in common: every id comes once, in no order
	spec := step.Spec{Type: step.Confirmation, Name: "ok"}
	created := store.Change{
		Job: store.Job{State: step.Pending, Version: 1, Current: 1, Steps: 1}, Specs: []step.Spec{spec}, Steps: []store.Step{store.NewStep(1, spec)},
	}
	s := memstore.New()
	for i := range jobs {
		id := store.JobID(i*stride%jobs + 1)
		c := created
		c.Job.ID, c.Records = id, []store.Record{{Job: id, Seq: 1, Cause: step.Created, JobTo: step.Pending}}
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 100, 511, 512, 513, 2000} {
		for _, newest := range []bool{false, true} {
			f := store.JobFilter{Newest: newest, Page: store.Page[store.JobID]{Limit: limit}}
			for n := 0; n < jobs; {
				page, err := s.Jobs(t.Context(), f)
				if err != nil || len(page) != min(limit, jobs-n) {
					t.Fatalf("Jobs(%+v): %d jobs, %v, want %d", f, len(page), err, min(limit, jobs-n))
				}
				for _, j := range page {
					want := store.JobID(n + 1)
					if newest {
						want = store.JobID(jobs - n)
					}
					if j.ID != want {
						t.Fatalf("Jobs(%+v): job %d in place %d, want job %d", f, j.ID, n, want)
					}
					n++
				}
				f.Page.After = page[len(page)-1].ID
			}
		}
	}
}

// What does it cost to find the 100 due targets of a million?
func BenchmarkDueTargets(b *testing.B) {
	for _, targets := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("targets=%d", targets), func(b *testing.B) {
			s := memstore.New()
			spec := step.Spec{Type: step.Script, Name: "run", Targets: make([]string, targets)}
			st := store.NewStep(1, spec)
			st.State, st.Attempt, st.Run = step.Failed, 1, store.FirstRun
			c := store.Change{
				Job: store.Job{ID: 1, State: step.Failed, Version: 1, Current: 1, Steps: 1}, Specs: []step.Spec{spec}, Steps: []store.Step{st},
				Records: []store.Record{{Job: 1, Seq: 1, Cause: step.Created, JobTo: step.Failed}},
			}
			for i := range targets {
				t := store.Target{Index: int32(i), Attempt: 1, Result: store.Result{Status: step.TargetFailed}}
				if i%(targets/100) != 0 {
					t.Success, t.Status = 1, step.TargetSucceeded
				}
				c.Targets = append(c.Targets, t)
			}
			created := c
			created.Targets = nil
			c.Specs, c.Job.Version = nil, 2
			c.Records = []store.Record{{Job: 1, Seq: 2, Cause: step.Results, JobTo: step.Failed}}
			for _, c := range []store.Change{created, c} {
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
			f := store.TargetFilter{Job: 1, Step: 1, Class: store.DueTargets, Page: store.Page[int32]{After: -1, Limit: 1000}}
			b.ReportAllocs()
			for b.Loop() {
				if due, err := s.Targets(b.Context(), f); err != nil || len(due) != 100 {
					b.Fatalf("%d due, %v, want 100", len(due), err)
				}
			}
		})
	}
}

// What does a claim cost beside effects that it does not select?
func BenchmarkClaim(b *testing.B) {
	jobkit.BenchmarkClaims(b, func(b *testing.B) (store.Store, func(step.Type, store.Scope)) {
		s := memstore.New()
		return s, func(typ step.Type, scope store.Scope) {
			spec := jobkit.Running(scope, 1, 1)
			spec.Steps[0].Type = typ
			jobkit.StartMany(b, engine.New(s), jobkit.Foreign, spec)
		}
	})
}
