package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

// createSamples creates the sample jobs in an empty store and starts the first. Their requests have
// fixed ids: consoles that share a store and start at once create them only once.
func createSamples(ctx context.Context, eng *engine.Engine) error {
	jobs, err := eng.Jobs(ctx, engine.JobQuery{Limit: 1})
	if err != nil || len(jobs) > 0 {
		return err
	}
	if _, err := eng.Create(ctx, rollout(), engine.Request{By: "alice", ID: requestID("rollout")}); err != nil {
		return err
	}
	created, err := eng.Create(ctx, release(), engine.Request{By: "bob", ID: requestID("release")})
	if err != nil {
		return err
	}
	_, err = eng.OperateJob(ctx, created.Job, operation.StartJob,
		engine.Request{By: "bob", Because: "the weekly release", ID: requestID("start")})
	return err
}

func requestID(of string) store.RequestID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:stepgate:console:"+of))
}

var sampleScope = store.Scope{Type: "biz", ID: "2"}

// release fails on a host until it is retried, and then asks alice.
func release() engine.JobSpec {
	web := []string{"web-1", "web-2", "web-3", "web-4"}
	return engine.JobSpec{Name: "release 1.4", Scope: sampleScope, Steps: []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: web, Payload: copied("app/version", "1.4\n")},
		{Type: step.Script, Name: "install", Targets: web, Payload: script(`
			echo "unpacking version $(cat app/version)"
			if [ $STEPGATE_TARGET = web-3 ] && [ $STEPGATE_ATTEMPT = 1 ]; then
				echo "checking the disk: 212 MB free, 500 MB needed"
				echo "$STEPGATE_TARGET: no space left for version $(cat app/version)" >&2
				exit 28
			fi
			cp app/version app/installed
			echo "installed"`)},
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
		{Type: step.Script, Name: "restart", Targets: web, Payload: script(`
			echo "stopping"; sleep 0.4
			echo "$STEPGATE_TARGET serves version $(cat app/installed)"`)},
	}}
}

// rollout is slow enough to watch, and its fourth step slow enough to terminate.
func rollout() engine.JobSpec {
	nodes := make([]string, 40)
	for i := range nodes {
		nodes[i] = fmt.Sprintf("node-%02d", i+1)
	}
	return engine.JobSpec{Name: "rollout 2.0 to all nodes", Scope: sampleScope, Steps: []step.Spec{
		{Type: step.FileTransfer, Name: "copy", Targets: nodes, Payload: copied("app/version", "2.0\n")},
		{Type: step.Script, Name: "install", Targets: nodes, Payload: script(number + `
			echo "unpacking"; sleep 0.$((n % 5 + 4))
			cp app/version app/installed
			echo "installed version $(cat app/installed)"`)},
		{Type: step.Script, Name: "warm up the cache", Targets: nodes, IgnoreErrors: true, Payload: script(number + `
			sleep 0.$((n % 3 + 2))
			[ $((n % 13)) != 0 ] || { echo "$STEPGATE_TARGET has no cache" >&2; exit 3; }
			echo "warm"`)},
		{Type: step.Script, Name: "drain connections", Targets: nodes[:16], Payload: script(`
			for left in 9 8 7 6 5 4 3 2 1; do echo "$left connections left"; sleep 8; done
			echo "drained"`)},
		{Type: step.Script, Name: "go live", Targets: nodes, Payload: script(`
			echo "$STEPGATE_TARGET serves version $(cat app/installed)"`)},
	}}
}

// number sets n in a script to the number of its node, without leading zeros.
const number = `n=${STEPGATE_TARGET#node-}; n=${n#0}`

func script(text string) string { return localexec.Script{Script: text}.Payload() }

func copied(to, content string) string {
	return localexec.Files{Files: []localexec.File{{Content: &content, To: to}}}.Payload()
}
