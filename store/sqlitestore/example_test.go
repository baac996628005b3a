package sqlitestore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store/sqlitestore"
)

// A job outlives the program that created it.
func Example() {
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
	eng := engine.New(st)
	job, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = eng.OperateJob(ctx, job.ID, operation.StartJob, engine.By("bob"))
	fmt.Println("start:", err)
	fmt.Println("close:", st.Close())

	// Another day, another process.
	st, err = sqlitestore.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	receipt, err := engine.New(st).Operate(ctx, job.ID, 1, operation.Confirm, engine.By("alice"))
	fmt.Println("confirm:", receipt.JobFrom, "to", receipt.JobTo, err)
	// Output:
	// start: <nil>
	// close: <nil>
	// confirm: waiting to succeeded <nil>
}
