package pgstore_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
	"github.com/stepgate/stepgate/store/pgstore"
)

// A job on a PostgreSQL, from the migration to the end of the store. TestExample runs it.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	if err := pgstore.Migrate(ctx, pool); err != nil {
		log.Fatal(err)
	}
	st, err := pgstore.New(ctx, pool)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close() // before the pool

	eng := engine.New(st)
	created, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
		{Type: step.Script, Name: "deploy", Payload: "./deploy.sh", Targets: []string{"web-1", "web-2"}},
	}}, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"}); err != nil {
		log.Fatal(err)
	}
	record, err := eng.Operate(ctx, created.Job, 1, operation.Confirm, engine.Request{By: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("step", record.Entered, "runs on", record.Targets, "targets")
	// It prints:
	// step 2 runs on 2 targets
}

// approval is an engine on a store of this package, and a job that waits for a confirmation.
var approval struct {
	engine *engine.Engine
	job    store.JobID
}

// The statements of an application take effect together with an operation, or not at all.
func ExampleAlongside() {
	eng, job := approval.engine, approval.job
	ctx := pgstore.Alongside(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE tickets SET approved = true WHERE job = $1`, int64(job))
		return err
	})
	if _, err := eng.Operate(ctx, job, 1, operation.Confirm, engine.Request{By: "alice"}); err != nil {
		log.Fatal(err)
	}
}
