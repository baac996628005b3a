package recipes

import (
	"context"
	"fmt"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// rollout runs a step on a tenth of its hosts. When a person has looked at them and continues, the rest
// follows. 2% of all hosts may fail.
func rollout(install step.Spec) step.Spec {
	install.Rolling = step.Rolling{Batches: "10% 100%", Between: step.Between{Person: true}}
	install.Tolerate = step.Tolerance{Percent: 2}
	return install
}

// patient retries the failed hosts of a step twice, after about 1 min and 2 min, unless the password was
// refused on all of them. Then a person decides.
func patient(install step.Spec) step.Spec {
	install.Retry = step.Retry{Attempts: 2, After: time.Minute, Most: 2 * time.Minute, Except: []step.Status{step.BadPassword}}
	return install
}

// A rollout that meets one failure: it is retried twice, and then borne.
func Example_rollout() {
	ctx := context.Background()
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	eng := engine.New(memstore.New(), engine.WithClock(func() time.Time { return now }))
	install := step.Spec{Type: step.Script, Name: "install"}
	for i := range 50 {
		install.Targets = append(install.Targets, fmt.Sprintf("web-%d", i+1))
	}
	install = patient(rollout(install))
	fmt.Println("preview:", must(step.Batches(install.Rolling.Batches, 50)))

	job := must(eng.Create(ctx, engine.JobSpec{Name: "release", Steps: []step.Spec{install}}, engine.Request{By: "bob"})).Job
	must(eng.OperateJob(ctx, job, operation.StartJob, engine.Request{By: "bob"}))
	for {
		must(eng.Sweep(ctx)) // an executor does so each second
		s := must(eng.Step(ctx, job, 1))
		switch {
		case s.State == step.Running:
			first, _ := s.Window(s.Total)
			results := run(s, first+4) // of 5 hosts, or of 45
			fmt.Printf("attempt %d: batch %d, %d hosts\n", s.Attempt, s.Batch, len(results))
			must(eng.Report(ctx, engine.Report{Job: job, Step: 1, Attempt: s.Attempt, Results: results}))
		case s.Gate.Reason == step.TimeGate:
			fmt.Println("a retry in about", s.Gate.Until.Sub(step.At(now)).Round(time.Minute))
			now = s.Gate.Until.Std()
		case s.Gate.Reason == step.PersonGate:
			fmt.Println("ann looks, and continues")
			must(eng.Operate(ctx, job, 1, operation.Continue, engine.Request{By: "ann"}))
		default:
			fmt.Println("the step is", s.State, "with", s.Failed(), "failed host")
			return
		}
	}
	// Output:
	// preview: [5 50]
	// attempt 1: batch 1, 5 hosts
	// a retry in about 1m0s
	// attempt 2: batch 1, 1 hosts
	// a retry in about 2m0s
	// attempt 3: batch 1, 1 hosts
	// ann looks, and continues
	// attempt 4: batch 2, 45 hosts
	// the step is error_ignored with 1 failed host
}

// run returns the results of an attempt of s, in which host 5 of the first batch fails.
func run(s store.Step, bad int32) (results []engine.TargetResult) {
	first, end := s.Window(s.Total)
	for i := first; i < end; i++ {
		result := engine.TargetResult{Target: i, Result: store.Result{Status: step.TargetSucceeded}}
		if s.Batch == 1 && i == bad {
			result.Status = step.NonZeroExit
		}
		if s.Full == s.Attempt || i == bad { // a retry runs the failed host only
			results = append(results, result)
		}
	}
	return results
}
