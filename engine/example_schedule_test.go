package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// fire creates and starts the job of a schedule for a moment. The request ids derive from the schedule's name
// and the moment, so a second call for the same moment, in this process or in another, changes nothing.
func fire(ctx context.Context, eng *engine.Engine, schedule string, due time.Time, spec engine.JobSpec) (store.JobID, error) {
	id := func(what string) store.RequestID {
		name := "https://example.com/schedules/" + schedule + "/" + due.UTC().Format(time.RFC3339) + "/" + what
		return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name))
	}
	created, err := eng.Create(ctx, spec, engine.Request{By: schedule, ID: id("create")})
	if err != nil {
		return 0, err
	}
	_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: schedule, ID: id("start")})
	return created.Job, err
}

// everyNight fires at each midnight, in UTC, until ctx ends or a call fails. It begins with the last midnight:
// the process may not have run then.
func everyNight(ctx context.Context, eng *engine.Engine, backup engine.JobSpec) error {
	const day = 24 * time.Hour
	for due := time.Now().Truncate(day); ; due = due.Add(day) {
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := fire(ctx, eng, "nightly-backup", due, backup); err != nil {
			return err
		}
	}
}

// everyNight fires for the last midnight at once and then at each midnight, and a second process changes
// nothing.
func TestEveryNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now() // midnight
		time.Sleep(90 * time.Minute)
		ctx, stop := context.WithTimeout(t.Context(), 48*time.Hour)
		defer stop()
		eng := engine.New(memstore.New())
		backup := engine.JobSpec{Name: "backup", Steps: []step.Spec{{Type: step.Confirmation, Name: "?"}}}
		var machines sync.WaitGroup
		for range 2 {
			machines.Go(func() {
				if err := everyNight(ctx, eng, backup); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("everyNight ends with %v, want the end of its context", err)
				}
			})
		}
		machines.Wait()
		var fired []time.Duration
		for _, job := range must(eng.Jobs(t.Context(), engine.JobQuery{})) {
			fired = append(fired, job.Created.Std().Sub(began))
		}
		if got, want := fmt.Sprint(fired), "[1h30m0s 24h0m0s 48h0m0s]"; got != want {
			t.Errorf("jobs after %s, want %s", got, want)
		}
	})
}

// Two machines have the same timer, for example the same line of a crontab. They fire at once and create one
// job.
func ExampleEngine_Create_schedule() {
	eng := engine.New(memstore.New()) // a store that the machines share
	backup := engine.JobSpec{Name: "nightly backup", Steps: []step.Spec{
		{Type: step.Script, Name: "dump", Targets: []string{"db-1"}, Payload: "pg_dump ..."},
	}}
	tonight := time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC)
	var machines sync.WaitGroup
	var jobs [2]store.JobID
	for i := range jobs {
		machines.Go(func() { jobs[i] = must(fire(ctx, eng, "nightly-backup", tonight, backup)) })
	}
	machines.Wait()
	fmt.Println("one job for both machines:", jobs[0] == jobs[1])
	for _, r := range must(eng.History(ctx, jobs[0], 0, 0)) {
		fmt.Println(r.Seq, r.Cause, "by", r.Actor)
	}

	next := must(fire(ctx, eng, "nightly-backup", tonight.AddDate(0, 0, 1), backup))
	fmt.Println("another one for the next night:", next != jobs[0])
	// Output:
	// one job for both machines: true
	// 1 created by nightly-backup
	// 2 start_job by nightly-backup
	// another one for the next night: true
}
