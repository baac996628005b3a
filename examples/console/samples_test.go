package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

func TestSamplesComeOnce(t *testing.T) {
	counted := func(eng *engine.Engine, want int, when string) {
		t.Helper()
		jobs, err := eng.Jobs(t.Context(), engine.JobQuery{})
		if err != nil || len(jobs) != want {
			t.Errorf("%s: %d jobs, %v, want %d", when, len(jobs), err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "jobs.db")
	for _, when := range []string{"on an empty store", "on the same, opened again"} {
		st, err := sqlitestore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		eng := engine.New(st)
		if err := createSamples(t.Context(), eng); err != nil {
			t.Fatal(err)
		}
		counted(eng, 2, when)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}

	shared := memstore.New()
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			if err := createSamples(t.Context(), engine.New(shared)); err != nil {
				t.Errorf("consoles that start at once: %v", err)
			}
		})
	}
	starting.Wait()
	counted(engine.New(shared), 2, "by four consoles that start at once")

	used := engine.New(memstore.New())
	if _, err := used.Create(t.Context(), engine.JobSpec{Name: "mine", Steps: []step.Spec{{Type: step.Confirmation, Name: "ok"}}}, engine.Request{}); err != nil {
		t.Fatal(err)
	}
	if err := createSamples(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	counted(used, 1, "on a store with a job")
}

// The story that the page's first job tells: a host fails, its output says why, a retry runs
// that host alone, and only alice lets the job go on.
func TestTheReleaseIsRepairedAndApproved(t *testing.T) {
	l := newLab(t).dispatches(t)
	if err := createSamples(t.Context(), l.eng); err != nil {
		t.Fatal(err)
	}
	id := sample(t, t.Context(), l.eng, "release").ID
	l.await(t, id, step.Failed)
	failed, err := l.eng.Targets(t.Context(), id, 2, engine.TargetQuery{Class: store.FailedTargets})
	if err != nil || len(failed) != 1 || failed[0].Name != "web-3" || failed[0].ExitCode != 28 {
		t.Fatalf("failed targets %+v, %v, want web-3 with exit code 28", failed, err)
	}
	output := func(attempt int, stream string) string {
		answer := l.ask(t, "carol", "GET", fmt.Sprintf("/output?job=%d&step=2&attempt=%d&target=2&stream=%s", id, attempt, stream), "")
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || kind != "text/plain; charset=utf-8" {
			t.Errorf("the output of attempt %d: status %d of %q", attempt, answer.StatusCode, kind)
		}
		return read(t, answer)
	}
	const says, why = "checking the disk: 212 MB free, 500 MB needed\n", "web-3: no space left for version 1.4\n"
	if got := output(1, ""); !strings.HasSuffix(got, says+why) {
		t.Errorf("web-3 prints %q, want it to end with %q", got, says+why)
	}
	if got := output(1, "stdout"); !strings.HasSuffix(got, says) {
		t.Errorf("web-3 prints %q to stdout, want it to end with %q", got, says)
	}
	if got := output(1, "stderr"); got != why {
		t.Errorf("web-3 prints %q to stderr, want %q", got, why)
	}

	record, err := l.eng.Operate(t.Context(), id, 2, operation.RetryFailed, engine.Request{By: "bob"})
	if err != nil || record.Targets != 1 {
		t.Fatalf("a retry: %+v, %v, want it to run one target", record, err)
	}
	l.await(t, id, step.Waiting)
	if got := output(2, "stderr"); got != "" {
		t.Errorf("the repaired web-3 prints %q to stderr", got)
	}
	if _, err := l.eng.Operate(t.Context(), id, 3, operation.Confirm, engine.Request{By: "bob"}); !errors.Is(err, operation.NotConfirmer) {
		t.Errorf("bob approves: %v, want a refusal: only alice confirms", err)
	}
	if _, err := l.eng.Operate(t.Context(), id, 3, operation.Confirm, engine.Request{By: "alice"}); err != nil {
		t.Errorf("alice approves: %v", err)
	}
	if job := l.await(t, id, step.Succeeded); job.Ignored+job.Skipped > 0 {
		t.Errorf("the job has succeeded with steps passed over: %+v", job)
	}
}

// The second sample has a step whose errors are ignored, and one that is slow enough to stop.
func TestTheRolloutIsStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs for ten seconds")
	}
	l := newLab(t).dispatches(t)
	if err := createSamples(t.Context(), l.eng); err != nil {
		t.Fatal(err)
	}
	id := sample(t, t.Context(), l.eng, "rollout").ID
	if _, err := l.eng.OperateJob(t.Context(), id, operation.StartJob, engine.Request{By: "bob"}); err != nil {
		t.Fatal(err)
	}
	entered(t, t.Context(), l.eng, id, 4)
	warmed, err := l.eng.Step(t.Context(), id, 3)
	if err != nil || warmed.State != step.ErrorIgnored || warmed.Failed() != 3 {
		t.Errorf("step 3: %v with %d failed, %v, want 3 errors ignored", warmed.State, warmed.Failed(), err)
	}
	if _, err := l.eng.OperateJob(t.Context(), id, operation.TerminateJob, engine.Request{By: "bob"}); err != nil {
		t.Fatal(err)
	}
	l.await(t, id, step.Terminated)
}

// entered returns when a step of a job has been entered.
func entered(t *testing.T, ctx context.Context, eng *engine.Engine, job store.JobID, id step.ID) {
	t.Helper()
	for r, err := range eng.Watch(ctx, job, 0, engine.WithoutProgress()) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Entered == id {
			return
		}
	}
}
