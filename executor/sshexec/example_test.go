package sshexec_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/sshexec"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
)

// A whole program: a script on hosts over SSH. TestExample runs it.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	logs, err := executor.NewFileLogs("logs", 1<<20)
	check(err)
	hosts, err := sshexec.New(sshexec.Config{
		User:       "deploy",
		KeyFiles:   []string{"keys/id_ed25519"},
		KnownHosts: []string{"keys/known_hosts"},
		Sources:    "artifacts",
		Logs:       logs, // of executor.NewFileLogs or NewMemoryLogs; nil drops the output
	})
	if err != nil {
		log.Fatal(err)
	}
	defer hosts.Close()
	eng := engine.New(memstore.New())
	x := executor.New(eng,
		executor.Hosts(step.Script, hosts.Script),
		executor.Hosts(step.FileTransfer, hosts.Files),
		executor.AtOnce(64),
	)
	go func() { ended <- x.Run(ctx) }()

	created, err := eng.Create(ctx, engine.JobSpec{Name: "look", Steps: []step.Spec{
		{Type: step.Script, Name: "uptime", Targets: strings.Fields(os.Getenv("HOSTS")), Payload: sshexec.Script{Script: "uptime"}.Payload()},
	}}, engine.Request{})
	check(err)
	_, err = eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "ann"})
	check(err)
	for record, err := range eng.Watch(ctx, created.Job, 0) {
		check(err)
		if record.JobTo.Finished() {
			fmt.Println("the job is", record.JobTo)
			break
		}
	}
	stop()
	check(<-ended)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Targets are names of an inventory, which knows addresses and accounts.
func ExampleConfig_address() {
	inventory := map[string]sshexec.Address{
		"web-1": {Host: "192.0.2.1", Port: 2222, User: "deploy", HostKeyAlias: "web-1"},
	}
	_, err := sshexec.New(sshexec.Config{
		Agent:      os.Getenv("SSH_AUTH_SOCK"),
		KnownHosts: []string{"keys/known_hosts"},
		Address: func(_ context.Context, target string) (sshexec.Address, error) {
			a, ok := inventory[target]
			if !ok {
				return a, os.ErrNotExist // the result of the target is InvalidTarget
			}
			return a, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
}
