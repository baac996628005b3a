// Quickstart runs a release on four hosts, of which one fails, and shows how people
// step in: what is refused and why, a retry of just what failed, a confirmation by the
// right person, and the history that all of it leaves.
//
// The hosts are directories under a temporary one, and the work is real: files are
// copied, and a script runs in a shell.
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
	for _, host := range hosts {
		if err := os.Mkdir(filepath.Join(dir, host), 0o755); err != nil {
			return err
		}
	}
	// On web-3 a file is in the way of the directory that the release goes to.
	inTheWay := filepath.Join(dir, "web-3", "app")
	if err := os.WriteFile(inTheWay, nil, 0o644); err != nil {
		return err
	}

	// An engine on a store, and an executor that does what the engine asks for.
	eng := engine.New(memstore.New(), engine.WithJobIDs(func(step.Time) store.JobID { return 100 }))
	executor := localexec.New(eng, localexec.Config{Root: dir})
	ctx, cancel := context.WithCancel(ctx)
	dispatched := make(chan error, 1)
	go func() { dispatched <- eng.Dispatch(ctx, executor.Handle) }()
	defer func() { // nothing runs any more when the directory goes
		cancel()
		if e := <-dispatched; err == nil {
			err = e
		}
	}()

	// A job is a list of steps.
	version := "1.4\n"
	created, err := eng.Create(ctx, engine.JobSpec{Name: "release 1.4", Steps: []step.Spec{
		{
			Type: step.FileTransfer, Name: "copy", Targets: hosts,
			Payload: localexec.Files{Files: []localexec.File{{Content: &version, To: "app/version"}}}.Payload(),
		},
		{Type: step.Confirmation, Name: "approve", Confirmers: []string{"alice"}},
		{
			Type: step.Script, Name: "restart", Targets: hosts,
			Payload: localexec.Script{Script: `test -f app/version && echo "restarted with $(cat app/version)"`}.Payload(),
		},
	}}, engine.Request{By: "bob"})
	if err != nil {
		return err
	}
	if _, err := eng.OperateJob(ctx, created.Job, operation.StartJob, engine.Request{By: "bob"}); err != nil {
		return err
	}
	if err := await(ctx, eng, created.Job, step.Failed); err != nil {
		return err
	}
	fmt.Fprintln(out, "The copy has failed on one host:")
	if err := printStep(ctx, out, eng, created.Job, 1); err != nil {
		return err
	}

	// What is not legal is refused, and the answer says what would be.
	fmt.Fprintln(out, "\nBob wants to skip it:")
	if _, err = eng.Operate(ctx, created.Job, 1, operation.ForcedSkip, engine.Request{By: "bob"}); !errors.Is(err, operation.WrongState) {
		return fmt.Errorf("forced skip: %v, want a refusal", err)
	}
	fmt.Fprintln(out, "  refused:", err)

	fmt.Fprintln(out, "\nBob clears the way on web-3 and retries what failed:")
	if err := os.Remove(inTheWay); err != nil {
		return err
	}
	record, err := eng.Operate(ctx, created.Job, 1, operation.RetryFailed, engine.Request{By: "bob", Because: "web-3 is repaired"})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  accepted: step %d goes from %v to %v, attempt %d runs %d of %d targets\n",
		record.Step, record.From, record.To, record.Attempt, record.Targets, len(hosts))
	if err := await(ctx, eng, created.Job, step.Waiting); err != nil {
		return err
	}
	if err := printStep(ctx, out, eng, created.Job, 1); err != nil {
		return err
	}

	// A confirmation is for the people it names.
	fmt.Fprintln(out, "\nBob confirms:")
	if _, err = eng.Operate(ctx, created.Job, 2, operation.Confirm, engine.Request{By: "bob"}); !errors.Is(err, operation.NotConfirmer) {
		return fmt.Errorf("confirmation by bob: %v, want a refusal", err)
	}
	fmt.Fprintln(out, "  refused:", err)
	fmt.Fprintln(out, "\nAlice confirms:")
	if record, err = eng.Operate(ctx, created.Job, 2, operation.Confirm, engine.Request{By: "alice", Because: "looks good"}); err != nil {
		return err
	}
	fmt.Fprintf(out, "  accepted: step %d goes from %v to %v, step %d starts on %d targets\n",
		record.Step, record.From, record.To, record.Entered, record.Targets)
	if err := await(ctx, eng, created.Job, step.Succeeded); err != nil {
		return err
	}
	return printHistory(ctx, out, eng, created.Job)
}

// await returns when the job gets into a state.
func await(ctx context.Context, eng *engine.Engine, job store.JobID, state step.State) error {
	for record, err := range eng.Watch(ctx, job, 0, engine.WithoutProgress()) {
		if err != nil || record.JobTo == state {
			return err
		}
	}
	return nil
}

// printStep prints how the targets of a step fare.
func printStep(ctx context.Context, out io.Writer, eng *engine.Engine, job store.JobID, id step.ID) error {
	targets, err := eng.Targets(ctx, job, id, engine.TargetQuery{})
	if err != nil {
		return err
	}
	for _, t := range targets {
		fmt.Fprintf(out, "  %s  attempt %d  %v\n", t.Name, t.Attempt, t.Status)
	}
	return nil
}

// printHistory prints the records of a job, less those of mere progress.
func printHistory(ctx context.Context, out io.Writer, eng *engine.Engine, job store.JobID) error {
	fmt.Fprintln(out, "\nThe history:")
	history, err := eng.History(ctx, job, 0, 0)
	if err != nil {
		return err
	}
	for _, r := range history {
		if !r.Moves() {
			continue
		}
		line := fmt.Sprintf("%-9s  %-13s  job %v", r.Actor, r.Cause, r.JobTo)
		if r.Step != 0 {
			line += fmt.Sprintf(", step %d %v", r.Step, r.To)
		}
		if r.Entered != 0 {
			line += fmt.Sprintf(", step %d starts", r.Entered)
		}
		if r.Reason != "" {
			line += fmt.Sprintf(" (%s)", r.Reason)
		}
		fmt.Fprintln(out, "  "+line)
	}
	return nil
}
