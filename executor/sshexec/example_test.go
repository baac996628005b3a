package sshexec_test

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/executor/sshexec"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/step"
)

// A whole program: scripts and files on hosts over SSH, until it is interrupted.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	logs, err := executor.NewFileLogs("/var/lib/stepgate/logs", 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	hosts, err := sshexec.New(sshexec.Config{
		User:       "deploy",
		KeyFiles:   []string{"/etc/stepgate/id_ed25519"},
		KnownHosts: []string{"/etc/stepgate/known_hosts"},
		Sources:    "/srv/artifacts",
		Logs:       logs,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer hosts.Close()
	eng := engine.New(memstore.New())
	err = executor.New(eng,
		executor.Hosts(step.Script, hosts.Script),
		executor.Hosts(step.FileTransfer, hosts.Files),
		executor.AtOnce(64),
	).Run(ctx)
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
		KnownHosts: []string{"/etc/stepgate/known_hosts"},
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
