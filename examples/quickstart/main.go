// Quickstart runs a release on four hosts, of which one fails, and shows how people step in: a
// refused operation with its reason, a retry of the failed host alone, a confirmation by the
// right person, and the history.
//
// The hosts are folders in a temporary folder. The work is real: it copies files, and runs a script
// in a shell.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/stepgate/stepgate/engine"
	"github.com/stepgate/stepgate/examples/localexec"
	"github.com/stepgate/stepgate/executor"
	"github.com/stepgate/stepgate/memstore"
	"github.com/stepgate/stepgate/operation"
	"github.com/stepgate/stepgate/step"
	"github.com/stepgate/stepgate/store"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

var hosts = []string{"web-1", "web-2", "web-3", "web-4"}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "quickstart")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "hosts")
	inTheWay, err := makeHosts(root)
	if err != nil {
		return err
	}

	// An engine on a store, and an executor that does the work of the steps.
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 100 }))
	x := executor.New(eng, localexec.New(localexec.Config{Root: root}).Options()...)
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- x.Run(ctx) }()
	defer func() { // waits for the work before the folder is removed
		cancel()
		err = errors.Join(err, <-ran)
	}()

	created, err := eng.Create(ctx, releaseOf("1.4"), engine.Request{By: "bob"})
	if err != nil {
		return err
	}
	r := release{eng: eng, job: created.Job, out: out, inTheWay: inTheWay}
	for _, act := range []func(context.Context) error{r.start, r.skip, r.retry, r.confirm, r.printHistory} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// makeHosts creates the folders of the hosts. On web-3 it also creates a file, whose path it
// returns, in place of the folder for the release.
func makeHosts(root string) (inTheWay string, err error) {
	for _, host := range hosts {
		if err := os.MkdirAll(filepath.Join(root, host), 0o755); err != nil {
			return "", err
		}
	}
	inTheWay = filepath.Join(root, "web-3", "app")
	return inTheWay, os.WriteFile(inTheWay, nil, 0o644)
}

// releaseOf returns the job that releases a version. A job is a list of steps.
func releaseOf(version string) engine.JobSpec {
	line := version + "\n"
	return engine.JobSpec{Name: "release " + version, Steps: []step.Spec{
		{
			Type: step.FileTransfer, Name: "copy", Targets: hosts,
			Payload: localexec.Files{Files: []localexec.File{{Content: &line, To: "app/version"}}}.Payload(),
		},
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
		{
			Type: step.Script, Name: "restart", Targets: hosts,
			Payload: localexec.Script{Script: `test -f app/version && echo "restarted with $(cat app/version)"`}.Payload(),
		},
	}}
}

// A release is a job, and the output of the program.
type release struct {
	eng      *engine.Engine
	job      store.JobID
	out      io.Writer
	inTheWay string // the file that makes web-3 fail
}

// start starts the job. One target fails.
func (r *release) start(ctx context.Context) error {
	if _, err := r.eng.OperateJob(ctx, r.job, operation.StartJob, engine.Request{By: "bob"}); err != nil {
		return err
	}
	if err := r.await(ctx, step.Failed); err != nil {
		return err
	}
	fmt.Fprintln(r.out, "The copy has failed on one host:")
	return r.printStep(ctx, 1)
}

// skip tries an illegal operation. The refusal has the legal ones.
func (r *release) skip(ctx context.Context) error {
	fmt.Fprintln(r.out, "\nBob wants to skip it:")
	_, err := r.eng.Operate(ctx, r.job, 1, operation.ForcedSkip, engine.Request{By: "bob"})
	return r.refused(err, operation.WrongState)
}

// retry repairs web-3 and retries the failed target only.
func (r *release) retry(ctx context.Context) error {
	fmt.Fprintln(r.out, "\nBob clears the way on web-3 and retries what failed:")
	if err := os.Remove(r.inTheWay); err != nil {
		return err
	}
	record, err := r.eng.Operate(ctx, r.job, 1, operation.RetryFailed, engine.Request{By: "bob", Because: "web-3 is repaired"})
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "  accepted: step %d goes from %v to %v, attempt %d runs %d of %d targets\n",
		record.Step, record.From, record.To, record.Attempt, record.Targets, len(hosts))
	if err := r.await(ctx, step.Waiting); err != nil {
		return err
	}
	return r.printStep(ctx, 1)
}

// confirm answers the confirmation. Only the people that it names can confirm.
func (r *release) confirm(ctx context.Context) error {
	fmt.Fprintln(r.out, "\nBob confirms:")
	_, err := r.eng.Operate(ctx, r.job, 2, operation.Confirm, engine.Request{By: "bob"})
	if err := r.refused(err, operation.NotConfirmer); err != nil {
		return err
	}
	fmt.Fprintln(r.out, "\nAlice confirms:")
	record, err := r.eng.Operate(ctx, r.job, 2, operation.Confirm, engine.Request{By: "alice", Because: "looks good"})
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "  accepted: step %d goes from %v to %v, step %d starts on %d targets\n",
		record.Step, record.From, record.To, record.Entered, record.Targets)
	return r.await(ctx, step.Succeeded)
}

// refused prints a refusal with the wanted reason, and fails on any other outcome.
func (r *release) refused(err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("got %v, want a refusal: %v", err, want)
	}
	fmt.Fprintln(r.out, "  refused:", err)
	return nil
}

// await returns when the job is in a state.
func (r *release) await(ctx context.Context, state step.State) error {
	for record, err := range r.eng.Watch(ctx, r.job, 0, engine.WithoutProgress()) {
		if err != nil || record.JobTo == state {
			return err
		}
	}
	return nil
}

// printStep prints the targets of a step with their results.
func (r *release) printStep(ctx context.Context, id step.ID) error {
	targets, err := r.eng.Targets(ctx, r.job, id, engine.TargetQuery{})
	if err != nil {
		return err
	}
	for _, t := range targets {
		fmt.Fprintf(r.out, "  %s  attempt %d  %v\n", t.Name, t.Attempt, t.Status)
	}
	return nil
}

// printHistory prints the records of a job, without those of progress alone.
func (r *release) printHistory(ctx context.Context) error {
	fmt.Fprintln(r.out, "\nThe history:")
	history, err := r.eng.History(ctx, r.job, 0, 0)
	if err != nil {
		return err
	}
	for _, h := range history {
		if !h.Moves() {
			continue
		}
		line := fmt.Sprintf("%-9s  %-13s  job %v", h.Actor, h.Cause, h.JobTo)
		if h.Step != 0 {
			line += fmt.Sprintf(", step %d %v", h.Step, h.To)
		}
		if h.Entered != 0 {
			line += fmt.Sprintf(", step %d starts", h.Entered)
		}
		if h.Reason != "" {
			line += fmt.Sprintf(" (%s)", h.Reason)
		}
		fmt.Fprintln(r.out, "  "+line)
	}
	return nil
}
