package riverfx_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
	"github.com/stepgate/stepgate/store/pgstore/riverfx"
)

// A process that creates a job, and works, until it is interrupted. TestExample runs it.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	check(err)
	defer pool.Close()
	check(pgstore.Migrate(ctx, pool))
	check(riverfx.Migrate(ctx, pool))

	carrier, err := riverfx.New(pool, riverfx.Configure(func(c *river.Config) {
		c.MaxAttempts = 5
		c.Queues[riverfx.RunQueue] = river.QueueConfig{MaxWorkers: 200}
	}))
	check(err)
	st, err := pgstore.New(ctx, pool, pgstore.WithCarrier(carrier))
	check(err)
	defer st.Close()
	eng := engine.New(st)

	created, err := eng.Create(ctx, engine.JobSpec{Name: "release", Steps: []step.Spec{
		{Type: step.Script, Name: "deploy", Targets: []string{"web-1", "web-2"}},
	}}, engine.Request{})
	check(err)
	_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "ada"})
	check(err)

	check(carrier.Worker(eng, st, handle).Run(ctx)) // in the processes that do the work
}

// handle starts the script of a step, and polls its result every few seconds.
func handle(ctx context.Context, d engine.Delivery) (*engine.Report, error) {
	switch d.Effect {
	case store.RunTargets: // a run that is delivered again finds that its script is started
		done, results, err := startOrPoll(ctx, d)
		report := &engine.Report{By: "deployer", Results: results}
		if err == nil && !done {
			err = river.JobSnooze(5 * time.Second)
		}
		return report, err
	case store.StopAttempt:
		return &engine.Report{By: "deployer", Outcome: step.Stopped}, kill(ctx, d)
	}
	fmt.Println("job", d.Job.ID, d.Effect)
	return nil, nil
}

// startOrPoll and kill stand for an agent on the hosts, on which every script succeeds.
func startOrPoll(_ context.Context, d engine.Delivery) (done bool, results []engine.TargetResult, err error) {
	for i := range d.Step.Total {
		results = append(results, engine.TargetResult{Target: i, Result: store.Result{Status: step.TargetSucceeded}})
	}
	started <- d.Job.ID
	return true, results, nil
}

var started = make(chan store.JobID, 10) // more than the Example's one

func kill(context.Context, engine.Delivery) error { return nil }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
