package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/storetest"
)

// manyJobs starts jobs of one script. Every tenth has ended.
func manyJobs(eng *engine.Engine, n int) (jobs []store.JobID) {
	for i := range n {
		job := deploy(eng, jobOf(step.Spec{Type: step.Script, Name: "run", Targets: []string{"a"}}))
		if i%10 == 0 {
			must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: 1, Results: []engine.TargetResult{success(0)}}))
		}
		jobs = append(jobs, job)
	}
	return jobs
}

var terminateAll = engine.Bulk{ID: uuid.UUID{7}, Cause: operation.TerminateJob.Cause(), By: "ann", Because: "wrong release"}

// [G.3.6] 10,000 terminations are killed half-way and repeated: each job is terminated once, those that have
// ended are refused with their state, and every job has its answer.
func TestBulkKilledAndRepeated(t *testing.T) {
	eng := engine.New(memstore.New())
	jobs := manyJobs(eng, 10_000)
	dying, die := context.WithCancel(ctx)
	defer die()
	answered := 0
	for range must(eng.Bulk(dying, terminateAll, jobs)) {
		if answered++; answered == 5_000 {
			die()
		}
	}
	if answered < 5_000 || answered == len(jobs) {
		t.Fatalf("%d answers before it died, want about half", answered)
	}
	done, refused := map[store.JobID]store.Record{}, 0
	for a := range must(eng.Bulk(ctx, terminateAll, jobs)) {
		var r *engine.Refusal
		switch {
		case a.Err == nil:
			done[a.Job] = a.Record
		case errors.As(a.Err, &r) && r.Reason == operation.WrongState && r.JobState == step.Succeeded:
			refused++
		default:
			t.Fatalf("job %d: %v", a.Job, a.Err)
		}
	}
	if len(done) != 9_000 || refused != 1_000 {
		t.Errorf("%d done and %d refused, want 9000 and 1000", len(done), refused)
	}
	for job, rec := range done {
		history := must(eng.History(ctx, job, 0, 0))
		if n := len(history); n != 3 || history[2] != rec {
			t.Fatalf("job %d has %d records, the last %+v, and was answered with %+v", job, n, history[n-1], rec)
		}
	}
}

// Commits whose answers get lost are found out, and never repeated: each job is terminated once.
func TestBulkOnAStoreThatFails(t *testing.T) {
	faults := storetest.NewFaults(memstore.New())
	eng := engine.New(faults)
	jobs := manyJobs(eng, 100)
	faults.Add(storetest.Fault{Method: storetest.Commit, Forever: true, After: true, Err: errors.New("the connection broke")})
	for a := range must(eng.Bulk(ctx, terminateAll, jobs)) {
		if a.Err != nil && !errors.Is(a.Err, operation.WrongState) && !errors.Is(a.Err, engine.ErrUnknownOutcome) {
			t.Errorf("job %d: %v", a.Job, a.Err)
		}
	}
	faults.Clear()
	for a := range must(eng.Bulk(ctx, terminateAll, jobs)) {
		if a.Err != nil && !errors.Is(a.Err, operation.WrongState) || a.Err == nil && a.Record.Seq != 3 {
			t.Errorf("job %d: %+v, %v", a.Job, a.Record, a.Err)
		}
	}
}

// [G.3.7] The list is that of the call: what the caller does with it afterwards, and jobs that come later,
// do not matter. An operation on steps meets the current one, and in a repetition the one of the first call.
func TestBulkOnSteps(t *testing.T) {
	eng := engine.New(memstore.New())
	jobs := []store.JobID{failedRelease(eng), failedRelease(eng)}
	ignore := engine.Bulk{ID: uuid.UUID{8}, Cause: operation.IgnoreError.Cause(), By: "ann"}
	answers := must(eng.Bulk(ctx, ignore, jobs))
	later := failedRelease(eng)
	given := slices.Clone(jobs)
	jobs[0] = later
	first := map[store.JobID]store.Record{}
	for a := range answers {
		first[a.Job] = a.Record
		if a.Err != nil || a.Record.Step != 2 || a.Record.Entered != 3 {
			t.Errorf("job %d: %+v, %v", a.Job, a.Record, a.Err)
		}
	}
	for a := range must(eng.Bulk(ctx, ignore, given)) {
		if a.Err != nil || a.Record != first[a.Job] {
			t.Errorf("again, job %d: %+v, %v; want %+v", a.Job, a.Record, a.Err, first[a.Job])
		}
	}
	if s := must(eng.Job(ctx, later)); s.State != step.Failed || len(first) != 2 {
		t.Errorf("the job that came later is %v, and %d were answered", s.State, len(first))
	}
}

// A dry run changes nothing, and answers as the run would.
func TestBulkRunDry(t *testing.T) {
	eng := engine.New(memstore.New())
	jobs := append(manyJobs(eng, 20), 1) // which does not exist
	dry := terminateAll
	dry.DryRun = true
	reasons := map[operation.Reason]int{}
	for a := range must(eng.Bulk(ctx, dry, jobs)) {
		var r *engine.Refusal
		if errors.As(a.Err, &r) {
			reasons[r.Reason]++
		} else if a.Err != nil || a.Record.To != step.Terminating || a.Record.Seq != 0 {
			t.Errorf("job %d: %+v, %v", a.Job, a.Record, a.Err)
		}
	}
	if reasons[operation.WrongState] != 2 || reasons[operation.NoSuchJob] != 1 {
		t.Errorf("refused: %v", reasons)
	}
	if n := must(eng.Counts(ctx, 100))[step.Running]; n != 18 {
		t.Errorf("%d jobs run on, want 18", n)
	}
}

// The rate holds whatever the number of jobs at once, and a bulk of no sense is refused as a whole.
func TestBulkRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := engine.New(memstore.New())
		jobs := manyJobs(eng, 11)
		slow := terminateAll
		slow.Every = time.Second
		began := time.Now()
		for range must(eng.Bulk(t.Context(), slow, jobs)) {
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("11 jobs, one a second, took %v", took)
		}
	})
	eng := engine.New(memstore.New())
	for field, b := range map[string]engine.Bulk{
		"id": {Cause: 1}, "at_once": {ID: uuid.UUID{1}, AtOnce: 257}, "every": {ID: uuid.UUID{1}, Every: -1},
		"code": {ID: uuid.UUID{1}, Cause: step.Created}, "actor": {ID: uuid.UUID{1}, Cause: operation.TerminateJob.Cause(), By: "\n"},
	} {
		var r *engine.Refusal
		if _, err := eng.Bulk(ctx, b, nil); !errors.As(err, &r) || r.Field != field {
			t.Errorf("%+v: %v, want invalid %s", b, err, field)
		}
	}
}

// Ann terminates all jobs that run. She keeps the list and the id, and could repeat the call.
func ExampleEngine_Bulk() {
	eng := engine.New(memstore.New())
	manyJobs(eng, 5)
	var list []store.JobID
	for _, j := range must(eng.Jobs(ctx, engine.JobQuery{States: step.StatesOf(step.Running)})) {
		list = append(list, j.ID)
	}
	answers, err := eng.Bulk(ctx, engine.Bulk{ID: uuid.New(), Cause: operation.TerminateJob.Cause(), By: "ann"}, list)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := 0
	for a := range answers {
		if a.Err == nil {
			done++
		}
	}
	fmt.Println(done, "of", len(list), "are terminating")
	// Output: 4 of 4 are terminating
}
