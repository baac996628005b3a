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

	st, err := sqlitestore.Open(path) // creates and migrates the file
	if err != nil {
		log.Fatal(err)
	}
	eng := engine.New(st)
	created, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
	}}, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"})
	fmt.Println("start:", err)
	fmt.Println("close:", st.Close())

	// Another day, another process.
	st, err = sqlitestore.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	record, err := engine.New(st).Operate(ctx, created.Job, 1, operation.Confirm, engine.Request{By: "alice"})
	fmt.Println("confirm:", record.JobFrom, "to", record.JobTo, err)
	// Output:
	// start: <nil>
	// close: <nil>
	// confirm: waiting to succeeded <nil>
}
