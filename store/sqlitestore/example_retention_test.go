package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// forget deletes the jobs that succeeded before a moment, at most 1,000 of them, with their steps,
// results and history. db is open with foreign keys on: "file:jobs.db?_pragma=foreign_keys(1)".
func forget(ctx context.Context, db *sql.DB, before time.Time) (int64, error) {
	deleted, err := db.ExecContext(ctx, `
		DELETE FROM stepgate_jobs WHERE id IN (
			SELECT id FROM stepgate_jobs j
			WHERE state = ? AND finished < ? AND NOT EXISTS (SELECT 1 FROM stepgate_effects e WHERE e.job = j.id)
			LIMIT 1000)`,
		step.Succeeded, before.UnixMilli())
	if err != nil {
		return 0, err
	}
	return deleted.RowsAffected()
}

// Old jobs are deleted beside a store in use.
func Example_retention() {
	dir, err := os.MkdirTemp("", "stepgate-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, path := context.Background(), filepath.Join(dir, "jobs.db")
	st, err := sqlitestore.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	eng := engine.New(st)
	created, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{{Type: step.Confirmation, Name: "approve"}}}, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	_, started := eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{})
	_, confirmed := eng.Operate(ctx, created.Job, 1, operation.Confirm, engine.Request{By: "ann"})
	fmt.Println(started, confirmed)

	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	tomorrow := time.Now().Add(24 * time.Hour)
	fmt.Println(forget(ctx, db, tomorrow)) // the question and the end of the job wait for delivery
	_, err = eng.Deliver(ctx, func(context.Context, engine.Delivery) error { return nil })
	fmt.Println("delivered:", err)
	fmt.Println(forget(ctx, db, tomorrow.Add(-48*time.Hour)))
	fmt.Println(forget(ctx, db, tomorrow))
	_, err = eng.Job(ctx, created.Job)
	fmt.Println("no such job:", errors.Is(err, operation.NoSuchJob))
	// Output:
	// <nil> <nil>
	// 0 <nil>
	// delivered: <nil>
	// 0 <nil>
	// 1 <nil>
	// no such job: true
}
