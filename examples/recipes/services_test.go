package recipes

import (
	"context"
	"fmt"
	"sync"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// services returns the executors of two services, which work on the jobs of one team.
func services(shop *engine.Engine, install, migrate executor.HostFunc) []*executor.Executor {
	return []*executor.Executor{
		executor.New(shop, executor.By("deployer"), executor.Hosts(step.Script, install)),
		executor.New(shop, executor.By("database"), executor.Hosts(step.SQL, migrate), executor.RunsOnly()),
	}
}

// Each service carries out the steps of its types, in the scope of its tenant.
func Example_services() {
	ctx, cancel := context.WithCancel(context.Background())
	done := func(context.Context, *executor.Task, executor.Host) store.Result {
		return store.Result{Status: step.TargetSucceeded}
	}
	eng := engine.New(memstore.New())
	shop := eng.In(store.Scope{Type: "team", ID: "shop"})
	var running sync.WaitGroup
	for _, x := range services(shop, done, done) {
		running.Go(func() { _ = x.Run(ctx) })
	}
	other := must(eng.In(store.Scope{Type: "team", ID: "bank"}).Create(ctx, engine.JobSpec{Name: "not ours", Steps: []step.Spec{
		{Type: step.Script, Name: "install", Targets: []string{"web-1"}},
	}}, engine.Request{}))
	must(eng.OperateJob(ctx, other.Job, operation.StartJob, engine.Request{}))
	created := must(shop.Create(ctx, engine.JobSpec{Name: "release", Steps: []step.Spec{
		{Type: step.SQL, Name: "migrate", Targets: []string{"db-1"}},
		{Type: step.Script, Name: "install", Targets: []string{"web-1"}},
	}}, engine.Request{By: "bob"}))
	must(shop.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"}))
	for r, err := range shop.Watch(ctx, created.Job, created.Seq+1) {
		fmt.Println("step", r.Step, "is", r.To, "by", r.Actor, err)
		if err != nil || r.JobTo.Finished() {
			break
		}
	}
	cancel()
	running.Wait()
	fmt.Println("the other team's job is", must(eng.Job(context.Background(), other.Job)).State)
	// Output:
	// step 1 is succeeded by database <nil>
	// step 2 is succeeded by deployer <nil>
	// the other team's job is running
}
