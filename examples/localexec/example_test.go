//go:build unix

package localexec_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// Scripts see what they need of this process's environment, and what is added to it.
func ExampleDefaultEnv() {
	os.Setenv("PGPASSWORD", "secret")
	defer os.Unsetenv("PGPASSWORD")
	env := append(localexec.DefaultEnv(), "RELEASE=1.4") // for Config.Env
	for _, name := range []string{"PATH", "PGPASSWORD", "RELEASE"} {
		fmt.Println(name, slices.ContainsFunc(env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") }))
	}
	// Output:
	// PATH true
	// PGPASSWORD false
	// RELEASE true
}

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "localexec")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"web-1", "web-2"} { // a target is a directory
		if err := os.MkdirAll(filepath.Join(dir, "targets", name), 0o755); err != nil {
			log.Fatal(err)
		}
	}

	eng := engine.New(memstore.New())
	logs := executor.NewMemoryLogs(0, 0)
	d := localexec.New(localexec.Config{Root: filepath.Join(dir, "targets"), Logs: logs})
	ended := make(chan error, 1)
	go func() { ended <- executor.New(eng, d.Options()...).Run(ctx) }()

	created, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{
			Type: step.FileTransfer, Name: "copy", Targets: []string{"web-1", "web-2"},
			Payload: localexec.Files{Files: []localexec.File{{Content: new("1.4\n"), To: "app/version"}}}.Payload(),
		},
		{
			Type: step.Script, Name: "check", Targets: []string{"web-1", "web-2"},
			Payload: localexec.Script{Script: `echo "$STEPGATE_TARGET runs $(cat app/version)"`}.Payload(),
		},
	}}, engine.Request{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "alice"}); err != nil {
		log.Fatal(err)
	}
	for record, err := range eng.Watch(ctx, created.Job, 0, engine.WithoutProgress()) {
		if err != nil {
			log.Fatal(err)
		}
		if record.JobTo.Finished() {
			fmt.Println("the job has", record.JobTo)
			break
		}
	}
	for target := range int32(2) {
		out, err := logs.Read(ctx, executor.Log{Job: created.Job, Step: 2, Attempt: 1, Target: target, Stream: executor.Stdout}, 0, 1024)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s", out.Data)
	}
	cancel()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}

	// Output:
	// the job has succeeded
	// web-1 runs 1.4
	// web-2 runs 1.4
}
