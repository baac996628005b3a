// Package jobkit makes jobs for the tests and benchmarks of several packages, and waits for their
// progress. Only tests import it.
package jobkit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// Asking returns a job of confirmations.
func Asking(steps int) engine.JobSpec {
	spec := engine.JobSpec{Name: "bench"}
	for range steps {
		spec.Steps = append(spec.Steps, step.Spec{Type: step.Confirmation, Name: "ask"})
	}
	return spec
}

// Running returns a job of scripts with targets host-0, host-1 and so on.
func Running(scope store.Scope, steps, targets int) engine.JobSpec {
	spec := engine.JobSpec{Name: "job", Scope: scope}
	s := step.Spec{Type: step.Script, Name: "run"}
	for i := range targets {
		s.Targets = append(s.Targets, fmt.Sprint("host-", i))
	}
	for range steps {
		spec.Steps = append(spec.Steps, s)
	}
	return spec
}

// Alternating are the codes that end and restart a confirmation in turn.
var Alternating = [2]operation.Code{operation.TerminateConfirmation, operation.RestartConfirmation}

// Create makes a job.
func Create(t testing.TB, eng *engine.Engine, spec engine.JobSpec) store.JobID {
	t.Helper()
	created, err := eng.Create(t.Context(), spec, engine.Request{})
	if err != nil {
		t.Fatal(err)
	}
	return created.Job
}

// Start makes a job and starts it.
func Start(t testing.TB, eng *engine.Engine, spec engine.JobSpec) store.JobID {
	t.Helper()
	return StartFor(t, eng, spec, engine.Request{})
}

// StartFor makes a job and starts it with a request.
func StartFor(t testing.TB, eng *engine.Engine, spec engine.JobSpec, r engine.Request) store.JobID {
	t.Helper()
	id := Create(t, eng, spec)
	if _, err := eng.OperateJob(t.Context(), id, operation.StartJob, r); err != nil {
		t.Fatal(err)
	}
	return id
}

// StartMany makes and starts jobs, up to 64 at once.
func StartMany(t testing.TB, eng *engine.Engine, jobs int, spec engine.JobSpec) []store.JobID {
	t.Helper()
	ids := make([]store.JobID, jobs)
	Each(t, jobs, 64, func(ctx context.Context, i int) error {
		created, err := eng.Create(ctx, spec, engine.Request{})
		if err == nil {
			ids[i] = created.Job
			_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{})
		}
		return err
	})
	return ids
}

// Each calls f with 0 to n-1, from several callers at once, and ends t if a call fails.
func Each(t testing.TB, n, callers int, f func(ctx context.Context, i int) error) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, callers) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				if err := f(t.Context(), i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// Patience is the maximum wait for an event that takes a moment unless the machine is busy.
const Patience = time.Minute

// Eventually waits until holds returns true, for [Patience] at most.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %v in vain: %s", Patience, what)
		}
	}
}
