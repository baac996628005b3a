package memstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Engines on one store see the same jobs. A store in memory needs no file, no migration and no Close, and
// loses its jobs with the process.
func Example() {
	ctx := context.Background()
	st := memstore.New()
	created, err := engine.New(st).Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
	}}, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	record, err := engine.New(st).OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"})
	fmt.Println("start:", record.JobFrom, "to", record.JobTo, err)
	// Output: start: pending to waiting <nil>
}
